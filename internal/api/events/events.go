// Package events is the edge of Amazon EventBridge: buses, rules, targets, connections, API
// destinations, archives, replays and PutEvents, over the JSON protocol.
//
// It promises that every operation demands the action of its name on the resources that it names, a
// bus with its policy; that a role is given to a rule or target only by who may pass it; and that a rule
// without a role sends only where who made it may send.
package events

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

// Config of the service.
type Config struct {
	// Events has the buses and rules. Required.
	Events *event.Store
	// Exposes tells what a change of a bus's policy exposes. Nil: nothing is watched over.
	Exposes exposure.Judge
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	events  *event.Store
	exposes exposure.Judge
}

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Events, c.Exposes}
	return rpc.New(rpc.Config{
		Name: "events", Protocol: wire.JSON11, Model: eventswire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.buses(), e.rules(), e.targets(), e.putting(), e.connections(), e.destinations(), e.archives(), e.replays()),
	})
}

// answers tell the failures of package event in the codes of EventBridge, all with status 400.
var answers = map[fault.Kind]rpc.Answer{
	event.NotFound:       {Code: "ResourceNotFoundException", Status: 400},
	event.AlreadyExists:  {Code: "ResourceAlreadyExistsException", Status: 400},
	event.Invalid:        {Code: "ValidationException", Status: 400},
	event.LimitExceeded:  {Code: "LimitExceededException", Status: 400},
	event.IllegalStatus:  {Code: "IllegalStatusException", Status: 400},
	event.PolicyTooLong:  {Code: "PolicyLengthExceededException", Status: 400},
	event.ConcurrentEdit: {Code: "ConcurrentModificationException", Status: 400},
	pattern.Invalid:      {Code: "InvalidEventPatternException", Status: 400},
}

// demands are what an operation asks of its caller's account and input.
type demands[In any] func(account string, in *In) ([]authz.Demand, error)

// answer declares an operation.
func answer[In, Out any](w *wire.Operation, access api.Access, of demands[In], do func(ctx context.Context, g authz.Grant, account string, in *In) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			return of(c.Caller.Subject.Principal.Account, in)
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			return do(ctx, g, c.Caller.Subject.Principal.Account, in)
		},
	})
}

// on is one demand on an ARN.
func on(action, account, arn string, keys authz.Keys) []authz.Demand {
	return []authz.Demand{{Action: "events:" + action, Resource: authz.Resource{ARN: arn, Account: account}, Keys: keys}}
}

// everywhere demands an action that knows no resource.
func everywhere[In any](action string) demands[In] {
	return func(account string, _ *In) ([]authz.Demand, error) { return on(action, account, "*", nil), nil }
}

// passing adds the demand that a role given to EventBridge makes.
func passing(demands []authz.Demand, account string, role *string) ([]authz.Demand, error) {
	if member.Text(role) == "" {
		return demands, nil
	}
	parts := strings.SplitN(*role, ":", 6)
	if len(parts) != 6 || parts[2] != "iam" || !strings.HasPrefix(parts[5], "role/") {
		return nil, fault.New(event.Invalid, "Parameter RoleArn is not valid.")
	}
	if parts[4] != account {
		return nil, fault.New(event.Invalid, "Cross-account pass role is not allowed.")
	}
	return append(demands, authz.Demand{
		Action: "iam:PassRole", Resource: authz.Resource{ARN: *role, Account: account},
		Keys: keys{"iam:passedtoservice": {One: "events.amazonaws.com"}},
	}), nil
}

// keys are condition keys by lower-case name.
type keys map[string]policy.Values

// Lookup implements authz.Keys.
func (k keys) Lookup(key string) (policy.Values, bool) {
	v, ok := k[key]
	return v, ok
}

// many is a key with several values, left out when there is none.
func (k keys) many(name string, values []string) keys {
	if len(values) > 0 {
		k[name] = policy.Values{Many: values, Multi: true}
	}
	return k
}

// brought are the condition keys of the tags in a request.
func brought(tags []eventswire.Tag) authz.RequestTags {
	return member.Tags(tags, func(t eventswire.Tag) (key, value *string) { return t.Key, t.Value })
}

// bearing adds the keys of the tags that a bus or rule has.
func (e edge) bearing(k authz.Keys, arn string) authz.Keys {
	list, err := e.events.Tags(arn)
	if err != nil {
		return k
	}
	tags := make(authz.ResourceTags, len(list))
	for _, t := range list {
		tags[t.Key] = t.Value
	}
	return authz.Either{k, tags}
}

// page is the page that a list operation asks for.
func page(prefix, token *string, limit *int32) event.Page {
	p := event.Page{Prefix: member.Text(prefix), Token: member.Text(token)}
	if limit != nil {
		p.Limit = int(*limit)
	}
	return p
}

func tagsOf(tags []eventswire.Tag) []event.Tag {
	return member.Every(tags, func(t eventswire.Tag) event.Tag {
		return event.Tag{Key: member.Text(t.Key), Value: member.Text(t.Value)}
	})
}
