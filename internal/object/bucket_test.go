package object

import (
	"fmt"
	"sync"
	"testing"
	"time"

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
		case <-time.After(10 * time.Second):
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
