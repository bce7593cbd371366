package app

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/cloudtrail"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/job/accesslog"
	"github.com/kura-s3/kura/internal/job/trail"
)

// auditDir holds the journals of the record.
func auditDir(data string) string { return filepath.Join(data, "audit") }

// openRecord opens the journals of what is asked of this server.
func (s *server) openRecord(ctx context.Context, secrets audit.Secrets) error {
	anchor, err := audit.OpenAnchor(ctx, s.engines.Meta, secrets)
	if err != nil {
		return err
	}
	if err := anchor.Export(auditDir(s.config.Data)); err != nil {
		return err
	}
	management, err := s.openJournal(ctx, anchor, audit.StreamManagement, s.config.AuditRetention, s.config.AuditMaxSize)
	if err != nil {
		return err
	}
	data, err := s.openJournal(ctx, anchor, audit.StreamData, s.config.AuditDataRetention, s.config.AuditDataMaxSize)
	if err != nil {
		return err
	}
	s.record = audit.NewLog(audit.LogConfig{Management: management, Data: data, Strict: s.config.AuditStrict, Together: true})
	s.trails, err = trail.Open(ctx, trail.Config{
		Meta: s.engines.Meta, Secrets: secrets, Record: s.record, Feed: s.feed, S3: s.onBehalf, Logs: trailLogs{s}, Topics: trailTopics{s}, Region: s.config.Region,
		LogInterval: s.config.LogInterval, DigestInterval: s.config.DigestInterval, Pace: s.pacer, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.record.WantData(s.recordsData)
	s.accessLog, err = accesslog.OpenSpool(accesslog.Config{
		Dir: filepath.Join(auditDir(s.config.Data), "access"), Bucket: s.objects.Bucket, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.onClose(s.accessLog.Close)
	s.record.AddTap(s.accessLog)
	s.onClose(s.record.Settle)
	return nil
}

// recordMetrics registers what dashboards/ shows of the record.
func (s *server) recordMetrics(registry prometheus.Registerer) {
	for stream, j := range map[string]*audit.Journal{audit.StreamManagement: s.record.Management(), audit.StreamData: s.record.Data()} {
		labels := prometheus.Labels{"stream": stream}
		registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kura_audit_failed", Help: "1 while the journal cannot be written.", ConstLabels: labels},
				func() float64 {
					if j.Err() != nil {
						return 1
					}
					return 0
				}),
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "kura_audit_lines", Help: "Number of the newest durable line of the journal.", ConstLabels: labels},
				func() float64 { return float64(j.Last()) }))
	}
	registry.MustRegister(
		exportProgress{s.exporter},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kura_trail_failing", Help: "Trails whose last delivery failed."},
			func() float64 { return float64(s.trails.Failing()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kura_access_log_waiting_bytes", Help: "Access log lines that are not delivered yet."},
			func() float64 { return float64(s.accessLog.Waiting()) }))
}

// onBehalf makes a request in somebody's name. Background work may begin before there is a pipeline: it
// waits.
func (s *server) onBehalf(ctx context.Context, as *authz.Subject, r *http.Request) (*http.Response, error) {
	select {
	case <-s.piped:
		return s.pipeline.OnBehalf(ctx, as, r)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *server) cloudtrail() api.Service {
	return cloudtrail.New(cloudtrail.Config{Trails: s.trails, PassRole: passRole, AuditDir: auditDir(s.config.Data), Region: s.config.Region, Authn: s.authn, Log: s.log})
}

// startTrails delivers log files.
func (s *server) startTrails(context.Context) error {
	logs := accesslog.NewDeliverer(accesslog.DelivererConfig{
		Spool: s.accessLog, S3: s.onBehalf, Interval: s.config.LogInterval, Region: s.config.Region, Pace: s.pacer,
	})
	s.background(logs.Run)
	s.background(s.trails.Run)
	return nil
}

func (s *server) openJournal(ctx context.Context, anchor *audit.Anchor, stream string, retention time.Duration, size int64) (*audit.Journal, error) {
	head, err := anchor.Head(ctx, stream)
	if err != nil {
		return nil, err
	}
	j, err := audit.OpenJournal(audit.JournalConfig{
		Dir: auditDir(s.config.Data), Stream: stream, Node: "local", Key: anchor.Key(), Head: head, MaxAge: retention, MaxBytes: size, Log: s.log,
		Keep: func(c audit.Checkpoint) {
			if err := anchor.Keep(context.Background(), c); err != nil {
				s.log.Error("audit checkpoint not kept", "stream", stream, "err", err)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("audit journal: %w", err)
	}
	s.onClose(j.Close)
	return j, nil
}
