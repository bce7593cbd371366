package feed

import (
	"context"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
)

// TestBehindIsHowLongTheOldestEntryWaits: a quiet night before a change, and changes that failed, keep nobody waiting.
func TestBehindIsHowLongTheOldestEntryWaits(t *testing.T) {
	meta := memory.NewMeta()
	f, err := Open(t.Context(), meta, "c")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Hour)
	f.now = func() time.Time { return now }
	begin := func() (commit func(ok bool)) {
		var b engine.Batch
		done, err := f.Add(&b, Entry{Kind: Bucket})
		if err != nil {
			t.Fatal(err)
		}
		return func(ok bool) {
			if ok {
				if err := meta.Commit(t.Context(), &b); err != nil {
					t.Fatal(err)
				}
			}
			done()
		}
	}
	next := func() []Entry {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		entries, _ := f.Next(ctx, "c", 100)
		return entries
	}
	is := func(when string, want time.Duration) {
		t.Helper()
		if got := f.Behind("c"); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	begin()(true)
	now = now.Add(time.Minute)
	is("a change that waits", time.Minute)
	for _, e := range next() {
		if err := f.Done(t.Context(), "c", e.Seq, nil); err != nil {
			t.Fatal(err)
		}
	}
	is("all done", 0)
	now = now.Add(8 * time.Hour)
	commit := begin()
	is("a change in the making, after a quiet night", 0)
	commit(false)
	if got := next(); len(got) > 0 {
		t.Fatalf("%d entries", len(got))
	}
	now = now.Add(time.Hour)
	is("the change failed", 0)
	begin()(true)
	now = now.Add(time.Second)
	is("another change", time.Second)
	if got := next(); len(got) != 1 {
		t.Errorf("%d entries", len(got))
	}
}
