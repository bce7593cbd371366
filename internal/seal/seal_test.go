package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/v1.json anew")

// sizes sit on both sides of every border of the format and of the writer's window.
var sizes = []int{
	0, 1, 15, 16, 17, 4096, Block - 1, Block, Block + 1, 2*Block - 1, 2 * Block, 2*Block + 1,
	window*Block - 1, window * Block, window*Block + 1, 9*Block + 12345,
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + i>>16)
	}
	return b
}

func testKey(b byte) (k Key) {
	for i := range k {
		k[i] = b + byte(i)
	}
	return k
}

// reference seals by the words of docs/formats.md, sharing nothing with the code under test.
func reference(t *testing.T, key [32]byte, context, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for n := uint32(0); ; n++ {
		nonce := append([]byte("KuraS\x00\x01"), 0, 0, 0, 0, 0)
		binary.BigEndian.PutUint32(nonce[7:11], n)
		if len(plain) <= 65536 {
			nonce[11] = 1
			return gcm.Seal(out, nonce, plain, context)
		}
		out = gcm.Seal(out, nonce, plain[:65536], context)
		plain = plain[65536:]
	}
}

func TestFormatIsTheDocumentedOne(t *testing.T) {
	key, context := testKey(1), []byte("bucket 7, blob 9")
	for _, n := range sizes {
		plain := pattern(n)
		want := reference(t, key, context, plain)
		if got := Bytes(nil, key, context, plain); !bytes.Equal(got, want) {
			t.Errorf("Bytes of %d differs from the documented format", n)
		}
		if int64(len(want)) != Size(int64(n)) {
			t.Errorf("Size(%d) = %d, want %d", n, Size(int64(n)), len(want))
		}
		if back, err := PlainSize(int64(len(want))); err != nil || back != int64(n) {
			t.Errorf("PlainSize(%d) = %d, %v, want %d", len(want), back, err, n)
		}
	}
}

func TestWriterMakesTheSameStreamHoweverItIsFed(t *testing.T) {
	key, context := testKey(2), []byte("ctx")
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range sizes {
		plain := pattern(n)
		want := Bytes(nil, key, context, plain)
		for _, step := range []int{1000, Block, Block + 1, 4 * Block, 1 << 30, 0} {
			var out bytes.Buffer
			w := NewWriter(&out, key, context)
			for rest := plain; len(rest) > 0; {
				k := step
				if step == 0 {
					k = rng.IntN(3 * Block)
				}
				k = min(k, len(rest))
				if m, err := w.Write(rest[:k]); m != k || err != nil {
					t.Fatalf("Write: %d, %v", m, err)
				}
				rest = rest[k:]
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%d bytes in steps of %d: stream differs", n, step)
			}
			if err := w.Close(); err != nil {
				t.Errorf("second Close: %v", err)
			}
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("Write after Close succeeded")
			}
		}
	}
}

func TestEveryRangeReadsBack(t *testing.T) {
	key, context := testKey(3), []byte("ctx")
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range sizes {
		plain := pattern(n)
		sealed := Bytes(nil, key, context, plain)
		ranges := [][2]int{{0, n}, {n, 0}, {0, 0}, {n / 2, n - n/2}, {0, min(1, n)}, {n - min(1, n), min(1, n)}}
		for range 20 {
			off := rng.IntN(n + 1)
			ranges = append(ranges, [2]int{off, rng.IntN(n - off + 1)})
		}
		for _, rg := range ranges {
			want := plain[rg[0] : rg[0]+rg[1]]
			open := func() *Reader {
				r, err := NewReader(bytes.NewReader(sealed), int64(len(sealed)), key, context, int64(rg[0]), int64(rg[1]))
				if err != nil {
					t.Fatalf("range %v of %d: %v", rg, n, err)
				}
				return r
			}
			r := open()
			var out bytes.Buffer
			if m, err := r.WriteTo(&out); err != nil || m != int64(rg[1]) || !bytes.Equal(out.Bytes(), want) {
				t.Errorf("WriteTo of %v of %d: %d, %v", rg, n, m, err)
			}
			r.Close()
			r = open()
			got, err := io.ReadAll(struct{ io.Reader }{r})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("Read of %v of %d: %v", rg, n, err)
			}
			r.Close()
			if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("Read after Close: %v", err)
			}
		}
	}
}

// touched records which bytes a reader asked for.
type touched struct {
	src    io.ReaderAt
	lo, hi int64
	calls  int
}

func (s *touched) ReadAt(p []byte, off int64) (int, error) {
	if s.calls == 0 || off < s.lo {
		s.lo = off
	}
	s.hi = max(s.hi, off+int64(len(p)))
	s.calls++
	return s.src.ReadAt(p, off)
}

func TestRangeTouchesOnlyItsBlocks(t *testing.T) {
	key := testKey(4)
	sealed := Bytes(nil, key, nil, pattern(20*Block+5))
	src := &touched{src: bytes.NewReader(sealed)}
	r, err := NewReader(src, int64(len(sealed)), key, nil, 7*Block+10, Block)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	if src.lo != 7*sealedBlock || src.hi != 9*sealedBlock || src.calls != 1 {
		t.Errorf("read bytes %d to %d in %d calls, want blocks 7 and 8 in one", src.lo, src.hi, src.calls)
	}
}

// readers are the two ways to read a whole stream.
var readers = map[string]func(k Key, context, sealed []byte) ([]byte, error){
	"OpenBytes": func(k Key, context, sealed []byte) ([]byte, error) {
		return OpenBytes(nil, k, context, sealed)
	},
	"Reader": func(k Key, context, sealed []byte) ([]byte, error) {
		plain, err := PlainSize(int64(len(sealed)))
		if err != nil {
			return nil, err
		}
		r, err := NewReader(bytes.NewReader(sealed), int64(len(sealed)), k, context, 0, plain)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		var out bytes.Buffer
		_, err = r.WriteTo(&out)
		return out.Bytes(), err
	},
}

func TestDamageIsNeverRead(t *testing.T) {
	key, context := testKey(5), []byte("mine")
	plain := pattern(3*Block + 100)
	good := Bytes(nil, key, context, plain)
	whole := Bytes(nil, key, context, plain[:3*Block])
	other := Bytes(nil, key, []byte("theirs"), plain)
	blockOf := func(s []byte, i int) []byte { return s[i*sealedBlock : min((i+1)*sealedBlock, len(s))] }
	flip := func(at, bit int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1 << bit
		return b
	}
	cases := map[string][]byte{
		"empty":                      {},
		"only a tag's length":        good[:16],
		"less than a tag":            good[:15],
		"cut by one byte":            good[:len(good)-1],
		"cut at a block":             good[:3*sealedBlock],
		"cut inside a block":         good[:2*sealedBlock+500],
		"first block missing":        good[sealedBlock:],
		"middle block missing":       slicesConcat(blockOf(good, 0), blockOf(good, 2), blockOf(good, 3)),
		"blocks exchanged":           slicesConcat(blockOf(good, 1), blockOf(good, 0), blockOf(good, 2), blockOf(good, 3)),
		"block repeated":             slicesConcat(blockOf(good, 0), blockOf(good, 0), blockOf(good, 2), blockOf(good, 3)),
		"extended by zeros":          slicesConcat(good, make([]byte, 64)),
		"block of another object":    slicesConcat(blockOf(good, 0), blockOf(other, 1), blockOf(good, 2), blockOf(good, 3)),
		"another object's stream":    other,
		"final block in the middle":  slicesConcat(whole, blockOf(good, 3)),
		"unfinished stream":          slicesConcat(good[:2*sealedBlock], blockOf(good, 2)),
		"all zeros":                  make([]byte, len(good)),
		"first bit":                  flip(0, 0),
		"last bit":                   flip(len(good)-1, 7),
		"tag of the first block":     flip(Block+3, 4),
		"first byte of second block": flip(sealedBlock, 1),
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		at := rng.IntN(len(good))
		cases[fmt.Sprintf("bit in byte %d", at)] = flip(at, rng.IntN(8))
	}
	for how, read := range readers {
		got, err := read(key, context, good)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%s cannot read the undamaged stream: %v", how, err)
		}
		for name, sealed := range cases {
			got, err := read(key, context, sealed)
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%s of %s: %v, want ErrDamaged", how, name, err)
			}
			if !bytes.HasPrefix(plain, got) {
				t.Errorf("%s of %s gave wrong bytes", how, name)
			}
		}
		if _, err := read(testKey(6), context, good); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s under a wrong key: %v", how, err)
		}
	}
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestEmptyStreamIsProvedToo(t *testing.T) {
	key := testKey(7)
	sealed := Bytes(nil, key, []byte("a"), nil)
	if _, err := NewReader(bytes.NewReader(sealed), 16, key, []byte("b"), 0, 0); !errors.Is(err, ErrDamaged) {
		t.Errorf("empty stream under another context: %v", err)
	}
	r, err := NewReader(bytes.NewReader(sealed), 16, key, []byte("a"), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || len(b) != 0 {
		t.Errorf("empty stream reads %d bytes, %v", len(b), err)
	}
}

func TestOpenBytesLeavesNothingBehindOnDamage(t *testing.T) {
	key := testKey(8)
	sealed := Bytes(nil, key, nil, pattern(2*Block))
	sealed[len(sealed)-1] ^= 1
	buf := make([]byte, 0, 2*Block)
	if _, err := OpenBytes(buf, key, nil, sealed); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	if !bytes.Equal(buf[:cap(buf)], make([]byte, 2*Block)) {
		t.Error("plaintext of an unproved stream stayed in the caller's buffer")
	}
}

func TestRefusedRangesAndSizes(t *testing.T) {
	key := testKey(9)
	sealed := Bytes(nil, key, nil, pattern(100))
	for _, rg := range [][2]int64{{-1, 1}, {0, 101}, {101, 0}, {50, 51}, {1, math.MaxInt64}, {math.MaxInt64, 1}, {0, -1}} {
		if r, err := NewReader(bytes.NewReader(sealed), int64(len(sealed)), key, nil, rg[0], rg[1]); err == nil {
			r.Close()
			t.Errorf("range %v was accepted", rg)
		}
	}
	for _, n := range []int64{math.MinInt64, -1, 0, 15, sealedBlock + 1, sealedBlock + 16, math.MaxInt64, Size(MaxPlain) + 1} {
		if got, err := PlainSize(n); !errors.Is(err, ErrDamaged) {
			t.Errorf("PlainSize(%d) = %d, %v", n, got, err)
		}
	}
	if got, err := PlainSize(Size(MaxPlain)); err != nil || got != MaxPlain {
		t.Errorf("PlainSize of the longest stream = %d, %v", got, err)
	}
}

// failing is a source and destination that breaks after some bytes.
type failing struct {
	src  io.ReaderAt
	left int
}

var errDevice = errors.New("device error")

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > int64(f.left) {
		return 0, errDevice
	}
	return f.src.ReadAt(p, off)
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		n := f.left
		f.left = 0
		return n, errDevice
	}
	f.left -= len(p)
	return len(p), nil
}

func TestDeviceErrorsAreNotCalledDamage(t *testing.T) {
	key := testKey(10)
	plain := pattern(10 * Block)
	sealed := Bytes(nil, key, nil, plain)
	r, err := NewReader(&failing{bytes.NewReader(sealed), 6 * sealedBlock}, int64(len(sealed)), key, nil, 0, 10*Block)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := r.WriteTo(&out); !errors.Is(err, errDevice) || errors.Is(err, ErrDamaged) {
		t.Errorf("read error: %v", err)
	}
	if !bytes.HasPrefix(plain, out.Bytes()) {
		t.Error("wrong bytes before the error")
	}
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, errDevice) {
		t.Errorf("the error did not stick: %v", err)
	}
	r.Close()

	w := NewWriter(&failing{left: 5 * sealedBlock}, key, nil)
	if _, err := w.Write(plain); !errors.Is(err, errDevice) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, errDevice) {
		t.Errorf("Close hides the error: %v", err)
	}

	r, err = NewReader(bytes.NewReader(sealed), int64(len(sealed)), key, nil, 10, 9*Block)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := &bytes.Buffer{}
	n, err := r.WriteTo(&failing{left: 3 * Block})
	if !errors.Is(err, errDevice) {
		t.Fatalf("WriteTo a broken destination: %v", err)
	}
	if _, err := r.WriteTo(first); err != nil || !bytes.Equal(first.Bytes(), plain[10+n:10+9*Block]) {
		t.Errorf("reading on after a destination's error: %v, %d bytes", err, first.Len())
	}
}

func TestDiscardedWriterWritesNoMore(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, testKey(11), nil)
	w.Write(pattern(100))
	w.Discard()
	w.Discard()
	if err := w.Close(); err == nil {
		t.Error("Close after Discard says that the stream is whole")
	}
	if out.Len() != 0 {
		t.Errorf("%d bytes were written", out.Len())
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	k := testKey(0x41)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "p", &k)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "p", &k)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		fmt.Fprintf(&log, verb, k)
		fmt.Fprintf(&log, verb, struct{ K Key }{k})
	}
	for _, leak := range []string{"ABCDEF", "414243", "65 66 67", "65,66,67"} {
		if bytes.Contains(log.Bytes(), []byte(leak)) {
			t.Errorf("the key shows as %q in %s", leak, log.String())
		}
	}
}

type specimen struct {
	Key, Context string
	PlainSize    int
	Sealed       string `json:",omitempty"`
	SealedSHA256 string
}

// TestSpecimen holds the code to streams that an earlier version stored.
func TestSpecimen(t *testing.T) {
	const file = "testdata/v1.json"
	key, context := testKey(0x20), []byte("specimen\x00v1")
	if *update {
		var all []specimen
		for _, n := range sizes {
			sealed := Bytes(nil, key, context, pattern(n))
			sum := sha256.Sum256(sealed)
			s := specimen{hex.EncodeToString(key[:]), hex.EncodeToString(context), n, "", hex.EncodeToString(sum[:])}
			if n < 100 {
				s.Sealed = hex.EncodeToString(sealed)
			}
			all = append(all, s)
		}
		b, _ := json.MarshalIndent(all, "", " ")
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []specimen
	if err := json.Unmarshal(b, &all); err != nil || len(all) != len(sizes) {
		t.Fatalf("%d specimens, %v", len(all), err)
	}
	for _, s := range all {
		sealed := Bytes(nil, key, context, pattern(s.PlainSize))
		if sum := sha256.Sum256(sealed); hex.EncodeToString(sum[:]) != s.SealedSHA256 {
			t.Errorf("stream of %d bytes is not the stored one", s.PlainSize)
		}
		if s.Sealed == "" {
			continue
		}
		stored, err := hex.DecodeString(s.Sealed)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenBytes(nil, key, context, stored); err != nil || !bytes.Equal(got, pattern(s.PlainSize)) {
			t.Errorf("stored stream of %d bytes: %v", s.PlainSize, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key, context := testKey(12), []byte("fuzz")
	for _, n := range []int{0, 1, 100, Block, Block + 1, 5*Block + 3} {
		f.Add(Bytes(nil, key, context, pattern(n)), uint32(0), uint32(n))
	}
	f.Add([]byte{}, uint32(1), uint32(1))
	f.Fuzz(func(t *testing.T, sealed []byte, off, n uint32) {
		plain, err := OpenBytes(nil, key, context, sealed)
		if err == nil && !bytes.Equal(plain, pattern(len(plain))) {
			t.Fatal("a stream that nobody sealed was opened")
		}
		r, rerr := NewReader(bytes.NewReader(sealed), int64(len(sealed)), key, context, int64(off), int64(n))
		if rerr != nil {
			return
		}
		defer r.Close()
		got, rerr := io.ReadAll(r)
		if rerr != nil && !errors.Is(rerr, ErrDamaged) {
			t.Fatalf("unexpected error %v", rerr)
		}
		if err == nil && (rerr != nil || !bytes.Equal(got, plain[off:off+n])) {
			t.Fatalf("range %d+%d of an intact stream: %v", off, n, rerr)
		}
		if want := pattern(int(off) + len(got)); !bytes.Equal(got, want[off:]) {
			t.Fatal("wrong bytes")
		}
	})
}
