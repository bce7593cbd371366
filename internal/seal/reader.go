package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Reader gives a range of a stream's plaintext. Not safe for concurrent use.
type Reader struct {
	src   io.ReaderAt
	c     cryptor
	size  int64 // of the sealed stream
	last  int64 // number of the last block
	block int64 // the next block to fetch
	skip  int   // bytes of it before the range
	left  int64 // plaintext not given out yet
	err   error

	buf   *[windowSize]byte
	ready [window][]byte // opened blocks, in order
	head  int
	tail  int
}

// NewReader reads n bytes at off of the plaintext of the stream that fills the first sealedSize
// bytes of src. It opens only the blocks of that range. It fails with ErrDamaged when no stream has
// that size. Closing gives the buffer back and leaves src open. NewReader keeps a copy of context.
func NewReader(src io.ReaderAt, sealedSize int64, k Key, context []byte, off, n int64) (*Reader, error) {
	plain, err := PlainSize(sealedSize)
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > plain || n > plain-off {
		return nil, fmt.Errorf("seal: range of %d bytes at %d in a stream of %d", n, off, plain)
	}
	r := &Reader{
		src:   src,
		c:     newCryptor(&k, bytes.Clone(context)),
		size:  sealedSize,
		last:  blocks(plain) - 1,
		block: off / Block,
		skip:  int(off % Block),
		left:  n,
		buf:   windows.Get().(*[windowSize]byte),
	}
	if plain == 0 {
		// Nothing will be read, so the empty stream's block is proved here.
		if err := r.fetch(); err != nil {
			r.release()
			return nil, err
		}
		r.head, r.tail = 0, 0
	}
	return r, nil
}

// fetch reads and opens the next blocks of the range, in place.
func (r *Reader) fetch() error {
	count := min(r.last-r.block+1, window, blocks(int64(r.skip)+r.left))
	at := r.block * sealedBlock
	raw := r.buf[:min(count*sealedBlock, r.size-at)]
	if n, err := r.src.ReadAt(raw, at); n < len(raw) {
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: the stream ends in block %d", ErrDamaged, r.block+int64(n)/sealedBlock)
		}
		return fmt.Errorf("seal: %w", err)
	}
	r.head, r.tail = 0, 0
	for len(raw) > 0 {
		part := raw[:min(sealedBlock, len(raw))]
		raw = raw[len(part):]
		plain, err := r.c.open(part[:0], part, r.block, r.block == r.last)
		if err != nil {
			clear(r.buf[:])
			return err
		}
		plain = plain[r.skip:]
		r.skip = 0
		plain = plain[:min(int64(len(plain)), r.left)]
		r.left -= int64(len(plain))
		r.ready[r.tail] = plain
		r.tail++
		r.block++
	}
	return nil
}

// next is the next piece of plaintext, valid until the one after it, or nil at the end.
func (r *Reader) next() ([]byte, error) {
	for r.head == r.tail {
		if r.err != nil {
			return nil, r.err
		}
		if r.left == 0 {
			return nil, nil
		}
		if err := r.fetch(); err != nil {
			r.err = err
			r.head, r.tail = 0, 0
			return nil, err
		}
	}
	return r.ready[r.head], nil
}

// Read gives authenticated bytes. An error is ErrDamaged, or the source's.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	piece, err := r.next()
	if err != nil {
		return 0, err
	}
	if piece == nil {
		return 0, io.EOF
	}
	n := copy(p, piece)
	if n < len(piece) {
		r.ready[r.head] = piece[n:]
	} else {
		r.head++
	}
	return n, nil
}

// WriteTo writes the rest of the range to w, a block at a time, straight out of the buffer in
// which it was opened.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		piece, err := r.next()
		if err != nil || piece == nil {
			return written, err
		}
		n, err := w.Write(piece)
		written += int64(n)
		if err == nil && n < len(piece) {
			err = io.ErrShortWrite
		}
		if err != nil {
			r.ready[r.head] = piece[max(0, min(n, len(piece))):]
			return written, err
		}
		r.head++
	}
}

// Close gives the buffer back. Reading after it fails.
func (r *Reader) Close() error {
	r.release()
	return nil
}

func (r *Reader) release() {
	if r.buf == nil {
		return
	}
	windows.Put(r.buf)
	r.buf = nil
	r.err = errClosed
	r.head, r.tail = 0, 0
	r.left = 0
}
