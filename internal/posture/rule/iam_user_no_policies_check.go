package rule

import "github.com/kura-s3/kura/internal/posture"

var iamUserNoPoliciesCheck = &Rule{
	ID: "IAM_USER_NO_POLICIES_CHECK", Name: "iam-user-no-policies-check",
	Finds: "The IAM user has policies of its own, inline or attached.",
	Why:   "Permissions of groups and roles are seen at a glance; those of single users pile up.",
	Types: []string{posture.TypeUser}, OnChange: true,
	Check: func(in *Input) (Result, error) {
		e := in.Resource.Entity
		return when(len(e.Inline)+len(e.Attached) > 0, "The IAM user has policies inline or attached directly.")
	},
	Examples: []Example{
		{"none", entityOf(`{"Kind":"user"}`), Compliant, ""},
		{"attached", entityOf(`{"Kind":"user","Attached":[{"Name":"p","ARN":"arn:aws:iam::aws:policy/p"}]}`), NonCompliant, ""},
	},
}
