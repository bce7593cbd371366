package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
)

// taggable are the kinds that IAM lets one tag.
var taggable = map[Kind]bool{
	KindUser: true, KindRole: true, KindPolicy: true, KindInstanceProfile: true, KindMFA: true, KindOIDCProvider: true,
}

func (s *Store) editTags(ctx context.Context, g authz.Grant, action string, r Ref, fn func(*header) error) error {
	if !taggable[r.Kind] {
		return refuse(InvalidInput, "A %s cannot be tagged.", r.Kind)
	}
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require(action, tx.arn(r)); err != nil {
			return err
		}
		e, err := tx.ref(r)
		if err != nil {
			return err
		}
		if e.head().Account == awsAccount {
			return refuse(AccessDenied, "User: %s is not authorized to perform: %s on resource: policy %s", g.Principal().ARN, action, r.Name)
		}
		if err := modifiable(e); err != nil {
			return err
		}
		e = e.twin()
		if err := fn(e.head()); err != nil {
			return err
		}
		tx.set(e)
		return nil
	})
}

// Tag is TagUser, TagRole, TagPolicy, …: it adds tags and replaces those of the same key, whatever
// its case.
func (s *Store) Tag(ctx context.Context, g authz.Grant, r Ref, tags []Tag) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	return s.editTags(ctx, g, "iam:Tag"+titles[r.Kind], r, func(h *header) error {
		h.Tags = mergeTags(h.Tags, tags)
		if len(h.Tags) > maxTags {
			return refuse(LimitExceeded, "The number of tags has reached the maximum limit.")
		}
		return nil
	})
}

// mergeTags is old with more added; more wins where keys are the same but for their case.
func mergeTags(old, more []Tag) []Tag {
	merged := slices.Clone(old)
	for _, t := range more {
		if i := slices.IndexFunc(merged, func(o Tag) bool { return strings.EqualFold(o.Key, t.Key) }); i >= 0 {
			merged[i] = t
		} else {
			merged = append(merged, t)
		}
	}
	return merged
}

// Untag is UntagUser and its like. Keys that are not there are no error.
func (s *Store) Untag(ctx context.Context, g authz.Grant, r Ref, keys []string) error {
	return s.editTags(ctx, g, "iam:Untag"+titles[r.Kind], r, func(h *header) error {
		h.Tags = slices.DeleteFunc(h.Tags, func(t Tag) bool {
			return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
		})
		return nil
	})
}

// ListTags is ListUserTags and its like.
func (s *Store) ListTags(_ context.Context, g authz.Grant, r Ref, p Page) (*Listed[Tag], error) {
	if !taggable[r.Kind] {
		return nil, refuse(InvalidInput, "A %s cannot be tagged.", r.Kind)
	}
	state := s.state.Load()
	if err := g.Require("iam:List"+titles[r.Kind]+"Tags", state.arn(r)); err != nil {
		return nil, err
	}
	e, err := state.ref(r)
	if err != nil {
		return nil, err
	}
	return pageOf(e.head().Tags, p, func(t Tag) Tag { return t })
}
