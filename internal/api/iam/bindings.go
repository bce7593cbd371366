package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// What binds users, groups and roles is the same for all three; only the shapes differ.

// inlinePolicies are the operations on policies that are part of an entity.
type inlinePolicies struct{ edge }

func (e inlinePolicies) ops() []*api.Op {
	return []*api.Op{
		act(e.edge, &iamwire.PutUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutUserPolicyInput) error {
			return e.identities.PutInlinePolicy(ctx, g, on, member.Text(in.PolicyName), member.Text(in.PolicyDocument))
		}),
		act(e.edge, &iamwire.PutGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutGroupPolicyInput) error {
			return e.identities.PutInlinePolicy(ctx, g, on, member.Text(in.PolicyName), member.Text(in.PolicyDocument))
		}),
		act(e.edge, &iamwire.PutRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutRolePolicyInput) error {
			return e.identities.PutInlinePolicy(ctx, g, on, member.Text(in.PolicyName), member.Text(in.PolicyDocument))
		}),
		act(e.edge, &iamwire.DeleteUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteUserPolicyInput) error {
			return e.identities.DeleteInlinePolicy(ctx, g, on, member.Text(in.PolicyName))
		}),
		act(e.edge, &iamwire.DeleteGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteGroupPolicyInput) error {
			return e.identities.DeleteInlinePolicy(ctx, g, on, member.Text(in.PolicyName))
		}),
		act(e.edge, &iamwire.DeleteRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteRolePolicyInput) error {
			return e.identities.DeleteInlinePolicy(ctx, g, on, member.Text(in.PolicyName))
		}),
		answer(e.edge, &iamwire.GetUserPolicy, api.Read, user, e.getUserPolicy),
		answer(e.edge, &iamwire.GetGroupPolicy, api.Read, group, e.getGroupPolicy),
		answer(e.edge, &iamwire.GetRolePolicy, api.Read, role, e.getRolePolicy),
		answer(e.edge, &iamwire.ListUserPolicies, api.List, user, e.listUserPolicies),
		answer(e.edge, &iamwire.ListGroupPolicies, api.List, group, e.listGroupPolicies),
		answer(e.edge, &iamwire.ListRolePolicies, api.List, role, e.listRolePolicies),
	}
}

func (e inlinePolicies) getUserPolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetUserPolicyInput) (*iamwire.GetUserPolicyOutput, error) {
	p, err := e.identities.GetInlinePolicy(ctx, g, on, member.Text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetUserPolicyOutput{UserName: new(on.Name), PolicyName: new(p.Name), PolicyDocument: escaped(p.Document)}, nil
}

func (e inlinePolicies) getGroupPolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetGroupPolicyInput) (*iamwire.GetGroupPolicyOutput, error) {
	p, err := e.identities.GetInlinePolicy(ctx, g, on, member.Text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetGroupPolicyOutput{GroupName: new(on.Name), PolicyName: new(p.Name), PolicyDocument: escaped(p.Document)}, nil
}

func (e inlinePolicies) getRolePolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetRolePolicyInput) (*iamwire.GetRolePolicyOutput, error) {
	p, err := e.identities.GetInlinePolicy(ctx, g, on, member.Text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetRolePolicyOutput{RoleName: new(on.Name), PolicyName: new(p.Name), PolicyDocument: escaped(p.Document)}, nil
}

func (e inlinePolicies) listUserPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListUserPoliciesInput) (*iamwire.ListUserPoliciesOutput, error) {
	l, err := e.identities.ListInlinePolicies(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListUserPoliciesOutput{PolicyNames: l.Items, IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e inlinePolicies) listGroupPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListGroupPoliciesInput) (*iamwire.ListGroupPoliciesOutput, error) {
	l, err := e.identities.ListInlinePolicies(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListGroupPoliciesOutput{PolicyNames: l.Items, IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e inlinePolicies) listRolePolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListRolePoliciesInput) (*iamwire.ListRolePoliciesOutput, error) {
	l, err := e.identities.ListInlinePolicies(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListRolePoliciesOutput{PolicyNames: l.Items, IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

// attachments are the operations on the managed policies that an entity has.
type attachments struct{ edge }

func (e attachments) ops() []*api.Op {
	return []*api.Op{
		act(e.edge, &iamwire.AttachUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AttachUserPolicyInput) error {
			return e.identities.AttachPolicy(ctx, g, on, member.Text(in.PolicyArn))
		}),
		act(e.edge, &iamwire.AttachGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AttachGroupPolicyInput) error {
			return e.identities.AttachPolicy(ctx, g, on, member.Text(in.PolicyArn))
		}),
		act(e.edge, &iamwire.AttachRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AttachRolePolicyInput) error {
			return e.identities.AttachPolicy(ctx, g, on, member.Text(in.PolicyArn))
		}),
		act(e.edge, &iamwire.DetachUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DetachUserPolicyInput) error {
			return e.identities.DetachPolicy(ctx, g, on, member.Text(in.PolicyArn))
		}),
		act(e.edge, &iamwire.DetachGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DetachGroupPolicyInput) error {
			return e.identities.DetachPolicy(ctx, g, on, member.Text(in.PolicyArn))
		}),
		act(e.edge, &iamwire.DetachRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DetachRolePolicyInput) error {
			return e.identities.DetachPolicy(ctx, g, on, member.Text(in.PolicyArn))
		}),
		answer(e.edge, &iamwire.ListAttachedUserPolicies, api.List, user, e.listAttachedUserPolicies),
		answer(e.edge, &iamwire.ListAttachedGroupPolicies, api.List, group, e.listAttachedGroupPolicies),
		answer(e.edge, &iamwire.ListAttachedRolePolicies, api.List, role, e.listAttachedRolePolicies),
	}
}

func (e attachments) listAttachedUserPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListAttachedUserPoliciesInput) (*iamwire.ListAttachedUserPoliciesOutput, error) {
	l, err := e.identities.ListAttachedPolicies(ctx, g, on, member.Text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAttachedUserPoliciesOutput{AttachedPolicies: member.Every(l.Items, showAttached), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e attachments) listAttachedGroupPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListAttachedGroupPoliciesInput) (*iamwire.ListAttachedGroupPoliciesOutput, error) {
	l, err := e.identities.ListAttachedPolicies(ctx, g, on, member.Text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAttachedGroupPoliciesOutput{AttachedPolicies: member.Every(l.Items, showAttached), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e attachments) listAttachedRolePolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListAttachedRolePoliciesInput) (*iamwire.ListAttachedRolePoliciesOutput, error) {
	l, err := e.identities.ListAttachedPolicies(ctx, g, on, member.Text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAttachedRolePoliciesOutput{AttachedPolicies: member.Every(l.Items, showAttached), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

// boundaries are the operations on permissions boundaries.
type boundaries struct{ edge }

func (e boundaries) ops() []*api.Op {
	return []*api.Op{
		act(e.edge, &iamwire.PutUserPermissionsBoundary, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutUserPermissionsBoundaryInput) error {
			return e.identities.PutPermissionsBoundary(ctx, g, on, member.Text(in.PermissionsBoundary))
		}),
		act(e.edge, &iamwire.PutRolePermissionsBoundary, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutRolePermissionsBoundaryInput) error {
			return e.identities.PutPermissionsBoundary(ctx, g, on, member.Text(in.PermissionsBoundary))
		}),
		act(e.edge, &iamwire.DeleteUserPermissionsBoundary, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteUserPermissionsBoundaryInput) error {
			return e.identities.DeletePermissionsBoundary(ctx, g, on)
		}),
		act(e.edge, &iamwire.DeleteRolePermissionsBoundary, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteRolePermissionsBoundaryInput) error {
			return e.identities.DeletePermissionsBoundary(ctx, g, on)
		}),
	}
}
