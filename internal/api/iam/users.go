package iam

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// users are the operations on users.
type users struct{ edge }

func (e users) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateUser, api.Write, created(identity.KindUser, "UserName"), e.createUser),
		answer(e.edge, &iamwire.GetUser, api.Read, userRootOrSelf, e.getUser),
		answer(e.edge, &iamwire.ListUsers, api.List, anything, e.listUsers),
		act(e.edge, &iamwire.UpdateUser, api.Write, user, e.updateUser, renamedUser),
		act(e.edge, &iamwire.DeleteUser, api.Write, user, e.deleteUser),
		answer(e.edge, &iamwire.ListGroupsForUser, api.List, user, e.listGroupsForUser),
	}
}

func (e users) createUser(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateUserInput) (*iamwire.CreateUserOutput, error) {
	u, err := e.identities.CreateUser(ctx, g, on.Account, identity.CreateUserInput{
		UserName: on.Name, Path: member.Text(in.Path), PermissionsBoundary: member.Text(in.PermissionsBoundary), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateUserOutput{User: new(showUser(u))}, nil
}

func (e users) getUser(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetUserInput) (*iamwire.GetUserOutput, error) {
	if on.Name == "" {
		return &iamwire.GetUserOutput{User: rootUser(on.Account)}, nil
	}
	u, err := e.identities.GetUser(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	return &iamwire.GetUserOutput{User: new(showUser(u))}, nil
}

// rootUser is the root user as GetUser and ListVirtualMFADevices show it: it has no name and no path.
func rootUser(account string) *iamwire.User {
	return &iamwire.User{UserId: new(account), Arn: new(identity.RootARN(account))}
}

func (e users) listUsers(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListUsersInput) (*iamwire.ListUsersOutput, error) {
	l, err := e.identities.ListUsers(ctx, g, on.Account, member.Text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListUsersOutput{Users: member.Every(l.Items, showUser), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e users) updateUser(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateUserInput) error {
	return e.identities.UpdateUser(ctx, g, on.Account, on.Name, member.Text(in.NewUserName), member.Text(in.NewPath))
}

// renamedUser is what a renaming is about as well: the ARN that the user will have.
func renamedUser(_ edge, on target, in *iamwire.UpdateUserInput) []authz.Demand {
	return on.renamed("iam:UpdateUser", member.Text(in.NewUserName), member.Text(in.NewPath))
}

// renamed demands the action on the ARN of the entity after it got a new name or path.
func (on target) renamed(action, name, path string) []authz.Demand {
	slash, last := strings.IndexByte(on.arn, '/'), strings.LastIndexByte(on.arn, '/')
	if name == "" {
		name = on.arn[last+1:]
	}
	if path == "" {
		path = on.arn[slash : last+1]
	}
	arn := identity.ARN(on.Account, on.Kind, path, name)
	if arn == on.arn {
		return nil
	}
	return []authz.Demand{on.demand(action, arn)}
}

func (e users) deleteUser(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteUserInput) error {
	return e.identities.DeleteUser(ctx, g, on.Account, on.Name)
}

func (e users) listGroupsForUser(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListGroupsForUserInput) (*iamwire.ListGroupsForUserOutput, error) {
	l, err := e.identities.ListGroupsForUser(ctx, g, on.Account, on.Name, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListGroupsForUserOutput{Groups: member.Every(l.Items, showGroup), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}
