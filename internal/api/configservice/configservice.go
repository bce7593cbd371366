// Package configservice is the edge of AWS Config: recorders, delivery channels, configuration history,
// rules and what they found, conformance packs, over the JSON protocol.
//
// It promises that every operation demands the action of its name on the rule, pack or recorder that it
// names. What a rule means and when it judges is the affair of package recorder.
package configservice

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/configwire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/recorder"
)

// Config of the service.
type Config struct {
	// Recorder is AWS Config. Required.
	Recorder *recorder.Store
	// PassRole gives the demand iam:PassRole on a role, with the service that gets it. Required.
	PassRole func(role, service string) authz.Demand
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	recorder *recorder.Store
	passRole func(role, service string) authz.Demand
}

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Recorder, c.PassRole}
	return rpc.New(rpc.Config{
		Name: "config", Protocol: wire.JSON11, Model: configwire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.setup(), e.rules(), e.compliance(), e.history(), e.packs(), e.tags()),
	})
}

// answers are all of package recorder, each by AWS's name of it.
var answers = func() map[fault.Kind]rpc.Answer {
	table := map[fault.Kind]rpc.Answer{rpc.Invalid: {Code: "ValidationException", Status: 400}}
	for _, kind := range []fault.Kind{
		recorder.NoSuchRecorder, recorder.NoRecorder, recorder.MaxRecorders, recorder.InvalidRecorderName, recorder.InvalidGroup,
		recorder.InvalidRole, recorder.NoSuchChannel, recorder.NoChannel, recorder.MaxChannels, recorder.LastChannel,
		recorder.InvalidChannelName, recorder.InvalidPrefix, recorder.InvalidTopic, recorder.NoSuchBucket, recorder.InsufficientDelivery, recorder.InsufficientPermissions,
		recorder.NotRunning, recorder.NoSuchRule, recorder.MaxRules, recorder.InvalidParameter, recorder.ResourceInUse,
		recorder.LimitExceeded, recorder.NotDiscovered, recorder.InvalidTimeRange, recorder.InvalidToken, recorder.NoSuchPack,
		recorder.InvalidTemplate, recorder.MaxPacks, recorder.NoSuchRuleInPack, recorder.ResourceNotFound, recorder.TooManyTags,
		recorder.ValidationError,
	} {
		table[kind] = rpc.Answer{Code: strings.TrimPrefix(string(kind), "config."), Status: 400}
	}
	return table
}()

// call is one request to the service.
type call struct {
	context.Context
	grant   authz.Grant
	account string
}

// answer declares an operation: it demands the action of its name on what about names; nil: on "*".
func answer[In, Out any](e edge, w *wire.Operation, access api.Access, about func(account string, in *In) []string, tags func(*In) authz.Keys, do func(call, *In) (*Out, error)) *api.Op {
	action := "config:" + w.Name
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			account := c.Caller.Subject.Principal.Account
			arns := []string{"*"}
			if about != nil {
				if named := about(account, in); len(named) > 0 {
					arns = named
				}
			}
			var brought authz.Keys
			if tags != nil {
				brought = tags(in)
			}
			var demands []authz.Demand
			for _, arn := range arns {
				keys := authz.Either{e.recorder.ResourceTags(account, arn), brought}
				demands = c.Need(action, authz.Resource{ARN: arn, Account: account}, keys)
			}
			return demands, nil
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *In) (*Out, error) {
			return do(call{ctx, g, g.Principal().Account}, in)
		},
	})
}

func tagsOf(tags []configwire.Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	return member.Tags(tags, func(t configwire.Tag) (key, value *string) { return t.Key, t.Value })
}

// page cuts the part out of a list that a request asks for: from the token's place on, at most limit.
func page[T any](all []T, token *string, limit *int32, usual, most int) ([]T, *string, error) {
	size := usual
	if n := member.Number(limit); n != 0 {
		if size = n; n < 0 || n > most {
			return nil, nil, fault.New(recorder.ValidationError, "The limit must be from 0 to "+strconv.Itoa(most)+".")
		}
	}
	part, next, ok := rpc.Page(all, token, size)
	if !ok {
		return nil, nil, fault.New(recorder.InvalidToken, "The specified next token is not valid.")
	}
	return part, next, nil
}
