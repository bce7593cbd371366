package guardduty

import (
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/guarddutywire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/finding"
)

func (e edge) detectorOps() []*api.Op {
	return []*api.Op{
		answer(e, &guarddutywire.CreateDetector, api.Write, nil,
			func(in *guarddutywire.CreateDetectorInput) authz.Keys { return authz.RequestTags(in.Tags) }, e.createDetector),
		answer(e, &guarddutywire.GetDetector, api.Read, func(account string, in *guarddutywire.GetDetectorInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.getDetector),
		answer(e, &guarddutywire.ListDetectors, api.List, nil, nil, e.listDetectors),
		answer(e, &guarddutywire.UpdateDetector, api.Write, func(account string, in *guarddutywire.UpdateDetectorInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.updateDetector),
		answer(e, &guarddutywire.DeleteDetector, api.Write, func(account string, in *guarddutywire.DeleteDetectorInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.deleteDetector),
	}
}

const (
	enabled  = guarddutywire.FeatureStatus("ENABLED")
	disabled = guarddutywire.FeatureStatus("DISABLED")
	s3Events = "S3_DATA_EVENTS"
)

// elsewhere are the features of GuardDuty about what Kura does not have: they are off, and cannot be
// switched on. Those with a source of data are named by the older dataSources too.
var elsewhere = []string{
	"EKS_AUDIT_LOGS", "EBS_MALWARE_PROTECTION", "RDS_LOGIN_EVENTS", "EKS_RUNTIME_MONITORING", "LAMBDA_NETWORK_LOGS", "RUNTIME_MONITORING",
}

// settings reads what a request sets.
func settings(enable *bool, frequency string, features []guarddutywire.DetectorFeatureConfiguration, sources *guarddutywire.DataSourceConfigurations) (finding.Settings, error) {
	in := finding.Settings{Enabled: enable, Frequency: frequency}
	if sources != nil && len(features) > 0 {
		return in, refused("only one of dataSources and features can be given.")
	}
	for _, f := range features {
		if f.Status != enabled && f.Status != disabled {
			return in, invalid("features")
		}
		on := f.Status == enabled
		if string(f.Name) == s3Events {
			in.S3 = &on
			continue
		}
		if on {
			return in, refused("this Kura does not have the feature " + finding.Clean(string(f.Name)) + ".")
		}
	}
	if sources == nil {
		return in, nil
	}
	if sources.S3Logs != nil {
		in.S3 = sources.S3Logs.Enable
	}
	if k := sources.Kubernetes; k != nil && k.AuditLogs != nil && member.True(k.AuditLogs.Enable) {
		return in, refused("this Kura does not have the data source kubernetes.")
	}
	if m := sources.MalwareProtection; m != nil && m.ScanEc2InstanceWithFindings != nil && member.True(m.ScanEc2InstanceWithFindings.EbsVolumes) {
		return in, refused("this Kura does not have the data source malwareProtection.")
	}
	return in, nil
}

func (e edge) createDetector(c call, in *guarddutywire.CreateDetectorInput) (*guarddutywire.CreateDetectorOutput, error) {
	s, err := settings(in.Enable, string(in.FindingPublishingFrequency), in.Features, in.DataSources)
	if err != nil {
		return nil, err
	}
	id, err := e.findings.CreateDetector(c, c.grant, c.account, s, in.Tags)
	return &guarddutywire.CreateDetectorOutput{DetectorId: member.Given(id)}, err
}

const timeForm = "2006-01-02T15:04:05.000Z"

func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Format(timeForm))
}

func status(on bool) guarddutywire.FeatureStatus {
	if on {
		return enabled
	}
	return disabled
}

func (e edge) getDetector(c call, in *guarddutywire.GetDetectorInput) (*guarddutywire.GetDetectorOutput, error) {
	id := member.Text(in.DetectorId)
	d, err := e.findings.Detector(c.grant, "guardduty:GetDetector", e.findings.ARN(c.account, id), c.account, id)
	if err != nil {
		return nil, err
	}
	features := []guarddutywire.DetectorFeatureConfigurationResult{
		{Name: "CLOUD_TRAIL", Status: enabled, UpdatedAt: &d.Created},
		{Name: "DNS_LOGS", Status: disabled, UpdatedAt: &d.Created},
		{Name: "FLOW_LOGS", Status: disabled, UpdatedAt: &d.Created},
		{Name: s3Events, Status: status(d.S3), UpdatedAt: &d.S3Change},
	}
	for _, name := range elsewhere {
		features = append(features, guarddutywire.DetectorFeatureConfigurationResult{
			Name: guarddutywire.DetectorFeatureResult(name), Status: disabled, UpdatedAt: &d.Created,
		})
	}
	off := guarddutywire.DataSourceStatus(disabled)
	return &guarddutywire.GetDetectorOutput{
		CreatedAt: stamp(d.Created), UpdatedAt: stamp(d.Updated), Tags: d.Tags,
		FindingPublishingFrequency: guarddutywire.FindingPublishingFrequency(d.Frequency),
		Status:                     guarddutywire.DetectorStatus(status(d.Enabled)),
		Features:                   features,
		DataSources: &guarddutywire.DataSourceConfigurationsResult{
			CloudTrail: &guarddutywire.CloudTrailConfigurationResult{Status: guarddutywire.DataSourceStatus(enabled)},
			DNSLogs:    &guarddutywire.DNSLogsConfigurationResult{Status: off},
			FlowLogs:   &guarddutywire.FlowLogsConfigurationResult{Status: off},
			S3Logs:     &guarddutywire.S3LogsConfigurationResult{Status: guarddutywire.DataSourceStatus(status(d.S3))},
			Kubernetes: &guarddutywire.KubernetesConfigurationResult{AuditLogs: &guarddutywire.KubernetesAuditLogsConfigurationResult{Status: off}},
			MalwareProtection: &guarddutywire.MalwareProtectionConfigurationResult{
				ScanEc2InstanceWithFindings: &guarddutywire.ScanEc2InstanceWithFindingsResult{EbsVolumes: &guarddutywire.EbsVolumesResult{Status: off}},
			},
		},
	}, nil
}

func (e edge) listDetectors(c call, in *guarddutywire.ListDetectorsInput) (*guarddutywire.ListDetectorsOutput, error) {
	all, err := e.findings.Detectors(c.grant, c.account)
	if err != nil {
		return nil, err
	}
	all, next, err := page(all, in.NextToken, in.MaxResults)
	return &guarddutywire.ListDetectorsOutput{DetectorIds: member.Every(all, func(id string) string { return id }), NextToken: next}, err
}

func (e edge) updateDetector(c call, in *guarddutywire.UpdateDetectorInput) (*guarddutywire.UpdateDetectorOutput, error) {
	s, err := settings(in.Enable, string(in.FindingPublishingFrequency), in.Features, in.DataSources)
	if err != nil {
		return nil, err
	}
	return &guarddutywire.UpdateDetectorOutput{},
		e.findings.UpdateDetector(c, c.grant, c.account, member.Text(in.DetectorId), s, c.switchedOff("UpdateDetector"))
}

func (e edge) deleteDetector(c call, in *guarddutywire.DeleteDetectorInput) (*guarddutywire.DeleteDetectorOutput, error) {
	return &guarddutywire.DeleteDetectorOutput{},
		e.findings.DeleteDetector(c, c.grant, c.account, member.Text(in.DetectorId), c.switchedOff("DeleteDetector"))
}

// switchedOff is the finding that somebody switched detection off: who does that may have something to
// hide.
func (c call) switchedOff(operation string) *finding.Sighting {
	who := finding.WhoCalled(&c.api.Event, c.account)
	return &finding.Sighting{
		Account: c.account, Type: finding.DetectorDisabled, Severity: finding.SeverityOf(finding.DetectorDisabled), Actor: who.Principal.UniqueID,
		Title:       "Threat detection was switched off.",
		Description: who.Name() + " called " + operation + ": from now on less is looked at, or nothing any more.",
		Resource:    finding.Resource{ResourceType: finding.AccessKey, AccessKeyDetails: who.Details()},
		Call:        who.Call("guardduty.amazonaws.com", operation, ""),
	}
}
