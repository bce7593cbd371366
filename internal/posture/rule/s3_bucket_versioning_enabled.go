package rule

import (
	"strings"

	"github.com/kura-s3/kura/internal/posture"
)

var s3BucketVersioningEnabled = &Rule{
	ID: "S3_BUCKET_VERSIONING_ENABLED", Name: "s3-bucket-versioning-enabled",
	Finds: "Versioning of the bucket is off or suspended, or MFA delete is off where the rule demands it.",
	Why:   "Without versions, what is overwritten or deleted by mistake or in malice is gone.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Parameters: []Parameter{{Name: "isMfaDeleteEnabled", Check: boolean}},
	Check: func(in *Input) (Result, error) {
		b := in.Resource.Bucket
		if b.Versioning != "Enabled" {
			return nonCompliant("Versioning of the S3 bucket is %s.", strings.ToLower(b.Versioning)), nil
		}
		return when(strings.EqualFold(in.Parameters["isMfaDeleteEnabled"], "true") && !b.MFADelete(), "MFA delete of the S3 bucket is not enabled.")
	},
	Examples: []Example{
		{"enabled", bucketOf(1), Compliant, ""},
		{"never", bucketOf(0), NonCompliant, "Versioning of the S3 bucket is off."},
		{"suspended", bucketOf(2), NonCompliant, "Versioning of the S3 bucket is suspended."},
		{"MFA delete demanded", bucketOf(1).with("isMfaDeleteEnabled", "true"), NonCompliant, ""},
	},
}
