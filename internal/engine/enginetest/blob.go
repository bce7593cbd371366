package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
)

// BlobStore opens one store, again after the one before was closed.
type BlobStore func() (engine.Blob, error)

// BlobDriver is what TestBlob tries.
type BlobDriver struct {
	// New makes an empty store.
	New func(t *testing.T) BlobStore
	// Volatile drivers keep nothing over a Close.
	Volatile bool
	// Sizes of blobs beside the suite's own, at the driver's borders.
	Sizes []int
}

// TestBlob runs the suite.
func TestBlob(t *testing.T, d BlobDriver) {
	sizes := append([]int{0, 1, 4095, 4096, 4097, 70_000, 300_000, 1 << 20}, d.Sizes...)
	for _, c := range []struct {
		name    string
		durable bool
		run     func(t *testing.T, s BlobStore, sizes []int)
	}{
		{"BlobsReadBack", false, testBlobs},
		{"RoomIsKept", false, testRoom},
		{"UnfinishedIsNoBlob", false, testUnfinished},
		{"AbortLeavesNothing", false, testAbort},
		{"DeleteTakesAway", false, testDelete},
		{"ReaderSurvivesDelete", false, testReadDeleted},
		{"ListFindsAll", false, testList},
		{"StrangersAreRefused", false, testBadRefs},
		{"Concurrency", false, testBlobConcurrency},
		{"ContextAndClose", false, testBlobClosed},
		{"SurvivesReopening", true, testBlobReopen},
	} {
		if c.durable && d.Volatile {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(t, d.New(t), sizes) })
	}
}

func openBlob(t *testing.T, s BlobStore) engine.Blob {
	t.Helper()
	b, err := s()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// Content is size bytes that differ from those of any other seed at almost every place.
func Content(seed uint64, size int) []byte {
	b := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), 1})
	src.Read(b)
	return b
}

// WriteBlob stores data in pieces of at most step bytes.
func WriteBlob(ctx context.Context, b engine.Blob, data []byte, step int) (engine.Ref, error) {
	w, err := b.Create(ctx, int64(len(data)))
	if err != nil {
		return "", err
	}
	for rest := data; len(rest) > 0; {
		n, err := w.Write(rest[:min(step, len(rest))])
		if err != nil {
			w.Abort()
			return w.Ref(), err
		}
		rest = rest[n:]
	}
	n, err := w.Finish(ctx)
	if err == nil && n != int64(len(data)) {
		err = fmt.Errorf("finished %d bytes of %d", n, len(data))
	}
	return w.Ref(), err
}

// ReadBlob reads a whole blob.
func ReadBlob(ctx context.Context, b engine.Blob, ref engine.Ref) ([]byte, error) {
	r, err := b.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	data := make([]byte, r.Size())
	n, err := r.ReadAt(data, 0)
	if n == len(data) && errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], errors.Join(err, r.Close())
}

func mustWrite(t *testing.T, b engine.Blob, data []byte) engine.Ref {
	t.Helper()
	ref, err := WriteBlob(t.Context(), b, data, 1<<20)
	if err != nil {
		t.Fatalf("write of %d bytes: %v", len(data), err)
	}
	return ref
}

func wantBlob(t *testing.T, b engine.Blob, ref engine.Ref, want []byte) {
	t.Helper()
	got, err := ReadBlob(t.Context(), b, ref)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("blob %s reads %d bytes (right: %v), %v; want %d", ref, len(got), bytes.Equal(got, want), err, len(want))
	}
}

func wantNoBlob(t *testing.T, b engine.Blob, ref engine.Ref) {
	t.Helper()
	if data, err := ReadBlob(t.Context(), b, ref); !errors.Is(err, engine.ErrNoBlob) {
		t.Errorf("blob %s reads %d bytes, %v; want ErrNoBlob", ref, len(data), err)
	}
}

func listing(t *testing.T, b engine.Blob) map[engine.Ref]int64 {
	t.Helper()
	all := map[engine.Ref]int64{}
	err := b.List(t.Context(), func(i engine.BlobInfo) error {
		if _, twice := all[i.Ref]; twice {
			t.Errorf("%s is listed twice", i.Ref)
		}
		all[i.Ref] = i.Size
		return nil
	})
	if err != nil {
		t.Errorf("List: %v", err)
	}
	return all
}

func testBlobs(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	refs := map[engine.Ref][]byte{}
	for i, size := range sizes {
		for _, step := range []int{1000, 65536, 1 << 30} {
			data := Content(uint64(i*10+step%7), size)
			ref, err := WriteBlob(t.Context(), b, data, step)
			if err != nil {
				t.Fatalf("%d bytes in steps of %d: %v", size, step, err)
			}
			if _, twice := refs[ref]; twice || len(ref) == 0 || len(ref) > 64 {
				t.Fatalf("reference %q", ref)
			}
			refs[ref] = data
		}
	}
	rng := rand.New(rand.NewPCG(41, 42))
	for ref, data := range refs {
		wantBlob(t, b, ref, data)
		r, err := b.Open(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			off := rng.IntN(len(data) + 1)
			p := make([]byte, rng.IntN(100_000))
			n, err := r.ReadAt(p, int64(off))
			want := data[off:min(len(data), off+len(p))]
			if !bytes.Equal(p[:n], want) || (n < len(p)) != (err != nil) || err != nil && err != io.EOF {
				t.Errorf("ReadAt(%d bytes, %d) of %d: %d, %v", len(p), off, len(data), n, err)
			}
		}
		if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("ReadAt before the begin: %v", err)
		}
		if n, err := r.ReadAt(make([]byte, 1), r.Size()+10); n != 0 || err != io.EOF {
			t.Errorf("ReadAt behind the end: %d, %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testRoom(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	if w, err := b.Create(t.Context(), -1); err == nil {
		w.Abort()
		t.Error("a blob of negative size was begun")
	}
	for _, size := range sizes {
		w, err := b.Create(t.Context(), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.Write(make([]byte, size+1)); !errors.Is(err, engine.ErrTooLong) || n != 0 {
			t.Errorf("%d bytes into room for %d: %d, %v", size+1, size, n, err)
		}
		data := Content(7, size/2)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size-size/2+1)); !errors.Is(err, engine.ErrTooLong) {
			t.Errorf("too much in the end: %v", err)
		}
		if n, err := w.Finish(t.Context()); err != nil || n != int64(size/2) {
			t.Errorf("Finish: %d, %v", n, err)
		}
		next := mustWrite(t, b, Content(8, 5000))
		wantBlob(t, b, w.Ref(), data)
		wantBlob(t, b, next, Content(8, 5000))
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("Write after Finish succeeded")
		}
		w.Abort()
		wantBlob(t, b, w.Ref(), data)
	}
}

func testUnfinished(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	w, err := b.Create(t.Context(), 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	wantNoBlob(t, b, w.Ref())
	if all := listing(t, b); len(all) != 0 {
		t.Errorf("an unfinished blob is listed: %v", all)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, b, w.Ref(), make([]byte, 50_000))
}

func testAbort(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	for _, size := range sizes {
		w, err := b.Create(t.Context(), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		ref := w.Ref()
		w.Abort()
		w.Abort()
		wantNoBlob(t, b, ref)
		if _, err := w.Finish(t.Context()); err == nil {
			t.Error("Finish after Abort succeeded")
		}
	}
	w, err := b.Create(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Finish(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("Finish: %v", err)
	}
	w.Abort()
	wantNoBlob(t, b, w.Ref())
	if all := listing(t, b); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

func testDelete(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	refs := map[engine.Ref][]byte{}
	for i, size := range sizes {
		for j := range 3 {
			data := Content(uint64(100*i+j), size)
			refs[mustWrite(t, b, data)] = data
		}
	}
	i := 0
	var gone []engine.Ref
	for ref := range refs {
		if i++; i%3 != 0 {
			gone = append(gone, ref)
			delete(refs, ref)
		}
	}
	if err := b.Delete(t.Context(), gone...); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), gone...); err != nil {
		t.Errorf("deleting again: %v", err)
	}
	for _, ref := range gone {
		wantNoBlob(t, b, ref)
	}
	for ref, data := range refs {
		wantBlob(t, b, ref, data)
	}
	for range 20 { // nothing new takes a deleted name
		ref := mustWrite(t, b, Content(5, 5000))
		for _, old := range gone {
			if ref == old {
				t.Fatalf("reference %s was used again", ref)
			}
		}
	}
	for _, ref := range gone {
		wantNoBlob(t, b, ref)
	}
	if err := b.Delete(t.Context()); err != nil {
		t.Errorf("deleting nothing: %v", err)
	}
}

func testReadDeleted(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	for i, size := range sizes {
		data := Content(uint64(i), size)
		ref := mustWrite(t, b, data)
		first, err := b.Open(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		second, err := b.Open(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		wantNoBlob(t, b, ref)
		second.Close()
		got := make([]byte, size)
		n, err := first.ReadAt(got, 0)
		if errors.Is(err, engine.ErrNoBlob) {
			n = 0
		} else if n != size {
			t.Errorf("reading on after the delete: %d bytes of %d, %v", n, size, err)
		}
		if !bytes.Equal(got[:n], data[:n]) {
			t.Errorf("a blob of %d bytes changed under its reader when it was deleted", size)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		wantNoBlob(t, b, ref)
	}
}

func testList(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	want := map[engine.Ref]int64{}
	for i, size := range sizes {
		want[mustWrite(t, b, Content(uint64(i), size))] = int64(size)
		drop := mustWrite(t, b, Content(99, size))
		if err := b.Delete(t.Context(), drop); err != nil {
			t.Fatal(err)
		}
	}
	got := listing(t, b)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("List: %v, want %v", got, want)
	}
	stop := errors.New("stop")
	n := 0
	if err := b.List(t.Context(), func(engine.BlobInfo) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("List that is stopped: %v after %d", err, n)
	}
}

func testBadRefs(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	ref := mustWrite(t, b, []byte("x"))
	for _, bad := range []engine.Ref{"", "x", "../../etc/passwd", ref + "0", ref[:len(ref)-1], "0.0.0", "ffffffffffffffff.1.0000000000000000", engine.Ref(bytes.Repeat([]byte("1"), 1000))} {
		if r, err := b.Open(t.Context(), bad); err == nil {
			r.Close()
			t.Errorf("%.40q was opened", bad)
		}
		_ = b.Delete(t.Context(), bad) // may be an error, must not harm
	}
	wantBlob(t, b, ref, []byte("x"))
}

func testBlobConcurrency(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(51, uint64(worker)))
			mine := map[engine.Ref][]byte{}
			for i := range 25 {
				data := Content(uint64(worker*1000+i), rng.IntN(200_000))
				ref, err := WriteBlob(t.Context(), b, data, 1+rng.IntN(100_000))
				if err != nil {
					t.Error(err)
					return
				}
				mine[ref] = data
				for ref, data := range mine {
					if rng.IntN(3) > 0 {
						continue
					}
					wantBlob(t, b, ref, data)
					if rng.IntN(2) == 0 {
						if err := b.Delete(t.Context(), ref); err != nil {
							t.Error(err)
						}
						delete(mine, ref)
						wantNoBlob(t, b, ref)
					}
				}
			}
			for ref, data := range mine {
				wantBlob(t, b, ref, data)
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if err := b.List(t.Context(), func(engine.BlobInfo) error { return nil }); err != nil {
				t.Errorf("List meanwhile: %v", err)
			}
			b.Usage()
		}
	})
	wg.Wait()
}

func testBlobClosed(t *testing.T, s BlobStore, sizes []int) {
	b := openBlob(t, s)
	ref := mustWrite(t, b, []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Open(ctx, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if _, err := b.Create(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := b.Open(t.Context(), ref); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Open: %v", err)
	}
	if _, err := b.Create(t.Context(), 1); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Create: %v", err)
	}
	if err := b.Delete(t.Context(), ref); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Delete: %v", err)
	}
	if err := b.List(t.Context(), func(engine.BlobInfo) error { return nil }); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("List: %v", err)
	}
	b.Usage()
}

func testBlobReopen(t *testing.T, s BlobStore, sizes []int) {
	want := map[engine.Ref][]byte{}
	ever := map[engine.Ref]bool{}
	for round := range 4 {
		b := openBlob(t, s)
		for ref, data := range want {
			wantBlob(t, b, ref, data)
		}
		if all := listing(t, b); len(all) != len(want) {
			t.Fatalf("round %d: %d blobs are listed, want %d", round, len(all), len(want))
		}
		n := 0
		for ref := range want {
			if n++; n%2 == 0 {
				if err := b.Delete(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
				delete(want, ref)
			}
		}
		for i, size := range sizes {
			data := Content(uint64(round*100+i), size)
			ref := mustWrite(t, b, data)
			if ever[ref] {
				t.Fatalf("reference %s was used again", ref)
			}
			ever[ref], want[ref] = true, data
		}
		if round == 2 { // a segment or whatever may become empty and vanish
			for ref := range want {
				if err := b.Delete(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
			}
			clear(want)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
