package app

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/sqs"
)

// openQueues opens the queues of the Simple Queue Service, whose messages the ring seals.
func (s *server) openQueues(ctx context.Context, ring *keys.Ring) (err error) {
	s.queues, err = sqs.Open(ctx, sqs.Config{
		Meta: s.engines.Meta, Secrets: ring, Principals: s.identities, Feed: s.feed, Region: s.config.Region, Log: s.log,
	})
	return err
}

// sweepInterval is how often messages are looked for whose retention has ended and that nobody asks for.
const sweepInterval = time.Minute

// startSweep deletes such messages.
func (s *server) startSweep(context.Context) error {
	s.background(func(ctx context.Context) {
		for sleep(ctx, sweepInterval) {
			if err := s.queues.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("queues: old messages are not deleted", "err", err)
			}
		}
	})
	return nil
}
