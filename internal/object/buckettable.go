package object

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/engine"
)

// bucketTable is every bucket, in memory. Readers take no lock; a change copies one shard.
type bucketTable struct {
	shards [bucketShards]atomic.Pointer[map[string]*Bucket]
	// locks are held by whoever changes a bucket, from reading to publishing: changes of different buckets share the
	// commits of the engine. Several names have one lock.
	locks [lockStripes]sync.Mutex
	// making is held before a lock by whoever makes a bucket, so that an account does not get too many.
	making sync.Mutex
	seed   maphash.Seed
	total  atomic.Int64

	publishing sync.Mutex
	owned      map[string]int // by account; under publishing
}

const bucketShards = 256

func (t *bucketTable) lock(name string) *sync.Mutex {
	return &t.locks[maphash.String(t.seed, name)%lockStripes]
}

func (t *bucketTable) shard(name string) *atomic.Pointer[map[string]*Bucket] {
	return &t.shards[maphash.String(t.seed, name)%bucketShards]
}

func (t *bucketTable) get(name string) *Bucket {
	if m := t.shard(name).Load(); m != nil {
		return (*m)[name]
	}
	return nil
}

func (t *bucketTable) count() int { return int(t.total.Load()) }

// publish makes b what name means; nil takes the bucket away. Under the lock of name.
func (t *bucketTable) publish(name string, b *Bucket) {
	t.publishing.Lock()
	defer t.publishing.Unlock()
	shard := t.shard(name)
	next := map[string]*Bucket{}
	if m := shard.Load(); m != nil {
		next = maps.Clone(*m)
	}
	if old := next[name]; old != nil {
		t.total.Add(-1)
		t.owned[old.Owner.Account]--
		delete(next, name)
	}
	if b != nil {
		t.total.Add(1)
		t.owned[b.Owner.Account]++
		next[name] = b
	}
	shard.Store(&next)
}

// all calls fn for each bucket, in no order.
func (t *bucketTable) all(fn func(*Bucket)) {
	for i := range t.shards {
		if m := t.shards[i].Load(); m != nil {
			for _, b := range *m {
				fn(b)
			}
		}
	}
}

func (t *bucketTable) ownedBy(account string) int {
	t.publishing.Lock()
	defer t.publishing.Unlock()
	return t.owned[account]
}

// loadBuckets reads all buckets, before anybody else does anything with them.
func (s *Store) loadBuckets(ctx context.Context) error {
	t := &s.buckets
	t.owned, t.seed = map[string]int{}, maphash.MakeSeed()
	return s.scanBuckets(ctx, func(name string, it engine.Iterator) error {
		b, err := decodeBucket(it.Value(), it.Version())
		if err == nil {
			t.publish(name, b)
		}
		return err
	})
}

func (s *Store) scanBuckets(ctx context.Context, fn func(name string, it engine.Iterator) error) error {
	lo, hi := prefixRange([]byte(spaceBucket))
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		name := string(it.Key()[len(spaceBucket):])
		if err := fn(name, it); err != nil {
			return fmt.Errorf("bucket %q: %w", name, err)
		}
	}
	return it.Err()
}

// followBuckets brings the table to what is stored. Records that did not change are not decoded.
func (s *Store) followBuckets(ctx context.Context) error {
	t := &s.buckets
	var changed []string
	seen := make(map[string]bool, t.count())
	err := s.scanBuckets(ctx, func(name string, it engine.Iterator) error {
		seen[name] = true
		if b := t.get(name); b == nil || b.Revision != it.Version() {
			changed = append(changed, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.all(func(b *Bucket) {
		if !seen[b.Name] {
			changed = append(changed, b.Name)
		}
	})
	for _, name := range changed {
		if err := s.follow(ctx, name); err != nil {
			return fmt.Errorf("bucket %q: %w", name, err)
		}
	}
	return nil
}

// follow brings the table to what is stored of one bucket.
func (s *Store) follow(ctx context.Context, name string) error {
	lock := s.buckets.lock(name)
	lock.Lock()
	defer lock.Unlock()
	return s.republish(ctx, name)
}

// republish is follow under the bucket's lock.
func (s *Store) republish(ctx context.Context, name string) error {
	raw, version, err := s.meta.Get(ctx, bucketKey(name), nil)
	if err != nil {
		return stored(err)
	}
	old := s.buckets.get(name)
	switch {
	case version == 0 && old != nil:
		s.buckets.publish(name, nil)
		return nil
	case version == 0 || old != nil && old.Revision == version:
		return nil
	}
	b, err := decodeBucket(raw, version)
	if err != nil {
		return stored(err)
	}
	if old != nil && old.ID == b.ID {
		b.gate = old.gate
	}
	s.buckets.publish(name, b)
	return nil
}
