package events

import (
	"context"
	"encoding/json"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

func (e edge) rules() []*api.Op {
	return []*api.Op{
		answer(&eventswire.PutRule, api.Write, e.putRuleDemands, e.putRule),
		answer(&eventswire.DescribeRule, api.Read, func(account string, in *eventswire.DescribeRuleInput) ([]authz.Demand, error) {
			return e.onRule("DescribeRule", account, in.EventBusName, in.Name, keys{})
		}, e.describeRule),
		answer(&eventswire.EnableRule, api.Write, func(account string, in *eventswire.EnableRuleInput) ([]authz.Demand, error) {
			return e.onRule("EnableRule", account, in.EventBusName, in.Name, keys{})
		}, e.enableRule),
		answer(&eventswire.DisableRule, api.Write, func(account string, in *eventswire.DisableRuleInput) ([]authz.Demand, error) {
			return e.onRule("DisableRule", account, in.EventBusName, in.Name, keys{})
		}, e.disableRule),
		answer(&eventswire.DeleteRule, api.Write, func(account string, in *eventswire.DeleteRuleInput) ([]authz.Demand, error) {
			return e.onRule("DeleteRule", account, in.EventBusName, in.Name, keys{})
		}, e.deleteRule),
		answer(&eventswire.ListRules, api.List, everywhere[eventswire.ListRulesInput]("ListRules"), e.listRules),
		answer(&eventswire.ListRuleNamesByTarget, api.List, everywhere[eventswire.ListRuleNamesByTargetInput]("ListRuleNamesByTarget"), e.listRuleNamesByTarget),
		answer(&eventswire.TestEventPattern, api.Read, everywhere[eventswire.TestEventPatternInput]("TestEventPattern"), e.testEventPattern),
		answer(&eventswire.ListTagsForResource, api.List, func(account string, in *eventswire.ListTagsForResourceInput) ([]authz.Demand, error) {
			return on("ListTagsForResource", account, member.Text(in.ResourceARN), e.bearing(keys{}, member.Text(in.ResourceARN))), e.mine(account, in.ResourceARN)
		}, e.listTagsForResource),
		answer(&eventswire.TagResource, api.Tagging, func(account string, in *eventswire.TagResourceInput) ([]authz.Demand, error) {
			return on("TagResource", account, member.Text(in.ResourceARN), e.bearing(brought(in.Tags), member.Text(in.ResourceARN))), e.mine(account, in.ResourceARN)
		}, e.tagResource),
		answer(&eventswire.UntagResource, api.Tagging, func(account string, in *eventswire.UntagResourceInput) ([]authz.Demand, error) {
			return on("UntagResource", account, member.Text(in.ResourceARN), e.bearing(authz.TagKeys(in.TagKeys), member.Text(in.ResourceARN))), e.mine(account, in.ResourceARN)
		}, e.untagResource),
	}
}

// mine refuses ARNs of other accounts: tags are the owner's.
func (e edge) mine(account string, arn *string) error {
	owner, err := e.events.Owner(member.Text(arn))
	if err == nil && owner != account {
		return fault.New(authz.Denied, "")
	}
	return err
}

// onRule demands an action on a rule, whose creator is a condition key.
func (e edge) onRule(action, account string, busName, name *string, k keys) ([]authz.Demand, error) {
	owner, bus, err := e.events.BusName(account, member.Text(busName))
	if err != nil {
		return nil, err
	}
	arn := e.events.RuleARN(owner, bus, member.Text(name))
	if r, err := e.events.Rule(owner, bus, member.Text(name)); err == nil {
		k["events:creatoraccount"] = policy.Values{One: r.CreatedBy}
	}
	resource := authz.Resource{ARN: arn, Account: owner}
	if owner != account {
		resource = e.events.BusResource(owner, bus)
		resource.ARN = arn
	}
	return []authz.Demand{{Action: "events:" + action, Resource: resource, Keys: e.bearing(k, arn)}}, nil
}

func (e edge) putRuleDemands(account string, in *eventswire.PutRuleInput) ([]authz.Demand, error) {
	k := keys{}
	var p struct {
		Source     []any `json:"source"`
		DetailType []any `json:"detail-type"`
	}
	if json.Unmarshal([]byte(member.Text(in.EventPattern)), &p) == nil {
		k.many("events:source", plain(p.Source)).many("events:detail-type", plain(p.DetailType))
	}
	demands, err := e.onRule("PutRule", account, in.EventBusName, in.Name, k)
	if err != nil {
		return nil, err
	}
	if len(in.Tags) > 0 {
		demands[0].Keys = authz.Either{demands[0].Keys, brought(in.Tags)}
		demands = append(demands, authz.Demand{Action: "events:TagResource", Resource: demands[0].Resource, Keys: demands[0].Keys})
	}
	return passing(demands, account, in.RoleArn)
}

// plain are those of the values that are strings.
func plain(values []any) (out []string) {
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func (e edge) putRule(ctx context.Context, g authz.Grant, account string, in *eventswire.PutRuleInput) (*eventswire.PutRuleOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	r, err := e.events.PutRule(ctx, g, event.RuleSpec{
		Account: owner, Bus: bus, Name: member.Text(in.Name), Pattern: member.Text(in.EventPattern), Schedule: member.Text(in.ScheduleExpression),
		State: string(in.State), Description: member.Text(in.Description), Role: member.Text(in.RoleArn), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &eventswire.PutRuleOutput{RuleArn: &r.ARN}, nil
}

func (e edge) describeRule(ctx context.Context, g authz.Grant, account string, in *eventswire.DescribeRuleInput) (*eventswire.DescribeRuleOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	r, err := e.events.DescribeRule(ctx, g, owner, bus, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	return &eventswire.DescribeRuleOutput{
		Name: &r.Name, Arn: &r.ARN, EventPattern: member.Given(r.Pattern), ScheduleExpression: member.Given(r.Schedule), State: eventswire.RuleState(r.State),
		Description: member.Given(r.Description), RoleArn: member.Given(r.Role), EventBusName: &r.Bus, CreatedBy: member.Given(r.CreatedBy),
	}, nil
}

func (e edge) enableRule(ctx context.Context, g authz.Grant, account string, in *eventswire.EnableRuleInput) (*eventswire.EnableRuleOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	return &eventswire.EnableRuleOutput{}, e.events.EnableRule(ctx, g, owner, bus, member.Text(in.Name))
}

func (e edge) disableRule(ctx context.Context, g authz.Grant, account string, in *eventswire.DisableRuleInput) (*eventswire.DisableRuleOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	return &eventswire.DisableRuleOutput{}, e.events.DisableRule(ctx, g, owner, bus, member.Text(in.Name))
}

func (e edge) deleteRule(ctx context.Context, g authz.Grant, account string, in *eventswire.DeleteRuleInput) (*eventswire.DeleteRuleOutput, error) {
	owner, bus, err := e.events.BusName(account, member.Text(in.EventBusName))
	if err != nil {
		return nil, err
	}
	return &eventswire.DeleteRuleOutput{}, e.events.DeleteRule(ctx, g, owner, bus, member.Text(in.Name))
}

func (e edge) listRules(ctx context.Context, g authz.Grant, account string, in *eventswire.ListRulesInput) (*eventswire.ListRulesOutput, error) {
	bus, err := e.ownBus(account, in.EventBusName)
	if err != nil {
		return nil, err
	}
	l, err := e.events.ListRules(ctx, g, account, bus, page(in.NamePrefix, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListRulesOutput{NextToken: member.Given(l.Next), Rules: member.Every(l.Items, func(r *event.Rule) eventswire.Rule {
		return eventswire.Rule{
			Name: &r.Name, Arn: &r.ARN, EventPattern: member.Given(r.Pattern), ScheduleExpression: member.Given(r.Schedule), State: eventswire.RuleState(r.State),
			Description: member.Given(r.Description), RoleArn: member.Given(r.Role), EventBusName: &r.Bus,
		}
	})}, nil
}

// ownBus is a bus of the caller's account: lists do not go beyond it.
func (e edge) ownBus(account string, name *string) (string, error) {
	owner, bus, err := e.events.BusName(account, member.Text(name))
	if err == nil && owner != account {
		return "", fault.New(authz.Denied, "")
	}
	return bus, err
}

func (e edge) listRuleNamesByTarget(ctx context.Context, g authz.Grant, account string, in *eventswire.ListRuleNamesByTargetInput) (*eventswire.ListRuleNamesByTargetOutput, error) {
	bus, err := e.ownBus(account, in.EventBusName)
	if err != nil {
		return nil, err
	}
	l, err := e.events.ListRuleNamesByTarget(ctx, g, account, bus, member.Text(in.TargetArn), page(nil, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListRuleNamesByTargetOutput{NextToken: member.Given(l.Next), RuleNames: member.Every(l.Items, func(r *event.Rule) string { return r.Name })}, nil
}

// envelope are the members that an event for TestEventPattern must have.
var envelope = []string{"id", "account", "source", "time", "region", "resources", "detail-type"}

func (e edge) testEventPattern(_ context.Context, g authz.Grant, _ string, in *eventswire.TestEventPatternInput) (*eventswire.TestEventPatternOutput, error) {
	if err := g.Require("events:TestEventPattern", "*"); err != nil {
		return nil, err
	}
	p, err := pattern.Compile([]byte(member.Text(in.EventPattern)))
	if err != nil {
		return nil, err
	}
	value, err := pattern.Decode([]byte(member.Text(in.Event)))
	document, ok := value.(map[string]any)
	if err != nil || !ok {
		return nil, fault.New(event.Invalid, "Parameter Event is not valid.")
	}
	for _, name := range envelope {
		if _, ok := document[name]; !ok {
			return nil, fault.New(event.Invalid, "Parameter Event is not valid.")
		}
	}
	return &eventswire.TestEventPatternOutput{Result: new(p.Matches(document))}, nil
}

func (e edge) listTagsForResource(ctx context.Context, g authz.Grant, _ string, in *eventswire.ListTagsForResourceInput) (*eventswire.ListTagsForResourceOutput, error) {
	tags, err := e.events.ListTagsForResource(ctx, g, member.Text(in.ResourceARN))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListTagsForResourceOutput{Tags: member.Every(tags, func(t event.Tag) eventswire.Tag {
		return eventswire.Tag{Key: &t.Key, Value: &t.Value}
	})}, nil
}

func (e edge) tagResource(ctx context.Context, g authz.Grant, _ string, in *eventswire.TagResourceInput) (*eventswire.TagResourceOutput, error) {
	return &eventswire.TagResourceOutput{}, e.events.Tag(ctx, g, member.Text(in.ResourceARN), tagsOf(in.Tags))
}

func (e edge) untagResource(ctx context.Context, g authz.Grant, _ string, in *eventswire.UntagResourceInput) (*eventswire.UntagResourceOutput, error) {
	return &eventswire.UntagResourceOutput{}, e.events.Untag(ctx, g, member.Text(in.ResourceARN), in.TagKeys)
}
