package rule

import "github.com/kura-s3/kura/internal/posture"

var s3BucketPublicReadProhibited = &Rule{
	ID: "S3_BUCKET_PUBLIC_READ_PROHIBITED", Name: "s3-bucket-public-read-prohibited",
	Finds: "The bucket allows public read access, by its policy or its access control list, and Block Public Access does not stop it.",
	Why:   "Everybody on the network can list or fetch what is in the bucket. It is how most data leaks from object stores happened.",
	Types: []string{posture.TypeBucket}, OnChange: true, Periodic: true, ReadsBlock: true,
	Check: func(in *Input) (Result, error) {
		policy, _, acl, _ := in.Resource.Bucket.PublicAccess(in.Block)
		return publicAccess(policy, acl, "read")
	},
	Examples: []Example{
		{"nothing public", bucketOf(0), Compliant, ""},
		{"public policy", bucketOf(0, "publicAccessBlock", openBlock, "policy", publicRead), NonCompliant, "The S3 bucket policy allows public read access."},
		{"public list", bucketOf(0, "publicAccessBlock", openBlock, "ownershipControls", "ObjectWriter", "acl", listRead), NonCompliant, "The S3 bucket ACL allows public read access."},
		{"both", bucketOf(0, "publicAccessBlock", openBlock, "ownershipControls", "ObjectWriter", "acl", listRead, "policy", publicRead), NonCompliant, "The S3 bucket ACL allows public read access.The S3 bucket policy allows public read access."},
		{"a public policy that is blocked", bucketOf(0, "policy", publicRead), Compliant, ""},
		{"a list that is switched off", bucketOf(0, "publicAccessBlock", openBlock, "acl", listRead), Compliant, ""},
		{"public to write only", bucketOf(0, "publicAccessBlock", openBlock, "policy", publicWrite), Compliant, ""},
		{"shared with one account", bucketOf(0, "publicAccessBlock", openBlock, "policy", shared), Compliant, ""},
	},
}

// publicAccess tells in AWS's words what is public: the list first, the sentences without a blank.
func publicAccess(policy, acl bool, what string) (Result, error) {
	text := ""
	if acl {
		text = "The S3 bucket ACL allows public " + what + " access."
	}
	if policy {
		text += "The S3 bucket policy allows public " + what + " access."
	}
	return when(text != "", text)
}
