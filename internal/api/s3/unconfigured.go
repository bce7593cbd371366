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
	return []*api.Op{
		unconfigured[s3wire.GetBucketNotificationConfigurationInput](s, &s3wire.GetBucketNotificationConfiguration, "s3:GetBucketNotification", fixed(s3wire.GetBucketNotificationConfigurationOutput{})),
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
