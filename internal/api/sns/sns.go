// Package sns is the edge of the Simple Notification Service, over the query protocol.
//
// It promises that every operation demands the action of its name, on the topic with the topic's policy where
// there is one; that a topic of another account is told from one that does not exist only to callers whom the
// topic's policy lets in; and that the two calls that take no signature do so only for who holds the token of
// a subscription, or the link that its messages carry.
package sns

import (
	"context"
	"encoding/base64"
	"log/slog"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/snswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/sns"
	"github.com/kura-s3/kura/policy"
)

// Keys are the KMS keys of this server.
type Keys interface {
	Find(ref, account, region string) (*kms.Key, error)
	ServiceKey(ctx context.Context, account, service string) (*kms.Key, error)
	DemandUse(u kms.Use) authz.Demand
	GenerateDataKey(ctx context.Context, g authz.Grant, k *kms.Key, context map[string]string, n int) (plain, wrapped []byte, err error)
}

// Config of the service.
type Config struct {
	// Topics has the topics. Required.
	Topics *sns.Store
	// Keys has the KMS keys that topics name. Required.
	Keys Keys
	// Endpoint says what is wrong with the endpoint of a protocol, and whose it is: "" for one that has to
	// confirm. Required.
	Endpoint func(protocol, endpoint string) (account string, err error)
	// Region of this server. Required.
	Region string
	// Exposes tells what a change of a topic's policy lets strangers do. Default: nothing is watched over.
	Exposes exposure.Judge
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	topics   *sns.Store
	keys     Keys
	endpoint func(protocol, endpoint string) (account string, err error)
	region   string
	exposes  exposure.Judge
}

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Topics, c.Keys, c.Endpoint, c.Region, c.Exposes}
	return rpc.New(rpc.Config{
		Name: "sns", Protocol: wire.Query, Model: snswire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.topicOps(), e.subscriptionOps(), e.publishOps()),
	})
}

// Failures of this package: what a topic's KMS key does not allow.
const (
	keyDenied   fault.Kind = "sns.KeyDenied"
	keyDisabled fault.Kind = "sns.KeyDisabled"
	keyState    fault.Kind = "sns.KeyState"
	keyNotFound fault.Kind = "sns.KeyNotFound"
)

// answers tell failures in AWS's codes (SNS API Reference).
var answers = map[fault.Kind]rpc.Answer{
	authz.Denied:           {Code: "AuthorizationError", Status: 403, Message: "Access Denied"},
	sns.NotFound:           {Code: "NotFound", Status: 404},
	sns.InvalidParameter:   {Code: "InvalidParameter", Status: 400},
	rpc.Invalid:            {Code: "InvalidParameter", Status: 400},
	sns.InvalidValue:       {Code: "ParameterValueInvalid", Status: 400},
	sns.Unauthorized:       {Code: "AuthorizationError", Status: 403},
	sns.TopicLimit:         {Code: "TopicLimitExceeded", Status: 403},
	sns.SubscriptionLimit:  {Code: "SubscriptionLimitExceeded", Status: 403},
	sns.FilterLimit:        {Code: "FilterPolicyLimitExceeded", Status: 403},
	sns.TagLimit:           {Code: "TagLimitExceeded", Status: 400},
	sns.NoResource:         {Code: "ResourceNotFound", Status: 404},
	sns.EmptyBatch:         {Code: "EmptyBatchRequest", Status: 400},
	sns.TooManyEntries:     {Code: "TooManyEntriesInBatchRequest", Status: 400},
	sns.EntriesNotDistinct: {Code: "BatchEntryIdsNotDistinct", Status: 400},
	sns.BadEntryID:         {Code: "InvalidBatchEntryId", Status: 400},
	sns.BatchTooLong:       {Code: "BatchRequestTooLong", Status: 400},
	sns.Busy:               {Code: "ConcurrentAccess", Status: 400},
	keyDenied:              {Code: "KMSAccessDenied", Status: 400},
	keyDisabled:            {Code: "KMSDisabled", Status: 400},
	keyState:               {Code: "KMSInvalidState", Status: 400},
	keyNotFound:            {Code: "KMSNotFound", Status: 400},
}

func account(c *api.Call) string { return c.Caller.Subject.Principal.Account }

// demand is an action on the topic with that ARN. A topic of another account that does not exist is refused
// as one whose policy lets nobody in.
func (e edge) demand(c *api.Call, arn, action string, more authz.Keys) ([]authz.Demand, error) {
	owner, name, err := e.topics.Address(arn)
	if err != nil {
		return nil, err
	}
	t, err := e.topics.Topic(arn)
	var d authz.Demand
	switch {
	case err == nil:
		d = e.topics.Demand(t, action, more)
	case owner == account(c):
		return nil, err
	default:
		d = e.topics.NewDemand(owner, name, action, more)
	}
	// What a topic's policy cannot give away to other accounts is refused whatever it says.
	d.Resource.Restricted = ownerOnly[action] && owner != account(c)
	return c.Need(d.Action, d.Resource, d.Keys), nil
}

// ownerOnly are the actions on topics that a policy of theirs cannot give.
var ownerOnly = map[string]bool{"sns:TagResource": true, "sns:UntagResource": true, "sns:ListTagsForResource": true}

// nowhere is an action that has no resource.
func nowhere(action string) func(c *api.Call) []authz.Demand {
	return func(c *api.Call) []authz.Demand {
		return c.Need(action, authz.Resource{ARN: "*", Account: account(c)}, nil)
	}
}

// on declares an operation on the topic that the input names.
func on[In, Out any](e edge, w *wire.Operation, class audit.Class, access api.Access, of func(*In) *string, do func(context.Context, authz.Grant, *sns.Topic, *In) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: class, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			demands, err := e.demand(c, member.Text(of(in)), "sns:"+w.Name, nil)
			if err == nil {
				e.guard(&demands[len(demands)-1], in)
			}
			return demands, err
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *In) (*Out, error) {
			t, err := e.topics.Topic(member.Text(of(in)))
			if err != nil {
				return nil, err
			}
			return do(ctx, g, t, in)
		},
	})
}

// after reads the place of a page.
func after(token *string) (string, error) {
	at, err := base64.RawURLEncoding.DecodeString(member.Text(token))
	if err != nil {
		return "", fault.New(sns.InvalidParameter, "Invalid parameter: NextToken Reason: Token did not decode")
	}
	return string(at), nil
}

// next is the token of the page after the one whose last item is last.
func next(more bool, last string) *string {
	if !more {
		return nil
	}
	return new(base64.RawURLEncoding.EncodeToString([]byte(last)))
}

// tagsOf reads a list of tags.
func tagsOf(list []snswire.Tag) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	for i := range list {
		name := member.Text(list[i].Key)
		if _, twice := tags[name]; twice {
			return nil, fault.New(sns.InvalidParameter, "Invalid parameter: Duplicated keys are not allowed.")
		}
		tags[name] = member.Text(list[i].Value)
	}
	return tags, sns.CheckTags(tags)
}

// holder is what whoever holds the token or the link of a subscription may do without a signature.
var holder = func() *policy.Document {
	doc, err := policy.ParseString(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":["sns:ConfirmSubscription","sns:Unsubscribe"],"Resource":"*"}}`, policy.Resource)
	if err != nil {
		panic(err) // it stands above
	}
	return doc
}()
