package object

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"

	"github.com/kura-s3/kura/internal/fault"
)

// NullVersion is the id of the version that was written without versioning.
const NullVersion = "null"

// versionText has no character that a shell or an URL minds.
var versionText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

const versionIDLen = 32

// versionID is 20 bytes in 32 characters: the nonce, and the sequence number masked by it, so that a
// lookup by id is one Get and ids tell nothing.
func versionID(seq uint64, nonce *[nonceSize]byte) string {
	var raw [nonceSize + 8]byte
	copy(raw[:], nonce[:])
	binary.BigEndian.PutUint64(raw[nonceSize:], seq^binary.BigEndian.Uint64(nonce[:]))
	return versionText.EncodeToString(raw[:])
}

// parseVersionID is the inverse of versionID.
func parseVersionID(id string) (seq uint64, nonce [nonceSize]byte, err error) {
	var raw [nonceSize + 8]byte
	if len(id) != versionIDLen {
		return 0, nonce, fault.New(InvalidVersionID, "")
	}
	// The decoder passes over line breaks: what is too short then is not one of ours.
	if n, err := versionText.Decode(raw[:], []byte(id)); err != nil || n != len(raw) {
		return 0, nonce, fault.New(InvalidVersionID, "")
	}
	copy(nonce[:], raw[:])
	return binary.BigEndian.Uint64(raw[nonceSize:]) ^ binary.BigEndian.Uint64(nonce[:]), nonce, nil
}

func (r *record) versionID() string {
	if r.null {
		return NullVersion
	}
	if r.replication.origin != 0 {
		return versionID(r.replication.origin, &r.nonce)
	}
	return versionID(r.seq, &r.nonce)
}

// matches tells whether r is the version that id names.
func (r *record) matches(id string) bool {
	return id == r.versionID()
}

// current is the newest version of a key: an object's head, a delete marker, or nothing.
type current struct {
	record
	exists bool
	raw    []byte
}

// object tells whether the key shows an object.
func (c *current) object() bool { return c.exists && !c.marker }

// readCurrent expects what it reads to stay so. Unversioned buckets have no delete markers.
func (t *txn) readCurrent(ctx context.Context, to target) (c current, err error) {
	raw, err := t.get(ctx, headKey(to.bucket.ID, to.key))
	if err != nil {
		return c, err
	}
	if to.bucket.Versioning != Unversioned {
		marker, err := t.get(ctx, markerKey(to.bucket.ID, to.key))
		if err != nil {
			return c, err
		}
		if raw == nil {
			raw = marker
		}
	}
	if raw == nil {
		return c, nil
	}
	c.exists, c.raw = true, raw
	return c, c.decode(raw)
}

// supersede makes next the current version, as the bucket's versioning wants it, and sets its
// sequence number and identity. C is what was current.
func (t *txn) supersede(ctx context.Context, to target, c *current, next *record) error {
	next.seq = c.seq + to.bucket.step(c)
	next.null = to.bucket.Versioning != VersioningEnabled
	if !next.null {
		rand.Read(next.nonce[:])
	}
	if err := t.setAside(ctx, to, c, next.null); err != nil {
		return err
	}
	t.place(to, c, next.append(make([]byte, 0, 256)), next.marker)
	return nil
}

// step is how far a new version's sequence number lies from that of c.
func (b *Bucket) step(c *current) uint64 {
	if !c.exists && b.Versioning == VersioningEnabled || len(b.Settings[SettingReplication]) > 0 {
		return replicaGap
	}
	return 1
}

// setAside takes the current version out of the way of its successor. A null version is replaced by
// a null version, wherever it is; every other one is kept.
func (t *txn) setAside(ctx context.Context, to target, c *current, byNull bool) error {
	switch {
	case c.exists && c.null && byNull:
		if err := t.s.mayRemove(&c.record, false); err != nil {
			return err
		}
		t.discardBody(&c.body)
		return nil
	case c.exists:
		t.set(versionKey(to.bucket.ID, to.key, c.seq), c.raw)
		if c.null {
			t.set(nullKey(to.bucket.ID, to.key), binary.BigEndian.AppendUint64(nil, c.seq))
		}
	}
	if !byNull || to.bucket.Versioning == Unversioned {
		return nil
	}
	return t.dropNull(ctx, to)
}

// dropNull removes the null version that is not current, if there is one.
func (t *txn) dropNull(ctx context.Context, to target) error {
	seq, raw, err := t.readNull(ctx, to)
	if err != nil || raw == nil {
		return err
	}
	var old record
	if err := old.decode(raw); err != nil {
		return err
	}
	if err := t.s.mayRemove(&old, false); err != nil {
		return err
	}
	t.dropOlder(to, &old, seq)
	return nil
}

// readNull is the null version that is not current.
func (t *txn) readNull(ctx context.Context, to target) (seq uint64, raw []byte, err error) {
	pointer, err := t.get(ctx, nullKey(to.bucket.ID, to.key))
	if err != nil || pointer == nil {
		return 0, nil, err
	}
	if len(pointer) != 8 {
		return 0, nil, errRecord
	}
	seq = binary.BigEndian.Uint64(pointer)
	raw, err = t.get(ctx, versionKey(to.bucket.ID, to.key, seq))
	if err == nil && raw == nil {
		err = errRecord
	}
	return seq, raw, err
}

func (t *txn) dropOlder(to target, old *record, seq uint64) {
	t.delete(versionKey(to.bucket.ID, to.key, seq))
	if old.null {
		t.delete(nullKey(to.bucket.ID, to.key))
	}
	t.discardBody(&old.body)
	t.forgetReplica(to, old)
}

// place writes the current version: objects and markers have each their keyspace.
func (t *txn) place(to target, c *current, raw []byte, marker bool) {
	head, tomb := headKey(to.bucket.ID, to.key), markerKey(to.bucket.ID, to.key)
	if marker {
		t.set(tomb, raw)
		if c.object() {
			t.delete(head)
		}
		return
	}
	t.set(head, raw)
	if c.exists && c.marker {
		t.delete(tomb)
	}
}

// removeCurrent takes the current version away for good; the one before it becomes current.
func (t *txn) removeCurrent(ctx context.Context, to target, c *current) error {
	if c.marker {
		t.delete(markerKey(to.bucket.ID, to.key))
	} else {
		t.delete(headKey(to.bucket.ID, to.key))
	}
	t.discardBody(&c.body)
	t.forgetReplica(to, &c.record)
	if to.bucket.Versioning == Unversioned {
		return nil
	}
	key, raw, err := t.first(ctx, escapedKey(spaceVersion, to.bucket.ID, to.key))
	if err != nil || raw == nil {
		return err
	}
	var next record
	if err := next.decode(raw); err != nil {
		return err
	}
	t.delete(key)
	if next.null {
		t.delete(nullKey(to.bucket.ID, to.key))
	}
	if next.marker {
		t.set(markerKey(to.bucket.ID, to.key), raw)
	} else {
		t.set(headKey(to.bucket.ID, to.key), raw)
	}
	return nil
}

// readOlder is a version by id that is not the current one; nil when there is none.
func (t *txn) readOlder(ctx context.Context, to target, id string) (*record, error) {
	var raw []byte
	var err error
	if id == NullVersion {
		_, raw, err = t.readNull(ctx, to)
	} else {
		seq, nonce, parseErr := parseVersionID(id)
		if parseErr != nil {
			return nil, parseErr
		}
		if r, err := t.olderAt(ctx, to, id, seq); r != nil || err != nil {
			return r, err
		}
		pointer, err := t.get(ctx, replicaKey(to.bucket.ID, to.key, seq, &nonce))
		if err != nil || pointer == nil {
			return nil, err
		}
		if seq, err = replicaPlace(pointer); err != nil {
			return nil, err
		}
		return t.olderAt(ctx, to, id, seq)
	}
	return readAs(raw, id, err)
}

// olderAt is the version at a place, nil when it is not the one that id names.
func (t *txn) olderAt(ctx context.Context, to target, id string, seq uint64) (*record, error) {
	raw, err := t.get(ctx, versionKey(to.bucket.ID, to.key, seq))
	return readAs(raw, id, err)
}

func readAs(raw []byte, id string, err error) (*record, error) {
	if err != nil || raw == nil {
		return nil, err
	}
	var r record
	if err := r.decode(raw); err != nil {
		return nil, err
	}
	if !r.matches(id) {
		return nil, nil
	}
	return &r, nil
}

func checkVersionID(id string) error {
	if id == "" || id == NullVersion {
		return nil
	}
	_, _, err := parseVersionID(id)
	return err
}
