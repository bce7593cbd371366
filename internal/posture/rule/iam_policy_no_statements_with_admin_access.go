package rule

import (
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/posture"
)

var iamPolicyNoStatementsWithAdminAccess = &Rule{
	ID: "IAM_POLICY_NO_STATEMENTS_WITH_ADMIN_ACCESS", Name: "iam-policy-no-statements-with-admin-access",
	Finds: "The customer managed policy has a statement that allows all actions on all resources.",
	Why:   "Whoever it is attached to is an administrator. Few need to be; most policies of that kind began as a shortcut.",
	Types: []string{posture.TypePolicy}, OnChange: true,
	Parameters: []Parameter{{Name: "excludePermissionBoundaryPolicy", Check: boolean}},
	Check: func(in *Input) (Result, error) {
		if boundaryLeftOut(in) {
			return Result{Compliance: NotApplicable}, nil
		}
		for i, s := range allows(in.Resource.Entity.Document()) {
			if slices.Contains(posture.Texts(s.Action), "*") && slices.Contains(posture.Texts(s.Resource), "*") {
				return nonCompliant("Statement %d of the policy allows * on *.", i+1), nil
			}
		}
		return compliant(), nil
	},
	Examples: []Example{
		{"administrator", policyOf(`[{"Effect":"Allow","Action":"*","Resource":"*"}]`), NonCompliant, ""},
		{"one service", policyOf(`[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]`), Compliant, ""},
		{"denied", policyOf(`[{"Effect":"Deny","Action":"*","Resource":"*"}]`), Compliant, ""},
		{"a boundary", policyOf(`[{"Effect":"Allow","Action":"*","Resource":"*"}]`).bounding().with("excludePermissionBoundaryPolicy", "true"), NotApplicable, ""},
		{"a boundary that counts", policyOf(`[{"Effect":"Allow","Action":"*","Resource":"*"}]`).bounding(), NonCompliant, ""},
		{"administrator, boundaries apart", policyOf(`[{"Effect":"Allow","Action":"*","Resource":"*"}]`).with("excludePermissionBoundaryPolicy", "true"), NonCompliant, ""},
	},
}

// boundaryLeftOut tells a permissions boundary where the rule is not about these: it gives nothing to anybody.
func boundaryLeftOut(in *Input) bool {
	return strings.EqualFold(in.Parameters["excludePermissionBoundaryPolicy"], "true") && in.Resource.Entity.Bounds
}

// bounding is the example as somebody's permissions boundary.
func (in Input) bounding() Input {
	entity, resource := *in.Resource.Entity, *in.Resource
	entity.Bounds = true
	resource.Entity, in.Resource = &entity, &resource
	return in
}

// policyOf is an example of a managed policy.
func policyOf(statements string) Input {
	in := entityOf(`{"Kind":"policy","Name":"p","Default":"v1","Versions":[{"ID":"v1"}]}`)
	in.Resource.Entity.Versions[0].Document = `{"Version":"2012-10-17","Statement":` + statements + `}`
	return in
}
