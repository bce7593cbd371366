package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/policy"
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
	same(t, "b again", next(t, f, "b")) // it waits, and so its place is kept

	// After a restart each goes on where it was; a new consumer begins with what comes next.
	f = open(t, meta, "a", "b", "c")
	add(t, f, meta, "4")
	same(t, "a after a restart", next(t, f, "a"), "3", "4")
	same(t, "b after a restart", next(t, f, "b"), "4")
	same(t, "c", next(t, f, "c"), "4")
	same(t, "c again", next(t, f, "c"))
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

// TestWhatWasMadeIsNotMadeAgain: who writes is done for good, who does not may read again after a crash.
func TestWhatWasMadeIsNotMadeAgain(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "writes", "looks")
	add(t, f, meta, "x")
	for _, consumer := range []string{"writes", "looks"} {
		entries, err := f.Next(t.Context(), consumer, 1)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%s: %v, %v", consumer, entries, err)
		}
		var made engine.Batch
		if consumer == "writes" {
			made.Set([]byte("made"), []byte("of x"))
		}
		if err := f.Done(t.Context(), consumer, entries[0].Seq, &made); err != nil {
			t.Fatal(err)
		}
	}
	crashed := open(t, meta, "writes", "looks")
	same(t, "who writes", next(t, crashed, "writes"))
	same(t, "who looks", next(t, crashed, "looks"), "x")
}

// TestPlacesAreKeptSoon: a consumer that makes nothing of what it reads does not begin anew after a crash, and
// entries go without anybody asking.
func TestPlacesAreKeptSoon(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "a")
	add(t, f, meta, "x")
	entries, err := f.Next(t.Context(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Done(t.Context(), "a", entries[0].Seq, nil); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); records(t, meta, "f/e/") > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the entry is kept")
		}
	}
	same(t, "after a crash", next(t, open(t, meta, "a"), "a"))
}

// TestMemoryGivesWhatIsStored: it makes no difference whether a consumer keeps up.
func TestMemoryGivesWhatIsStored(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "a")
	ev := &audit.Event{Operation: "PutBucketPolicy", RequestID: "R", SourceIP: "192.0.2.1", UserAgent: "aws-cli <&>", AccessKey: "AKIA"}
	ev.Principal = policy.Principal{Type: policy.IAMUser, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/a", UserID: "AIDA", UniqueID: "AIDA", Name: "a", CanonicalID: "c"}
	e := feed.Made(feed.Bucket, ev)
	e.Account, e.Resource, e.Gone = "111122223333", "b", true
	e.Before, e.After = json.RawMessage(`{"a":"b"}`), json.RawMessage(`{"a":"c"}`)
	var b engine.Batch
	done, err := f.Add(&b, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	done()
	read := func(f *feed.Feed) string {
		entries, err := f.Next(t.Context(), "a", 2)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v, %v", entries, err)
		}
		got := entries[0]
		made := got.Memo(func() any { return "made once" })
		if again := got.Memo(func() any { return "made twice" }); again != made {
			t.Errorf("%v, then %v", made, again)
		}
		text, _, _ := strings.Cut(fmt.Sprintf("%+v", got), " memo:")
		return text
	}
	if kept, stored := read(f), read(open(t, meta, "a")); kept != stored {
		t.Errorf("in memory\n%s\nstored\n%s", kept, stored)
	}
}

// TestConsumersThatAreFarBehindMissNothing: memory holds so much, and what does not fit is read from the engine, as is
// what comes after a commit of which nobody knows how it ended.
func TestConsumersThatAreFarBehindMissNothing(t *testing.T) {
	meta := memory.NewMeta()
	f := open(t, meta, "quick", "slow")
	const all = 9000
	var want []string
	unsure := func(resource string) {
		var b engine.Batch
		done, err := f.Add(&b, feed.Entry{Resource: resource})
		if err != nil {
			t.Fatal(err)
		}
		if err := meta.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		b.Version = 0 // the answer was lost
		done()
	}
	for i := range all {
		want = append(want, fmt.Sprint(i))
		if i%1000 == 7 {
			unsure(fmt.Sprint(i))
		} else {
			add(t, f, meta, fmt.Sprint(i))
		}
		if i%10 == 0 {
			next(t, f, "quick")
		}
	}
	var got []string
	for len(got) < all {
		names := next(t, f, "slow")
		if len(names) == 0 {
			break
		}
		got = append(got, names...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d entries of %d, or in another order", len(got), all)
	}
}

// TestManyWritersAndReaders: whatever order commits end in, each consumer reads all in the order of their places.
func TestManyWritersAndReaders(t *testing.T) {
	meta := memory.NewMeta()
	consumers := []string{"a", "b", "c"}
	f := open(t, meta, consumers...)
	const writers, each = 8, 50
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				add(t, f, meta, fmt.Sprintf("%d-%d", w, i))
			}
		})
	}
	for k, name := range consumers {
		group.Go(func() {
			seen, last := 0, uint64(0)
			for seen < writers*each {
				entries, err := f.Next(t.Context(), name, 1+7*k)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range entries {
					if e.Seq <= last {
						t.Errorf("%s: %d after %d", name, e.Seq, last)
					}
					seen, last = seen+1, e.Seq
				}
				var made engine.Batch
				if k == 0 {
					made.Set([]byte("made"), []byte(name))
				}
				if err := f.Done(t.Context(), name, last, &made); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	for _, name := range consumers {
		same(t, name, next(t, f, name))
	}
	if n := records(t, meta, "f/e/"); n != 0 {
		t.Errorf("%d entries are kept", n)
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
