package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kura-s3/kura/internal/engine"
)

// Blob is an engine.Blob in memory.
type Blob struct {
	mu     sync.Mutex
	blobs  map[engine.Ref][]byte
	last   uint64
	syncs  int64
	closed bool
}

// NewBlob returns an empty Blob.
func NewBlob() *Blob { return &Blob{blobs: map[engine.Ref][]byte{}} }

func (b *Blob) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.closed {
		return engine.ErrClosed
	}
	return nil
}

// Create implements engine.Blob.
func (b *Blob) Create(ctx context.Context, size int64) (engine.BlobWriter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("memory: blob of size %d", size)
	}
	b.last++
	return &blobWriter{blob: b, ref: engine.Ref(fmt.Sprintf("m%d", b.last)), room: size}, nil
}

// Open implements engine.Blob.
func (b *Blob) Open(ctx context.Context, ref engine.Ref) (engine.BlobReader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	data, ok := b.blobs[ref]
	if !ok {
		return nil, engine.ErrNoBlob
	}
	return blobReader{bytes.NewReader(data)}, nil
}

// Delete implements engine.Blob.
func (b *Blob) Delete(ctx context.Context, refs ...engine.Ref) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(ctx); err != nil {
		return err
	}
	for _, ref := range refs {
		delete(b.blobs, ref)
	}
	return nil
}

// List implements engine.Blob.
func (b *Blob) List(ctx context.Context, fn func(engine.BlobInfo) error) error {
	b.mu.Lock()
	if err := b.usable(ctx); err != nil {
		b.mu.Unlock()
		return err
	}
	var all []engine.BlobInfo
	for ref, data := range b.blobs {
		all = append(all, engine.BlobInfo{Ref: ref, Size: int64(len(data))})
	}
	b.mu.Unlock()
	for _, info := range all {
		if err := fn(info); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Usage implements engine.Blob.
func (b *Blob) Usage() engine.Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := engine.Usage{BytesFree: -1, Records: int64(len(b.blobs)), Syncs: b.syncs, Background: "in memory"}
	for _, data := range b.blobs {
		u.BytesUsed += int64(len(data))
	}
	return u
}

// Close implements engine.Blob.
func (b *Blob) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

var errEnded = errors.New("memory: the blob's writer has ended")

type blobWriter struct {
	blob  *Blob
	ref   engine.Ref
	room  int64
	data  []byte
	ended bool
}

func (w *blobWriter) Ref() engine.Ref { return w.ref }

func (w *blobWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	if int64(len(w.data)+len(p)) > w.room {
		return 0, engine.ErrTooLong
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *blobWriter) Finish(ctx context.Context) (int64, error) {
	if w.ended {
		return 0, errEnded
	}
	w.blob.mu.Lock()
	defer w.blob.mu.Unlock()
	if err := w.blob.usable(ctx); err != nil {
		return 0, err
	}
	w.ended = true
	w.blob.blobs[w.ref] = w.data
	w.blob.syncs++
	return int64(len(w.data)), nil
}

func (w *blobWriter) Abort() { w.ended, w.data = true, nil }

type blobReader struct{ *bytes.Reader }

func (blobReader) Close() error { return nil }
