package fileblob

import (
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/enginetest"
)

func TestConformance(t *testing.T) {
	for name, c := range map[string]Config{
		"default":        {},
		"small segments": {SegmentSize: 1 << 20, OwnFrom: 256 << 10, OpenFiles: 2},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.TestBlob(t, enginetest.BlobDriver{
				Sizes: []int{gather - 1, gather, gather + 1, 3<<20 + 17},
				New: func(t *testing.T) enginetest.BlobStore {
					c := c
					c.Dir = t.TempDir()
					return func() (engine.Blob, error) { return Open(c) }
				},
			})
		})
	}
}
