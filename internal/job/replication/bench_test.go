package replication

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine/fileblob"
	"github.com/kura-s3/kura/internal/engine/pebblemeta"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/pace"
)

// TestKeepsUp measures whether replication keeps up with a writer at half the store's speed, on the
// embedded engines: KURA_MEASURE=1 go test -run KeepsUp -v. It prints, and asserts that all arrives.
func TestKeepsUp(t *testing.T) {
	if os.Getenv("KURA_MEASURE") == "" {
		t.Skip("a measurement; KURA_MEASURE=1 runs it")
	}
	for name, size := range map[string]int{"4 KiB": 4 << 10, "1 MiB": 1 << 20} {
		n := 6_000
		if size > 64<<10 {
			n = 400
		}
		t.Run(name, func(t *testing.T) { keepsUp(t, n, size) })
	}
}

func keepsUp(t *testing.T, n, size int) {
	meta, err := pebblemeta.Open(pebblemeta.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { meta.Close() })
	blob, err := fileblob.Open(fileblob.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blob.Close() })
	b := newBenchOn(t, meta, blob)
	b.config.Pace = pace.New(pace.Config{})
	data := bytes.Repeat([]byte("x"), size)
	write := func(prefix string, pause time.Duration) time.Duration {
		var next atomic.Int64
		var group sync.WaitGroup
		began := time.Now()
		for range 16 {
			group.Go(func() {
				for i := next.Add(1); i <= int64(n); i = next.Add(1) {
					if wait := time.Until(began.Add(time.Duration(i) * pause)); wait > 0 {
						time.Sleep(wait)
					}
					_, err := b.objects.Put(t.Context(), b.grant, &object.PutInput{Bucket: "source", Key: fmt.Sprintf("%s/%d", prefix, i), Body: bytes.NewReader(data), Size: int64(size), Owner: owner})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		return time.Since(began)
	}
	full := write("quiet", 0)
	b.rules(rule("all", "", "one", ""))
	b.start()
	half := write("copied", 2*full/time.Duration(n))
	pending, ended := b.r.Stats().Pending, time.Now()
	b.wantDone()
	t.Logf("%d objects in %v: %.0f/s; at half of that %v, then %d were pending and done after %v",
		n, full.Round(time.Millisecond), float64(n)/full.Seconds(), half.Round(time.Millisecond), pending, time.Since(ended).Round(time.Millisecond))
	if got := b.r.Stats().Replicated; got != int64(n) {
		t.Errorf("%d of %d were replicated", got, n)
	}
}
