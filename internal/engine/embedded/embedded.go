// Package embedded opens a data directory with the default engines: metadata in Pebble, large bodies
// in segment files.
//
//	DIR/format   the number of this layout, in text
//	DIR/lock     held, with the holder's process number, while the directory is open
//	DIR/meta/    pebblemeta
//	DIR/blob/    fileblob
//
// Other files in DIR belong to others.
package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/fileblob"
	"github.com/kura-s3/kura/internal/engine/pebblemeta"
)

// Format is the number of the layout that this package writes.
const Format = 1

const (
	formatFile = "format"
	formatText = "kura data directory, format "
	lockFile   = "lock"
	metaDir    = "meta"
	blobDir    = "blob"
)

// Config says which directory and how it is opened.
type Config struct {
	// Dir is the data directory. It is made when it is missing, unless ReadOnly.
	Dir string
	// Log receives the engines' events; nil: none.
	Log *slog.Logger
	// Meta and Blob tune the engines; their Dir, Log and ReadOnly are set here.
	Meta pebblemeta.Config
	Blob fileblob.Config
	// ReadOnly opens an existing directory without writing a byte, for doctor. It still needs that
	// nobody else has it open.
	ReadOnly bool
}

// Store is an open data directory.
type Store struct {
	Meta engine.Meta
	Blob engine.Blob
	lock *os.File
}

// Open opens c.Dir. It fails with engine.ErrLocked while another process has it open.
func Open(c Config) (*Store, error) {
	if !c.ReadOnly {
		if err := os.MkdirAll(c.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
	}
	s := new(Store)
	err := s.open(c)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(c Config) error {
	var err error
	if s.lock, err = lock(c.Dir, c.ReadOnly); err != nil {
		return err
	}
	if err := checkFormat(c.Dir, c.ReadOnly); err != nil {
		return err
	}
	mc, bc := c.Meta, c.Blob
	mc.Dir, mc.Log, mc.ReadOnly = filepath.Join(c.Dir, metaDir), c.Log, c.ReadOnly
	bc.Dir, bc.Log, bc.ReadOnly = filepath.Join(c.Dir, blobDir), c.Log, c.ReadOnly
	meta, err := pebblemeta.Open(mc)
	if err != nil {
		return err
	}
	s.Meta = meta
	blob, err := fileblob.Open(bc)
	if err != nil {
		return err
	}
	s.Blob = blob
	return nil
}

// Close closes the engines and gives the directory free.
func (s *Store) Close() error {
	var errs []error
	if s.Blob != nil {
		errs = append(errs, s.Blob.Close())
	}
	if s.Meta != nil {
		errs = append(errs, s.Meta.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	s.Blob, s.Meta, s.lock = nil, nil, nil
	return errors.Join(errs...)
}

// lock takes DIR/lock, or says who has it. The kernel lets go of it when the process ends.
func lock(dir string, readOnly bool) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	flags := os.O_RDWR | os.O_CREATE
	if readOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		text, _ := os.ReadFile(path)
		f.Close()
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return nil, fmt.Errorf("%w: %s by process %d", engine.ErrLocked, dir, pid)
		}
		return nil, fmt.Errorf("%w: %s", engine.ErrLocked, dir)
	}
	if err == nil && !readOnly {
		err = f.Truncate(0)
		if err == nil {
			_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory: %s: %w", path, err), f.Close())
	}
	return f, nil
}

// checkFormat reads the layout's number, or writes it into a directory that has no engines yet.
func checkFormat(dir string, readOnly bool) error {
	path := filepath.Join(dir, formatFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		if _, err := os.Stat(filepath.Join(dir, metaDir)); err == nil {
			return fmt.Errorf("%w: %s is missing", engine.ErrDamaged, path)
		}
		return writeFormat(dir, path)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	number, ok := strings.CutPrefix(string(text), formatText)
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if !ok || err != nil {
		return fmt.Errorf("%w: %s does not say a format", engine.ErrDamaged, path)
	}
	if n != Format {
		return fmt.Errorf("data directory %s has format %d, and this program knows %d", dir, n, Format)
	}
	return nil
}

// writeFormat makes the file whole or not at all.
func writeFormat(dir, path string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s%d\n", formatText, Format)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = fileblob.Dir(dir).SyncDir()
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
