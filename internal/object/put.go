package object

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Put stores one object and needs s3:PutObject. When it returns without an error the object is
// durable; on any error nothing was stored. Errors of in.Body come back unchanged.
func (s *Store) Put(ctx context.Context, g authz.Grant, in *PutInput) (*Info, error) {
	b, err := s.writable(g, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	if !in.Expect.Algorithm.known() {
		return nil, invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	limit := int64(MaxSingle)
	if in.MaxSize > 0 && in.Size < 0 {
		limit = min(limit, in.MaxSize)
	}
	if err := s.checkWanted(b, in.Lock); err != nil {
		return nil, err
	}
	keep := in.Expect.Algorithm
	if keep == NoChecksum {
		keep = CRC64NVME
	}
	data, err := s.ingest(ctx, &bodyInput{bucket: b.ID, r: in.Body, size: in.Size, max: limit, keep: keep, expect: &in.Expect, seal: in.Seal})
	if err != nil {
		return nil, err
	}
	next := &record{
		size: data.size, md5: data.md5, checksum: data.checksum, body: data.body, modified: s.millis(),
		class: in.Attributes.StorageClass, attrs: in.Attributes, tags: in.Tags, acl: in.ACL, sum: data.sum,
	}
	if in.Seal != nil {
		next.sealed = &in.Seal.Sealed
	}
	info, err := s.putRecord(ctx, g, in, b.ID, next, data.name)
	data.release(ctx, err)
	return info, err
}

func (a Algorithm) known() bool { return int(a) < len(algorithms) }

// writable checks what every write of an object must pass.
func (s *Store) writable(g authz.Grant, bucket, key string) (*Bucket, error) {
	if err := g.Require("s3:PutObject", keyARN(bucket, key)); err != nil {
		return nil, err
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return s.Bucket(bucket)
}

func keyARN(bucket, key string) string { return "arn:aws:s3:::" + bucket + "/" + key }

func checkKey(key string) error {
	if len(key) > MaxKey {
		return fault.New(KeyTooLong, "", "Size", strconv.Itoa(len(key)), "MaxSizeAllowed", strconv.Itoa(MaxKey))
	}
	if key == "" {
		return invalidRequest("a key has at least one character")
	}
	return nil
}

// putRecord makes next the current version of the key, with what name adds to the commit.
func (s *Store) putRecord(ctx context.Context, g authz.Grant, in *PutInput, bucketID uint64, next *record, name func(*txn)) (*Info, error) {
	var info *Info
	err := s.changeKey(ctx, in.Bucket, in.Key, bucketID, in.If.set(), func(ctx context.Context, t *txn, to target) error {
		c, err := t.readCurrent(ctx, to)
		if err != nil {
			return err
		}
		if err := in.If.check(in.Key, &c); err != nil {
			return err
		}
		next.owner = nil
		if in.Owner != to.bucket.Owner && in.Owner != (Owner{}) {
			next.owner = &in.Owner
		}
		if next.lock, err = s.newLock(to.bucket, in.Lock); err != nil {
			return err
		}
		next.replication = replication{}
		t.wantReplicas(g, to, next)
		if err := t.supersede(ctx, to, &c, next); err != nil {
			return err
		}
		name(t)
		t.tell(g, to, wasCreated, next)
		info = infoOf(to.bucket, in.Key, next)
		info.Latest = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// infoOf shows a record. It shares nothing with the bytes that r was decoded from.
func infoOf(b *Bucket, key string, r *record) *Info {
	info := &Info{
		Bucket: b.Name, Key: key, VersionID: r.versionID(), Versioned: b.Versioning != Unversioned,
		DeleteMarker: r.marker, Size: r.size, Modified: r.time(), Owner: b.Owner,
		Parts: r.parts, Attributes: r.attrs, Tags: r.tags, Checksum: r.checksum, Replication: r.replication.status, Lock: r.lock, Restored: r.restored, seq: r.seq,
	}
	info.Attributes.StorageClass = r.class
	info.Checksum.Value, info.ACL = slices.Clone(r.checksum.Value), slices.Clone(r.acl)
	if r.owner != nil {
		info.Owner = *r.owner
	}
	if !r.marker {
		info.ETag = r.etag()
		info.Encryption = SSES3.String()
		if info.Sealed = r.sealed; r.sealed != nil {
			info.Encryption = r.sealed.Encryption.String()
		}
	}
	return info
}

func (p *Precondition) set() bool {
	return p.IfMatch != "" || p.IfNoneMatch || p.IfSize != nil || p.IfModified != nil
}

// check decides about a write. A delete marker counts as no object.
func (p *Precondition) check(key string, c *current) error {
	if p.IfNoneMatch && c.object() {
		return preconditionFailed("If-None-Match")
	}
	if (p.IfMatch != "" || p.IfSize != nil || p.IfModified != nil) && !c.object() {
		return noSuchKey(key)
	}
	return p.checkObject(&c.record)
}

func (p *Precondition) checkObject(r *record) error {
	switch {
	case p.IfMatch != "" && p.IfMatch != "*" && p.IfMatch != r.etag():
		return preconditionFailed("If-Match")
	case p.IfSize != nil && *p.IfSize != r.size:
		return preconditionFailed("x-amz-if-match-size")
	case p.IfModified != nil && !p.IfModified.Truncate(time.Second).Equal(r.time().Truncate(time.Second)):
		return preconditionFailed("x-amz-if-match-last-modified-time")
	}
	return nil
}
