package object

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Tags needs s3:GetObjectTagging, or s3:GetObjectVersionTagging when a version id is given.
func (s *Store) Tags(ctx context.Context, g authz.Grant, in *GetInput) ([]Tag, *Info, error) {
	if err := g.Require(in.action("s3:GetObjectTagging", "s3:GetObjectVersionTagging"), keyARN(in.Bucket, in.Key)); err != nil {
		return nil, nil, err
	}
	if err := in.check(); err != nil {
		return nil, nil, err
	}
	f, err := s.find(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	info := f.info(in)
	return info.Tags, &info, nil
}

// SetTags replaces the tags of a version and needs action: s3:PutObjectTagging or
// s3:DeleteObjectTagging, or their Version forms when a version id is given.
func (s *Store) SetTags(ctx context.Context, g authz.Grant, action string, in *GetInput, tags []Tag) (*Info, error) {
	if err := g.Require(action, keyARN(in.Bucket, in.Key)); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var info *Info
	err := s.changeKey(ctx, in.Bucket, in.Key, 0, false, func(ctx context.Context, t *txn, to target) error {
		place, r, err := t.locate(ctx, to, in.VersionID)
		if err != nil {
			return err
		}
		r.tags = tags
		t.changedReplicas(g, to, r)
		t.set(place, r.append(make([]byte, 0, 512)))
		t.tell(g, to, taggedBy(action), r)
		info = infoOf(to.bucket, in.Key, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

func taggedBy(action string) happening {
	if strings.HasPrefix(action, "s3:Delete") {
		return wasUntagged
	}
	return wasTagged
}

// locate reads a version that is to be changed in place.
func (t *txn) locate(ctx context.Context, to target, id string) (place []byte, r *record, err error) {
	c, err := t.readCurrent(ctx, to)
	if err != nil {
		return nil, nil, err
	}
	if id == "" {
		if !c.object() {
			return nil, nil, noSuchKey(to.key)
		}
		return headKey(to.bucket.ID, to.key), &c.record, nil
	}
	r = &c.record
	place = headKey(to.bucket.ID, to.key)
	if !c.exists || !c.matches(id) {
		if r, err = t.readOlder(ctx, to, id); err != nil {
			return nil, nil, err
		}
		if r == nil {
			return nil, nil, noSuchVersion(to.key, id)
		}
		place = versionKey(to.bucket.ID, to.key, r.seq)
	}
	if r.marker {
		return nil, nil, fault.New(IsDeleteMarker, "", "Key", to.key, "VersionId", id)
	}
	return place, r, nil
}
