package s3

import (
	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/fault"
)

const settingMetrics = "metrics"

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
		and, tags = count1(f.And.Prefix != nil)+len(f.And.Tags), f.And.Tags
	}
	return checkFilter(f.Prefix != nil, f.Tag, f.And != nil, and, tags)
}
