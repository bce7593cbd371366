package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/job/export"
)

// openExport finds out how far each target of --audit-export is, before anything new is recorded.
func (s *server) openExport(ctx context.Context) (err error) {
	s.exporter, err = export.New(ctx, export.Config{
		Meta: s.engines.Meta, Targets: s.config.AuditExports, Dial: outbound(s.config), Version: s.options.Build.Version, Log: s.log,
		Journals: map[string]*audit.Journal{audit.StreamManagement: s.record.Management(), audit.StreamData: s.record.Data()},
	})
	return err
}

// startExport begins to send.
func (s *server) startExport(context.Context) error {
	s.background(s.exporter.Run)
	return nil
}

// exportProgress are the metrics of exports.
type exportProgress struct{ exporter *export.Exporter }

var (
	exportLabels   = []string{"target", "stream"}
	exportLag      = prometheus.NewDesc("kura_audit_export_lag_seconds", "Age of the oldest record that the target does not have.", exportLabels, nil)
	exportFailing  = prometheus.NewDesc("kura_audit_export_failing", "1 while the target takes nothing.", exportLabels, nil)
	exportSent     = prometheus.NewDesc("kura_audit_export_records_total", "Records sent, those that were sent again too.", exportLabels, nil)
	exportRejected = prometheus.NewDesc("kura_audit_export_rejected_total", "Records that the target will never take.", exportLabels, nil)
)

// Describe implements prometheus.Collector.
func (exportProgress) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{exportLag, exportFailing, exportSent, exportRejected} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (e exportProgress) Collect(c chan<- prometheus.Metric) {
	for _, p := range e.exporter.Progress() {
		failing := 0.0
		if p.Failing {
			failing = 1
		}
		c <- prometheus.MustNewConstMetric(exportLag, prometheus.GaugeValue, p.Lag.Seconds(), p.Target, p.Stream)
		c <- prometheus.MustNewConstMetric(exportFailing, prometheus.GaugeValue, failing, p.Target, p.Stream)
		c <- prometheus.MustNewConstMetric(exportSent, prometheus.CounterValue, float64(p.Sent), p.Target, p.Stream)
		c <- prometheus.MustNewConstMetric(exportRejected, prometheus.CounterValue, float64(p.Rejected), p.Target, p.Stream)
	}
}
