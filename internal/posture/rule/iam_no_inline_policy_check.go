package rule

import "github.com/kura-s3/kura/internal/posture"

var iamNoInlinePolicyCheck = &Rule{
	ID: "IAM_NO_INLINE_POLICY_CHECK", Name: "iam-no-inline-policy-check",
	Finds: "The user, group or role has an inline policy.",
	Why:   "Inline policies are copies that nobody finds and reviews. A managed policy is one text in one place.",
	Types: []string{posture.TypeUser, posture.TypeGroup, posture.TypeRole}, OnChange: true,
	Check: func(in *Input) (Result, error) {
		e := in.Resource.Entity
		if len(e.Inline) == 0 {
			return compliant(), nil
		}
		return nonCompliant("The %s has the inline policy %s.", e.Kind, e.Inline[0].Name), nil
	},
	Examples: []Example{
		{"none", entityOf(`{"Kind":"group","Name":"g"}`), Compliant, ""},
		{"one", entityOf(`{"Kind":"user","Name":"u","Inline":[{"Name":"p","Document":"{}"}]}`), NonCompliant, "The user has the inline policy p."},
	},
}
