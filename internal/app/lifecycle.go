package app

import (
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/metrics"
	"github.com/kura-s3/kura/internal/object"
)

// startLifecycle makes objects expire and move between storage classes by the rules of their buckets.
func (s *server) startLifecycle(counters *metrics.Metrics) {
	runner := lifecycle.New(lifecycle.Options{
		Objects: s.objects, Meta: s.engines.Meta, Guard: s.guard, Now: s.objects.Time, Day: s.config.LifecycleDay, Pace: s.pacer, Log: s.log,
		Count: func(what string, n int) { counters.Job(object.LifecycleJob, what, n) },
	})
	s.background(runner.Run)
}
