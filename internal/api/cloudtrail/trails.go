package cloudtrail

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/cloudtrailwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
)

func (e edge) trailOps() []*api.Op {
	return []*api.Op{
		answer(e, &cloudtrailwire.CreateTrail, api.Write,
			func(in *cloudtrailwire.CreateTrailInput) *string { return in.Name },
			func(in *cloudtrailwire.CreateTrailInput) authz.Keys { return bringing(in.TagsList) }, e.createTrail),
		answer(e, &cloudtrailwire.UpdateTrail, api.Write, func(in *cloudtrailwire.UpdateTrailInput) *string { return in.Name }, nil, e.updateTrail),
		answer(e, &cloudtrailwire.DeleteTrail, api.Write, func(in *cloudtrailwire.DeleteTrailInput) *string { return in.Name }, nil, e.deleteTrail),
		answer(e, &cloudtrailwire.GetTrail, api.Read, func(in *cloudtrailwire.GetTrailInput) *string { return in.Name }, nil, e.getTrail),
		answer(e, &cloudtrailwire.DescribeTrails, api.Read, nil, nil, e.describeTrails),
		answer(e, &cloudtrailwire.ListTrails, api.List, nil, nil, e.listTrails),
	}
}

var keyPattern = regexp.MustCompile(`^(arn:aws:kms:[a-z0-9-]+:[0-9]{12}:(key/[A-Za-z0-9-]+|alias/[A-Za-z0-9/_-]+)|alias/[A-Za-z0-9/_-]+|[A-Za-z0-9-]{36}|mrk-[a-z0-9]+)$`)

// unsupported refuses what Kura has no service for.
func unsupported(organization *bool) error {
	if member.True(organization) {
		return fault.New(trail.Unsupported, "Kura has no organization trails.")
	}
	return nil
}

// topicARN is the topic that a request names, by its name or its ARN.
func (e edge) topicARN(account string, topic *string) string {
	name := member.Text(topic)
	if name == "" || strings.HasPrefix(name, "arn:") {
		return name
	}
	return "arn:aws:sns:" + e.region + ":" + account + ":" + name
}

func checkKey(id string) error {
	if id != "" && !keyPattern.MatchString(id) {
		return fault.New(trail.InvalidKey, "The KMS key ID is invalid: "+id)
	}
	return nil
}

func (e edge) createTrail(ctx context.Context, g authz.Grant, in *cloudtrailwire.CreateTrailInput) (*cloudtrailwire.CreateTrailOutput, error) {
	if strings.HasPrefix(member.Text(in.Name), "arn:") {
		return nil, fault.New(trail.InvalidName, "Trail name cannot be an ARN.")
	}
	if err := unsupported(in.IsOrganizationTrail); err != nil {
		return nil, err
	}
	if err := checkKey(member.Text(in.KmsKeyId)); err != nil {
		return nil, err
	}
	if err := e.pass(ctx, g, in.CloudWatchLogsRoleArn); err != nil {
		return nil, err
	}
	t, err := e.trails.Create(ctx, g, trail.Trail{
		Topic:    e.topicARN(g.Principal().Account, in.SnsTopicName),
		LogGroup: member.Text(in.CloudWatchLogsLogGroupArn), LogRole: member.Text(in.CloudWatchLogsRoleArn),
		Name: member.Text(in.Name), Account: g.Principal().Account, Region: e.region, Bucket: member.Text(in.S3BucketName), Prefix: member.Text(in.S3KeyPrefix),
		KMSKey: member.Text(in.KmsKeyId), GlobalEvents: in.IncludeGlobalServiceEvents == nil || *in.IncludeGlobalServiceEvents,
		MultiRegion: member.True(in.IsMultiRegionTrail), Validation: member.True(in.EnableLogFileValidation), Tags: tagsOf(in.TagsList),
	})
	if err != nil {
		return nil, err
	}
	shown := show(t)
	return &cloudtrailwire.CreateTrailOutput{
		Name: shown.Name, S3BucketName: shown.S3BucketName, S3KeyPrefix: shown.S3KeyPrefix, IncludeGlobalServiceEvents: shown.IncludeGlobalServiceEvents,
		IsMultiRegionTrail: shown.IsMultiRegionTrail, TrailARN: shown.TrailARN, LogFileValidationEnabled: shown.LogFileValidationEnabled,
		KmsKeyId: shown.KmsKeyId, IsOrganizationTrail: shown.IsOrganizationTrail,
		SnsTopicName: shown.SnsTopicName, SnsTopicARN: shown.SnsTopicARN,
		CloudWatchLogsLogGroupArn: shown.CloudWatchLogsLogGroupArn, CloudWatchLogsRoleArn: shown.CloudWatchLogsRoleArn,
	}, nil
}

// set changes what a request gives.
func set[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

func (e edge) updateTrail(ctx context.Context, g authz.Grant, in *cloudtrailwire.UpdateTrailInput) (*cloudtrailwire.UpdateTrailOutput, error) {
	if err := unsupported(in.IsOrganizationTrail); err != nil {
		return nil, err
	}
	if err := checkKey(member.Text(in.KmsKeyId)); err != nil {
		return nil, err
	}
	old, err := e.trailOf(g, in.Name)
	if err != nil {
		return nil, err
	}
	if role := member.Text(in.CloudWatchLogsRoleArn); role != old.LogRole {
		if err := e.pass(ctx, g, in.CloudWatchLogsRoleArn); err != nil {
			return nil, err
		}
	}
	t, err := e.trails.Update(ctx, g, "cloudtrail:UpdateTrail", old.ARN(), func(t *trail.Trail) error {
		if in.SnsTopicName != nil {
			t.Topic = e.topicARN(t.Account, in.SnsTopicName)
		}
		set(&t.LogGroup, in.CloudWatchLogsLogGroupArn)
		set(&t.LogRole, in.CloudWatchLogsRoleArn)
		set(&t.Bucket, in.S3BucketName)
		set(&t.Prefix, in.S3KeyPrefix)
		set(&t.KMSKey, in.KmsKeyId)
		set(&t.GlobalEvents, in.IncludeGlobalServiceEvents)
		set(&t.MultiRegion, in.IsMultiRegionTrail)
		set(&t.Validation, in.EnableLogFileValidation)
		return nil
	})
	if err != nil {
		return nil, err
	}
	shown := show(t)
	return &cloudtrailwire.UpdateTrailOutput{
		Name: shown.Name, S3BucketName: shown.S3BucketName, S3KeyPrefix: shown.S3KeyPrefix, IncludeGlobalServiceEvents: shown.IncludeGlobalServiceEvents,
		IsMultiRegionTrail: shown.IsMultiRegionTrail, TrailARN: shown.TrailARN, LogFileValidationEnabled: shown.LogFileValidationEnabled,
		KmsKeyId: shown.KmsKeyId, IsOrganizationTrail: shown.IsOrganizationTrail,
		SnsTopicName: shown.SnsTopicName, SnsTopicARN: shown.SnsTopicARN,
		CloudWatchLogsLogGroupArn: shown.CloudWatchLogsLogGroupArn, CloudWatchLogsRoleArn: shown.CloudWatchLogsRoleArn,
	}, nil
}

func show(t *trail.Trail) cloudtrailwire.Trail {
	no := false
	return cloudtrailwire.Trail{
		Name: new(t.Name), S3BucketName: new(t.Bucket), S3KeyPrefix: member.Given(t.Prefix), IncludeGlobalServiceEvents: new(t.GlobalEvents),
		IsMultiRegionTrail: new(t.MultiRegion), HomeRegion: new(t.Region), TrailARN: new(t.ARN()), LogFileValidationEnabled: new(t.Validation),
		SnsTopicName: member.Given(t.Topic[strings.LastIndexByte(t.Topic, ':')+1:]), SnsTopicARN: member.Given(t.Topic),
		CloudWatchLogsLogGroupArn: member.Given(t.LogGroup), CloudWatchLogsRoleArn: member.Given(t.LogRole),
		KmsKeyId: member.Given(t.KMSKey), HasCustomEventSelectors: new(len(t.Selectors)+len(t.Advanced) > 0), HasInsightSelectors: &no, IsOrganizationTrail: &no,
	}
}

// pass asks whether the caller may give CloudTrail the role.
func (e edge) pass(ctx context.Context, g authz.Grant, role *string) error {
	if member.Text(role) == "" {
		return nil
	}
	if !roleARN.MatchString(*role) {
		return fault.New(trail.InvalidLogRole, "CloudTrail cannot validate the specified role ARN.")
	}
	_, err := g.Ask(ctx, e.passRole(*role, trail.Service))
	return err
}

var roleARN = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:role/[\x21-\x7e]+$`)

// concluded is the answer of an operation that ends a trail's logging: the trail gets its record too.
type concluded[Out any] struct {
	out      Out
	conclude trail.Conclusion
}

// Respond is called when the request is on record.
func (a *concluded[Out]) Respond(c *api.Call) error {
	if a.conclude != nil {
		a.conclude(c.R.Context())
	}
	return c.Service.Succeed(c, &a.out)
}

func (e edge) deleteTrail(ctx context.Context, g authz.Grant, in *cloudtrailwire.DeleteTrailInput) (*concluded[cloudtrailwire.DeleteTrailOutput], error) {
	t, err := e.trailOf(g, in.Name)
	if err != nil {
		return nil, err
	}
	conclude, err := e.trails.Delete(ctx, g, t.ARN())
	return &concluded[cloudtrailwire.DeleteTrailOutput]{conclude: conclude}, err
}

func (e edge) getTrail(_ context.Context, g authz.Grant, in *cloudtrailwire.GetTrailInput) (*cloudtrailwire.GetTrailOutput, error) {
	t, err := e.trailOf(g, in.Name)
	if err != nil {
		return nil, err
	}
	if err := g.Require("cloudtrail:GetTrail", t.ARN()); err != nil {
		return nil, err
	}
	return &cloudtrailwire.GetTrailOutput{Trail: new(show(t))}, nil
}

// describeTrails leaves out what is not there, as AWS does.
func (e edge) describeTrails(ctx context.Context, g authz.Grant, in *cloudtrailwire.DescribeTrailsInput) (*cloudtrailwire.DescribeTrailsOutput, error) {
	own, err := e.trails.Trails(ctx, g, "cloudtrail:DescribeTrails", g.Principal().Account)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, name := range in.TrailNameList {
		arn, err := e.arn(g.Principal().Account, &name)
		if err != nil {
			return nil, err
		}
		wanted[arn] = true
	}
	out := &cloudtrailwire.DescribeTrailsOutput{TrailList: []cloudtrailwire.Trail{}}
	for _, t := range own {
		if len(wanted) == 0 || wanted[t.ARN()] {
			out.TrailList = append(out.TrailList, show(t))
		}
	}
	return out, nil
}

func (e edge) listTrails(ctx context.Context, g authz.Grant, _ *cloudtrailwire.ListTrailsInput) (*cloudtrailwire.ListTrailsOutput, error) {
	own, err := e.trails.Trails(ctx, g, "cloudtrail:ListTrails", g.Principal().Account)
	if err != nil {
		return nil, err
	}
	return &cloudtrailwire.ListTrailsOutput{Trails: member.Every(own, func(t *trail.Trail) cloudtrailwire.TrailInfo {
		return cloudtrailwire.TrailInfo{TrailARN: new(t.ARN()), Name: new(t.Name), HomeRegion: new(t.Region)}
	})}, nil
}

func (e edge) statusOps() []*api.Op {
	return []*api.Op{
		answer(e, &cloudtrailwire.StartLogging, api.Write, func(in *cloudtrailwire.StartLoggingInput) *string { return in.Name }, nil,
			func(ctx context.Context, g authz.Grant, in *cloudtrailwire.StartLoggingInput) (*cloudtrailwire.StartLoggingOutput, error) {
				t, err := e.trailOf(g, in.Name)
				if err != nil {
					return nil, err
				}
				return &cloudtrailwire.StartLoggingOutput{}, e.trails.Start(ctx, g, t.ARN())
			}),
		answer(e, &cloudtrailwire.StopLogging, api.Write, func(in *cloudtrailwire.StopLoggingInput) *string { return in.Name }, nil,
			func(ctx context.Context, g authz.Grant, in *cloudtrailwire.StopLoggingInput) (*concluded[cloudtrailwire.StopLoggingOutput], error) {
				t, err := e.trailOf(g, in.Name)
				if err != nil {
					return nil, err
				}
				conclude, err := e.trails.Stop(ctx, g, t.ARN())
				return &concluded[cloudtrailwire.StopLoggingOutput]{conclude: conclude}, err
			}),
		answer(e, &cloudtrailwire.GetTrailStatus, api.Read, func(in *cloudtrailwire.GetTrailStatusInput) *string { return in.Name }, nil, e.getTrailStatus),
	}
}

func (e edge) getTrailStatus(ctx context.Context, g authz.Grant, in *cloudtrailwire.GetTrailStatusInput) (*cloudtrailwire.GetTrailStatusOutput, error) {
	t, err := e.trailOf(g, in.Name)
	if err != nil {
		return nil, err
	}
	st, err := e.trails.State(ctx, g, t)
	if err != nil {
		return nil, err
	}
	logs := e.trails.LogState(t)
	return &cloudtrailwire.GetTrailStatusOutput{
		LatestCloudWatchLogsDeliveryTime: member.At(logs.Delivered), LatestCloudWatchLogsDeliveryError: member.Given(logs.Error),
		IsLogging: new(t.Logging), LatestDeliveryError: member.Given(st.Error), LatestDeliveryTime: member.At(st.Delivered),
		StartLoggingTime: member.At(t.Started), StopLoggingTime: member.At(t.Stopped),
		LatestDigestDeliveryTime: member.At(st.Digest.Delivered), LatestDigestDeliveryError: member.Given(st.Digest.Error),
		LatestDeliveryAttemptTime: new(told(st.Attempted)), LatestNotificationAttemptTime: new(""), LatestNotificationAttemptSucceeded: new(""),
		LatestDeliveryAttemptSucceeded: new(told(st.Succeeded)), TimeLoggingStarted: new(told(t.Started)), TimeLoggingStopped: new(told(t.Stopped)),
	}, nil
}

func told(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
