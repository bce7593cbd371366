package object

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kura-s3/kura/internal/engine/fileblob"
	"github.com/kura-s3/kura/internal/engine/pebblemeta"
)

// newBenchFixture has the embedded engines on disk.
func newBenchFixture(b *testing.B) *fixture {
	b.Helper()
	meta, err := pebblemeta.Open(pebblemeta.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { meta.Close() })
	blob, err := fileblob.Open(fileblob.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { blob.Close() })
	f := newFixtureOn(b, meta, blob, newRing(b, meta))
	f.bucket("bench", Unversioned)
	return f
}

func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs op from some goroutines and reports the process's CPU time for each.
func measure(b *testing.B, workers int, op func(n int64) error) {
	b.ReportAllocs()
	var next atomic.Int64
	cpu := cpuTime()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if err := op(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
}

func BenchmarkPut(b *testing.B) {
	for name, size := range map[string]int{"small": 4 << 10, "large": 16 << 20} {
		for _, workers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", name, workers), func(b *testing.B) {
				f := newBenchFixture(b)
				data := pattern(1, size)
				if size > 1<<20 {
					b.SetBytes(int64(size))
				}
				measure(b, workers, func(n int64) error {
					_, err := f.tryPut(&PutInput{Bucket: "bench", Key: fmt.Sprintf("key-%d", n%5000), Body: bytes.NewReader(data), Size: int64(size), Owner: alice,
						Attributes: Attributes{ContentType: "application/octet-stream"}})
					return err
				})
			})
		}
	}
}

func (f *fixture) fill(keys int, format string, size int) {
	f.t.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	data := pattern(1, size)
	for range 32 {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < int64(keys); n = next.Add(1) - 1 {
				f.put("bench", fmt.Sprintf(format, n), data)
			}
		})
	}
	wg.Wait()
}

func BenchmarkGet(b *testing.B) {
	f := newBenchFixture(b)
	f.fill(5000, "key-%d", 4096)
	b.Run("small", func(b *testing.B) {
		measure(b, 1, func(n int64) error {
			o, err := f.store.Get(b.Context(), f.grant, &GetInput{Bucket: "bench", Key: fmt.Sprintf("key-%d", n%5000)})
			if err != nil {
				return err
			}
			_, err = o.Body.(io.WriterTo).WriteTo(io.Discard)
			o.Body.Close()
			return err
		})
	})
	b.Run("stat", func(b *testing.B) {
		measure(b, 1, func(n int64) error {
			_, err := f.store.Stat(b.Context(), f.grant, &GetInput{Bucket: "bench", Key: fmt.Sprintf("key-%d", n%5000)})
			return err
		})
	})
	data := pattern(1, 16<<20)
	f.put("bench", "large", data)
	b.Run("large", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		measure(b, 1, func(int64) error {
			o, err := f.store.Get(b.Context(), f.grant, &GetInput{Bucket: "bench", Key: "large"})
			if err != nil {
				return err
			}
			_, err = o.Body.(io.WriterTo).WriteTo(io.Discard)
			o.Body.Close()
			return err
		})
	})
}

func BenchmarkList(b *testing.B) {
	f := newBenchFixture(b)
	f.fill(20000, "dir-%04d/file", 10)
	for name, in := range map[string]ListInput{
		"flat":      {Bucket: "bench", Max: 1000},
		"delimiter": {Bucket: "bench", Max: 1000, Delimiter: "/"},
	} {
		b.Run(name, func(b *testing.B) {
			measure(b, 1, func(n int64) error {
				in := in
				in.After = fmt.Sprintf("dir-%04d", n%18000)
				page, err := f.store.List(b.Context(), f.grant, &in)
				if err == nil && len(page.Objects)+len(page.Prefixes) != 1000 {
					err = fmt.Errorf("a page of %d", len(page.Objects))
				}
				return err
			})
		})
	}
}
