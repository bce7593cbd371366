package feed_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/feed"
)

func open(t *testing.T, meta engine.Meta, consumers ...string) *feed.Feed {
	t.Helper()
	f, err := feed.Open(t.Context(), meta, consumers...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// add commits one entry.
func add(t *testing.T, f *feed.Feed, meta engine.Meta, resource string) {
	t.Helper()
	var b engine.Batch
	done, err := f.Add(&b, feed.Entry{Kind: feed.Bucket, Resource: resource})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, f *feed.Feed, consumer string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	entries, err := f.Next(ctx, consumer, 100)
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Resource)
	}
	if len(entries) > 0 {
		if err := f.Done(t.Context(), consumer, entries[len(entries)-1].Seq, nil); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestEachConsumerReadsEverythingOnceInOrder(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "a", "b")
	for i := range 3 {
		add(t, f, meta, fmt.Sprint(i))
	}
	same(t, "a", next(t, f, "a"), "0", "1", "2")
	same(t, "a again", next(t, f, "a"))
	add(t, f, meta, "3")
	same(t, "b", next(t, f, "b"), "0", "1", "2", "3")

	// After a restart each goes on where it was; a new consumer begins with what comes next.
	f = open(t, meta, "a", "b", "c")
	add(t, f, meta, "4")
	same(t, "a after a restart", next(t, f, "a"), "3", "4")
	same(t, "b after a restart", next(t, f, "b"), "4")
	same(t, "c", next(t, f, "c"), "4")
	if n := records(t, meta, "f/e/"); n != 0 {
		t.Errorf("%d entries are kept that everybody is done with", n)
	}
}

func TestNobodyReadsPastACommitThatHasNotEnded(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "a")
	var slow engine.Batch
	done, err := f.Add(&slow, feed.Entry{Resource: "slow"})
	if err != nil {
		t.Fatal(err)
	}
	add(t, f, meta, "quick")
	same(t, "while the first commit runs", next(t, f, "a"))
	if err := meta.Commit(t.Context(), &slow); err != nil {
		t.Fatal(err)
	}
	done()
	same(t, "after it", next(t, f, "a"), "slow", "quick")
}

func TestAFailedCommitLeavesNoEntry(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "a")
	var b engine.Batch
	b.Require([]byte("x"), 7)
	done, err := f.Add(&b, feed.Entry{Resource: "never"})
	if err != nil {
		t.Fatal(err)
	}
	if err := meta.Commit(t.Context(), &b); err == nil {
		t.Fatal("the commit went through")
	}
	done()
	add(t, f, meta, "after")
	same(t, "a", next(t, f, "a"), "after")
}

func TestDoneCommitsWhatWasMadeOfTheEntries(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "a")
	add(t, f, meta, "x")
	entries, err := f.Next(t.Context(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	var extra engine.Batch
	extra.Set([]byte("made"), []byte("of x"))
	extra.Require([]byte("made"), 9)
	if err := f.Done(t.Context(), "a", entries[0].Seq, &extra); err == nil {
		t.Error("done although what was made of it was not written")
	}
	again, err := f.Next(t.Context(), "a", 1)
	if err != nil || len(again) != 1 || again[0].Seq != entries[0].Seq {
		t.Errorf("the entry was not given again: %v %v", again, err)
	}
}

func records(t *testing.T, meta engine.Meta, prefix string) (n int) {
	t.Helper()
	it, err := meta.Scan(t.Context(), []byte(prefix), engine.PrefixEnd([]byte(prefix)))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		n++
	}
	return n
}

// TestAHeavyBatchIsFull: a consumer stops after the entry that made it so.
func TestAHeavyBatchIsFull(t *testing.T) {
	var w feed.Weight
	var b engine.Batch
	for n := range 9 {
		if w.Full(&b) {
			t.Fatalf("full after %d MiB", n)
		}
		b.Set([]byte("k"), make([]byte, 1<<20))
	}
	if !w.Full(&b) {
		t.Error("not full after 9 MiB")
	}
}
