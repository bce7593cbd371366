package guardduty

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/guarddutywire"
	"github.com/kura-s3/kura/internal/finding"
)

func (e edge) findingOps() []*api.Op {
	return []*api.Op{
		answer(e, &guarddutywire.ListFindings, api.List, func(account string, in *guarddutywire.ListFindingsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.listFindings),
		answer(e, &guarddutywire.GetFindings, api.Read, func(account string, in *guarddutywire.GetFindingsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.getFindings),
		answer(e, &guarddutywire.GetFindingsStatistics, api.Read, func(account string, in *guarddutywire.GetFindingsStatisticsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.statistics),
		answer(e, &guarddutywire.ArchiveFindings, api.Write, func(account string, in *guarddutywire.ArchiveFindingsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, func(c call, in *guarddutywire.ArchiveFindingsInput) (*guarddutywire.ArchiveFindingsOutput, error) {
			return &guarddutywire.ArchiveFindingsOutput{}, e.archive(c, "guardduty:ArchiveFindings", in.DetectorId, in.FindingIds, true)
		}),
		answer(e, &guarddutywire.UnarchiveFindings, api.Write, func(account string, in *guarddutywire.UnarchiveFindingsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, func(c call, in *guarddutywire.UnarchiveFindingsInput) (*guarddutywire.UnarchiveFindingsOutput, error) {
			return &guarddutywire.UnarchiveFindingsOutput{}, e.archive(c, "guardduty:UnarchiveFindings", in.DetectorId, in.FindingIds, false)
		}),
		answer(e, &guarddutywire.UpdateFindingsFeedback, api.Write, func(account string, in *guarddutywire.UpdateFindingsFeedbackInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.feedback),
		answer(e, &guarddutywire.CreateSampleFindings, api.Write, func(account string, in *guarddutywire.CreateSampleFindingsInput) string {
			return e.findings.ARN(account, member.Text(in.DetectorId))
		}, nil, e.samples),
	}
}

// readCriteria reads both forms of criteria, the older one included.
func readCriteria(in *guarddutywire.FindingCriteria) finding.Criteria {
	if in == nil {
		return nil
	}
	c := finding.Criteria{}
	for name, k := range in.Criterion {
		c[name] = finding.Criterion{
			Eq: append(slices.Clone(k.Eq), k.Equals...), Neq: append(slices.Clone(k.Neq), k.NotEquals...), Matches: k.Matches, NotMatches: k.NotMatches,
			Gt: cmp.Or(k.GreaterThan, wide(k.Gt)), Gte: cmp.Or(k.GreaterThanOrEqual, wide(k.Gte)),
			Lt: cmp.Or(k.LessThan, wide(k.Lt)), Lte: cmp.Or(k.LessThanOrEqual, wide(k.Lte)),
		}
	}
	return c
}

func wide(n *int32) *int64 {
	if n == nil {
		return nil
	}
	return new(int64(*n))
}

// narrow is a number in the older form, where it fits into that.
func narrow(n *int64) *int32 {
	if n == nil || int64(int32(*n)) != *n {
		return nil
	}
	return new(int32(*n))
}

// showCriteria tells criteria in both forms, as GuardDuty does.
func showCriteria(c finding.Criteria) *guarddutywire.FindingCriteria {
	out := &guarddutywire.FindingCriteria{Criterion: map[string]guarddutywire.Condition{}}
	for name, k := range c {
		out.Criterion[name] = guarddutywire.Condition{
			Eq: k.Eq, Equals: k.Eq, Neq: k.Neq, NotEquals: k.Neq, Matches: k.Matches, NotMatches: k.NotMatches,
			Gt: narrow(k.Gt), GreaterThan: k.Gt, Gte: narrow(k.Gte), GreaterThanOrEqual: k.Gte,
			Lt: narrow(k.Lt), LessThan: k.Lt, Lte: narrow(k.Lte), LessThanOrEqual: k.Lte,
		}
	}
	return out
}

func readOrder(in *guarddutywire.SortCriteria) finding.Order {
	if in == nil {
		return finding.Order{}
	}
	return finding.Order{Attribute: member.Text(in.AttributeName), Descending: in.OrderBy == "DESC"}
}

func (e edge) listFindings(c call, in *guarddutywire.ListFindingsInput) (*guarddutywire.ListFindingsOutput, error) {
	all, err := e.findings.Find(c.grant, "guardduty:ListFindings", c.account, member.Text(in.DetectorId), readCriteria(in.FindingCriteria), readOrder(in.SortCriteria))
	if err != nil {
		return nil, err
	}
	all, next, err := page(all, in.NextToken, in.MaxResults)
	return &guarddutywire.ListFindingsOutput{FindingIds: member.Every(all, func(f *finding.Finding) string { return f.ID }), NextToken: next}, err
}

const maxIDs = 50

func checkIDs(ids []string) error {
	if len(ids) == 0 || len(ids) > maxIDs {
		return invalid("findingIds")
	}
	return nil
}

// show gives a finding the form of the API. Its own JSON has the API's names already, so that events and
// answers cannot differ.
func show(f *finding.Finding) (out guarddutywire.Finding, err error) {
	raw, err := json.Marshal(f)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}

func (e edge) getFindings(c call, in *guarddutywire.GetFindingsInput) (*guarddutywire.GetFindingsOutput, error) {
	if err := checkIDs(in.FindingIds); err != nil {
		return nil, err
	}
	all, err := e.findings.Get(c.grant, c.account, member.Text(in.DetectorId), in.FindingIds, readOrder(in.SortCriteria))
	if err != nil {
		return nil, err
	}
	out := &guarddutywire.GetFindingsOutput{Findings: []guarddutywire.Finding{}}
	for _, f := range all {
		shown, err := show(f)
		if err != nil {
			return nil, err
		}
		out.Findings = append(out.Findings, shown)
	}
	return out, nil
}

func (e edge) archive(c call, action string, detector *string, ids []string, archived bool) error {
	if err := checkIDs(ids); err != nil {
		return err
	}
	return e.findings.Archive(c, c.grant, action, c.account, member.Text(detector), ids, archived)
}

func (e edge) feedback(c call, in *guarddutywire.UpdateFindingsFeedbackInput) (*guarddutywire.UpdateFindingsFeedbackOutput, error) {
	if err := checkIDs(in.FindingIds); err != nil {
		return nil, err
	}
	if in.Feedback != "USEFUL" && in.Feedback != "NOT_USEFUL" {
		return nil, invalid("feedback")
	}
	return &guarddutywire.UpdateFindingsFeedbackOutput{},
		e.findings.Feedback(c, c.grant, c.account, member.Text(in.DetectorId), in.FindingIds, string(in.Feedback))
}

// samples makes a finding of each type that is asked for; of all when none is.
func (e edge) samples(c call, in *guarddutywire.CreateSampleFindingsInput) (*guarddutywire.CreateSampleFindingsOutput, error) {
	types := in.FindingTypes
	if len(types) == 0 {
		types = finding.Types()
	}
	if len(types) > maxIDs {
		return nil, invalid("findingTypes")
	}
	var all []finding.Sighting
	for _, typ := range types {
		severity := finding.SeverityOf(typ)
		if severity == 0 {
			return nil, invalid("findingTypes")
		}
		s := finding.Sighting{
			Account: c.account, Type: typ, Severity: severity, Actor: "sample",
			Title: "[SAMPLE] " + typ, Description: "This is a sample of the finding " + typ + ". Nothing has happened.",
			Resource: finding.Resource{ResourceType: finding.AccessKey, AccessKeyDetails: &finding.AccessKeyDetails{
				AccessKeyID: "GeneratedFindingAccessKeyId", PrincipalID: "GeneratedFindingPrincipalId", UserName: "GeneratedFindingUserName", UserType: "IAMUser",
			}},
			Info: finding.InfoOf(map[string]bool{"sample": true}),
		}
		if strings.Contains(typ, ":S3/") {
			s.Resource.ResourceType = finding.S3Bucket
			s.Resource.S3BucketDetails = []finding.Bucket{{ARN: "arn:aws:s3:::example-bucket", Name: "example-bucket", Type: "Destination"}}
		}
		all = append(all, s)
	}
	return &guarddutywire.CreateSampleFindingsOutput{}, e.findings.Sample(c, c.grant, c.account, member.Text(in.DetectorId), all)
}

// group is what statistics say of some findings.
type group struct {
	first *finding.Finding
	last  time.Time
	count int32
}

// grouped counts findings by what of tells of them, the largest group first, or last when ascending.
func grouped(all []*finding.Finding, of func(*finding.Finding) string, ascending bool, most *int32) []group {
	groups := map[string]*group{}
	for _, f := range all {
		g := groups[of(f)]
		if g == nil {
			g = &group{first: f}
			groups[of(f)] = g
		}
		g.count++
		if f.UpdatedAt.After(g.last) {
			g.last = f.UpdatedAt.Time
		}
	}
	var list []group
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b group) int {
		order := cmp.Compare(b.count, a.count)
		if ascending {
			order = -order
		}
		return cmp.Or(order, strings.Compare(of(a.first), of(b.first)))
	})
	limit := 25
	if most != nil {
		limit = int(*most)
	}
	return list[:min(len(list), limit)]
}

func (e edge) statistics(c call, in *guarddutywire.GetFindingsStatisticsInput) (*guarddutywire.GetFindingsStatisticsOutput, error) {
	if (len(in.FindingStatisticTypes) == 0) == (in.GroupBy == "") {
		return nil, refused("exactly one of findingStatisticTypes and groupBy must be given.")
	}
	if in.MaxResults != nil && (*in.MaxResults < 1 || *in.MaxResults > 100) {
		return nil, invalid("maxResults")
	}
	all, err := e.findings.Find(c.grant, "guardduty:GetFindingsStatistics", c.account, member.Text(in.DetectorId), readCriteria(in.FindingCriteria), finding.Order{})
	if err != nil {
		return nil, err
	}
	out := &guarddutywire.FindingStatistics{}
	if in.GroupBy == "" {
		out.CountBySeverity = map[string]int32{}
		for _, f := range all {
			out.CountBySeverity[strconv.FormatFloat(f.Severity, 'f', 1, 64)]++
		}
		return &guarddutywire.GetFindingsStatisticsOutput{FindingStatistics: out}, nil
	}
	fill := groupings[string(in.GroupBy)]
	if fill == nil {
		return nil, invalid("groupBy")
	}
	fill(out, func(of func(*finding.Finding) string) []group {
		return grouped(all, of, in.OrderBy == "ASC", in.MaxResults)
	})
	return &guarddutywire.GetFindingsStatisticsOutput{FindingStatistics: out}, nil
}

func day(f *finding.Finding) string { return f.UpdatedAt.UTC().Format(time.DateOnly) }

// resourceOf is what a finding is about, as statistics name it.
func resourceOf(f *finding.Finding) string {
	if b := f.Resource.S3BucketDetails; len(b) > 0 {
		return b[0].Name
	}
	if k := f.Resource.AccessKeyDetails; k != nil {
		return cmp.Or(k.AccessKeyID, k.PrincipalID)
	}
	return ""
}

// groupings are what findings can be grouped by.
var groupings = map[string]func(*guarddutywire.FindingStatistics, func(func(*finding.Finding) string) []group){
	"ACCOUNT": func(out *guarddutywire.FindingStatistics, by func(func(*finding.Finding) string) []group) {
		out.GroupedByAccount = member.Every(by(func(f *finding.Finding) string { return f.AccountID }), func(g group) guarddutywire.AccountStatistics {
			return guarddutywire.AccountStatistics{AccountId: &g.first.AccountID, LastGeneratedAt: &g.last, TotalFindings: &g.count}
		})
	},
	"DATE": func(out *guarddutywire.FindingStatistics, by func(func(*finding.Finding) string) []group) {
		of := func(f *finding.Finding) string { return day(f) + strconv.FormatFloat(f.Severity, 'f', -1, 64) }
		out.GroupedByDate = member.Every(by(of), func(g group) guarddutywire.DateStatistics {
			date := g.first.UpdatedAt.UTC().Truncate(24 * time.Hour)
			return guarddutywire.DateStatistics{Date: &date, Severity: &g.first.Severity, LastGeneratedAt: &g.last, TotalFindings: &g.count}
		})
	},
	"FINDING_TYPE": func(out *guarddutywire.FindingStatistics, by func(func(*finding.Finding) string) []group) {
		out.GroupedByFindingType = member.Every(by(func(f *finding.Finding) string { return f.Type }), func(g group) guarddutywire.FindingTypeStatistics {
			return guarddutywire.FindingTypeStatistics{FindingType: &g.first.Type, LastGeneratedAt: &g.last, TotalFindings: &g.count}
		})
	},
	"RESOURCE": func(out *guarddutywire.FindingStatistics, by func(func(*finding.Finding) string) []group) {
		of := func(f *finding.Finding) string { return f.Resource.ResourceType + "/" + resourceOf(f) }
		out.GroupedByResource = member.Every(by(of), func(g group) guarddutywire.ResourceStatistics {
			return guarddutywire.ResourceStatistics{
				AccountId: &g.first.AccountID, ResourceId: new(resourceOf(g.first)), ResourceType: &g.first.Resource.ResourceType,
				LastGeneratedAt: &g.last, TotalFindings: &g.count,
			}
		})
	},
	"SEVERITY": func(out *guarddutywire.FindingStatistics, by func(func(*finding.Finding) string) []group) {
		of := func(f *finding.Finding) string { return strconv.FormatFloat(f.Severity, 'f', -1, 64) }
		out.GroupedBySeverity = member.Every(by(of), func(g group) guarddutywire.SeverityStatistics {
			return guarddutywire.SeverityStatistics{Severity: &g.first.Severity, LastGeneratedAt: &g.last, TotalFindings: &g.count}
		})
	},
}
