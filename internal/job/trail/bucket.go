package trail

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/audit/deliver"
	"github.com/kura-s3/kura/internal/fault"
)

// tryBucket finds out whether CloudTrail may deliver: as AWS, by making the folder of the account.
func (s *Store) tryBucket(ctx context.Context, t *Trail) error {
	agent := agentOf(t)
	if _, err := agent.Get(ctx, s.config.S3, t.Bucket, "acl"); err != nil {
		return bucketError(t, err)
	}
	return bucketError(t, agent.Put(ctx, s.config.S3, t.Bucket, t.folder(), t.headers(), nil))
}

func bucketError(t *Trail, err error) error {
	code := deliver.CodeOf(err)
	switch {
	case err == nil:
		return nil
	case code == "NoSuchBucket":
		return fault.New(NoBucket, "S3 bucket "+t.Bucket+" does not exist!")
	case strings.HasPrefix(code, "KMS."), code == "InvalidArgument" && t.KMSKey != "":
		return fault.New(KeyNotFound, "KMS key is not found: "+t.KMSKey)
	case code == "AccessDenied" && t.KMSKey != "" && strings.Contains(err.Error(), "kms:"):
		return fault.New(InsufficientKey, "Insufficient permissions to access S3 bucket "+t.Bucket+" or KMS key "+t.KMSKey+".")
	case code == "AccessDenied":
		return fault.New(InsufficientPolicy, "Incorrect S3 bucket policy is detected for bucket: "+t.Bucket)
	case code == "NotImplemented":
		return fault.New(Unsupported, "The bucket cannot take log files of this trail: "+err.Error())
	}
	return &fault.Error{Kind: DeliveryUnavailable, Message: "The bucket " + t.Bucket + " cannot be written: " + err.Error(), Cause: err}
}

// agentOf is CloudTrail at work for a trail.
func agentOf(t *Trail) deliver.Agent {
	return deliver.Agent{Service: Service, SourceARN: t.ARN(), SourceAccount: t.Account}
}
