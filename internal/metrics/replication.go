package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Replication is how far replication is.
type Replication struct {
	// Pending versions, their bytes, and how long the oldest has been waiting.
	Pending, PendingBytes int64
	Oldest                time.Duration
	// Since start: replicas made, their bytes, and tries that were refused or failed.
	Replicated, ReplicatedBytes, Failed int64
}

func (g Gauges) replication(registry prometheus.Registerer) {
	for _, v := range []struct {
		name, help string
		total      bool
		read       func(Replication) float64
	}{
		{"kura_replication_pending", "Versions that are on their way to a destination.", false, func(r Replication) float64 { return float64(r.Pending) }},
		{"kura_replication_pending_bytes", "Bytes of the versions that are on their way.", false, func(r Replication) float64 { return float64(r.PendingBytes) }},
		{"kura_replication_oldest_seconds", "How long the oldest version on its way has been waiting.", false, func(r Replication) float64 { return r.Oldest.Seconds() }},
		{"kura_replication_replicated_total", "Replicas made.", true, func(r Replication) float64 { return float64(r.Replicated) }},
		{"kura_replication_replicated_bytes_total", "Bytes of the replicas made.", true, func(r Replication) float64 { return float64(r.ReplicatedBytes) }},
		{"kura_replication_failed_total", "Tries that were refused or failed.", true, func(r Replication) float64 { return float64(r.Failed) }},
	} {
		read := func() float64 { return v.read(g.Replication()) }
		if v.total {
			registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: v.name, Help: v.help}, read))
		} else {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: v.name, Help: v.help}, read))
		}
	}
}
