package iam

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// roles are the operations on roles.
type roles struct{ edge }

func (e roles) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateRole, api.Write, created(identity.KindRole, "RoleName"), e.createRole),
		answer(e.edge, &iamwire.GetRole, api.Read, role, e.getRole),
		answer(e.edge, &iamwire.ListRoles, api.List, anything, e.listRoles),
		act(e.edge, &iamwire.UpdateRole, api.Write, role, e.updateRole),
		act(e.edge, &iamwire.UpdateAssumeRolePolicy, api.Permissions, role, e.updateAssumeRolePolicy),
		act(e.edge, &iamwire.DeleteRole, api.Write, role, e.deleteRole),
		answer(e.edge, &iamwire.CreateServiceLinkedRole, api.Write, serviceLinked, e.createServiceLinkedRole),
		answer(e.edge, &iamwire.DeleteServiceLinkedRole, api.Write, role, e.deleteServiceLinkedRole),
		answer(e.edge, &iamwire.GetServiceLinkedRoleDeletionStatus, api.Read, deletedRole, e.getServiceLinkedRoleDeletionStatus),
	}
}

func (e roles) createRole(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateRoleInput) (*iamwire.CreateRoleOutput, error) {
	r, err := e.identities.CreateRole(ctx, g, on.Account, identity.CreateRoleInput{
		RoleName: on.Name, Path: member.Text(in.Path), AssumeRolePolicyDocument: member.Text(in.AssumeRolePolicyDocument),
		Description: member.Text(in.Description), PermissionsBoundary: member.Text(in.PermissionsBoundary),
		MaxSessionDuration: member.Number(in.MaxSessionDuration), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateRoleOutput{Role: new(showRole(r))}, nil
}

func (e roles) getRole(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetRoleInput) (*iamwire.GetRoleOutput, error) {
	r, err := e.identities.GetRole(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	shown := showRole(r)
	shown.RoleLastUsed = showUse(r.LastUsed)
	return &iamwire.GetRoleOutput{Role: &shown}, nil
}

func (e roles) listRoles(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListRolesInput) (*iamwire.ListRolesOutput, error) {
	l, err := e.identities.ListRoles(ctx, g, on.Account, member.Text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListRolesOutput{Roles: member.Every(l.Items, showRole), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e roles) updateRole(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateRoleInput) error {
	return e.identities.UpdateRole(ctx, g, on.Account, on.Name, in.Description, member.Number(in.MaxSessionDuration))
}

func (e roles) updateAssumeRolePolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateAssumeRolePolicyInput) error {
	return e.identities.UpdateAssumeRolePolicy(ctx, g, on.Account, on.Name, member.Text(in.PolicyDocument))
}

func (e roles) deleteRole(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteRoleInput) error {
	return e.identities.DeleteRole(ctx, g, on.Account, on.Name)
}

// serviceLinked is the role that a service would get.
func serviceLinked(_ edge, p policy.Principal, in input) (target, error) {
	arn := identity.ServiceLinkedRoleARN(p.Account, in.text("AWSServiceName"), in.text("CustomSuffix"))
	return target{identity.Ref{Kind: identity.KindRole, Account: p.Account}, arn}, nil
}

func (e roles) createServiceLinkedRole(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateServiceLinkedRoleInput) (*iamwire.CreateServiceLinkedRoleOutput, error) {
	r, err := e.identities.CreateServiceLinkedRole(ctx, g, on.Account, member.Text(in.AWSServiceName), member.Text(in.Description), member.Text(in.CustomSuffix))
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateServiceLinkedRoleOutput{Role: new(showRole(r))}, nil
}

func (e roles) deleteServiceLinkedRole(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteServiceLinkedRoleInput) (*iamwire.DeleteServiceLinkedRoleOutput, error) {
	task, err := e.identities.DeleteServiceLinkedRole(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	return &iamwire.DeleteServiceLinkedRoleOutput{DeletionTaskId: new(task)}, nil
}

// deletedRole is the role that a deletion task is about: task/aws-service-role/SERVICE/NAME/ID.
func deletedRole(_ edge, p policy.Principal, in input) (target, error) {
	parts := strings.Split(in.text("DeletionTaskId"), "/")
	if len(parts) != 5 || parts[0] != "task" || parts[1] != "aws-service-role" {
		return target{}, fault.New(identity.InvalidInput, "The deletion task id is invalid.")
	}
	ref := identity.Ref{Kind: identity.KindRole, Account: p.Account, Name: parts[3]}
	return target{ref, identity.ARN(p.Account, identity.KindRole, "/aws-service-role/"+parts[2]+"/", parts[3])}, nil
}

// getServiceLinkedRoleDeletionStatus: a task ends before its id is told, so that the only question left
// is whether the role with the unique id is gone.
func (e roles) getServiceLinkedRoleDeletionStatus(_ context.Context, _ authz.Grant, on identity.Ref, in *iamwire.GetServiceLinkedRoleDeletionStatusInput) (*iamwire.GetServiceLinkedRoleDeletionStatusOutput, error) {
	task := member.Text(in.DeletionTaskId)
	arn, there := e.identities.ARNOf(strings.ToUpper(task[strings.LastIndexByte(task, '/')+1:]))
	if there && strings.HasPrefix(arn, "arn:aws:iam::"+on.Account+":") {
		return nil, fault.New(identity.NoSuchEntity, "The deletion task "+task+" cannot be found.")
	}
	return &iamwire.GetServiceLinkedRoleDeletionStatusOutput{Status: "SUCCEEDED"}, nil
}
