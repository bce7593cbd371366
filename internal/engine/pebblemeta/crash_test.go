package pebblemeta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/kura-s3/kura/internal/engine"
)

// promises is what a crash must not take back: for each key the highest number whose commit was
// acknowledged, or that somebody read.
type promises struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (p *promises) add(key string, n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n[key] = max(p.n[key], n)
}

func (p *promises) copy() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.n)
}

// image is the disk at a crash, and what had been promised before.
type image struct {
	fs       *vfs.MemFS
	promised map[string]uint64
	at       string
}

// crasher takes an image around every sync.
type crasher struct {
	mem      *vfs.MemFS
	promises promises
	percent  int
	enabled  atomic.Bool

	mu     sync.Mutex
	rng    *rand.Rand
	images []image
}

const maxImages = 150

func (c *crasher) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename, errorfs.OpRemove, errorfs.OpCreate, errorfs.OpReuseForWrite:
	default:
		return nil
	}
	if !c.enabled.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// The log is synced far more often than anything else happens.
	if len(c.images) >= maxImages || strings.HasSuffix(op.Path, ".log") && c.rng.IntN(4) > 0 {
		return nil
	}
	promised := c.promises.copy() // before the image: what is promised later need not be in it
	c.images = append(c.images, image{c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.percent, RNG: c.rng}), promised, fmt.Sprint(op.Kind, " ", op.Path)})
	return nil
}

func (c *crasher) String() string { return "crasher" }

func pairOf(w int) (string, string) { return fmt.Sprintf("n/%d/a", w), fmt.Sprintf("n/%d/b", w) }

func number(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// TestCrashAtEverySync crashes a busy engine around its syncs, renames, creations and removals, with
// none, half or all of the unsynced data kept, and looks at what a new start finds.
func TestCrashAtEverySync(t *testing.T) {
	for _, percent := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("%d%%", percent), func(t *testing.T) {
			c := &crasher{mem: vfs.NewCrashableMem(), promises: promises{n: map[string]uint64{}}, percent: percent, rng: rand.New(rand.NewPCG(7, uint64(percent)))}
			// Pebble makes its first files without syncing the directory in between. A filesystem that
			// forgets some of them and keeps later ones leaves a store that held nothing and does not
			// open; journaling filesystems keep the order.
			c.enabled.Store(percent != 50)
			m, err := Open(Config{Dir: "d", FS: errorfs.Wrap(c.mem, c), MemTable: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			c.enabled.Store(true)
			exercise(t, m, &c.promises)
			c.enabled.Store(false)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if len(c.images) < 40 {
				t.Fatalf("only %d crashes", len(c.images))
			}
			for _, i := range c.images {
				inspect(t, i)
			}
		})
	}
}

// exercise lets writers count up pairs of keys, with bodies that fill memtables and value files, while
// readers note what they see.
func exercise(t *testing.T, m *Meta, p *promises) {
	ctx, stop := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	for w := range 4 {
		a, b := pairOf(w)
		writers.Go(func() {
			for n := uint64(1); n <= 60; n++ {
				body := make([]byte, 2500)
				value := binary.BigEndian.AppendUint64(nil, n)
				var batch engine.Batch
				batch.Set([]byte(a), value)
				batch.Set([]byte(b), append(value, body...))
				batch.Set(fmt.Appendf(nil, "fill/%d/%d", w, n), body)
				if n > 10 {
					batch.Delete(fmt.Appendf(nil, "fill/%d/%d", w, n-10))
				}
				if err := m.Commit(ctx, &batch); err != nil {
					t.Error(err)
					return
				}
				p.add(a, n)
			}
		})
		readers.Go(func() {
			for ctx.Err() == nil {
				value, v, err := m.Get(t.Context(), []byte(b), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if v != 0 {
					p.add(a, number(value))
				}
			}
		})
	}
	readers.Go(func() {
		for ctx.Err() == nil {
			it, err := m.Scan(t.Context(), []byte("n/"), []byte("n0"))
			if err != nil {
				t.Error(err)
				return
			}
			for it.Next() {
				if key := string(it.Key()); strings.HasSuffix(key, "a") {
					p.add(key, number(it.Value()))
				}
			}
			it.Close()
		}
	})
	writers.Wait()
	stop()
	readers.Wait()
}

func inspect(t *testing.T, i image) {
	t.Helper()
	m, err := Open(Config{Dir: "d", FS: i.fs})
	if err != nil {
		t.Errorf("crash at %s: %v", i.at, err)
		return
	}
	defer m.Close()
	for w := range 4 {
		a, b := pairOf(w)
		va, na, err := m.Get(t.Context(), []byte(a), nil)
		if err != nil {
			t.Fatal(err)
		}
		vb, nb, err := m.Get(t.Context(), []byte(b), nil)
		if err != nil {
			t.Fatal(err)
		}
		if na != nb {
			t.Errorf("crash at %s: half a commit: versions %d and %d", i.at, na, nb)
			continue
		}
		found := uint64(0)
		if na != 0 {
			found = number(va)
			if number(vb) != found || len(vb) != 2508 {
				t.Errorf("crash at %s: half a commit", i.at)
			}
		}
		if found < i.promised[a] {
			t.Errorf("crash at %s: %s is %d, and %d was acknowledged or read", i.at, a, found, i.promised[a])
		}
		for n := max(11, found) - 10; n <= found; n++ {
			_, v, err := m.Get(t.Context(), fmt.Appendf(nil, "fill/%d/%d", w, n), nil)
			if want := n > found-min(found, 10); err != nil || (v != 0) != want {
				t.Errorf("crash at %s: fill %d of writer %d at %d: version %d, %v", i.at, n, w, found, v, err)
			}
		}
	}
	var batch engine.Batch
	batch.Set([]byte("after"), []byte("1"))
	if err := m.Commit(t.Context(), &batch); err != nil {
		t.Errorf("crash at %s: the store cannot be written to: %v", i.at, err)
	}
	if a, _ := pairOf(0); batch.Version != 0 {
		if _, v, _ := m.Get(t.Context(), []byte(a), nil); v >= batch.Version {
			t.Errorf("crash at %s: version %d was given out before", i.at, batch.Version)
		}
	}
}

// TestFailedSyncIsNeverAcknowledged breaks the log and wants errors from then on, not promises.
func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	errBroken := errors.New("input/output error")
	for _, broken := range []errorfs.OpKind{errorfs.OpFileSyncData, errorfs.OpFileWrite} {
		var armed atomic.Bool
		inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if armed.Load() && op.Kind == broken && strings.HasSuffix(op.Path, ".log") {
				return errBroken
			}
			return nil
		})
		mem := vfs.NewCrashableMem()
		failed := make(chan error, 1)
		m, err := Open(Config{Dir: "d", FS: errorfs.Wrap(mem, inject), OnFailure: func(err error) { failed <- err }})
		if err != nil {
			t.Fatal(err)
		}
		var b engine.Batch
		b.Set([]byte("k"), []byte("1"))
		if err := m.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		armed.Store(true)
		b.Writes[0].Value = []byte("2")
		if err := m.Commit(t.Context(), &b); !errors.Is(err, errBroken) {
			t.Errorf("commit on a broken log: %v", err)
		}
		select {
		case <-failed:
		default:
			t.Error("OnFailure was not called")
		}
		if _, _, err := m.Get(t.Context(), []byte("k"), nil); err == nil {
			t.Error("a failed engine still answers reads")
		}
		if err := m.Commit(t.Context(), &b); err == nil {
			t.Error("a failed engine still commits")
		}
		if _, err := m.Scan(t.Context(), nil, nil); err == nil {
			t.Error("a failed engine still scans")
		}
		if u := m.Usage(); !strings.Contains(u.Background, "failed") {
			t.Errorf("Usage hides the failure: %q", u.Background)
		}
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		again, err := Open(Config{Dir: "d", FS: mem.CrashClone(vfs.CrashCloneCfg{})})
		if err != nil {
			t.Fatal(err)
		}
		if v, _, err := again.Get(t.Context(), []byte("k"), nil); err != nil || string(v) != "1" {
			t.Errorf("after a restart: %q, %v", v, err)
		}
		again.Close()
	}
}

func TestFullDeviceIsAnErrorAndDeletingStillWorks(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30})
	m, err := Open(Config{Dir: "d", FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var set, del engine.Batch
	set.Set([]byte("k"), []byte("v"))
	del.Delete([]byte("k"))
	del.Set([]byte("garbage"), []byte("note"))
	for _, c := range []struct {
		free     uint64
		set, del error
	}{
		{1 << 30, nil, nil},
		{100 << 20, engine.ErrNoSpace, nil},
		{10 << 20, engine.ErrNoSpace, engine.ErrNoSpace},
		{1 << 30, nil, nil},
	} {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: c.free})
		m.space.checked.Store(0)
		if err := m.Commit(t.Context(), &set); !errors.Is(err, c.set) {
			t.Errorf("%d free: set: %v, want %v", c.free, err, c.set)
		}
		if err := m.Commit(t.Context(), &del); !errors.Is(err, c.del) {
			t.Errorf("%d free: delete: %v, want %v", c.free, err, c.del)
		}
	}
}

func TestDamageIsToldNotRead(t *testing.T) {
	mem := vfs.NewMem()
	m, err := Open(Config{Dir: "d", FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 3000)
	for i := range 100 {
		var b engine.Batch
		b.Set(fmt.Appendf(nil, "k%03d", i), body)
		if err := m.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := mem.List("d")
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".blob") || strings.HasSuffix(name, ".sst") {
			data, err := mem.UnsafeGetFileDataBuffer(mem.PathJoin("d", name))
			if err != nil {
				t.Fatal(err)
			}
			for at := 100; at < min(len(data), 200_000); at += 4000 {
				data[at] ^= 0x10
				damaged++
			}
		}
	}
	if damaged == 0 {
		t.Fatalf("nothing to damage among %q", names)
	}
	m, err = Open(Config{Dir: "d", FS: mem, OnFailure: func(error) {}})
	if errors.Is(err, engine.ErrDamaged) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	told := 0
	for i := range 100 {
		value, v, err := m.Get(t.Context(), fmt.Appendf(nil, "k%03d", i), nil)
		switch {
		case errors.Is(err, engine.ErrDamaged):
			told++
		case err != nil:
			t.Errorf("record %d: %v", i, err)
		case v == 0 || string(value) != string(body):
			t.Errorf("record %d reads wrong: version %d, %d bytes", i, v, len(value))
		}
	}
	if told == 0 || m.Usage().Corrupt == 0 {
		t.Errorf("%d damaged bytes, %d errors, %d counted", damaged, told, m.Usage().Corrupt)
	}
}
