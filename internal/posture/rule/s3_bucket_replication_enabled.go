package rule

import "github.com/kura-s3/kura/internal/posture"

var s3BucketReplicationEnabled = &Rule{
	ID: "S3_BUCKET_REPLICATION_ENABLED", Name: "s3-bucket-replication-enabled",
	Finds: "The bucket has no replication rule that is enabled.",
	Why:   "What is in one place only goes with that place.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Check: func(in *Input) (Result, error) {
		var c struct{ Rules []struct{ Enabled bool } }
		if _, err := in.Resource.Bucket.Setting("replication", &c); err != nil {
			return Result{}, err
		}
		for _, r := range c.Rules {
			if r.Enabled {
				return compliant(), nil
			}
		}
		return nonCompliant("The S3 bucket has no replication rule that is enabled."), nil
	},
	Examples: []Example{
		{"none", bucketOf(1), NonCompliant, ""},
		{"enabled", bucketOf(1, "replication", `{"Format":1,"Rules":[{"Enabled":false},{"Enabled":true}]}`), Compliant, ""},
		{"disabled", bucketOf(1, "replication", `{"Rules":[{"Enabled":false}]}`), NonCompliant, ""},
	},
}
