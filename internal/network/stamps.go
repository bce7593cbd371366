package network

import (
	"os"
	"time"
)

// stamps tell whether files are still as they were when they were read.
type stamps map[string]stamp

type stamp struct {
	there    bool
	size     int64
	modified time.Time
	file     os.FileInfo
}

func stampOf(path string) stamp {
	fi, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{there: true, size: fi.Size(), modified: fi.ModTime(), file: fi}
}

// current tells whether nothing changed.
func (s stamps) current() bool {
	for path, old := range s {
		now := stampOf(path)
		if now.there != old.there || now.size != old.size || !now.modified.Equal(old.modified) || now.there && !os.SameFile(now.file, old.file) {
			return false
		}
	}
	return true
}

// anew are the stamps of the same files, now.
func (s stamps) anew() stamps {
	now := make(stamps, len(s))
	for path := range s {
		now[path] = stampOf(path)
	}
	return now
}
