package rule

import (
	"strings"

	"github.com/kura-s3/kura/internal/posture"
)

var s3DefaultEncryptionKMS = &Rule{
	ID: "S3_DEFAULT_ENCRYPTION_KMS", Name: "s3-default-encryption-kms",
	Finds: "The bucket's default encryption does not use a KMS key, or none of those that the rule names.",
	Why:   "With a KMS key, reading needs a second permission, each use of the key is on record, and the key can be taken away.",
	Types: []string{posture.TypeBucket}, OnChange: true,
	Parameters: []Parameter{{Name: "kmsKeyArns"}},
	Check: func(in *Input) (Result, error) {
		var e struct{ SSEAlgorithm, KMSMasterKeyID string }
		if _, err := in.Resource.Bucket.Setting("encryption", &e); err != nil {
			return Result{}, err
		}
		if !strings.HasPrefix(e.SSEAlgorithm, "aws:kms") {
			return nonCompliant("The default encryption of the S3 bucket does not use a KMS key."), nil
		}
		named := list(in.Parameters["kmsKeyArns"])
		return when(len(named) > 0 && !names(named, e.KMSMasterKeyID) && !names(keyIDs(named, in.Resource.Account), e.KMSMasterKeyID), "The default encryption of the S3 bucket uses a KMS key that is not among those of the rule.")
	},
	Examples: []Example{
		{"the store's own", bucketOf(0), NonCompliant, ""},
		{"a key", bucketOf(0, "encryption", `{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"arn:aws:kms:us-east-1:111122223333:key/a"}`), Compliant, ""},
		{"another key", bucketOf(0, "encryption", `{"SSEAlgorithm":"aws:kms"}`).with("kmsKeyArns", "arn:aws:kms:us-east-1:111122223333:key/a"), NonCompliant, ""},
		{"a key by its id", bucketOf(0, "encryption", `{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"a"}`).with("kmsKeyArns", "arn:aws:kms:us-east-1:111122223333:key/b,arn:aws:kms:us-east-1:111122223333:key/a"), Compliant, ""},
		{"the id of another account's key", bucketOf(0, "encryption", `{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"a"}`).with("kmsKeyArns", "arn:aws:kms:us-east-1:444455556666:key/a"), NonCompliant, ""},
	},
}

// keyIDs are the ids of an account's keys among those with the ARNs: by these its buckets may name them.
func keyIDs(arns []string, account string) (ids []string) {
	for _, arn := range arns {
		if _, id, ok := strings.Cut(arn, ":"+account+":key/"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}
