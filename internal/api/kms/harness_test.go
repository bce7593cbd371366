package kms_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/iam"
	apikms "github.com/kura-s3/kura/internal/api/kms"
	"github.com/kura-s3/kura/internal/api/organizations"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/sts"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/kms"
)

const (
	testAccount = "111122223333"
	testRegion  = "us-east-1"
)

// m is an input or output of the JSON protocol.
type m = map[string]any

// user is a key, long-term or of a session.
type user struct{ key, secret, token string }

// harness is KMS, and IAM, STS and Organizations to make its callers with, behind the whole staircase.
type harness struct {
	t        testing.TB
	server   *api.Server
	keys     *kms.Store
	meta     *apitest.Meta
	recorder *apitest.Recorder
	now      time.Time
	admin    user
	root     user
	// exposes is asked of changes where a policy asks; nil: nothing is exposed.
	exposes exposure.Judge
}

func (h *harness) judge(c exposure.Change) (exposure.Exposed, error) {
	if h.exposes == nil {
		return exposure.Exposed{}, nil
	}
	return h.exposes(c)
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h := &harness{
		t: t, meta: &apitest.Meta{Meta: memory.NewMeta()}, recorder: &apitest.Recorder{Next: authztest.Forget{}}, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		admin: user{key: "AKIAADMINADMINADMIN1", secret: "admin-secret-admin-secret-admin-secret-1"},
		root:  user{key: "AKIAROOTROOTROOTROO1", secret: "root-secret-root-secret-root-secret-root"},
	}
	clock := func() time.Time { return h.now }
	ring, err := keys.Open(ctx, h.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	identities, err := identity.Open(ctx, identity.Config{
		Meta: h.meta, Secrets: ring, Now: clock, Log: log, AccountID: testAccount,
		Admin: &identity.AccessKeyPair{ID: h.admin.key, Secret: h.admin.secret}, Root: &identity.AccessKeyPair{ID: h.root.key, Secret: h.root.secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = identities.Close() })
	if h.keys, err = kms.Open(ctx, kms.Config{Meta: h.meta, Secrets: ring, Principals: identities, Region: testRegion, Now: clock, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.keys.Close() })
	guard := authz.New(authz.Config{Recorder: h.recorder, Now: clock})
	signers := authn.New(authn.Config{
		Credentials: identities, Anonymous: identity.Anonymous(), Region: testRegion, Now: clock, Services: []string{"s3", "iam", "sts", "organizations", "kms"},
	})
	h.server, err = api.NewServer(api.Config{
		Services: []api.Service{
			rpc.New(rpc.Config{Name: "s3", Protocol: wire.Query, Authn: signers, Log: log}), // takes what no other claims
			iam.New(iam.Config{Identities: identities, Authn: signers, Log: log}),
			sts.New(sts.Config{Identities: identities, Guard: guard, Authn: signers, Log: log}),
			organizations.New(organizations.Config{Identities: identities, Authn: signers, Log: log}),
			apikms.New(apikms.Config{Keys: h.keys, Exposes: h.judge, Authn: signers, Log: log}),
		},
		Guard: guard, Recorder: h.recorder, Log: log, Region: testRegion, Now: clock,
		Peer: func(*http.Request) api.Peer {
			return api.Peer{IP: netip.MustParseAddr("127.0.0.1"), RequestID: "0123456789ABCDEF", HostID: "host"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// answer is what came back.
type answer struct {
	status int
	body   string
}

func (a answer) decoded() m {
	var out m
	_ = json.Unmarshal([]byte(a.body), &out)
	return out
}

// code of the error; "" for a success.
func (a answer) code() string { return a.text("__type") }

func (a answer) message() string { return a.text("message") }

// text is a text by the names of the members down to it.
func (a answer) text(path ...string) string {
	var value any = a.decoded()
	for _, name := range path {
		object, ok := value.(m)
		if !ok {
			return ""
		}
		value = object[name]
	}
	s, _ := value.(string)
	return s
}

// bytes is a blob in an answer.
func (a answer) bytes(name string) []byte {
	b, _ := base64.StdEncoding.DecodeString(a.text(name))
	return b
}

// element is the first text of an XML element.
func (a answer) element(name string) string {
	_, rest, _ := strings.Cut(a.body, "<"+name+">")
	value, _, _ := strings.Cut(rest, "</"+name+">")
	return value
}

// raw sends a body as an operation of KMS. The zero user does not sign.
func (h *harness) raw(u user, operation, body string) answer {
	h.t.Helper()
	r := httptest.NewRequest("POST", "http://kura.local/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	return h.send(u, "kms", r, body)
}

// call sends an operation of KMS.
func (h *harness) call(u user, operation string, in m) answer {
	h.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.raw(u, operation, string(body))
}

func (h *harness) send(u user, service string, r *http.Request, body string) answer {
	h.t.Helper()
	if u.key != "" {
		sum := sha256.Sum256([]byte(body))
		if _, err := authn.Sign(r, authn.Signing{
			AccessKeyID: u.key, Secret: u.secret, SessionToken: u.token, Region: testRegion, Service: service, Time: h.now, PayloadHash: hex.EncodeToString(sum[:]),
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, apitest.Marked(r))
	return answer{w.Code, w.Body.String()}
}

// must is call for what has to succeed.
func (h *harness) must(u user, operation string, in m) answer {
	h.t.Helper()
	a := h.call(u, operation, in)
	if a.status != 200 {
		h.t.Fatalf("%s %v: %d %s", operation, in, a.status, a.body)
	}
	return a
}

// refused is call for what has to be refused, with a code and words of the message.
func (h *harness) refused(code, words string, u user, operation string, in m) {
	h.t.Helper()
	if a := h.call(u, operation, in); a.code() != code || !strings.Contains(a.message(), words) || a.status != 400 {
		h.t.Errorf("%s %v: %d %s, want %s %q", operation, in, a.status, a.body, code, words)
	}
}

// query sends an operation of IAM or STS, which has to succeed.
func (h *harness) query(u user, service, action string, pairs ...string) answer {
	h.t.Helper()
	form := []string{"Action=" + action, "Version=2010-05-08"}
	for i := 0; i+1 < len(pairs); i += 2 {
		form = append(form, pairs[i]+"="+strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", " ", "%20", "=", "%3D").Replace(pairs[i+1]))
	}
	body := strings.Join(form, "&")
	r := httptest.NewRequest("POST", "http://kura.local/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	a := h.send(u, service, r, body)
	if a.status != 200 {
		h.t.Fatalf("%s %v: %d %s", action, pairs, a.status, a.body)
	}
	return a
}

// newUser makes a user with a key and, unless it is empty, an inline policy.
func (h *harness) newUser(by user, name, document string) user {
	h.t.Helper()
	h.query(by, "iam", "CreateUser", "UserName", name)
	if document != "" {
		h.query(by, "iam", "PutUserPolicy", "UserName", name, "PolicyName", "own", "PolicyDocument", document)
	}
	a := h.query(by, "iam", "CreateAccessKey", "UserName", name)
	return user{key: a.element("AccessKeyId"), secret: a.element("SecretAccessKey")}
}

// secondAccount is an administrator of another account.
func (h *harness) secondAccount() (id string, u user) {
	h.t.Helper()
	body := `{"Email":"b@example.com","AccountName":"b"}`
	r := httptest.NewRequest("POST", "http://kura.local/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSOrganizationsV20161128.CreateAccount")
	a := h.send(h.admin, "organizations", r, body)
	if id = a.text("CreateAccountStatus", "AccountId"); id == "" {
		h.t.Fatal(a.body)
	}
	s := h.query(h.admin, "sts", "AssumeRole", "RoleArn", "arn:aws:iam::"+id+":role/OrganizationAccountAccessRole", "RoleSessionName", "session")
	return id, user{s.element("AccessKeyId"), s.element("SecretAccessKey"), s.element("SessionToken")}
}

// key makes a key and gives its id.
func (h *harness) key(in m) string {
	h.t.Helper()
	return h.must(h.admin, "CreateKey", in).text("KeyMetadata", "KeyId")
}

func arn(id string) string { return kms.KeyARN(testRegion, testAccount, id) }

func userARN(name string) string { return "arn:aws:iam::" + testAccount + ":user/" + name }

func statement(effect, action, condition string) string {
	s := `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":"` + action + `","Resource":"*"`
	if condition != "" {
		s += `,"Condition":` + condition
	}
	return s + `}]}`
}
