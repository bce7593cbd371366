package fileblob

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// unknownLive: the segment is of an earlier run and its blobs were not counted yet.
	unknownLive = -1
	// allocateStep is how far ahead of the data space is reserved.
	allocateStep = 32 << 20
)

// segment is one file.
type segment struct {
	id    uint64
	file  File // nil while it is closed
	users int  // guarded by Store.mu
	// removed: the file is unlinked, and goes when the last user does. Guarded by Store.mu.
	removed bool
	syncs   group

	mu        sync.Mutex
	cursor    int64 // end of what is reserved for extents; 0 in segments of earlier runs
	allocated int64
	own       bool // holds one blob only
	retired   bool // gets no more extents
	writers   int  // extents that are being written
	live      int  // extents that are open or live
	readers   map[int64]*readers
}

// readers of an extent, by its offset.
type readers struct {
	count  int
	doomed *extent // to be punched when the last one is gone
}

// close closes the file. Store.mu is held, and nobody uses it.
func (g *segment) close() {
	if g.file != nil {
		g.file.Close()
		g.file = nil
	}
}

// allocate reserves space up to end, in steps. g.mu is held.
func (g *segment) allocate(end int64) error {
	if end <= g.allocated {
		return nil
	}
	step := max(end-g.allocated, allocateStep)
	if err := g.file.Allocate(g.allocated, step); err != nil {
		return noSpace(err)
	}
	g.allocated += step
	return nil
}

// trim gives back what is reserved behind the end, once nobody writes there any more.
func (g *segment) trim() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writers > 0 || !g.retired {
		return nil
	}
	length, _, err := g.file.Size()
	if err == nil {
		err = g.file.Truncate(length)
	}
	return err
}

// header reads the header at offset; nil when there is none.
func (g *segment) header(offset int64) (*extent, error) {
	var b [headerSize]byte
	n, err := g.file.ReadAt(b[:], offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("fileblob: %s: %w", segmentName(g.id), err)
	}
	return decodeExtent(b[:n], g.id, offset)
}

// walk calls fn for each extent that was ever reserved. After damage it looks for the next header
// page by page, and returns the damage in the end.
func (g *segment) walk(fn func(*extent) error) error {
	length, _, err := g.file.Size()
	if err != nil {
		return fmt.Errorf("fileblob: %s: %w", segmentName(g.id), err)
	}
	var damage error
	for at := int64(page); at < length; {
		e, err := g.header(at)
		switch {
		case err != nil:
			if damage == nil {
				damage = err
			}
			at += page
		case e == nil && damage == nil:
			return nil // the tail that a crash left
		case e == nil:
			at += page
		default:
			if err := fn(e); err != nil {
				return err
			}
			at = e.end()
		}
	}
	return damage
}

// count finds out how much lives in a segment of an earlier run. What was being written then is
// garbage, and what was marked is punched again, lest a crash came in between. g.mu is held.
func (g *segment) count() error {
	if g.live != unknownLive {
		return nil
	}
	live := 0
	err := g.walk(func(e *extent) error {
		if e.state == stateLive {
			live++
			return nil
		}
		if e.capacity == 0 {
			return nil
		}
		return g.file.Punch(e.data(), e.capacity)
	})
	if err != nil {
		return err
	}
	g.live = live
	return nil
}
