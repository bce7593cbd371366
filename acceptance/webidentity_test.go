package acceptance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an OpenID Connect provider on loopback, with a certificate of its own.
type issuer struct {
	t *testing.T
	*httptest.Server
	keys map[string]*ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t, keys: map[string]*ecdsa.PrivateKey{}}
	i.rotate("one")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		var set jose.JSONWebKeySet
		for id, k := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.PublicKey, KeyID: id, Algorithm: "ES256", Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

// rotate replaces the signing keys by a new one.
func (i *issuer) rotate(id string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.keys = map[string]*ecdsa.PrivateKey{id: k}
}

func (i *issuer) thumbprint() string {
	sum := sha1.Sum(i.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

// token is written to a file, as workloads get it.
func (i *issuer) token(id, subject string) string {
	i.t.Helper()
	payload, err := json.Marshal(map[string]any{
		"iss": i.URL, "aud": "kura", "sub": subject, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		i.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.keys[id], KeyID: id}}, nil)
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
	path := filepath.Join(i.t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		i.t.Fatal(err)
	}
	return path
}

// cli runs the AWS CLI and gives what it printed.
func (s *server) cli(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "aws", args...)
	home := t.TempDir()
	cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ENDPOINT_URL=" + s.plain, "AWS_EC2_METADATA_DISABLED=true", "PYENV_ROOT=" + pyenvRoot()}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestI21LiveIssuer: a workload has nothing but a token of its issuer; the CLI turns it into a role's
// session by itself.
func TestI21LiveIssuer(t *testing.T) {
	if !hasClient("aws") {
		t.Skip("aws is not installed")
	}
	s, ci := serve(t), newIssuer(t)
	admin := []string{"AWS_ACCESS_KEY_ID=" + s.client["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY=" + s.client["AWS_SECRET_ACCESS_KEY"]}
	must := func(args ...string) string {
		t.Helper()
		out, err := s.cli(t, admin, append(args, "--endpoint-url", s.plain, "--output", "text")...)
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(out)
	}
	account := must("sts", "get-caller-identity", "--query", "Account")
	provider := must("iam", "create-open-id-connect-provider", "--url", ci.URL, "--client-id-list", "kura", "--thumbprint-list", ci.thumbprint())
	name := strings.TrimPrefix(ci.URL, "https://")
	must("iam", "create-role", "--role-name", "deployer", "--assume-role-policy-document", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
		"Principal":{"Federated":"`+provider+`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"`+name+`:sub":"repo:kura:main","`+name+`:aud":"kura"}}}]}`)

	ask := func(token string) (string, error) {
		return s.cli(t, []string{"AWS_ROLE_ARN=arn:aws:iam::" + account + ":role/deployer", "AWS_WEB_IDENTITY_TOKEN_FILE=" + token, "AWS_ROLE_SESSION_NAME=build"},
			"sts", "get-caller-identity", "--query", "Arn", "--output", "text")
	}
	want := "arn:aws:sts::" + account + ":assumed-role/deployer/build"
	if out, err := ask(ci.token("one", "repo:kura:main")); err != nil || strings.TrimSpace(out) != want {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := ask(ci.token("one", "repo:mallory:main")); err == nil || !strings.Contains(out, "AccessDenied") {
		t.Errorf("another subject: %v %s", err, out)
	}
	stranger := newIssuer(t)
	if out, err := ask(stranger.token("one", "repo:kura:main")); err == nil || !strings.Contains(out, "InvalidIdentityToken") {
		t.Errorf("another issuer: %v %s", err, out)
	}
	old := ci.token("one", "repo:kura:main")
	ci.rotate("two")
	if out, err := ask(old); err != nil || strings.TrimSpace(out) != want {
		t.Errorf("signed before the rotation: %v %s", err, out)
	}
}
