package app

import (
	"context"

	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/classification"
	"github.com/kura-s3/kura/internal/job/inventory"
	"github.com/kura-s3/kura/internal/object"
)

// startInventory makes the reports that buckets ask for.
func (s *server) startInventory(context.Context) error {
	s.background(inventory.New(inventory.Config{
		Objects: s.objects, Meta: s.engines.Meta, Guard: s.guard, Deliver: s.onBehalf, Log: s.log,
		Own: func(b *object.Bucket) bool { return s3.ClassOf(b).Holds(classification.NoOtherAccounts) },
	}).Run)
	return nil
}
