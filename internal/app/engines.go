package app

import (
	"context"
	"log/slog"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
)

// engines keep the bytes.
type engines struct {
	Meta engine.Meta
	Blob engine.Blob
}

func openEngines(_ context.Context, dir string, log *slog.Logger) (*engines, error) {
	return &engines{memory.NewMeta(), memory.NewBlob()}, nil
}

func (e *engines) Close() error { return nil }
