package app

import (
	"context"
	"io"

	"github.com/kura-s3/kura/internal/config"
)

// Doctor checks
func Doctor(ctx context.Context, c *config.Config, w io.Writer, asJSON bool) (sound bool, err error) {
	return true, nil
}
