package sns

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/snswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/sns"
	"github.com/kura-s3/kura/policy"
)

func (e edge) topicOps() []*api.Op {
	return []*api.Op{
		e.createTopic(),
		on(e, &snswire.DeleteTopic, audit.Management, api.Write, func(in *snswire.DeleteTopicInput) *string { return in.TopicArn },
			func(ctx context.Context, g authz.Grant, t *sns.Topic, _ *snswire.DeleteTopicInput) (*snswire.DeleteTopicOutput, error) {
				return &snswire.DeleteTopicOutput{}, e.topics.Delete(ctx, g, t)
			}),
		e.listTopics(),
		on(e, &snswire.GetTopicAttributes, audit.Management, api.Read, func(in *snswire.GetTopicAttributesInput) *string { return in.TopicArn },
			func(_ context.Context, g authz.Grant, t *sns.Topic, _ *snswire.GetTopicAttributesInput) (*snswire.GetTopicAttributesOutput, error) {
				all, err := e.topics.Attributes(g, t)
				return &snswire.GetTopicAttributesOutput{Attributes: all}, err
			}),
		on(e, &snswire.SetTopicAttributes, audit.Management, api.Permissions, func(in *snswire.SetTopicAttributesInput) *string { return in.TopicArn },
			func(ctx context.Context, g authz.Grant, t *sns.Topic, in *snswire.SetTopicAttributesInput) (*snswire.SetTopicAttributesOutput, error) {
				return &snswire.SetTopicAttributesOutput{}, e.topics.SetAttribute(ctx, g, t, member.Text(in.AttributeName), member.Text(in.AttributeValue))
			}),
		on(e, &snswire.AddPermission, audit.Management, api.Permissions, func(in *snswire.AddPermissionInput) *string { return in.TopicArn },
			func(ctx context.Context, g authz.Grant, t *sns.Topic, in *snswire.AddPermissionInput) (*snswire.AddPermissionOutput, error) {
				return &snswire.AddPermissionOutput{}, e.topics.AddPermission(ctx, g, t, member.Text(in.Label), in.AWSAccountId, in.ActionName)
			}),
		on(e, &snswire.RemovePermission, audit.Management, api.Permissions, func(in *snswire.RemovePermissionInput) *string { return in.TopicArn },
			func(ctx context.Context, g authz.Grant, t *sns.Topic, in *snswire.RemovePermissionInput) (*snswire.RemovePermissionOutput, error) {
				return &snswire.RemovePermissionOutput{}, e.topics.RemovePermission(ctx, g, t, member.Text(in.Label))
			}),
		e.tagResource(), e.untagResource(), e.listTags(),
	}
}

// guard watches over a change of a topic's policy.
func (e edge) guard(d *authz.Demand, in any) {
	switch in := in.(type) {
	case *snswire.SetTopicAttributesInput:
		if member.Text(in.AttributeName) == "Policy" {
			e.exposes.Guard(d, policy.Resource, member.Text(in.AttributeValue))
		}
	case *snswire.CreateTopicInput:
		if text, ok := in.Attributes["Policy"]; ok {
			e.exposes.Guard(d, policy.Resource, text)
		}
	case *snswire.AddPermissionInput:
		added := exposure.Statement{Principal: map[string][]string{"AWS": in.AWSAccountId}}
		for _, name := range in.ActionName {
			added.Actions = append(added.Actions, "SNS:"+name)
		}
		e.exposes.GuardAdded(d, policy.Resource, added)
	case *snswire.RemovePermissionInput: // the statement may be a Deny
		r := d.Resource
		d.Keys = e.exposes.Keys(d.Keys, func() exposure.Change {
			return exposure.Change{ARN: r.ARN, Account: r.Account, Kind: policy.Resource, Before: r.Policy, After: e.policyWithout(r.ARN, member.Text(in.Label))}
		})
	}
}

// policyWithout is a topic's policy without a statement.
func (e edge) policyWithout(arn, label string) string {
	t, err := e.topics.Topic(arn)
	if err != nil {
		return exposure.Unreadable
	}
	text, err := e.topics.PolicyWithout(t, label)
	if err != nil {
		return exposure.Unreadable
	}
	return text
}

func (e edge) createTopic() *api.Op {
	return api.Declare(api.Decl[snswire.CreateTopicInput, snswire.CreateTopicOutput]{
		Wire: &snswire.CreateTopic, Class: audit.Management, Access: api.Write,
		Demands: func(c *api.Call, in *snswire.CreateTopicInput) ([]authz.Demand, error) {
			tags, err := tagsOf(in.Tags)
			if err != nil {
				return nil, err
			}
			d := e.topics.NewDemand(account(c), member.Text(in.Name), "sns:CreateTopic", authz.RequestTags(tags))
			if len(tags) > 0 {
				c.Need("sns:TagResource", d.Resource, d.Keys)
			}
			e.guard(&d, in)
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *snswire.CreateTopicInput) (*snswire.CreateTopicOutput, error) {
			if member.Text(in.DataProtectionPolicy) != "" {
				return nil, fault.New(sns.InvalidParameter, "Invalid parameter: DataProtectionPolicy Reason: data protection policies are not supported")
			}
			tags, err := tagsOf(in.Tags)
			if err != nil {
				return nil, err
			}
			t, err := e.topics.Create(ctx, g, account(c), member.Text(in.Name), in.Attributes, tags)
			if err != nil {
				return nil, err
			}
			return &snswire.CreateTopicOutput{TopicArn: &t.ARN}, nil
		},
	})
}

func (e edge) listTopics() *api.Op {
	return api.Declare(api.Decl[snswire.ListTopicsInput, snswire.ListTopicsOutput]{
		Wire: &snswire.ListTopics, Class: audit.Management, Access: api.List,
		Demands: func(c *api.Call, _ *snswire.ListTopicsInput) ([]authz.Demand, error) {
			return nowhere("sns:ListTopics")(c), nil
		},
		Do: func(_ context.Context, g authz.Grant, c *api.Call, in *snswire.ListTopicsInput) (*snswire.ListTopicsOutput, error) {
			at, err := after(in.NextToken)
			if err != nil {
				return nil, err
			}
			arns, more, err := e.topics.List(g, account(c), at)
			if err != nil {
				return nil, err
			}
			out := &snswire.ListTopicsOutput{Topics: []snswire.Topic{}}
			for i := range arns {
				out.Topics = append(out.Topics, snswire.Topic{TopicArn: &arns[i]})
			}
			if more {
				out.NextToken = next(more, arns[len(arns)-1])
			}
			return out, nil
		},
	})
}

// tagged finds a topic whose tags are asked for.
func (e edge) tagged(arn *string) (*sns.Topic, error) {
	t, err := e.topics.Topic(member.Text(arn))
	if err != nil {
		return nil, fault.New(sns.NoResource, "Resource does not exist")
	}
	return t, nil
}

// tagDemand is demand with the answer that the tag operations give for what is not there.
func (e edge) tagDemand(c *api.Call, arn *string, action string, tags authz.Keys) ([]authz.Demand, error) {
	demands, err := e.demand(c, member.Text(arn), action, tags)
	if fault.Is(err, sns.NotFound) {
		return nil, fault.New(sns.NoResource, "Resource does not exist")
	}
	return demands, err
}

func (e edge) tagResource() *api.Op {
	return api.Declare(api.Decl[snswire.TagResourceInput, snswire.TagResourceOutput]{
		Wire: &snswire.TagResource, Class: audit.Management, Access: api.Tagging,
		Demands: func(c *api.Call, in *snswire.TagResourceInput) ([]authz.Demand, error) {
			tags, err := tagsOf(in.Tags)
			if err != nil {
				return nil, err
			}
			return e.tagDemand(c, in.ResourceArn, "sns:TagResource", authz.RequestTags(tags))
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *snswire.TagResourceInput) (*snswire.TagResourceOutput, error) {
			t, err := e.tagged(in.ResourceArn)
			if err != nil {
				return nil, err
			}
			tags, err := tagsOf(in.Tags)
			if err != nil {
				return nil, err
			}
			return &snswire.TagResourceOutput{}, e.topics.Tag(ctx, g, t, tags)
		},
	})
}

func (e edge) untagResource() *api.Op {
	return api.Declare(api.Decl[snswire.UntagResourceInput, snswire.UntagResourceOutput]{
		Wire: &snswire.UntagResource, Class: audit.Management, Access: api.Tagging,
		Demands: func(c *api.Call, in *snswire.UntagResourceInput) ([]authz.Demand, error) {
			return e.tagDemand(c, in.ResourceArn, "sns:UntagResource", authz.TagKeys(in.TagKeys))
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *snswire.UntagResourceInput) (*snswire.UntagResourceOutput, error) {
			t, err := e.tagged(in.ResourceArn)
			if err != nil {
				return nil, err
			}
			return &snswire.UntagResourceOutput{}, e.topics.Untag(ctx, g, t, in.TagKeys)
		},
	})
}

func (e edge) listTags() *api.Op {
	return api.Declare(api.Decl[snswire.ListTagsForResourceInput, snswire.ListTagsForResourceOutput]{
		Wire: &snswire.ListTagsForResource, Class: audit.Management, Access: api.Read,
		Demands: func(c *api.Call, in *snswire.ListTagsForResourceInput) ([]authz.Demand, error) {
			return e.tagDemand(c, in.ResourceArn, "sns:ListTagsForResource", nil)
		},
		Do: func(_ context.Context, g authz.Grant, _ *api.Call, in *snswire.ListTagsForResourceInput) (*snswire.ListTagsForResourceOutput, error) {
			t, err := e.tagged(in.ResourceArn)
			if err != nil {
				return nil, err
			}
			if err := g.Require("sns:ListTagsForResource", t.ARN); err != nil {
				return nil, err
			}
			out := &snswire.ListTagsForResourceOutput{Tags: []snswire.Tag{}}
			for k, v := range t.Tags {
				out.Tags = append(out.Tags, snswire.Tag{Key: new(k), Value: new(v)})
			}
			return out, nil
		},
	})
}
