package sns

import (
	"context"
	"errors"
	"regexp"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/snswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/sns"
)

func (e edge) publishOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[snswire.PublishInput, snswire.PublishOutput]{
			Wire: &snswire.Publish, Class: audit.Data, Access: api.Write,
			Demands: func(c *api.Call, in *snswire.PublishInput) ([]authz.Demand, error) {
				arn, err := destination(in)
				if err != nil {
					return nil, err
				}
				return e.demand(c, arn, "sns:Publish", nil)
			},
			Do: e.publish,
		}),
		api.Declare(api.Decl[snswire.PublishBatchInput, snswire.PublishBatchOutput]{
			Wire: &snswire.PublishBatch, Class: audit.Data, Access: api.Write,
			Demands: func(c *api.Call, in *snswire.PublishBatchInput) ([]authz.Demand, error) {
				return e.demand(c, member.Text(in.TopicArn), "sns:Publish", nil)
			},
			Do: e.publishBatch,
		}),
	}
}

// destination is the topic that is published to; phones and devices there are none.
func destination(in *snswire.PublishInput) (string, error) {
	switch {
	case in.PhoneNumber != nil:
		return "", fault.New(api.NotImplemented, "SMS is not supported.")
	case in.TopicArn != nil && in.TargetArn != nil:
		return "", fault.New(sns.InvalidParameter, "Invalid parameter: Only one of TopicArn, TargetArn or PhoneNumber may be specified")
	case in.TopicArn != nil:
		return *in.TopicArn, nil
	case in.TargetArn != nil:
		return *in.TargetArn, nil
	}
	return "", fault.New(sns.InvalidParameter, "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter")
}

// written is what Publish and the entries of PublishBatch have in common.
type written struct {
	message, subject, structure, group, deduplication *string
	attributes                                        map[string]snswire.MessageAttributeValue
}

func (w *written) read() (*sns.Message, error) {
	if w.group != nil || w.deduplication != nil {
		return nil, fault.New(sns.InvalidParameter, "Invalid parameter: The request includes MessageGroupId or MessageDeduplicationId parameter that is not valid for this topic type")
	}
	m := &sns.Message{Body: member.Text(w.message), Subject: member.Text(w.subject)}
	for name, v := range w.attributes {
		if m.Attributes == nil {
			m.Attributes = map[string]sns.Attribute{}
		}
		m.Attributes[name] = sns.Attribute{Type: member.Text(v.DataType), String: member.Text(v.StringValue), Binary: v.BinaryValue}
	}
	if w.subject != nil && *w.subject == "" {
		return nil, fault.New(sns.InvalidParameter, "Invalid parameter: Subject")
	}
	if err := m.Structured(member.Text(w.structure)); err != nil {
		return nil, err
	}
	return m, m.Check()
}

func (e edge) publish(ctx context.Context, g authz.Grant, c *api.Call, in *snswire.PublishInput) (*snswire.PublishOutput, error) {
	arn, err := destination(in)
	if err != nil {
		return nil, err
	}
	t, err := e.topics.Topic(arn)
	if err != nil {
		return nil, err
	}
	m, err := (&written{in.Message, in.Subject, in.MessageStructure, in.MessageGroupId, in.MessageDeduplicationId, in.MessageAttributes}).read()
	if err != nil {
		return nil, err
	}
	if err := e.mayUseKey(ctx, g, c, t); err != nil {
		return nil, err
	}
	if err := e.topics.Publish(ctx, g, t, m); err != nil {
		return nil, err
	}
	return &snswire.PublishOutput{MessageId: &m.ID}, nil
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

const maxEntries = 10

// checkEntries holds the ids of a batch to AWS's rules.
func checkEntries(entries []snswire.PublishBatchRequestEntry) error {
	switch {
	case len(entries) == 0:
		return fault.New(sns.EmptyBatch, "The batch request doesn't contain any entries.")
	case len(entries) > maxEntries:
		return fault.New(sns.TooManyEntries, "The batch request contains more entries than permissible.")
	}
	seen := map[string]bool{}
	for i := range entries {
		id := member.Text(entries[i].Id)
		switch {
		case !entryID.MatchString(id):
			return fault.New(sns.BadEntryID, "The Id of a batch entry in a batch request doesn't abide by the specification.")
		case seen[id]:
			return fault.New(sns.EntriesNotDistinct, "Two or more batch entries in the request have the same Id.")
		}
		seen[id] = true
	}
	return nil
}

func (e edge) publishBatch(ctx context.Context, g authz.Grant, c *api.Call, in *snswire.PublishBatchInput) (*snswire.PublishBatchOutput, error) {
	t, err := e.topics.Topic(member.Text(in.TopicArn))
	if err != nil {
		return nil, err
	}
	if err := checkEntries(in.PublishBatchRequestEntries); err != nil {
		return nil, err
	}
	out := &snswire.PublishBatchOutput{Successful: []snswire.PublishBatchResultEntry{}, Failed: []snswire.BatchResultErrorEntry{}}
	var messages []*sns.Message
	var ids []*string
	size := 0
	for i := range in.PublishBatchRequestEntries {
		x := &in.PublishBatchRequestEntries[i]
		m, err := (&written{x.Message, x.Subject, x.MessageStructure, x.MessageGroupId, x.MessageDeduplicationId, x.MessageAttributes}).read()
		if err != nil {
			var f *fault.Error
			a, ok := rpcAnswer(err, &f)
			if !ok {
				return nil, err
			}
			out.Failed = append(out.Failed, snswire.BatchResultErrorEntry{Id: x.Id, Code: &a, Message: &f.Message, SenderFault: new(true)})
			size += len(member.Text(x.Message))
			continue
		}
		size += m.Size()
		messages, ids = append(messages, m), append(ids, x.Id)
	}
	if size > sns.MaxMessage {
		return nil, fault.New(sns.BatchTooLong, "The length of all the batch messages put together is more than the limit.")
	}
	if len(messages) == 0 {
		return out, nil
	}
	if err := e.mayUseKey(ctx, g, c, t); err != nil {
		return nil, err
	}
	if err := e.topics.Publish(ctx, g, t, messages...); err != nil {
		return nil, err
	}
	for i, m := range messages {
		out.Successful = append(out.Successful, snswire.PublishBatchResultEntry{Id: ids[i], MessageId: &m.ID})
	}
	return out, nil
}

// rpcAnswer is the code of a failure that is the sender's.
func rpcAnswer(err error, f **fault.Error) (code string, ok bool) {
	if !errors.As(err, f) {
		return "", false
	}
	a, ok := answers[(*f).Kind]
	return a.Code, ok
}

// serviceAlias is the name of the key that AWS manages for topics.
const serviceAlias = "alias/aws/sns"

// mayUseKey asks whether the caller may have messages encrypted by the topic's key, and that the key can be
// used: who publishes to an encrypted topic needs kms:GenerateDataKey and kms:Decrypt on its key.
func (e edge) mayUseKey(ctx context.Context, g authz.Grant, c *api.Call, t *sns.Topic) error {
	if t.Key == "" {
		return nil
	}
	find := func() (*kms.Key, error) { return e.keys.Find(t.Key, t.Account, e.region) }
	if t.Key == serviceAlias {
		find = func() (*kms.Key, error) { return e.keys.ServiceKey(ctx, t.Account, "sns") }
	}
	k, err := find()
	if err != nil {
		return keyFault(err)
	}
	about := map[string]string{"aws:sns:topicArn": t.ARN}
	use := kms.Use{Key: k, Context: about, Via: kms.ViaService("sns", e.region), By: &c.Caller.Subject.Principal}
	generate, decrypt := use, use
	generate.Action, decrypt.Action = "kms:GenerateDataKey", "kms:Decrypt"
	g, err = g.Ask(ctx, e.keys.DemandUse(generate), e.keys.DemandUse(decrypt))
	if err != nil {
		return keyFault(err)
	}
	if _, _, err = e.keys.GenerateDataKey(ctx, g, k, about, 32); err != nil {
		return keyFault(err)
	}
	return nil
}

// keyFaults are SNS's words for what KMS refuses.
var keyFaults = map[fault.Kind]fault.Kind{
	authz.Denied: keyDenied, kms.NotFound: keyNotFound, kms.Disabled: keyDisabled, kms.InvalidState: keyState, kms.InvalidKeyUsage: keyState,
}

func keyFault(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	kind, ok := keyFaults[f.Kind]
	if !ok {
		kind = sns.InvalidParameter
	}
	return &fault.Error{Kind: kind, Message: f.Message, Cause: err}
}
