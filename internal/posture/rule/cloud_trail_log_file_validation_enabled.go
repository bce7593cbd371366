package rule

import "github.com/kura-s3/kura/internal/posture"

var cloudTrailLogFileValidationEnabled = &Rule{
	ID: "CLOUD_TRAIL_LOG_FILE_VALIDATION_ENABLED", Name: "cloud-trail-log-file-validation-enabled",
	Finds: "No trail of the account makes digest files.",
	Why:   "Digests show that a log file was changed or taken away after it was delivered.",
	Types: []string{posture.TypeAccount}, Periodic: true, Needs: posture.TypeTrail,
	Check: func(in *Input) (Result, error) {
		for _, t := range in.Trails {
			if t.Validated {
				return compliant(), nil
			}
		}
		return nonCompliant("No trail of the account has log file validation."), nil
	},
	Examples: []Example{
		{"validated", trailsOf(&posture.Trail{Logging: true, Validated: true}), Compliant, ""},
		{"not", trailsOf(&posture.Trail{Logging: true}), NonCompliant, ""},
	},
}
