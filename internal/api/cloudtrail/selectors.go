package cloudtrail

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/cloudtrailwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
)

func (e edge) selectorOps() []*api.Op {
	return []*api.Op{
		answer(e, &cloudtrailwire.PutEventSelectors, api.Write, func(in *cloudtrailwire.PutEventSelectorsInput) *string { return in.TrailName }, nil, e.putEventSelectors),
		answer(e, &cloudtrailwire.GetEventSelectors, api.Read, func(in *cloudtrailwire.GetEventSelectorsInput) *string { return in.TrailName }, nil, e.getEventSelectors),
		answer(e, &cloudtrailwire.GetInsightSelectors, api.Read, func(in *cloudtrailwire.GetInsightSelectorsInput) *string { return in.TrailName }, nil, e.getInsightSelectors),
	}
}

func (e edge) putEventSelectors(ctx context.Context, g authz.Grant, in *cloudtrailwire.PutEventSelectorsInput) (*cloudtrailwire.PutEventSelectorsOutput, error) {
	old, err := e.trailOf(g, in.TrailName)
	if err != nil {
		return nil, err
	}
	basic, advanced := basicOf(in.EventSelectors), advancedOf(in.AdvancedEventSelectors)
	if err := trail.CheckSelectors(basic, advanced); err != nil {
		return nil, err
	}
	t, err := e.trails.Update(ctx, g, "cloudtrail:PutEventSelectors", old.ARN(), func(t *trail.Trail) error {
		t.Selectors, t.Advanced = basic, advanced
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &cloudtrailwire.PutEventSelectorsOutput{TrailARN: new(t.ARN()), EventSelectors: showBasic(t), AdvancedEventSelectors: showAdvanced(t)}, nil
}

func (e edge) getEventSelectors(_ context.Context, g authz.Grant, in *cloudtrailwire.GetEventSelectorsInput) (*cloudtrailwire.GetEventSelectorsOutput, error) {
	t, err := e.trailOf(g, in.TrailName)
	if err != nil {
		return nil, err
	}
	if err := g.Require("cloudtrail:GetEventSelectors", t.ARN()); err != nil {
		return nil, err
	}
	return &cloudtrailwire.GetEventSelectorsOutput{TrailARN: new(t.ARN()), EventSelectors: showBasic(t), AdvancedEventSelectors: showAdvanced(t)}, nil
}

// getInsightSelectors answers what is so of every trail here.
func (e edge) getInsightSelectors(_ context.Context, g authz.Grant, in *cloudtrailwire.GetInsightSelectorsInput) (*cloudtrailwire.GetInsightSelectorsOutput, error) {
	t, err := e.trailOf(g, in.TrailName)
	if err != nil {
		return nil, err
	}
	if err := g.Require("cloudtrail:GetInsightSelectors", t.ARN()); err != nil {
		return nil, err
	}
	return nil, fault.New(noInsights, "Trail "+t.ARN()+" does not have Insights enabled.")
}

func basicOf(in []cloudtrailwire.EventSelector) []trail.Selector {
	var out []trail.Selector
	for _, s := range in {
		one := trail.Selector{ReadWriteType: string(s.ReadWriteType), Management: s.IncludeManagementEvents == nil || *s.IncludeManagementEvents, Exclude: s.ExcludeManagementEventSources}
		if one.ReadWriteType == "" {
			one.ReadWriteType = "All"
		}
		for _, d := range s.DataResources {
			one.Data = append(one.Data, trail.DataResource{Type: member.Text(d.Type), Values: d.Values})
		}
		out = append(out, one)
	}
	return out
}

func advancedOf(in []cloudtrailwire.AdvancedEventSelector) []trail.AdvancedSelector {
	var out []trail.AdvancedSelector
	for _, s := range in {
		one := trail.AdvancedSelector{Name: member.Text(s.Name)}
		for _, f := range s.FieldSelectors {
			one.Fields = append(one.Fields, trail.Field{
				Name: member.Text(f.Field), Equals: f.Equals, StartsWith: f.StartsWith, EndsWith: f.EndsWith,
				NotEquals: f.NotEquals, NotStartsWith: f.NotStartsWith, NotEndsWith: f.NotEndsWith,
			})
		}
		out = append(out, one)
	}
	return out
}

func showBasic(t *trail.Trail) []cloudtrailwire.EventSelector {
	if len(t.Advanced) > 0 {
		return nil
	}
	return member.Every(t.Effective(), func(s trail.Selector) cloudtrailwire.EventSelector {
		exclude := s.Exclude
		if exclude == nil {
			exclude = []string{}
		}
		return cloudtrailwire.EventSelector{
			ReadWriteType: cloudtrailwire.ReadWriteType(s.ReadWriteType), IncludeManagementEvents: new(s.Management), ExcludeManagementEventSources: exclude,
			DataResources: member.Every(s.Data, func(d trail.DataResource) cloudtrailwire.DataResource {
				return cloudtrailwire.DataResource{Type: new(d.Type), Values: d.Values}
			}),
		}
	})
}

func showAdvanced(t *trail.Trail) []cloudtrailwire.AdvancedEventSelector {
	if len(t.Advanced) == 0 {
		return nil
	}
	return member.Every(t.Advanced, func(s trail.AdvancedSelector) cloudtrailwire.AdvancedEventSelector {
		return cloudtrailwire.AdvancedEventSelector{Name: member.Given(s.Name), FieldSelectors: member.Every(s.Fields, func(f trail.Field) cloudtrailwire.AdvancedFieldSelector {
			return cloudtrailwire.AdvancedFieldSelector{
				Field: new(f.Name), Equals: f.Equals, StartsWith: f.StartsWith, EndsWith: f.EndsWith,
				NotEquals: f.NotEquals, NotStartsWith: f.NotStartsWith, NotEndsWith: f.NotEndsWith,
			}
		})}
	})
}

func (e edge) tagOps() []*api.Op {
	return []*api.Op{
		answer(e, &cloudtrailwire.AddTags, api.Tagging, func(in *cloudtrailwire.AddTagsInput) *string { return in.ResourceId },
			func(in *cloudtrailwire.AddTagsInput) authz.Keys { return bringing(in.TagsList) }, e.addTags),
		answer(e, &cloudtrailwire.RemoveTags, api.Tagging, func(in *cloudtrailwire.RemoveTagsInput) *string { return in.ResourceId },
			func(in *cloudtrailwire.RemoveTagsInput) authz.Keys { return taking(in.TagsList) }, e.removeTags),
		e.listTagsOp(),
	}
}

func tagsOf(tags []cloudtrailwire.Tag) []trail.Tag {
	var out []trail.Tag
	for _, t := range tags {
		out = append(out, trail.Tag{Key: member.Text(t.Key), Value: member.Text(t.Value)})
	}
	return out
}

func (e edge) addTags(ctx context.Context, g authz.Grant, in *cloudtrailwire.AddTagsInput) (*cloudtrailwire.AddTagsOutput, error) {
	old, err := e.trailOf(g, in.ResourceId)
	if err != nil {
		return nil, err
	}
	_, err = e.trails.Update(ctx, g, "cloudtrail:AddTags", old.ARN(), func(t *trail.Trail) error {
		for _, tag := range tagsOf(in.TagsList) {
			t.Tags = append(without(t.Tags, tag.Key), tag)
		}
		return nil
	})
	return &cloudtrailwire.AddTagsOutput{}, err
}

func (e edge) removeTags(ctx context.Context, g authz.Grant, in *cloudtrailwire.RemoveTagsInput) (*cloudtrailwire.RemoveTagsOutput, error) {
	old, err := e.trailOf(g, in.ResourceId)
	if err != nil {
		return nil, err
	}
	_, err = e.trails.Update(ctx, g, "cloudtrail:RemoveTags", old.ARN(), func(t *trail.Trail) error {
		for _, tag := range in.TagsList {
			t.Tags = without(t.Tags, member.Text(tag.Key))
		}
		return nil
	})
	return &cloudtrailwire.RemoveTagsOutput{}, err
}

func without(tags []trail.Tag, key string) []trail.Tag {
	var kept []trail.Tag
	for _, t := range tags {
		if t.Key != key {
			kept = append(kept, t)
		}
	}
	return kept
}
