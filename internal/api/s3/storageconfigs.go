package s3

import (
	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/fault"
)

// Analytics and Intelligent-Tiering configurations. Both are about storage classes, of which Kura keeps
// all on the same media: they are stored and given back, and what would show, reports of an analysis, is
// refused (docs/limits.md).

const (
	settingAnalytics = "analytics"
	settingTiering   = "intelligentTiering"
)

func (s *Service) storageConfigOps() []*api.Op {
	analytics := configurations[
		s3wire.PutBucketAnalyticsConfigurationInput, s3wire.GetBucketAnalyticsConfigurationInput,
		s3wire.DeleteBucketAnalyticsConfigurationInput, s3wire.ListBucketAnalyticsConfigurationsInput,
		s3wire.GetBucketAnalyticsConfigurationOutput, s3wire.ListBucketAnalyticsConfigurationsOutput, s3wire.AnalyticsConfiguration,
	]{
		setting: settingAnalytics, readAction: "s3:GetAnalyticsConfiguration", writeAction: "s3:PutAnalyticsConfiguration",
		put: &s3wire.PutBucketAnalyticsConfiguration, get: &s3wire.GetBucketAnalyticsConfiguration,
		delete: &s3wire.DeleteBucketAnalyticsConfiguration, list: &s3wire.ListBucketAnalyticsConfigurations,
		of: func(in *s3wire.PutBucketAnalyticsConfigurationInput) *s3wire.AnalyticsConfiguration {
			return in.AnalyticsConfiguration
		},
		id:    func(c *s3wire.AnalyticsConfiguration) *string { return c.Id },
		check: checkAnalytics,
		got: func(c *s3wire.AnalyticsConfiguration) *s3wire.GetBucketAnalyticsConfigurationOutput {
			return &s3wire.GetBucketAnalyticsConfigurationOutput{AnalyticsConfiguration: c}
		},
		listed: func(all []s3wire.AnalyticsConfiguration, token, next *string, truncated *bool) *s3wire.ListBucketAnalyticsConfigurationsOutput {
			return &s3wire.ListBucketAnalyticsConfigurationsOutput{AnalyticsConfigurationList: all, ContinuationToken: token, NextContinuationToken: next, IsTruncated: truncated}
		},
	}
	tiering := configurations[
		s3wire.PutBucketIntelligentTieringConfigurationInput, s3wire.GetBucketIntelligentTieringConfigurationInput,
		s3wire.DeleteBucketIntelligentTieringConfigurationInput, s3wire.ListBucketIntelligentTieringConfigurationsInput,
		s3wire.GetBucketIntelligentTieringConfigurationOutput, s3wire.ListBucketIntelligentTieringConfigurationsOutput, s3wire.IntelligentTieringConfiguration,
	]{
		setting: settingTiering, readAction: "s3:GetIntelligentTieringConfiguration", writeAction: "s3:PutIntelligentTieringConfiguration",
		put: &s3wire.PutBucketIntelligentTieringConfiguration, get: &s3wire.GetBucketIntelligentTieringConfiguration,
		delete: &s3wire.DeleteBucketIntelligentTieringConfiguration, list: &s3wire.ListBucketIntelligentTieringConfigurations,
		of: func(in *s3wire.PutBucketIntelligentTieringConfigurationInput) *s3wire.IntelligentTieringConfiguration {
			return in.IntelligentTieringConfiguration
		},
		id:    func(c *s3wire.IntelligentTieringConfiguration) *string { return c.Id },
		check: checkTiering,
		got: func(c *s3wire.IntelligentTieringConfiguration) *s3wire.GetBucketIntelligentTieringConfigurationOutput {
			return &s3wire.GetBucketIntelligentTieringConfigurationOutput{IntelligentTieringConfiguration: c}
		},
		listed: func(all []s3wire.IntelligentTieringConfiguration, token, next *string, truncated *bool) *s3wire.ListBucketIntelligentTieringConfigurationsOutput {
			return &s3wire.ListBucketIntelligentTieringConfigurationsOutput{IntelligentTieringConfigurationList: all, ContinuationToken: token, NextContinuationToken: next, IsTruncated: truncated}
		},
	}
	return append(analytics.ops(s), tiering.ops(s)...)
}

func checkAnalytics(c *s3wire.AnalyticsConfiguration) error {
	if c.StorageClassAnalysis == nil {
		return fault.New(malformedXML, "")
	}
	if c.StorageClassAnalysis.DataExport != nil {
		return fault.New(api.NotImplemented, "Exports of a storage class analysis are not implemented.")
	}
	if f := c.Filter; f != nil {
		and := 0
		var tags []s3wire.Tag
		if f.And != nil {
			and, tags = one(f.And.Prefix != nil)+len(f.And.Tags), f.And.Tags
		}
		return checkFilter(f.Prefix != nil, f.Tag, f.And != nil, and, tags)
	}
	return nil
}

// archiveDays are the least and most days after which a tier can begin.
var archiveDays = map[s3wire.IntelligentTieringAccessTier][2]int32{"ARCHIVE_ACCESS": {90, 730}, "DEEP_ARCHIVE_ACCESS": {180, 730}}

func checkTiering(c *s3wire.IntelligentTieringConfiguration) error {
	if len(c.Tierings) == 0 || c.Status == "" {
		return fault.New(malformedXML, "")
	}
	seen := map[s3wire.IntelligentTieringAccessTier]bool{}
	for _, t := range c.Tierings {
		bounds, known := archiveDays[t.AccessTier]
		if !known || t.Days == nil || seen[t.AccessTier] {
			return fault.New(malformedXML, "")
		}
		if *t.Days < bounds[0] || *t.Days > bounds[1] {
			return fault.New(invalidArgument, "'Days' for Intelligent Tiering access tiers must be within the limits of the tier.")
		}
		seen[t.AccessTier] = true
	}
	if f := c.Filter; f != nil {
		and := 0
		var tags []s3wire.Tag
		if f.And != nil {
			and, tags = one(f.And.Prefix != nil)+len(f.And.Tags), f.And.Tags
		}
		return checkFilter(f.Prefix != nil, f.Tag, f.And != nil, and, tags)
	}
	return nil
}

// checkFilter: a filter is a prefix, a tag or several of them.
func checkFilter(prefix bool, tag *s3wire.Tag, and bool, within int, tags []s3wire.Tag) error {
	if one(prefix)+one(tag != nil)+one(and) != 1 || and && within < 2 {
		return fault.New(malformedXML, "")
	}
	if tag != nil {
		tags = []s3wire.Tag{*tag}
	}
	return checkTags(plainTags(tags))
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}
