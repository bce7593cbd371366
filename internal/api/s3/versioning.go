package s3

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/object"
)

func (s *Service) versioningOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketVersioningInput, s3wire.GetBucketVersioningOutput]{
			Wire: &s3wire.GetBucketVersioning, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketVersioningInput](s, "s3:GetBucketVersioning"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketVersioningInput) (*s3wire.GetBucketVersioningOutput, error) {
				return &s3wire.GetBucketVersioningOutput{
					Status: versioningStatus[at(c).found.Versioning], MFADelete: mfaDeleteStatus[at(c).found.MFADelete],
				}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketVersioningInput, empty]{
			Wire: &s3wire.PutBucketVersioning, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[s3wire.PutBucketVersioningInput](s, "s3:PutBucketVersioning"),
			Do:      s.putVersioning,
		}),
	}
}

var versioningStatus = map[object.Versioning]s3wire.BucketVersioningStatus{
	object.VersioningEnabled: "Enabled", object.VersioningSuspended: "Suspended",
}

var mfaDeleteStatus = map[object.MFADelete]s3wire.MFADeleteStatus{
	object.MFADeleteDisabled: "Disabled", object.MFADeleteEnabled: "Enabled",
}

var mfaDeleteStates = map[s3wire.MFADelete]object.MFADelete{
	"Disabled": object.MFADeleteDisabled, "Enabled": object.MFADeleteEnabled,
}

func (s *Service) putVersioning(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketVersioningInput) (*empty, error) {
	if in.VersioningConfiguration == nil || in.VersioningConfiguration.Status == "" {
		return nil, fault.New(illegalVersioning, "")
	}
	shown, err := s.showMFA(ctx, c)
	if err != nil {
		return nil, err
	}
	mfaDelete := mfaDeleteStates[in.VersioningConfiguration.MFADelete]
	state := object.VersioningEnabled
	if in.VersioningConfiguration.Status == "Suspended" {
		state = object.VersioningSuspended
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketVersioning", at(c).bucket, func(b *object.Bucket) error {
		if b.MFADelete == object.MFADeleteEnabled && !shown {
			return fault.New(object.MFARequired, "")
		}
		if err := askedMFADelete(caller(c), b, mfaDelete, shown); err != nil {
			return err
		}
		if mfaDelete == object.MFADeleteEnabled && b.Settings[lifecycle.Setting] != nil {
			return fault.New(object.InvalidBucketState, "MFA delete is not supported on a bucket with a lifecycle configuration")
		}
		b.Versioning = state
		if mfaDelete != object.NoMFADelete {
			b.MFADelete = mfaDelete
		}
		return nil
	})
	return &empty{}, err
}
