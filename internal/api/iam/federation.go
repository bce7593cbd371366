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

// providers are the operations on OIDC providers.
type providers struct{ edge }

func (e providers) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateOpenIDConnectProvider, api.Write, issuer, e.createOpenIDConnectProvider),
		answer(e.edge, &iamwire.GetOpenIDConnectProvider, api.Read, provider, e.getOpenIDConnectProvider),
		answer(e.edge, &iamwire.ListOpenIDConnectProviders, api.List, anything, e.listOpenIDConnectProviders),
		act(e.edge, &iamwire.UpdateOpenIDConnectProviderThumbprint, api.Write, provider, e.updateOpenIDConnectProviderThumbprint),
		act(e.edge, &iamwire.AddClientIDToOpenIDConnectProvider, api.Write, provider, e.addClientIDToOpenIDConnectProvider),
		act(e.edge, &iamwire.RemoveClientIDFromOpenIDConnectProvider, api.Write, provider, e.removeClientIDFromOpenIDConnectProvider),
		act(e.edge, &iamwire.DeleteOpenIDConnectProvider, api.Write, provider, e.deleteOpenIDConnectProvider),
	}
}

// issuer is the provider that is made for an issuer's URL.
func issuer(_ edge, p policy.Principal, in input) (target, error) {
	arn := identity.OIDCProviderARN(p.Account, in.text("Url"))
	return target{identity.Ref{Kind: identity.KindOIDCProvider, Account: p.Account, Name: arn}, arn}, nil
}

func (e providers) createOpenIDConnectProvider(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateOpenIDConnectProviderInput) (*iamwire.CreateOpenIDConnectProviderOutput, error) {
	p, err := e.identities.CreateOIDCProvider(ctx, g, on.Account, member.Text(in.Url), in.ClientIDList, in.ThumbprintList, tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	return &iamwire.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: new(p.ARN), Tags: showTags(p.Tags)}, nil
}

func (e providers) getOpenIDConnectProvider(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.GetOpenIDConnectProviderInput) (*iamwire.GetOpenIDConnectProviderOutput, error) {
	p, err := e.identities.GetOIDCProvider(ctx, g, on.Account, on.Name)
	if err != nil {
		return nil, err
	}
	same := func(s string) string { return s }
	return &iamwire.GetOpenIDConnectProviderOutput{
		Url: new(p.URL), ClientIDList: member.Every(p.ClientIDs, same), ThumbprintList: member.Every(p.ThumbprintList, same),
		CreateDate: member.At(p.CreateDate), Tags: showTags(p.Tags),
	}, nil
}

func (e providers) listOpenIDConnectProviders(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.ListOpenIDConnectProvidersInput) (*iamwire.ListOpenIDConnectProvidersOutput, error) {
	arns, err := e.identities.ListOIDCProviders(ctx, g, on.Account)
	if err != nil {
		return nil, err
	}
	show := func(arn string) iamwire.OpenIDConnectProviderListEntry {
		return iamwire.OpenIDConnectProviderListEntry{Arn: new(arn)}
	}
	return &iamwire.ListOpenIDConnectProvidersOutput{OpenIDConnectProviderList: member.Every(arns, show)}, nil
}

func (e providers) updateOpenIDConnectProviderThumbprint(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.UpdateOpenIDConnectProviderThumbprintInput) error {
	return e.identities.UpdateThumbprints(ctx, g, on.Account, on.Name, in.ThumbprintList)
}

func (e providers) addClientIDToOpenIDConnectProvider(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.AddClientIDToOpenIDConnectProviderInput) error {
	return e.identities.AddClientID(ctx, g, on.Account, on.Name, member.Text(in.ClientID))
}

func (e providers) removeClientIDFromOpenIDConnectProvider(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.RemoveClientIDFromOpenIDConnectProviderInput) error {
	return e.identities.RemoveClientID(ctx, g, on.Account, on.Name, member.Text(in.ClientID))
}

func (e providers) deleteOpenIDConnectProvider(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteOpenIDConnectProviderInput) error {
	return e.identities.DeleteOIDCProvider(ctx, g, on.Account, on.Name)
}
