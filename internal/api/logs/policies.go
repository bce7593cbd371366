package logs

import (
	"context"
	"maps"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/logswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/logs"
	"github.com/kura-s3/kura/policy"
)

// onAll declares an operation that is about no group.
func onAll[In, Out any](w *wire.Operation, access api.Access, action string, do func(context.Context, authz.Grant, *api.Call, *In) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, _ *In) ([]authz.Demand, error) {
			return c.Need(action, authz.Resource{ARN: "*", Account: account(c)}, nil), nil
		},
		Do: do,
	})
}

// accountWide refuses what is only about policies of single resources, which Kura does not have.
func accountWide(arn, revision *string) error {
	if arn != nil || revision != nil {
		return refuse(logs.Unsupported, "Resource policies of single resources are not supported.")
	}
	return nil
}

func (e edge) policyOps() []*api.Op {
	return []*api.Op{
		changing(e, &logswire.PutResourcePolicy, func(in *logswire.PutResourcePolicyInput) (name, text *string) {
			return in.PolicyName, in.PolicyDocument
		}, e.putPolicy),
		changing(e, &logswire.DeleteResourcePolicy, func(in *logswire.DeleteResourcePolicyInput) (name, text *string) { return in.PolicyName, nil }, e.deletePolicy),
		onAll(&logswire.DescribeResourcePolicies, api.List, "logs:DescribeResourcePolicies", e.describePolicies),
		onAll(&logswire.TestMetricFilter, api.Read, "logs:TestMetricFilter", e.testFilter),
	}
}

// changing declares a change of the policy that of names: text takes its place, nil for nothing. The exposure guard
// watches over it: the policies are those of every group of the account, and the one that goes may be a Deny.
func changing[In, Out any](e edge, w *wire.Operation, of func(*In) (name, text *string), do func(context.Context, authz.Grant, *api.Call, *In) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: api.Permissions,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			name, text := of(in)
			keys := e.exposes.Keys(nil, func() exposure.Change {
				before, after, err := e.logs.Changed(account(c), member.Text(name), member.Text(text))
				if err != nil {
					after = exposure.Unreadable
				}
				return exposure.Change{Account: account(c), Kind: policy.Resource, Before: before, After: after}
			})
			return c.Need("logs:"+w.Name, authz.Resource{ARN: "*", Account: account(c)}, keys), nil
		},
		Do: do,
	})
}

func (e edge) putPolicy(ctx context.Context, g authz.Grant, c *api.Call, in *logswire.PutResourcePolicyInput) (*logswire.PutResourcePolicyOutput, error) {
	if err := accountWide(in.ResourceArn, in.ExpectedRevisionId); err != nil {
		return nil, err
	}
	p, err := e.logs.PutPolicy(ctx, g, account(c), member.Text(in.PolicyName), member.Text(in.PolicyDocument))
	if err != nil {
		return nil, err
	}
	return &logswire.PutResourcePolicyOutput{ResourcePolicy: new(shownPolicy(member.Text(in.PolicyName), p))}, nil
}

func (e edge) deletePolicy(ctx context.Context, g authz.Grant, c *api.Call, in *logswire.DeleteResourcePolicyInput) (*logswire.DeleteResourcePolicyOutput, error) {
	if err := accountWide(in.ResourceArn, in.ExpectedRevisionId); err != nil {
		return nil, err
	}
	return &logswire.DeleteResourcePolicyOutput{}, e.logs.DeletePolicy(ctx, g, account(c), member.Text(in.PolicyName))
}

func shownPolicy(name string, p logs.ResourcePolicy) logswire.ResourcePolicy {
	return logswire.ResourcePolicy{
		PolicyName: &name, PolicyDocument: &p.Written, LastUpdatedTime: new(p.Updated.UnixMilli()), PolicyScope: logswire.PolicyScopeAccount,
	}
}

func (e edge) describePolicies(_ context.Context, g authz.Grant, c *api.Call, in *logswire.DescribeResourcePoliciesInput) (*logswire.DescribeResourcePoliciesOutput, error) {
	out := &logswire.DescribeResourcePoliciesOutput{ResourcePolicies: []logswire.ResourcePolicy{}}
	if in.ResourceArn != nil || in.PolicyScope == logswire.PolicyScopeResource {
		return out, nil // there are none
	}
	after, err := afterToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	all, err := e.logs.Policies(g, account(c))
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name <= after {
			continue
		}
		if n := len(out.ResourcePolicies); n == pageSize(in.Limit) {
			out.NextToken = tokenAfter(*out.ResourcePolicies[n-1].PolicyName)
			break
		}
		out.ResourcePolicies = append(out.ResourcePolicies, shownPolicy(name, all[name]))
	}
	return out, nil
}
