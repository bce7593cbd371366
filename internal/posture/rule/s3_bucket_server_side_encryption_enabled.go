package rule

import "github.com/kura-s3/kura/internal/posture"

var s3BucketServerSideEncryptionEnabled = &Rule{
	ID: "S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED", Name: "s3-bucket-server-side-encryption-enabled",
	Finds: "The bucket neither encrypts by default nor refuses what is not encrypted.",
	Why:   "What lies on a disk in the clear is read by whoever gets the disk. Kura encrypts every object, as S3 does since 2023: the rule is there for those who must show it.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Check:    func(*Input) (Result, error) { return compliant(), nil },
	Examples: []Example{{"any bucket", bucketOf(0), Compliant, ""}},
}
