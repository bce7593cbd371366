package fileblob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/kura-s3/kura/internal/engine"
)

const (
	// gather is how much is collected before it is written, unless it comes in larger pieces.
	gather = 256 << 10
	// flushStep is how much is written before the kernel is told to begin.
	flushStep = 2 << 20
)

var gathers = sync.Pool{New: func() any { return new([gather]byte) }}

// Create implements engine.Blob.
func (s *Store) Create(ctx context.Context, size int64) (engine.BlobWriter, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if s.c.ReadOnly {
		return nil, errReadOnly
	}
	if size < 0 || size > maxBlob {
		return nil, fmt.Errorf("fileblob: blob of size %d", size)
	}
	e := &extent{capacity: (size + page - 1) / page * page, nonce: rand.Uint64(), state: stateOpen}
	own := size >= s.c.OwnFrom
	// Of a blob with a segment of its own the true size may be far less than what was announced.
	need := e.capacity
	if own {
		need = min(need, allocateStep)
	}
	if err := s.room(need); err != nil {
		return nil, err
	}
	seg, err := s.reserve(e, own)
	if err != nil {
		return nil, err
	}
	return &writer{s: s, seg: seg, e: e, room: size, at: e.data(), flushed: e.data()}, nil
}

// reserve finds e a place and writes its header there. The segment is used by the caller.
func (s *Store) reserve(e *extent, own bool) (*segment, error) {
	for {
		seg, err := s.target(own)
		if err != nil {
			return nil, err
		}
		ok, err := s.place(seg, e)
		if ok {
			return seg, nil
		}
		s.retire(seg)
		s.release(seg)
		if err != nil {
			return nil, err
		}
	}
}

// target is a segment to append to, in use.
func (s *Store) target(own bool) (*segment, error) {
	if own {
		return s.begin(true)
	}
	s.beginning.Lock()
	defer s.beginning.Unlock()
	s.mu.Lock()
	if seg := s.active; seg != nil {
		s.use(seg)
		s.mu.Unlock()
		return seg, nil
	}
	s.mu.Unlock()
	return s.begin(false)
}

// begin makes a new segment. A shared one becomes the active one, which is a use of its own.
func (s *Store) begin(own bool) (*segment, error) {
	s.mu.Lock()
	id := s.nextID
	s.nextID++
	s.mu.Unlock()
	file, err := s.fs.Create(segmentName(id))
	if err != nil {
		return nil, fmt.Errorf("fileblob: %w", noSpace(err))
	}
	_, err = file.WriteAt(encodeSegment(id), 0)
	if err == nil {
		err = s.fs.SyncDir()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fileblob: %w", noSpace(err)), file.Close(), s.fs.Remove(segmentName(id)))
	}
	seg := &segment{id: id, file: file, own: own, cursor: page, allocated: page}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(engine.ErrClosed, file.Close(), s.fs.Remove(segmentName(id)))
	}
	s.segments[id] = seg
	s.use(seg)
	if !own {
		s.use(seg)
		s.active = seg
	}
	return seg, nil
}

// place appends e to seg, or says that there is no room.
func (s *Store) place(seg *segment, e *extent) (bool, error) {
	seg.mu.Lock()
	defer seg.mu.Unlock()
	if seg.retired || seg.cursor > page && seg.cursor+page+e.capacity > s.c.SegmentSize {
		return false, nil
	}
	e.segment, e.offset = seg.id, seg.cursor
	end := e.end()
	if seg.own {
		seg.retired = true
		end = min(end, e.data()+allocateStep)
	}
	if err := seg.allocate(end); err != nil {
		return false, fmt.Errorf("fileblob: %w", err)
	}
	if _, err := seg.file.WriteAt(e.encode(), e.offset); err != nil {
		return false, fmt.Errorf("fileblob: %w", noSpace(err))
	}
	seg.cursor = e.end()
	seg.live++
	seg.writers++
	return true, nil
}

// retire lets seg get no more extents.
func (s *Store) retire(seg *segment) {
	seg.mu.Lock()
	seg.retired = true
	seg.mu.Unlock()
	s.mu.Lock()
	was := s.active == seg
	if was {
		s.active = nil
	}
	s.mu.Unlock()
	s.settle(seg)
	if was {
		s.release(seg)
	}
}

// settle trims or removes a retired segment to which nobody writes any more.
func (s *Store) settle(seg *segment) {
	_, err := s.removeIfDead(seg)
	if err == nil {
		err = seg.trim()
	}
	if err != nil {
		s.log.Warn("segment file cannot be trimmed or removed", "file", segmentName(seg.id), "error", err)
	}
}

var errEnded = errors.New("fileblob: the blob's writer has ended")

// writer implements engine.BlobWriter.
type writer struct {
	s       *Store
	seg     *segment
	e       *extent
	room    int64 // left of what was reserved
	at      int64 // where the next byte goes
	flushed int64
	buf     *[gather]byte // nil while empty
	n       int
	err     error
}

func (w *writer) Ref() engine.Ref { return place{w.e.segment, w.e.offset, w.e.nonce}.ref() }

func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if int64(len(p)) > w.room {
		return 0, engine.ErrTooLong
	}
	written := 0
	for len(p) > 0 {
		n, err := w.take(p)
		written += n
		w.room -= int64(n)
		p = p[n:]
		if err != nil {
			w.err = err
			return written, err
		}
	}
	return written, nil
}

// take writes or gathers a piece of p.
func (w *writer) take(p []byte) (int, error) {
	if w.n == 0 && len(p) >= gather {
		if err := w.put(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if w.buf == nil {
		w.buf = gathers.Get().(*[gather]byte)
	}
	n := copy(w.buf[w.n:], p)
	w.n += n
	if w.n < gather {
		return n, nil
	}
	return n, w.flush()
}

// flush writes what was gathered.
func (w *writer) flush() error {
	if w.buf == nil {
		return nil
	}
	err := w.put(w.buf[:w.n])
	gathers.Put(w.buf)
	w.buf, w.n = nil, 0
	return err
}

func (w *writer) put(p []byte) error {
	if w.seg.own {
		if err := w.extend(w.at + int64(len(p))); err != nil {
			return err
		}
	}
	n, err := w.seg.file.WriteAt(p, w.at)
	w.at += int64(n)
	if err != nil {
		return fmt.Errorf("fileblob: %w", noSpace(err))
	}
	if w.at-w.flushed >= flushStep {
		w.seg.file.Flush(w.flushed, w.at-w.flushed)
		w.flushed = w.at
	}
	return nil
}

// extend reserves space as a large blob grows.
func (w *writer) extend(end int64) error {
	w.seg.mu.Lock()
	defer w.seg.mu.Unlock()
	if end <= w.seg.allocated {
		return nil
	}
	if err := w.s.room(allocateStep); err != nil {
		return err
	}
	return w.seg.allocate(end)
}

// Finish implements engine.BlobWriter. When it fails the blob is gone.
func (w *writer) Finish(ctx context.Context) (int64, error) {
	if w.err == nil {
		w.err = ctx.Err()
	}
	if w.err == nil {
		w.err = w.flush()
	}
	if w.err == nil {
		w.err = w.finish()
	}
	if err := w.err; err != nil {
		w.Abort()
		return 0, err
	}
	w.end()
	return w.e.length, nil
}

func (w *writer) finish() error {
	if err := w.enliven(); err != nil {
		return err
	}
	if err := w.s.giveBack(w.seg, w.e); err != nil {
		return err
	}
	return w.s.sync(w.seg)
}

// enliven writes the final header, unless somebody deleted the blob in the meantime.
func (w *writer) enliven() error {
	w.seg.mu.Lock()
	defer w.seg.mu.Unlock()
	now, err := w.seg.header(w.e.offset)
	if err != nil {
		return err
	}
	if now == nil || now.state != stateOpen {
		return engine.ErrNoBlob
	}
	w.e.state, w.e.length = stateLive, w.at-w.e.data()
	if _, err := w.seg.file.WriteAt(w.e.encode(), w.e.offset); err != nil {
		return fmt.Errorf("fileblob: %w", noSpace(err))
	}
	return nil
}

// end gives up what the writer holds.
func (w *writer) end() {
	w.err = errEnded
	if w.buf != nil {
		gathers.Put(w.buf)
		w.buf = nil
	}
	w.seg.mu.Lock()
	w.seg.writers--
	last := w.seg.writers == 0 && w.seg.retired && !w.seg.own
	w.seg.mu.Unlock()
	if last {
		w.s.settle(w.seg)
	}
	w.s.release(w.seg)
}

// giveBack frees what was reserved for e and not used.
func (s *Store) giveBack(seg *segment, e *extent) error {
	used := e.data() + (e.length+page-1)/page*page
	if used >= e.end() {
		return nil
	}
	var err error
	if seg.own {
		err = seg.file.Truncate(max(used, e.data()))
	} else {
		err = seg.file.Punch(used, e.end()-used)
	}
	if err != nil {
		return fmt.Errorf("fileblob: %w", err)
	}
	return nil
}

// sync makes everything written to seg durable, together with others who wait for the same.
func (s *Store) sync(seg *segment) error {
	err := seg.syncs.sync(func() error {
		s.syncs.Add(1)
		return seg.file.Sync()
	})
	if err == nil {
		return nil
	}
	// What a failed sync left on the disk is unknown: nothing more goes into this file.
	s.retire(seg)
	return fmt.Errorf("fileblob: %s: %w", segmentName(seg.id), noSpace(err))
}

// Abort implements engine.BlobWriter. What it cannot take away is garbage to the next start.
func (w *writer) Abort() {
	if errors.Is(w.err, errEnded) {
		return
	}
	if err := w.s.kill(w.seg, w.e); err != nil {
		w.s.log.Warn("an aborted blob cannot be taken away", "ref", string(w.Ref()), "error", err)
	}
	w.end()
}
