package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxFilters bounds the metrics configurations that have series of their own; what comes later is
// counted together, as bucket "other".
const maxFilters = 2000

// Buckets counts the requests that the metrics configurations of buckets select, in the way of
// CloudWatch's request metrics. Label values are names of configurations, which their number bounds.
type Buckets struct {
	requests, failed, received, sent *prometheus.CounterVec
	seconds                          *prometheus.SummaryVec

	mu   sync.Mutex
	seen map[[2]string]bool
}

// NewBuckets makes the counters and registers them.
func NewBuckets(registry prometheus.Registerer) *Buckets {
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"bucket", "filter"}, more...))
	}
	b := &Buckets{
		requests: counter("kura_bucket_requests_total", "Requests that a bucket's metrics configuration selects, by kind (Get, Put, Delete, Head, Post, List).", "request"),
		failed:   counter("kura_bucket_errors_total", "Of these, those that were answered with an error, by class (4xx, 5xx).", "class"),
		received: counter("kura_bucket_uploaded_bytes_total", "Bytes of their bodies."),
		sent:     counter("kura_bucket_downloaded_bytes_total", "Bytes of their answers' bodies."),
		seconds: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "kura_bucket_request_duration_seconds", Help: "Their time, from the arrival of the headers to the end of the answer.",
		}, []string{"bucket", "filter"}),
		seen: map[[2]string]bool{},
	}
	registry.MustRegister(b.requests, b.failed, b.received, b.sent, b.seconds)
	return b
}

// BucketRequest counts a finished request for one configuration.
func (b *Buckets) BucketRequest(bucket, filter, request string, status int, d time.Duration, in, out int64) {
	bucket, filter = b.bounded(bucket, filter)
	b.requests.WithLabelValues(bucket, filter, request).Inc()
	if status >= 400 {
		b.failed.WithLabelValues(bucket, filter, strconv.Itoa(status/100)+"xx").Inc()
	}
	b.received.WithLabelValues(bucket, filter).Add(float64(max(in, 0)))
	b.sent.WithLabelValues(bucket, filter).Add(float64(max(out, 0)))
	b.seconds.WithLabelValues(bucket, filter).Observe(d.Seconds())
}

func (b *Buckets) bounded(bucket, filter string) (string, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := [2]string{bucket, filter}
	if !b.seen[key] {
		if len(b.seen) >= maxFilters {
			return "other", "other"
		}
		b.seen[key] = true
	}
	return bucket, filter
}

// Forget ends the series of a configuration that is gone.
func (b *Buckets) Forget(bucket, filter string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, [2]string{bucket, filter})
	labels := prometheus.Labels{"bucket": bucket, "filter": filter}
	for _, v := range []*prometheus.CounterVec{b.requests, b.failed, b.received, b.sent} {
		v.DeletePartialMatch(labels)
	}
	b.seconds.DeletePartialMatch(labels)
}
