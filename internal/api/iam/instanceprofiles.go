package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// instanceProfiles are the operations on instance profiles.
type instanceProfiles struct{ edge }

func (e instanceProfiles) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateInstanceProfile, api.Write, created(identity.KindInstanceProfile, "InstanceProfileName"), e.createInstanceProfile),
		answer(e.edge, &iamwire.GetInstanceProfile, api.Read, instanceProfile, e.getInstanceProfile),
		answer(e.edge, &iamwire.ListInstanceProfiles, api.List, anything, e.listInstanceProfiles),
		answer(e.edge, &iamwire.ListInstanceProfilesForRole, api.List, role, e.listInstanceProfilesForRole),
		act(e.edge, &iamwire.AddRoleToInstanceProfile, api.Write, instanceProfile, e.addRoleToInstanceProfile, passedRole),
		act(e.edge, &iamwire.RemoveRoleFromInstanceProfile, api.Write, instanceProfile, e.removeRoleFromInstanceProfile),
		act(e.edge, &iamwire.DeleteInstanceProfile, api.Write, instanceProfile, e.deleteInstanceProfile),
	}
}

func (e instanceProfiles) createInstanceProfile(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateInstanceProfileInput) (*iamwire.CreateInstanceProfileOutput, error) {
	p, err := e.identities.CreateInstanceProfile(ctx, g, on.Account, on.Name, member.Text(in.Path), tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateInstanceProfileOutput{InstanceProfile: new(showProfile(p))}, nil
}

func (e instanceProfiles) getInstanceProfile(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetInstanceProfileInput) (*iamwire.GetInstanceProfileOutput, error) {
	p, err := e.identities.GetInstanceProfile(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	return &iamwire.GetInstanceProfileOutput{InstanceProfile: new(showProfile(p))}, nil
}

func (e instanceProfiles) listInstanceProfiles(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListInstanceProfilesInput) (*iamwire.ListInstanceProfilesOutput, error) {
	l, err := e.identities.ListInstanceProfiles(ctx, g, on.Account, member.Text(in.PathPrefix), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListInstanceProfilesOutput{InstanceProfiles: member.Every(l.Items, showProfile), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e instanceProfiles) listInstanceProfilesForRole(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListInstanceProfilesForRoleInput) (*iamwire.ListInstanceProfilesForRoleOutput, error) {
	l, err := e.identities.ListInstanceProfilesForRole(ctx, g, on.Account, on.Name, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListInstanceProfilesForRoleOutput{InstanceProfiles: member.Every(l.Items, showProfile), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

// passedRole is the role that machines get with the profile: whoever puts it there passes it on.
func passedRole(e edge, on target, in *iamwire.AddRoleToInstanceProfileInput) []authz.Demand {
	d := on.demand("iam:PassRole", e.identities.ResourceARN(identity.Ref{Kind: identity.KindRole, Account: on.Account, Name: member.Text(in.RoleName)}))
	d.Keys = passedTo("ec2.amazonaws.com")
	return []authz.Demand{d}
}

// passedTo is the condition key of a role that is handed to a service.
type passedTo string

// Lookup implements authz.Keys.
func (service passedTo) Lookup(key string) (policy.Values, bool) {
	return policy.Values{One: string(service)}, key == "iam:passedtoservice"
}

func (e instanceProfiles) addRoleToInstanceProfile(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AddRoleToInstanceProfileInput) error {
	return e.identities.AddRoleToInstanceProfile(ctx, g, on.Account, on.Name, member.Text(in.RoleName))
}

func (e instanceProfiles) removeRoleFromInstanceProfile(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.RemoveRoleFromInstanceProfileInput) error {
	return e.identities.RemoveRoleFromInstanceProfile(ctx, g, on.Account, on.Name, member.Text(in.RoleName))
}

func (e instanceProfiles) deleteInstanceProfile(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteInstanceProfileInput) error {
	return e.identities.DeleteInstanceProfile(ctx, g, on.Account, on.Name)
}
