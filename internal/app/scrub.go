package app

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/object"
)

// minScrubRate is the least that a scrub reads in a second, so that a small store is done soon.
const minScrubRate = 1 << 20

// startScrub re-reads every stored byte once in every interval, spread over it, and logs what is
// damaged. The first pass begins after a tenth of the interval: a server that is restarted often
// still gets to it, and a start is not slowed.
func (s *server) startScrub(context.Context) error {
	interval := s.config.ScrubInterval
	if interval == 0 {
		return nil
	}
	s.background(func(ctx context.Context) {
		wait := interval / 10
		for sleep(ctx, wait) {
			began := time.Now()
			s.scrubOnce(ctx, interval)
			wait = max(interval-time.Since(began), interval/10)
		}
	})
	return nil
}

func (s *server) scrubOnce(ctx context.Context, interval time.Duration) {
	used := s.engines.Blob.Usage().BytesUsed + s.engines.Meta.Usage().BytesUsed
	// Twice the rate that would just do leaves room for what is added meanwhile.
	rate := max(2*int64(float64(used)/interval.Seconds()), minScrubRate)
	sum, err := s.objects.Scrub(ctx, object.ScrubConfig{
		BytesPerSecond: rate, Pace: s.pacer,
		Report: func(p object.Problem) {
			s.log.Error("scrub found damage", "where", p.Where, "what", p.What)
		},
	})
	if err != nil && ctx.Err() == nil {
		s.log.Error("scrub ended early", "err", err)
		return
	}
	if err == nil {
		s.log.Info("scrub finished", "objects", sum.Objects, "bytes", sum.Bytes, "problems", sum.Problems)
	}
}

// sleep waits and tells whether ctx still lasts.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
