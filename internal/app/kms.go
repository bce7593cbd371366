package app

import (
	"context"

	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/kms"
)

// openKMS opens the keys of the Key Management Service, whose material the ring seals.
func (s *server) openKMS(ctx context.Context, ring *keys.Ring) (err error) {
	s.kms, err = kms.Open(ctx, kms.Config{
		Meta: s.engines.Meta, Secrets: ring, Principals: s.identities, Region: s.config.Region, Feed: s.told(), Log: s.log,
	})
	if err != nil {
		return err
	}
	s.onClose(s.kms.Close)
	return nil
}
