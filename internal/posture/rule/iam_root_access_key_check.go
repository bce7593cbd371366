package rule

import "github.com/kura-s3/kura/internal/posture"

var iamRootAccessKeyCheck = &Rule{
	ID: "IAM_ROOT_ACCESS_KEY_CHECK", Name: "iam-root-access-key-check",
	Finds: "The account's root user has an access key.",
	Why:   "Such a key may do everything in the account and cannot be limited. Users and roles can.",
	Types: []string{posture.TypeAccount}, Periodic: true,
	Check: func(in *Input) (Result, error) {
		return when(len(in.Root.Keys) > 0, "The root user has an access key.")
	},
	Examples: []Example{
		{"none", accountOf(posture.Entity{}), Compliant, ""},
		{"one", accountOf(posture.Entity{Keys: []posture.AccessKey{{ID: "AKIAEXAMPLE", Active: true}}}), NonCompliant, ""},
	},
}
