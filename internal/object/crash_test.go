package object

import (
	"bytes"
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
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/engine/pebblemeta"
	"github.com/kura-s3/kura/internal/fault"
)

// crashBlob keeps blobs as a disk does: what was finished survives a crash, what was being written
// may be there in part.
type crashBlob struct {
	engine.Blob // never used; methods below replace those that matter

	mu   sync.Mutex
	next int
	data map[engine.Ref][]byte
	done map[engine.Ref]bool
}

func newCrashBlob() *crashBlob {
	return &crashBlob{data: map[engine.Ref][]byte{}, done: map[engine.Ref]bool{}}
}

func (b *crashBlob) Create(context.Context, int64) (engine.BlobWriter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	ref := engine.Ref(fmt.Sprint("c", b.next))
	return &crashWriter{b: b, ref: ref}, nil
}

type crashWriter struct {
	b   *crashBlob
	ref engine.Ref
	n   int64
}

func (w *crashWriter) Ref() engine.Ref { return w.ref }

func (w *crashWriter) Write(p []byte) (int, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.data[w.ref] = append(w.b.data[w.ref], p...)
	w.n += int64(len(p))
	return len(p), nil
}

func (w *crashWriter) Finish(context.Context) (int64, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.done[w.ref] = true
	return w.n, nil
}

func (w *crashWriter) Abort() {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if !w.b.done[w.ref] {
		delete(w.b.data, w.ref)
	}
}

type crashReader struct {
	*bytes.Reader
}

func (crashReader) Close() error { return nil }

func (b *crashBlob) Open(_ context.Context, ref engine.Ref) (engine.BlobReader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.data[ref]
	if !ok {
		return nil, engine.ErrNoBlob
	}
	return crashReader{bytes.NewReader(data)}, nil
}

func (b *crashBlob) Delete(_ context.Context, refs ...engine.Ref) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ref := range refs {
		delete(b.data, ref)
	}
	return nil
}

func (b *crashBlob) List(_ context.Context, fn func(engine.BlobInfo) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ref, data := range b.data {
		if err := fn(engine.BlobInfo{Ref: ref, Size: int64(len(data))}); err != nil {
			return err
		}
	}
	return nil
}

func (b *crashBlob) Usage() engine.Usage { return engine.Usage{} }

// crashImage is the disk at a crash, with what clients had been told before and had asked for by then.
type crashImage struct {
	fs           *vfs.MemFS
	blob         *crashBlob
	acked, asked map[string]uint64
	at           string
}

// clients number their writes; the number tells what the object must be.
type clients struct {
	mu           sync.Mutex
	acked, asked map[string]uint64
}

func (c *clients) note(m map[string]uint64, key string, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m[key] = n
}

// crasher takes an image of both engines around syncs of the metadata's files.
type crasher struct {
	mem     *vfs.MemFS
	blob    *crashBlob
	clients *clients
	percent int
	enabled atomic.Bool
	mu      sync.Mutex
	rng     *rand.Rand
	images  []crashImage
	seen    int
}

func (c *crasher) String() string { return "crasher" }

func (c *crasher) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename, errorfs.OpCreate:
	default:
		return nil
	}
	if !c.enabled.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen++; c.seen%9 != 0 || len(c.images) >= 50 {
		return nil
	}
	c.clients.mu.Lock()
	acked := maps.Clone(c.clients.acked)
	c.clients.mu.Unlock()
	// Held, so that both images are of one moment.
	c.blob.mu.Lock()
	defer c.blob.mu.Unlock()
	img := crashImage{fs: c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.percent, RNG: c.rng}), blob: newCrashBlob(), acked: acked, at: fmt.Sprint(op.Kind, " ", op.Path)}
	for ref, data := range c.blob.data {
		if c.blob.done[ref] {
			img.blob.data[ref] = bytes.Clone(data)
		} else if c.rng.IntN(2) == 0 {
			img.blob.data[ref] = bytes.Clone(data[:c.rng.IntN(len(data)+1)])
		}
	}
	img.blob.next = c.blob.next
	c.clients.mu.Lock()
	img.asked = maps.Clone(c.clients.asked)
	c.clients.mu.Unlock()
	c.images = append(c.images, img)
	return nil
}

// numbered is what the n-th write makes of an object; nil: it deletes it.
func numbered(n uint64) []byte {
	if n%7 == 0 {
		return nil
	}
	size := 100
	if n%3 == 0 {
		size = DefaultInlineMax + 5000
	}
	return append(binary.BigEndian.AppendUint64(nil, n), pattern(byte(n), size)...)
}

// TestCrashes crashes a busy store around syncs, with none, half or all of the unsynced data kept:
// whatever was acknowledged is there, and after the start nothing is left over.
func TestCrashes(t *testing.T) {
	for _, percent := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("%d%%", percent), func(t *testing.T) { crashes(t, percent) })
	}
}

func crashes(t *testing.T, percent int) {
	told := &clients{acked: map[string]uint64{}, asked: map[string]uint64{}}
	c := &crasher{mem: vfs.NewCrashableMem(), blob: newCrashBlob(), clients: told, percent: percent, rng: rand.New(rand.NewPCG(5, uint64(percent)))}
	meta, err := pebblemeta.Open(pebblemeta.Config{Dir: "d", FS: errorfs.Wrap(c.mem, c), MemTable: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer meta.Close()
	ring := newRing(t, meta)
	f := newFixtureOn(t, meta, c.blob, ring)
	f.bucket("b-1", Unversioned)
	f.bucket("b-2", VersioningEnabled)
	c.enabled.Store(true)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() { f.countUp(told, fmt.Sprintf("b-%d/key-%d", 1+w%2, w), w == 5) })
	}
	wg.Wait()
	c.enabled.Store(false)
	if len(c.images) < 20 {
		t.Fatalf("only %d crashes", len(c.images))
	}
	for _, img := range c.images {
		inspect(t, img, ring)
	}
}

// countUp writes an object again and again, each time the next number.
func (f *fixture) countUp(told *clients, name string, multipart bool) {
	bucket, key, _ := strings.Cut(name, "/")
	for n := uint64(1); n <= 40; n++ {
		told.note(told.asked, name, n)
		data := numbered(n)
		var err error
		switch {
		case data == nil:
			_, err = f.store.Delete(f.t.Context(), f.grant, &DeleteInput{Bucket: bucket, Key: key})
		case multipart:
			id := f.upload(UploadInput{Bucket: bucket, Key: key})
			_, err = f.complete(bucket, key, id, f.part(bucket, key, id, 1, data))
		default:
			_, err = f.tryPut(&PutInput{Bucket: bucket, Key: key, Body: bytes.NewReader(data), Size: int64(len(data))})
		}
		if err != nil {
			f.t.Error(err)
			return
		}
		told.note(told.acked, name, n)
	}
}

func inspect(t *testing.T, img crashImage, ring Keyring) {
	t.Helper()
	meta, err := pebblemeta.Open(pebblemeta.Config{Dir: "d", FS: img.fs})
	if err != nil {
		t.Fatalf("crash at %s: %v", img.at, err)
	}
	defer meta.Close()
	f := newFixtureOn(t, meta, img.blob, ring)
	defer f.store.Close(context.Background())
	for name, asked := range img.asked {
		bucket, key, _ := strings.Cut(name, "/")
		_, data, err := f.get(&GetInput{Bucket: bucket, Key: key})
		if err != nil && !fault.Is(err, NoSuchKey) {
			t.Fatalf("crash at %s: %s: %v", img.at, name, err)
		}
		ok := false
		for n := img.acked[name]; n <= asked; n++ {
			ok = ok || bytes.Equal(data, numbered(n)) || n == 0 && data == nil
		}
		if !ok {
			t.Fatalf("crash at %s: %s has %d bytes, which is none of writes %d to %d", img.at, name, len(data), img.acked[name], asked)
		}
	}
	f.settle()
	f.check()
}

// cell of the linearizability model: the value of one object, "" for none.
type registerInput struct {
	op    string // get, put, delete, create (If-None-Match: *), replace (If-Match)
	value string
	match string // the ETag of this value
}

type registerOutput struct {
	value   string
	refused bool
}

var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(string), input.(registerInput), output.(registerOutput)
		switch in.op {
		case "get":
			return out.value == s, s
		case "put":
			return true, in.value
		case "delete":
			return true, ""
		case "create":
			return out.refused == (s != ""), either(out.refused, s, in.value)
		default:
			return out.refused == (s == "" || s != in.match), either(out.refused, s, in.value)
		}
	},
}

func either(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// TestLinearizable: concurrent operations on one key have an order that explains what everyone saw,
// with small bodies and with large ones that the drain takes away meanwhile.
func TestLinearizable(t *testing.T) {
	for name, v := range map[string]Versioning{"unversioned": Unversioned, "versioned": VersioningEnabled, "suspended": VersioningSuspended} {
		t.Run(name, func(t *testing.T) {
			meta := &conflictCounter{Meta: memory.NewMeta()}
			f := newFixtureOn(t, meta, newCrashBlob(), newRing(t, meta))
			f.bucket("b-1", v)
			var mu sync.Mutex
			var history []porcupine.Operation
			var wg sync.WaitGroup
			begin := time.Now()
			for client := range 6 {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(11, uint64(client)))
					last := ""
					for i := range 60 {
						in := registerInput{op: []string{"get", "get", "put", "delete", "create", "replace"}[rng.IntN(6)], match: last}
						in.value = valueOf(client*1000+i, rng.IntN(3) == 0)
						call := time.Since(begin)
						out, err := f.register(in)
						if err != nil {
							t.Errorf("%s: %v", in.op, err)
							return
						}
						if in.op == "get" {
							last = out.value
						}
						mu.Lock()
						history = append(history, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(call), Return: int64(time.Since(begin))})
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if got := porcupine.CheckOperationsTimeout(register, history, 2*time.Minute); got != porcupine.Ok {
				t.Errorf("%d operations are not linearizable: %s", len(history), got)
			}
			if n := meta.conflicts.Load(); n != 0 {
				t.Errorf("%d commits of one node came into each other's way", n)
			}
			f.settle()
			f.check()
		})
	}
}

// conflictCounter counts commits that met a changed record.
type conflictCounter struct {
	engine.Meta
	conflicts atomic.Int64
}

func (c *conflictCounter) Commit(ctx context.Context, b *engine.Batch) error {
	err := c.Meta.Commit(ctx, b)
	if errors.Is(err, engine.ErrConflict) {
		c.conflicts.Add(1)
	}
	return err
}

func valueOf(n int, large bool) string {
	if large {
		return fmt.Sprint(n) + strings.Repeat("x", DefaultInlineMax)
	}
	return fmt.Sprint(n)
}

func (f *fixture) register(in registerInput) (out registerOutput, err error) {
	put := &PutInput{Bucket: "b-1", Key: "k", Body: strings.NewReader(in.value), Size: int64(len(in.value))}
	switch in.op {
	case "get":
		var data []byte
		_, data, err = f.get(&GetInput{Bucket: "b-1", Key: "k"})
		out.value = string(data)
		if fault.Is(err, NoSuchKey) {
			err = nil
		}
		return out, err
	case "delete":
		_, err = f.store.Delete(f.t.Context(), f.grant, &DeleteInput{Bucket: "b-1", Key: "k"})
		return out, err
	case "create":
		put.If.IfNoneMatch = true
	case "replace":
		put.If.IfMatch = md5Hex([]byte(in.match))
	}
	_, err = f.tryPut(put)
	if fault.Is(err, PreconditionFailed) || fault.Is(err, NoSuchKey) {
		out.refused, err = true, nil
	}
	return out, err
}

// TestReaderKeepsWhatItReads: an object that is overwritten and deleted while it is read reads to its
// end, and its space comes back when the reader is done.
func TestReaderKeepsWhatItReads(t *testing.T) {
	f := newFixture(t)
	f.bucket("b-1", Unversioned)
	data := pattern(1, 3<<20)
	f.put("b-1", "k", data)
	id := f.upload(UploadInput{Bucket: "b-1", Key: "m"})
	if _, err := f.complete("b-1", "m", id, f.part("b-1", "m", id, 1, pattern(1, MinPart)), f.part("b-1", "m", id, 2, data)); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]byte{"k": data, "m": append(pattern(1, MinPart), data...)} {
		o, err := f.store.Get(t.Context(), f.grant, &GetInput{Bucket: "b-1", Key: key})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10, len(want))
		if _, err := o.Body.Read(got); err != nil {
			t.Fatal(err)
		}
		f.put("b-1", key, smallData)
		if _, err := f.store.Delete(t.Context(), f.grant, &DeleteInput{Bucket: "b-1", Key: key}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // the drain has had its chance
		buf := bytes.NewBuffer(got)
		if _, err := buf.ReadFrom(o.Body); err != nil || !bytes.Equal(buf.Bytes(), want) {
			t.Errorf("%s: %d bytes, %v", key, buf.Len(), err)
		}
		if f.store.Usage(t.Context()).OpenReaders != 1 {
			t.Error("no open reader is counted")
		}
		o.Body.Close()
		o.Body.Close() // harmless
	}
	f.settle()
	if n := f.blobs(); n != 0 {
		t.Errorf("%d blobs are left", n)
	}
}
