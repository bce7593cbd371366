package sqs

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/sqswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/sqs"
)

func (e edge) messageOps() []*api.Op {
	return []*api.Op{
		on(e, &sqswire.SendMessage, audit.Data, api.Write, "sqs:SendMessage", func(in *sqswire.SendMessageInput) *string { return in.QueueUrl }, e.sendMessage),
		on(e, &sqswire.SendMessageBatch, audit.Data, api.Write, "sqs:SendMessage", func(in *sqswire.SendMessageBatchInput) *string { return in.QueueUrl }, e.sendMessageBatch),
		on(e, &sqswire.ReceiveMessage, audit.Data, api.Write, "sqs:ReceiveMessage", func(in *sqswire.ReceiveMessageInput) *string { return in.QueueUrl }, e.receiveMessage),
		on(e, &sqswire.DeleteMessage, audit.Data, api.Write, "sqs:DeleteMessage", func(in *sqswire.DeleteMessageInput) *string { return in.QueueUrl },
			func(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.DeleteMessageInput) (*sqswire.DeleteMessageOutput, error) {
				return &sqswire.DeleteMessageOutput{}, e.queues.Remove(ctx, g, q, member.Text(in.ReceiptHandle))
			}),
		on(e, &sqswire.DeleteMessageBatch, audit.Data, api.Write, "sqs:DeleteMessage", func(in *sqswire.DeleteMessageBatchInput) *string { return in.QueueUrl }, e.deleteMessageBatch),
		on(e, &sqswire.ChangeMessageVisibility, audit.Data, api.Write, "sqs:ChangeMessageVisibility", func(in *sqswire.ChangeMessageVisibilityInput) *string { return in.QueueUrl },
			func(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.ChangeMessageVisibilityInput) (*sqswire.ChangeMessageVisibilityOutput, error) {
				return &sqswire.ChangeMessageVisibilityOutput{}, e.queues.SetVisibility(ctx, g, q, member.Text(in.ReceiptHandle), int32(member.Number(in.VisibilityTimeout)))
			}),
		on(e, &sqswire.ChangeMessageVisibilityBatch, audit.Data, api.Write, "sqs:ChangeMessageVisibility", func(in *sqswire.ChangeMessageVisibilityBatchInput) *string { return in.QueueUrl }, e.changeVisibilityBatch),
	}
}

// sending makes a message of the members that SendMessage and its batch have in common.
func sending(body *string, delay *int32, attributes map[string]sqswire.MessageAttributeValue, system map[string]sqswire.MessageSystemAttributeValue, group, deduplication *string) (*sqs.Sending, error) {
	if deduplication != nil {
		return nil, fault.New(sqs.InvalidParameter, "The request include parameter MessageDeduplicationId which is not valid for this queue type")
	}
	if group != nil {
		return nil, fault.New(sqs.Unsupported, "MessageGroupId: fair queues are not supported.")
	}
	x := &sqs.Sending{Message: sqs.Message{Body: member.Text(body)}, Delay: delay}
	for name, v := range attributes {
		if len(v.StringListValues) > 0 || len(v.BinaryListValues) > 0 {
			return nil, fault.New(sqs.Unsupported, "Message attribute list values in SendMessage operation are not supported.")
		}
		if x.Message.Attributes == nil {
			x.Message.Attributes = map[string]sqs.Attribute{}
		}
		x.Message.Attributes[name] = sqs.Attribute{Type: member.Text(v.DataType), String: member.Text(v.StringValue), Binary: v.BinaryValue}
	}
	for name, v := range system {
		if name != "AWSTraceHeader" || member.Text(v.DataType) != "String" {
			return nil, fault.New(sqs.InvalidParameter, "Message system attribute name '"+name+"' is invalid.")
		}
		x.Message.Trace = member.Text(v.StringValue)
	}
	return x, nil
}

// traceMD5 is the digest of the system attributes.
func traceMD5(m *sqs.Message) *string {
	if m.Trace == "" {
		return nil
	}
	return new(sqs.AttributesMD5(map[string]sqs.Attribute{"AWSTraceHeader": {Type: "String", String: m.Trace}}))
}

func (e edge) sendMessage(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.SendMessageInput) (*sqswire.SendMessageOutput, error) {
	x, err := sending(in.MessageBody, in.DelaySeconds, in.MessageAttributes, in.MessageSystemAttributes, in.MessageGroupId, in.MessageDeduplicationId)
	if err != nil {
		return nil, err
	}
	if err := e.queues.Send(ctx, g, q, x); err != nil {
		return nil, err
	}
	m := &x.Message
	return &sqswire.SendMessageOutput{
		MessageId: &m.ID, MD5OfMessageBody: new(m.BodyMD5()), MD5OfMessageAttributes: member.Given(sqs.AttributesMD5(m.Attributes)),
		MD5OfMessageSystemAttributes: traceMD5(m),
	}, nil
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkEntries holds the ids of a batch to AWS's rules.
func checkEntries[T any](entries []T, id func(*T) *string) error {
	switch {
	case len(entries) == 0:
		return fault.New(sqs.EmptyBatch, "There should be at least one entry in the request.")
	case len(entries) > 10:
		return fault.New(sqs.TooManyEntries, "Maximum number of entries per request are 10. You have sent "+strconv.Itoa(len(entries))+".")
	}
	seen := map[string]bool{}
	for i := range entries {
		name := member.Text(id(&entries[i]))
		if !entryID.MatchString(name) {
			return fault.New(sqs.BadEntryID, "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[name] {
			return fault.New(sqs.EntriesNotDistinct, "Id "+name+" repeated.")
		}
		seen[name] = true
	}
	return nil
}

// failed tells why an entry of a batch failed; ok is false for what is not the sender's fault.
func failed(id *string, err error) (entry sqswire.BatchResultErrorEntry, ok bool) {
	var f *fault.Error
	if !errors.As(err, &f) {
		return entry, false
	}
	a, ok := answers[f.Kind]
	yes := true
	return sqswire.BatchResultErrorEntry{Id: id, SenderFault: &yes, Code: new(a.Code), Message: &f.Message}, ok
}

// each does one thing for every entry of a batch; errors that are the sender's are told by entry.
func each[T any](entries []T, id func(*T) *string, do func(*T) error) (done []*string, errs []sqswire.BatchResultErrorEntry, err error) {
	if err := checkEntries(entries, id); err != nil {
		return nil, nil, err
	}
	for i := range entries {
		name := id(&entries[i])
		if err := do(&entries[i]); err != nil {
			entry, ok := failed(name, err)
			if !ok {
				return nil, nil, err
			}
			errs = append(errs, entry)
			continue
		}
		done = append(done, name)
	}
	return done, errs, nil
}

const maxBatchBytes = 256 << 10

func (e edge) sendMessageBatch(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.SendMessageBatchInput) (*sqswire.SendMessageBatchOutput, error) {
	size := 0
	for i := range in.Entries {
		size += len(member.Text(in.Entries[i].MessageBody))
	}
	if size > maxBatchBytes {
		return nil, fault.New(sqs.BatchTooLong, "Batch requests cannot be longer than 262144 bytes. You have sent "+strconv.Itoa(size)+" bytes.")
	}
	out := &sqswire.SendMessageBatchOutput{}
	_, errs, err := each(in.Entries, func(x *sqswire.SendMessageBatchRequestEntry) *string { return x.Id }, func(x *sqswire.SendMessageBatchRequestEntry) error {
		s, err := sending(x.MessageBody, x.DelaySeconds, x.MessageAttributes, x.MessageSystemAttributes, x.MessageGroupId, x.MessageDeduplicationId)
		if err != nil {
			return err
		}
		if err := e.queues.Send(ctx, g, q, s); err != nil {
			return err
		}
		m := &s.Message
		out.Successful = append(out.Successful, sqswire.SendMessageBatchResultEntry{
			Id: x.Id, MessageId: &m.ID, MD5OfMessageBody: new(m.BodyMD5()), MD5OfMessageAttributes: member.Given(sqs.AttributesMD5(m.Attributes)),
			MD5OfMessageSystemAttributes: traceMD5(m),
		})
		return nil
	})
	out.Failed = errs
	return out, err
}

func (e edge) deleteMessageBatch(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.DeleteMessageBatchInput) (*sqswire.DeleteMessageBatchOutput, error) {
	done, errs, err := each(in.Entries, func(x *sqswire.DeleteMessageBatchRequestEntry) *string { return x.Id },
		func(x *sqswire.DeleteMessageBatchRequestEntry) error {
			return e.queues.Remove(ctx, g, q, member.Text(x.ReceiptHandle))
		})
	out := &sqswire.DeleteMessageBatchOutput{Failed: errs}
	for _, id := range done {
		out.Successful = append(out.Successful, sqswire.DeleteMessageBatchResultEntry{Id: id})
	}
	return out, err
}

func (e edge) changeVisibilityBatch(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.ChangeMessageVisibilityBatchInput) (*sqswire.ChangeMessageVisibilityBatchOutput, error) {
	done, errs, err := each(in.Entries, func(x *sqswire.ChangeMessageVisibilityBatchRequestEntry) *string { return x.Id },
		func(x *sqswire.ChangeMessageVisibilityBatchRequestEntry) error {
			return e.queues.SetVisibility(ctx, g, q, member.Text(x.ReceiptHandle), int32(member.Number(x.VisibilityTimeout)))
		})
	out := &sqswire.ChangeMessageVisibilityBatchOutput{Failed: errs}
	for _, id := range done {
		out.Successful = append(out.Successful, sqswire.ChangeMessageVisibilityBatchResultEntry{Id: id})
	}
	return out, err
}

func (e edge) receiveMessage(ctx context.Context, g authz.Grant, q *sqs.Queue, in *sqswire.ReceiveMessageInput) (*sqswire.ReceiveMessageOutput, error) {
	most := 1
	if in.MaxNumberOfMessages != nil {
		most = int(*in.MaxNumberOfMessages)
	}
	got, err := e.queues.Receive(ctx, g, q, sqs.Receiving{Max: most, Visibility: in.VisibilityTimeout, Wait: in.WaitTimeSeconds})
	if err != nil {
		return nil, err
	}
	var system []string
	for _, n := range in.AttributeNames {
		system = append(system, string(n))
	}
	for _, n := range in.MessageSystemAttributeNames {
		system = append(system, string(n))
	}
	out := &sqswire.ReceiveMessageOutput{}
	for _, m := range got {
		out.Messages = append(out.Messages, shown(m, system, in.MessageAttributeNames))
	}
	return out, nil
}

func shown(m *sqs.Message, system, names []string) sqswire.Message {
	out := sqswire.Message{MessageId: &m.ID, ReceiptHandle: &m.Receipt, MD5OfBody: new(m.BodyMD5()), Body: &m.Body}
	wanted := map[string]sqs.Attribute{}
	for name, a := range m.Attributes {
		if !asked(names, name) {
			continue
		}
		wanted[name] = a
		if out.MessageAttributes == nil {
			out.MessageAttributes = map[string]sqswire.MessageAttributeValue{}
		}
		out.MessageAttributes[name] = sqswire.MessageAttributeValue{DataType: new(a.Type), StringValue: member.Given(a.String), BinaryValue: a.Binary}
	}
	out.MD5OfMessageAttributes = member.Given(sqs.AttributesMD5(wanted))
	for name, value := range map[string]string{
		"SenderId": m.Sender, "SentTimestamp": strconv.FormatInt(m.Sent, 10), "ApproximateReceiveCount": strconv.FormatInt(m.Count, 10),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.First, 10), "AWSTraceHeader": m.Trace, "DeadLetterQueueSourceArn": m.Source,
	} {
		if value == "" || !slices.Contains(system, "All") && !slices.Contains(system, name) {
			continue
		}
		if out.Attributes == nil {
			out.Attributes = map[string]string{}
		}
		out.Attributes[name] = value
	}
	return out
}

// asked tells whether an attribute is among those that the receiver wants: by name, by prefix ("bar.*"), or
// all of them.
func asked(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		if n == "All" || n == ".*" || n == name {
			return true
		}
		prefix, ok := strings.CutSuffix(n, ".*")
		return ok && strings.HasPrefix(name, prefix)
	})
}
