package pebblemeta

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// syncCounter counts the syncs of the write-ahead log.
type syncCounter struct{ atomic.Int64 }

// fileSystem counts syncs of log files on their way through.
type fileSystem struct {
	vfs.FS
	syncs *syncCounter
}

func (f *fileSystem) counted(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &logFile{File: file, syncs: f.syncs}, nil
}

// Create implements vfs.FS.
func (f *fileSystem) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.counted(name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (f *fileSystem) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, c)
	return f.counted(name, file, err)
}

type logFile struct {
	vfs.File
	syncs *syncCounter
}

func (l *logFile) Sync() error {
	l.syncs.Add(1)
	return l.File.Sync()
}

func (l *logFile) SyncData() error {
	l.syncs.Add(1)
	return l.File.SyncData()
}
