package rule

import "github.com/kura-s3/kura/internal/posture"

var s3BucketPublicWriteProhibited = &Rule{
	ID: "S3_BUCKET_PUBLIC_WRITE_PROHIBITED", Name: "s3-bucket-public-write-prohibited",
	Finds: "The bucket allows public write access, by its policy or its access control list, and Block Public Access does not stop it.",
	Why:   "Anybody can replace what others fetch from the bucket, fill it, or use it to hand on what must not be found elsewhere.",
	Types: []string{posture.TypeBucket}, OnChange: true, Periodic: true, ReadsBlock: true,
	Check: func(in *Input) (Result, error) {
		_, policy, _, acl := in.Resource.Bucket.PublicAccess(in.Block)
		return publicAccess(policy, acl, "write")
	},
	Examples: []Example{
		{"nothing public", bucketOf(0), Compliant, ""},
		{"public policy", bucketOf(0, "publicAccessBlock", openBlock, "policy", publicWrite), NonCompliant, "The S3 bucket policy allows public write access."},
		{"public list", bucketOf(0, "publicAccessBlock", openBlock, "ownershipControls", "BucketOwnerPreferred", "acl", listWrite), NonCompliant, "The S3 bucket ACL allows public write access."},
		{"public to read only", bucketOf(0, "publicAccessBlock", openBlock, "policy", publicRead), Compliant, ""},
		{"a public policy that is blocked", bucketOf(0, "policy", publicWrite), Compliant, ""},
	},
}
