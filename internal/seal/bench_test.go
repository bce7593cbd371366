package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"io"
	"testing"
)

// BenchmarkBareGCM is the machine's limit, to compare the others with.
func BenchmarkBareGCM(b *testing.B) {
	k := NewKey()
	block, _ := aes.NewCipher(k[:])
	gcm, _ := cipher.NewGCM(block)
	plain := make([]byte, Block)
	out := make([]byte, 0, sealedBlock)
	var nonce [12]byte
	b.SetBytes(Block)
	for b.Loop() {
		out = gcm.Seal(out[:0], nonce[:], plain, nil)
	}
}

func BenchmarkWriter16MiB(b *testing.B) {
	plain := make([]byte, 16<<20)
	k, context := NewKey(), []byte("context of an ordinary length")
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter(io.Discard, k, context)
		for at := 0; at < len(plain); at += 256 << 10 {
			w.Write(plain[at : at+256<<10])
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader16MiB(b *testing.B) {
	k, context := NewKey(), []byte("context of an ordinary length")
	sealed := Bytes(nil, k, context, make([]byte, 16<<20))
	src := bytes.NewReader(sealed)
	b.SetBytes(16 << 20)
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(src, int64(len(sealed)), k, context, 0, 16<<20)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := r.WriteTo(io.Discard); err != nil || n != 16<<20 {
			b.Fatal(n, err)
		}
		r.Close()
	}
}

func BenchmarkBytes4KiB(b *testing.B) {
	k, context, plain := NewKey(), []byte("context of an ordinary length"), make([]byte, 4096)
	out := make([]byte, 0, 8192)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		out = Bytes(out[:0], k, context, plain)
	}
}

func BenchmarkOpenBytes4KiB(b *testing.B) {
	k, context := NewKey(), []byte("context of an ordinary length")
	sealed := Bytes(nil, k, context, make([]byte, 4096))
	out := make([]byte, 0, 8192)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenBytes(out, k, context, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrap(b *testing.B) {
	w, k, context := NewWrapper(NewKey()), NewKey(), []byte("context of an ordinary length")
	out := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		out = w.Wrap(out[:0], context, k[:])
	}
}

func BenchmarkUnwrap(b *testing.B) {
	w, k, context := NewWrapper(NewKey()), NewKey(), []byte("context of an ordinary length")
	wrapped := w.Wrap(nil, context, k[:])
	out := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Unwrap(out, context, wrapped); err != nil {
			b.Fatal(err)
		}
	}
}
