package s3

import (
	"context"
	"errors"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// ownership is a bucket's Object Ownership setting, as it is stored and told.
type ownership string

const (
	ownerEnforced  ownership = "BucketOwnerEnforced" // the default of new buckets
	ownerPreferred ownership = "BucketOwnerPreferred"
	objectWriter   ownership = "ObjectWriter"
	// ownershipDeleted is stored when the setting was removed: the bucket behaves as ObjectWriter.
	ownershipDeleted ownership = "deleted"
)

var errSetting = errors.New("s3: not a setting of a known form")

func decodeOwnership(raw []byte) (ownership, error) {
	switch o := ownership(raw); o {
	case "":
		return ownerEnforced, nil
	case ownerEnforced, ownerPreferred, objectWriter, ownershipDeleted:
		return o, nil
	}
	return "", errSetting
}

// hasACLs tells whether ACLs mean anything in the bucket.
func (o ownership) hasACLs() bool { return o != ownerEnforced }

// newOwner says whose a new object is.
func (o ownership) newOwner(b *object.Bucket, writer *policy.Principal, canned string) object.Owner {
	switch {
	case o == ownerEnforced, writer.Account == b.Owner.Account, writer.Type == policy.Service:
		return b.Owner
	case o == ownerPreferred && canned == "bucket-owner-full-control":
		return b.Owner
	}
	return writerOf(writer)
}

// anonymousID is the canonical user id under which S3 keeps what anonymous callers wrote.
const anonymousID = "65a011a29cdf8ec533ec3d1ccaae921c"

func writerOf(p *policy.Principal) object.Owner {
	if p.Account == "" {
		return object.Owner{Canonical: anonymousID}
	}
	return object.Owner{Account: p.Account, Canonical: p.CanonicalID}
}

// shownOwner is whom answers name as an object's owner.
func shownOwner(b *object.Bucket, o object.Owner) object.Owner {
	if !accessOf(b).ownership.hasACLs() {
		return b.Owner
	}
	return o
}

// showOwners puts those owners into a listing.
func showOwners(b *object.Bucket, infos []object.Info) {
	if accessOf(b).ownership.hasACLs() {
		return
	}
	for i := range infos {
		infos[i].Owner = b.Owner
	}
}

func (s *Service) ownershipOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetBucketOwnershipControlsInput, s3wire.GetBucketOwnershipControlsOutput]{
			Wire: &s3wire.GetBucketOwnershipControls, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetBucketOwnershipControlsInput](s, "s3:GetBucketOwnershipControls"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetBucketOwnershipControlsInput) (*s3wire.GetBucketOwnershipControlsOutput, error) {
				b := at(c).found
				o := accessOf(b).ownership
				if o == ownershipDeleted {
					return nil, fault.New(noOwnershipControls, "", "BucketName", b.Name)
				}
				return &s3wire.GetBucketOwnershipControlsOutput{OwnershipControls: &s3wire.OwnershipControls{
					Rules: []s3wire.OwnershipControlsRule{{ObjectOwnership: s3wire.ObjectOwnership(o)}},
				}}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutBucketOwnershipControlsInput, empty]{
			Wire: &s3wire.PutBucketOwnershipControls, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: func(c *api.Call, in *s3wire.PutBucketOwnershipControlsInput) ([]authz.Demand, error) {
				wanted := wantedOwnership(in.OwnershipControls)
				return s.needExposing(c, "s3:PutBucketOwnershipControls", ownershipKeys{wanted}, func(b object.Bucket) *object.Bucket {
					return with(b, settingOwnership, []byte(wanted))
				})
			},
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutBucketOwnershipControlsInput) (*empty, error) {
				o := wantedOwnership(in.OwnershipControls)
				if !configurable[o] {
					return nil, fault.New(malformedXML, "")
				}
				return s.setOwnership(ctx, g, c, o)
			},
		}),
		api.Declare(api.Decl[s3wire.DeleteBucketOwnershipControlsInput, empty]{
			Wire: &s3wire.DeleteBucketOwnershipControls, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: exposing(s, "s3:PutBucketOwnershipControls", settingOwnership, func(*api.Call, *object.Bucket, *s3wire.DeleteBucketOwnershipControlsInput) ([]byte, error) {
				return []byte(ownershipDeleted), nil
			}),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeleteBucketOwnershipControlsInput) (*empty, error) {
				return s.setOwnership(ctx, g, c, ownershipDeleted)
			},
		}),
	}
}

// configurable are the values that a client can ask for.
var configurable = map[ownership]bool{ownerEnforced: true, ownerPreferred: true, objectWriter: true}

// wantedOwnership is the value of the one rule that a request must have, "" when it has not.
func wantedOwnership(in *s3wire.OwnershipControls) ownership {
	if in == nil || len(in.Rules) != 1 {
		return ""
	}
	return ownership(in.Rules[0].ObjectOwnership)
}

// ownershipKeys is the condition key of a request that sets the ownership.
type ownershipKeys struct{ wanted ownership }

func (k ownershipKeys) Lookup(key string) (policy.Values, bool) {
	return policy.Values{One: string(k.wanted)}, key == "s3:x-amz-object-ownership" && k.wanted != ""
}

// setOwnership stores the setting. ACLs are kept when they lose their meaning, and count again when
// it comes back; only a bucket ACL that grants others something is in the way.
func (s *Service) setOwnership(ctx context.Context, g authz.Grant, c *api.Call, o ownership) (*empty, error) {
	_, err := s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketOwnershipControls", at(c).bucket, func(b *object.Bucket) error {
		if raw := b.Settings[settingACL]; o == ownerEnforced && raw != nil {
			list, err := decodeACL(raw)
			if err != nil {
				return err
			}
			if list.grantsOthers(b.Owner.Canonical) {
				return fault.New(aclWithOwnership, "", "BucketName", b.Name)
			}
		}
		b.Settings[settingOwnership] = []byte(o)
		return s.stillJudged(c, b)
	})
	return &empty{}, err
}
