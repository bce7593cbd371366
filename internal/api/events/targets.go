package events

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
)

func (e edge) targets() []*api.Op {
	return []*api.Op{
		answer(&eventswire.PutTargets, api.Write, e.putTargetsDemands, e.putTargets),
		answer(&eventswire.RemoveTargets, api.Write, func(account string, in *eventswire.RemoveTargetsInput) ([]authz.Demand, error) {
			return e.onRule("RemoveTargets", account, in.EventBusName, in.Rule, keys{})
		}, e.removeTargets),
		answer(&eventswire.ListTargetsByRule, api.List, func(account string, in *eventswire.ListTargetsByRuleInput) ([]authz.Demand, error) {
			return e.onRule("ListTargetsByRule", account, in.EventBusName, in.Rule, keys{})
		}, e.listTargetsByRule),
	}
}

// sending is the action that sending to a kind of target takes, for targets that have no role of their
// own: then who puts the target must have it.
var sending = map[string]string{
	event.KindDestination: "events:InvokeApiDestination",
	event.KindBus:         "events:PutEvents",
	"sqs":                 "sqs:SendMessage",
	"sns":                 "sns:Publish",
	"lambda":              "lambda:InvokeFunction",
	"logs":                "logs:PutLogEvents",
}

func (e edge) putTargetsDemands(account string, in *eventswire.PutTargetsInput) ([]authz.Demand, error) {
	k := keys{}
	for _, t := range in.Targets {
		k.many("events:targetarn", append(k["events:targetarn"].Many, member.Text(t.Arn)))
	}
	demands, err := e.onRule("PutTargets", account, in.EventBusName, in.Rule, k)
	if err != nil {
		return nil, err
	}
	owner := demands[0].Resource.Account
	for i := range in.Targets {
		t := &in.Targets[i]
		if demands, err = passing(demands, account, t.RoleArn); err != nil {
			return nil, err
		}
		if member.Text(t.RoleArn) == "" {
			demands = append(demands, e.sendingTo(owner, member.Text(t.Arn))...)
		}
	}
	return demands, nil
}

// sendingTo demands that the caller may send to a target itself. Who sends then is the account that owns
// the rule, so the target counts as that account's: somebody else who may write its rules gets no further
// through them. A bus of a third account decides by its policy when an event comes.
func (e edge) sendingTo(account, arn string) []authz.Demand {
	kind := event.KindOf(arn)
	action, ok := sending[kind]
	if !ok {
		return nil
	}
	owner := account
	if kind == event.KindBus {
		var name string
		var err error
		if owner, name, err = e.events.BusName(account, arn); err != nil || owner != account {
			return nil
		}
		return []authz.Demand{{Action: action, Resource: e.events.BusResource(owner, name)}}
	}
	return []authz.Demand{{Action: action, Resource: authz.Resource{ARN: arn, Account: owner}}}
}

func (e edge) putTargets(ctx context.Context, g authz.Grant, account string, in *eventswire.PutTargetsInput) (*eventswire.PutTargetsOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	var targets []event.RuleTarget
	for i := range in.Targets {
		t, err := readTarget(&in.Targets[i])
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	failed, err := e.events.PutTargets(ctx, g, owner, bus, member.Text(in.Rule), targets)
	if err != nil {
		return nil, err
	}
	return &eventswire.PutTargetsOutput{FailedEntryCount: new(int32(len(failed))), FailedEntries: member.Every(failed, func(f event.FailedTarget) eventswire.PutTargetsResultEntry {
		return eventswire.PutTargetsResultEntry{TargetId: &f.ID, ErrorCode: &f.Code, ErrorMessage: &f.Message}
	})}, nil
}

func readTarget(t *eventswire.Target) (event.RuleTarget, error) {
	if err := unsupported(map[string]bool{
		"KinesisParameters": t.KinesisParameters != nil, "RunCommandParameters": t.RunCommandParameters != nil, "EcsParameters": t.EcsParameters != nil,
		"BatchParameters": t.BatchParameters != nil, "RedshiftDataParameters": t.RedshiftDataParameters != nil,
		"SageMakerPipelineParameters": t.SageMakerPipelineParameters != nil, "AppSyncParameters": t.AppSyncParameters != nil,
	}); err != nil {
		return event.RuleTarget{}, err
	}
	out := event.RuleTarget{ID: member.Text(t.Id), ARN: member.Text(t.Arn), Role: member.Text(t.RoleArn), Input: t.Input, InputPath: t.InputPath}
	if d := deadLetter(t.DeadLetterConfig); d != nil {
		out.DeadLetter = *d
	}
	if r := t.RetryPolicy; r != nil {
		out.MaxAge, out.MaxRetries = r.MaximumEventAgeInSeconds, r.MaximumRetryAttempts
	}
	if x := t.InputTransformer; x != nil {
		out.Transformer = &event.Transformer{Paths: x.InputPathsMap, Template: member.Text(x.InputTemplate)}
	}
	if h := t.HttpParameters; h != nil {
		out.HTTP = &event.HTTP{Path: h.PathParameterValues, Headers: h.HeaderParameters, Query: h.QueryStringParameters}
	}
	if q := t.SqsParameters; q != nil {
		out.MessageGroup = member.Text(q.MessageGroupId)
	}
	return out, nil
}

func showTarget(t event.RuleTarget) eventswire.Target {
	out := eventswire.Target{
		Id: &t.ID, Arn: &t.ARN, RoleArn: member.Given(t.Role), Input: t.Input, InputPath: t.InputPath, DeadLetterConfig: showDeadLetter(t.DeadLetter),
	}
	if t.MaxAge != nil || t.MaxRetries != nil {
		out.RetryPolicy = &eventswire.RetryPolicy{MaximumEventAgeInSeconds: t.MaxAge, MaximumRetryAttempts: t.MaxRetries}
	}
	if x := t.Transformer; x != nil {
		out.InputTransformer = &eventswire.InputTransformer{InputPathsMap: x.Paths, InputTemplate: &x.Template}
	}
	if h := t.HTTP; h != nil {
		out.HttpParameters = &eventswire.HttpParameters{PathParameterValues: h.Path, HeaderParameters: h.Headers, QueryStringParameters: h.Query}
	}
	if t.MessageGroup != "" {
		out.SqsParameters = &eventswire.SqsParameters{MessageGroupId: &t.MessageGroup}
	}
	return out
}

func (e edge) removeTargets(ctx context.Context, g authz.Grant, account string, in *eventswire.RemoveTargetsInput) (*eventswire.RemoveTargetsOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	failed, err := e.events.RemoveTargets(ctx, g, owner, bus, member.Text(in.Rule), in.Ids)
	if err != nil {
		return nil, err
	}
	return &eventswire.RemoveTargetsOutput{FailedEntryCount: new(int32(len(failed))), FailedEntries: member.Every(failed, func(f event.FailedTarget) eventswire.RemoveTargetsResultEntry {
		return eventswire.RemoveTargetsResultEntry{TargetId: &f.ID, ErrorCode: &f.Code, ErrorMessage: &f.Message}
	})}, nil
}

func (e edge) listTargetsByRule(ctx context.Context, g authz.Grant, account string, in *eventswire.ListTargetsByRuleInput) (*eventswire.ListTargetsByRuleOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	l, err := e.events.ListTargetsByRule(ctx, g, owner, bus, member.Text(in.Rule), page(nil, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListTargetsByRuleOutput{Targets: member.Every(l.Items, showTarget), NextToken: member.Given(l.Next)}, nil
}
