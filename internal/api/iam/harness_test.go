package iam_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/iam"
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
	"github.com/kura-s3/kura/internal/testclock"
)

// harness is IAM, STS and Organizations behind the whole staircase, on an engine in memory, with a
// clock that a test moves.
type harness struct {
	t          testing.TB
	server     *api.Server
	identities *identity.Store
	guard      *authz.Guard
	meta       *apitest.Meta
	recorder   *apitest.Recorder
	clock      *testclock.Clock
	admin      user
	root       user
	// exposes is asked of changes where a policy asks; nil: nothing is exposed.
	exposes exposure.Judge
}

// user is a key, long-term or of a session.
type user struct{ key, secret, token string }

const (
	testAccount = "111122223333"
	testRegion  = "eu-central-1"
)

func (h *harness) judge(c exposure.Change) (exposure.Exposed, error) {
	if h.exposes == nil {
		return exposure.Exposed{}, nil
	}
	return h.exposes(c)
}

// newHarness takes the transport to OIDC issuers, where a test has one.
func newHarness(t testing.TB, issuers ...http.RoundTripper) *harness {
	t.Helper()
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h := &harness{
		t: t, meta: &apitest.Meta{Meta: memory.NewMeta()}, recorder: &apitest.Recorder{Next: authztest.Forget{}},
		clock: testclock.New(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
		admin: user{key: "AKIAADMINADMINADMIN1", secret: "admin-secret-admin-secret-admin-secret-1"},
		root:  user{key: "AKIAROOTROOTROOTROO1", secret: "root-secret-root-secret-root-secret-root"},
	}
	ring, err := keys.Open(ctx, h.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	var transport http.RoundTripper
	for _, i := range issuers {
		transport = i
	}
	h.identities, err = identity.Open(ctx, identity.Config{
		Issuers: transport, Meta: h.meta, Secrets: ring, Now: h.clock.Now, Log: log, AccountID: testAccount,
		Admin: &identity.AccessKeyPair{ID: h.admin.key, Secret: h.admin.secret}, Root: &identity.AccessKeyPair{ID: h.root.key, Secret: h.root.secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.identities.Close() })
	h.guard = authz.New(authz.Config{Recorder: h.recorder, Now: h.clock.Now})
	signers := authn.New(authn.Config{Credentials: h.identities, Anonymous: identity.Anonymous(), Region: testRegion, Now: h.clock.Now})
	h.server, err = api.NewServer(api.Config{
		Services: []api.Service{
			rpc.New(rpc.Config{Name: "s3", Protocol: wire.Query, Authn: signers, Log: log}), // takes what no other claims
			iam.New(iam.Config{Identities: h.identities, Exposes: h.judge, Authn: signers, Log: log}),
			sts.New(sts.Config{Identities: h.identities, Guard: h.guard, Authn: signers, Log: log}),
			organizations.New(organizations.Config{Identities: h.identities, Authn: signers, Log: log}),
		},
		Guard: h.guard, Recorder: h.recorder, Log: log, Region: testRegion, Now: h.clock.Now,
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

// code of the error; "" for a success.
func (a answer) code() string {
	var told struct {
		Type string `json:"__type"`
	}
	if json.Unmarshal([]byte(a.body), &told) == nil {
		return told.Type
	}
	return a.text("Code")
}

// text of the first element of the name.
func (a answer) text(element string) string {
	all := a.all(element)
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// all are the texts of the elements of a name.
func (a answer) all(element string) (texts []string) {
	d := xml.NewDecoder(strings.NewReader(a.body))
	for {
		token, err := d.Token()
		if err != nil {
			return texts
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != element {
			continue
		}
		next, err := d.Token()
		if err != nil {
			return texts
		}
		if data, ok := next.(xml.CharData); ok {
			texts = append(texts, string(data))
		} else {
			texts = append(texts, "")
		}
	}
}

// call sends an operation. Pairs are parameters as the query protocol has them. The zero user does
// not sign.
func (h *harness) call(u user, service, action string, pairs ...string) answer {
	h.t.Helper()
	if service == "organizations" {
		body := jsonOf(h.t, pairs)
		r := httptest.NewRequest("POST", "http://kura.local/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AWSOrganizationsV20161128."+action)
		return h.send(u, service, r, body)
	}
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest("POST", "http://kura.local/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return h.send(u, service, r, form.Encode())
}

// jsonOf makes an object of parameters: "Tags.member.1.Key" is a member of the one element of a list.
func jsonOf(t testing.TB, pairs []string) string {
	object := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, element, inList := strings.Cut(pairs[i], ".member.1")
		switch {
		case name == "MaxResults":
			object[name] = json.Number(pairs[i+1])
		case !inList:
			object[name] = pairs[i+1]
		case element == "":
			object[name] = []any{pairs[i+1]}
		default:
			list, ok := object[name].([]any)
			if !ok {
				list = []any{map[string]any{}}
				object[name] = list
			}
			list[0].(map[string]any)[strings.TrimPrefix(element, ".")] = pairs[i+1]
		}
	}
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (h *harness) send(u user, service string, r *http.Request, body string) answer {
	h.t.Helper()
	if u.key != "" {
		sum := sha256.Sum256([]byte(body))
		if _, err := authn.Sign(r, authn.Signing{
			AccessKeyID: u.key, Secret: u.secret, SessionToken: u.token, Region: "us-east-1", Service: service,
			Time: h.clock.Now(), PayloadHash: hex.EncodeToString(sum[:]),
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, apitest.Marked(r))
	return answer{w.Code, w.Body.String()}
}

// must is call for what has to succeed.
func (h *harness) must(u user, service, action string, pairs ...string) answer {
	h.t.Helper()
	a := h.call(u, service, action, pairs...)
	if a.status != 200 {
		h.t.Fatalf("%s %v: %d %s", action, pairs, a.status, a.body)
	}
	return a
}

// refused is call for what has to be refused with a code.
func (h *harness) refused(code string, u user, service, action string, pairs ...string) answer {
	h.t.Helper()
	a := h.call(u, service, action, pairs...)
	if a.code() != code {
		h.t.Errorf("%s %v: %d %s, want %s", action, pairs, a.status, a.body, code)
	}
	return a
}

// newUser makes a user with a key and, unless it is empty, an inline policy.
func (h *harness) newUser(name, document string) user {
	h.t.Helper()
	h.must(h.admin, "iam", "CreateUser", "UserName", name)
	if document != "" {
		h.must(h.admin, "iam", "PutUserPolicy", "UserName", name, "PolicyName", "own", "PolicyDocument", document)
	}
	a := h.must(h.admin, "iam", "CreateAccessKey", "UserName", name)
	return user{key: a.text("AccessKeyId"), secret: a.text("SecretAccessKey")}
}

// session takes the credentials out of an answer of STS.
func (a answer) session() user {
	return user{a.text("AccessKeyId"), a.text("SecretAccessKey"), a.text("SessionToken")}
}

// allow is a policy with one statement; condition may be empty.
func allow(action, resource, condition string) string {
	return statement("Allow", action, resource, condition)
}

func statement(effect, action, resource, condition string) string {
	s := `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":["` + action + `"],"Resource":"` + resource + `"`
	if condition != "" {
		s += `,"Condition":` + condition
	}
	return s + `}]}`
}

// trust is a trust policy for one principal.
func trust(principal, condition string) string {
	s := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`
	if condition != "" {
		s += `,"Condition":` + condition
	}
	return s + `}]}`
}

func arn(resource string) string { return "arn:aws:iam::" + testAccount + ":" + resource }

// json is a text in an answer of the JSON protocol, by the names of the members down to it.
func (a answer) json(path ...string) string {
	var value any
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		return ""
	}
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = object[name]
	}
	s, _ := value.(string)
	return s
}

// assume gives u a session of a role.
func (h *harness) assume(u user, role string, pairs ...string) user {
	h.t.Helper()
	return h.must(u, "sts", "AssumeRole", append([]string{"RoleArn", role, "RoleSessionName", "session"}, pairs...)...).session()
}
