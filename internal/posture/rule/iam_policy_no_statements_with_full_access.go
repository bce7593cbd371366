package rule

import (
	"strings"

	"github.com/kura-s3/kura/internal/posture"
)

var iamPolicyNoStatementsWithFullAccess = &Rule{
	ID: "IAM_POLICY_NO_STATEMENTS_WITH_FULL_ACCESS", Name: "iam-policy-no-statements-with-full-access",
	Finds: "The customer managed policy has a statement that allows all actions of a service.",
	Why:   "All actions include those that change permissions: who may use a service may then take it over.",
	Types: []string{posture.TypePolicy}, OnChange: true,
	Parameters: []Parameter{{Name: "excludePermissionBoundaryPolicy", Check: boolean}},
	Check: func(in *Input) (Result, error) {
		if boundaryLeftOut(in) {
			return Result{Compliance: NotApplicable}, nil
		}
		for _, s := range allows(in.Resource.Entity.Document()) {
			for _, action := range posture.Texts(s.Action) {
				if action == "*" || strings.HasSuffix(action, ":*") {
					return nonCompliant("The policy allows %s.", action), nil
				}
			}
		}
		return compliant(), nil
	},
	Examples: []Example{
		{"a whole service", policyOf(`[{"Effect":"Allow","Action":["s3:GetObject","kms:*"],"Resource":"*"}]`), NonCompliant, "The policy allows kms:*."},
		{"reading", policyOf(`[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]`), Compliant, ""},
		{"a boundary", policyOf(`[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]`).bounding().with("excludePermissionBoundaryPolicy", "TRUE"), NotApplicable, ""},
	},
}
