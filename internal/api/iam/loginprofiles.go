package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// loginProfiles are the operations on passwords for the console.
type loginProfiles struct{ edge }

func (e loginProfiles) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateLoginProfile, api.Write, userOrCaller, e.createLoginProfile),
		answer(e.edge, &iamwire.GetLoginProfile, api.List, userOrCaller, e.getLoginProfile),
		act(e.edge, &iamwire.UpdateLoginProfile, api.Write, user, e.updateLoginProfile),
		act(e.edge, &iamwire.DeleteLoginProfile, api.Write, userOrCaller, e.deleteLoginProfile),
		act(e.edge, &iamwire.ChangePassword, api.Write, self, e.changePassword),
	}
}

func (e loginProfiles) createLoginProfile(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateLoginProfileInput) (*iamwire.CreateLoginProfileOutput, error) {
	p, err := e.identities.CreateLoginProfile(ctx, g, on.Account, on.Name, member.Text(in.Password), member.True(in.PasswordResetRequired))
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateLoginProfileOutput{LoginProfile: showLogin(p)}, nil
}

func (e loginProfiles) getLoginProfile(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetLoginProfileInput) (*iamwire.GetLoginProfileOutput, error) {
	p, err := e.identities.GetLoginProfile(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	return &iamwire.GetLoginProfileOutput{LoginProfile: showLogin(p)}, nil
}

func (e loginProfiles) updateLoginProfile(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateLoginProfileInput) error {
	return e.identities.UpdateLoginProfile(ctx, g, on.Account, on.Name, member.Text(in.Password), in.PasswordResetRequired)
}

func (e loginProfiles) deleteLoginProfile(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteLoginProfileInput) error {
	return e.identities.DeleteLoginProfile(ctx, g, on.Account, on.Name)
}

func (e loginProfiles) changePassword(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ChangePasswordInput) error {
	return e.identities.ChangePassword(ctx, g, on.Account, on.Name, member.Text(in.OldPassword), member.Text(in.NewPassword))
}
