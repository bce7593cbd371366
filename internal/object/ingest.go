package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// ingested is a body that was read to its end, verified and sealed, and that no record names yet.
type ingested struct {
	s        *Store
	body     body
	size     int64
	md5      digest
	checksum Checksum
	sum      []byte  // the checksum as the object's key seals it
	sealed   *[]byte // of an inline body, pooled
	blob     bool    // an intent and a finished blob exist
}

// bodyInput says what to read.
type bodyInput struct {
	bucket uint64
	r      io.Reader
	size   int64 // -1: unknown
	max    int64
	keep   Algorithm // the checksum to store
	seal   *Sealing  // nil: SSE-S3
	part   bool      // of an upload
	expect *Expected
}

const chunkSize = 256 << 10

var (
	chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}
	// smalls hold an inline body and one byte more, or its sealed form.
	smalls = sync.Pool{New: func() any { p := make([]byte, DefaultInlineMax+512); return &p }}
)

// ingest reads, verifies and seals a body. On an error nothing is left of it.
func (s *Store) ingest(ctx context.Context, in *bodyInput) (*ingested, error) {
	if in.size > in.max {
		return nil, tooLarge(in.size, in.max)
	}
	if in.size >= 0 && in.size <= s.inlineMax {
		buf := smalls.Get().(*[]byte)
		defer smalls.Put(buf)
		n, _, err := fill(in.r, (*buf)[:in.size+1])
		if err != nil {
			return nil, err
		}
		return s.ingestSmall(ctx, in, (*buf)[:n])
	}
	first := chunks.Get().(*[chunkSize]byte)
	n, ended, err := fill(in.r, first[:])
	if err == nil && ended && int64(n) <= s.inlineMax {
		defer chunks.Put(first)
		return s.ingestSmall(ctx, in, first[:n])
	}
	if err != nil {
		chunks.Put(first)
		return nil, err
	}
	return s.ingestLarge(ctx, in, first, n, ended)
}

// errNoBody stands in for a body that was not given.
var errNoBody = errors.New("object: no body")

// fill reads until buf is full or r ends.
func fill(r io.Reader, buf []byte) (n int, ended bool, err error) {
	if r == nil {
		return 0, false, errNoBody
	}
	idle := 0
	for n < len(buf) {
		got, err := r.Read(buf[n:])
		n += got
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && fault.Of(err) == "" {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
		if got > 0 {
			idle = 0
		} else if idle++; idle > 100 {
			return n, false, io.ErrNoProgress
		}
	}
	return n, false, nil
}

// aboutBody is what a body's bytes and its data key are authenticated with: no body can stand in for
// another one's, nor for that of another bucket.
func aboutBody(bucket, id uint64) []byte { return about(aboutPrefix, bucket, id) }

const aboutPrefix = "kura body\x00\x01"

func (s *Store) ingestSmall(ctx context.Context, in *bodyInput, plain []byte) (*ingested, error) {
	if in.size >= 0 && int64(len(plain)) != in.size {
		return nil, fault.New(IncompleteBody, "")
	}
	if int64(len(plain)) > in.max {
		return nil, tooLarge(int64(len(plain)), in.max)
	}
	out := &ingested{s: s, size: int64(len(plain))}
	if in.wantsMD5() {
		out.md5 = md5.Sum(plain)
	}
	out.checksum = Checksum{Algorithm: in.keep, Value: in.keep.sum(plain)}
	expected := out.checksum
	if in.expect.Algorithm != NoChecksum && in.expect.Algorithm != in.keep {
		expected = Checksum{Algorithm: in.expect.Algorithm, Value: in.expect.Algorithm.sum(plain)}
	}
	if err := in.expect.verify(out.md5[:], expected); err != nil {
		return nil, err
	}
	if len(plain) > 0 {
		out.body = body{kind: bodyInline, id: s.ids.next()}
		keys, err := s.newKeys(ctx, in.bucket, in.seal, &out.body)
		if err != nil {
			return nil, err
		}
		out.sealed = smalls.Get().(*[]byte)
		*out.sealed = sealSmall((*out.sealed)[:0], in.bucket, &out.body, &keys, plain)
	}
	out.hide(in)
	return out, nil
}

// wantsMD5: S3's ETag is an MD5 with SSE-S3 alone.
func (in *bodyInput) wantsMD5() bool { return in.seal == nil || in.expect.MD5 != nil }

// hide leaves nothing in the clear that tells of a plaintext whose key the store does not keep.
func (i *ingested) hide(in *bodyInput) {
	if in.seal == nil {
		return
	}
	if in.part {
		i.md5 = in.seal.Key.tag(i.size, &i.checksum)
	} else {
		rand.Read(i.md5[:])
	}
	i.sum = sealChecksum(in.seal.Key.wrapper, in.bucket, &i.body, &i.checksum)
}

// verify compares what was computed with what the client said.
func (e *Expected) verify(sum []byte, checksum Checksum) error {
	if e.MD5 != nil && !bytes.Equal(e.MD5, sum) {
		return badMD5(e.MD5, sum)
	}
	if e.Value == nil {
		return nil
	}
	want, err := e.Value()
	if err != nil || want == nil || e.Algorithm == NoChecksum {
		return err
	}
	if !bytes.Equal(want, checksum.Value) {
		return fault.New(BadChecksum, "The "+checksum.Algorithm.String()+" you specified did not match the calculated checksum.")
	}
	return nil
}

// ingestLarge streams a body into a blob. While this goroutine seals and writes a chunk, another one
// computes its digests.
func (s *Store) ingestLarge(ctx context.Context, in *bodyInput, first *[chunkSize]byte, n int, ended bool) (*ingested, error) {
	out := &ingested{s: s, blob: true}
	id := s.ids.next()
	out.body = body{kind: bodyBlob, id: id}
	keys, err := s.newKeys(ctx, in.bucket, in.seal, &out.body)
	if err != nil {
		chunks.Put(first)
		return nil, err
	}
	room := in.size
	if room < 0 {
		room = in.max
	}
	w, err := s.blob.Create(ctx, out.body.sealing.sealedSize(room))
	if err != nil {
		chunks.Put(first)
		return nil, stored(err)
	}
	out.body.ref = string(w.Ref())
	announced := &announcedWriter{w: w, intent: s.announce(ctx, id, w.Ref())}
	p := &pipeline{in: in, sealer: newSealer(announced, in.bucket, &out.body, &keys), digests: newDigests(in)}
	err = p.run(first, n, ended)
	if err == nil {
		err = in.expect.verify(p.digests.sumMD5(), p.digests.expected())
	}
	if err == nil {
		err = stored(p.sealer.Close())
	}
	finishing := err == nil
	if finishing {
		err = finishBlob(ctx, w, out.body.sealing.sealedSize(p.size))
	}
	if err != nil {
		p.sealer.Discard()
		w.Abort()
		if finishing { // it may have come true all the same
			s.giveUp(context.WithoutCancel(ctx), id, w.Ref())
		} else {
			s.withdraw(ctx, id, announced.wait())
		}
		return nil, err
	}
	out.size = p.size
	copy(out.md5[:], p.digests.sumMD5())
	out.checksum = p.digests.kept()
	out.hide(in)
	return out, nil
}

func finishBlob(ctx context.Context, w engine.BlobWriter, want int64) error {
	n, err := w.Finish(ctx)
	if err == nil && n != want {
		err = fmt.Errorf("object: blob has %d bytes, wrote %d", n, want)
	}
	return stored(err)
}

// announce commits the intent to write a blob; the channel tells the outcome once.
func (s *Store) announce(ctx context.Context, id uint64, ref engine.Ref) <-chan error {
	done := make(chan error, 1)
	ctx = context.WithoutCancel(ctx)
	go func() {
		var b engine.Batch
		b.Set(spaceKey(spaceIntent, id), encodeIntent(ref))
		done <- s.meta.Commit(ctx, &b)
	}()
	return done
}

// announcedWriter lets no byte through before the intent is durable, so that a crash leaves no blob
// of which nothing knows.
type announcedWriter struct {
	w      io.Writer
	intent <-chan error
	told   bool
	err    error
}

func (a *announcedWriter) wait() error {
	if !a.told {
		a.err, a.told = <-a.intent, true
	}
	return a.err
}

func (a *announcedWriter) Write(p []byte) (int, error) {
	if err := a.wait(); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}

// withdraw takes an intent back whose blob is gone. It may be lost: replaying it is harmless.
func (s *Store) withdraw(ctx context.Context, id uint64, announced error) {
	if announced != nil {
		return
	}
	b := engine.Batch{Lazy: true}
	b.Delete(spaceKey(spaceIntent, id))
	if err := s.meta.Commit(context.WithoutCancel(ctx), &b); err != nil {
		s.log.Warn("object: an intent stays until the next start", "err", err)
	}
}

// name makes t's commit the one that names the body.
func (i *ingested) name(t *txn) {
	switch {
	case i.blob:
		t.batch.Delete(spaceKey(spaceIntent, i.body.id))
	case i.sealed != nil:
		t.batch.Set(spaceKey(spaceBody, i.body.id), *i.sealed)
	}
}

// release is called when i was named (err nil), or will not be.
func (i *ingested) release(ctx context.Context, err error) {
	if i.sealed != nil {
		smalls.Put(i.sealed)
		i.sealed = nil
	}
	if err != nil && i.blob {
		i.s.giveUp(context.WithoutCancel(ctx), i.body.id, engine.Ref(i.body.ref))
	}
}

// giveUp turns an intent into trash. The commit that was to name the blob may have failed without
// telling whether it took effect: the intent is still there exactly when it did not.
func (s *Store) giveUp(ctx context.Context, id uint64, ref engine.Ref) {
	key := spaceKey(spaceIntent, id)
	_, version, err := s.meta.Get(ctx, key, nil)
	if err == nil && version != 0 {
		t := s.begin()
		t.batch.Require(key, version)
		t.batch.Delete(key)
		t.discard(trash{kind: trashBlob, about: id, ref: ref})
		err = t.commit(ctx)
	}
	if err != nil && !errors.Is(err, engine.ErrConflict) {
		s.log.Warn("object: a blob that nothing names stays until the next start", "err", err)
	}
}

// pipeline moves chunks from the body to the sealer and the digests.
type pipeline struct {
	in      *bodyInput
	sealer  streamSealer
	digests *digests
	size    int64
	free    chan *chunk
	made    int
}

// chunk is used by two; whoever is last gives it back.
type chunk struct {
	data  *[chunkSize]byte
	n     int
	users atomic.Int32
}

// chunksAhead bounds the memory of one upload.
const chunksAhead = 3

func (p *pipeline) run(first *[chunkSize]byte, n int, ended bool) error {
	p.free = make(chan *chunk, chunksAhead)
	work := make(chan *chunk, chunksAhead)
	var hashing sync.WaitGroup
	hashing.Go(func() {
		for c := range work {
			p.digests.write(c.data[:c.n])
			p.release(c)
		}
	})
	p.made = 1
	err := p.feed(work, &chunk{data: first, n: n}, ended)
	close(work)
	hashing.Wait()
	for range p.made {
		chunks.Put((<-p.free).data)
	}
	if err == nil && p.in.size >= 0 && p.size != p.in.size {
		err = fault.New(IncompleteBody, "")
	}
	return err
}

func (p *pipeline) release(c *chunk) {
	if c.users.Add(-1) == 0 {
		p.free <- c
	}
}

func (p *pipeline) feed(work chan<- *chunk, c *chunk, ended bool) error {
	for {
		p.size += int64(c.n)
		if err := p.checkSize(); err != nil {
			p.free <- c
			return err
		}
		c.users.Store(2)
		work <- c
		_, err := p.sealer.Write(c.data[:c.n])
		p.release(c)
		if err != nil {
			return stored(err)
		}
		if ended {
			return nil
		}
		c = p.next()
		if c.n, ended, err = fill(p.in.r, c.data[:]); err != nil {
			p.free <- c
			return err
		}
	}
}

func (p *pipeline) checkSize() error {
	if p.in.size >= 0 && p.size > p.in.size {
		return fault.New(IncompleteBody, "")
	}
	if p.size > p.in.max {
		return tooLarge(p.size, p.in.max)
	}
	return nil
}

func (p *pipeline) next() *chunk {
	select {
	case c := <-p.free:
		return c
	default:
	}
	if p.made < chunksAhead {
		p.made++
		return &chunk{data: chunks.Get().(*[chunkSize]byte)}
	}
	return <-p.free
}

// digests of a large body.
type digests struct {
	in    *bodyInput
	md5   hash.Hash // nil: nobody asks
	keep  hash.Hash
	other hash.Hash // of the expected algorithm, when that is another one
}

func newDigests(in *bodyInput) *digests {
	d := &digests{in: in, keep: algorithms[in.keep].make()}
	if in.wantsMD5() {
		d.md5 = md5.New()
	}
	if a := in.expect.Algorithm; a != NoChecksum && a != in.keep {
		d.other = algorithms[a].make()
	}
	return d
}

func (d *digests) write(p []byte) {
	if d.md5 != nil {
		d.md5.Write(p)
	}
	d.keep.Write(p)
	if d.other != nil {
		d.other.Write(p)
	}
}

func (d *digests) sumMD5() []byte {
	if d.md5 == nil {
		return nil
	}
	return d.md5.Sum(nil)
}

func (d *digests) kept() Checksum {
	return Checksum{Algorithm: d.in.keep, Value: d.keep.Sum(nil)}
}

func (d *digests) expected() Checksum {
	if d.other != nil {
		return Checksum{Algorithm: d.in.expect.Algorithm, Value: d.other.Sum(nil)}
	}
	return d.kept()
}
