package accessanalyzer

import (
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/accessanalyzerwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/analyzer"
)

func (e edge) analyzers() []*api.Op {
	return []*api.Op{
		answer(e, &accessanalyzerwire.CreateAnalyzer, api.Write, func(account string, in *accessanalyzerwire.CreateAnalyzerInput) string {
			return e.analyzer.ARN(account, member.Text(in.AnalyzerName))
		}, func(in *accessanalyzerwire.CreateAnalyzerInput) authz.Keys { return authz.RequestTags(in.Tags) }, e.create),
		answer(e, &accessanalyzerwire.GetAnalyzer, api.Read, func(account string, in *accessanalyzerwire.GetAnalyzerInput) string {
			return e.analyzer.ARN(account, member.Text(in.AnalyzerName))
		}, nil, e.get),
		answer(e, &accessanalyzerwire.ListAnalyzers, api.List, nil, nil, e.list),
		answer(e, &accessanalyzerwire.DeleteAnalyzer, api.Write, func(account string, in *accessanalyzerwire.DeleteAnalyzerInput) string {
			return e.analyzer.ARN(account, member.Text(in.AnalyzerName))
		}, nil, func(c call, in *accessanalyzerwire.DeleteAnalyzerInput) (*accessanalyzerwire.DeleteAnalyzerOutput, error) {
			return &accessanalyzerwire.DeleteAnalyzerOutput{}, e.analyzer.Delete(c, c.grant, c.account, member.Text(in.AnalyzerName))
		}),
		answer(e, &accessanalyzerwire.CreateArchiveRule, api.Write, func(account string, in *accessanalyzerwire.CreateArchiveRuleInput) string {
			return e.analyzer.RuleARN(account, member.Text(in.AnalyzerName), member.Text(in.RuleName))
		}, nil, func(c call, in *accessanalyzerwire.CreateArchiveRuleInput) (*accessanalyzerwire.CreateArchiveRuleOutput, error) {
			r := analyzer.ArchiveRule{Name: member.Text(in.RuleName), Filter: readFilter(in.Filter)}
			return &accessanalyzerwire.CreateArchiveRuleOutput{}, e.analyzer.PutRule(c, c.grant, "access-analyzer:CreateArchiveRule", c.account, member.Text(in.AnalyzerName), r, true)
		}),
		answer(e, &accessanalyzerwire.UpdateArchiveRule, api.Write, func(account string, in *accessanalyzerwire.UpdateArchiveRuleInput) string {
			return e.analyzer.RuleARN(account, member.Text(in.AnalyzerName), member.Text(in.RuleName))
		}, nil, func(c call, in *accessanalyzerwire.UpdateArchiveRuleInput) (*accessanalyzerwire.UpdateArchiveRuleOutput, error) {
			r := analyzer.ArchiveRule{Name: member.Text(in.RuleName), Filter: readFilter(in.Filter)}
			return &accessanalyzerwire.UpdateArchiveRuleOutput{}, e.analyzer.PutRule(c, c.grant, "access-analyzer:UpdateArchiveRule", c.account, member.Text(in.AnalyzerName), r, false)
		}),
		answer(e, &accessanalyzerwire.DeleteArchiveRule, api.Write, func(account string, in *accessanalyzerwire.DeleteArchiveRuleInput) string {
			return e.analyzer.RuleARN(account, member.Text(in.AnalyzerName), member.Text(in.RuleName))
		}, nil, func(c call, in *accessanalyzerwire.DeleteArchiveRuleInput) (*accessanalyzerwire.DeleteArchiveRuleOutput, error) {
			return &accessanalyzerwire.DeleteArchiveRuleOutput{}, e.analyzer.DeleteRule(c, c.grant, c.account, member.Text(in.AnalyzerName), member.Text(in.RuleName))
		}),
		answer(e, &accessanalyzerwire.GetArchiveRule, api.Read, func(account string, in *accessanalyzerwire.GetArchiveRuleInput) string {
			return e.analyzer.RuleARN(account, member.Text(in.AnalyzerName), member.Text(in.RuleName))
		}, nil, e.getRule),
		answer(e, &accessanalyzerwire.ListArchiveRules, api.List, func(account string, in *accessanalyzerwire.ListArchiveRulesInput) string {
			return e.analyzer.ARN(account, member.Text(in.AnalyzerName))
		}, nil, e.listRules),
		answer(e, &accessanalyzerwire.TagResource, api.Tagging, func(_ string, in *accessanalyzerwire.TagResourceInput) string { return member.Text(in.ResourceArn) },
			func(in *accessanalyzerwire.TagResourceInput) authz.Keys { return authz.RequestTags(in.Tags) },
			func(c call, in *accessanalyzerwire.TagResourceInput) (*accessanalyzerwire.TagResourceOutput, error) {
				return &accessanalyzerwire.TagResourceOutput{}, e.analyzer.Tag(c, c.grant, "access-analyzer:TagResource", c.account, member.Text(in.ResourceArn), in.Tags, nil)
			}),
		answer(e, &accessanalyzerwire.UntagResource, api.Tagging, func(_ string, in *accessanalyzerwire.UntagResourceInput) string { return member.Text(in.ResourceArn) },
			func(in *accessanalyzerwire.UntagResourceInput) authz.Keys { return authz.TagKeys(in.TagKeys) },
			func(c call, in *accessanalyzerwire.UntagResourceInput) (*accessanalyzerwire.UntagResourceOutput, error) {
				return &accessanalyzerwire.UntagResourceOutput{}, e.analyzer.Tag(c, c.grant, "access-analyzer:UntagResource", c.account, member.Text(in.ResourceArn), nil, in.TagKeys)
			}),
		answer(e, &accessanalyzerwire.ListTagsForResource, api.Read, func(_ string, in *accessanalyzerwire.ListTagsForResourceInput) string {
			return member.Text(in.ResourceArn)
		}, nil,
			func(c call, in *accessanalyzerwire.ListTagsForResourceInput) (*accessanalyzerwire.ListTagsForResourceOutput, error) {
				tags, err := e.analyzer.Tags(c.grant, c.account, member.Text(in.ResourceArn))
				return &accessanalyzerwire.ListTagsForResourceOutput{Tags: tags}, err
			}),
	}
}

func readFilter(w map[string]accessanalyzerwire.Criterion) analyzer.Filter {
	f := analyzer.Filter{}
	for name, c := range w {
		f[name] = analyzer.Criterion{Eq: c.Eq, Neq: c.Neq, Contains: c.Contains, Exists: c.Exists}
	}
	return f
}

func showFilter(f analyzer.Filter) map[string]accessanalyzerwire.Criterion {
	w := map[string]accessanalyzerwire.Criterion{}
	for name, c := range f {
		w[name] = accessanalyzerwire.Criterion{Eq: c.Eq, Neq: c.Neq, Contains: c.Contains, Exists: c.Exists}
	}
	return w
}

func (e edge) create(c call, in *accessanalyzerwire.CreateAnalyzerInput) (*accessanalyzerwire.CreateAnalyzerOutput, error) {
	if in.Configuration != nil {
		return nil, fault.New(analyzer.Invalid, "Analyzers of external access have no configuration.")
	}
	a := analyzer.Analyzer{Name: member.Text(in.AnalyzerName), Type: string(in.Type), Tags: in.Tags, Rules: map[string]analyzer.ArchiveRule{}}
	for _, r := range in.ArchiveRules {
		a.Rules[member.Text(r.RuleName)] = analyzer.ArchiveRule{Name: member.Text(r.RuleName), Filter: readFilter(r.Filter), Created: time.Now().UTC(), Updated: time.Now().UTC()}
	}
	arn, err := e.analyzer.Create(c, c.grant, c.account, a)
	return &accessanalyzerwire.CreateAnalyzerOutput{Arn: member.Given(arn)}, err
}

func showAnalyzer(a *analyzer.Analyzer) accessanalyzerwire.AnalyzerSummary {
	return accessanalyzerwire.AnalyzerSummary{
		Arn: &a.ARN, Name: &a.Name, Type: accessanalyzerwire.Type(a.Type), CreatedAt: member.At(a.Created), Tags: a.Tags, Status: "ACTIVE",
		LastResourceAnalyzed: member.Given(a.Last), LastResourceAnalyzedAt: member.At(a.LastAt),
	}
}

func (e edge) get(c call, in *accessanalyzerwire.GetAnalyzerInput) (*accessanalyzerwire.GetAnalyzerOutput, error) {
	a, err := e.analyzer.Analyzer(c.grant, "access-analyzer:GetAnalyzer", c.account, member.Text(in.AnalyzerName))
	if err != nil {
		return nil, err
	}
	return &accessanalyzerwire.GetAnalyzerOutput{Analyzer: new(showAnalyzer(a))}, nil
}

func (e edge) list(c call, in *accessanalyzerwire.ListAnalyzersInput) (*accessanalyzerwire.ListAnalyzersOutput, error) {
	all, err := e.analyzer.Analyzers(c.grant, c.account, string(in.Type))
	if err != nil {
		return nil, err
	}
	all, next, err := page(all, in.NextToken, in.MaxResults)
	return &accessanalyzerwire.ListAnalyzersOutput{Analyzers: member.Every(all, showAnalyzer), NextToken: next}, err
}

func showRule(r analyzer.ArchiveRule) accessanalyzerwire.ArchiveRuleSummary {
	return accessanalyzerwire.ArchiveRuleSummary{RuleName: &r.Name, Filter: showFilter(r.Filter), CreatedAt: member.At(r.Created), UpdatedAt: member.At(r.Updated)}
}

func (e edge) getRule(c call, in *accessanalyzerwire.GetArchiveRuleInput) (*accessanalyzerwire.GetArchiveRuleOutput, error) {
	name := member.Text(in.AnalyzerName)
	rules, err := e.analyzer.Rules(c.grant, "access-analyzer:GetArchiveRule", e.analyzer.RuleARN(c.account, name, member.Text(in.RuleName)), c.account, name)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		if r.Name == member.Text(in.RuleName) {
			return &accessanalyzerwire.GetArchiveRuleOutput{ArchiveRule: new(showRule(r))}, nil
		}
	}
	return nil, fault.New(analyzer.NotFound, "Archive rule "+member.Text(in.RuleName)+" does not exist.")
}

func (e edge) listRules(c call, in *accessanalyzerwire.ListArchiveRulesInput) (*accessanalyzerwire.ListArchiveRulesOutput, error) {
	name := member.Text(in.AnalyzerName)
	rules, err := e.analyzer.Rules(c.grant, "access-analyzer:ListArchiveRules", e.analyzer.ARN(c.account, name), c.account, name)
	if err != nil {
		return nil, err
	}
	rules, next, err := page(rules, in.NextToken, in.MaxResults)
	return &accessanalyzerwire.ListArchiveRulesOutput{ArchiveRules: member.Every(rules, showRule), NextToken: next}, err
}
