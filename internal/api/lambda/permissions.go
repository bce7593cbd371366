package lambda

import (
	"encoding/json"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/lambdawire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/policy"
)

// permitted are the condition keys of a change of permissions: whom it is about.
type permitted struct {
	authz.Keys
	principal string
}

// Lookup implements authz.Keys.
func (k permitted) Lookup(key string) (policy.Values, bool) {
	if key == "lambda:principal" {
		return policy.Values{One: k.principal}, k.principal != ""
	}
	if k.Keys == nil {
		return policy.Values{}, false
	}
	return k.Keys.Lookup(key)
}

func (e edge) permissionOps() []*api.Op {
	return []*api.Op{
		on(e, &lambdawire.AddPermission, api.Permissions, func(in *lambdawire.AddPermissionInput) (*string, *string) { return in.FunctionName, in.Qualifier }, e.addPermission,
			func(_ *api.Call, d *authz.Demand, in *lambdawire.AddPermissionInput) {
				d.Keys = permitted{d.Keys, member.Text(in.Principal)}
				p := permissionOf(in)
				if principal, conditions, err := p.Allows(); err == nil { // else it is refused for what it says
					e.Exposes.GuardAdded(d, policy.Resource, exposure.Statement{Principal: principal, Actions: []string{p.Action}, Condition: conditions})
				}
			}),
		on(e, &lambdawire.RemovePermission, api.Permissions, func(in *lambdawire.RemovePermissionInput) (*string, *string) { return in.FunctionName, in.Qualifier },
			func(c call, in *lambdawire.RemovePermissionInput) (*lambdawire.RemovePermissionOutput, error) {
				return &lambdawire.RemovePermissionOutput{}, e.functions.RemovePermission(c, c.grant, c.ref, member.Text(in.StatementId), in.RevisionId)
			}),
		on(e, &lambdawire.GetPolicy, api.Read, func(in *lambdawire.GetPolicyInput) (*string, *string) { return in.FunctionName, in.Qualifier },
			func(c call, _ *lambdawire.GetPolicyInput) (*lambdawire.GetPolicyOutput, error) {
				p, err := e.functions.PolicyOf(c.grant, c.ref)
				if err != nil {
					return nil, err
				}
				return &lambdawire.GetPolicyOutput{Policy: new(p.Text()), RevisionId: &p.Revision}, nil
			}),
	}
}

func permissionOf(in *lambdawire.AddPermissionInput) function.Permission {
	return function.Permission{
		ID: member.Text(in.StatementId), Action: member.Text(in.Action), Principal: member.Text(in.Principal), SourceARN: member.Text(in.SourceArn),
		SourceAccount: member.Text(in.SourceAccount), EventToken: member.Text(in.EventSourceToken), OrgID: member.Text(in.PrincipalOrgID), Revision: in.RevisionId,
	}
}

func (e edge) addPermission(c call, in *lambdawire.AddPermissionInput) (*lambdawire.AddPermissionOutput, error) {
	if in.InvokedViaFunctionUrl != nil || in.FunctionUrlAuthType != "" {
		return nil, invalid("Function URLs are not supported.")
	}
	st, err := e.functions.AddPermission(c, c.grant, c.ref, permissionOf(in))
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(st)
	return &lambdawire.AddPermissionOutput{Statement: new(string(raw))}, err
}
