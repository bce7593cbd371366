package configservice

import (
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/configwire"
	"github.com/kura-s3/kura/internal/posture/recorder"
	"github.com/kura-s3/kura/internal/posture/rule"
)

func (e edge) compliance() []*api.Op {
	return []*api.Op{
		answer(e, &configwire.DescribeComplianceByConfigRule, api.List, func(account string, in *configwire.DescribeComplianceByConfigRuleInput) []string {
			return e.ruleARNs(account, in.ConfigRuleNames)
		}, nil, e.byRule),
		answer(e, &configwire.DescribeComplianceByResource, api.List, nil, nil, e.byResource),
		answer(e, &configwire.GetComplianceDetailsByConfigRule, api.Read, func(account string, in *configwire.GetComplianceDetailsByConfigRuleInput) []string {
			return []string{e.recorder.RuleARN(account, member.Text(in.ConfigRuleName))}
		}, nil, e.ruleDetails),
		answer(e, &configwire.GetComplianceDetailsByResource, api.Read, nil, nil, e.resourceDetails),
		answer(e, &configwire.GetComplianceSummaryByConfigRule, api.Read, nil, nil, e.ruleSummary),
		answer(e, &configwire.GetComplianceSummaryByResourceType, api.Read, nil, nil, e.typeSummary),
	}
}

// countCap is where AWS stops counting what contributes.
const countCap = 25

func capped(n, limit int) *configwire.ComplianceContributorCount {
	return &configwire.ComplianceContributorCount{CappedCount: new(int32(min(n, limit))), CapExceeded: new(n > limit)}
}

func compliance(c rule.Compliance, failing int) *configwire.Compliance {
	w := &configwire.Compliance{ComplianceType: configwire.ComplianceType(c)}
	if c == rule.NonCompliant {
		w.ComplianceContributorCount = capped(failing, countCap)
	}
	return w
}

// wanted tells whether a filter of compliance types lets one through; an empty one lets all.
func wanted(types []configwire.ComplianceType, c rule.Compliance) bool {
	return len(types) == 0 || slices.Contains(types, configwire.ComplianceType(c))
}

func (e edge) byRule(c call, in *configwire.DescribeComplianceByConfigRuleInput) (*configwire.DescribeComplianceByConfigRuleOutput, error) {
	all, err := e.recorder.Compliance(c.grant, "config:DescribeComplianceByConfigRule", c.account, in.ConfigRuleNames)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r recorder.RuleCompliance) bool { return !wanted(in.ComplianceTypes, r.Compliance) })
	all, next, err := page(all, in.NextToken, nil, 25, 25)
	show := func(r recorder.RuleCompliance) configwire.ComplianceByConfigRule {
		return configwire.ComplianceByConfigRule{ConfigRuleName: &r.Name, Compliance: compliance(r.Compliance, r.NonCompliant)}
	}
	return &configwire.DescribeComplianceByConfigRuleOutput{ComplianceByConfigRules: member.Every(all, show), NextToken: next}, err
}

// byRes is what all rules found about one resource.
type byRes struct {
	typ, id string
	failing int
}

func (b *byRes) compliance() rule.Compliance {
	if b.failing > 0 {
		return rule.NonCompliant
	}
	return rule.Compliant
}

// grouped puts evaluations, which come in the order of resources, together by resource.
func grouped(all []recorder.Evaluation) []byRes {
	var out []byRes
	for _, v := range all {
		if n := len(out); n == 0 || out[n-1].typ != v.Type || out[n-1].id != v.ID {
			out = append(out, byRes{typ: v.Type, id: v.ID})
		}
		if v.Compliance == rule.NonCompliant {
			out[len(out)-1].failing++
		}
	}
	return out
}

func (e edge) byResource(c call, in *configwire.DescribeComplianceByResourceInput) (*configwire.DescribeComplianceByResourceOutput, error) {
	all, err := e.recorder.ResourceDetails(c.grant, "config:DescribeComplianceByResource", c.account, member.Text(in.ResourceType), member.Text(in.ResourceId))
	if err != nil {
		return nil, err
	}
	groups := slices.DeleteFunc(grouped(all), func(b byRes) bool { return !wanted(in.ComplianceTypes, b.compliance()) })
	groups, next, err := page(groups, in.NextToken, in.Limit, 10, 100)
	show := func(b byRes) configwire.ComplianceByResource {
		return configwire.ComplianceByResource{ResourceType: &b.typ, ResourceId: &b.id, Compliance: compliance(b.compliance(), b.failing)}
	}
	return &configwire.DescribeComplianceByResourceOutput{ComplianceByResources: member.Every(groups, show), NextToken: next}, err
}

func identifier(v *recorder.Evaluation) *configwire.EvaluationResultIdentifier {
	return &configwire.EvaluationResultIdentifier{
		EvaluationResultQualifier: &configwire.EvaluationResultQualifier{ConfigRuleName: &v.Rule, ResourceType: &v.Type, ResourceId: &v.ID, EvaluationMode: "DETECTIVE"},
		OrderingTimestamp:         member.At(v.Ordering),
	}
}

func showEvaluation(v recorder.Evaluation) configwire.EvaluationResult {
	return configwire.EvaluationResult{
		EvaluationResultIdentifier: identifier(&v), ComplianceType: configwire.ComplianceType(v.Compliance),
		ResultRecordedTime: member.At(v.Recorded), ConfigRuleInvokedTime: member.At(v.Invoked), Annotation: member.Given(v.Annotation),
	}
}

func only(all []recorder.Evaluation, types []configwire.ComplianceType) []recorder.Evaluation {
	return slices.DeleteFunc(all, func(v recorder.Evaluation) bool { return !wanted(types, v.Compliance) })
}

func (e edge) ruleDetails(c call, in *configwire.GetComplianceDetailsByConfigRuleInput) (*configwire.GetComplianceDetailsByConfigRuleOutput, error) {
	all, err := e.recorder.RuleDetails(c.grant, "config:GetComplianceDetailsByConfigRule", c.account, member.Text(in.ConfigRuleName))
	if err != nil {
		return nil, err
	}
	all, next, err := page(only(all, in.ComplianceTypes), in.NextToken, in.Limit, 10, 100)
	return &configwire.GetComplianceDetailsByConfigRuleOutput{EvaluationResults: member.Every(all, showEvaluation), NextToken: next}, err
}

func (e edge) resourceDetails(c call, in *configwire.GetComplianceDetailsByResourceInput) (*configwire.GetComplianceDetailsByResourceOutput, error) {
	if member.Text(in.ResourceType) == "" || member.Text(in.ResourceId) == "" {
		return nil, badRule("A resource type and a resource id are required.")
	}
	all, err := e.recorder.ResourceDetails(c.grant, "config:GetComplianceDetailsByResource", c.account, member.Text(in.ResourceType), member.Text(in.ResourceId))
	if err != nil {
		return nil, err
	}
	all, next, err := page(only(all, in.ComplianceTypes), in.NextToken, nil, 10, 100)
	return &configwire.GetComplianceDetailsByResourceOutput{EvaluationResults: member.Every(all, showEvaluation), NextToken: next}, err
}

func (e edge) ruleSummary(c call, _ *configwire.GetComplianceSummaryByConfigRuleInput) (*configwire.GetComplianceSummaryByConfigRuleOutput, error) {
	all, err := e.recorder.Compliance(c.grant, "config:GetComplianceSummaryByConfigRule", c.account, nil)
	good, bad := 0, 0
	for _, r := range all {
		switch r.Compliance {
		case rule.Compliant:
			good++
		case rule.NonCompliant:
			bad++
		}
	}
	return &configwire.GetComplianceSummaryByConfigRuleOutput{ComplianceSummary: summary(good, bad, countCap)}, err
}

func summary(good, bad, limit int) *configwire.ComplianceSummary {
	return &configwire.ComplianceSummary{CompliantResourceCount: capped(good, limit), NonCompliantResourceCount: capped(bad, limit), ComplianceSummaryTimestamp: new(time.Now())}
}

func (e edge) typeSummary(c call, in *configwire.GetComplianceSummaryByResourceTypeInput) (*configwire.GetComplianceSummaryByResourceTypeOutput, error) {
	all, err := e.recorder.ResourceDetails(c.grant, "config:GetComplianceSummaryByResourceType", c.account, "", "")
	if err != nil {
		return nil, err
	}
	good, bad := map[string]int{}, map[string]int{}
	for _, b := range grouped(all) {
		key := ""
		if len(in.ResourceTypes) > 0 {
			if !slices.Contains(in.ResourceTypes, b.typ) {
				continue
			}
			key = b.typ
		}
		if b.failing > 0 {
			bad[key]++
		} else {
			good[key]++
		}
	}
	types := in.ResourceTypes
	if len(types) == 0 {
		types = []string{""}
	}
	show := func(typ string) configwire.ComplianceSummaryByResourceType {
		return configwire.ComplianceSummaryByResourceType{ResourceType: member.Given(typ), ComplianceSummary: summary(good[typ], bad[typ], 100)}
	}
	return &configwire.GetComplianceSummaryByResourceTypeOutput{ComplianceSummariesByResourceType: member.Every(types, show)}, nil
}
