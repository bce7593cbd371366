package app

import (
	"github.com/kura-s3/kura/internal/metrics"
	"github.com/kura-s3/kura/internal/pace"
)

// newPacer paces by the requests that the front serves: what it paces begins when there is one.
func (s *server) newPacer() *pace.Pacer {
	return pace.New(pace.Config{Requests: func() (total, now int64) { return s.front.Requests() }})
}

// paceStats are for metrics.
func (s *server) paceStats() metrics.Pace {
	stats := s.pacer.Stats()
	jobs := make(map[string]metrics.PaceJob, len(stats.Jobs))
	for name, job := range stats.Jobs {
		jobs[name] = metrics.PaceJob(job)
	}
	return metrics.Pace{Width: stats.Width, Running: stats.Running, Waiting: stats.Waiting, Jobs: jobs}
}
