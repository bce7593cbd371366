package rule

import (
	"time"

	"github.com/kura-s3/kura/internal/posture"
)

var iamUserUnusedCredentialsCheck = &Rule{
	ID: "IAM_USER_UNUSED_CREDENTIALS_CHECK", Name: "iam-user-unused-credentials-check",
	Finds: "The IAM user has a password or an active access key that nobody used for maxCredentialUsageAge days.",
	Why:   "What nobody uses nobody misses when it is stolen. It should go.",
	Types: []string{posture.TypeUser}, Periodic: true,
	Parameters: []Parameter{{Name: "maxCredentialUsageAge", Default: "90", Check: days}},
	Check: func(in *Input) (Result, error) {
		u, limit := in.Resource.Entity, in.age("maxCredentialUsageAge")
		for _, k := range u.Keys {
			if !k.Active {
				continue
			}
			idle, err := in.idle(k.ID, k.Created)
			if err != nil {
				return Result{}, err
			}
			if idle > limit {
				return nonCompliant("The access key %s was not used for %d days.", k.ID, inDays(idle)), nil
			}
		}
		if !u.Password {
			return compliant(), nil
		}
		idle, err := in.idle(u.ID, u.PasswordChanged)
		if err != nil {
			return Result{}, err
		}
		if idle > limit {
			return nonCompliant("The password was not used for %d days.", inDays(idle)), nil
		}
		return compliant(), nil
	},
	Examples: []Example{
		{"no credentials", entityOf(`{"Kind":"user"}`), Compliant, ""},
		{"used yesterday", entityOf(`{"Kind":"user","Keys":[{"ID":"AKIAEXAMPLE","Active":true,"Created":"2026-01-01T00:00:00Z"}]}`).used(exampleNow.AddDate(0, 0, -1)), Compliant, ""},
		{"unused", entityOf(`{"Kind":"user","Keys":[{"ID":"AKIAEXAMPLE","Active":true,"Created":"2026-01-01T00:00:00Z"}]}`), NonCompliant, ""},
		{"a password unused", entityOf(`{"Kind":"user","Password":true,"PasswordChanged":"2026-01-01T00:00:00Z"}`), NonCompliant, ""},
		{"new and not yet used", entityOf(`{"Kind":"user","Keys":[{"ID":"AKIAEXAMPLE","Active":true,"Created":"2026-11-21T00:00:00Z"}]}`), Compliant, ""},
	},
}

// idle is for how long a credential that was made at made has not been used.
func (in *Input) idle(id string, made time.Time) (time.Duration, error) {
	used, err := in.LastUse(id)
	if err != nil {
		return 0, err
	}
	if used.Before(made) {
		used = made
	}
	return in.Now.Sub(used), nil
}
