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

// accessKeys are the operations on access keys.
type accessKeys struct{ edge }

func (e accessKeys) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateAccessKey, api.Write, userRootOrSelf, e.createAccessKey),
		answer(e.edge, &iamwire.ListAccessKeys, api.List, userRootOrSelf, e.listAccessKeys),
		act(e.edge, &iamwire.UpdateAccessKey, api.Write, userRootOrSelf, e.updateAccessKey),
		act(e.edge, &iamwire.DeleteAccessKey, api.Write, userRootOrSelf, e.deleteAccessKey),
		answer(e.edge, &iamwire.GetAccessKeyLastUsed, api.Read, keyOwner, e.getAccessKeyLastUsed),
	}
}

func (e accessKeys) createAccessKey(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.CreateAccessKeyInput) (*iamwire.CreateAccessKeyOutput, error) {
	k, err := e.identities.CreateAccessKey(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateAccessKeyOutput{AccessKey: &iamwire.AccessKey{
		UserName: member.Given(k.UserName), AccessKeyId: new(k.AccessKeyID), SecretAccessKey: new(k.Secret),
		Status: keyStatus(k.Active), CreateDate: member.At(k.CreateDate),
	}}, nil
}

func (e accessKeys) listAccessKeys(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListAccessKeysInput) (*iamwire.ListAccessKeysOutput, error) {
	l, err := e.identities.ListAccessKeys(ctx, g, on.Account, on.Name, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	return &iamwire.ListAccessKeysOutput{AccessKeyMetadata: member.Every(l.Items, showKey), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e accessKeys) updateAccessKey(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateAccessKeyInput) error {
	return e.identities.UpdateAccessKey(ctx, g, on.Account, on.Name, member.Text(in.AccessKeyId), in.Status == iamwire.StatusTypeActive)
}

func (e accessKeys) deleteAccessKey(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeleteAccessKeyInput) error {
	return e.identities.DeleteAccessKey(ctx, g, on.Account, on.Name, member.Text(in.AccessKeyId))
}

// keyOwner is the user whose key is named. A key of another account is as unknown as one that nobody has.
func keyOwner(e edge, p policy.Principal, in input) (target, error) {
	account, name, ok := e.identities.KeyOwner(in.text("AccessKeyId"))
	if !ok || account != p.Account {
		return anything(e, p, in)
	}
	return e.target(identity.Ref{Kind: identity.KindUser, Account: account, Name: name}), nil
}

func (e accessKeys) getAccessKeyLastUsed(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.GetAccessKeyLastUsedInput) (*iamwire.GetAccessKeyLastUsedOutput, error) {
	k, err := e.identities.GetAccessKeyLastUsed(ctx, g, on.Account, member.Text(in.AccessKeyId))
	if err != nil {
		return nil, err
	}
	used := &iamwire.AccessKeyLastUsed{LastUsedDate: member.At(k.At), ServiceName: new("N/A"), Region: new("N/A")}
	if !k.At.IsZero() {
		used.ServiceName, used.Region = new(k.Service), new(k.Region)
	}
	return &iamwire.GetAccessKeyLastUsedOutput{UserName: member.Given(k.UserName), AccessKeyLastUsed: used}, nil
}
