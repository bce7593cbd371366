package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockFile in the data directory holds the pid of the process that serves it. The lock is the
// kernel's, not the file's existence: a crash leaves none behind.
const lockFile = "kura.pid"

type directoryLock struct{ file *os.File }

// lockDirectory makes dir, for its owner only, and keeps every other process out.
func lockDirectory(dir string) (*directoryLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := readPID(f)
		f.Close()
		return nil, fmt.Errorf("data directory %s is in use by pid %s (kura); stop it, or name another directory with --data", dir, holder)
	}
	if err == nil {
		err = writePID(f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("data directory: lock: %w", err)
	}
	return &directoryLock{f}, nil
}

func (l *directoryLock) release() error {
	return errors.Join(l.file.Truncate(0), l.file.Close())
}

func readPID(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}
