package memory_test

import (
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/enginetest"
	"github.com/kura-s3/kura/internal/engine/memory"
)

func TestMeta(t *testing.T) {
	enginetest.TestMeta(t, enginetest.MetaDriver{Volatile: true, New: func(t *testing.T) enginetest.MetaStore {
		return func() (engine.Meta, error) { return memory.NewMeta(), nil }
	}})
}

func TestBlob(t *testing.T) {
	enginetest.TestBlob(t, enginetest.BlobDriver{Volatile: true, New: func(t *testing.T) enginetest.BlobStore {
		return func() (engine.Blob, error) { return memory.NewBlob(), nil }
	}})
}
