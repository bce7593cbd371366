// Package apitest puts a service on a whole staircase for tests: callers who sign, the Guard, a record that can
// break, storage that counts its commits. Guarded is the test that every service owes: each operation refuses whom
// it must.
package apitest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/policy"
)

const (
	// Owner is the account that the tests' resources belong to, Other a second one.
	Owner = "111122223333"
	Other = "444455556666"
	// Region of the server.
	Region = "us-east-1"

	secret = "secret-secret-secret-secret-secret-secre"
)

// Everything is an identity policy that allows all.
const Everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

// M is a JSON object.
type M = map[string]any

// People are the callers by access key, which is their name: admin (may all), stranger (may nothing), denied (may
// all but this service's), foreign (may all, of another account), root (of Owner).
type People map[string]*authn.Credential

// Lookup implements authn.Credentials.
func (p People) Lookup(_ context.Context, key, _ string) (*authn.Credential, error) {
	if c := p[key]; c != nil {
		return c, nil
	}
	return nil, fault.New(authn.UnknownKey, "")
}

// UniqueID and ARNOf let stores of policies resolve users.
func (People) UniqueID(arn string) (string, bool) {
	_, name, _ := strings.Cut(arn, ":user/")
	return "AIDA" + strings.ToUpper(name), name != ""
}

// ARNOf implements the other direction, which tests do not need.
func (People) ARNOf(string) (string, bool) { return "", false }

// Add makes a user with an identity policy; "" is none.
func (p People) Add(t testing.TB, account, name, document string) {
	t.Helper()
	id := "AIDA" + strings.ToUpper(name)
	p.add(t, name, policy.Principal{
		Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name, Name: name, UserID: id, UniqueID: id,
	}, document)
}

func (p People) add(t testing.TB, name string, who policy.Principal, document string) {
	t.Helper()
	subject := authz.Subject{AccessKey: name, Principal: who}
	if document != "" {
		doc, err := policy.ParseString(document, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		subject.Policies.Identity = []*policy.Document{doc}
	}
	p[name] = &authn.Credential{AccessKeyID: name, Secret: secret, Active: true, Subject: subject}
}

// Recorder keeps what is completed, hands it on, and can break.
type Recorder struct {
	// Next gets everything too. Required; authztest.Forget is nobody.
	Next audit.Recorder
	// Broken lets nothing be recorded any more.
	Broken bool
	// Events are those completed.
	Events []audit.Event
}

// Wants implements audit.Recorder: everything.
func (*Recorder) Wants(*audit.Event) bool { return true }

// Begin implements audit.Recorder.
func (r *Recorder) Begin(ctx context.Context, ev *audit.Event) error {
	if r.Broken {
		return errors.New("the record cannot be written")
	}
	return r.Next.Begin(ctx, ev)
}

// Complete implements audit.Recorder.
func (r *Recorder) Complete(ctx context.Context, ev *audit.Event) error {
	r.Events = append(r.Events, *ev)
	return r.Next.Complete(ctx, ev)
}

// Last is the newest event.
func (r *Recorder) Last() audit.Event { return r.Events[len(r.Events)-1] }

// Meta counts what requests, not background jobs, commit.
type Meta struct {
	engine.Meta
	Commits int
}

type byRequest struct{}

// Commit implements engine.Meta.
func (m *Meta) Commit(ctx context.Context, b *engine.Batch) error {
	if ctx.Value(byRequest{}) != nil {
		m.Commits++
	}
	return m.Meta.Commit(ctx, b)
}

// Marked is a request whose commits Meta counts.
func Marked(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), byRequest{}, true))
}

// Harness is a server with one service beside an empty S3.
type Harness struct {
	// Server is there after Serve.
	Server   *api.Server
	Meta     *Meta
	Ring     *keys.Ring
	Recorder *Recorder
	People   People
	Authn    *authn.Authenticator
	Log      *slog.Logger

	t       testing.TB
	service string
	target  string
}

// New makes what a service is made of; service is its name in signatures.
func New(t testing.TB, service string) *Harness {
	t.Helper()
	h := &Harness{
		Meta: &Meta{Meta: memory.NewMeta()}, Recorder: &Recorder{Next: authztest.Forget{}}, People: People{}, Log: slog.New(slog.DiscardHandler),
		t: t, service: service,
	}
	var err error
	if h.Ring, err = keys.Open(t.Context(), h.Meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key"))); err != nil {
		t.Fatal(err)
	}
	h.People.Add(t, Owner, "admin", Everything)
	h.People.Add(t, Owner, "stranger", "")
	h.People.Add(t, Owner, "denied", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"`+
		service+`:*","Resource":"*"}]}`)
	h.People.Add(t, Other, "foreign", Everything)
	h.People.add(t, "root", policy.Principal{Type: policy.RootUser, Account: Owner, ARN: "arn:aws:iam::" + Owner + ":root", UserID: Owner, UniqueID: Owner}, "")
	h.Authn = authn.New(authn.Config{
		Credentials: h.People, Region: Region, Services: []string{"s3", service},
		Anonymous: authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}},
	})
	return h
}

// Serve puts the service on the staircase.
func (h *Harness) Serve(service api.Service) {
	h.t.Helper()
	var err error
	h.Server, err = api.NewServer(api.Config{
		// The service called s3 takes what no other claims.
		Services: []api.Service{rpc.New(rpc.Config{Name: "s3", Protocol: wire.Query, Authn: h.Authn, Log: h.Log}), service},
		Guard:    authz.New(authz.Config{Recorder: h.Recorder}), Recorder: h.Recorder, Log: h.Log, Region: Region,
		Peer: func(*http.Request) api.Peer {
			return api.Peer{IP: netip.MustParseAddr("127.0.0.1"), RequestID: "0123456789ABCDEF", HostID: "host"}
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, op := range h.ops() {
		if target := op.Wire().Target; target != "" {
			h.target = target[:strings.LastIndexByte(target, '.')+1]
		}
	}
}

// ops are the operations of the service.
func (h *Harness) ops() (own []*api.Op) {
	for _, op := range h.Server.Ops() {
		if op.Wire().Service != "s3" {
			own = append(own, op)
		}
	}
	return own
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// JSON is the body where it is a JSON object.
	JSON M
}

// Code is AWS's name of a failure of a JSON service, "" where it is none.
func (a *Answer) Code() string {
	code, _ := a.JSON["__type"].(string)
	if code == "" {
		code, _, _ = strings.Cut(a.Header.Get("X-Amzn-Errortype"), ":")
	}
	return code[strings.LastIndexByte(code, '#')+1:]
}

// Send signs a request with the key of who, nobody's as "", and lets the server answer it.
func (h *Harness) Send(who string, r *http.Request, body []byte) *Answer {
	h.t.Helper()
	if who != "" {
		sum := sha256.Sum256(body)
		if _, err := authn.Sign(r, authn.Signing{
			AccessKeyID: who, Secret: secret, Region: Region, Service: h.service, Time: time.Now(), PayloadHash: hex.EncodeToString(sum[:]),
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	h.Server.ServeHTTP(w, Marked(r))
	a := &Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
	_ = json.Unmarshal(a.Body, &a.JSON) // other bodies have no members
	return a
}

// Call makes a request of a JSON protocol.
func (h *Harness) Call(who, operation string, in any) *Answer {
	h.t.Helper()
	return h.call(who, &Sample{Operation: operation, In: in})
}

// Must is a Call of the administrator that succeeds.
func (h *Harness) Must(operation string, in any) M {
	h.t.Helper()
	a := h.Call("admin", operation, in)
	if a.Status/100 != 2 {
		h.t.Fatalf("%s: %d %s", operation, a.Status, a.Body)
	}
	return a.JSON
}

// Sample is a valid request of an operation.
type Sample struct {
	Operation string
	// In is the input: of a JSON service what is marshalled, of a query service a form ("A=b&C=d"), of a
	// REST service the body.
	In any
	// Method and Path are a REST service's.
	Method, Path string
	// Own says that it is about the caller's own account, so that another one's caller is served too.
	Own bool
	// Code is the failure of who may, "" where it succeeds.
	Code string
}

func (h *Harness) call(who string, s *Sample) *Answer {
	h.t.Helper()
	method, path, kind := http.MethodPost, "/", "application/x-amz-json-1.1"
	var body []byte
	form, isForm := s.In.(string)
	switch {
	case isForm:
		body, kind = []byte("Action="+s.Operation+"&"+form), "application/x-www-form-urlencoded"
	case s.In != nil || s.Method == "":
		var err error
		if body, err = json.Marshal(s.In); err != nil {
			h.t.Fatal(err)
		}
	}
	if s.Method != "" {
		method, path, kind = s.Method, s.Path, "application/json"
	}
	r := httptest.NewRequest(method, "http://"+h.service+".local"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	if h.target != "" && !isForm && s.Method == "" {
		r.Header.Set("X-Amz-Target", h.target+s.Operation)
	}
	return h.Send(who, r, body)
}

// Do sends a sample as who.
func (h *Harness) Do(who string, s Sample) *Answer {
	h.t.Helper()
	return h.call(who, &s)
}

// Guarded ranges over all operations: each refuses who may nothing, who is denied, who is of another account or
// nobody, and everybody when the decision cannot be recorded, without touching storage; and serves who may. The
// samples are served in their order.
func (h *Harness) Guarded(samples ...Sample) {
	h.t.Helper()
	declared := map[string]bool{}
	for _, op := range h.ops() {
		declared[op.Name()] = true
	}
	for i := range samples {
		s := &samples[i]
		delete(declared, s.Operation)
		h.refuses(s)
		a := h.call("admin", s)
		if s.Code == "" && a.Status/100 != 2 || s.Code != "" && !strings.Contains(string(a.Body)+a.Code(), s.Code) {
			h.t.Errorf("%s: %d %s", s.Operation, a.Status, a.Body)
		}
	}
	for name := range declared {
		h.t.Errorf("%s has no sample", name)
	}
}

// TagsBind shows that denials on tags bind: on those that a resource has, that a request brings and that it takes
// away. tag gives the resource the tag a=b, untag takes a away, and use is any other operation on it.
func (h *Harness) TagsBind(tag, untag, use Sample) {
	h.t.Helper()
	unless := func(name, condition string) {
		h.People.Add(h.t, Owner, name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},`+
			`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{`+condition+`}}]}`)
	}
	unless("kept from b", `"StringEquals":{"aws:ResourceTag/a":"b"}`)
	unless("bringing no b", `"StringEquals":{"aws:RequestTag/a":"b"}`)
	unless("leaving a", `"ForAnyValue:StringEquals":{"aws:TagKeys":"a"}`)
	for _, step := range []struct {
		who     string
		request Sample
		serves  bool
	}{
		{"bringing no b", tag, false}, {"leaving a", tag, false}, {"kept from b", tag, true}, // nothing bears the tag yet
		{"kept from b", use, false}, {"kept from b", untag, false}, {"bringing no b", use, true}, {"leaving a", use, true},
		{"leaving a", untag, false}, {"bringing no b", untag, true}, {"kept from b", use, true},
	} {
		if a := h.call(step.who, &step.request); (a.Status/100 == 2) != step.serves {
			h.t.Errorf("%s by who is %s: %d %s", step.request.Operation, step.who, a.Status, a.Body)
		}
	}
}

func (h *Harness) refuses(s *Sample) {
	h.t.Helper()
	before := h.Meta.Commits
	for _, who := range []string{"", "stranger", "denied", "foreign"} {
		if who == "foreign" && s.Own {
			continue
		}
		if a := h.call(who, s); a.Status/100 != 4 {
			h.t.Errorf("%s by %q: %d %s", s.Operation, who, a.Status, a.Body)
		}
	}
	h.Recorder.Broken = true
	if a := h.call("admin", s); a.Status != http.StatusServiceUnavailable {
		h.t.Errorf("%s, unrecorded: %d %s", s.Operation, a.Status, a.Body)
	}
	h.Recorder.Broken = false
	if h.Meta.Commits != before {
		h.t.Errorf("%s: a refused request wrote", s.Operation)
	}
}
