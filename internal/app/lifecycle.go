package app

import (
	"github.com/kura-s3/kura/internal/job/accesslog"
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/metrics"
	"github.com/kura-s3/kura/internal/object"
)

// startLifecycle makes objects expire and move between storage classes by the rules of their buckets.
func (s *server) startLifecycle(counters *metrics.Metrics) {
	runner := lifecycle.New(lifecycle.Options{
		Objects: s.objects, Meta: s.engines.Meta, Guard: s.guard, Now: s.objects.Time, Day: s.config.LifecycleDay, Pace: s.pacer, Log: s.log,
		Count: func(what string, n int) { counters.Job(object.LifecycleJob, what, n) },
		Tell:  s.logRuled,
	})
	s.background(runner.Run)
}

// ruledAs are the access log's words for what rules do.
var ruledAs = map[string]string{
	lifecycle.Expired: accesslog.ExpireObject, lifecycle.Removed: accesslog.ExpireObject,
	lifecycle.Transitioned: accesslog.TransitionObject, lifecycle.Aborted: accesslog.DeleteUpload,
}

// logRuled puts what a lifecycle rule did into the access log of its bucket.
func (s *server) logRuled(b *object.Bucket, done *lifecycle.Done) {
	operation := ruledAs[done.What]
	if done.Marked {
		operation = accesslog.CreateDeleteMarker
	}
	s.accessLog.TakeRuled(b.Name, &accesslog.Ruled{
		Operation: operation, Class: done.Class, Key: done.Key, VersionID: done.VersionID, Size: done.Size,
	})
}
