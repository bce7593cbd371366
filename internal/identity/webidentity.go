package identity

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// webAlgorithms are what an issuer may sign with. Nothing symmetric and not "none": a public key is
// never taken for a shared secret.
var webAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

const (
	maxWebToken = 20000 // characters (STS API reference)
	// webLeeway is how far in the future a token may say that it was made.
	webLeeway = time.Minute
	// maxClaimKeys bounds the claims that become condition keys.
	maxClaimKeys = 64

	tagsClaim           = "https://aws.amazon.com/tags"
	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
)

// WebIdentityInput asks for a session of a role with a token of an OIDC issuer.
type WebIdentityInput struct {
	RoleARN, RoleSessionName, WebIdentityToken string
	ProviderID                                 string // only for OAuth 2.0 access tokens, which Kura refuses
	DurationSeconds                            int
	Policy                                     string
	PolicyARNs                                 []string
}

// WebCredentials are a session and what the token said.
type WebCredentials struct {
	SessionCredentials
	Subject, Audience, Provider string
}

// webIdentity is a verified token.
type webIdentity struct {
	provider   *provider
	issuer     string // without scheme
	subject    string
	audience   string // azp where there is one
	keys       keySet
	identity   string
	tags       []Tag
	transitive []string
}

// WebIdentityDemands verifies the token and says who it is and what the Guard has to allow. Nothing is
// looked at before the signature is proved, and a role that does not exist is demanded like one that
// trusts nobody.
func (s *Store) WebIdentityDemands(ctx context.Context, in WebIdentityInput) (authz.Subject, []authz.Demand, error) {
	w, err := s.verifyWeb(ctx, in)
	if err != nil {
		return authz.Subject{}, nil, err
	}
	keys := w.keys.clone()
	keys["sts:rolesessionname"] = policy.Values{One: in.RoleSessionName}
	for _, t := range w.tags {
		keys["aws:requesttag/"+strings.ToLower(t.Key)] = policy.Values{One: t.Value}
	}
	if w.identity != "" {
		keys["sts:sourceidentity"] = policy.Values{One: w.identity}
	}
	demands, err := s.state.Load().roleDemands("sts:AssumeRoleWithWebIdentity", in.RoleARN, keys, len(w.tags) > 0, w.identity != "")
	p := policy.Principal{
		Type: policy.WebIdentity, Account: w.provider.Account, ARN: arnOf(w.provider), UserID: w.issuer + ":" + w.subject,
	}
	return authz.Subject{Principal: p, Keys: w.keys}, demands, err
}

// AssumeRoleWithWebIdentity gives the holder of a token a session of a role.
func (s *Store) AssumeRoleWithWebIdentity(ctx context.Context, g authz.Grant, in WebIdentityInput) (*WebCredentials, error) {
	if err := g.Require("sts:AssumeRoleWithWebIdentity", in.RoleARN); err != nil {
		return nil, err
	}
	w, err := s.verifyWeb(ctx, in)
	if err != nil {
		return nil, err
	}
	denied := refuse(AccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	if g.Principal().ARN != arnOf(w.provider) ||
		(len(w.tags) > 0 && g.Require("sts:TagSession", in.RoleARN) != nil) ||
		(w.identity != "" && g.Require("sts:SetSourceIdentity", in.RoleARN) != nil) {
		return nil, denied
	}
	state := s.state.Load()
	r, ok := byARN[*role](state, in.RoleARN)
	if !ok {
		return nil, denied
	}
	seconds, err := roleDuration(in.DurationSeconds, r.MaxSession, false)
	if err != nil {
		return nil, err
	}
	c := s.newSession(roleSession, r.Account, r.ID, in.RoleSessionName, seconds)
	c.Provider, c.SourceIdentity = arnOf(w.provider), w.identity
	c.Claims = map[string]string{w.issuer + ":sub": w.subject, w.issuer + ":aud": w.audience}
	made, err := s.issue(ctx, state, c, Narrowing{Policy: in.Policy, PolicyARNs: in.PolicyARNs, Tags: w.tags, TransitiveTagKeys: w.transitive})
	if err != nil {
		return nil, err
	}
	return &WebCredentials{SessionCredentials: *made, Subject: w.subject, Audience: w.audience, Provider: arnOf(w.provider)}, nil
}

func (k keySet) clone() keySet {
	c := make(keySet, len(k)+8)
	for key, v := range k {
		c[key] = v
	}
	return c
}

func (in *WebIdentityInput) check() error {
	if err := checkSessionText("roleSessionName", in.RoleSessionName, maxSessionName, sessionName, sessionNameWanted); err != nil {
		return err
	}
	if in.ProviderID != "" {
		return refuse(ValidationError, "ProviderId is for OAuth 2.0 access tokens of providers that are not supported.")
	}
	if n := len(in.WebIdentityToken); n < 4 || n > maxWebToken {
		return violates("", "webIdentityToken", "Member must have length between 4 and "+decimal(maxWebToken))
	}
	if err := checkDuration(in.DurationSeconds, maxMaxSession); err != nil {
		return err
	}
	n := Narrowing{Policy: in.Policy, PolicyARNs: in.PolicyARNs}
	return n.check()
}

func badWebToken(format string, args ...any) error {
	return refuse(InvalidIdentityToken, format, args...)
}

// claims are the members of a token that Kura understands. Pointers tell absent from zero.
type claims struct {
	Issuer   string      `json:"iss"`
	Subject  string      `json:"sub"`
	Audience stringList  `json:"aud"`
	Party    string      `json:"azp"`
	Expires  *float64    `json:"exp"`
	Issued   *float64    `json:"iat"`
	Before   *float64    `json:"nbf"`
	Methods  stringList  `json:"amr"`
	Identity string      `json:"https://aws.amazon.com/source_identity"`
	Tags     *claimedTag `json:"https://aws.amazon.com/tags"`
}

type claimedTag struct {
	Principal  map[string]stringList `json:"principal_tags"`
	Transitive []string              `json:"transitive_tag_keys"`
}

// stringList is a string or a list of them.
type stringList []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *stringList) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = stringList{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// verifyWeb proves a token: made by an issuer that the role's account registered, signed by one of its
// keys, for one of the registered audiences, and of now.
func (s *Store) verifyWeb(ctx context.Context, in WebIdentityInput) (*webIdentity, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	account, kind, _, _, ok := splitARN(in.RoleARN)
	if !ok || kind != KindRole {
		return nil, refuse(ValidationError, "%s is invalid", in.RoleARN)
	}
	token, err := jose.ParseSignedCompact(in.WebIdentityToken, webAlgorithms)
	if err != nil || len(token.Signatures) != 1 {
		return nil, badWebToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	var said struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(token.UnsafePayloadWithoutVerification(), &said); err != nil {
		return nil, badWebToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	state, err := s.current()
	if err != nil {
		return nil, err
	}
	p, ok := state.issuedBy(account, said.Issuer)
	if !ok {
		return nil, badWebToken("No OpenIDConnect provider found in your account for %s", said.Issuer)
	}
	payload, err := s.provenPayload(ctx, p, token)
	if err != nil {
		return nil, err
	}
	return s.readClaims(p, said.Issuer, payload)
}

// issuedBy is the account's provider for exactly that issuer.
func (s *State) issuedBy(account, issuer string) (*provider, bool) {
	name, err := issuerOf(issuer)
	if err != nil {
		return nil, false
	}
	found, ok := s.index.get(issuerIndex(account, name))
	if !ok {
		return nil, false
	}
	return found.(*provider), true
}

// provenPayload is the payload of a token whose signature one of the issuer's keys proves.
func (s *Store) provenPayload(ctx context.Context, p *provider, token *jose.JSONWebSignature) ([]byte, error) {
	keys, err := s.issuers.keys(ctx, p, token.Signatures[0].Header.KeyID)
	if err != nil {
		s.log.Warn("identity: keys of an identity provider", "provider", arnOf(p), "err", err)
		return nil, badWebToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	}
	for i := range keys {
		if payload, err := token.Verify(&keys[i]); err == nil {
			return payload, nil
		}
	}
	return nil, badWebToken("Provided Token is not a valid JWT: the signature cannot be verified.")
}

// readClaims holds a proven payload against the provider and the clock.
func (s *Store) readClaims(p *provider, issuer string, payload []byte) (*webIdentity, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil || c.Issuer != issuer || c.Subject == "" || len(c.Subject) > 255 {
		return nil, badWebToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	if c.Expires == nil || c.Issued == nil {
		return nil, badWebToken("Missing a required claim: exp and iat must be present")
	}
	now := float64(s.now().UnixNano()) / 1e9
	switch late := now + webLeeway.Seconds(); {
	case now >= *c.Expires:
		return nil, refuse(ExpiredIdentityToken, "Token expired: current date/time must be before the expiration date/time")
	case *c.Issued > late, c.Before != nil && *c.Before > late:
		return nil, badWebToken("Token is not yet valid")
	}
	audience, ok := c.audienceOf(p)
	if !ok {
		return nil, badWebToken("Incorrect token audience")
	}
	w := &webIdentity{provider: p, issuer: p.issuer(), subject: c.Subject, audience: audience, identity: c.Identity}
	w.keys = claimKeys(w.issuer, payload)
	w.keys[strings.ToLower(w.issuer+":aud")] = policy.Values{One: audience}
	w.keys["aws:federatedprovider"] = policy.Values{One: arnOf(p)}
	return w, w.readTags(c.Tags)
}

// audienceOf is whom the token is for: its authorized party where it names one, else the audience that
// the provider has registered.
func (c *claims) audienceOf(p *provider) (string, bool) {
	if c.Party != "" {
		return c.Party, slices.Contains(p.Clients, c.Party)
	}
	for _, a := range c.Audience {
		if a != "" && slices.Contains(p.Clients, a) {
			return a, true
		}
	}
	return "", false
}

func (w *webIdentity) readTags(t *claimedTag) error {
	if w.identity != "" {
		if err := checkSessionText("sourceIdentity", w.identity, 64, sessionName, sessionNameWanted); err != nil {
			return err
		}
	}
	if t == nil {
		return nil
	}
	for key, values := range t.Principal {
		if len(values) != 1 {
			return badWebToken("The tag %s must have one value", key)
		}
		w.tags = append(w.tags, Tag{key, values[0]})
	}
	slices.SortFunc(w.tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	w.transitive = t.Transitive
	n := Narrowing{Tags: w.tags, TransitiveTagKeys: w.transitive}
	return n.check()
}

// claimKeys are the claims that are text, lists of text, numbers or booleans as condition keys
// ISSUER:CLAIM.
func claimKeys(issuer string, payload []byte) keySet {
	keys := keySet{}
	var all map[string]json.RawMessage
	if json.Unmarshal(payload, &all) != nil {
		return keys
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(keys) >= maxClaimKeys || name == tagsClaim || name == sourceIdentityClaim {
			continue
		}
		var list stringList
		raw := strings.TrimSpace(string(all[name]))
		switch at := strings.ToLower(issuer + ":" + name); {
		case list.UnmarshalJSON(all[name]) == nil && strings.HasPrefix(raw, "["):
			keys[at] = policy.Values{Many: list, Multi: true}
		case len(list) == 1:
			keys[at] = policy.Values{One: list[0]}
		case raw == "true" || raw == "false" || (raw != "" && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')):
			keys[at] = policy.Values{One: raw}
		}
	}
	return keys
}
