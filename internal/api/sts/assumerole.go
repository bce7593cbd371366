package sts

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/stswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

func assumption(in *stswire.AssumeRoleInput) identity.AssumeRoleInput {
	return identity.AssumeRoleInput{
		RoleARN: member.Text(in.RoleArn), RoleSessionName: member.Text(in.RoleSessionName), ExternalID: member.Text(in.ExternalId),
		SourceIdentity: member.Text(in.SourceIdentity), DurationSeconds: member.Number(in.DurationSeconds), MFA: mfaOf(in.SerialNumber, in.TokenCode),
		Narrowing: identity.Narrowing{
			Policy: member.Text(in.Policy), PolicyARNs: policyARNs(in.PolicyArns), Tags: tagsOf(in.Tags), TransitiveTagKeys: in.TransitiveTagKeys,
		},
	}
}

// assumeRoleDemands refuses context assertions: a session that ignored them would be a wider one.
func (e edge) assumeRoleDemands(c *api.Call, in *stswire.AssumeRoleInput) ([]authz.Demand, error) {
	if len(in.ProvidedContexts) > 0 {
		return nil, fault.New(api.NotImplemented, "ProvidedContexts are not implemented.")
	}
	return e.identities.AssumeRoleDemands(c.R.Context(), &c.Caller.Subject, assumption(in))
}

func (e edge) assumeRole(ctx context.Context, g authz.Grant, c *api.Call, in *stswire.AssumeRoleInput) (*stswire.AssumeRoleOutput, error) {
	s, err := e.identities.AssumeRole(ctx, g, &c.Caller.Subject, assumption(in))
	if err != nil {
		return nil, err
	}
	return &stswire.AssumeRoleOutput{
		Credentials: showCredentials(s), AssumedRoleUser: &stswire.AssumedRoleUser{AssumedRoleId: new(s.ID), Arn: new(s.ARN)},
		PackedPolicySize: packed(s.PackedPolicySize), SourceIdentity: member.Given(s.SourceIdentity),
	}, nil
}

func webAssumption(in *stswire.AssumeRoleWithWebIdentityInput) identity.WebIdentityInput {
	return identity.WebIdentityInput{
		RoleARN: member.Text(in.RoleArn), RoleSessionName: member.Text(in.RoleSessionName), WebIdentityToken: member.Text(in.WebIdentityToken),
		ProviderID: member.Text(in.ProviderId), DurationSeconds: member.Number(in.DurationSeconds), Policy: member.Text(in.Policy), PolicyARNs: policyARNs(in.PolicyArns),
	}
}

// webIdentityDemands: the request carries no signature. Its caller is whom the token proves.
func (e edge) webIdentityDemands(c *api.Call, in *stswire.AssumeRoleWithWebIdentityInput) ([]authz.Demand, error) {
	subject, demands, err := e.identities.WebIdentityDemands(c.R.Context(), webAssumption(in))
	if err != nil {
		return nil, err
	}
	c.Introduce(subject)
	return demands, nil
}

func (e edge) assumeRoleWithWebIdentity(ctx context.Context, g authz.Grant, _ *api.Call, in *stswire.AssumeRoleWithWebIdentityInput) (*stswire.AssumeRoleWithWebIdentityOutput, error) {
	s, err := e.identities.AssumeRoleWithWebIdentity(ctx, g, webAssumption(in))
	if err != nil {
		return nil, err
	}
	return &stswire.AssumeRoleWithWebIdentityOutput{
		Credentials: showCredentials(&s.SessionCredentials), AssumedRoleUser: &stswire.AssumedRoleUser{AssumedRoleId: new(s.ID), Arn: new(s.ARN)},
		PackedPolicySize: packed(s.PackedPolicySize), SourceIdentity: member.Given(s.SourceIdentity),
		SubjectFromWebIdentityToken: new(s.Subject), Audience: new(s.Audience), Provider: new(s.Provider),
	}, nil
}
