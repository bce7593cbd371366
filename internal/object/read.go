package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/seal"
)

// errGone says that a body is not there (any more): its object was replaced since its record was
// read, or is damaged.
var errGone = errors.New("object: a body is not there")

// openBody opens n bytes at off of a body, with the object's key where it has one. The caller closes
// it.
func (s *Store) openBody(ctx context.Context, bucket uint64, b *body, key *seal.Wrapper, size, off, n int64) (bodyReader, error) {
	switch {
	case b.kind == bodyNone:
		if size != 0 {
			return nil, damaged("a body is missing", nil)
		}
		return &bytesBody{}, nil
	case b.kind == bodyInline:
		return s.openInline(ctx, bucket, b, key, size, off, n)
	}
	if !s.readers.pin(b.id) {
		return nil, errGone
	}
	var r bodyReader
	var err error
	if b.kind == bodyManifest {
		r, err = s.openManifest(ctx, bucket, b, key, off, n)
	} else {
		r, err = s.openBlob(ctx, bucket, b, key, size, off, n)
	}
	if err != nil {
		s.readers.unpin(b.id)
		return nil, err
	}
	return &pinnedBody{bodyReader: r, s: s, id: b.id}, nil
}

// bodyReader is what every body can do.
type bodyReader interface {
	io.ReadCloser
	io.WriterTo
}

// openInline reads a small body whole, before anything of it is given out.
func (s *Store) openInline(ctx context.Context, bucket uint64, b *body, with *seal.Wrapper, size, off, n int64) (bodyReader, error) {
	raw := smalls.Get().(*[]byte)
	defer smalls.Put(raw)
	sealed, version, err := s.meta.Get(ctx, spaceKey(spaceBody, b.id), (*raw)[:0])
	if err != nil {
		return nil, stored(err)
	}
	if version == 0 {
		return nil, errGone
	}
	key, err := s.dataKey(ctx, bucket, b, with)
	if err != nil {
		return nil, err
	}
	if sealed, err = s.openOuter(ctx, bucket, b, sealed); err != nil {
		return nil, err
	}
	buf := smalls.Get().(*[]byte)
	plain, err := seal.OpenBytes((*buf)[:0], key, aboutBody(bucket, b.id), sealed)
	if err == nil && int64(len(plain)) != size {
		err = seal.ErrDamaged
	}
	if err != nil {
		smalls.Put(buf)
		return nil, s.noticeDamage(err)
	}
	*buf = plain[:cap(plain)]
	return &bytesBody{buf: buf, left: plain[off : off+n]}, nil
}

// bytesBody is a body in memory.
type bytesBody struct {
	buf  *[]byte
	left []byte
}

func (b *bytesBody) Read(p []byte) (int, error) {
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

func (b *bytesBody) WriteTo(w io.Writer) (int64, error) {
	if len(b.left) == 0 {
		return 0, nil
	}
	n, err := w.Write(b.left)
	b.left = b.left[n:]
	return int64(n), err
}

func (b *bytesBody) Close() error {
	b.left = nil
	if b.buf != nil {
		smalls.Put(b.buf)
		b.buf = nil
	}
	return nil
}

func (s *Store) openBlob(ctx context.Context, bucket uint64, b *body, with *seal.Wrapper, size, off, n int64) (bodyReader, error) {
	key, err := s.dataKey(ctx, bucket, b, with)
	if err != nil {
		return nil, err
	}
	src, err := s.blob.Open(ctx, engine.Ref(b.ref))
	if errors.Is(err, engine.ErrNoBlob) {
		return nil, errGone
	}
	if err != nil {
		return nil, stored(err)
	}
	from, length, err := s.source(ctx, bucket, b, src)
	if err != nil {
		src.Close()
		return nil, err
	}
	r, err := seal.NewReader(from, length, key, aboutBody(bucket, b.id), off, n)
	if plain, sizeErr := seal.PlainSize(length); err == nil && (sizeErr != nil || plain != size) {
		r.Close()
		err = fmt.Errorf("%w: a body of %d bytes has %d", seal.ErrDamaged, size, plain)
	}
	if err != nil {
		src.Close()
		return nil, s.noticeDamage(err)
	}
	return &blobBody{Reader: r, src: src, s: s}, nil
}

// blobBody is a range of one blob.
type blobBody struct {
	*seal.Reader
	src engine.BlobReader
	s   *Store
}

func (b *blobBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.s.noticeDamage(err)
	}
	return n, err
}

func (b *blobBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.Reader.WriteTo(w)
	if errors.Is(err, seal.ErrDamaged) {
		err = b.s.noticeDamage(err)
	}
	return n, err
}

func (b *blobBody) Close() error { return errors.Join(b.Reader.Close(), b.src.Close()) }

// pinnedBody keeps its body from the drain until it is closed.
type pinnedBody struct {
	bodyReader
	s      *Store
	id     uint64
	closed bool
}

func (p *pinnedBody) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	err := p.bodyReader.Close()
	p.s.readers.unpin(p.id)
	return err
}

// keyError tells a data key that does not open from a keyring that could not be asked.
func (s *Store) keyError(ctx context.Context, err error) error {
	if fault.Of(err) != "" || ctx.Err() != nil {
		return err
	}
	s.damagedReads.Add(1)
	return damaged("", err)
}

// noticeDamage counts damaged reads and gives them their kind.
func (s *Store) noticeDamage(err error) error {
	if errors.Is(err, seal.ErrDamaged) || errors.Is(err, errRecord) {
		s.damagedReads.Add(1)
	}
	return stored(err)
}

// openManifest reads the parts that the range touches, one after the other.
func (s *Store) openManifest(ctx context.Context, bucket uint64, b *body, key *seal.Wrapper, off, n int64) (bodyReader, error) {
	m := &manifestBody{ctx: ctx, s: s, bucket: bucket, body: b, key: key, at: off, left: n}
	// The first part is opened now, so that an object that is no longer there is found here.
	if err := m.advance(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return m, nil
}

// manifestBody is a range of a multipart body.
type manifestBody struct {
	ctx    context.Context
	s      *Store
	bucket uint64
	body   *body
	key    *seal.Wrapper // nil: SSE-S3
	at     int64         // of the next byte
	left   int64

	page  int // number of parts' page, plus one; 0: none yet
	parts []partRecord
	start int64 // offset of parts
	open  bodyReader
	rest  int64 // bytes of open not given out
}

// advance opens the part at the current offset.
func (m *manifestBody) advance() error {
	if m.open != nil {
		m.open.Close()
		m.open = nil
	}
	if m.left == 0 {
		return io.EOF
	}
	i, start, err := m.seek()
	if err != nil {
		return err
	}
	p := &m.parts[i]
	from := m.at - start
	n := min(m.left, p.size-from)
	r, err := m.s.openPart(m.ctx, m.bucket, &p.body, m.key, p.size, from, n)
	if err != nil {
		return err
	}
	m.open, m.rest = r, n
	return nil
}

// openPart is openBody under the pin of the whole.
func (s *Store) openPart(ctx context.Context, bucket uint64, b *body, key *seal.Wrapper, size, off, n int64) (bodyReader, error) {
	if b.kind == bodyBlob {
		return s.openBlob(ctx, bucket, b, key, size, off, n)
	}
	return s.openBody(ctx, bucket, b, key, size, off, n)
}

// seek finds the part that holds the current offset, and where it begins.
func (m *manifestBody) seek() (int, int64, error) {
	number, ok := slices.BinarySearchFunc(m.body.pages, m.at, func(p page, at int64) int {
		if p.end > at {
			return 1
		}
		return -1
	})
	if ok || number == len(m.body.pages) {
		return 0, 0, damaged("a multipart body ends early", nil)
	}
	if m.page != number+1 {
		parts, err := m.s.readPage(m.ctx, m.body, number)
		if err != nil {
			return 0, 0, err
		}
		m.parts, m.page, m.start = parts, number+1, m.body.pageStart(number)
	}
	start := m.start
	for i := range m.parts {
		if m.at < start+m.parts[i].size {
			return i, start, nil
		}
		start += m.parts[i].size
	}
	return 0, 0, damaged("a page of a multipart body ends early", nil)
}

// pageStart is the offset of a page's first byte.
func (b *body) pageStart(number int) int64 {
	if number == 0 {
		return 0
	}
	return b.pages[number-1].end
}

// readPage reads one page of a manifest, and checks it against the head.
func (s *Store) readPage(ctx context.Context, b *body, number int) ([]partRecord, error) {
	raw, version, err := s.meta.Get(ctx, pageKey(b.id, number), nil)
	if err != nil {
		return nil, stored(err)
	}
	if version == 0 {
		return nil, errGone
	}
	parts, err := decodePage(raw)
	if err != nil {
		return nil, s.noticeDamage(err)
	}
	end := b.pageStart(number)
	for i := range parts {
		end += parts[i].size
	}
	if end != b.pages[number].end || parts[len(parts)-1].number != b.pages[number].last {
		return nil, s.noticeDamage(fmt.Errorf("%w: page of a manifest", errRecord))
	}
	return parts, nil
}

func (m *manifestBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if m.rest == 0 {
		if err := m.advance(); err != nil {
			return 0, m.failed(err)
		}
	}
	n, err := m.open.Read(p)
	m.took(int64(n))
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 && m.rest > 0 {
			err = damaged("a part ends early", nil)
		}
	}
	return n, err
}

func (m *manifestBody) took(n int64) {
	m.rest -= n
	m.at += n
	m.left -= n
}

// failed tells that something is missing under a pinned object.
func (m *manifestBody) failed(err error) error {
	if errors.Is(err, errGone) {
		m.s.damagedReads.Add(1)
		return damaged("", err)
	}
	return err
}

func (m *manifestBody) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		if m.rest == 0 {
			if err := m.advance(); err != nil {
				if errors.Is(err, io.EOF) {
					return written, nil
				}
				return written, m.failed(err)
			}
		}
		n, err := m.open.WriteTo(w)
		written += n
		m.took(n)
		if err != nil {
			return written, err
		}
		if m.rest > 0 {
			return written, damaged("a part ends early", nil)
		}
	}
}

func (m *manifestBody) Close() error {
	m.left, m.rest = 0, 0
	if m.open == nil {
		return nil
	}
	err := m.open.Close()
	m.open = nil
	return err
}
