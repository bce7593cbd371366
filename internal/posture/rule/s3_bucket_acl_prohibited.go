package rule

import "github.com/kura-s3/kura/internal/posture"

var s3BucketACLProhibited = &Rule{
	ID: "S3_BUCKET_ACL_PROHIBITED", Name: "s3-bucket-acl-prohibited",
	Finds: "The bucket's access control list gives somebody other than the owner a permission, and lists are not disabled.",
	Why:   "Lists are a second set of permissions beside policies that few look at. AWS recommends to disable them.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Check: func(in *Input) (Result, error) {
		b := in.Resource.Bucket
		if !b.HasACLs() {
			return compliant(), nil
		}
		for _, g := range b.ACL {
			if g.ID != b.Canonical {
				return nonCompliant("The S3 bucket ACL gives %s to %s%s.", g.Permission, g.ID, g.URI), nil
			}
		}
		return compliant(), nil
	},
	Examples: []Example{
		{"lists disabled", bucketOf(0, "acl", listRead), Compliant, ""},
		{"the owner's alone", bucketOf(0, "ownershipControls", "ObjectWriter"), Compliant, ""},
		{"a group has something", bucketOf(0, "ownershipControls", "ObjectWriter", "acl", listRead), NonCompliant, ""},
	},
}
