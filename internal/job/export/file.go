package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/audit"
)

// file appends one line for each record. It may be renamed at any time: the next lines go into a new one
// of the old name. All streams share it.
type file struct {
	path string

	mu     sync.Mutex
	f      *os.File
	line   bytes.Buffer
	failed int // syncs: the kernel tells of lost bytes once, and they may be of either stream
}

// fileStream is one stream's way into a file.
type fileStream struct {
	*file
	owing  bool // something was written that Flush did not make sure of
	failed int  // the file's, when it was
}

func openFile(_ *Config, u *url.URL, _ *kind) (func(string, *atomic.Int64) sink, error) {
	shared := &file{path: u.Path}
	return func(string, *atomic.Int64) sink { return &fileStream{file: shared} }, nil
}

// Send implements sink.
func (f *fileStream) Send(_ context.Context, entries []audit.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return err
	}
	if !f.owing {
		f.owing, f.failed = true, f.file.failed
	}
	f.line.Reset()
	for i := range entries {
		f.line.Write(entries[i].Record)
		f.line.WriteByte('\n')
	}
	n, err := f.f.Write(f.line.Bytes())
	if err != nil && n > 0 {
		// A disk that is full took a part. All of it comes again.
		info, statErr := f.f.Stat()
		if statErr == nil {
			statErr = f.f.Truncate(info.Size() - int64(n))
		}
		err = errors.Join(err, statErr)
	}
	return err
}

// open makes f.f the file that path names now.
func (f *file) open() error {
	there, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && !there.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.path)
	}
	if f.f != nil {
		if have, statErr := f.f.Stat(); err == nil && statErr == nil && os.SameFile(have, there) {
			return nil
		}
		// What the renamed file holds must be there before any place moves on.
		if err := f.sync(); err != nil {
			return err
		}
		f.f.Close()
		f.f = nil
	}
	opened, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := endLine(opened); err != nil {
		opened.Close()
		return err
	}
	f.f = opened
	return nil
}

// endLine ends a line that a crash tore. Its record comes again, whole.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

func (f *file) sync() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Sync()
	if err != nil {
		f.failed++
	}
	return err
}

var errLost = errors.New("the disk lost what was written")

// Flush implements sink.
func (f *fileStream) Flush(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.owing {
		return nil
	}
	if err := f.sync(); err != nil {
		return err
	}
	if f.failed != f.file.failed {
		return errLost
	}
	f.owing = false
	return nil
}

// Close implements sink. The other stream's next Send opens the file again.
func (f *fileStream) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owing = false
	if f.sync() == nil && f.f != nil {
		f.f.Close()
		f.f = nil
	}
}
