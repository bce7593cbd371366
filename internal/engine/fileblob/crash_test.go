package fileblob

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/enginetest"
)

// disk is an FS in memory that knows what a crash would leave: contents by page and names, each as
// last synced or later.
type disk struct {
	mu     sync.Mutex
	names  map[string]*inode // now
	synced map[string]*inode // after a crash
	fault  func(op string) error
	onSync func() // before each sync
}

type inode struct {
	data, synced []byte
}

func newDisk() *disk { return &disk{names: map[string]*inode{}, synced: map[string]*inode{}} }

// crash is the disk after a crash that kept each unsynced page and name by chance.
func (d *disk) crash(rng *rand.Rand, keep float64) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newDisk()
	names := maps.Clone(d.synced)
	for name, n := range d.names {
		if rng.Float64() < keep {
			names[name] = n
		}
	}
	for name := range d.synced {
		if d.names[name] == nil && rng.Float64() < keep {
			delete(names, name)
		}
	}
	for name, n := range names {
		data := bytes.Clone(n.synced)
		for at := 0; at < len(n.data); at += page {
			if rng.Float64() >= keep {
				continue
			}
			end := min(at+page, len(n.data))
			if len(data) < end {
				data = append(data, make([]byte, end-len(data))...)
			}
			copy(data[at:end], n.data[at:end])
		}
		after.names[name] = &inode{data: data, synced: bytes.Clone(data)}
	}
	after.synced = maps.Clone(after.names)
	return after
}

func (d *disk) check(op string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(op)
}

func (d *disk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check("create"); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	d.names[name] = new(inode)
	return &handle{d, d.names[name]}, nil
}

func (d *disk) Open(name string, _ bool) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return nil, fs.ErrNotExist
	}
	return &handle{d, d.names[name]}, nil
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
	return nil
}

func (d *disk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.names {
		names = append(names, name)
	}
	return names, nil
}

func (d *disk) SyncDir() error {
	if d.onSync != nil {
		d.onSync()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = maps.Clone(d.names)
	return d.check("syncdir")
}

func (d *disk) Free() int64 { return -1 }

type handle struct {
	d *disk
	n *inode
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return bytes.NewReader(h.n.data).ReadAt(p, off)
}

func (h *handle) grow(size int64) {
	if more := size - int64(len(h.n.data)); more > 0 {
		h.n.data = append(h.n.data, make([]byte, more)...)
	}
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.check("write"); err != nil {
		return 0, err
	}
	h.grow(off + int64(len(p)))
	return copy(h.n.data[off:], p), nil
}

func (h *handle) Sync() error {
	if h.d.onSync != nil {
		h.d.onSync()
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.check("sync"); err != nil {
		return err
	}
	h.n.synced = bytes.Clone(h.n.data)
	return nil
}

func (h *handle) Allocate(int64, int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.d.check("allocate")
}

func (h *handle) Punch(off, n int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	end := min(off+n, int64(len(h.n.data)))
	if off < end {
		clear(h.n.data[off:end])
	}
	return nil
}

func (h *handle) Flush(int64, int64) {}

func (h *handle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.grow(size)
	h.n.data = h.n.data[:size]
	return nil
}

func (h *handle) Size() (int64, int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.n.data)), int64(len(h.n.data)), nil
}

func (h *handle) Close() error { return nil }

func small(d FS) Config { return Config{FS: d, SegmentSize: 256 << 10, OwnFrom: 100 << 10} }

func TestConformanceOnTheTestDisk(t *testing.T) {
	enginetest.TestBlob(t, enginetest.BlobDriver{New: func(t *testing.T) enginetest.BlobStore {
		d := newDisk()
		return func() (engine.Blob, error) { return Open(small(d)) }
	}})
}

// TestCrashAtEverySync writes and deletes, crashes before every sync, and wants after each crash every
// acknowledged blob whole, no deleted one back, and a store that goes on.
func TestCrashAtEverySync(t *testing.T) {
	for _, keep := range []float64{0, 0.5, 1} {
		rng := rand.New(rand.NewPCG(61, uint64(keep*2)))
		d := newDisk()
		live, deleted := map[engine.Ref][]byte{}, map[engine.Ref]bool{}
		uncertain := map[engine.Ref]bool{} // being deleted just now
		crashes := 0
		d.onSync = func() {
			crashes++
			recovered(t, d.crash(rng, keep), live, deleted, uncertain)
		}
		s, err := Open(small(d))
		if err != nil {
			t.Fatal(err)
		}
		s.tidied.Wait()
		for i := range 60 {
			data := enginetest.Content(uint64(i), rng.IntN(130_000))
			ref, err := enginetest.WriteBlob(t.Context(), s, data, 50_000)
			if err != nil {
				t.Fatal(err)
			}
			live[ref] = data
			if i%2 == 0 {
				continue
			}
			for ref := range live {
				uncertain[ref] = true
				if err := s.Delete(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
				delete(uncertain, ref)
				delete(live, ref)
				deleted[ref] = true
				break
			}
		}
		d.onSync = nil
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if crashes < 60 {
			t.Errorf("only %d crashes", crashes)
		}
	}
}

func recovered(t *testing.T, d *disk, live map[engine.Ref][]byte, deleted, uncertain map[engine.Ref]bool) {
	t.Helper()
	s, err := Open(small(d))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for ref, want := range live {
		got, err := enginetest.ReadBlob(t.Context(), s, ref)
		if uncertain[ref] {
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("acknowledged blob %s after a crash: %d bytes of %d, %v", ref, len(got), len(want), err)
		}
	}
	for ref := range deleted {
		if _, err := enginetest.ReadBlob(t.Context(), s, ref); !errors.Is(err, engine.ErrNoBlob) {
			t.Fatalf("deleted blob %s after a crash: %v", ref, err)
		}
		if err := s.Delete(t.Context(), ref); err != nil {
			t.Fatalf("deleting %s again after a crash: %v", ref, err)
		}
	}
	ref, err := enginetest.WriteBlob(t.Context(), s, []byte("after"), 10)
	if err != nil || live[ref] != nil {
		t.Fatalf("the first blob after a crash: %s, %v", ref, err)
	}
}

func TestFaultsAreErrorsAndLeaveNothing(t *testing.T) {
	for _, c := range []struct {
		op   string
		err  error
		want error
	}{
		{"write", syscall.ENOSPC, engine.ErrNoSpace}, {"allocate", syscall.ENOSPC, engine.ErrNoSpace},
		{"create", syscall.ENOSPC, engine.ErrNoSpace}, {"write", io.ErrClosedPipe, io.ErrClosedPipe}, {"sync", syscall.EIO, syscall.EIO},
	} {
		for _, size := range []int{1000, 90_000, 300_000} {
			d := newDisk()
			s, err := Open(small(d))
			if err != nil {
				t.Fatal(err)
			}
			kept := enginetest.Content(1, 10_000)
			ref, err := enginetest.WriteBlob(t.Context(), s, kept, 1000)
			if err != nil {
				t.Fatal(err)
			}
			broken := true
			d.fault = func(op string) error {
				if broken && op == c.op {
					return c.err
				}
				return nil
			}
			before := len(d.names)
			lost, err := enginetest.WriteBlob(t.Context(), s, enginetest.Content(2, size), 40_000)
			if err != nil && !errors.Is(err, c.want) {
				t.Errorf("%s fails, %d bytes: %v, want %v", c.op, size, err, c.want)
			}
			if err == nil && (c.op == "write" || c.op == "sync") {
				t.Errorf("%s fails, %d bytes: acknowledged", c.op, size)
			}
			broken = false
			if err != nil && lost != "" {
				if c.op != "sync" && c.op != "write" {
					t.Errorf("%s fails: the blob has a name", c.op)
				}
				if _, err := enginetest.ReadBlob(t.Context(), s, lost); c.op == "sync" && !errors.Is(err, engine.ErrNoBlob) {
					t.Errorf("a blob whose sync failed is read: %v", err)
				}
			}
			if err != nil && size == 300_000 && c.op != "write" && len(d.names) > before {
				t.Errorf("%s fails: a file is left", c.op)
			}
			if got, err := enginetest.ReadBlob(t.Context(), s, ref); err != nil || !bytes.Equal(got, kept) {
				t.Errorf("%s fails: the blob before: %v", c.op, err)
			}
			if _, err := enginetest.WriteBlob(t.Context(), s, kept, 1000); err != nil {
				t.Errorf("after %s failed: %v", c.op, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
