package accesslog

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/object"
)

// Lines lie in a spool until they are delivered: files of lines
//
//	BUCKET TAB MILLISECONDS TAB LINE LF
//
// of which the newest grows. A file is closed by giving it a name with the time, which is the time in the
// names of the objects that are made of it.

const (
	growing = ".open"
	closed  = ".closed"
	// maxBuffer bounds what waits for the disk, maxSpool what waits for delivery.
	maxBuffer = 16 << 20
	maxSpool  = 1 << 30
	fileSize  = 64 << 20
)

// Config of a Spool.
type Config struct {
	// Dir of the spool. Required.
	Dir string
	// Bucket resolves a bucket from memory. Required.
	Bucket func(name string) (*object.Bucket, error)
	Log    *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Spool takes the lines of requests to buckets that are logged. It is an audit.Tap. Safe for concurrent
// use.
type Spool struct {
	config Config

	mu      sync.Mutex
	buffer  []byte
	dropped int64
	file    *os.File
	name    string
	size    int64
	number  uint64
	wake    chan struct{} // the file is full
}

// OpenSpool continues the spool in c.Dir.
func OpenSpool(c Config) (*Spool, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("accesslog: %w", err)
	}
	s := &Spool{config: c, wake: make(chan struct{}, 1)}
	names, err := filepath.Glob(filepath.Join(c.Dir, "*"))
	if err != nil {
		return nil, fmt.Errorf("accesslog: %w", err)
	}
	for _, name := range names {
		number, _, _ := strings.Cut(filepath.Base(name), "-")
		n, err := strconv.ParseUint(strings.TrimSuffix(number, growing), 10, 64)
		if err != nil {
			continue
		}
		s.number = max(s.number, n)
		if strings.HasSuffix(name, growing) { // of the process before
			if err := os.Rename(name, s.closedName(n)); err != nil {
				return nil, fmt.Errorf("accesslog: %w", err)
			}
		}
	}
	return s, nil
}

func (s *Spool) closedName(number uint64) string {
	return filepath.Join(s.config.Dir, fmt.Sprintf("%020d-%d%s", number, s.config.Now().UnixMilli(), closed))
}

// Wants tells whether the event is of a bucket that is logged. Log delivery itself is not logged: two
// buckets that log into each other would never come to rest.
func (s *Spool) Wants(ev *audit.Event) bool {
	if ev.Service != "s3" || ev.Bucket == "" || ev.Operation == "" || ev.Principal.ARN == Service {
		return false
	}
	if s.logged(ev.Bucket) != nil {
		return true
	}
	source, _ := sourceOf(ev)
	return source != "" && s.logged(source) != nil
}

func (s *Spool) logged(name string) *object.Bucket {
	b, err := s.config.Bucket(name)
	if err != nil || len(b.Settings[Setting]) == 0 {
		return nil
	}
	return b
}

// written are the lines of a request in the making. They are made before the lock is taken, in the memory of
// lines before them.
type written struct {
	text  []byte
	clock clock
}

var made = sync.Pool{New: func() any { return new(written) }}

// maxLines bounds what is kept for the lines of the next request.
const maxLines = 64 << 10

// Take adds the lines of a request.
func (s *Spool) Take(ev *audit.Event) {
	l, _ := made.Get().(*written)
	defer made.Put(l)
	l.text = l.text[:0]
	if b := s.logged(ev.Bucket); b != nil {
		l.add(ev, b, nameOf(ev), ev.Key, requestLine{ev.Method, " ", ev.URI, " HTTP/1.1"}, ev.Status, ev.ErrorCode)
		if ev.Operation == "DeleteObjects" {
			l.deletions(ev, b)
		}
	}
	if source, key := sourceOf(ev); source != "" {
		if b := s.logged(source); b != nil {
			l.add(ev, b, nameOf(ev)+"_GET", key, requestLine{ev.Method, " ", ev.URI}, ev.Status, ev.ErrorCode)
		}
	}
	s.take(l.text)
	if cap(l.text) > maxLines {
		l.text = nil
	}
}

func (s *Spool) take(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buffer) > maxBuffer {
		s.dropped++
		return
	}
	s.buffer = append(s.buffer, text...)
}

// deletions are the records of the keys of one DeleteObjects.
func (l *written) deletions(ev *audit.Event, b *object.Bucket) {
	for i := range ev.Parts {
		p := &ev.Parts[i]
		one := *ev
		one.BytesOut, one.ObjectSize, one.VersionID = 0, 0, p.VersionID
		l.add(&one, b, "BATCH.DELETE.OBJECT", p.Key, requestLine{}, p.Status, p.ErrorCode)
	}
}

func (l *written) add(ev *audit.Event, b *object.Bucket, operation, key string, uri requestLine, status int, code string) {
	l.text = append(append(l.text, b.Name...), '\t')
	l.text = append(strconv.AppendInt(l.text, ev.Time.UnixMilli(), 10), '\t')
	l.text = append(appendLine(l.text, l.clock.text(ev.Time), ev, b, operation, key, uri, status, code), '\n')
}

// Flush writes what was taken to the file system, where it survives the process.
func (s *Spool) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flush()
}

// flush under mu.
func (s *Spool) flush() error {
	if s.dropped > 0 {
		s.config.Log.Warn("accesslog: lines were dropped: the disk was too slow", "lines", s.dropped)
		s.dropped = 0
	}
	if len(s.buffer) == 0 {
		return nil
	}
	if s.file == nil {
		s.number++
		name := filepath.Join(s.config.Dir, fmt.Sprintf("%020d%s", s.number, growing))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		s.file, s.name, s.size = f, name, 0
	}
	n, err := s.file.Write(s.buffer)
	s.size += int64(n)
	if err != nil {
		if n > 0 {
			s.file.Truncate(s.size - int64(n))
		}
		s.size -= int64(n)
		return err
	}
	if s.buffer = s.buffer[:0]; cap(s.buffer) > 4<<20 {
		s.buffer = nil
	}
	if s.size >= fileSize {
		if err := s.shut(); err != nil {
			return err
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// rotate closes the file that grows.
func (s *Spool) rotate() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.flush(); err != nil {
		return err
	}
	return s.shut()
}

// shut gives the file that grows its closed name. Under mu.
func (s *Spool) shut() error {
	if s.file == nil {
		return nil
	}
	if err := s.file.Close(); err != nil {
		return err
	}
	s.file = nil
	return os.Rename(s.name, s.closedName(s.number))
}

// spooled is a closed file.
type spooled struct {
	name   string
	number uint64
	at     time.Time
	size   int64
}

// waiting lists closed files, oldest first, and drops the oldest beyond the bound.
func (s *Spool) waiting() ([]spooled, error) {
	names, err := filepath.Glob(filepath.Join(s.config.Dir, "*"+closed))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var files []spooled
	total := int64(0)
	for _, name := range slices.Backward(names) {
		number, millis, ok := strings.Cut(strings.TrimSuffix(filepath.Base(name), closed), "-")
		n, err := strconv.ParseUint(number, 10, 64)
		at, err2 := strconv.ParseInt(millis, 10, 64)
		info, err3 := os.Stat(name)
		if !ok || err != nil || err2 != nil || err3 != nil {
			continue
		}
		if total += info.Size(); total > maxSpool {
			s.config.Log.Warn("accesslog: lines that could not be delivered are dropped", "file", name)
			if err := os.Remove(name); err != nil {
				return nil, err
			}
			continue
		}
		files = append(files, spooled{name: name, number: n, at: time.UnixMilli(at).UTC(), size: info.Size()})
	}
	slices.Reverse(files)
	return files, nil
}

// Waiting is how many bytes of lines are not delivered yet.
func (s *Spool) Waiting() int64 {
	s.mu.Lock()
	total := s.size
	if s.file == nil {
		total = 0
	}
	s.mu.Unlock()
	files, err := s.waiting()
	if err != nil {
		return total
	}
	for _, f := range files {
		total += f.size
	}
	return total
}

// Close writes what was taken.
func (s *Spool) Close() error { return s.rotate() }
