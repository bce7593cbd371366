package rule

import "github.com/kura-s3/kura/internal/posture"

var iamUserMFAEnabled = &Rule{
	ID: "IAM_USER_MFA_ENABLED", Name: "iam-user-mfa-enabled",
	Finds: "The IAM user has no MFA device.",
	Why:   "With a second factor, a password or key that leaked is not enough.",
	Types: []string{posture.TypeUser}, Periodic: true,
	Check: func(in *Input) (Result, error) {
		return when(len(in.Resource.Entity.MFA) == 0, "The IAM user has no MFA device.")
	},
	Examples: []Example{
		{"none", entityOf(`{"Kind":"user","Name":"eve"}`), NonCompliant, ""},
		{"one", entityOf(`{"Kind":"user","Name":"eve","MFA":["arn:aws:iam::111122223333:mfa/eve"]}`), Compliant, ""},
	},
}
