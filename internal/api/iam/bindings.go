package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// What binds users, groups and roles is the same for all three; only the shapes differ.

func (e edge) inlinePolicies() []*api.Op {
	return []*api.Op{
		act(e, &iamwire.PutUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutUserPolicyInput) error {
			return e.identities.PutInlinePolicy(ctx, g, on, text(in.PolicyName), text(in.PolicyDocument))
		}),
		act(e, &iamwire.PutGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutGroupPolicyInput) error {
			return e.identities.PutInlinePolicy(ctx, g, on, text(in.PolicyName), text(in.PolicyDocument))
		}),
		act(e, &iamwire.PutRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutRolePolicyInput) error {
			return e.identities.PutInlinePolicy(ctx, g, on, text(in.PolicyName), text(in.PolicyDocument))
		}),
		act(e, &iamwire.DeleteUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteUserPolicyInput) error {
			return e.identities.DeleteInlinePolicy(ctx, g, on, text(in.PolicyName))
		}),
		act(e, &iamwire.DeleteGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteGroupPolicyInput) error {
			return e.identities.DeleteInlinePolicy(ctx, g, on, text(in.PolicyName))
		}),
		act(e, &iamwire.DeleteRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteRolePolicyInput) error {
			return e.identities.DeleteInlinePolicy(ctx, g, on, text(in.PolicyName))
		}),
		answer(e, &iamwire.GetUserPolicy, api.Read, user, e.getUserPolicy),
		answer(e, &iamwire.GetGroupPolicy, api.Read, group, e.getGroupPolicy),
		answer(e, &iamwire.GetRolePolicy, api.Read, role, e.getRolePolicy),
		answer(e, &iamwire.ListUserPolicies, api.List, user, e.listUserPolicies),
		answer(e, &iamwire.ListGroupPolicies, api.List, group, e.listGroupPolicies),
		answer(e, &iamwire.ListRolePolicies, api.List, role, e.listRolePolicies),
	}
}

func (e edge) getUserPolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetUserPolicyInput) (*iamwire.GetUserPolicyOutput, error) {
	p, err := e.identities.GetInlinePolicy(ctx, g, on, text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetUserPolicyOutput{UserName: new(on.Name), PolicyName: new(p.Name), PolicyDocument: escaped(p.Document)}, nil
}

func (e edge) getGroupPolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetGroupPolicyInput) (*iamwire.GetGroupPolicyOutput, error) {
	p, err := e.identities.GetInlinePolicy(ctx, g, on, text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetGroupPolicyOutput{GroupName: new(on.Name), PolicyName: new(p.Name), PolicyDocument: escaped(p.Document)}, nil
}

func (e edge) getRolePolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetRolePolicyInput) (*iamwire.GetRolePolicyOutput, error) {
	p, err := e.identities.GetInlinePolicy(ctx, g, on, text(in.PolicyName))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetRolePolicyOutput{RoleName: new(on.Name), PolicyName: new(p.Name), PolicyDocument: escaped(p.Document)}, nil
}

func (e edge) listUserPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListUserPoliciesInput) (*iamwire.ListUserPoliciesOutput, error) {
	l, err := e.identities.ListInlinePolicies(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListUserPoliciesOutput{PolicyNames: l.Items, IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listGroupPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListGroupPoliciesInput) (*iamwire.ListGroupPoliciesOutput, error) {
	l, err := e.identities.ListInlinePolicies(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListGroupPoliciesOutput{PolicyNames: l.Items, IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listRolePolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListRolePoliciesInput) (*iamwire.ListRolePoliciesOutput, error) {
	l, err := e.identities.ListInlinePolicies(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListRolePoliciesOutput{PolicyNames: l.Items, IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) attachments() []*api.Op {
	return []*api.Op{
		act(e, &iamwire.AttachUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AttachUserPolicyInput) error {
			return e.identities.AttachPolicy(ctx, g, on, text(in.PolicyArn))
		}),
		act(e, &iamwire.AttachGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AttachGroupPolicyInput) error {
			return e.identities.AttachPolicy(ctx, g, on, text(in.PolicyArn))
		}),
		act(e, &iamwire.AttachRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AttachRolePolicyInput) error {
			return e.identities.AttachPolicy(ctx, g, on, text(in.PolicyArn))
		}),
		act(e, &iamwire.DetachUserPolicy, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DetachUserPolicyInput) error {
			return e.identities.DetachPolicy(ctx, g, on, text(in.PolicyArn))
		}),
		act(e, &iamwire.DetachGroupPolicy, api.Permissions, group, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DetachGroupPolicyInput) error {
			return e.identities.DetachPolicy(ctx, g, on, text(in.PolicyArn))
		}),
		act(e, &iamwire.DetachRolePolicy, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DetachRolePolicyInput) error {
			return e.identities.DetachPolicy(ctx, g, on, text(in.PolicyArn))
		}),
		answer(e, &iamwire.ListAttachedUserPolicies, api.List, user, e.listAttachedUserPolicies),
		answer(e, &iamwire.ListAttachedGroupPolicies, api.List, group, e.listAttachedGroupPolicies),
		answer(e, &iamwire.ListAttachedRolePolicies, api.List, role, e.listAttachedRolePolicies),
	}
}

func (e edge) listAttachedUserPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListAttachedUserPoliciesInput) (*iamwire.ListAttachedUserPoliciesOutput, error) {
	l, err := e.identities.ListAttachedPolicies(ctx, g, on, text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAttachedUserPoliciesOutput{AttachedPolicies: every(l.Items, showAttached), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listAttachedGroupPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListAttachedGroupPoliciesInput) (*iamwire.ListAttachedGroupPoliciesOutput, error) {
	l, err := e.identities.ListAttachedPolicies(ctx, g, on, text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAttachedGroupPoliciesOutput{AttachedPolicies: every(l.Items, showAttached), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listAttachedRolePolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListAttachedRolePoliciesInput) (*iamwire.ListAttachedRolePoliciesOutput, error) {
	l, err := e.identities.ListAttachedPolicies(ctx, g, on, text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAttachedRolePoliciesOutput{AttachedPolicies: every(l.Items, showAttached), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) boundaries() []*api.Op {
	return []*api.Op{
		act(e, &iamwire.PutUserPermissionsBoundary, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutUserPermissionsBoundaryInput) error {
			return e.identities.PutPermissionsBoundary(ctx, g, on, text(in.PermissionsBoundary))
		}),
		act(e, &iamwire.PutRolePermissionsBoundary, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.PutRolePermissionsBoundaryInput) error {
			return e.identities.PutPermissionsBoundary(ctx, g, on, text(in.PermissionsBoundary))
		}),
		act(e, &iamwire.DeleteUserPermissionsBoundary, api.Permissions, user, func(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteUserPermissionsBoundaryInput) error {
			return e.identities.DeletePermissionsBoundary(ctx, g, on)
		}),
		act(e, &iamwire.DeleteRolePermissionsBoundary, api.Permissions, role, func(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteRolePermissionsBoundaryInput) error {
			return e.identities.DeletePermissionsBoundary(ctx, g, on)
		}),
	}
}
