package identity

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// provider is an OpenID Connect issuer that the account trusts to say who somebody is. Its Name is the
// issuer's URL without the scheme.
type provider struct {
	header
	Clients     []string `json:",omitempty"` // audiences
	Thumbprints []string `json:",omitempty"`
}

const (
	maxClients     = 100
	maxThumbprints = 5
)

var thumbprintShape = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)

func (p *provider) kind() Kind { return KindOIDCProvider }
func (p *provider) prepare()   {}
func (p *provider) twin() resource {
	c := *p
	c.header = p.header.twin()
	c.Clients, c.Thumbprints = slices.Clone(p.Clients), slices.Clone(p.Thumbprints)
	return &c
}

// issuer is the host and path that tokens name as their issuer, without the scheme.
func (p *provider) issuer() string { return strings.TrimPrefix(p.Path, "/") + p.Name }

func (p *provider) indexes(yield func(string)) {
	yield(p.named(KindOIDCProvider))
	yield(issuerIndex(p.Account, p.issuer()))
}

func issuerIndex(account, issuer string) string { return "u\x00" + account + "\x00" + issuer }

// OIDCProvider as the API shows it.
type OIDCProvider struct {
	ARN, URL       string
	ClientIDs      []string
	ThumbprintList []string
	CreateDate     time.Time
	Tags           []Tag
}

// issuerOf checks an issuer's URL and gives it without the scheme, as ARNs and condition keys have it.
func issuerOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	// A host of one word could pass its claims off as condition keys of a service ("aws:…").
	case err == nil && !strings.ContainsAny(u.Host, ".:") && u.Host != "localhost",
		err != nil, len(raw) > 255, u.Scheme != "https", u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return "", refuse(ValidationError, "Invalid Open ID Connect Provider URL")
	}
	return strings.TrimSuffix(strings.TrimPrefix(raw, "https://"), "/"), nil
}

// OIDCProviderARN is the ARN of the provider for an issuer's URL.
func OIDCProviderARN(account, issuerURL string) string {
	issuer, err := issuerOf(issuerURL)
	if err != nil {
		issuer = strings.TrimPrefix(issuerURL, "https://")
	}
	return ARN(account, KindOIDCProvider, "/", issuer)
}

func checkClients(ids []string) error {
	if len(ids) > maxClients {
		return refuse(LimitExceeded, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClients)
	}
	for _, id := range ids {
		if id == "" || len(id) > 255 {
			return violates(id, "clientIDList", "Member must have length between 1 and 255")
		}
	}
	return nil
}

func checkThumbprints(list []string) error {
	if len(list) > maxThumbprints {
		return refuse(InvalidInput, "Thumbprint list must contain fewer than %d entries.", maxThumbprints)
	}
	for _, t := range list {
		if !thumbprintShape.MatchString(t) {
			return violates(t, "thumbprintList", "Member must be 40 hexadecimal digits")
		}
	}
	return nil
}

// CreateOIDCProvider makes the account trust an issuer.
func (s *Store) CreateOIDCProvider(ctx context.Context, g authz.Grant, account, issuerURL string, clientIDs, thumbprints []string, tags []Tag) (*OIDCProvider, error) {
	if _, err := issuerOf(issuerURL); err != nil {
		return nil, err
	}
	for _, err := range [...]error{checkClients(clientIDs), checkThumbprints(thumbprints), checkTags(tags)} {
		if err != nil {
			return nil, err
		}
	}
	arn := OIDCProviderARN(account, issuerURL)
	if err := g.Require("iam:CreateOpenIDConnectProvider", arn); err != nil {
		return nil, err
	}
	_, _, path, name, ok := splitARN(arn)
	if !ok {
		return nil, refuse(ValidationError, "Invalid Open ID Connect Provider URL")
	}
	var made *OIDCProvider
	err := s.change(ctx, g, func(tx *change) error {
		if err := tx.vacant(account, KindOIDCProvider, path+name); err != nil {
			return exists(KindOIDCProvider, issuerURL)
		}
		if tx.count(nameIndex(account, KindOIDCProvider, ""), maxProviders) >= maxProviders {
			return refuse(LimitExceeded, "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders)
		}
		p := &provider{header: newHeader(KindOIDCProvider, account, path, name, s.moment())}
		p.Clients, p.Thumbprints, p.Tags = slices.Clone(clientIDs), slices.Clone(thumbprints), slices.Clone(tags)
		tx.set(p)
		made = showProvider(p)
		return nil
	})
	return made, err
}

func showProvider(p *provider) *OIDCProvider {
	return &OIDCProvider{
		ARN: arnOf(p), URL: p.issuer(), ClientIDs: slices.Clone(p.Clients), ThumbprintList: slices.Clone(p.Thumbprints),
		CreateDate: p.Created, Tags: slices.Clone(p.Tags),
	}
}

func (s *State) provider(account, arn string) (*provider, error) {
	p, ok := byARN[*provider](s, arn)
	if !ok || p.Account != account {
		return nil, notFound(KindOIDCProvider, arn)
	}
	return p, nil
}

// GetOIDCProvider shows one provider.
func (s *Store) GetOIDCProvider(_ context.Context, g authz.Grant, account, arn string) (*OIDCProvider, error) {
	if err := g.Require("iam:GetOpenIDConnectProvider", arn); err != nil {
		return nil, err
	}
	p, err := s.state.Load().provider(account, arn)
	if err != nil {
		return nil, err
	}
	return showProvider(p), nil
}

// ListOIDCProviders lists the ARNs of the account's providers.
func (s *Store) ListOIDCProviders(_ context.Context, g authz.Grant, account string) ([]string, error) {
	if err := g.Require("iam:ListOpenIDConnectProviders", "*"); err != nil {
		return nil, err
	}
	arns := []string{}
	each(s.state.Load(), nameIndex(account, KindOIDCProvider, ""), "", func(_ string, p *provider) bool {
		arns = append(arns, arnOf(p))
		return true
	})
	return arns, nil
}

func (s *Store) editProvider(ctx context.Context, g authz.Grant, action, account, arn string, fn func(*provider) error) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require(action, arn); err != nil {
			return err
		}
		p, err := tx.provider(account, arn)
		if err != nil {
			return err
		}
		p = p.twin().(*provider)
		if err := fn(p); err != nil {
			return err
		}
		tx.set(p)
		return nil
	})
}

// AddClientID lets tokens for a further audience in. Adding again changes nothing.
func (s *Store) AddClientID(ctx context.Context, g authz.Grant, account, arn, clientID string) error {
	return s.editProvider(ctx, g, "iam:AddClientIDToOpenIDConnectProvider", account, arn, func(p *provider) error {
		if slices.Contains(p.Clients, clientID) {
			return nil
		}
		p.Clients = append(p.Clients, clientID)
		return checkClients(p.Clients)
	})
}

// RemoveClientID takes an audience away. One that is not there is no error.
func (s *Store) RemoveClientID(ctx context.Context, g authz.Grant, account, arn, clientID string) error {
	return s.editProvider(ctx, g, "iam:RemoveClientIDFromOpenIDConnectProvider", account, arn, func(p *provider) error {
		p.Clients = slices.DeleteFunc(p.Clients, func(c string) bool { return c == clientID })
		return nil
	})
}

// UpdateThumbprints replaces the thumbprints of the issuer's certificates.
func (s *Store) UpdateThumbprints(ctx context.Context, g authz.Grant, account, arn string, thumbprints []string) error {
	return s.editProvider(ctx, g, "iam:UpdateOpenIDConnectProviderThumbprint", account, arn, func(p *provider) error {
		p.Thumbprints = slices.Clone(thumbprints)
		return checkThumbprints(thumbprints)
	})
}

// DeleteOIDCProvider ends the trust in an issuer. Roles that name it stay and cannot be assumed.
func (s *Store) DeleteOIDCProvider(ctx context.Context, g authz.Grant, account, arn string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:DeleteOpenIDConnectProvider", arn); err != nil {
			return err
		}
		p, err := tx.provider(account, arn)
		if err != nil {
			return err
		}
		tx.remove(p)
		return nil
	})
}
