package app

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/kms"
)

// openKMS opens the keys of the Key Management Service, whose material the ring seals.
func (s *server) openKMS(ctx context.Context, ring *keys.Ring) (err error) {
	s.kms, err = kms.Open(ctx, kms.Config{
		Meta: s.engines.Meta, Secrets: ring, Principals: s.identities, Region: s.config.Region, Feed: s.feed, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.onClose(s.kms.Close)
	return nil
}

// keyTimes is how often is looked whether a key is to be erased or rotated. What must not be used any more
// is refused to the second; this is when it goes.
const keyTimes = time.Minute

// startKeyTimes erases and rotates keys when their time has come.
func (s *server) startKeyTimes(context.Context) error {
	s.background(func(ctx context.Context) {
		tick := time.NewTicker(keyTimes)
		defer tick.Stop()
		for {
			if err := s.keepKeys(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("keys: what was due is not done", "err", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return nil
}

func (s *server) keepKeys(ctx context.Context) error {
	if err := s.kms.FlushUses(ctx); err != nil {
		return err
	}
	if !s.kms.Due() {
		return nil
	}
	grant, err := s.guard.System(ctx, kms.Housekeeping, authz.Demand{
		Action: kms.HousekeepingAction, Resource: authz.Resource{ARN: kms.HousekeepingARN},
	})
	if err != nil {
		return err
	}
	return s.kms.Housekeep(ctx, grant)
}

// examineKMS has the keys look at what is theirs, for the doctor.
func (s *server) examineKMS(ctx context.Context, ring *keys.Ring, people *identity.Store, report func(where, what string)) (int, error) {
	store, err := kms.Open(ctx, kms.Config{Meta: s.engines.Meta, Secrets: ring, Principals: people, Region: s.config.Region, Log: s.log})
	if err != nil {
		return 0, err
	}
	defer store.Close()
	return store.Check(ctx, report)
}
