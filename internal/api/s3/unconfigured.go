package s3

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Sub-resources that cannot be configured yet. SDKs and Terraform read them after they made a
// bucket; the answer is AWS's for a bucket on which nobody configured them, which is the truth:
// writing them answers NotImplemented.

// unconfigured declares a read that answers from the bucket alone.
func unconfigured[In, Out any](s *Service, w *wire.Operation, action string, answer func(*object.Bucket) (*Out, error)) *api.Op {
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: api.Read, Unsigned: true,
		Demands: onBucket[In](s, action),
		Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *In) (*Out, error) {
			return answer(at(c).found)
		},
	})
}

// absent answers that there is no such configuration.
func absent[Out any](kind fault.Kind) func(*object.Bucket) (*Out, error) {
	return func(b *object.Bucket) (*Out, error) { return nil, fault.New(kind, "", "BucketName", b.Name) }
}

// fixed answers a value that every bucket has.
func fixed[Out any](value Out) func(*object.Bucket) (*Out, error) {
	return func(*object.Bucket) (*Out, error) { out := value; return &out, nil }
}

func (s *Service) unconfiguredOps() []*api.Op {
	no := false
	return []*api.Op{
		unconfigured[s3wire.GetBucketCorsInput](s, &s3wire.GetBucketCors, "s3:GetBucketCORS", absent[s3wire.GetBucketCorsOutput](noSuchCORS)),
		unconfigured[s3wire.GetBucketWebsiteInput](s, &s3wire.GetBucketWebsite, "s3:GetBucketWebsite", absent[s3wire.GetBucketWebsiteOutput](noSuchWebsite)),
		unconfigured[s3wire.GetBucketLifecycleConfigurationInput](s, &s3wire.GetBucketLifecycleConfiguration, "s3:GetLifecycleConfiguration", absent[s3wire.GetBucketLifecycleConfigurationOutput](noSuchLifecycle)),
		unconfigured[s3wire.GetBucketReplicationInput](s, &s3wire.GetBucketReplication, "s3:GetReplicationConfiguration", absent[s3wire.GetBucketReplicationOutput](noSuchReplication)),
		unconfigured[s3wire.GetObjectLockConfigurationInput](s, &s3wire.GetObjectLockConfiguration, "s3:GetBucketObjectLockConfiguration", absent[s3wire.GetObjectLockConfigurationOutput](noSuchObjectLock)),
		unconfigured[s3wire.GetBucketAccelerateConfigurationInput](s, &s3wire.GetBucketAccelerateConfiguration, "s3:GetAccelerateConfiguration", fixed(s3wire.GetBucketAccelerateConfigurationOutput{})),
		unconfigured[s3wire.GetBucketRequestPaymentInput](s, &s3wire.GetBucketRequestPayment, "s3:GetBucketRequestPayment", fixed(s3wire.GetBucketRequestPaymentOutput{Payer: "BucketOwner"})),
		unconfigured[s3wire.GetBucketLoggingInput](s, &s3wire.GetBucketLogging, "s3:GetBucketLogging", fixed(s3wire.GetBucketLoggingOutput{})),
		unconfigured[s3wire.GetBucketNotificationConfigurationInput](s, &s3wire.GetBucketNotificationConfiguration, "s3:GetBucketNotification", fixed(s3wire.GetBucketNotificationConfigurationOutput{})),
		unconfigured[s3wire.ListBucketAnalyticsConfigurationsInput](s, &s3wire.ListBucketAnalyticsConfigurations, "s3:GetAnalyticsConfiguration", fixed(s3wire.ListBucketAnalyticsConfigurationsOutput{IsTruncated: &no})),
		unconfigured[s3wire.ListBucketInventoryConfigurationsInput](s, &s3wire.ListBucketInventoryConfigurations, "s3:GetInventoryConfiguration", fixed(s3wire.ListBucketInventoryConfigurationsOutput{IsTruncated: &no})),
		unconfigured[s3wire.ListBucketMetricsConfigurationsInput](s, &s3wire.ListBucketMetricsConfigurations, "s3:GetMetricsConfiguration", fixed(s3wire.ListBucketMetricsConfigurationsOutput{IsTruncated: &no})),
		unconfigured[s3wire.ListBucketIntelligentTieringConfigurationsInput](s, &s3wire.ListBucketIntelligentTieringConfigurations, "s3:GetIntelligentTieringConfiguration", fixed(s3wire.ListBucketIntelligentTieringConfigurationsOutput{IsTruncated: &no})),
		unconfigured[s3wire.GetBucketAnalyticsConfigurationInput](s, &s3wire.GetBucketAnalyticsConfiguration, "s3:GetAnalyticsConfiguration", absent[s3wire.GetBucketAnalyticsConfigurationOutput](noSuchConfiguration)),
		unconfigured[s3wire.GetBucketInventoryConfigurationInput](s, &s3wire.GetBucketInventoryConfiguration, "s3:GetInventoryConfiguration", absent[s3wire.GetBucketInventoryConfigurationOutput](noSuchConfiguration)),
		unconfigured[s3wire.GetBucketMetricsConfigurationInput](s, &s3wire.GetBucketMetricsConfiguration, "s3:GetMetricsConfiguration", absent[s3wire.GetBucketMetricsConfigurationOutput](noSuchConfiguration)),
		unconfigured[s3wire.GetBucketIntelligentTieringConfigurationInput](s, &s3wire.GetBucketIntelligentTieringConfiguration, "s3:GetIntelligentTieringConfiguration", absent[s3wire.GetBucketIntelligentTieringConfigurationOutput](noSuchConfiguration)),

		// What is switched on for every bucket and cannot be switched off yet.
		unconfigured[s3wire.GetBucketEncryptionInput](s, &s3wire.GetBucketEncryption, "s3:GetEncryptionConfiguration", fixed(s3wire.GetBucketEncryptionOutput{
			ServerSideEncryptionConfiguration: &s3wire.ServerSideEncryptionConfiguration{Rules: []s3wire.ServerSideEncryptionRule{{
				ApplyServerSideEncryptionByDefault: &s3wire.ServerSideEncryptionByDefault{SSEAlgorithm: "AES256"}, BucketKeyEnabled: &no,
			}}},
		})),
	}
}

func (s *Service) wireOwner(o object.Owner) *s3wire.Owner {
	return &s3wire.Owner{ID: &o.Canonical, DisplayName: s.displayName(o)}
}

// displayName is nil where the account has no name.
func (s *Service) displayName(o object.Owner) *string {
	if name := s.config.DisplayName(o.Account); name != "" {
		return &name
	}
	return nil
}
