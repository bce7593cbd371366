package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/embedded"
)

// openEngines takes the data directory and keeps every other process out of it: the lock is the
// kernel's, so a crash leaves none behind.
func (s *server) openEngines(context.Context) error {
	store, err := embedded.Open(embedded.Config{Dir: s.config.Data, Log: s.log})
	if errors.Is(err, engine.ErrLocked) {
		return fmt.Errorf("%w; stop it, or name another directory with --data", err)
	}
	if err != nil {
		return err
	}
	s.engines = store
	s.onClose(store.Close)
	return nil
}
