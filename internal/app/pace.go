package app

import "github.com/kura-s3/kura/internal/metrics"

// paceStats are for metrics.
func (s *server) paceStats() metrics.Pace {
	stats := s.pacer.Stats()
	jobs := make(map[string]metrics.PaceJob, len(stats.Jobs))
	for name, job := range stats.Jobs {
		jobs[name] = metrics.PaceJob(job)
	}
	return metrics.Pace{Width: stats.Width, Running: stats.Running, Waiting: stats.Waiting, Jobs: jobs}
}
