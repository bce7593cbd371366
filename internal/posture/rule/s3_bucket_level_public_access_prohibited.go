package rule

import (
	"slices"

	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

var s3BucketLevelPublicAccessProhibited = &Rule{
	ID: "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED", Name: "s3-bucket-level-public-access-prohibited",
	Finds: "The bucket's own Block Public Access does not have all four settings on.",
	Why:   "The bucket is one careless policy or list away from being public. Blocked, the same mistake is refused.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Parameters: []Parameter{{Name: "excludedPublicBuckets"}},
	Check: func(in *Input) (Result, error) {
		b := in.Resource.Bucket
		if slices.Contains(list(in.Parameters["excludedPublicBuckets"]), b.Name) {
			return compliant(), nil
		}
		return when(b.Block != allOn, "Block Public Access of the S3 bucket is not fully on: "+missing(b.Block)+".")
	},
	Examples: []Example{
		{"a new bucket", bucketOf(0), Compliant, ""},
		{"switched off", bucketOf(0, "publicAccessBlock", openBlock), NonCompliant, ""},
		{"one setting off", bucketOf(0, "publicAccessBlock", `{"BlockPublicACLs":true,"IgnorePublicACLs":true,"BlockPublicPolicy":true,"RestrictPublicBuckets":false}`), NonCompliant,
			"Block Public Access of the S3 bucket is not fully on: RestrictPublicBuckets is off."},
		{"excluded", bucketOf(0, "publicAccessBlock", openBlock).with("excludedPublicBuckets", "www, example"), Compliant, ""},
	},
}

var allOn = policy.PublicAccessBlock{BlockPublicACLs: true, IgnorePublicACLs: true, BlockPublicPolicy: true, RestrictPublicBuckets: true}

// missing names the settings that are off.
func missing(b policy.PublicAccessBlock) string {
	text := ""
	for _, s := range blockSettings {
		if !s.get(b) {
			if text != "" {
				text += ", "
			}
			text += s.name
		}
	}
	if b == (policy.PublicAccessBlock{}) {
		return "all four settings are off"
	}
	return text + " is off"
}

// blockSettings are the four settings with the parameters of the rules about accounts.
var blockSettings = []struct {
	name, parameter string
	get             func(policy.PublicAccessBlock) bool
}{
	{"BlockPublicAcls", "BlockPublicAcls", func(b policy.PublicAccessBlock) bool { return b.BlockPublicACLs }},
	{"IgnorePublicAcls", "IgnorePublicAcls", func(b policy.PublicAccessBlock) bool { return b.IgnorePublicACLs }},
	{"BlockPublicPolicy", "BlockPublicPolicy", func(b policy.PublicAccessBlock) bool { return b.BlockPublicPolicy }},
	{"RestrictPublicBuckets", "RestrictPublicBuckets", func(b policy.PublicAccessBlock) bool { return b.RestrictPublicBuckets }},
}
