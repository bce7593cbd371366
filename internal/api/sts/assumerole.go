package sts

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/stswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

func assumption(in *stswire.AssumeRoleInput) identity.AssumeRoleInput {
	return identity.AssumeRoleInput{
		RoleARN: text(in.RoleArn), RoleSessionName: text(in.RoleSessionName), ExternalID: text(in.ExternalId),
		SourceIdentity: text(in.SourceIdentity), DurationSeconds: number(in.DurationSeconds), MFA: mfaOf(in.SerialNumber, in.TokenCode),
		Narrowing: identity.Narrowing{
			Policy: text(in.Policy), PolicyARNs: policyARNs(in.PolicyArns), Tags: tagsOf(in.Tags), TransitiveTagKeys: in.TransitiveTagKeys,
		},
	}
}

func (e edge) assumeRoleDemands(c *api.Call, in *stswire.AssumeRoleInput) ([]authz.Demand, error) {
	return e.identities.AssumeRoleDemands(c.R.Context(), &c.Caller.Subject, assumption(in))
}

func (e edge) assumeRole(ctx context.Context, g authz.Grant, c *api.Call, in *stswire.AssumeRoleInput) (*stswire.AssumeRoleOutput, error) {
	s, err := e.identities.AssumeRole(ctx, g, &c.Caller.Subject, assumption(in))
	if err != nil {
		return nil, err
	}
	return &stswire.AssumeRoleOutput{
		Credentials: showCredentials(s), AssumedRoleUser: &stswire.AssumedRoleUser{AssumedRoleId: new(s.ID), Arn: new(s.ARN)},
		PackedPolicySize: packed(s.PackedPolicySize), SourceIdentity: given(s.SourceIdentity),
	}, nil
}
