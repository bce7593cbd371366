package identity_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/identity"
)

const client = "kura-client"

// issuer is an OIDC issuer that speaks TLS.
type issuer struct {
	*httptest.Server
	rsa   *rsa.PrivateKey
	ec    *ecdsa.PrivateKey
	keys  atomic.Pointer[[]jose.JSONWebKey]
	asked atomic.Int32
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.rsa = must(rsa.GenerateKey(rand.Reader, 2048))(t)
	i.ec = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	i.publish("r1", "e1")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: *i.keys.Load()})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) publish(rsaID, ecID string) {
	i.keys.Store(&[]jose.JSONWebKey{{Key: &i.rsa.PublicKey, KeyID: rsaID, Use: "sig"}, {Key: &i.ec.PublicKey, KeyID: ecID, Use: "sig"}})
}

// token signs claims with the issuer's RSA key, under the header given.
func (i *issuer) token(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	input := segment(t, header) + "." + segment(t, claims)
	sum := sha256.Sum256([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(must(rsa.SignPKCS1v15(rand.Reader, i.rsa, crypto.SHA256, sum[:]))(t))
}

func segment(t *testing.T, v any) string {
	return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))(t))
}

// federation is a store that trusts an issuer, with a role for its tokens.
type federation struct {
	*house
	issuer *issuer
	role   *identity.Role
	arn    string
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	h := &house{t: t, meta: memory.NewMeta(), vault: newVault(t), clock: newClock(), ctx: context.Background()}
	h.all = newHouse(t).all
	i := newIssuer(t)
	h.Store = must(identity.Open(h.ctx, identity.Config{
		Meta: h.meta, Secrets: h.vault, Now: h.clock.Now, AccountID: account, Admin: &adminKey,
		Dial: (&net.Dialer{}).DialContext,
	}))(t)
	t.Cleanup(func() { h.Close() })
	f := &federation{house: h, issuer: i}
	p := must(h.CreateOIDCProvider(h.ctx, h.all, account, i.URL, []string{client}, []string{i.thumbprint()}, nil))(t)
	f.arn = p.ARN
	host := strings.TrimPrefix(i.URL, "https://")
	f.role = h.role("Web", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"`+p.ARN+`"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],`+
		`"Condition":{"StringEquals":{"`+host+`:aud":"`+client+`"},"ForAnyValue:StringEquals":{"`+host+`:groups":"admins"}}}]}`, "s3:GetObject")
	return f
}

func (i *issuer) thumbprint() string {
	sum := sha1.Sum(i.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

func (f *federation) claims() map[string]any {
	now := f.clock.Now().Unix()
	return map[string]any{
		"iss": f.issuer.URL, "sub": "user-1", "aud": client, "exp": now + 600, "iat": now, "groups": []string{"staff", "admins"},
	}
}

var rs256 = map[string]any{"alg": "RS256", "kid": "r1"}

func (f *federation) assume(token string) (*identity.WebCredentials, error) {
	in := identity.WebIdentityInput{RoleARN: f.role.ARN, RoleSessionName: "web", WebIdentityToken: token}
	subject, demands, err := f.WebIdentityDemands(f.ctx, in)
	if err != nil {
		return nil, err
	}
	grant, err := f.guard(&subject, demands)
	if err != nil {
		return nil, err
	}
	return f.AssumeRoleWithWebIdentity(f.ctx, grant, in)
}

func TestI21WebIdentity(t *testing.T) {
	f := newFederation(t)
	c := must(f.assume(f.issuer.token(t, rs256, f.claims())))(t)
	if c.Subject != "user-1" || c.Audience != client || c.Provider != f.arn {
		t.Errorf("credentials %+v", c)
	}
	if !f.may(c.AccessKeyID, c.SessionToken, "s3:GetObject", object) {
		t.Error("the session may not read")
	}
	if v, _ := f.subject(c.AccessKeyID, c.SessionToken).Keys.Lookup("aws:federatedprovider"); v.One != f.arn {
		t.Errorf("aws:FederatedProvider %q", v.One)
	}
	claims := f.claims()
	claims["groups"] = []string{"staff"}
	_, err := f.assume(f.issuer.token(t, rs256, claims))
	denied(t, err)
	claims = f.claims()
	claims["https://aws.amazon.com/tags"] = map[string]any{"principal_tags": map[string]any{"Team": []string{"blue"}}}
	c = must(f.assume(f.issuer.token(t, rs256, claims)))(t)
	if v, _ := f.subject(c.AccessKeyID, c.SessionToken).Keys.Lookup("aws:principaltag/team"); v.One != "blue" {
		t.Errorf("tag %q", v.One)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: f.issuer.ec, KeyID: "e1"}}, nil))(t)
	signed := must(signer.Sign(must(json.Marshal(f.claims()))(t)))(t)
	must(f.assume(must(signed.CompactSerialize())(t)))(t)
}

// Ceph CVE-2024-48916 (alg none), MinIO CVE-2026-33322 (HS256 with a public key), RustFS xvfh (missing
// exp), MinIO CVE-2025-32963 (aud of another): every one is an InvalidIdentityToken.
func TestI21BadWebIdentities(t *testing.T) {
	f := newFederation(t)
	with := func(key string, value any) map[string]any {
		c := f.claims()
		if value == nil {
			delete(c, key)
		} else {
			c[key] = value
		}
		return c
	}
	good := f.issuer.token(t, rs256, f.claims())
	hs := func(secret []byte) string {
		in := segment(t, map[string]any{"alg": "HS256", "kid": "r1"}) + "." + segment(t, f.claims())
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(in))
		return in + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	spki := must(x509.MarshalPKIXPublicKey(&f.issuer.rsa.PublicKey))(t)
	now := f.clock.Now().Unix()
	own := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	stranger := &issuer{rsa: own}
	embedded := map[string]any{"alg": "RS256", "jwk": jose.JSONWebKey{Key: &own.PublicKey}}
	for name, token := range map[string]string{
		"alg none":               segment(t, map[string]any{"alg": "none"}) + "." + segment(t, f.claims()) + ".",
		"alg None":               segment(t, map[string]any{"alg": "None"}) + "." + segment(t, f.claims()) + ".",
		"HS256 with public DER":  hs(spki),
		"HS256 with public PEM":  hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
		"no signature":           good[:strings.LastIndex(good, ".")+1],
		"another's signature":    stranger.token(t, rs256, f.claims()),
		"embedded key":           stranger.token(t, embedded, f.claims()),
		"kid of a path":          stranger.token(t, map[string]any{"alg": "RS256", "kid": "../../r1"}, f.claims()),
		"kid with injection":     f.issuer.token(t, map[string]any{"alg": "RS256", "kid": "r1' or '1'='1"}, f.claims()),
		"kid of another type":    f.issuer.token(t, map[string]any{"alg": "RS256", "kid": "e1"}, f.claims()),
		"critical extension":     f.issuer.token(t, map[string]any{"alg": "RS256", "kid": "r1", "crit": []string{"x"}, "x": 1}, f.claims()),
		"missing exp":            f.issuer.token(t, rs256, with("exp", nil)),
		"exp as text":            f.issuer.token(t, rs256, with("exp", "never")),
		"missing iat":            f.issuer.token(t, rs256, with("iat", nil)),
		"of tomorrow":            f.issuer.token(t, rs256, with("iat", now+86400)),
		"not before tomorrow":    f.issuer.token(t, rs256, with("nbf", now+86400)),
		"wrong aud":              f.issuer.token(t, rs256, with("aud", "somebody-else")),
		"no aud":                 f.issuer.token(t, rs256, with("aud", nil)),
		"empty aud":              f.issuer.token(t, rs256, with("aud", []string{""})),
		"party of another":       f.issuer.token(t, rs256, with("azp", "somebody-else")),
		"wrong iss":              f.issuer.token(t, rs256, with("iss", "https://accounts.example.com")),
		"http iss":               f.issuer.token(t, rs256, with("iss", strings.Replace(f.issuer.URL, "https", "http", 1))),
		"iss with path":          f.issuer.token(t, rs256, with("iss", f.issuer.URL+"/x")),
		"no iss":                 f.issuer.token(t, rs256, with("iss", nil)),
		"no sub":                 f.issuer.token(t, rs256, with("sub", nil)),
		"not a token":            "AAAA.BBBB.CCCC",
		"words":                  "hello world",
		"json serialization":     `{"payload":"e30","signatures":[]}`,
		"five parts (encrypted)": "a.b.c.d.e",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.assume(token)
			refused(t, err, identity.InvalidIdentityToken, "")
		})
	}
	_, err := f.assume(f.issuer.token(t, rs256, with("exp", now)))
	refused(t, err, identity.ExpiredIdentityToken, "")
	if n := f.issuer.asked.Load(); n > 1 {
		t.Errorf("the issuer was asked %d times within a minute", n)
	}
}

func TestIssuerRotatesKeys(t *testing.T) {
	f := newFederation(t)
	must(f.assume(f.issuer.token(t, rs256, f.claims())))(t)
	f.issuer.publish("r2", "e2")
	next := map[string]any{"alg": "RS256", "kid": "r2"}
	_, err := f.assume(f.issuer.token(t, next, f.claims()))
	refused(t, err, identity.InvalidIdentityToken, "")
	f.clock.Forward(time.Minute)
	must(f.assume(f.issuer.token(t, next, f.claims())))(t)
	_, err = f.assume(f.issuer.token(t, rs256, f.claims()))
	refused(t, err, identity.InvalidIdentityToken, "")
	f.do(f.RemoveClientID(f.ctx, f.all, account, f.arn, client))
	_, err = f.assume(f.issuer.token(t, next, f.claims()))
	refused(t, err, identity.InvalidIdentityToken, "Incorrect token audience")
}

// An issuer whose certificate neither an authority nor a thumbprint vouches for proves nothing.
func TestIssuerCertificateIsVerified(t *testing.T) {
	f := newFederation(t)
	f.do(f.UpdateThumbprints(f.ctx, f.all, account, f.arn, []string{strings.Repeat("0", 40)}))
	_, err := f.assume(f.issuer.token(t, rs256, f.claims()))
	refused(t, err, identity.InvalidIdentityToken, "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	if f.issuer.asked.Load() != 0 {
		t.Error("keys were fetched over an unproved connection")
	}
}

// RustFS m479, frwq, q9q8, j5c2: outbound connections go through the dialer that holds the policy.
func TestIssuersAreDialedThroughTheConfig(t *testing.T) {
	h := newHouse(t) // without Dial
	i := newIssuer(t)
	must(h.CreateOIDCProvider(h.ctx, h.all, account, i.URL, []string{client}, nil, nil))(t)
	r := h.role("Web", trust("arn:aws:iam::"+account+":root"))
	f := &federation{house: h, issuer: i, role: r}
	_, err := f.assume(i.token(t, rs256, f.claims()))
	refused(t, err, identity.InvalidIdentityToken, "")
	if i.asked.Load() != 0 {
		t.Error("an issuer was reached without a dialer")
	}
	for _, url := range []string{"http://example.com", "https://", "https://u:p@example.com", "https://example.com/?a=b", "file:///etc/passwd", "https://example.com/#x"} {
		_, err := h.CreateOIDCProvider(h.ctx, h.all, account, url, nil, nil, nil)
		refused(t, err, identity.ValidationError, "")
	}
}
