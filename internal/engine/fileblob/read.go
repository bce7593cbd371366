package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/engine"
)

// find gives the segment, in use, and the header of the blob at ref, or ErrNoBlob.
func (s *Store) find(ref engine.Ref) (*segment, *extent, error) {
	p, err := parseRef(ref)
	if err != nil {
		return nil, nil, err
	}
	seg, err := s.acquire(p.segment)
	if err != nil {
		if isMissing(err) {
			return nil, nil, engine.ErrNoBlob
		}
		return nil, nil, err
	}
	e, err := seg.header(p.offset)
	if err == nil && (e == nil || e.nonce != p.nonce || e.state == stateDead) {
		err = engine.ErrNoBlob
	}
	if err != nil {
		s.release(seg)
		return nil, nil, err
	}
	return seg, e, nil
}

// Open implements engine.Blob.
func (s *Store) Open(ctx context.Context, ref engine.Ref) (engine.BlobReader, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	seg, e, err := s.find(ref)
	if err != nil {
		return nil, s.damaged(err)
	}
	// Registered first and looked at again then, so that a Delete either sees the reader or is seen.
	seg.register(e.offset)
	r := &reader{s: s, seg: seg, offset: e.offset}
	now, err := seg.header(e.offset)
	if err == nil && (now == nil || now.nonce != e.nonce || now.state != stateLive) {
		err = engine.ErrNoBlob
	}
	if err != nil {
		return nil, errors.Join(s.damaged(err), r.Close())
	}
	r.at, r.size = now.data(), now.length
	return r, nil
}

func (g *segment) register(offset int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.readers == nil {
		g.readers = map[int64]*readers{}
	}
	if g.readers[offset] == nil {
		g.readers[offset] = new(readers)
	}
	g.readers[offset].count++
}

// unregister gives the extent that the last reader kept from being punched, if any.
func (g *segment) unregister(offset int64) *extent {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.readers[offset]
	r.count--
	if r.count > 0 {
		return nil
	}
	delete(g.readers, offset)
	return r.doomed
}

// reader implements engine.BlobReader.
type reader struct {
	s      *Store
	seg    *segment
	offset int64 // of the extent
	at     int64 // of the data
	size   int64
	closed atomic.Bool
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if r.closed.Load() {
		return 0, engine.ErrClosed
	}
	if off < 0 {
		return 0, fmt.Errorf("fileblob: read at %d", off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > r.size-off
	if short {
		p = p[:r.size-off]
	}
	n, err := r.seg.file.ReadAt(p, r.at+off)
	if err != nil && n < len(p) {
		if errors.Is(err, io.EOF) {
			return n, r.s.damaged(fmt.Errorf("%w: %s ends in the middle of a blob", engine.ErrDamaged, segmentName(r.seg.id)))
		}
		return n, fmt.Errorf("fileblob: %w", err)
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

func (r *reader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	defer r.s.release(r.seg)
	if e := r.seg.unregister(r.offset); e != nil {
		return punch(r.seg, e)
	}
	return nil
}

// List implements engine.Blob. It goes on after damage and returns it in the end.
func (s *Store) List(ctx context.Context, fn func(engine.BlobInfo) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	ids, err := s.list()
	if err != nil {
		return err
	}
	var damage []error
	for _, id := range ids {
		err := s.listSegment(ctx, id, fn)
		if errors.Is(err, engine.ErrDamaged) {
			damage = append(damage, s.damaged(err))
		} else if err != nil {
			return err
		}
	}
	return errors.Join(damage...)
}

func (s *Store) listSegment(ctx context.Context, id uint64, fn func(engine.BlobInfo) error) error {
	seg, err := s.acquire(id)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.release(seg)
	return seg.walk(func(e *extent) error {
		if err := ctx.Err(); err != nil || e.state != stateLive {
			return err
		}
		return fn(engine.BlobInfo{Ref: place{e.segment, e.offset, e.nonce}.ref(), Size: e.length})
	})
}
