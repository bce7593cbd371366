package object

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/pace"
)

// A replica has the version id, the time, the ETag and the parts of its source. Its place among the
// versions of its key follows its time, so that replicas which arrive late do not hide what is newer
// (and the two ends of a replication in both directions come to show the same).

// ReplicaInput says which version is to be replicated, and whereto.
type ReplicaInput struct {
	Source   GetInput // with a version id
	SourceID uint64   // of the source's bucket
	Bucket   string   // of the destination
	// StorageClass of the replica; "": the source's.
	StorageClass string
	// Own says whose the replica is, and its ACL. Required, but for delete markers.
	Own func(source *Info) (Owner, []byte)
	// Seal gives what the replica is sealed with, nil for SSE-S3. It is asked where the source is not
	// sealed by the store alone; Source.Unsealer is then asked for the source's key.
	Seal func(ctx context.Context, source *Info) (*Sealing, error)
	// Check is called with the source before anything is written. Optional.
	Check func(source *Info) error
	// WithoutTags leaves the tags behind: a replica that is there keeps its own.
	WithoutTags bool
}

// replicaGap is left before the first version of a key, and between the versions in buckets that
// replicate: room for what arrives late.
const replicaGap = 64

// ReplicationJob is the name under which replication works.
const ReplicationJob = "replication"

// Source describes a version to whoever decides about its replication. It needs
// s3:GetObjectVersionForReplication.
func (s *Store) Source(ctx context.Context, g authz.Grant, in *GetInput) (*Info, error) {
	if err := g.Require("s3:GetObjectVersionForReplication", keyARN(in.Bucket, in.Key)); err != nil {
		return nil, err
	}
	f, err := s.findSource(ctx, in, 0)
	if err != nil {
		return nil, err
	}
	info := f.info(in)
	return &info, nil
}

// OpenSource opens a version for its replication elsewhere. It needs s3:GetObjectVersionForReplication.
func (s *Store) OpenSource(ctx context.Context, g authz.Grant, in *GetInput) (*Object, error) {
	if err := g.Require("s3:GetObjectVersionForReplication", keyARN(in.Bucket, in.Key)); err != nil {
		return nil, err
	}
	f, err := s.findSource(ctx, in, 0)
	if err != nil {
		return nil, err
	}
	if f.marker {
		return &Object{Info: f.info(in)}, nil
	}
	return s.open(ctx, in, f)
}

// findSource finds a version, a delete marker too. BucketID, when not 0, must be the bucket's.
func (s *Store) findSource(ctx context.Context, in *GetInput, bucketID uint64) (*found, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	f, err := s.find(ctx, in)
	if f != nil && fault.Is(err, IsDeleteMarker) {
		err = nil
	}
	if err == nil && bucketID != 0 && f.bucket.ID != bucketID {
		err = noSuchBucket(in.Bucket)
	}
	return f, err
}

// Replicate makes a replica of an object version and needs s3:GetObjectVersionForReplication on the
// source and s3:ReplicateObject on the destination; of a delete marker, s3:ReplicateDelete there. A
// replica that is there already takes over tags, ACL and lock, and no byte is copied: doing it again
// is harmless.
func (s *Store) Replicate(ctx context.Context, g authz.Grant, in *ReplicaInput) (*Info, error) {
	if err := g.Require("s3:GetObjectVersionForReplication", keyARN(in.Source.Bucket, in.Source.Key)); err != nil {
		return nil, err
	}
	src, err := s.findSource(ctx, &in.Source, in.SourceID)
	if err != nil {
		return nil, err
	}
	if in.Check != nil {
		info := src.info(&in.Source)
		if err := in.Check(&info); err != nil {
			return nil, err
		}
	}
	action := "s3:ReplicateObject"
	if src.marker {
		action = "s3:ReplicateDelete"
	}
	if err := g.Require(action, keyARN(in.Bucket, in.Source.Key)); err != nil {
		return nil, err
	}
	b, err := s.Bucket(in.Bucket)
	if err != nil {
		return nil, err
	}
	copied := &replicaBody{}
	if !src.marker && !s.hasVersion(ctx, b, in.Source.Key, src) {
		if copied, err = s.copyBody(ctx, b.ID, in, src); err != nil {
			return nil, err
		}
	}
	info, err := s.placeCopy(ctx, g, in, src, copied)
	for _, data := range copied.data {
		released := err
		if released == nil && !copied.named {
			released = errUnnamed
		}
		data.release(ctx, released)
	}
	return info, err
}

// errUnnamed gives up a body that turned out not to be needed.
var errUnnamed = errors.New("object: the replica was there already")

// replicaID is the version id that a replica of r has: that of r. A null version's replica gets one
// that follows from what it is, so that it replaces nothing.
func (r *record) replicaID(bucket uint64, key string) (seq uint64, nonce [nonceSize]byte) {
	if r.null {
		about := binary.BigEndian.AppendUint64([]byte("kura replica of null\x00"), bucket)
		about = binary.AppendUvarint(binary.AppendUvarint(about, r.seq), uint64(r.modified))
		sum := sha256.Sum256(append(append(about, r.md5[:]...), key...))
		copy(nonce[:], sum[:])
		return r.seq, nonce
	}
	if r.replication.origin != 0 {
		return r.replication.origin, r.nonce
	}
	return r.seq, r.nonce
}

// hasVersion tells whether the destination has the replica already; in doubt it has not.
func (s *Store) hasVersion(ctx context.Context, b *Bucket, key string, src *found) bool {
	current, _ := s.find(ctx, &GetInput{Bucket: b.Name, Key: key})
	if current == nil {
		return false // the key has no version at all
	}
	seq, nonce := src.replicaID(src.bucket.ID, key)
	f, err := s.findVersion(ctx, b, &GetInput{Bucket: b.Name, Key: key, VersionID: versionID(seq, &nonce)})
	return err == nil && f != nil && f.md5 == src.md5 && f.size == src.size
}

// replicaBody is a copied body that no record names yet.
type replicaBody struct {
	data  []*ingested
	parts []partRecord // of a multipart body
	seal  *Sealing
	named bool
}

// copyBody seals the bytes of a version anew, for another bucket. A multipart body is copied part by
// part.
func (s *Store) copyBody(ctx context.Context, bucket uint64, in *ReplicaInput, src *found) (_ *replicaBody, err error) {
	c := &replicaBody{}
	key, err := unseal(ctx, in.Source.Unsealer, src.sealed)
	if err != nil {
		return nil, err
	}
	if src.sealed != nil {
		info := src.info(&in.Source)
		if c.seal, err = in.Seal(ctx, &info); err != nil {
			return nil, err
		}
		if err = s.openChecksum(key, src.bucket.ID, &src.body, src.sum, &src.checksum); err != nil {
			return nil, err
		}
	}
	from, err := s.openBody(ctx, src.bucket.ID, &src.body, key, src.size, 0, src.size)
	if errors.Is(err, errGone) {
		err = fault.New(Busy, "")
	}
	if err != nil {
		return nil, err
	}
	defer from.Close()
	defer func() {
		if err != nil {
			for _, data := range c.data {
				data.release(ctx, err)
			}
		}
	}()
	if src.body.kind != bodyManifest {
		_, err = c.copy(ctx, s, bucket, from, src.size, src.checksum.Algorithm)
		return c, err
	}
	for i := range src.body.pages {
		parts, err := s.readPage(ctx, &src.body, i)
		if errors.Is(err, errGone) {
			err = fault.New(Busy, "")
		}
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			data, err := c.copy(ctx, s, bucket, io.LimitReader(from, p.size), p.size, p.checksum.Algorithm)
			if err != nil {
				return nil, err
			}
			p.body, p.checksum, p.sum = data.body, data.checksum, data.sum
			c.parts = append(c.parts, p)
		}
	}
	return c, nil
}

// breathing reads in the turn of ctx, and lets others have theirs in between.
type breathing struct {
	ctx context.Context
	io.Reader
}

func (b *breathing) Read(p []byte) (int, error) {
	if err := pace.Breathe(b.ctx); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

func (c *replicaBody) copy(ctx context.Context, s *Store, bucket uint64, r io.Reader, size int64, keep Algorithm) (*ingested, error) {
	if keep == NoChecksum {
		keep = CRC64NVME
	}
	if size > s.inlineMax {
		r = &breathing{ctx, r}
	}
	data, err := s.ingest(ctx, &bodyInput{bucket: bucket, r: r, size: size, max: MaxObject, keep: keep, seal: c.seal, expect: &Expected{}})
	if err == nil {
		c.data = append(c.data, data)
	}
	return data, err
}

// placeCopy commits the replica.
func (s *Store) placeCopy(ctx context.Context, g authz.Grant, in *ReplicaInput, src *found, c *replicaBody) (*Info, error) {
	var info *Info
	err := s.changeKey(ctx, in.Bucket, in.Source.Key, 0, false, func(ctx context.Context, t *txn, to target) error {
		if to.bucket.Versioning != VersioningEnabled {
			return fault.New(InvalidBucketState, "Destination bucket must have versioning enabled.")
		}
		next := s.replicaOf(in, src, to)
		current, err := t.readCurrent(ctx, to)
		if err != nil {
			return err
		}
		place, there, err := t.findID(ctx, to, &current, next.versionID())
		if err != nil {
			return err
		}
		c.named = false
		switch {
		case there != nil && there.marker:
			next = there
		case there != nil:
			there.takeOver(next, in.WithoutTags, s.lockTime())
			t.set(place, there.append(make([]byte, 0, 512)))
			t.tell(g, to, wasTagged, there)
			next = there
		case !src.marker && len(c.data) == 0 && src.size > 0:
			return fault.New(Busy, "") // it was there a moment ago
		default:
			// What the source does not lock, or no longer, gets the destination's default, once: later states
			// of the source do not prolong it.
			if !next.marker {
				if !next.lock.retained(s.lockTime()) {
					next.lock.Mode, next.lock.Until = NoRetention, time.Time{}
				}
				if next.lock, err = s.newLock(to.bucket, &next.lock); err != nil {
					return err
				}
			}
			if err := t.insertReplica(ctx, to, &current, next, c); err != nil {
				return err
			}
			what := wasCreated
			if next.marker {
				what = wasMarked
			}
			t.tell(g, to, what, next)
		}
		info = infoOf(to.bucket, in.Source.Key, next)
		return nil
	})
	return info, err
}

// replicaOf is the record of a replica, without its place and body.
func (s *Store) replicaOf(in *ReplicaInput, src *found, to target) *record {
	next := &record{
		modified: src.modified, size: src.size, md5: src.md5, parts: src.parts, checksum: src.checksum, marker: src.marker,
		class: src.class, attrs: src.attrs, tags: src.tags, replication: replication{status: Replica},
	}
	next.replication.origin, next.nonce = src.replicaID(src.bucket.ID, in.Source.Key)
	if src.marker {
		return next
	}
	if in.WithoutTags {
		next.tags = nil
	}
	if in.StorageClass != "" {
		next.class, next.attrs.StorageClass = in.StorageClass, in.StorageClass
	}
	info := src.info(&in.Source)
	owner, acl := in.Own(&info)
	next.acl = acl
	if owner != to.bucket.Owner && owner != (Owner{}) {
		next.owner = &owner
	}
	if to.bucket.lock.config != nil {
		next.lock = src.lock
	}
	return next
}

// takeOver gives r the metadata of a newer state of its source. A lock is never weakened: who has the
// source must not be able to free the copies. One that ended makes way for one that holds.
func (r *record) takeOver(next *record, withoutTags bool, now time.Time) {
	if !withoutTags {
		r.tags = next.tags
	}
	if r.replication.status == Replica {
		r.owner, r.acl = next.owner, next.acl
	}
	stronger := next.lock.Mode >= r.lock.Mode && next.lock.Until.After(r.lock.Until)
	if stronger || next.lock.retained(now) && !r.lock.retained(now) {
		r.lock.Mode, r.lock.Until = next.lock.Mode, next.lock.Until
	}
	if next.lock.Hold == HoldOn {
		r.lock.Hold = HoldOn
	}
}

// insertReplica puts next where its time belongs and names its body.
func (t *txn) insertReplica(ctx context.Context, to target, c *current, next *record, copied *replicaBody) (err error) {
	for _, data := range copied.data {
		data.name(t)
	}
	copied.named = true
	switch {
	case copied.parts != nil:
		next.body = t.writeManifest(copied.parts)
	case len(copied.data) > 0:
		next.body = copied.data[0].body
	}
	if copied.seal != nil {
		next.sealed = &copied.seal.Sealed
		next.sum = sealChecksum(copied.seal.Key.wrapper, to.bucket.ID, &next.body, &next.checksum)
	}
	origin := next.replication.origin
	if !c.exists || next.modified >= c.modified {
		next.seq = origin
		if c.exists {
			next.seq = max(origin, c.seq+1)
		}
		t.settle(to, next)
		if err := t.setAside(ctx, to, c, false); err != nil {
			return err
		}
		t.place(to, c, next.append(make([]byte, 0, 256)), next.marker)
		return nil
	}
	if next.seq, err = t.vacantPlace(ctx, to, min(origin, c.seq-1), c.seq); err != nil {
		return err
	}
	t.settle(to, next)
	t.set(versionKey(to.bucket.ID, to.key, next.seq), next.append(make([]byte, 0, 256)))
	return nil
}

// settle notes where a version is whose id does not say it.
func (t *txn) settle(to target, next *record) {
	if next.seq == next.replication.origin {
		next.replication.origin = 0
		return
	}
	t.set(replicaKey(to.bucket.ID, to.key, next.replication.origin, &next.nonce), binary.BigEndian.AppendUint64(nil, next.seq))
}

// vacantPlace is a free sequence number below limit: wanted, or the next one down, or up.
func (t *txn) vacantPlace(ctx context.Context, to target, wanted, limit uint64) (uint64, error) {
	free := func(seq uint64) (bool, error) {
		raw, err := t.get(ctx, versionKey(to.bucket.ID, to.key, seq))
		return raw == nil, err
	}
	for seq := wanted; seq > 0 && wanted-seq < placesTried; seq-- {
		if ok, err := free(seq); ok || err != nil {
			return seq, err
		}
	}
	for seq := wanted + 1; seq < limit && seq-wanted < placesTried; seq++ {
		if ok, err := free(seq); ok || err != nil {
			return seq, err
		}
	}
	return 0, fault.New(InvalidBucketState, "The versions of the key leave no place for an older one.")
}

const placesTried = 1000

// replicaKey is where the sequence number of a replica stands whose id names another one.
func replicaKey(bucket uint64, key string, origin uint64, nonce *[nonceSize]byte) []byte {
	k := binary.BigEndian.AppendUint64(escapedKey(spaceReplica, bucket, key), origin)
	return append(k, nonce[:]...)
}

// forgetReplica is called when a version's record goes away for good.
func (t *txn) forgetReplica(to target, r *record) {
	if origin := r.replication.origin; origin != 0 {
		t.delete(replicaKey(to.bucket.ID, to.key, origin, &r.nonce))
	}
}

// replicaPlace is the sequence number of the version that id names, when it is another than id says.
func replicaPlace(raw []byte) (uint64, error) {
	if len(raw) != 8 {
		return 0, errRecord
	}
	return binary.BigEndian.Uint64(raw), nil
}

// placeOfReplica is the sequence number of a replica whose id names another one; 0 when there is none.
func (s *Store) placeOfReplica(ctx context.Context, b *Bucket, key string, origin uint64, nonce *[nonceSize]byte) (uint64, error) {
	raw, version, err := s.meta.Get(ctx, replicaKey(b.ID, key, origin, nonce), nil)
	if err != nil || version == 0 {
		return 0, stored(err)
	}
	seq, err := replicaPlace(raw)
	if err != nil {
		return 0, s.noticeDamage(err)
	}
	return seq, nil
}

// wantReplicas sets the status of a version that was made or changed: pending, when a rule replicates
// it. What replication and expiry do is not replicated.
func (t *txn) wantReplicas(g authz.Grant, to target, r *record) {
	c := to.bucket.Replication()
	if c == nil || r.replication.status == Replica || to.bucket.Versioning != VersioningEnabled {
		return
	}
	if ev := g.Event(); ev != nil && r.marker && ev.Operation == LifecycleJob {
		return
	}
	if len(c.For(infoOf(to.bucket, to.key, r))) > 0 {
		r.replication.status = ReplicationPending
	}
}

// changedReplicas sets the status after a change of a version's metadata: what was replicated is to be
// replicated again.
func (t *txn) changedReplicas(g authz.Grant, to target, r *record) {
	if r.replication.status == ReplicationCompleted || r.replication.status == ReplicationFailed {
		t.unsent = r.replication.status == ReplicationFailed
		t.wantReplicas(g, to, r)
	}
}

// SetReplicationStatus says what became of a version's replicas and needs s3:ReplicateObject on the
// version itself, with what extra adds to the commit. A version that is gone, or that changed to
// another state meanwhile, is left alone; extra is committed all the same. A status that is lost in a
// crash is found again by whoever works off extra, so nothing waits for the disk.
func (s *Store) SetReplicationStatus(ctx context.Context, g authz.Grant, in *GetInput, bucketID uint64, status ReplicationStatus, extra func(*engine.Batch)) error {
	if err := g.Require("s3:ReplicateObject", keyARN(in.Bucket, in.Key)); err != nil {
		return err
	}
	err := s.changeKey(ctx, in.Bucket, in.Key, bucketID, false, func(ctx context.Context, t *txn, to target) error {
		extra(&t.batch)
		t.batch.Lazy = true
		current, err := t.readCurrent(ctx, to)
		if err != nil {
			return err
		}
		place, r, err := t.findID(ctx, to, &current, in.VersionID)
		if err != nil || r == nil {
			return err
		}
		if was := r.replication.status; was == status || was == NotReplicated && status != ReplicationPending || was == Replica {
			return nil
		}
		r.replication.status = status
		t.set(place, r.append(make([]byte, 0, 512)))
		if status == ReplicationFailed {
			t.tell(g, to, wasNotReplicated, r)
		}
		return nil
	})
	if fault.Is(err, NoSuchBucket) {
		var b engine.Batch
		extra(&b)
		return stored(s.meta.Commit(ctx, &b))
	}
	return err
}

// findID finds a version or delete marker by its id, and its place. C is the current one.
func (t *txn) findID(ctx context.Context, to target, c *current, id string) (place []byte, r *record, err error) {
	if !c.exists {
		return nil, nil, nil
	}
	if c.matches(id) {
		if c.marker {
			return markerKey(to.bucket.ID, to.key), &c.record, nil
		}
		return headKey(to.bucket.ID, to.key), &c.record, nil
	}
	if r, err = t.readOlder(ctx, to, id); err != nil || r == nil {
		return nil, nil, err
	}
	return versionKey(to.bucket.ID, to.key, r.seq), r, nil
}
