package app

import (
	"context"

	"github.com/kura-s3/kura/internal/job/inventory"
)

// startInventory makes the reports that buckets ask for.
func (s *server) startInventory(context.Context) error {
	s.background(inventory.New(inventory.Config{
		Objects: s.objects, Meta: s.engines.Meta, Guard: s.guard, Deliver: s.onBehalf, Log: s.log,
	}).Run)
	return nil
}
