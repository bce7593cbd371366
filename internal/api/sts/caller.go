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

// callerIdentityDemands: whoever has a valid signature may learn who it is, whatever policies say.
func (e edge) callerIdentityDemands(c *api.Call, _ *stswire.GetCallerIdentityInput) ([]authz.Demand, error) {
	return []authz.Demand{{
		Action: "sts:GetCallerIdentity", Resource: authz.Resource{ARN: "*", Account: c.Caller.Subject.Principal.Account}, Unconditional: true,
	}}, nil
}

func (e edge) getCallerIdentity(_ context.Context, g authz.Grant, _ *api.Call, _ *stswire.GetCallerIdentityInput) (*stswire.GetCallerIdentityOutput, error) {
	if err := g.Require("sts:GetCallerIdentity", "*"); err != nil {
		return nil, err
	}
	p := g.Principal()
	return &stswire.GetCallerIdentityOutput{UserId: new(p.UserID), Account: new(p.Account), Arn: new(p.ARN)}, nil
}

func (e edge) accessKeyInfoDemands(c *api.Call, _ *stswire.GetAccessKeyInfoInput) ([]authz.Demand, error) {
	return c.Need("sts:GetAccessKeyInfo", authz.Resource{ARN: "*", Account: c.Caller.Subject.Principal.Account}, nil), nil
}

// getAccessKeyInfo tells whose account a long-term key is of. Temporary keys are known only together
// with their token, which the request does not carry, except for the caller's own.
func (e edge) getAccessKeyInfo(_ context.Context, g authz.Grant, c *api.Call, in *stswire.GetAccessKeyInfoInput) (*stswire.GetAccessKeyInfoOutput, error) {
	if err := g.Require("sts:GetAccessKeyInfo", "*"); err != nil {
		return nil, err
	}
	id := member.Text(in.AccessKeyId)
	if id == c.Caller.Subject.AccessKey {
		return &stswire.GetAccessKeyInfoOutput{Account: new(g.Principal().Account)}, nil
	}
	account, _, ok := e.identities.KeyOwner(id)
	if !ok {
		return nil, fault.New(identity.ValidationError, "Invalid AccessKeyId")
	}
	return &stswire.GetAccessKeyInfoOutput{Account: new(account)}, nil
}
