package configservice

import (
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/configwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/recorder"
)

func (e edge) rules() []*api.Op {
	one := func(account string, name *string) []string {
		return []string{e.recorder.RuleARN(account, member.Text(name))}
	}
	return []*api.Op{
		answer(e, &configwire.PutConfigRule, api.Write, func(account string, in *configwire.PutConfigRuleInput) []string {
			switch r := in.ConfigRule; {
			case r == nil:
				return nil
			case member.Text(r.ConfigRuleArn) != "":
				return []string{*r.ConfigRuleArn}
			case member.Text(r.ConfigRuleId) != "":
				return []string{strings.TrimSuffix(e.recorder.RuleARN(account, ""), "*") + *r.ConfigRuleId}
			default:
				return one(account, r.ConfigRuleName)
			}
		}, func(in *configwire.PutConfigRuleInput) authz.Keys { return authz.RequestTags(tagsOf(in.Tags)) }, e.putRule),
		answer(e, &configwire.DescribeConfigRules, api.List, nil, nil, e.describeRules),
		answer(e, &configwire.DescribeConfigRuleEvaluationStatus, api.List, func(account string, in *configwire.DescribeConfigRuleEvaluationStatusInput) []string {
			return e.ruleARNs(account, in.ConfigRuleNames)
		}, nil, e.ruleStatus),
		answer(e, &configwire.DeleteConfigRule, api.Write, func(account string, in *configwire.DeleteConfigRuleInput) []string {
			return one(account, in.ConfigRuleName)
		}, nil, func(c call, in *configwire.DeleteConfigRuleInput) (*configwire.DeleteConfigRuleOutput, error) {
			return &configwire.DeleteConfigRuleOutput{}, e.recorder.DeleteRule(c, c.grant, c.account, member.Text(in.ConfigRuleName))
		}),
		answer(e, &configwire.DeleteEvaluationResults, api.Write, func(account string, in *configwire.DeleteEvaluationResultsInput) []string {
			return one(account, in.ConfigRuleName)
		}, nil, func(c call, in *configwire.DeleteEvaluationResultsInput) (*configwire.DeleteEvaluationResultsOutput, error) {
			return &configwire.DeleteEvaluationResultsOutput{}, e.recorder.DeleteResults(c, c.grant, c.account, member.Text(in.ConfigRuleName))
		}),
		answer(e, &configwire.StartConfigRulesEvaluation, api.Write, func(account string, in *configwire.StartConfigRulesEvaluationInput) []string {
			return e.ruleARNs(account, in.ConfigRuleNames)
		}, nil, func(c call, in *configwire.StartConfigRulesEvaluationInput) (*configwire.StartConfigRulesEvaluationOutput, error) {
			return &configwire.StartConfigRulesEvaluationOutput{}, e.recorder.StartEvaluation(c, c.grant, c.account, in.ConfigRuleNames)
		}),
	}
}

func (e edge) ruleARNs(account string, names []string) []string {
	var arns []string
	for _, name := range names {
		arns = append(arns, e.recorder.RuleARN(account, name))
	}
	return arns
}

func (e edge) putRule(c call, in *configwire.PutConfigRuleInput) (*configwire.PutConfigRuleOutput, error) {
	r, err := readRule(in.ConfigRule)
	if err != nil {
		return nil, err
	}
	r.Tags = tagsOf(in.Tags)
	return &configwire.PutConfigRuleOutput{}, e.recorder.PutRule(c, c.grant, c.account, r)
}

func badRule(why string) error { return fault.New(recorder.InvalidParameter, why) }

func readRule(w *configwire.ConfigRule) (recorder.Rule, error) {
	if w == nil || w.Source == nil {
		return recorder.Rule{}, badRule("A rule with a source is required.")
	}
	r := recorder.Rule{
		Name: member.Text(w.ConfigRuleName), ID: member.Text(w.ConfigRuleId), ARN: member.Text(w.ConfigRuleArn), Description: member.Text(w.Description),
		Identifier: member.Text(w.Source.SourceIdentifier), Input: member.Text(w.InputParameters), Frequency: string(w.MaximumExecutionFrequency),
	}
	switch {
	case w.Source.Owner != "AWS":
		return r, badRule("The owner of the source is " + string(w.Source.Owner) + "; Kura has the rules of the owner AWS.")
	case len(w.Source.SourceDetails) > 0 || w.Source.CustomPolicyDetails != nil:
		return r, badRule("SourceDetails and CustomPolicyDetails are not applicable when the owner is AWS.")
	case w.ConfigRuleState != "" && w.ConfigRuleState != "ACTIVE":
		return r, badRule("The state of a rule that is put is ACTIVE.")
	}
	for _, m := range w.EvaluationModes {
		if m.Mode != "DETECTIVE" {
			return r, badRule("The evaluation mode " + string(m.Mode) + " is not supported for the rule.")
		}
	}
	if s := w.Scope; s != nil {
		r.Scope = &recorder.Scope{Types: s.ComplianceResourceTypes, TagKey: member.Text(s.TagKey), TagValue: member.Text(s.TagValue), ResourceID: member.Text(s.ComplianceResourceId)}
	}
	return r, nil
}

func showRule(r *recorder.Rule) configwire.ConfigRule {
	w := configwire.ConfigRule{
		ConfigRuleName: &r.Name, ConfigRuleArn: &r.ARN, ConfigRuleId: &r.ID, Description: member.Given(r.Description),
		Source:          &configwire.Source{Owner: "AWS", SourceIdentifier: &r.Identifier},
		InputParameters: member.Given(r.Input), MaximumExecutionFrequency: configwire.MaximumExecutionFrequency(r.Frequency), ConfigRuleState: "ACTIVE",
		EvaluationModes: []configwire.EvaluationModeConfiguration{{Mode: "DETECTIVE"}},
	}
	if r.Pack != "" {
		w.CreatedBy = new("config-conforms.amazonaws.com")
	}
	if s := r.Scope; s != nil {
		w.Scope = &configwire.Scope{ComplianceResourceTypes: s.Types, TagKey: member.Given(s.TagKey), TagValue: member.Given(s.TagValue), ComplianceResourceId: member.Given(s.ResourceID)}
	}
	return w
}

func (e edge) describeRules(c call, in *configwire.DescribeConfigRulesInput) (*configwire.DescribeConfigRulesOutput, error) {
	rules, err := e.recorder.Rules(c.grant, "config:DescribeConfigRules", c.account, in.ConfigRuleNames)
	if err != nil {
		return nil, err
	}
	if in.Filters != nil && in.Filters.EvaluationMode == "PROACTIVE" {
		rules = nil
	}
	rules, next, err := page(rules, in.NextToken, nil, 25, 25)
	return &configwire.DescribeConfigRulesOutput{ConfigRules: member.Every(rules, showRule), NextToken: next}, err
}

func (e edge) ruleStatus(c call, in *configwire.DescribeConfigRuleEvaluationStatusInput) (*configwire.DescribeConfigRuleEvaluationStatusOutput, error) {
	rules, err := e.recorder.Rules(c.grant, "config:DescribeConfigRuleEvaluationStatus", c.account, in.ConfigRuleNames)
	if err != nil {
		return nil, err
	}
	rules, next, err := page(rules, in.NextToken, in.Limit, 50, 150)
	show := func(r *recorder.Rule) configwire.ConfigRuleEvaluationStatus {
		s := &r.Status
		w := configwire.ConfigRuleEvaluationStatus{
			ConfigRuleName: &r.Name, ConfigRuleArn: &r.ARN, ConfigRuleId: &r.ID, FirstActivatedTime: member.At(r.Created),
			LastSuccessfulInvocationTime: member.At(s.Last), LastSuccessfulEvaluationTime: member.At(s.Last),
			LastFailedInvocationTime: member.At(s.Failed), LastFailedEvaluationTime: member.At(s.Failed), FirstEvaluationStarted: new(!s.Last.IsZero()),
		}
		if s.ErrorText != "" {
			w.LastErrorCode, w.LastErrorMessage = new("InternalError"), &s.ErrorText
		}
		return w
	}
	return &configwire.DescribeConfigRuleEvaluationStatusOutput{ConfigRulesEvaluationStatus: member.Every(rules, show), NextToken: next}, err
}
