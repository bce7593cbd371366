package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// method is what an operation does with the entity that it was allowed to touch. on.Account is the
// caller's account, on.Name is empty where the operation has no resource or means the root user.
type method[In, Out any] func(ctx context.Context, g authz.Grant, on identity.Ref, in *In) (*Out, error)

// further are demands beside the one that every operation makes.
type further[In any] func(e edge, on target, in *In) []authz.Demand

// answer declares an operation: it demands the action of its name on what find finds.
func answer[In, Out any](e edge, w *wire.Operation, access api.Access, find finder, do method[In, Out], more ...further[In]) *api.Op {
	action := "iam:" + w.Name
	sources, tagging := sourcesOf(action), taggings[action]
	tagSources := sourcesOf(tagging)
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			on, err := find(e, caller(c), inputOf(in))
			if err != nil {
				return nil, err
			}
			k := &keys{edge: e, on: on, in: inputOf(in), sources: sources}
			var all authz.Keys = k
			if document := trustPolicies[action]; document != "" {
				all = e.exposes.Keys(k, func() exposure.Change { return e.trustChange(on, k.in.text(document)) })
			}
			demands := c.Need(action, on.resource(), all)
			if tagging != "" && len(k.requestedTags()) > 0 {
				demands = append(demands, authz.Demand{Action: tagging, Resource: on.resource(), Keys: &keys{edge: e, on: on, in: k.in, sources: tagSources}})
			}
			for _, m := range more {
				for _, d := range m(e, on, in) {
					if d.Keys == nil {
						d.Keys = k
					}
					demands = append(demands, d)
				}
			}
			return demands, nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *In) (*Out, error) {
			on, err := find(e, caller(c), inputOf(in))
			if err != nil {
				return nil, err
			}
			// Some methods are answered here, without the domain; this is their check.
			if err := g.Require(action, on.arn); err != nil {
				return nil, err
			}
			return do(ctx, g, on.Ref, in)
		},
	})
}

// taggings are the actions that AWS demands for the tags of what an action makes.
var taggings = map[string]string{
	"iam:CreateUser": "iam:TagUser", "iam:CreateRole": "iam:TagRole", "iam:CreatePolicy": "iam:TagPolicy", "iam:CreateInstanceProfile": "iam:TagInstanceProfile",
	"iam:CreateOpenIDConnectProvider": "iam:TagOpenIDConnectProvider", "iam:CreateVirtualMFADevice": "iam:TagMFADevice",
}

// trustPolicies are the members that have a role's new trust policy.
var trustPolicies = map[string]string{"iam:CreateRole": "AssumeRolePolicyDocument", "iam:UpdateAssumeRolePolicy": "PolicyDocument"}

// trustChange is what becomes of a role's trust policy.
func (e edge) trustChange(on target, after string) exposure.Change {
	change := exposure.Change{ARN: on.arn, Account: on.Account, Kind: policy.Trust, After: after}
	if id, ok := e.identities.UniqueID(on.arn); ok {
		if r, ok := e.identities.Entity(identity.KindRole, id); ok {
			change.Was = r.Pinned
			change.Before, _ = policy.ParseString(r.Pinned, policy.Trust) // of one that cannot be read all is new
		}
	}
	return change
}

// act is answer for operations whose output has no members.
func act[In any](e edge, w *wire.Operation, access api.Access, find finder, do func(context.Context, authz.Grant, identity.Ref, *In) error, more ...further[In]) *api.Op {
	return answer(e, w, access, find, func(ctx context.Context, g authz.Grant, on identity.Ref, in *In) (*done, error) {
		return &done{}, do(ctx, g, on, in)
	}, more...)
}

func caller(c *api.Call) policy.Principal { return c.Caller.Subject.Principal }

// demand is a further demand on an entity of the same account.
func (on target) demand(action, arn string) authz.Demand {
	return authz.Demand{Action: action, Resource: authz.Resource{ARN: arn, Account: on.Account}}
}
