package kms

import (
	"cmp"
	"context"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) tagging() []*api.Op {
	return []*api.Op{
		act[kmswire.TagResourceInput, kmswire.TagResourceOutput](e, &kmswire.TagResource, api.Tagging, deed[kmswire.TagResourceInput]{
			key:  func(in *kmswire.TagResourceInput) *string { return in.KeyId },
			keys: func(in *kmswire.TagResourceInput) policy.Keys { return tagKeys(in.Tags) },
		}, func(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.TagResourceInput) error {
			return e.keys.Tag(ctx, g, k.ID, tagsOf(in.Tags))
		}),
		act[kmswire.UntagResourceInput, kmswire.UntagResourceOutput](e, &kmswire.UntagResource, api.Tagging, deed[kmswire.UntagResourceInput]{
			key: func(in *kmswire.UntagResourceInput) *string { return in.KeyId },
			keys: func(in *kmswire.UntagResourceInput) policy.Keys {
				return many(policy.Keys{}, "aws:TagKeys", in.TagKeys)
			},
		}, func(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.UntagResourceInput) error {
			return e.keys.Untag(ctx, g, k.ID, in.TagKeys)
		}),
		onKey(e, &kmswire.ListResourceTags, api.List,
			deed[kmswire.ListResourceTagsInput]{key: func(in *kmswire.ListResourceTagsInput) *string { return in.KeyId }}, e.listResourceTags),
	}
}

func (e edge) listResourceTags(_ context.Context, _ authz.Grant, k *kms.Key, in *kmswire.ListResourceTagsInput) (*kmswire.ListResourceTagsOutput, error) {
	tags := slices.SortedFunc(slices.Values(k.Tags), func(a, b kms.Tag) int { return cmp.Compare(a.Key, b.Key) })
	p, err := pageOf(tags, func(t kms.Tag) string { return t.Key }, in.Limit, in.Marker, 50)
	if err != nil {
		return nil, err
	}
	return &kmswire.ListResourceTagsOutput{
		Tags: member.Every(p.items, func(t kms.Tag) kmswire.Tag { return kmswire.Tag{TagKey: &t.Key, TagValue: &t.Value} }), Truncated: p.more, NextMarker: p.next,
	}, nil
}

func tagsOf(tags []kmswire.Tag) []kms.Tag {
	return member.Every(tags, func(t kmswire.Tag) kms.Tag {
		return kms.Tag{Key: member.Text(t.TagKey), Value: member.Text(t.TagValue)}
	})
}

// tagKeys are the condition keys of the tags in a request.
func tagKeys(tags []kmswire.Tag) policy.Keys {
	k := policy.Keys{}
	var names []string
	for _, t := range tags {
		names = append(names, member.Text(t.TagKey))
		one(k, "aws:RequestTag/"+member.Text(t.TagKey), member.Text(t.TagValue))
	}
	return many(k, "aws:TagKeys", names)
}
