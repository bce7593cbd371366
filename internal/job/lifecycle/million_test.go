package lifecycle

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/embedded"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/object"
)

const (
	million = 1_000_000
	// mostHeap is what the heap may hold at any time while they expire, in bytes: the engine's caches. A
	// list of the objects would not fit.
	mostHeap = 32 << 20
)

// TestAMillionObjectsExpire on the embedded engines, in bounded memory: KURA_MEASURE=1 go test -run Million -v
// -timeout 1h. It says how long it took.
func TestAMillionObjectsExpire(t *testing.T) {
	if os.Getenv("KURA_MEASURE") == "" {
		t.Skip("a measurement; KURA_MEASURE=1 runs it")
	}
	ctx, dir := t.Context(), t.TempDir()
	e, err := embedded.Open(embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ring, err := keys.Open(ctx, e.Meta, keys.NewKeyFile(filepath.Join(dir, "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s, err := object.Open(ctx, object.Config{Meta: e.Meta, Blob: e.Blob, Keys: ring, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	fill(t, s)
	ahead.Store(int64(48 * time.Hour))
	var expired, highest atomic.Int64
	r := New(Options{
		Objects: s, Meta: e.Meta, Guard: authz.New(authz.Config{Recorder: authztest.Forget{}}), Now: now, Log: slog.New(slog.DiscardHandler),
		Count: func(_ string, n int) { expired.Add(int64(n)) },
	})
	watch, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for tick := time.NewTicker(2 * time.Second); watch.Err() == nil; <-tick.C {
			highest.Store(max(highest.Load(), heap()))
		}
	})
	began := time.Now()
	r.Once(ctx)
	took := time.Since(began)
	stop()
	watching.Wait()
	t.Logf("expired %d in %v; heap at most %d MiB", expired.Load(), took.Round(time.Second), highest.Load()>>20)
	if expired.Load() != million {
		t.Errorf("%d expired", expired.Load())
	}
	if highest.Load() > mostHeap {
		t.Errorf("the heap held %d bytes", highest.Load())
	}
}

// fill makes a bucket of a million objects that expire after a day.
func fill(t *testing.T, s *object.Store) {
	ctx, g := t.Context(), authztest.Grant(t, "s3:*", "*")
	rule, err := (&Config{Rules: []Rule{{ID: "r", Enabled: true, Expiration: &Expiration{Days: 1}}}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateBucket(ctx, g, object.CreateBucketInput{Name: "bucket", Owner: alice, Settings: map[string][]byte{Setting: rule}}); err != nil {
		t.Fatal(err)
	}
	const writers = 256
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := w; i < million; i += writers {
				if _, err := s.Put(ctx, g, &object.PutInput{Bucket: "bucket", Key: fmt.Sprintf("%08d", i), Body: bytes.NewReader([]byte("x")), Size: 1}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
