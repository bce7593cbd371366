// Package metrics counts what the server does, for Prometheus.
//
// A request costs a few atomic additions: the counters of an operation are resolved once and found
// again through a map that is only ever replaced. Label values come from closed sets (operation
// names of the tables, HTTP statuses), so a client cannot make the number of series grow.
package metrics

import (
	"net/http"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxOperations bounds the operations that have counters of their own; what comes later is "Other".
const maxOperations = 512

// statuses that have a counter of their own; anything else is counted as its class, "2xx".
var statuses = []int{200, 201, 204, 206, 301, 304, 307, 400, 403, 404, 405, 409, 411, 412, 413, 416, 500, 501, 503}

// Latency buckets from 50 µs: a small GET takes a tenth of a millisecond, a large upload minutes.
var buckets = []float64{.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 60, 300}

// Metrics counts requests and decisions. Safe for concurrent use.
type Metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	received  prometheus.Counter
	sent      prometheus.Counter
	jobs      *prometheus.CounterVec
	allowed   prometheus.Counter
	denied    prometheus.Counter

	operations atomic.Pointer[map[string]*operation]
	grow       sync.Mutex
}

// operation is the resolved counters of one operation.
type operation struct {
	name     string
	duration prometheus.Observer
	byStatus [600]atomic.Pointer[prometheus.Counter]
}

// New makes the counters and registers them.
func New(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kura_requests_total", Help: "Requests by operation and HTTP status.",
		}, []string{"operation", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kura_request_duration_seconds", Help: "Time from the arrival of a request's headers to the end of its answer.", Buckets: buckets,
		}, []string{"operation"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{Name: "kura_received_bytes_total", Help: "Bytes of request bodies."}),
		sent:     prometheus.NewCounter(prometheus.CounterOpts{Name: "kura_sent_bytes_total", Help: "Bytes of answers' bodies."}),
	}
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kura_decisions_total", Help: "Answers of the policy engine.",
	}, []string{"decision"})
	m.allowed, m.denied = decisions.WithLabelValues("allow"), decisions.WithLabelValues("deny")
	m.jobs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kura_job_actions_total", Help: "What background jobs did.",
	}, []string{"job", "action"})
	registry.MustRegister(m.jobs)
	m.operations.Store(&map[string]*operation{})
	registry.MustRegister(m.requests, m.durations, m.received, m.sent, decisions)
	return m
}

// Request counts a finished request.
func (m *Metrics) Request(op string, status int, d time.Duration, in, out int64) {
	o := (*m.operations.Load())[op]
	if o == nil {
		o = m.resolve(op)
	}
	m.counter(o, status).Inc()
	o.duration.Observe(d.Seconds())
	if in > 0 {
		m.received.Add(float64(in))
	}
	if out > 0 {
		m.sent.Add(float64(out))
	}
}

// Decision counts an answer of the policy engine.
func (m *Metrics) Decision(allowed bool) {
	if allowed {
		m.allowed.Inc()
	} else {
		m.denied.Inc()
	}
}

// Job counts what a background job did. Both names are from closed sets.
func (m *Metrics) Job(job, action string, n int) {
	m.jobs.WithLabelValues(job, action).Add(float64(n))
}

// resolve makes the counters of an operation that is seen for the first time.
func (m *Metrics) resolve(name string) *operation {
	m.grow.Lock()
	defer m.grow.Unlock()
	old := *m.operations.Load()
	if o := old[name]; o != nil {
		return o
	}
	if len(old) >= maxOperations {
		if o := old["Other"]; o != nil {
			return o
		}
		name = "Other"
	}
	o := &operation{name: name, duration: m.durations.WithLabelValues(name)}
	grown := make(map[string]*operation, len(old)+1)
	for k, v := range old {
		grown[k] = v
	}
	grown[name] = o
	m.operations.Store(&grown)
	return o
}

func (m *Metrics) counter(o *operation, status int) prometheus.Counter {
	if status < 0 || status >= len(o.byStatus) {
		status = 0
	}
	if c := o.byStatus[status].Load(); c != nil {
		return *c
	}
	c := m.requests.WithLabelValues(o.name, statusLabel(status))
	o.byStatus[status].Store(&c)
	return c
}

// statusLabel keeps the statuses that Kura answers with and folds the rest into classes.
func statusLabel(status int) string {
	if i := sort.SearchInts(statuses, status); i < len(statuses) && statuses[i] == status {
		return strconv.Itoa(status)
	}
	if status < 100 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}

// Gauges are values that others keep and Prometheus reads when it asks.
type Gauges struct {
	// StorageUsed and StorageFree in bytes, Free -1 when unknown.
	StorageUsed, StorageFree func() float64
	// Syncs and Corrupt since start.
	Syncs, Corrupt func() float64
	// Connections, Unauthenticated of them, and Uploads in flight.
	Connections, Unauthenticated, Uploads func() float64
	// Refused connections and requests by reason, since start.
	Refused func() map[string]int64
	// Replication tells how far replication is.
	Replication func() Replication
	// Pace tells how background work gets on.
	Pace func() Pace
	// Buckets that exist.
	Buckets func() float64
	// Version and Commit of the program.
	Version, Commit string
}

// Register registers what g has.
func (g Gauges) Register(registry prometheus.Registerer) {
	gauges := []struct {
		name, help string
		read       func() float64
	}{
		{"kura_storage_used_bytes", "Bytes that data and metadata occupy.", g.StorageUsed},
		{"kura_storage_free_bytes", "Bytes that are left on the device; -1 when unknown.", g.StorageFree},
		{"kura_buckets", "Buckets.", g.Buckets},
		{"kura_connections", "Open connections.", g.Connections},
		{"kura_connections_unauthenticated", "Open connections on which nobody was authenticated yet.", g.Unauthenticated},
		{"kura_uploads", "Requests with a body in flight.", g.Uploads},
	}
	for _, v := range gauges {
		if v.read != nil {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: v.name, Help: v.help}, v.read))
		}
	}
	counters := []struct {
		name, help string
		read       func() float64
	}{
		{"kura_syncs_total", "Durable syncs.", g.Syncs},
		{"kura_corrupt_total", "Records and blocks found damaged.", g.Corrupt},
	}
	for _, v := range counters {
		if v.read != nil {
			registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: v.name, Help: v.help}, v.read))
		}
	}
	if g.Replication != nil {
		g.replication(registry)
	}
	if g.Pace != nil {
		registry.MustRegister(newPaced(g.Pace))
	}
	if g.Refused != nil {
		registry.MustRegister(refused{g.Refused, prometheus.NewDesc("kura_refused_total", "Connections and requests that a limit refused or ended.", []string{"reason"}, nil)})
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kura_build_info", Help: "1, with the program's version.",
		ConstLabels: prometheus.Labels{"version": g.Version, "commit": g.Commit},
	})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// refused collects counters that the front keeps by reason.
type refused struct {
	read func() map[string]int64
	desc *prometheus.Desc
}

func (r refused) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

func (r refused) Collect(ch chan<- prometheus.Metric) {
	for reason, n := range r.read() {
		ch <- prometheus.MustNewConstMetric(r.desc, prometheus.CounterValue, float64(n), reason)
	}
}

// Handler answers with what registry gathers, in Prometheus's text format.
func Handler(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}
