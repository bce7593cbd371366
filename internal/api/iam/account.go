package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// accounts are the operations on what an account has one of.
type accounts struct{ edge }

func (e accounts) ops() []*api.Op {
	return []*api.Op{
		act(e.edge, &iamwire.CreateAccountAlias, api.Write, anything, e.createAccountAlias),
		act(e.edge, &iamwire.DeleteAccountAlias, api.Write, anything, e.deleteAccountAlias),
		answer(e.edge, &iamwire.ListAccountAliases, api.List, anything, e.listAccountAliases),
		act(e.edge, &iamwire.UpdateAccountPasswordPolicy, api.Write, anything, e.updateAccountPasswordPolicy),
		answer(e.edge, &iamwire.GetAccountPasswordPolicy, api.Read, anything, e.getAccountPasswordPolicy),
		act(e.edge, &iamwire.DeleteAccountPasswordPolicy, api.Permissions, anything, e.deleteAccountPasswordPolicy),
		answer(e.edge, &iamwire.GetAccountSummary, api.List, anything, e.getAccountSummary),
		answer(e.edge, &iamwire.GetAccountAuthorizationDetails, api.Read, anything, e.getAccountAuthorizationDetails),
	}
}

func (e accounts) createAccountAlias(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateAccountAliasInput) error {
	return e.identities.CreateAccountAlias(ctx, g, on.Account, member.Text(in.AccountAlias))
}

func (e accounts) deleteAccountAlias(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteAccountAliasInput) error {
	return e.identities.DeleteAccountAlias(ctx, g, on.Account, member.Text(in.AccountAlias))
}

func (e accounts) listAccountAliases(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.ListAccountAliasesInput) (*iamwire.ListAccountAliasesOutput, error) {
	aliases, err := e.identities.ListAccountAliases(ctx, g, on.Account)
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAccountAliasesOutput{AccountAliases: aliases, IsTruncated: new(false)}, nil
}

func (e accounts) updateAccountPasswordPolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateAccountPasswordPolicyInput) error {
	return e.identities.UpdateAccountPasswordPolicy(ctx, g, on.Account, identity.PasswordPolicy{
		MinimumPasswordLength: member.Number(in.MinimumPasswordLength), RequireSymbols: member.True(in.RequireSymbols), RequireNumbers: member.True(in.RequireNumbers),
		RequireUppercaseCharacters: member.True(in.RequireUppercaseCharacters), RequireLowercaseCharacters: member.True(in.RequireLowercaseCharacters),
		AllowUsersToChangePassword: member.True(in.AllowUsersToChangePassword), MaxPasswordAge: member.Number(in.MaxPasswordAge),
		PasswordReusePrevention: member.Number(in.PasswordReusePrevention), HardExpiry: member.True(in.HardExpiry),
	})
}

func (e accounts) getAccountPasswordPolicy(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetAccountPasswordPolicyInput) (*iamwire.GetAccountPasswordPolicyOutput, error) {
	p, err := e.identities.GetAccountPasswordPolicy(ctx, g, on.Account)
	if err != nil {
		return nil, err
	}
	shown := &iamwire.PasswordPolicy{
		MinimumPasswordLength: new(int32(p.MinimumPasswordLength)), RequireSymbols: new(p.RequireSymbols), RequireNumbers: new(p.RequireNumbers),
		RequireUppercaseCharacters: new(p.RequireUppercaseCharacters), RequireLowercaseCharacters: new(p.RequireLowercaseCharacters),
		AllowUsersToChangePassword: new(p.AllowUsersToChangePassword), ExpirePasswords: new(p.MaxPasswordAge > 0), HardExpiry: new(p.HardExpiry),
	}
	if p.MaxPasswordAge > 0 {
		shown.MaxPasswordAge = new(int32(p.MaxPasswordAge))
	}
	if p.PasswordReusePrevention > 0 {
		shown.PasswordReusePrevention = new(int32(p.PasswordReusePrevention))
	}
	return &iamwire.GetAccountPasswordPolicyOutput{PasswordPolicy: shown}, nil
}

func (e accounts) deleteAccountPasswordPolicy(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteAccountPasswordPolicyInput) error {
	return e.identities.DeleteAccountPasswordPolicy(ctx, g, on.Account)
}

func (e accounts) getAccountSummary(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetAccountSummaryInput) (*iamwire.GetAccountSummaryOutput, error) {
	entries, err := e.identities.GetAccountSummary(ctx, g, on.Account)
	if err != nil {
		return nil, err
	}
	out := &iamwire.GetAccountSummaryOutput{SummaryMap: make(map[string]int32, len(entries))}
	for _, entry := range entries {
		out.SummaryMap[entry.Key] = int32(entry.Value)
	}
	return out, nil
}

func (e accounts) getAccountAuthorizationDetails(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetAccountAuthorizationDetailsInput) (*iamwire.GetAccountAuthorizationDetailsOutput, error) {
	filter := member.Every(in.Filter, func(t iamwire.EntityType) string { return string(t) })
	l, err := e.identities.GetAccountAuthorizationDetails(ctx, g, on.Account, filter, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	out := &iamwire.GetAccountAuthorizationDetailsOutput{
		UserDetailList: []iamwire.UserDetail{}, GroupDetailList: []iamwire.GroupDetail{}, RoleDetailList: []iamwire.RoleDetail{},
		Policies: []iamwire.ManagedPolicyDetail{}, IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker),
	}
	for _, d := range l.Items {
		switch {
		case d.User != nil:
			out.UserDetailList = append(out.UserDetailList, showUserDetail(d.User))
		case d.Group != nil:
			out.GroupDetailList = append(out.GroupDetailList, showGroupDetail(d.Group))
		case d.Role != nil:
			out.RoleDetailList = append(out.RoleDetailList, showRoleDetail(d.Role))
		case d.Policy != nil:
			out.Policies = append(out.Policies, showPolicyDetail(d.Policy))
		}
	}
	return out, nil
}

func showUserDetail(d *identity.UserDetail) iamwire.UserDetail {
	return iamwire.UserDetail{
		Path: new(d.Path), UserName: new(d.UserName), UserId: new(d.UserID), Arn: new(d.ARN), CreateDate: member.At(d.CreateDate),
		UserPolicyList: member.Every(d.Inline, showInline), GroupList: member.Every(d.Groups, func(name string) string { return name }),
		AttachedManagedPolicies: member.Every(d.Attached, showAttached), PermissionsBoundary: showBoundary(d.PermissionsBoundary), Tags: showTags(d.Tags),
	}
}

func showGroupDetail(d *identity.GroupDetail) iamwire.GroupDetail {
	return iamwire.GroupDetail{
		Path: new(d.Path), GroupName: new(d.GroupName), GroupId: new(d.GroupID), Arn: new(d.ARN), CreateDate: member.At(d.CreateDate),
		GroupPolicyList: member.Every(d.Inline, showInline), AttachedManagedPolicies: member.Every(d.Attached, showAttached),
	}
}

func showRoleDetail(d *identity.RoleDetail) iamwire.RoleDetail {
	return iamwire.RoleDetail{
		Path: new(d.Path), RoleName: new(d.RoleName), RoleId: new(d.RoleID), Arn: new(d.ARN), CreateDate: member.At(d.CreateDate),
		AssumeRolePolicyDocument: escaped(d.AssumeRolePolicyDocument), InstanceProfileList: member.Every(d.Profiles, showProfile),
		RolePolicyList: member.Every(d.Inline, showInline), AttachedManagedPolicies: member.Every(d.Attached, showAttached),
		PermissionsBoundary: showBoundary(d.PermissionsBoundary), Tags: showTags(d.Tags), RoleLastUsed: showUse(d.LastUsed),
	}
}

func showPolicyDetail(d *identity.PolicyDetail) iamwire.ManagedPolicyDetail {
	return iamwire.ManagedPolicyDetail{
		PolicyName: new(d.PolicyName), PolicyId: new(d.PolicyID), Arn: new(d.ARN), Path: new(d.Path), DefaultVersionId: new(d.DefaultVersionID),
		AttachmentCount: new(int32(d.AttachmentCount)), PermissionsBoundaryUsageCount: new(int32(d.PermissionsBoundaryUsageCount)),
		IsAttachable: new(true), Description: member.Given(d.Description), CreateDate: member.At(d.CreateDate), UpdateDate: member.At(d.UpdateDate),
		PolicyVersionList: member.Every(d.Versions, showVersion),
	}
}
