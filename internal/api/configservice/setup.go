package configservice

import (
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/configwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/recorder"
)

func (e edge) setup() []*api.Op {
	named := func(account string, name *string) []string {
		return []string{e.recorder.RecorderARN(account, member.Text(name))}
	}
	return []*api.Op{
		answer(e, &configwire.PutConfigurationRecorder, api.Write, func(account string, in *configwire.PutConfigurationRecorderInput) []string {
			name := "default"
			if in.ConfigurationRecorder != nil && member.Text(in.ConfigurationRecorder.Name) != "" {
				name = *in.ConfigurationRecorder.Name
			}
			return []string{e.recorder.RecorderARN(account, name)}
		}, func(in *configwire.PutConfigurationRecorderInput) authz.Keys {
			return authz.RequestTags(tagsOf(in.Tags))
		}, e.putRecorder),
		answer(e, &configwire.DescribeConfigurationRecorders, api.List, nil, nil, e.describeRecorders),
		answer(e, &configwire.ListConfigurationRecorders, api.List, nil, nil, e.listRecorders),
		answer(e, &configwire.DescribeConfigurationRecorderStatus, api.List, nil, nil, e.recorderStatus),
		answer(e, &configwire.StartConfigurationRecorder, api.Write, func(account string, in *configwire.StartConfigurationRecorderInput) []string {
			return named(account, in.ConfigurationRecorderName)
		}, nil, func(c call, in *configwire.StartConfigurationRecorderInput) (*configwire.StartConfigurationRecorderOutput, error) {
			return &configwire.StartConfigurationRecorderOutput{}, e.recorder.StartRecorder(c, c.grant, c.account, member.Text(in.ConfigurationRecorderName))
		}),
		answer(e, &configwire.StopConfigurationRecorder, api.Write, func(account string, in *configwire.StopConfigurationRecorderInput) []string {
			return named(account, in.ConfigurationRecorderName)
		}, nil, func(c call, in *configwire.StopConfigurationRecorderInput) (*configwire.StopConfigurationRecorderOutput, error) {
			return &configwire.StopConfigurationRecorderOutput{}, e.recorder.StopRecorder(c, c.grant, c.account, member.Text(in.ConfigurationRecorderName))
		}),
		answer(e, &configwire.DeleteConfigurationRecorder, api.Write, func(account string, in *configwire.DeleteConfigurationRecorderInput) []string {
			return named(account, in.ConfigurationRecorderName)
		}, nil, func(c call, in *configwire.DeleteConfigurationRecorderInput) (*configwire.DeleteConfigurationRecorderOutput, error) {
			return &configwire.DeleteConfigurationRecorderOutput{}, e.recorder.DeleteRecorder(c, c.grant, c.account, member.Text(in.ConfigurationRecorderName))
		}),
		answer(e, &configwire.PutDeliveryChannel, api.Write, nil, nil, e.putChannel),
		answer(e, &configwire.DescribeDeliveryChannels, api.List, nil, nil, e.describeChannels),
		answer(e, &configwire.DescribeDeliveryChannelStatus, api.List, nil, nil, e.channelStatus),
		answer(e, &configwire.DeleteDeliveryChannel, api.Write, nil, nil, func(c call, in *configwire.DeleteDeliveryChannelInput) (*configwire.DeleteDeliveryChannelOutput, error) {
			return &configwire.DeleteDeliveryChannelOutput{}, e.recorder.DeleteChannel(c, c.grant, c.account, member.Text(in.DeliveryChannelName))
		}),
		answer(e, &configwire.DeliverConfigSnapshot, api.Read, nil, nil, func(c call, in *configwire.DeliverConfigSnapshotInput) (*configwire.DeliverConfigSnapshotOutput, error) {
			id, err := e.recorder.DeliverSnapshot(c, c.grant, c.account, member.Text(in.DeliveryChannelName))
			return &configwire.DeliverConfigSnapshotOutput{ConfigSnapshotId: member.Given(id)}, err
		}),
	}
}

func (e edge) putRecorder(c call, in *configwire.PutConfigurationRecorderInput) (*configwire.PutConfigurationRecorderOutput, error) {
	r, err := readRecorder(in.ConfigurationRecorder)
	if err != nil {
		return nil, err
	}
	r.Tags = tagsOf(in.Tags)
	if _, err := c.grant.Ask(c, e.passRole(r.RoleARN, "config.amazonaws.com")); err != nil {
		return nil, err
	}
	return &configwire.PutConfigurationRecorderOutput{}, e.recorder.PutRecorder(c, c.grant, c.account, r)
}

func readRecorder(w *configwire.ConfigurationRecorder) (recorder.Recorder, error) {
	if w == nil {
		return recorder.Recorder{}, fault.New(recorder.ValidationError, "A configuration recorder is required.")
	}
	r := recorder.Recorder{Name: member.Text(w.Name), RoleARN: member.Text(w.RoleARN), Group: recorder.Group{AllSupported: true}}
	if m := w.RecordingMode; m != nil && (m.RecordingFrequency != "CONTINUOUS" || len(m.RecordingModeOverrides) > 0) {
		return r, fault.New(recorder.ValidationError, "The recording mode is CONTINUOUS, without overrides: every change is recorded when it is made.")
	}
	if member.Text(w.ServicePrincipal) != "" || w.RecordingScope == "INTERNAL" {
		return r, fault.New(recorder.ValidationError, "A service-linked configuration recorder cannot be put.")
	}
	g := w.RecordingGroup
	if g == nil {
		return r, nil
	}
	r.Group = recorder.Group{AllSupported: member.True(g.AllSupported), IncludeGlobal: member.True(g.IncludeGlobalResourceTypes), Types: names(g.ResourceTypes)}
	if g.ExclusionByResourceTypes != nil {
		r.Group.Except = names(g.ExclusionByResourceTypes.ResourceTypes)
	}
	if g.RecordingStrategy != nil {
		r.Group.Strategy = string(g.RecordingStrategy.UseOnly)
	}
	return r, nil
}

func names[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

func typed(list []string) []configwire.ResourceType {
	return member.Every(list, func(s string) configwire.ResourceType { return configwire.ResourceType(s) })
}

// asked finds the recorder that a request is about: all names must be the recorder's.
func (e edge) asked(c call, action string, wanted []string, arn *string) (*recorder.Recorder, error) {
	r, err := e.recorder.Recorder(c.grant, action, c.account)
	if err != nil {
		return nil, err
	}
	if member.Text(arn) != "" && (r == nil || e.recorder.RecorderARN(c.account, r.Name) != *arn) {
		return nil, fault.New(recorder.NoSuchRecorder, "Cannot find configuration recorder with the specified ARN '"+*arn+"'.")
	}
	for _, name := range wanted {
		if r == nil || r.Name != name {
			return nil, fault.New(recorder.NoSuchRecorder, "Cannot find configuration recorder with the specified name '"+name+"'.")
		}
	}
	return r, nil
}

func (e edge) describeRecorders(c call, in *configwire.DescribeConfigurationRecordersInput) (*configwire.DescribeConfigurationRecordersOutput, error) {
	r, err := e.asked(c, "config:DescribeConfigurationRecorders", in.ConfigurationRecorderNames, in.Arn)
	out := &configwire.DescribeConfigurationRecordersOutput{ConfigurationRecorders: []configwire.ConfigurationRecorder{}}
	if err != nil || r == nil {
		return out, err
	}
	out.ConfigurationRecorders = append(out.ConfigurationRecorders, configwire.ConfigurationRecorder{
		Arn: new(e.recorder.RecorderARN(c.account, r.Name)), Name: &r.Name, RoleARN: &r.RoleARN, RecordingScope: "PAID",
		RecordingMode: &configwire.RecordingMode{RecordingFrequency: "CONTINUOUS"},
		RecordingGroup: &configwire.RecordingGroup{
			AllSupported: &r.Group.AllSupported, IncludeGlobalResourceTypes: &r.Group.IncludeGlobal, ResourceTypes: typed(r.Group.Types),
			ExclusionByResourceTypes: &configwire.ExclusionByResourceTypes{ResourceTypes: typed(r.Group.Except)},
			RecordingStrategy:        &configwire.RecordingStrategy{UseOnly: configwire.RecordingStrategyType(r.Group.Strategy)},
		},
	})
	return out, nil
}

func (e edge) listRecorders(c call, in *configwire.ListConfigurationRecordersInput) (*configwire.ListConfigurationRecordersOutput, error) {
	r, err := e.recorder.Recorder(c.grant, "config:ListConfigurationRecorders", c.account)
	out := &configwire.ListConfigurationRecordersOutput{ConfigurationRecorderSummaries: []configwire.ConfigurationRecorderSummary{}}
	// A recorder here is a customer's own; those of services (INTERNAL) there are none.
	hidden := slices.ContainsFunc(in.Filters, func(f configwire.ConfigurationRecorderFilter) bool { return !slices.Contains(f.FilterValue, "PAID") })
	if err == nil && r != nil && !hidden {
		out.ConfigurationRecorderSummaries = append(out.ConfigurationRecorderSummaries, configwire.ConfigurationRecorderSummary{
			Arn: new(e.recorder.RecorderARN(c.account, r.Name)), Name: &r.Name, RecordingScope: "PAID",
		})
	}
	return out, err
}

func (e edge) recorderStatus(c call, in *configwire.DescribeConfigurationRecorderStatusInput) (*configwire.DescribeConfigurationRecorderStatusOutput, error) {
	r, err := e.asked(c, "config:DescribeConfigurationRecorderStatus", in.ConfigurationRecorderNames, in.Arn)
	out := &configwire.DescribeConfigurationRecorderStatusOutput{ConfigurationRecordersStatus: []configwire.ConfigurationRecorderStatus{}}
	if err != nil || r == nil {
		return out, err
	}
	s := configwire.ConfigurationRecorderStatus{
		Arn: new(e.recorder.RecorderARN(c.account, r.Name)), Name: &r.Name, Recording: &r.Recording,
		LastStartTime: member.At(r.Started), LastStopTime: member.At(r.Stopped), LastStatusChangeTime: member.At(r.Changed),
	}
	switch {
	case r.Baseline:
		s.LastStatus = "PENDING"
	case r.Recording:
		s.LastStatus = "SUCCESS"
	}
	out.ConfigurationRecordersStatus = append(out.ConfigurationRecordersStatus, s)
	return out, nil
}

func (e edge) putChannel(c call, in *configwire.PutDeliveryChannelInput) (*configwire.PutDeliveryChannelOutput, error) {
	w := in.DeliveryChannel
	if w == nil {
		return nil, fault.New(recorder.ValidationError, "A delivery channel is required.")
	}
	ch := recorder.Channel{Name: member.Text(w.Name), Bucket: member.Text(w.S3BucketName), Prefix: member.Text(w.S3KeyPrefix), KMSKey: member.Text(w.S3KmsKeyArn), Topic: member.Text(w.SnsTopicARN)}
	if w.ConfigSnapshotDeliveryProperties != nil {
		ch.Frequency = string(w.ConfigSnapshotDeliveryProperties.DeliveryFrequency)
	}
	return &configwire.PutDeliveryChannelOutput{}, e.recorder.PutChannel(c, c.grant, c.account, ch)
}

func (e edge) channel(c call, action string, wanted []string) (*recorder.Channel, error) {
	ch, err := e.recorder.Channel(c.grant, action, c.account)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(wanted, func(name string) bool { return ch == nil || ch.Name != name }); i >= 0 {
		return nil, fault.New(recorder.NoSuchChannel, "Cannot find delivery channel with specified name '"+wanted[i]+"'.")
	}
	return ch, nil
}

func (e edge) describeChannels(c call, in *configwire.DescribeDeliveryChannelsInput) (*configwire.DescribeDeliveryChannelsOutput, error) {
	ch, err := e.channel(c, "config:DescribeDeliveryChannels", in.DeliveryChannelNames)
	out := &configwire.DescribeDeliveryChannelsOutput{DeliveryChannels: []configwire.DeliveryChannel{}}
	if err != nil || ch == nil {
		return out, err
	}
	w := configwire.DeliveryChannel{Name: &ch.Name, S3BucketName: &ch.Bucket, S3KeyPrefix: member.Given(ch.Prefix), S3KmsKeyArn: member.Given(ch.KMSKey), SnsTopicARN: member.Given(ch.Topic)}
	if ch.Frequency != "" {
		w.ConfigSnapshotDeliveryProperties = &configwire.ConfigSnapshotDeliveryProperties{DeliveryFrequency: configwire.MaximumExecutionFrequency(ch.Frequency)}
	}
	out.DeliveryChannels = append(out.DeliveryChannels, w)
	return out, nil
}

func (e edge) channelStatus(c call, in *configwire.DescribeDeliveryChannelStatusInput) (*configwire.DescribeDeliveryChannelStatusOutput, error) {
	ch, err := e.channel(c, "config:DescribeDeliveryChannelStatus", in.DeliveryChannelNames)
	out := &configwire.DescribeDeliveryChannelStatusOutput{DeliveryChannelsStatus: []configwire.DeliveryChannelStatus{}}
	if err != nil || ch == nil {
		return out, err
	}
	info := &configwire.ConfigExportDeliveryInfo{LastAttemptTime: member.At(ch.Attempted), LastSuccessfulTime: member.At(ch.Delivered), NextDeliveryTime: member.At(ch.SnapshotTime())}
	switch {
	case ch.ErrorCode != "":
		info.LastStatus, info.LastErrorCode, info.LastErrorMessage = "FAILURE", &ch.ErrorCode, &ch.ErrorText
	case !ch.Delivered.IsZero():
		info.LastStatus = "SUCCESS"
	}
	out.DeliveryChannelsStatus = append(out.DeliveryChannelsStatus, configwire.DeliveryChannelStatus{Name: &ch.Name, ConfigSnapshotDeliveryInfo: info})
	return out, nil
}
