package sts

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/stswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

func (e edge) decodeDemands(c *api.Call, _ *stswire.DecodeAuthorizationMessageInput) ([]authz.Demand, error) {
	return c.Need("sts:DecodeAuthorizationMessage", authz.Resource{ARN: "*", Account: c.Caller.Subject.Principal.Account}, nil), nil
}

// decodeAuthorizationMessage explains a refusal. The message is the request id of the refused answer:
// what it stands for stays here, and the accounts concerned may read it.
func (e edge) decodeAuthorizationMessage(_ context.Context, g authz.Grant, _ *api.Call, in *stswire.DecodeAuthorizationMessageInput) (*stswire.DecodeAuthorizationMessageOutput, error) {
	if err := g.Require("sts:DecodeAuthorizationMessage", "*"); err != nil {
		return nil, err
	}
	refusal, ok := e.guard.Why(member.Text(in.EncodedMessage), g.Principal().Account)
	if !ok {
		return nil, fault.New(invalidMessage, "")
	}
	return &stswire.DecodeAuthorizationMessageOutput{DecodedMessage: new(string(refusal.Explanation))}, nil
}
