package rule

import "github.com/kura-s3/kura/internal/posture"

var s3BucketDefaultLockEnabled = &Rule{
	ID: "S3_BUCKET_DEFAULT_LOCK_ENABLED", Name: "s3-bucket-default-lock-enabled",
	Finds: "The bucket has no Object Lock, or its default retention is not of the mode that the rule demands.",
	Why:   "What is locked can be deleted neither by mistake nor by whoever stole a key.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Parameters: []Parameter{{Name: "mode", Check: oneOf("GOVERNANCE", "COMPLIANCE")}},
	Check: func(in *Input) (Result, error) {
		var lock struct{ Mode int }
		found, err := in.Resource.Bucket.Setting("objectLock", &lock)
		if err != nil {
			return Result{}, err
		}
		modes := map[string]int{"GOVERNANCE": 1, "COMPLIANCE": 2}
		if !found {
			return nonCompliant("Object Lock of the S3 bucket is not enabled."), nil
		}
		mode := in.Parameters["mode"]
		return when(mode != "" && lock.Mode != modes[mode], "The default retention of the S3 bucket is not of the mode "+mode+".")
	},
	Examples: []Example{
		{"none", bucketOf(1), NonCompliant, "Object Lock of the S3 bucket is not enabled."},
		{"enabled", bucketOf(1, "objectLock", `{"Mode":1,"Days":1}`), Compliant, ""},
		{"another mode", bucketOf(1, "objectLock", `{"Mode":1,"Days":1}`).with("mode", "COMPLIANCE"), NonCompliant, ""},
	},
}
