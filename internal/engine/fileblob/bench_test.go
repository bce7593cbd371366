package fileblob

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kura-s3/kura/internal/engine/enginetest"
)

const benchSize = 16 << 20

// BenchmarkRawWrite is the device's limit: pwrite in pieces of 256 KiB, then fdatasync.
func BenchmarkRawWrite(b *testing.B) {
	data := make([]byte, gather)
	dir := b.TempDir()
	b.SetBytes(benchSize)
	for b.Loop() {
		f, err := os.Create(filepath.Join(dir, "raw"))
		if err != nil {
			b.Fatal(err)
		}
		for at := int64(0); at < benchSize; at += gather {
			if _, err := f.WriteAt(data, at); err != nil {
				b.Fatal(err)
			}
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkWrite(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	data := make([]byte, benchSize)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		ref, err := enginetest.WriteBlob(b.Context(), s, data, gather)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Delete(b.Context(), ref); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ref, err := enginetest.WriteBlob(b.Context(), s, make([]byte, benchSize), gather)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, gather)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Open(b.Context(), ref)
		if err != nil {
			b.Fatal(err)
		}
		for at := int64(0); at < benchSize; at += gather {
			if _, err := r.ReadAt(buf, at); err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
	}
}
