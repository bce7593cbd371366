package object

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/faulty"
	"github.com/kura-s3/kura/internal/engine/memory"
)

// TestChangesOfBucketsShareCommits: who changes one bucket does not wait until the change of another is on disk.
func TestChangesOfBucketsShareCommits(t *testing.T) {
	meta, plan := memory.NewMeta(), &faulty.Plan{}
	f := newFixtureOn(t, faulty.Meta{Meta: meta, Plan: plan}, memory.NewBlob(), newRing(t, meta))
	names := []string{"b-1", "b-2"}
	for f.store.buckets.lock(names[0]) == f.store.buckets.lock(names[1]) {
		names[1] += "x"
	}
	for _, name := range names {
		f.bucket(name, Unversioned)
	}
	met := make(chan struct{})
	plan.Set(func(op faulty.Op, n int) error {
		switch {
		case op != faulty.Commit:
			return nil
		case n == len(names):
			close(met)
		}
		select {
		case <-met:
			return nil
		case <-time.After(time.Minute):
			return fmt.Errorf("one change waits for the other")
		}
	}, nil)
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() { f.versioning(name, VersioningEnabled) })
	}
	group.Wait()
}

// TestConcurrentChangesOfBucketsAreAllKept: also while buckets come and go, and others look at all of them.
func TestConcurrentChangesOfBucketsAreAllKept(t *testing.T) {
	f := newFixture(t)
	const buckets, changers, changes = 3, 4, 25
	for i := range buckets {
		f.bucket(fmt.Sprintf("b-%d", i), Unversioned)
	}
	var group sync.WaitGroup
	for c := range changers {
		group.Go(func() {
			for n := range changes {
				_, err := f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketPolicy", fmt.Sprintf("b-%d", n%buckets), func(b *Bucket) error {
					b.Settings[fmt.Sprintf("setting-%d-%d", c, n)] = []byte("x")
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Go(func() {
		for n := range changes {
			name := fmt.Sprintf("passing-%d", n)
			f.bucket(name, Unversioned)
			if err := f.store.followBuckets(t.Context()); err != nil {
				t.Error(err)
			}
			if err := f.store.DeleteBucket(t.Context(), f.grant, name); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	check := func(when string) {
		kept := 0
		for i := range buckets {
			b, err := f.store.Bucket(fmt.Sprintf("b-%d", i))
			if err != nil {
				t.Fatal(err)
			}
			kept += len(b.Settings)
		}
		if want := changers * changes; kept != want || f.store.buckets.count() != buckets || f.store.buckets.ownedBy(alice.Account) != buckets {
			t.Errorf("%s: %d settings of %d, %d buckets, %d owned", when, kept, want, f.store.buckets.count(), f.store.buckets.ownedBy(alice.Account))
		}
	}
	check("at once")
	f.reopen()
	check("after a start")
}

// TestWhoHearsOfABucketFindsIt: the feed gives a new bucket when it can be looked at.
func TestWhoHearsOfABucketFindsIt(t *testing.T) {
	meta := &waitingMeta{Meta: memory.NewMeta()}
	f := newFixtureOn(t, meta, memory.NewBlob(), newRing(t, meta))
	changes := f.listen()
	heard := make(chan bool, 1)
	go func() {
		entries, err := changes.Next(t.Context(), "test", 1)
		heard <- err == nil && len(entries) == 1 && f.store.buckets.get(entries[0].Resource) != nil
	}()
	meta.wait.Store(true)
	f.bucket("new", Unversioned)
	if !<-heard {
		t.Error("who heard of the bucket did not find it")
	}
}

// waitingMeta gives others time before the record of a bucket is read.
type waitingMeta struct {
	engine.Meta
	wait atomic.Bool
}

func (m *waitingMeta) Get(ctx context.Context, key, buf []byte) ([]byte, engine.Version, error) {
	if m.wait.Load() && bytes.HasPrefix(key, []byte(spaceBucket)) {
		time.Sleep(30 * time.Millisecond)
	}
	return m.Meta.Get(ctx, key, buf)
}

// TestBucketsAndTheirAccountDoNotChangeTogether: what is allowed because of a bucket and its account together holds until
// the change is made, whichever of them it changes.
func TestBucketsAndTheirAccountDoNotChangeTogether(t *testing.T) {
	f := newFixture(t)
	f.bucket("both", Unversioned)
	account := f.store.buckets.get("both").Owner.Account
	var group sync.WaitGroup
	var both, either atomic.Int64
	// Each opens its side only while the other's is closed.
	open := func(b *Bucket, a *Account) bool { return b.Settings["open"] != nil && a.Settings["open"] != nil }
	for range 50 {
		group.Go(func() {
			_, err := f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketPolicy", "both", func(b *Bucket) error {
				if f.store.Account(account).Settings["open"] == nil {
					either.Add(1)
					b.Settings["open"] = []byte("x")
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			_, err := f.store.UpdateAccount(t.Context(), f.grant, "s3:PutAccountPublicAccessBlock", account, func(a *Account) error {
				if f.store.buckets.get("both").Settings["open"] == nil {
					either.Add(1)
					a.Settings["open"] = []byte("x")
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		if open(f.store.buckets.get("both"), f.store.Account(account)) {
			both.Add(1)
		}
		if _, err := f.store.UpdateBucket(t.Context(), f.grant, "s3:PutBucketPolicy", "both", func(b *Bucket) error { delete(b.Settings, "open"); return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := f.store.UpdateAccount(t.Context(), f.grant, "s3:PutAccountPublicAccessBlock", account, func(a *Account) error { delete(a.Settings, "open"); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if both.Load() > 0 || either.Load() != 50 {
		t.Errorf("opened together %d times, alone %d times", both.Load(), either.Load())
	}
}

// TestAChangeThatWaitsHoldsUpNoOther: who changes a bucket waits for those who write its objects; the feed does not.
func TestAChangeThatWaitsHoldsUpNoOther(t *testing.T) {
	f := newFixture(t)
	changes := f.listen()
	f.bucket("busy", Unversioned)
	f.bucket("other", Unversioned)
	gate := f.store.buckets.get("busy").gate
	gate.RLock()
	var waiting sync.WaitGroup
	waiting.Go(func() { f.setting("busy", "s", "x") })
	time.Sleep(20 * time.Millisecond)
	f.setting("other", "s", "x")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	entries, err := changes.Next(ctx, "test", 10)
	if err != nil || len(entries) != 3 || entries[2].Resource != "other" || entries[2].Before == nil {
		t.Errorf("%d entries, %v; want both buckets, and the change of the other", len(entries), err)
	}
	gate.RUnlock()
	waiting.Wait()
	if entries, err = changes.Next(ctx, "test", 10); err != nil || len(entries) != 4 {
		t.Errorf("%d entries in the end, %v", len(entries), err)
	}
}
