package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Storage classes are kept and told; all of them lie on the same media. An archived version says so
// by refusing to be read until it is restored, as on AWS, so that what a client learns here holds there.

const (
	// InvalidObjectState: the version is archived, or is not and should be; field StorageClass.
	InvalidObjectState fault.Kind = "object.InvalidObjectState"
	// MovedOn: the version that a background job looked at is not what it was.
	MovedOn fault.Kind = "object.MovedOn"
)

// Archived tells whether versions of the class are read only after they were restored.
func Archived(class string) bool { return class == "GLACIER" || class == "DEEP_ARCHIVE" }

// readable refuses versions that are archived and not restored.
func (r *record) readable(now time.Time) error {
	if !Archived(r.class) || now.Before(r.restored) {
		return nil
	}
	return fault.New(InvalidObjectState, "", "StorageClass", r.class)
}

// still tells whether r, current or not, is the version that i told of, and as i told of it: what went (nil),
// came back from under a delete marker, or got other tags, is to be judged anew.
func (i *Info) still(r *record, current bool) error {
	if i == nil {
		return nil
	}
	if r != nil && i.seq == r.seq && i.Modified.Equal(r.time()) && i.DeleteMarker == r.marker && i.Latest == current && slices.Equal(i.Tags, r.tags) {
		return nil
	}
	return fault.New(MovedOn, "")
}

// SetStorageClass changes the class of a version in place, for lifecycle transitions, and needs
// s3:PutObject. Nothing happens when the version is no longer the one that still tells of.
func (s *Store) SetStorageClass(ctx context.Context, g authz.Grant, still *Info, class string) error {
	if err := g.Require("s3:PutObject", keyARN(still.Bucket, still.Key)); err != nil {
		return err
	}
	return s.changeKey(ctx, still.Bucket, still.Key, 0, false, func(ctx context.Context, t *txn, to target) error {
		place, r, err := t.locate(ctx, to, still.VersionID)
		if err != nil {
			return err
		}
		if err := still.still(r, bytes.Equal(place, headKey(to.bucket.ID, to.key))); err != nil {
			return err
		}
		r.class, r.restored = class, time.Time{}
		t.set(place, r.append(make([]byte, 0, 512)))
		t.tell(g, to, wasTransitioned, r)
		return nil
	})
}

// Restore lets an archived version be read until a time, and needs s3:RestoreObject. Again tells that
// it could be read already.
func (s *Store) Restore(ctx context.Context, g authz.Grant, in *GetInput, until time.Time) (info *Info, again bool, err error) {
	if err := g.Require("s3:RestoreObject", keyARN(in.Bucket, in.Key)); err != nil {
		return nil, false, err
	}
	if err := in.check(); err != nil {
		return nil, false, err
	}
	err = s.changeKey(ctx, in.Bucket, in.Key, 0, false, func(ctx context.Context, t *txn, to target) error {
		place, r, err := t.locate(ctx, to, in.VersionID)
		if err != nil {
			return err
		}
		if !Archived(r.class) {
			return fault.New(InvalidObjectState, "Restore is not allowed for the object's current storage class", "StorageClass", orStandard(r.class))
		}
		again = s.now().Before(r.restored)
		r.restored = until.Truncate(time.Millisecond)
		t.set(place, r.append(make([]byte, 0, 512)))
		t.tell(g, to, wasRetrieved, r)
		info = infoOf(to.bucket, in.Key, r)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return info, again, nil
}

func orStandard(class string) string {
	if class == "" {
		return "STANDARD"
	}
	return class
}

func (r *record) wasRestored() bool { return !r.restored.IsZero() }

func (r *record) appendRestored(dst []byte) []byte {
	return binary.AppendUvarint(dst, uint64(r.restored.UnixMilli()))
}

func (r *record) decodeRestored(d *decoder) { r.restored = time.UnixMilli(d.size()).UTC() }

// Configured are the buckets that have a sub-resource, from memory, for background jobs. It decides
// nothing.
func (s *Store) Configured(setting string) []*Bucket {
	var out []*Bucket
	s.buckets.all(func(b *Bucket) {
		if len(b.Settings[setting]) > 0 {
			out = append(out, b)
		}
	})
	return out
}
