package object

import (
	"bytes"
	"context"
	"errors"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// txn gathers what one commit expects and writes, and the trash that becomes known with it.
type txn struct {
	s     *Store
	batch engine.Batch
	trash []trash
	// touched holds what this txn read and wrote, for transactions that come back to a key; nil
	// for those that touch each record once.
	touched map[string]cell
	// told are the changes that the feed learns of with the commit.
	told []told
	// unsent says that the version that is changed was not replicated before (Change.Unsent).
	unsent bool
}

// cell is the state of a record inside a txn.
type cell struct {
	value   []byte // nil: no record
	written bool
}

func (s *Store) begin() *txn { return &txn{s: s} }

// beginMany is begin for a txn that may read what it wrote.
func (s *Store) beginMany() *txn { return &txn{s: s, touched: map[string]cell{}} }

// get reads a record and expects it to stay so until the commit.
func (t *txn) get(ctx context.Context, key []byte) ([]byte, error) {
	if t.touched != nil {
		if c, ok := t.touched[string(key)]; ok {
			return c.value, nil
		}
	}
	value, version, err := t.s.meta.Get(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		value = nil
	}
	t.expect(key, value, version)
	return value, nil
}

func (t *txn) expect(key, value []byte, version engine.Version) {
	t.batch.Require(key, version)
	if t.touched != nil {
		t.touched[string(key)] = cell{value: value}
	}
}

func (t *txn) set(key, value []byte) {
	t.batch.Set(key, value)
	if t.touched != nil {
		t.touched[string(key)] = cell{value: value, written: true}
	}
}

func (t *txn) delete(key []byte) {
	t.batch.Delete(key)
	if t.touched != nil {
		t.touched[string(key)] = cell{written: true}
	}
}

// first is the first record with the prefix, as this txn sees it. The result is the caller's own.
func (t *txn) first(ctx context.Context, prefix []byte) (key, value []byte, err error) {
	lo, hi := prefixRange(prefix)
	it, err := t.s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	for it.Next() {
		c, known := t.touched[string(it.Key())]
		if known && c.value == nil {
			continue
		}
		key, value = bytes.Clone(it.Key()), bytes.Clone(it.Value())
		if known {
			value = c.value
		} else {
			t.expect(key, value, it.Version())
		}
		break
	}
	if err := it.Err(); err != nil {
		return nil, nil, err
	}
	for k, c := range t.touched {
		if c.written && c.value != nil && bytes.HasPrefix([]byte(k), prefix) && (key == nil || k < string(key)) {
			key, value = []byte(k), c.value
		}
	}
	return key, value, nil
}

// discard puts tr into the trash with this commit.
func (t *txn) discard(tr trash) {
	tr.id = t.s.ids.next()
	t.batch.Set(spaceKey(spaceTrash, tr.id), tr.encode())
	t.trash = append(t.trash, tr)
}

// discardBody gives up a body that the commit unlinks.
func (t *txn) discardBody(b *body) {
	switch b.kind {
	case bodyInline:
		t.batch.Delete(spaceKey(spaceBody, b.id))
	case bodyBlob:
		t.discard(trash{kind: trashBlob, about: b.id, ref: engine.Ref(b.ref)})
	case bodyManifest:
		t.discard(trash{kind: trashManifest, about: b.id, pages: len(b.pages)})
	}
}

func (t *txn) commit(ctx context.Context) error {
	if len(t.told) > 0 {
		done, err := t.announce(&t.batch)
		if err != nil {
			return err
		}
		defer done()
	}
	if err := t.s.meta.Commit(ctx, &t.batch); err != nil {
		return err
	}
	t.s.drain.add(t.trash)
	return nil
}

// target is what a change is about.
type target struct {
	bucket *Bucket
	key    string
}

// changeKey runs one read-check-commit on a key, alone among those on the same key, and again when
// another node was faster. Fn must have no effect but on the txn. BucketID, when not 0, must still be
// the bucket's.
func (s *Store) changeKey(ctx context.Context, bucket, key string, bucketID uint64, conditional bool, fn func(ctx context.Context, t *txn, to target) error) error {
	ctx = context.WithoutCancel(ctx)
	for range commitAttempts {
		err := s.changeKeyOnce(ctx, bucket, key, bucketID, fn)
		if !errors.Is(err, engine.ErrConflict) {
			return stored(err)
		}
		if err := s.refreshBucket(ctx, bucket); err != nil {
			return err
		}
	}
	if conditional {
		return fault.New(ConditionalConflict, "", "Key", key)
	}
	return fault.New(Busy, "")
}

func (s *Store) changeKeyOnce(ctx context.Context, bucket, key string, bucketID uint64, fn func(ctx context.Context, t *txn, to target) error) error {
	b := s.buckets.get(bucket)
	if b == nil {
		return noSuchBucket(bucket)
	}
	lock := &s.keyLocks[s.stripe(b.ID, key)]
	lock.Lock()
	defer lock.Unlock()
	b.gate.RLock()
	defer b.gate.RUnlock()
	// The gate is the bucket's for life, so what it means now stays until we let go.
	now := s.buckets.get(bucket)
	if now == nil || now.ID != b.ID || bucketID != 0 && now.ID != bucketID {
		return noSuchBucket(bucket)
	}
	t := s.begin()
	if err := fn(ctx, t, target{now, key}); err != nil {
		return err
	}
	if len(t.batch.Writes) == 0 {
		return nil
	}
	t.batch.Require(bucketKey(bucket), now.Revision)
	return t.commit(ctx)
}

// refreshBucket looks whether another node changed the bucket.
func (s *Store) refreshBucket(ctx context.Context, name string) error {
	if err := s.follow(ctx, name); err != nil {
		return err
	}
	if s.buckets.get(name) == nil {
		return noSuchBucket(name)
	}
	return nil
}
