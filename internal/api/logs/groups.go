package logs

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/logswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/logs"
)

func (e edge) groupOps() []*api.Op {
	return []*api.Op{
		e.createGroup(), e.describeGroups(),
		on(e, &logswire.DeleteLogGroup, audit.Management, api.Write, "logs:DeleteLogGroup",
			func(_ edge, c *api.Call, in *logswire.DeleteLogGroupInput) (place, error) {
				return group(c, in.LogGroupName)
			},
			func(ctx context.Context, g authz.Grant, at place, _ *logswire.DeleteLogGroupInput) (*logswire.DeleteLogGroupOutput, error) {
				return &logswire.DeleteLogGroupOutput{}, e.logs.DeleteGroup(ctx, g, at.account, at.group)
			}),
		on(e, &logswire.PutRetentionPolicy, audit.Management, api.Write, "logs:PutRetentionPolicy",
			func(_ edge, c *api.Call, in *logswire.PutRetentionPolicyInput) (place, error) {
				return group(c, in.LogGroupName)
			},
			func(ctx context.Context, g authz.Grant, at place, in *logswire.PutRetentionPolicyInput) (*logswire.PutRetentionPolicyOutput, error) {
				return &logswire.PutRetentionPolicyOutput{}, e.logs.SetRetention(ctx, g, at.account, at.group, int32(member.Number(in.RetentionInDays)))
			}),
		on(e, &logswire.DeleteRetentionPolicy, audit.Management, api.Write, "logs:DeleteRetentionPolicy",
			func(_ edge, c *api.Call, in *logswire.DeleteRetentionPolicyInput) (place, error) {
				return group(c, in.LogGroupName)
			},
			func(ctx context.Context, g authz.Grant, at place, _ *logswire.DeleteRetentionPolicyInput) (*logswire.DeleteRetentionPolicyOutput, error) {
				return &logswire.DeleteRetentionPolicyOutput{}, e.logs.DropRetention(ctx, g, at.account, at.group)
			}),
		on(e, &logswire.PutLogGroupDeletionProtection, audit.Management, api.Write, "logs:PutLogGroupDeletionProtection",
			func(e edge, c *api.Call, in *logswire.PutLogGroupDeletionProtectionInput) (place, error) {
				return e.identified(c, nil, in.LogGroupIdentifier)
			},
			func(ctx context.Context, g authz.Grant, at place, in *logswire.PutLogGroupDeletionProtectionInput) (*logswire.PutLogGroupDeletionProtectionOutput, error) {
				return &logswire.PutLogGroupDeletionProtectionOutput{}, e.logs.Protect(ctx, g, at.account, at.group, member.True(in.DeletionProtectionEnabled))
			}),
		on(e, &logswire.AssociateKmsKey, audit.Management, api.Write, "logs:AssociateKmsKey",
			func(e edge, c *api.Call, in *logswire.AssociateKmsKeyInput) (place, error) {
				return e.keyed(c, in.LogGroupName, in.ResourceIdentifier)
			},
			func(ctx context.Context, g authz.Grant, at place, in *logswire.AssociateKmsKeyInput) (*logswire.AssociateKmsKeyOutput, error) {
				return &logswire.AssociateKmsKeyOutput{}, e.logs.AssociateKey(ctx, g, at.account, at.group, member.Text(in.KmsKeyId))
			}),
		on(e, &logswire.DisassociateKmsKey, audit.Management, api.Write, "logs:DisassociateKmsKey",
			func(e edge, c *api.Call, in *logswire.DisassociateKmsKeyInput) (place, error) {
				return e.keyed(c, in.LogGroupName, in.ResourceIdentifier)
			},
			func(ctx context.Context, g authz.Grant, at place, _ *logswire.DisassociateKmsKeyInput) (*logswire.DisassociateKmsKeyOutput, error) {
				return &logswire.DisassociateKmsKeyOutput{}, e.logs.DisassociateKey(ctx, g, at.account, at.group)
			}),
	}
}

// keyed is the group whose key is changed. Results of queries, which have keys too, Kura does not have.
func (e edge) keyed(c *api.Call, name, identifier *string) (place, error) {
	if strings.Contains(member.Text(identifier), ":query-result:") {
		return place{}, refuse(logs.Unsupported, "Keys of query results are not supported.")
	}
	return e.identified(c, name, identifier)
}

func (e edge) createGroup() *api.Op {
	return api.Declare(api.Decl[logswire.CreateLogGroupInput, logswire.CreateLogGroupOutput]{
		Wire: &logswire.CreateLogGroup, Class: audit.Management, Access: api.Write,
		Demands: func(c *api.Call, in *logswire.CreateLogGroupInput) ([]authz.Demand, error) {
			name := member.Text(in.LogGroupName)
			if len(in.Tags) > 0 {
				d := e.logs.TagDemand(account(c), name, "logs:TagResource", authz.RequestTags(in.Tags))
				c.Need(d.Action, d.Resource, d.Keys)
			}
			d := e.logs.NewDemand(account(c), name, "logs:CreateLogGroup", in.Tags)
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *logswire.CreateLogGroupInput) (*logswire.CreateLogGroupOutput, error) {
			if in.LogGroupClass != "" && in.LogGroupClass != logswire.LogGroupClassStandard {
				return nil, refuse(logs.Unsupported, "Log groups of the class %s are not supported.", in.LogGroupClass)
			}
			return &logswire.CreateLogGroupOutput{}, e.logs.CreateGroup(ctx, g, logs.NewGroup{
				Account: account(c), Name: member.Text(in.LogGroupName), Key: member.Text(in.KmsKeyId),
				Protected: member.True(in.DeletionProtectionEnabled), Tags: in.Tags,
			})
		},
	})
}

func (e edge) describeGroups() *api.Op {
	return api.Declare(api.Decl[logswire.DescribeLogGroupsInput, logswire.DescribeLogGroupsOutput]{
		Wire: &logswire.DescribeLogGroups, Class: audit.Management, Access: api.List,
		Demands: func(c *api.Call, _ *logswire.DescribeLogGroupsInput) ([]authz.Demand, error) {
			d := e.logs.Demand(account(c), "", "", "logs:DescribeLogGroups")
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(_ context.Context, g authz.Grant, c *api.Call, in *logswire.DescribeLogGroupsInput) (*logswire.DescribeLogGroupsOutput, error) {
			w, err := e.wanted(c, in)
			if err != nil {
				return nil, err
			}
			out := &logswire.DescribeLogGroupsOutput{LogGroups: []logswire.LogGroup{}}
			if in.LogGroupClass != "" && in.LogGroupClass != logswire.LogGroupClassStandard {
				return out, nil // there are none
			}
			groups, more, err := e.logs.Groups(g, account(c), w)
			if err != nil {
				return nil, err
			}
			out.LogGroups = member.Every(groups, e.shown)
			if more {
				out.NextToken = tokenAfter(groups[len(groups)-1].Name)
			}
			return out, nil
		},
	})
}

func (e edge) wanted(c *api.Call, in *logswire.DescribeLogGroupsInput) (w logs.GroupsWanted, err error) {
	if member.True(in.IncludeLinkedAccounts) || len(in.AccountIdentifiers) > 0 {
		return w, refuse(logs.Unsupported, "Linked accounts are not supported.")
	}
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return w, refuse(logs.Invalid, "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	w = logs.GroupsWanted{Prefix: member.Text(in.LogGroupNamePrefix), Contains: member.Text(in.LogGroupNamePattern), Most: pageSize(in.Limit)}
	for i := range in.LogGroupIdentifiers {
		at, err := e.identified(c, nil, &in.LogGroupIdentifiers[i])
		if err != nil {
			return w, err
		}
		if at.account != account(c) {
			return w, refuse(logs.Unsupported, "Linked accounts are not supported.")
		}
		w.Names = append(w.Names, at.group)
	}
	w.After, err = afterToken(in.NextToken)
	return w, err
}

func (e edge) shown(g *logs.Group) logswire.LogGroup {
	arn := e.logs.GroupARN(g.Account, g.Name)
	out := logswire.LogGroup{
		LogGroupName: &g.Name, CreationTime: new(g.Created.UnixMilli()), MetricFilterCount: new(int32(0)), Arn: new(arn + ":*"), LogGroupArn: &arn,
		StoredBytes: new(e.logs.StoredBytes(g)), KmsKeyId: member.Given(g.Key), LogGroupClass: logswire.LogGroupClassStandard,
		DeletionProtectionEnabled: new(g.Protected),
	}
	if g.Retention != 0 {
		out.RetentionInDays = &g.Retention
	}
	return out
}

// tagged declares an operation on tags by the group's ARN; tags are those that it adds or takes.
func tagged[In any](e edge, action string, arn func(*In) *string, tags func(*In) authz.Keys) func(*api.Call, *In) ([]authz.Demand, error) {
	return func(c *api.Call, in *In) ([]authz.Demand, error) {
		at, err := e.resource(arn(in))
		if err != nil {
			return nil, err
		}
		d := e.logs.TagDemand(at.account, at.group, action, tags(in))
		return c.Need(d.Action, d.Resource, d.Keys), nil
	}
}

// formerly declares the demands of an operation on tags by the group's name.
func formerly[In any](e edge, action string, name func(*In) *string, tags func(*In) authz.Keys) func(*api.Call, *In) ([]authz.Demand, error) {
	return func(c *api.Call, in *In) ([]authz.Demand, error) {
		of := member.Text(name(in))
		d := e.logs.Demand(account(c), of, "", action)
		d.Keys = e.logs.TagDemand(account(c), of, action, tags(in)).Keys
		return c.Need(d.Action, d.Resource, d.Keys), nil
	}
}

func (e edge) tagOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[logswire.TagResourceInput, logswire.TagResourceOutput]{
			Wire: &logswire.TagResource, Class: audit.Management, Access: api.Tagging,
			Demands: tagged(e, "logs:TagResource", func(in *logswire.TagResourceInput) *string { return in.ResourceArn },
				func(in *logswire.TagResourceInput) authz.Keys { return authz.RequestTags(in.Tags) }),
			Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *logswire.TagResourceInput) (*logswire.TagResourceOutput, error) {
				at, err := e.resource(in.ResourceArn)
				if err != nil {
					return nil, err
				}
				return &logswire.TagResourceOutput{}, e.logs.Tag(ctx, g, at.account, at.group, in.Tags)
			},
		}),
		api.Declare(api.Decl[logswire.UntagResourceInput, logswire.UntagResourceOutput]{
			Wire: &logswire.UntagResource, Class: audit.Management, Access: api.Tagging,
			Demands: tagged(e, "logs:UntagResource", func(in *logswire.UntagResourceInput) *string { return in.ResourceArn },
				func(in *logswire.UntagResourceInput) authz.Keys { return authz.TagKeys(in.TagKeys) }),
			Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *logswire.UntagResourceInput) (*logswire.UntagResourceOutput, error) {
				at, err := e.resource(in.ResourceArn)
				if err != nil {
					return nil, err
				}
				return &logswire.UntagResourceOutput{}, e.logs.Untag(ctx, g, at.account, at.group, in.TagKeys)
			},
		}),
		api.Declare(api.Decl[logswire.ListTagsForResourceInput, logswire.ListTagsForResourceOutput]{
			Wire: &logswire.ListTagsForResource, Class: audit.Management, Access: api.List,
			Demands: tagged(e, "logs:ListTagsForResource", func(in *logswire.ListTagsForResourceInput) *string { return in.ResourceArn },
				func(*logswire.ListTagsForResourceInput) authz.Keys { return nil }),
			Do: func(_ context.Context, g authz.Grant, _ *api.Call, in *logswire.ListTagsForResourceInput) (*logswire.ListTagsForResourceOutput, error) {
				at, err := e.resource(in.ResourceArn)
				if err != nil {
					return nil, err
				}
				tags, err := e.logs.Tags(g, at.account, at.group)
				return &logswire.ListTagsForResourceOutput{Tags: given(tags)}, err
			},
		}),
		api.Declare(api.Decl[logswire.TagLogGroupInput, logswire.TagLogGroupOutput]{
			Wire: &logswire.TagLogGroup, Class: audit.Management, Access: api.Tagging,
			Demands: formerly(e, "logs:TagLogGroup", func(in *logswire.TagLogGroupInput) *string { return in.LogGroupName },
				func(in *logswire.TagLogGroupInput) authz.Keys { return authz.RequestTags(in.Tags) }),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *logswire.TagLogGroupInput) (*logswire.TagLogGroupOutput, error) {
				return &logswire.TagLogGroupOutput{}, e.logs.Tag(ctx, g, account(c), member.Text(in.LogGroupName), in.Tags)
			},
		}),
		api.Declare(api.Decl[logswire.UntagLogGroupInput, logswire.UntagLogGroupOutput]{
			Wire: &logswire.UntagLogGroup, Class: audit.Management, Access: api.Tagging,
			Demands: formerly(e, "logs:UntagLogGroup", func(in *logswire.UntagLogGroupInput) *string { return in.LogGroupName },
				func(in *logswire.UntagLogGroupInput) authz.Keys { return authz.TagKeys(in.Tags) }),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *logswire.UntagLogGroupInput) (*logswire.UntagLogGroupOutput, error) {
				return &logswire.UntagLogGroupOutput{}, e.logs.Untag(ctx, g, account(c), member.Text(in.LogGroupName), in.Tags)
			},
		}),
		api.Declare(api.Decl[logswire.ListTagsLogGroupInput, logswire.ListTagsLogGroupOutput]{
			Wire: &logswire.ListTagsLogGroup, Class: audit.Management, Access: api.List,
			Demands: formerly(e, "logs:ListTagsLogGroup", func(in *logswire.ListTagsLogGroupInput) *string { return in.LogGroupName },
				func(*logswire.ListTagsLogGroupInput) authz.Keys { return nil }),
			Do: func(_ context.Context, g authz.Grant, c *api.Call, in *logswire.ListTagsLogGroupInput) (*logswire.ListTagsLogGroupOutput, error) {
				tags, err := e.logs.Tags(g, account(c), member.Text(in.LogGroupName))
				return &logswire.ListTagsLogGroupOutput{Tags: given(tags)}, err
			},
		}),
	}
}

// given is never nil, so that no tags are answered as none.
func given(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}
