package rule

import "github.com/kura-s3/kura/internal/posture"

var cloudTrailEnabled = &Rule{
	ID: "CLOUD_TRAIL_ENABLED", Name: "cloudtrail-enabled",
	Finds: "No trail of the account is logging, or none to the bucket that the rule names.",
	Why:   "Without a trail nobody can tell afterwards who did what.",
	Types: []string{posture.TypeAccount}, Periodic: true, Needs: posture.TypeTrail,
	Parameters: []Parameter{{Name: "s3BucketName"}},
	Check: func(in *Input) (Result, error) {
		want := in.Parameters["s3BucketName"]
		for _, t := range in.Trails {
			if t.Logging && (want == "" || want == t.Bucket) {
				return compliant(), nil
			}
		}
		return nonCompliant("No trail of the account is logging%s.", to(want)), nil
	},
	Examples: []Example{
		{"none", trailsOf(), NonCompliant, "No trail of the account is logging."},
		{"logging", trailsOf(&posture.Trail{Bucket: "logs", Logging: true}), Compliant, ""},
		{"stopped", trailsOf(&posture.Trail{Bucket: "logs"}), NonCompliant, ""},
		{"elsewhere", trailsOf(&posture.Trail{Bucket: "logs", Logging: true}).with("s3BucketName", "other"), NonCompliant, "No trail of the account is logging to other."},
	},
}

func to(bucket string) string {
	if bucket == "" {
		return ""
	}
	return " to " + bucket
}
