// Package fileblob keeps large bodies in append-only segment files: engine.Blob on a directory.
//
// A blob is an extent of a segment: a header in a page of its own, then the data, all on page
// borders. Headers are written when room is reserved, in order, so that a walk from header to header
// finds every blob that was ever acknowledged. A blob above Config.OwnFrom gets a segment of its own.
// Concurrent writers of a segment share its syncs. Deleting marks the header, punches the data out of
// the file, and removes a segment in which nothing lives, so there is nothing to compact.
//
// Each start appends to new segments only: a tail that a crash tore is never written to again, and
// starting costs nothing per blob. A file whose sync failed gets no more blobs.
package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// Config says where segments lie and how large they are.
type Config struct {
	// Dir holds the segment files. It is made when it is missing.
	Dir string
	// FS replaces Dir.
	FS FS
	// Log receives what an operator should know; nil: nothing.
	Log *slog.Logger
	// SegmentSize is the size of shared segments. Default 256 MiB.
	SegmentSize int64
	// OwnFrom is the size from which a blob gets a segment of its own. Default 32 MiB.
	OwnFrom int64
	// Reserve bytes of the device are left for the metadata. Default 256 MiB.
	Reserve int64
	// OpenFiles bounds the idle open files. Default 128.
	OpenFiles int
	// ReadOnly opens without writing a byte, for doctor.
	ReadOnly bool
}

const (
	defaultSegment   = 256 << 20
	defaultOwn       = 32 << 20
	defaultReserve   = 256 << 20
	defaultOpenFiles = 128

	// maxBlob is the longest blob: a single part of S3, sealed, with room to spare.
	maxBlob = 1 << 40
)

var errReadOnly = errors.New("fileblob: opened for reading only")

// Store implements engine.Blob.
type Store struct {
	c   Config
	fs  FS
	log *slog.Logger

	mu       sync.Mutex
	segments map[uint64]*segment // known ones; one that is not here may still be a file
	idle     []*segment          // files that nobody uses, longest unused first
	active   *segment            // the shared segment that is being filled
	nextID   uint64
	// beginning is held while a shared segment is made, which takes a while.
	beginning sync.Mutex
	closed    bool

	syncs   atomic.Int64
	corrupt atomic.Int64
	usage   usage
	tidied  sync.WaitGroup
}

// Open opens the segments in c.Dir.
func Open(c Config) (*Store, error) {
	c = withDefaults(c)
	if c.FS == nil {
		if !c.ReadOnly {
			if err := os.MkdirAll(c.Dir, 0o700); err != nil {
				return nil, fmt.Errorf("fileblob: %w", err)
			}
		}
		c.FS = Dir(c.Dir)
	}
	s := &Store{c: c, fs: c.FS, log: c.Log, segments: map[uint64]*segment{}, nextID: 1}
	ids, err := s.list()
	if err != nil {
		return nil, err
	}
	if len(ids) > 0 {
		s.nextID = ids[len(ids)-1] + 1
	}
	if !c.ReadOnly {
		s.tidied.Go(func() { s.tidy(ids) })
	}
	return s, nil
}

func withDefaults(c Config) Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.SegmentSize == 0 {
		c.SegmentSize = defaultSegment
	}
	if c.OwnFrom == 0 {
		c.OwnFrom = defaultOwn
	}
	c.OwnFrom = min(c.OwnFrom, c.SegmentSize/2)
	if c.Reserve == 0 {
		c.Reserve = defaultReserve
	}
	if c.OpenFiles == 0 {
		c.OpenFiles = defaultOpenFiles
	}
	return c
}

// list is the numbers of the segment files, ascending.
func (s *Store) list() ([]uint64, error) {
	names, err := s.fs.List()
	if err != nil {
		return nil, fmt.Errorf("fileblob: %w", err)
	}
	var ids []uint64
	for _, name := range names {
		if id, ok := parseName(name); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// tidy gives back what earlier runs reserved behind the end of their segments. It runs beside the
// first requests: nothing is ever appended to these files.
func (s *Store) tidy(ids []uint64) {
	for _, id := range ids {
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		seg, err := s.acquire(id)
		if err != nil {
			continue // whoever reads it will be told
		}
		length, occupied, err := seg.file.Size()
		if err == nil && occupied > 0 {
			err = seg.file.Truncate(length)
		}
		if err != nil {
			s.log.Warn("segment file cannot be trimmed", "file", segmentName(id), "error", err)
		}
		s.release(seg)
	}
}

// acquire gives segment id with its file open, until release. A segment that is no file is
// fs.ErrNotExist.
func (s *Store) acquire(id uint64) (*segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, engine.ErrClosed
	}
	seg := s.segments[id]
	if seg != nil && seg.file != nil {
		s.use(seg)
		return seg, nil
	}
	if seg == nil {
		seg = &segment{id: id, live: unknownLive}
	}
	file, err := s.fs.Open(segmentName(id), s.c.ReadOnly)
	if err != nil {
		return nil, err
	}
	if err := readSegment(file, id); err != nil {
		file.Close()
		return nil, err
	}
	seg.file = file
	s.segments[id] = seg
	s.use(seg)
	return seg, nil
}

// readSegment checks that file is segment id.
func readSegment(file File, id uint64) error {
	header := make([]byte, headerSize)
	n, err := file.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("fileblob: %s: %w", segmentName(id), err)
	}
	return checkSegment(header[:n], id)
}

// use counts a user. s.mu is held.
func (s *Store) use(seg *segment) {
	if seg.users == 0 {
		if i := slices.Index(s.idle, seg); i >= 0 {
			s.idle = slices.Delete(s.idle, i, i+1)
		}
	}
	seg.users++
}

func (s *Store) release(seg *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unuse(seg)
}

// unuse ends a use, and closes the file that was idle the longest when there are too many. s.mu is
// held.
func (s *Store) unuse(seg *segment) {
	seg.users--
	if seg.users > 0 {
		return
	}
	if seg.removed || s.closed {
		seg.close()
		return
	}
	s.idle = append(s.idle, seg)
	if len(s.idle) > s.c.OpenFiles {
		s.idle[0].close()
		s.idle = slices.Delete(s.idle, 0, 1)
	}
}

// noSpace names a full device as the contract does.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", engine.ErrNoSpace, err)
	}
	return err
}

// room fails when fewer than size bytes and the reserve are left.
func (s *Store) room(size int64) error {
	if free := s.fs.Free(); free >= 0 && free-size < s.c.Reserve {
		return fmt.Errorf("%w: %d bytes are free", engine.ErrNoSpace, free)
	}
	return nil
}

// Close implements engine.Blob. Readers that are open stay usable until they are closed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	active := s.active
	s.active = nil
	s.mu.Unlock()
	s.tidied.Wait()

	if active != nil {
		active.mu.Lock()
		active.retired = true
		active.mu.Unlock()
		s.settle(active)
		s.release(active)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.idle {
		seg.close()
	}
	s.idle = nil
	return nil
}

// usage is measured anew at most every few seconds.
type usage struct {
	mu   sync.Mutex
	at   time.Time
	used int64
}

const usageAge = 5 * time.Second

// Usage implements engine.Blob.
func (s *Store) Usage() engine.Usage {
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	ids, err := s.list()
	if err == nil && time.Since(s.usage.at) > usageAge {
		s.usage.at, s.usage.used = time.Now(), 0
		for _, id := range ids {
			seg, err := s.acquire(id)
			if err != nil {
				continue
			}
			if _, occupied, err := seg.file.Size(); err == nil {
				s.usage.used += occupied
			}
			s.release(seg)
		}
	}
	return engine.Usage{
		BytesUsed: s.usage.used, BytesFree: s.fs.Free(), Records: -1,
		Syncs: s.syncs.Load(), Corrupt: s.corrupt.Load(),
		Background: fmt.Sprintf("%d segment files", len(ids)),
	}
}

func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return engine.ErrClosed
	}
	return nil
}

// damaged counts err when it tells of damage.
func (s *Store) damaged(err error) error {
	if errors.Is(err, engine.ErrDamaged) {
		s.corrupt.Add(1)
	}
	return err
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
