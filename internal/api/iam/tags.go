package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

func (e edge) tags() []*api.Op {
	return []*api.Op{
		act(e, &iamwire.TagUser, api.Tagging, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagUserInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e, &iamwire.TagRole, api.Tagging, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagRoleInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e, &iamwire.TagPolicy, api.Tagging, managedPolicy, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagPolicyInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e, &iamwire.TagInstanceProfile, api.Tagging, instanceProfile, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagInstanceProfileInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e, &iamwire.TagMFADevice, api.Tagging, device, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagMFADeviceInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e, &iamwire.TagOpenIDConnectProvider, api.Tagging, provider, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.TagOpenIDConnectProviderInput) error {
			return e.identities.Tag(ctx, g, on, tagsOf(in.Tags))
		}),
		act(e, &iamwire.UntagUser, api.Tagging, user, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagUserInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e, &iamwire.UntagRole, api.Tagging, role, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagRoleInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e, &iamwire.UntagPolicy, api.Tagging, managedPolicy, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagPolicyInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e, &iamwire.UntagInstanceProfile, api.Tagging, instanceProfile, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagInstanceProfileInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e, &iamwire.UntagMFADevice, api.Tagging, device, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagMFADeviceInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		act(e, &iamwire.UntagOpenIDConnectProvider, api.Tagging, provider, func(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UntagOpenIDConnectProviderInput) error {
			return e.identities.Untag(ctx, g, on, in.TagKeys)
		}),
		answer(e, &iamwire.ListUserTags, api.List, user, e.listUserTags),
		answer(e, &iamwire.ListRoleTags, api.List, role, e.listRoleTags),
		answer(e, &iamwire.ListPolicyTags, api.List, managedPolicy, e.listPolicyTags),
		answer(e, &iamwire.ListInstanceProfileTags, api.List, instanceProfile, e.listInstanceProfileTags),
		answer(e, &iamwire.ListMFADeviceTags, api.List, device, e.listMFADeviceTags),
		answer(e, &iamwire.ListOpenIDConnectProviderTags, api.List, provider, e.listOpenIDConnectProviderTags),
	}
}

func (e edge) listUserTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListUserTagsInput) (*iamwire.ListUserTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListUserTagsOutput{Tags: every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listRoleTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListRoleTagsInput) (*iamwire.ListRoleTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListRoleTagsOutput{Tags: every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listPolicyTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListPolicyTagsInput) (*iamwire.ListPolicyTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListPolicyTagsOutput{Tags: every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listInstanceProfileTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListInstanceProfileTagsInput) (*iamwire.ListInstanceProfileTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListInstanceProfileTagsOutput{Tags: every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listMFADeviceTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListMFADeviceTagsInput) (*iamwire.ListMFADeviceTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListMFADeviceTagsOutput{Tags: every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}

func (e edge) listOpenIDConnectProviderTags(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListOpenIDConnectProviderTagsInput) (*iamwire.ListOpenIDConnectProviderTagsOutput, error) {
	l, err := e.identities.ListTags(ctx, g, on, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListOpenIDConnectProviderTagsOutput{Tags: every(l.Items, showTag), IsTruncated: new(l.IsTruncated), Marker: given(l.Marker)}, nil
}
