package accessanalyzer

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/accessanalyzerwire"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/analyzer"
)

func (e edge) findings() []*api.Op {
	return []*api.Op{
		answer(e, &accessanalyzerwire.ListFindings, api.Read, func(_ string, in *accessanalyzerwire.ListFindingsInput) string { return member.Text(in.AnalyzerArn) }, nil, e.listFindings),
		answer(e, &accessanalyzerwire.ListFindingsV2, api.Read, func(_ string, in *accessanalyzerwire.ListFindingsV2Input) string { return member.Text(in.AnalyzerArn) }, nil, e.listFindingsV2),
		answer(e, &accessanalyzerwire.GetFinding, api.Read, func(_ string, in *accessanalyzerwire.GetFindingInput) string { return member.Text(in.AnalyzerArn) }, nil, e.getFinding),
		answer(e, &accessanalyzerwire.GetFindingV2, api.Read, func(_ string, in *accessanalyzerwire.GetFindingV2Input) string { return member.Text(in.AnalyzerArn) }, nil, e.getFindingV2),
		answer(e, &accessanalyzerwire.UpdateFindings, api.Write, func(_ string, in *accessanalyzerwire.UpdateFindingsInput) string { return member.Text(in.AnalyzerArn) }, nil,
			func(c call, in *accessanalyzerwire.UpdateFindingsInput) (*accessanalyzerwire.UpdateFindingsOutput, error) {
				return &accessanalyzerwire.UpdateFindingsOutput{}, e.analyzer.UpdateFindings(c, c.grant, c.account, member.Text(in.AnalyzerArn), string(in.Status), in.Ids, member.Text(in.ResourceArn))
			}),
		answer(e, &accessanalyzerwire.ApplyArchiveRule, api.Write, func(_ string, in *accessanalyzerwire.ApplyArchiveRuleInput) string {
			return member.Text(in.AnalyzerArn)
		}, nil,
			func(c call, in *accessanalyzerwire.ApplyArchiveRuleInput) (*accessanalyzerwire.ApplyArchiveRuleOutput, error) {
				return &accessanalyzerwire.ApplyArchiveRuleOutput{}, e.analyzer.ApplyRule(c, c.grant, c.account, member.Text(in.AnalyzerArn), member.Text(in.RuleName))
			}),
		answer(e, &accessanalyzerwire.StartResourceScan, api.Write, func(_ string, in *accessanalyzerwire.StartResourceScanInput) string {
			return member.Text(in.AnalyzerArn)
		}, nil,
			func(c call, in *accessanalyzerwire.StartResourceScanInput) (*accessanalyzerwire.StartResourceScanOutput, error) {
				return &accessanalyzerwire.StartResourceScanOutput{}, e.analyzer.StartScan(c, c.grant, c.account, member.Text(in.AnalyzerArn), member.Text(in.ResourceArn))
			}),
		answer(e, &accessanalyzerwire.GetAnalyzedResource, api.Read, func(_ string, in *accessanalyzerwire.GetAnalyzedResourceInput) string {
			return member.Text(in.AnalyzerArn)
		}, nil, e.getResource),
		answer(e, &accessanalyzerwire.ListAnalyzedResources, api.Read, func(_ string, in *accessanalyzerwire.ListAnalyzedResourcesInput) string {
			return member.Text(in.AnalyzerArn)
		}, nil, e.listResources),
	}
}

func sources(f *analyzer.Finding) (out []accessanalyzerwire.FindingSource) {
	for _, s := range f.Sources() {
		out = append(out, accessanalyzerwire.FindingSource{Type: accessanalyzerwire.FindingSourceType(s)})
	}
	return out
}

// orders are what lists of findings can be sorted by.
var orders = map[string]func(a, b *analyzer.Finding) int{
	"updatedAt":    func(a, b *analyzer.Finding) int { return a.Updated.Compare(b.Updated) },
	"createdAt":    func(a, b *analyzer.Finding) int { return a.Created.Compare(b.Created) },
	"analyzedAt":   func(a, b *analyzer.Finding) int { return a.Analyzed.Compare(b.Analyzed) },
	"resource":     func(a, b *analyzer.Finding) int { return cmp.Compare(a.Resource, b.Resource) },
	"resourceType": func(a, b *analyzer.Finding) int { return cmp.Compare(a.ResourceType, b.ResourceType) },
	"status":       func(a, b *analyzer.Finding) int { return cmp.Compare(a.Status, b.Status) },
}

func order(list []*analyzer.Finding, by *accessanalyzerwire.SortCriteria) error {
	if by == nil || member.Text(by.AttributeName) == "" {
		return nil
	}
	compare := orders[*by.AttributeName]
	if compare == nil {
		return fault.New(analyzer.Invalid, "Findings cannot be sorted by "+*by.AttributeName+".")
	}
	slices.SortStableFunc(list, func(a, b *analyzer.Finding) int {
		if by.OrderBy == "DESC" {
			return compare(b, a)
		}
		return compare(a, b)
	})
	return nil
}

func (e edge) listFindings(c call, in *accessanalyzerwire.ListFindingsInput) (*accessanalyzerwire.ListFindingsOutput, error) {
	list, err := e.analyzer.Findings(c.grant, "access-analyzer:ListFindings", c.account, member.Text(in.AnalyzerArn), readFilter(in.Filter))
	if err == nil {
		err = order(list, in.Sort)
	}
	if err != nil {
		return nil, err
	}
	list, next, err := page(list, in.NextToken, in.MaxResults)
	show := func(f *analyzer.Finding) accessanalyzerwire.FindingSummary {
		return accessanalyzerwire.FindingSummary{
			Id: &f.ID, Principal: f.Principal, Action: f.Actions, Resource: &f.Resource, IsPublic: &f.Public, ResourceType: accessanalyzerwire.ResourceType(f.ResourceType),
			Condition: condition(f), CreatedAt: member.At(f.Created), AnalyzedAt: member.At(f.Analyzed), UpdatedAt: member.At(f.Updated), Status: accessanalyzerwire.FindingStatus(f.Status),
			ResourceOwnerAccount: &f.Owner, Sources: sources(f), ResourceControlPolicyRestriction: "NOT_APPLICABLE",
		}
	}
	return &accessanalyzerwire.ListFindingsOutput{Findings: member.Every(list, show), NextToken: next}, err
}

func condition(f *analyzer.Finding) map[string]string {
	if f.Condition == nil {
		return map[string]string{}
	}
	return f.Condition
}

func (e edge) listFindingsV2(c call, in *accessanalyzerwire.ListFindingsV2Input) (*accessanalyzerwire.ListFindingsV2Output, error) {
	list, err := e.analyzer.Findings(c.grant, "access-analyzer:ListFindings", c.account, member.Text(in.AnalyzerArn), readFilter(in.Filter))
	if err == nil {
		err = order(list, in.Sort)
	}
	if err != nil {
		return nil, err
	}
	list, next, err := page(list, in.NextToken, in.MaxResults)
	show := func(f *analyzer.Finding) accessanalyzerwire.FindingSummaryV2 {
		return accessanalyzerwire.FindingSummaryV2{
			Id: &f.ID, Resource: &f.Resource, ResourceType: accessanalyzerwire.ResourceType(f.ResourceType), ResourceOwnerAccount: &f.Owner,
			Status: accessanalyzerwire.FindingStatus(f.Status), CreatedAt: member.At(f.Created), AnalyzedAt: member.At(f.Analyzed), UpdatedAt: member.At(f.Updated), FindingType: "ExternalAccess",
		}
	}
	return &accessanalyzerwire.ListFindingsV2Output{Findings: member.Every(list, show), NextToken: next}, err
}

// witnessHeader carries what AWS's answer has no member for: a request that proves the finding.
const witnessHeader = "X-Kura-Witness"

func (c call) witness(f *analyzer.Finding) {
	if f.Witness == nil {
		return
	}
	if raw, err := json.Marshal(f.Witness); err == nil {
		c.header.Set(witnessHeader, string(raw))
	}
}

func (e edge) getFinding(c call, in *accessanalyzerwire.GetFindingInput) (*accessanalyzerwire.GetFindingOutput, error) {
	f, err := e.analyzer.Finding(c.grant, "access-analyzer:GetFinding", c.account, member.Text(in.AnalyzerArn), member.Text(in.Id))
	if err != nil {
		return nil, err
	}
	c.witness(f)
	return &accessanalyzerwire.GetFindingOutput{Finding: &accessanalyzerwire.Finding{
		Id: &f.ID, Principal: f.Principal, Action: f.Actions, Resource: &f.Resource, IsPublic: &f.Public, ResourceType: accessanalyzerwire.ResourceType(f.ResourceType),
		Condition: condition(f), CreatedAt: member.At(f.Created), AnalyzedAt: member.At(f.Analyzed), UpdatedAt: member.At(f.Updated), Status: accessanalyzerwire.FindingStatus(f.Status),
		ResourceOwnerAccount: &f.Owner, Sources: sources(f), ResourceControlPolicyRestriction: "NOT_APPLICABLE",
	}}, nil
}

func (e edge) getFindingV2(c call, in *accessanalyzerwire.GetFindingV2Input) (*accessanalyzerwire.GetFindingV2Output, error) {
	f, err := e.analyzer.Finding(c.grant, "access-analyzer:GetFinding", c.account, member.Text(in.AnalyzerArn), member.Text(in.Id))
	if err != nil {
		return nil, err
	}
	c.witness(f)
	return &accessanalyzerwire.GetFindingV2Output{
		Id: &f.ID, Resource: &f.Resource, ResourceType: accessanalyzerwire.ResourceType(f.ResourceType), ResourceOwnerAccount: &f.Owner,
		Status: accessanalyzerwire.FindingStatus(f.Status), CreatedAt: member.At(f.Created), AnalyzedAt: member.At(f.Analyzed), UpdatedAt: member.At(f.Updated), FindingType: "ExternalAccess",
		FindingDetails: []accessanalyzerwire.FindingDetails{{ExternalAccessDetails: &accessanalyzerwire.ExternalAccessDetails{
			Action: f.Actions, Condition: condition(f), IsPublic: &f.Public, Principal: f.Principal, Sources: sources(f), ResourceControlPolicyRestriction: "NOT_APPLICABLE",
		}}},
	}, nil
}

func (e edge) getResource(c call, in *accessanalyzerwire.GetAnalyzedResourceInput) (*accessanalyzerwire.GetAnalyzedResourceOutput, error) {
	a, err := e.analyzer.Resource(c, c.grant, c.account, member.Text(in.AnalyzerArn), member.Text(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	public, actions, shared, status := false, []string{}, []string{}, ""
	for _, f := range a.Findings {
		if f.Status == analyzer.Resolved {
			continue
		}
		public = public || f.Public
		actions, shared, status = append(actions, f.Actions...), append(shared, f.Sources()...), f.Status
	}
	slices.Sort(actions)
	slices.Sort(shared)
	now := member.At(a.Resource.Created)
	return &accessanalyzerwire.GetAnalyzedResourceOutput{Resource: &accessanalyzerwire.AnalyzedResource{
		ResourceArn: &a.Resource.ARN, ResourceType: accessanalyzerwire.ResourceType(a.Resource.Type), ResourceOwnerAccount: &a.Resource.Account,
		CreatedAt: now, AnalyzedAt: now, UpdatedAt: now, IsPublic: &public, Actions: slices.Compact(actions), SharedVia: slices.Compact(shared),
		Status: accessanalyzerwire.FindingStatus(status),
	}}, nil
}

func (e edge) listResources(c call, in *accessanalyzerwire.ListAnalyzedResourcesInput) (*accessanalyzerwire.ListAnalyzedResourcesOutput, error) {
	list, err := e.analyzer.Resources(c, c.grant, c.account, member.Text(in.AnalyzerArn), string(in.ResourceType))
	if err != nil {
		return nil, err
	}
	list, next, err := page(list, in.NextToken, in.MaxResults)
	show := func(r *posture.Resource) accessanalyzerwire.AnalyzedResourceSummary {
		return accessanalyzerwire.AnalyzedResourceSummary{ResourceArn: &r.ARN, ResourceOwnerAccount: &r.Account, ResourceType: accessanalyzerwire.ResourceType(r.Type)}
	}
	return &accessanalyzerwire.ListAnalyzedResourcesOutput{AnalyzedResources: member.Every(list, show), NextToken: next}, err
}
