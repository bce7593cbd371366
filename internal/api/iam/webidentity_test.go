package iam_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an identity provider: its discovery document, its key, and the tokens that it signs.
type issuer struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

const issuerURL = "https://issuer.example/ci"

func newIssuer(t *testing.T) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, key}
}

// RoundTrip implements http.RoundTripper.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	var document any
	status := http.StatusOK
	switch r.URL.String() {
	case issuerURL + "/.well-known/openid-configuration":
		document = map[string]string{"issuer": issuerURL, "jwks_uri": issuerURL + "/keys"}
	case issuerURL + "/keys":
		document = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}}
	default:
		status = http.StatusNotFound
	}
	body, err := json.Marshal(document)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, err
}

// token signs claims; pairs replace the usual ones, nil takes one away.
func (i *issuer) token(now time.Time, pairs ...any) string {
	claims := map[string]any{"iss": issuerURL, "sub": "repo:kura:main", "aud": "kura", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for n := 0; n+1 < len(pairs); n += 2 {
		claims[pairs[n].(string)] = pairs[n+1]
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "one"}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// TestWebIdentity: an unsigned request whose token proves who asks, decided by the role's trust policy.
func TestWebIdentity(t *testing.T) {
	ci := newIssuer(t)
	h := newHarness(t, ci)
	provider := h.must(h.admin, "iam", "CreateOpenIDConnectProvider", "Url", issuerURL, "ClientIDList.member.1", "kura").text("OpenIDConnectProviderArn")
	h.must(h.admin, "iam", "CreateRole", "RoleName", "deployer", "AssumeRolePolicyDocument", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
		"Principal":{"Federated":"`+provider+`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"issuer.example/ci:sub":"repo:kura:main"}}}]}`)
	h.must(h.admin, "iam", "CreateRole", "RoleName", "closed", "AssumeRolePolicyDocument", trust(testAccount, ""))
	ask := func(role, token string) []string {
		return []string{"RoleArn", arn("role/" + role), "RoleSessionName", "build", "WebIdentityToken", token}
	}
	now := h.clock.Now()
	a := h.must(user{}, "sts", "AssumeRoleWithWebIdentity", ask("deployer", ci.token(now))...)
	if a.text("SubjectFromWebIdentityToken") != "repo:kura:main" || a.text("Audience") != "kura" || a.text("Provider") != provider {
		t.Error(a.body)
	}
	ev := h.recorder.Last()
	if ev.Principal.ARN != provider || !strings.Contains(ev.Principal.UserID, "repo:kura:main") || len(ev.Decisions) != 1 || !ev.Decisions[0].Allowed {
		t.Errorf("recorded as %+v %+v", ev.Principal, ev.Decisions)
	}
	if got := h.must(a.session(), "sts", "GetCallerIdentity").text("Arn"); got != "arn:aws:sts::"+testAccount+":assumed-role/deployer/build" {
		t.Error(got)
	}

	for name, c := range map[string]struct{ role, token, code string }{
		"other subject":     {"deployer", ci.token(now, "sub", "repo:mallory:main"), "AccessDenied"},
		"role for others":   {"closed", ci.token(now), "AccessDenied"},
		"no such role":      {"nobody", ci.token(now), "AccessDenied"},
		"other audience":    {"deployer", ci.token(now, "aud", "elsewhere"), "InvalidIdentityToken"},
		"other issuer":      {"deployer", ci.token(now, "iss", "https://evil.example"), "InvalidIdentityToken"},
		"expired":           {"deployer", ci.token(now.Add(-time.Hour)), "ExpiredTokenException"},
		"without an expiry": {"deployer", ci.token(now, "exp", nil), "InvalidIdentityToken"},
		"another's key":     {"deployer", newIssuer(t).token(now), "InvalidIdentityToken"},
		"alg none":          {"deployer", "eyJhbGciOiJub25lIn0.e30.", "InvalidIdentityToken"},
	} {
		before := h.meta.Commits
		if a := h.call(user{}, "sts", "AssumeRoleWithWebIdentity", ask(c.role, c.token)...); a.code() != c.code || a.text("SecretAccessKey") != "" {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.body, c.code)
		}
		if h.meta.Commits != before {
			t.Errorf("%s: storage was touched", name)
		}
	}
	h.recorder.Broken = true
	if a := h.call(user{}, "sts", "AssumeRoleWithWebIdentity", ask("deployer", ci.token(now))...); a.status != 503 {
		t.Errorf("unrecorded: %d %s", a.status, a.body)
	}
	h.recorder.Broken = false

	// A stranger who signs as well is still only whom the token proves, and other unsigned calls stay closed.
	h.must(h.newUser("stranger", ""), "sts", "AssumeRoleWithWebIdentity", ask("deployer", ci.token(now))...)
	h.refused("MissingAuthenticationToken", user{}, "sts", "GetCallerIdentity")
	h.refused("MissingAuthenticationToken", user{}, "sts", "AssumeRole", "RoleArn", arn("role/deployer"), "RoleSessionName", "build")
}
