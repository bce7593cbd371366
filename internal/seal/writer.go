package seal

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// window is how many blocks are read, or gathered for writing, at once: 256 KiB stay in a core's
// second-level cache between the copy and the cipher.
const window = 4

const windowSize = window * sealedBlock

var (
	errClosed  = errors.New("seal: closed")
	errTooLong = errors.New("seal: stream is longer than the format allows")
)

var windows = sync.Pool{New: func() any { return new([windowSize]byte) }}

var plains = sync.Pool{New: func() any { return new([Block]byte) }}

// Writer seals a stream. It writes to its destination in pieces of 256 KiB. Not safe for
// concurrent use.
type Writer struct {
	dst   io.Writer
	c     cryptor
	block int64
	err   error

	held  *[Block]byte // the plaintext that is not known yet to be followed by more
	heldN int
	out   *[windowSize]byte
	outN  int
}

// NewWriter seals to dst under k, which must be fresh. Close ends the stream; a stream that was
// not closed does not authenticate. NewWriter keeps a copy of context.
func NewWriter(dst io.Writer, k Key, context []byte) *Writer {
	return &Writer{dst: dst, c: newCryptor(&k, bytes.Clone(context)), held: plains.Get().(*[Block]byte), out: windows.Get().(*[windowSize]byte)}
}

// Write seals p. Whole blocks are sealed right out of it.
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && w.err == nil {
		if w.heldN == 0 && len(p) > Block {
			w.seal(p[:Block], false)
			written += Block
			p = p[Block:]
			continue
		}
		if w.heldN == Block {
			w.seal(w.held[:], false)
			w.heldN = 0
			continue
		}
		n := copy(w.held[w.heldN:], p)
		w.heldN += n
		written += n
		p = p[n:]
	}
	return written, w.err
}

func (w *Writer) seal(plain []byte, final bool) {
	if w.block >= maxBlocks {
		w.end(errTooLong)
		return
	}
	w.outN = len(w.c.seal(w.out[:w.outN], plain, w.block, final))
	w.block++
	if w.outN > windowSize-sealedBlock {
		w.flush()
	}
}

func (w *Writer) flush() {
	n, err := w.dst.Write(w.out[:w.outN])
	if err == nil && n != w.outN {
		err = io.ErrShortWrite
	}
	w.outN = 0
	if err != nil {
		w.end(err)
	}
}

// end keeps why nothing more can be written and gives the buffers back.
func (w *Writer) end(err error) {
	w.err = err
	if w.held == nil {
		return
	}
	clear(w.held[:])
	plains.Put(w.held)
	windows.Put(w.out)
	w.held, w.out = nil, nil
}

// Close writes the last block. It does not close the destination. Calling it again does nothing;
// Discard instead of it gives up.
func (w *Writer) Close() error {
	if errors.Is(w.err, errClosed) {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	w.seal(w.held[:w.heldN], true)
	if w.err == nil && w.outN > 0 {
		w.flush()
	}
	if w.err != nil {
		return w.err
	}
	w.end(errClosed)
	return nil
}

// Discard gives the buffers back without ending the stream. After Close it does nothing.
func (w *Writer) Discard() {
	if w.err == nil {
		w.end(errors.New("seal: stream was given up"))
	}
}
