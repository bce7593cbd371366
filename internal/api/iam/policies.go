package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// managedPolicies are the operations on managed policies.
type managedPolicies struct{ edge }

func (e managedPolicies) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreatePolicy, api.Permissions, created(identity.KindPolicy, "PolicyName"), e.createPolicy),
		answer(e.edge, &iamwire.GetPolicy, api.Read, managedPolicy, e.getPolicy),
		answer(e.edge, &iamwire.ListPolicies, api.List, anything, e.listPolicies),
		act(e.edge, &iamwire.DeletePolicy, api.Permissions, managedPolicy, e.deletePolicy),
		answer(e.edge, &iamwire.CreatePolicyVersion, api.Permissions, managedPolicy, e.createPolicyVersion),
		answer(e.edge, &iamwire.GetPolicyVersion, api.Read, managedPolicy, e.getPolicyVersion),
		answer(e.edge, &iamwire.ListPolicyVersions, api.List, managedPolicy, e.listPolicyVersions),
		act(e.edge, &iamwire.SetDefaultPolicyVersion, api.Permissions, managedPolicy, e.setDefaultPolicyVersion),
		act(e.edge, &iamwire.DeletePolicyVersion, api.Permissions, managedPolicy, e.deletePolicyVersion),
		answer(e.edge, &iamwire.ListEntitiesForPolicy, api.List, managedPolicy, e.listEntitiesForPolicy),
	}
}

func (e managedPolicies) createPolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreatePolicyInput) (*iamwire.CreatePolicyOutput, error) {
	p, err := e.identities.CreatePolicy(ctx, g, on.Account, identity.CreatePolicyInput{
		PolicyName: on.Name, Path: member.Text(in.Path), PolicyDocument: member.Text(in.PolicyDocument), Description: member.Text(in.Description), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &iamwire.CreatePolicyOutput{Policy: new(showPolicy(p))}, nil
}

func (e managedPolicies) getPolicy(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetPolicyInput) (*iamwire.GetPolicyOutput, error) {
	p, err := e.identities.GetPolicy(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	return &iamwire.GetPolicyOutput{Policy: new(showPolicy(p))}, nil
}

func (e managedPolicies) listPolicies(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListPoliciesInput) (*iamwire.ListPoliciesOutput, error) {
	l, err := e.identities.ListPolicies(ctx, g, on.Account, identity.ListPoliciesInput{
		Scope: string(in.Scope), OnlyAttached: member.True(in.OnlyAttached), PathPrefix: member.Text(in.PathPrefix),
		UsageFilter: string(in.PolicyUsageFilter), Page: pageOf(in.Marker, in.MaxItems),
	})
	if err != nil {
		return nil, err
	}
	return &iamwire.ListPoliciesOutput{Policies: member.Every(l.Items, showPolicy), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e managedPolicies) deletePolicy(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeletePolicyInput) error {
	return e.identities.DeletePolicy(ctx, g, on.Account, on.Name)
}

// createPolicyVersion answers without the document, as AWS does.
func (e managedPolicies) createPolicyVersion(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreatePolicyVersionInput) (*iamwire.CreatePolicyVersionOutput, error) {
	v, err := e.identities.CreatePolicyVersion(ctx, g, on.Account, on.Name, member.Text(in.PolicyDocument), member.True(in.SetAsDefault))
	if err != nil {
		return nil, err
	}
	shown := showVersion(v)
	shown.Document = nil
	return &iamwire.CreatePolicyVersionOutput{PolicyVersion: &shown}, nil
}

func (e managedPolicies) getPolicyVersion(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetPolicyVersionInput) (*iamwire.GetPolicyVersionOutput, error) {
	v, err := e.identities.GetPolicyVersion(ctx, g, on.Account, on.Name, member.Text(in.VersionId))
	if err != nil {
		return nil, err
	}
	return &iamwire.GetPolicyVersionOutput{PolicyVersion: new(showVersion(v))}, nil
}

func (e managedPolicies) listPolicyVersions(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListPolicyVersionsInput) (*iamwire.ListPolicyVersionsOutput, error) {
	l, err := e.identities.ListPolicyVersions(ctx, g, on.Account, on.Name, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListPolicyVersionsOutput{Versions: member.Every(l.Items, showVersion), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e managedPolicies) setDefaultPolicyVersion(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.SetDefaultPolicyVersionInput) error {
	return e.identities.SetDefaultPolicyVersion(ctx, g, on.Account, on.Name, member.Text(in.VersionId))
}

func (e managedPolicies) deletePolicyVersion(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeletePolicyVersionInput) error {
	return e.identities.DeletePolicyVersion(ctx, g, on.Account, on.Name, member.Text(in.VersionId))
}

func (e managedPolicies) listEntitiesForPolicy(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListEntitiesForPolicyInput) (*iamwire.ListEntitiesForPolicyOutput, error) {
	l, err := e.identities.ListEntitiesForPolicy(ctx, g, on.Account, identity.EntitiesForPolicyInput{
		PolicyARN: on.Name, EntityFilter: string(in.EntityFilter), PathPrefix: member.Text(in.PathPrefix),
		UsageFilter: string(in.PolicyUsageFilter), Page: pageOf(in.Marker, in.MaxItems),
	})
	if err != nil {
		return nil, err
	}
	out := &iamwire.ListEntitiesForPolicyOutput{
		PolicyGroups: []iamwire.PolicyGroup{}, PolicyUsers: []iamwire.PolicyUser{}, PolicyRoles: []iamwire.PolicyRole{},
		IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker),
	}
	for _, entity := range l.Items {
		switch entity.Kind {
		case identity.KindUser:
			out.PolicyUsers = append(out.PolicyUsers, iamwire.PolicyUser{UserName: new(entity.Name), UserId: new(entity.ID)})
		case identity.KindGroup:
			out.PolicyGroups = append(out.PolicyGroups, iamwire.PolicyGroup{GroupName: new(entity.Name), GroupId: new(entity.ID)})
		case identity.KindRole:
			out.PolicyRoles = append(out.PolicyRoles, iamwire.PolicyRole{RoleName: new(entity.Name), RoleId: new(entity.ID)})
		}
	}
	return out, nil
}
