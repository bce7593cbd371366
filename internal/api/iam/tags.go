package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// tagging are the operations on tags, for all kinds of entities.
type tagging struct{ edge }

func (e tagging) ops() []*api.Op {
	return []*api.Op{
		act(e.edge, &iamwire.TagUser, api.Tagging, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagUserInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e.edge, &iamwire.TagRole, api.Tagging, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagRoleInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e.edge, &iamwire.TagPolicy, api.Tagging, managedPolicy, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagPolicyInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e.edge, &iamwire.TagInstanceProfile, api.Tagging, instanceProfile, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagInstanceProfileInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e.edge, &iamwire.TagMFADevice, api.Tagging, device, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagMFADeviceInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e.edge, &iamwire.TagOpenIDConnectProvider, api.Tagging, provider, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagOpenIDConnectProviderInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e.edge, &iamwire.UntagUser, api.Tagging, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagUserInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e.edge, &iamwire.UntagRole, api.Tagging, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagRoleInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e.edge, &iamwire.UntagPolicy, api.Tagging, managedPolicy, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagPolicyInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e.edge, &iamwire.UntagInstanceProfile, api.Tagging, instanceProfile, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagInstanceProfileInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e.edge, &iamwire.UntagMFADevice, api.Tagging, device, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagMFADeviceInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e.edge, &iamwire.UntagOpenIDConnectProvider, api.Tagging, provider, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagOpenIDConnectProviderInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		answer(e.edge, &iamwire.ListUserTags, api.List, user, e.listUserTags),
		answer(e.edge, &iamwire.ListRoleTags, api.List, role, e.listRoleTags),
		answer(e.edge, &iamwire.ListPolicyTags, api.List, managedPolicy, e.listPolicyTags),
		answer(e.edge, &iamwire.ListInstanceProfileTags, api.List, instanceProfile, e.listInstanceProfileTags),
		answer(e.edge, &iamwire.ListMFADeviceTags, api.List, device, e.listMFADeviceTags),
		answer(e.edge, &iamwire.ListOpenIDConnectProviderTags, api.List, provider, e.listOpenIDConnectProviderTags),
	}
}

func (e tagging) listUserTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListUserTagsInput) (*iamwire.ListUserTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListUserTagsOutput{Tags: member.Every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e tagging) listRoleTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListRoleTagsInput) (*iamwire.ListRoleTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListRoleTagsOutput{Tags: member.Every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e tagging) listPolicyTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListPolicyTagsInput) (*iamwire.ListPolicyTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListPolicyTagsOutput{Tags: member.Every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e tagging) listInstanceProfileTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListInstanceProfileTagsInput) (*iamwire.ListInstanceProfileTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListInstanceProfileTagsOutput{Tags: member.Every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e tagging) listMFADeviceTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListMFADeviceTagsInput) (*iamwire.ListMFADeviceTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListMFADeviceTagsOutput{Tags: member.Every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e tagging) listOpenIDConnectProviderTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListOpenIDConnectProviderTagsInput) (*iamwire.ListOpenIDConnectProviderTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListOpenIDConnectProviderTagsOutput{Tags: member.Every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}
