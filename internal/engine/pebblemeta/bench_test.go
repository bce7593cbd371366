package pebblemeta

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kura-s3/kura/internal/engine"
)

func openBench(b *testing.B) *Meta {
	b.Helper()
	m, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	return m
}

func benchKey(i uint64) []byte { return binary.BigEndian.AppendUint64([]byte("bench/"), i) }

// BenchmarkRawSync is the device's limit: 4 KiB appended, and 4 KiB overwritten, with fdatasync.
func BenchmarkRawSync(b *testing.B) {
	buf := make([]byte, 4096)
	for _, overwrite := range []bool{false, true} {
		name := map[bool]string{false: "append", true: "overwrite"}[overwrite]
		b.Run(name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			const size = 64 << 20
			if overwrite {
				if _, err := f.Write(make([]byte, size)); err != nil {
					b.Fatal(err)
				}
				f.Sync()
			}
			at := int64(0)
			for b.Loop() {
				if _, err := f.WriteAt(buf, at%size); err != nil {
					b.Fatal(err)
				}
				if err := unix.Fdatasync(int(f.Fd())); err != nil {
					b.Fatal(err)
				}
				at += 4096
			}
		})
	}
}

// BenchmarkCommit is a 4 KiB record and a small one in one commit, as a small PUT makes them.
func BenchmarkCommit(b *testing.B) {
	for _, workers := range []int{1, 16} {
		b.Run(map[int]string{1: "1", 16: "16"}[workers], func(b *testing.B) {
			m := openBench(b)
			value := make([]byte, 4096)
			for i := range value {
				value[i] = byte(i * 131 >> 3)
			}
			var next atomic.Uint64
			syncs := m.syncs.Load()
			cpu := cpuTime()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for {
						n := next.Add(1)
						if n > uint64(b.N) {
							return
						}
						var batch engine.Batch
						batch.Require(benchKey(n), 0)
						batch.Set(benchKey(n), value[:200])
						batch.Set(append(benchKey(n), 'b'), value)
						if err := m.Commit(b.Context(), &batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(m.syncs.Load()-syncs)/float64(b.N), "syncs/op")
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func fill(b *testing.B, m *Meta, n int) {
	b.Helper()
	value := make([]byte, 200)
	for at := 0; at < n; {
		var batch engine.Batch
		for range 1000 {
			batch.Set(benchKey(uint64(at)), value)
			at++
		}
		if err := m.Commit(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	m := openBench(b)
	const records = 20_000
	fill(b, m, records)
	for name, flush := range map[string]bool{"memory": false, "tables": true} {
		if flush {
			if err := m.db.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			key := benchKey(0)
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				i = (i*2862933555777941757 + 3037000493)
				binary.BigEndian.PutUint64(key[6:], i%records)
				_, v, err := m.Get(b.Context(), key, buf)
				if err != nil || v == 0 {
					b.Fatal(v, err)
				}
			}
		})
	}
	b.Run("absent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, v, err := m.Get(b.Context(), []byte("bench/absent"), nil); err != nil || v != 0 {
				b.Fatal(v, err)
			}
		}
	})
}

// BenchmarkScan1000 is a page of a listing.
func BenchmarkScan1000(b *testing.B) {
	m := openBench(b)
	fill(b, m, 100_000)
	b.ReportAllocs()
	n, bytes := uint64(0), 0
	for b.Loop() {
		it, err := m.Scan(b.Context(), benchKey(n%90_000), nil)
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < 1000 && it.Next(); i++ {
			bytes += len(it.Key()) + len(it.Value())
		}
		if err := it.Close(); err != nil {
			b.Fatal(err)
		}
		n += 1000
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}
