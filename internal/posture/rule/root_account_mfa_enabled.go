package rule

import "github.com/kura-s3/kura/internal/posture"

var rootAccountMFAEnabled = &Rule{
	ID: "ROOT_ACCOUNT_MFA_ENABLED", Name: "root-account-mfa-enabled",
	Finds: "The account's root user has credentials and no MFA device.",
	Why:   "No policy of the account binds the root user. A root user without any access key cannot be signed in as at Kura, and is compliant.",
	Types: []string{posture.TypeAccount}, Periodic: true,
	Check: func(in *Input) (Result, error) {
		return when(len(in.Root.Keys) > 0 && len(in.Root.MFA) == 0, "The root user has an access key and no MFA device.")
	},
	Examples: []Example{
		{"no credentials", accountOf(posture.Entity{}), Compliant, ""},
		{"a key alone", accountOf(posture.Entity{Keys: []posture.AccessKey{{ID: "AKIAEXAMPLE"}}}), NonCompliant, ""},
		{"a key and a device", accountOf(posture.Entity{Keys: []posture.AccessKey{{ID: "AKIAEXAMPLE"}}, MFA: []string{"arn:aws:iam::111122223333:mfa/root"}}), Compliant, ""},
	},
}
