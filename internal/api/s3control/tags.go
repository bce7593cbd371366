package s3control

import (
	"context"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/api/wire/s3controlwire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// The tags of a bucket, by its ARN: what Terraform's provider reads and writes since 6.23.

func (s *Service) tagOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[s3controlwire.ListTagsForResourceInput, s3controlwire.ListTagsForResourceOutput]{
			Wire: &s3controlwire.ListTagsForResource, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: func(c *api.Call, _ *s3controlwire.ListTagsForResourceInput) ([]authz.Demand, error) {
				b, err := s.bucket(c)
				if err != nil {
					return nil, err
				}
				return c.Need("s3:ListTagsForResource", s.config.BucketSide(&c.Caller.Subject.Principal, b, "s3:ListTagsForResource"), nil), nil
			},
			Do: s.listTags,
		}),
		api.Declare(api.Decl[s3controlwire.TagResourceInput, s3controlwire.TagResourceOutput]{
			Wire: &s3controlwire.TagResource, Class: audit.Management, Access: api.Tagging, Unsigned: true,
			Demands: func(c *api.Call, in *s3controlwire.TagResourceInput) ([]authz.Demand, error) {
				return s.needTags(c, "s3:TagResource", brought(in.Tags), adding(in))
			},
			Do: s.tag,
		}),
		api.Declare(api.Decl[s3controlwire.UntagResourceInput, s3controlwire.UntagResourceOutput]{
			Wire: &s3controlwire.UntagResource, Class: audit.Management, Access: api.Tagging, Unsigned: true,
			Demands: func(c *api.Call, in *s3controlwire.UntagResourceInput) ([]authz.Demand, error) {
				return s.needTags(c, "s3:UntagResource", authz.TagKeys(in.TagKeys), removing(in))
			},
			Do: s.untag,
		}),
	}
}

const bucketARN = "arn:aws:s3:::"

// bucket is the addressed bucket. It must be of the account that the request names.
func (s *Service) bucket(c *api.Call) (*object.Bucket, error) {
	name, ok := strings.CutPrefix(at(c).arn, bucketARN)
	if !ok || name == "" || strings.ContainsAny(name, "/*") {
		return nil, fault.New(invalidRequest, "The specified resource ARN is not that of a bucket.")
	}
	c.Event.Bucket = name
	b, err := s.config.Objects.Bucket(name)
	if err != nil {
		return nil, err
	}
	if b.Owner.Account != at(c).account {
		return nil, fault.New(authz.Denied, "")
	}
	return b, nil
}

// needTags are the demands of a change of the tags; keys are the condition keys of those in the request.
func (s *Service) needTags(c *api.Call, action string, keys authz.Keys, change func([]object.Tag) []object.Tag) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	at(c).judged = b
	return s.config.NeedTags(c, b, action, keys, change(b.Tags)), nil
}

// adding is what TagResource makes of tags.
func adding(in *s3controlwire.TagResourceInput) func([]object.Tag) []object.Tag {
	added := plain(in.Tags)
	return func(tags []object.Tag) []object.Tag {
		return append(without(tags, func(key string) bool {
			return slices.ContainsFunc(added, func(t object.Tag) bool { return t.Key == key })
		}), added...)
	}
}

// removing is what UntagResource makes of tags.
func removing(in *s3controlwire.UntagResourceInput) func([]object.Tag) []object.Tag {
	return func(tags []object.Tag) []object.Tag {
		return without(tags, func(key string) bool { return slices.Contains(in.TagKeys, key) })
	}
}

// brought are the condition keys of tags in the request.
func brought(tags []s3controlwire.Tag) authz.RequestTags {
	return member.Tags(tags, func(t s3controlwire.Tag) (key, value *string) { return t.Key, t.Value })
}

func plain(tags []s3controlwire.Tag) []object.Tag {
	out := make([]object.Tag, len(tags))
	for i, t := range tags {
		if t.Key != nil {
			out[i].Key = *t.Key
		}
		if t.Value != nil {
			out[i].Value = *t.Value
		}
	}
	return out
}

func (s *Service) listTags(_ context.Context, _ authz.Grant, c *api.Call, _ *s3controlwire.ListTagsForResourceInput) (*s3controlwire.ListTagsForResourceOutput, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	out := &s3controlwire.ListTagsForResourceOutput{Tags: []s3controlwire.Tag{}}
	for i := range b.Tags {
		out.Tags = append(out.Tags, s3controlwire.Tag{Key: &b.Tags[i].Key, Value: &b.Tags[i].Value})
	}
	return out, nil
}

func (s *Service) tag(ctx context.Context, g authz.Grant, c *api.Call, in *s3controlwire.TagResourceInput) (*s3controlwire.TagResourceOutput, error) {
	if _, err := s3.BucketTags(plain(in.Tags)); err != nil {
		return nil, err
	}
	err := s.changeTags(ctx, g, c, "s3:TagResource", adding(in))
	return &s3controlwire.TagResourceOutput{}, err
}

func (s *Service) untag(ctx context.Context, g authz.Grant, c *api.Call, in *s3controlwire.UntagResourceInput) (*s3controlwire.UntagResourceOutput, error) {
	err := s.changeTags(ctx, g, c, "s3:UntagResource", removing(in))
	return &s3controlwire.UntagResourceOutput{}, err
}

func without(tags []object.Tag, gone func(key string) bool) []object.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t object.Tag) bool { return gone(t.Key) })
}

func (s *Service) changeTags(ctx context.Context, g authz.Grant, c *api.Call, action string, change func([]object.Tag) []object.Tag) error {
	name := strings.TrimPrefix(at(c).arn, bucketARN)
	_, err := s.config.Objects.UpdateBucket(ctx, g, action, name, func(b *object.Bucket) error {
		tags, err := s3.BucketTags(change(b.Tags))
		if err != nil {
			return err
		}
		return s3.SetTags(b, tags, at(c).judged)
	})
	return err
}
