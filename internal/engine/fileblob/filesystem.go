package fileblob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FS is the directory of segment files. Names are plain file names. Tests give one that lies and
// crashes.
type FS interface {
	// Create makes a new file; its name is durable only after SyncDir.
	Create(name string) (File, error)
	// Open opens an existing one, for writing too unless readOnly.
	Open(name string, readOnly bool) (File, error)
	Remove(name string) error
	List() ([]string, error)
	SyncDir() error
	// Free is what the device has left, -1 if unknown.
	Free() int64
}

// File is a segment file. Safe for concurrent use.
type File interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Sync makes contents and size durable.
	Sync() error
	// Allocate reserves space behind the end without changing the size. An error other than a full
	// device is not one: the space comes when it is written.
	Allocate(off, n int64) error
	// Punch gives space back; the bytes read as zeros.
	Punch(off, n int64) error
	// Flush tells the kernel to begin writing a range out. A hint.
	Flush(off, n int64)
	Truncate(size int64) error
	// Size is the length and the space that the file occupies.
	Size() (length, occupied int64, err error)
	Close() error
}

// Dir is the operating system's FS in one directory.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

// Create implements FS.
func (d Dir) Create(name string) (File, error) {
	return wrap(os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600))
}

// Open implements FS.
func (d Dir) Open(name string, readOnly bool) (File, error) {
	if readOnly {
		return wrap(os.Open(d.path(name)))
	}
	return wrap(os.OpenFile(d.path(name), os.O_RDWR, 0))
}

func wrap(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, fd: int(f.Fd())}, nil
}

// Remove implements FS.
func (d Dir) Remove(name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// List implements FS.
func (d Dir) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// SyncDir implements FS.
func (d Dir) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Free implements FS.
func (d Dir) Free() int64 {
	var st unix.Statfs_t
	if unix.Statfs(string(d), &st) != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize
}

type osFile struct {
	*os.File
	fd int
}

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (f *osFile) Sync() error { return again(func() error { return unix.Fdatasync(f.fd) }) }

func (f *osFile) Allocate(off, n int64) error {
	err := again(func() error { return unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, off, n) })
	if err == unix.ENOSPC || err == unix.EDQUOT {
		return err
	}
	return nil
}

func (f *osFile) Punch(off, n int64) error {
	return again(func() error {
		return unix.Fallocate(f.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

func (f *osFile) Flush(off, n int64) {
	_ = unix.SyncFileRange(f.fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

func (f *osFile) Size() (length, occupied int64, err error) {
	var st unix.Stat_t
	err = unix.Fstat(f.fd, &st)
	return st.Size, st.Blocks * 512, err
}
