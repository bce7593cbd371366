package sts

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/stswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// sessionTokenDemands: GetSessionToken needs no permission, and a policy can only deny it. That is how
// AWS has it, and it is safe because the session may do no more than its user.
func (e edge) sessionTokenDemands(c *api.Call, _ *stswire.GetSessionTokenInput) ([]authz.Demand, error) {
	p := c.Caller.Subject.Principal
	own := p.Type == policy.IAMUser || p.Type == policy.RootUser
	return c.Need("sts:GetSessionToken", authz.Resource{ARN: "*", Account: p.Account, Granted: own}, nil), nil
}

func (e edge) getSessionToken(ctx context.Context, g authz.Grant, c *api.Call, in *stswire.GetSessionTokenInput) (*stswire.GetSessionTokenOutput, error) {
	s, err := e.identities.GetSessionToken(ctx, g, &c.Caller.Subject, member.Number(in.DurationSeconds), mfaOf(in.SerialNumber, in.TokenCode))
	if err != nil {
		return nil, err
	}
	return &stswire.GetSessionTokenOutput{Credentials: showCredentials(s)}, nil
}

func federation(in *stswire.GetFederationTokenInput) identity.FederationInput {
	return identity.FederationInput{
		Name: member.Text(in.Name), DurationSeconds: member.Number(in.DurationSeconds),
		Narrowing: identity.Narrowing{Policy: member.Text(in.Policy), PolicyARNs: policyARNs(in.PolicyArns), Tags: tagsOf(in.Tags)},
	}
}

func (e edge) federationTokenDemands(c *api.Call, in *stswire.GetFederationTokenInput) ([]authz.Demand, error) {
	return e.identities.FederationDemands(&c.Caller.Subject, federation(in))
}

func (e edge) getFederationToken(ctx context.Context, g authz.Grant, c *api.Call, in *stswire.GetFederationTokenInput) (*stswire.GetFederationTokenOutput, error) {
	s, err := e.identities.GetFederationToken(ctx, g, &c.Caller.Subject, federation(in))
	if err != nil {
		return nil, err
	}
	return &stswire.GetFederationTokenOutput{
		Credentials: showCredentials(s), FederatedUser: &stswire.FederatedUser{FederatedUserId: new(s.ID), Arn: new(s.ARN)},
		PackedPolicySize: packed(s.PackedPolicySize),
	}, nil
}
