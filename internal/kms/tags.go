package kms

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
)

// checkTags holds new tags to KMS's rules.
func checkTags(tags []Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		switch {
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return refuse(BadTag, "Tags beginning with aws: are reserved")
		case seen[t.Key]:
			return refuse(BadTag, "Duplicate tag keys")
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128 || utf8.RuneCountInString(t.Value) > 256:
			return refuse(BadTag, "A tag key has 1 to 128 characters, a value at most 256")
		}
		seen[t.Key] = true
	}
	if len(tags) > maxTags {
		return refuse(BadTag, "Too many tags")
	}
	return nil
}

// Tag adds tags and replaces those of the same key. It needs kms:TagResource.
func (s *Store) Tag(ctx context.Context, g authz.Grant, id string, tags []Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.edit(ctx, g, "kms:TagResource", id, func(_ *change, k *Key) error {
		for _, t := range tags {
			if i := slices.IndexFunc(k.Tags, func(o Tag) bool { return o.Key == t.Key }); i >= 0 {
				k.Tags[i] = t
			} else {
				k.Tags = append(k.Tags, t)
			}
		}
		if len(k.Tags) > maxTags {
			return refuse(BadTag, "Too many tags")
		}
		return notPending(k)
	})
}

// Untag takes tags away; what is not there is no error. It needs kms:UntagResource.
func (s *Store) Untag(ctx context.Context, g authz.Grant, id string, keys []string) error {
	return s.edit(ctx, g, "kms:UntagResource", id, func(_ *change, k *Key) error {
		k.Tags = slices.DeleteFunc(k.Tags, func(t Tag) bool { return slices.Contains(keys, t.Key) })
		return notPending(k)
	})
}
