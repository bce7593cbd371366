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

	mu   sync.Mutex
	f    *os.File
	line bytes.Buffer
}

func openFile(_ *Config, u *url.URL, _ *kind) (func(string, *atomic.Int64) sink, error) {
	shared := &file{path: u.Path}
	return func(string, *atomic.Int64) sink { return shared }, nil
}

// Send implements sink.
func (f *file) Send(_ context.Context, entries []audit.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return err
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
		if err := f.f.Sync(); err != nil {
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

// Flush implements sink.
func (f *file) Flush(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	return f.f.Sync()
}

// Close implements sink. The other stream's next Send opens the file again: what was written is synced
// first, for the other stream's Flush can no longer do it.
func (f *file) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return
	}
	if f.f.Sync() == nil {
		f.f.Close()
		f.f = nil
	}
}
