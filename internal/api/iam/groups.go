package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// groups are the operations on groups.
type groups struct{ edge }

func (e groups) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateGroup, api.Write, created(identity.KindGroup, "GroupName"), e.createGroup),
		answer(e.edge, &iamwire.GetGroup, api.Read, group, e.getGroup),
		answer(e.edge, &iamwire.ListGroups, api.List, anything, e.listGroups),
		act(e.edge, &iamwire.UpdateGroup, api.Write, group, e.updateGroup, renamedGroup),
		act(e.edge, &iamwire.DeleteGroup, api.Write, group, e.deleteGroup),
		act(e.edge, &iamwire.AddUserToGroup, api.Write, group, e.addUserToGroup),
		act(e.edge, &iamwire.RemoveUserFromGroup, api.Write, group, e.removeUserFromGroup),
	}
}

func (e groups) createGroup(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateGroupInput) (*iamwire.CreateGroupOutput, error) {
	made, err := e.identities.CreateGroup(ctx, g, on.Account, on.Name, member.Text(in.Path))
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateGroupOutput{Group: new(showGroup(made))}, nil
}

func (e groups) getGroup(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetGroupInput) (*iamwire.GetGroupOutput, error) {
	found, l, err := e.identities.GetGroup(ctx, g, on.Account, on.Name, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetGroupOutput{
		Group: new(showGroup(found)), Users: member.Every(l.Items, showUser), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker),
	}, nil
}

func (e groups) listGroups(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListGroupsInput) (*iamwire.ListGroupsOutput, error) {
	l, err := e.identities.ListGroups(ctx, g, on.Account, member.Text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListGroupsOutput{Groups: member.Every(l.Items, showGroup), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e groups) updateGroup(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateGroupInput) error {
	return e.identities.UpdateGroup(ctx, g, on.Account, on.Name, member.Text(in.NewGroupName), member.Text(in.NewPath))
}

func renamedGroup(_ edge, on target, in *iamwire.UpdateGroupInput) []authz.Demand {
	return on.renamed("iam:UpdateGroup", member.Text(in.NewGroupName), member.Text(in.NewPath))
}

func (e groups) deleteGroup(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteGroupInput) error {
	return e.identities.DeleteGroup(ctx, g, on.Account, on.Name)
}

func (e groups) addUserToGroup(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AddUserToGroupInput) error {
	return e.identities.AddUserToGroup(ctx, g, on.Account, on.Name, member.Text(in.UserName))
}

func (e groups) removeUserFromGroup(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.RemoveUserFromGroupInput) error {
	return e.identities.RemoveUserFromGroup(ctx, g, on.Account, on.Name, member.Text(in.UserName))
}
