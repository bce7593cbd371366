package rule

import "github.com/kura-s3/kura/internal/posture"

var s3BucketLoggingEnabled = &Rule{
	ID: "S3_BUCKET_LOGGING_ENABLED", Name: "s3-bucket-logging-enabled",
	Finds: "The bucket has no server access logging, or it goes elsewhere than the rule demands.",
	Why:   "Without a log of accesses nobody can tell afterwards what was read, and by whom.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Parameters: []Parameter{{Name: "targetBucket"}, {Name: "targetPrefix"}},
	Check: func(in *Input) (Result, error) {
		var target struct{ Bucket, Prefix string }
		found, err := in.Resource.Bucket.Setting("logging", &target)
		if err != nil {
			return Result{}, err
		}
		bucket, prefix := in.Parameters["targetBucket"], in.Parameters["targetPrefix"]
		switch {
		case !found || target.Bucket == "":
			return nonCompliant("Server access logging of the S3 bucket is not enabled."), nil
		case bucket != "" && bucket != target.Bucket, prefix != "" && prefix != target.Prefix:
			return nonCompliant("Server access logging of the S3 bucket goes to s3://%s/%s.", target.Bucket, target.Prefix), nil
		}
		return compliant(), nil
	},
	Examples: []Example{
		{"none", bucketOf(0), NonCompliant, "Server access logging of the S3 bucket is not enabled."},
		{"logged", bucketOf(0, "logging", `{"Format":1,"Bucket":"logs","Prefix":"x/"}`), Compliant, ""},
		{"elsewhere", bucketOf(0, "logging", `{"Format":1,"Bucket":"logs","Prefix":"x/"}`).with("targetBucket", "audit"), NonCompliant, ""},
	},
}
