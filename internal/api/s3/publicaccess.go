package s3

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// publicBlock is the four settings of Block Public Access at one level, in the form in which they are
// stored.
type publicBlock struct {
	policy.PublicAccessBlock
	// Deleted: nothing is configured at this level, and a read says so. The four are false.
	Deleted bool `json:",omitempty"`
}

// allBlocked is what a new bucket begins with.
var allBlocked = publicBlock{PublicAccessBlock: policy.PublicAccessBlock{
	BlockPublicACLs: true, IgnorePublicACLs: true, BlockPublicPolicy: true, RestrictPublicBuckets: true,
}}

// decodeBlock reads a stored setting; unset is what a level has on which nobody configured anything.
func decodeBlock(raw []byte, unset publicBlock) (publicBlock, error) {
	if raw == nil {
		return unset, nil
	}
	var p publicBlock
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(&p)
	return p, err
}

// or is what two levels say together.
func (p publicBlock) or(q publicBlock) publicBlock {
	return publicBlock{PublicAccessBlock: p.Or(q.PublicAccessBlock)}
}

func (s *Service) publicAccessOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3wire.GetPublicAccessBlockInput, s3wire.GetPublicAccessBlockOutput]{
			Wire: &s3wire.GetPublicAccessBlock, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[s3wire.GetPublicAccessBlockInput](s, "s3:GetBucketPublicAccessBlock"),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *s3wire.GetPublicAccessBlockInput) (*s3wire.GetPublicAccessBlockOutput, error) {
				b := at(c).found
				block := accessOf(b).block
				if block.Deleted {
					return nil, fault.New(noPublicAccessBlock, "", "BucketName", b.Name)
				}
				return &s3wire.GetPublicAccessBlockOutput{PublicAccessBlockConfiguration: &s3wire.PublicAccessBlockConfiguration{
					BlockPublicAcls: &block.BlockPublicACLs, IgnorePublicAcls: &block.IgnorePublicACLs,
					BlockPublicPolicy: &block.BlockPublicPolicy, RestrictPublicBuckets: &block.RestrictPublicBuckets,
				}}, nil
			},
		}),
		api.Declare(api.Decl[s3wire.PutPublicAccessBlockInput, empty]{
			Wire: &s3wire.PutPublicAccessBlock, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: exposing(s, "s3:PutBucketPublicAccessBlock", settingBlock, exposingBlock),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.PutPublicAccessBlockInput) (*empty, error) {
				conf := in.PublicAccessBlockConfiguration
				if conf == nil {
					return nil, fault.New(malformedXML, "")
				}
				return s.setBlock(ctx, g, c, wantedBlock(conf))
			},
		}),
		api.Declare(api.Decl[s3wire.DeletePublicAccessBlockInput, empty]{
			Wire: &s3wire.DeletePublicAccessBlock, Class: audit.Management, Access: api.Permissions, Unsigned: true,
			Demands: exposing(s, "s3:PutBucketPublicAccessBlock", settingBlock, func(*api.Call, *object.Bucket, *s3wire.DeletePublicAccessBlockInput) ([]byte, error) {
				return json.Marshal(publicBlock{Deleted: true})
			}),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.DeletePublicAccessBlockInput) (*empty, error) {
				return s.setBlock(ctx, g, c, publicBlock{Deleted: true})
			},
		}),
	}
}

func (s *Service) setBlock(ctx context.Context, g authz.Grant, c *api.Call, block publicBlock) (*empty, error) {
	raw, err := json.Marshal(block)
	if err != nil {
		return nil, err
	}
	_, err = s.config.Objects.UpdateBucket(ctx, g, "s3:PutBucketPublicAccessBlock", at(c).bucket, func(b *object.Bucket) error {
		b.Settings[settingBlock] = raw
		return s.stillJudged(c, b)
	})
	return &empty{}, err
}

// blocked is the refusal of a write that would make something public. Strangers learn no more than
// that they are refused.
func blocked(p *policy.Principal, b *object.Bucket, action, arn, what, setting string) error {
	if p.Account != b.Owner.Account {
		return denied()
	}
	return fault.New(authz.Denied, "User: "+p.ARN+" is not authorized to perform: "+action+` on resource: "`+arn+
		`" because public `+what+" are prevented by the "+setting+" setting in S3 Block Public Access.")
}
