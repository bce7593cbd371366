package s3

import (
	"context"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Metrics configurations: which requests of a bucket are counted by themselves.

const settingMetrics = "metrics"

// Counter is told of the requests that metrics configurations select.
type Counter interface {
	// BucketRequest counts a finished request, of a kind as CloudWatch names it ("Get", "List").
	BucketRequest(bucket, filter, request string, status int, d time.Duration, in, out int64)
	// Forget ends the counting for a configuration.
	Forget(bucket, filter string)
}

func (s *Service) metricsOps() []*api.Op {
	metrics := configurations[
		s3wire.PutBucketMetricsConfigurationInput, s3wire.GetBucketMetricsConfigurationInput,
		s3wire.DeleteBucketMetricsConfigurationInput, s3wire.ListBucketMetricsConfigurationsInput,
		s3wire.GetBucketMetricsConfigurationOutput, s3wire.ListBucketMetricsConfigurationsOutput, s3wire.MetricsConfiguration,
	]{
		setting: settingMetrics, readAction: "s3:GetMetricsConfiguration", writeAction: "s3:PutMetricsConfiguration",
		put: &s3wire.PutBucketMetricsConfiguration, get: &s3wire.GetBucketMetricsConfiguration,
		delete: &s3wire.DeleteBucketMetricsConfiguration, list: &s3wire.ListBucketMetricsConfigurations,
		of: func(in *s3wire.PutBucketMetricsConfigurationInput) *s3wire.MetricsConfiguration {
			return in.MetricsConfiguration
		},
		id:    func(c *s3wire.MetricsConfiguration) *string { return c.Id },
		check: checkMetrics,
		got: func(c *s3wire.MetricsConfiguration) *s3wire.GetBucketMetricsConfigurationOutput {
			return &s3wire.GetBucketMetricsConfigurationOutput{MetricsConfiguration: c}
		},
		listed: func(all []s3wire.MetricsConfiguration, token, next *string, truncated *bool) *s3wire.ListBucketMetricsConfigurationsOutput {
			return &s3wire.ListBucketMetricsConfigurationsOutput{MetricsConfigurationList: all, ContinuationToken: token, NextContinuationToken: next, IsTruncated: truncated}
		},
		gone: func(bucket, id string) {
			if s.config.Counter != nil {
				s.config.Counter.Forget(bucket, id)
			}
		},
	}
	return metrics.ops(s)
}

func checkMetrics(c *s3wire.MetricsConfiguration) error {
	f := c.Filter
	if f == nil {
		return nil
	}
	if f.AccessPointArn != nil || f.And != nil && f.And.AccessPointArn != nil {
		return fault.New(api.NotImplemented, "Access points are not implemented.")
	}
	and := 0
	var tags []s3wire.Tag
	if f.And != nil {
		and, tags = one(f.And.Prefix != nil)+len(f.And.Tags), f.And.Tags
	}
	return checkFilter(f.Prefix != nil, f.Tag, f.And != nil, and, tags)
}

// metricsFilter is a configuration, compiled.
type metricsFilter struct {
	id, prefix string
	tags       []object.Tag
}

func compileMetrics(settings map[string][]byte) []metricsFilter {
	var all []metricsFilter
	for name, raw := range settings {
		id, ok := strings.CutPrefix(name, settingMetrics+"/")
		if !ok {
			continue
		}
		conf, err := decodeSetting[s3wire.MetricsConfiguration](raw)
		if err != nil {
			continue // it counts nothing
		}
		m := metricsFilter{id: id}
		if f := conf.Filter; f != nil {
			prefix, tags := f.Prefix, []s3wire.Tag{}
			if f.Tag != nil {
				tags = append(tags, *f.Tag)
			}
			if f.And != nil {
				prefix, tags = f.And.Prefix, f.And.Tags
			}
			if prefix != nil {
				m.prefix = *prefix
			}
			m.tags = plainTags(tags)
		}
		all = append(all, m)
	}
	return all
}

// whole tells of a configuration without a filter: it selects also what is not about one object.
func (m *metricsFilter) whole() bool { return m.prefix == "" && len(m.tags) == 0 }

func (m *metricsFilter) selects(tags []object.Tag) bool {
	for _, wanted := range m.tags {
		found := false
		for _, t := range tags {
			found = found || t == wanted
		}
		if !found {
			return false
		}
	}
	return true
}

// Finished implements api.Finisher.
func (s *Service) Finished(c *api.Call) {
	t, ok := c.Target.(*target)
	if !ok || t.found == nil || c.Op == nil || s.config.Counter == nil || c.Event.Status == 0 { // 0: it panicked
		return
	}
	filters := accessOf(t.found).web.metrics
	if len(filters) == 0 {
		return
	}
	var tags []object.Tag
	looked := false
	for i := range filters {
		f := &filters[i]
		if !f.whole() && (t.key == "" || !strings.HasPrefix(t.key, f.prefix)) {
			continue
		}
		if len(f.tags) > 0 && !looked {
			tags, looked = s.tagsNow(c, t), true
		}
		if f.selects(tags) {
			s.config.Counter.BucketRequest(t.bucket, f.id, kindOf(c.Op), c.Event.Status, c.Event.Duration, c.Event.BytesIn, c.Event.BytesOut)
		}
	}
}

// tagsNow are the tags of the addressed object after the request: one that is gone has none.
func (s *Service) tagsNow(c *api.Call, t *target) []object.Tag {
	info, err := s.config.Objects.Resolve(context.WithoutCancel(c.R.Context()), &object.GetInput{Bucket: t.bucket, Key: t.key, VersionID: t.query.get("versionId")})
	if err != nil {
		return nil
	}
	return info.Tags
}

// kindOf is a request's kind in CloudWatch's request metrics.
func kindOf(op *api.Op) string {
	switch name := op.Name(); {
	case strings.HasPrefix(name, "List"):
		return "List"
	case name == "DeleteObjects":
		return "Delete"
	}
	return methodKinds[op.Wire().Method]
}

var methodKinds = map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post", "OPTIONS": "Options"}
