package rule

import "github.com/kura-s3/kura/internal/posture"

var accessKeysRotated = &Rule{
	ID: "ACCESS_KEYS_ROTATED", Name: "access-keys-rotated",
	Finds: "An active access key of the IAM user is older than maxAccessKeyAge days.",
	Why:   "The longer a key lives, the more places have a copy of it.",
	Types: []string{posture.TypeUser}, Periodic: true,
	Parameters: []Parameter{{Name: "maxAccessKeyAge", Default: "90", Check: days}},
	Check: func(in *Input) (Result, error) {
		for _, k := range in.Resource.Entity.Keys {
			if age := in.Now.Sub(k.Created); k.Active && age > in.age("maxAccessKeyAge") {
				return nonCompliant("The access key %s is %d days old.", k.ID, inDays(age)), nil
			}
		}
		return compliant(), nil
	},
	Examples: []Example{
		{"no key", entityOf(`{"Kind":"user"}`), Compliant, ""},
		{"young", entityOf(`{"Kind":"user","Keys":[{"ID":"AKIAEXAMPLE","Active":true,"Created":"2026-11-01T00:00:00Z"}]}`), Compliant, ""},
		{"old", entityOf(`{"Kind":"user","Keys":[{"ID":"AKIAEXAMPLE","Active":true,"Created":"2026-01-01T00:00:00Z"}]}`), NonCompliant, "The access key AKIAEXAMPLE is 325 days old."},
		{"old and switched off", entityOf(`{"Kind":"user","Keys":[{"ID":"AKIAEXAMPLE","Created":"2026-01-01T00:00:00Z"}]}`), Compliant, ""},
		{"old by the parameter", entityOf(`{"Kind":"user","Keys":[{"ID":"AKIAEXAMPLE","Active":true,"Created":"2026-11-01T00:00:00Z"}]}`).with("maxAccessKeyAge", "7"), NonCompliant, ""},
	},
}
