package guardduty

import (
	"maps"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/guarddutywire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/finding"
)

func (e edge) filterOps() []*api.Op {
	filter := func(account string, detector, name *string) string {
		return e.findings.ARN(account, member.Text(detector), "filter", member.Text(name))
	}
	return []*api.Op{
		answer(e, &guarddutywire.CreateFilter, api.Write, func(account string, in *guarddutywire.CreateFilterInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, func(in *guarddutywire.CreateFilterInput) authz.Keys { return authz.RequestTags(in.Tags) }, e.createFilter),
		answer(e, &guarddutywire.GetFilter, api.Read, func(account string, in *guarddutywire.GetFilterInput) string {
			return filter(account, in.DetectorId, in.FilterName)
		}, nil, e.getFilter),
		answer(e, &guarddutywire.ListFilters, api.List, func(account string, in *guarddutywire.ListFiltersInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.listFilters),
		answer(e, &guarddutywire.UpdateFilter, api.Write, func(account string, in *guarddutywire.UpdateFilterInput) string {
			return filter(account, in.DetectorId, in.FilterName)
		}, nil, e.updateFilter),
		answer(e, &guarddutywire.DeleteFilter, api.Write, func(account string, in *guarddutywire.DeleteFilterInput) string {
			return filter(account, in.DetectorId, in.FilterName)
		}, nil, func(c call, in *guarddutywire.DeleteFilterInput) (*guarddutywire.DeleteFilterOutput, error) {
			return &guarddutywire.DeleteFilterOutput{}, e.findings.DeleteFilter(c, c.grant, c.account, member.Text(in.DetectorId), member.Text(in.FilterName))
		}),
	}
}

func (e edge) createFilter(c call, in *guarddutywire.CreateFilterInput) (*guarddutywire.CreateFilterOutput, error) {
	f := finding.Filter{
		Name: member.Text(in.Name), Description: member.Text(in.Description), Action: string(in.Action), Rank: member.Number(in.Rank),
		Criteria: readCriteria(in.FindingCriteria), Tags: in.Tags,
	}
	return &guarddutywire.CreateFilterOutput{Name: &f.Name}, e.findings.CreateFilter(c, c.grant, c.account, member.Text(in.DetectorId), f)
}

func (e edge) getFilter(c call, in *guarddutywire.GetFilterInput) (*guarddutywire.GetFilterOutput, error) {
	f, err := e.findings.Filter(c.grant, c.account, member.Text(in.DetectorId), member.Text(in.FilterName))
	if err != nil {
		return nil, err
	}
	return &guarddutywire.GetFilterOutput{
		Name: &f.Name, Description: &f.Description, Action: guarddutywire.FilterAction(f.Action), Rank: new(int32(f.Rank)),
		FindingCriteria: showCriteria(f.Criteria), Tags: f.Tags,
	}, nil
}

func (e edge) listFilters(c call, in *guarddutywire.ListFiltersInput) (*guarddutywire.ListFiltersOutput, error) {
	id := member.Text(in.DetectorId)
	d, err := e.findings.Detector(c.grant, "guardduty:ListFilters", e.findings.ARN(c.account, id), c.account, id)
	if err != nil {
		return nil, err
	}
	names, next, err := page(slices.Sorted(maps.Keys(d.Filters)), in.NextToken, in.MaxResults)
	return &guarddutywire.ListFiltersOutput{FilterNames: member.Every(names, func(name string) string { return name }), NextToken: next}, err
}

func (e edge) updateFilter(c call, in *guarddutywire.UpdateFilterInput) (*guarddutywire.UpdateFilterOutput, error) {
	change := finding.FilterChange{
		Description: in.Description, Action: string(in.Action), Rank: member.Number(in.Rank), Criteria: readCriteria(in.FindingCriteria),
	}
	err := e.findings.UpdateFilter(c, c.grant, c.account, member.Text(in.DetectorId), member.Text(in.FilterName), change)
	return &guarddutywire.UpdateFilterOutput{Name: in.FilterName}, err
}
