package pebblemeta

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/enginetest"
)

func TestConformance(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"disk": vfs.Default, "memory": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			enginetest.TestMeta(t, enginetest.MetaDriver{New: func(t *testing.T) enginetest.MetaStore {
				dir := t.TempDir()
				return func() (engine.Meta, error) { return Open(Config{Dir: dir, FS: fs}) }
			}})
		})
	}
}
