package kms_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/testclock"
	"github.com/kura-s3/kura/policy"
)

const (
	account = "111122223333"
	other   = "444455556666"
	region  = "eu-central-1"
	viaS3   = "s3." + region + ".amazonaws.com"
)

// people are the users and roles that policies may name, by ARN.
type people map[string]string

func (p people) UniqueID(arn string) (string, bool) {
	id, ok := p[arn]
	return id, ok
}

func (p people) ARNOf(id string) (string, bool) {
	for arn, i := range p {
		if i == id {
			return arn, true
		}
	}
	return "", false
}

func (p people) PrincipalExists(a string) bool { return a == account || a == other }

// harness is a Store on an engine in memory.
type harness struct {
	t      testing.TB
	meta   engine.Meta
	ring   *keys.Ring
	feed   *feed.Feed
	clock  *testclock.Clock
	people people
	guard  *authz.Guard
	*kms.Store
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	h := &harness{
		t: t, meta: memory.NewMeta(), clock: testclock.New(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
		guard:  authz.New(authz.Config{Recorder: authztest.Forget{}}),
		people: people{},
	}
	var err error
	if h.ring, err = keys.Open(t.Context(), h.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key"))); err != nil {
		t.Fatal(err)
	}
	if h.feed, err = feed.Open(t.Context(), h.meta, "test"); err != nil {
		t.Fatal(err)
	}
	h.Store = h.reopen()
	return h
}

// reopen opens another Store on the same records, as another node or a later start does.
func (h *harness) reopen() *kms.Store {
	h.t.Helper()
	s, err := kms.Open(context.Background(), kms.Config{
		Meta: h.meta, Secrets: h.ring, Principals: h.people, Region: region, Feed: h.feed, Now: h.clock.Now,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = s.Close() })
	return s
}

// all is a grant for everything.
func (h *harness) all() authz.Grant { return authztest.Grant(h.t, "kms:*", "*") }

// asking is a request that somebody with an identity policy makes; document may be empty.
func (h *harness) asking(p policy.Principal, document string) (authz.Grant, *audit.Event) {
	h.t.Helper()
	subject := &authz.Subject{Principal: p}
	for _, text := range []string{document, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"test:Ask","Resource":"*"}}`} {
		if text == "" {
			continue
		}
		doc, err := policy.ParseString(text, policy.Identity)
		if err != nil {
			h.t.Fatal(err)
		}
		subject.Policies.Identity = append(subject.Policies.Identity, doc)
	}
	ev := &audit.Event{Service: "s3", Operation: "PutObject"}
	g, err := h.guard.Decide(context.Background(), &authz.Inquiry{Subject: subject, Event: ev},
		authz.Demand{Action: "test:Ask", Resource: authz.Resource{ARN: "*", Account: p.Account}})
	if err != nil {
		h.t.Fatal(err)
	}
	return g, ev
}

// user makes a user that policies can name.
func (h *harness) user(acct, name string) policy.Principal {
	arn := "arn:aws:iam::" + acct + ":user/" + name
	id := "AIDA" + strings.ToUpper(name) + strings.Repeat("X", 17-len(name))
	h.people[arn] = id
	return policy.Principal{Type: policy.IAMUser, Account: acct, ARN: arn, UserID: id, UniqueID: id, Name: name}
}

// role makes a role and is a session of it.
func (h *harness) role(acct, name string) policy.Principal {
	arn := "arn:aws:iam::" + acct + ":role/" + name
	id := "AROA" + strings.ToUpper(name) + strings.Repeat("X", 17-len(name))
	h.people[arn] = id
	return policy.Principal{
		Type: policy.AssumedRole, Account: acct, ARN: "arn:aws:sts::" + acct + ":assumed-role/" + name + "/s", UserID: id + ":s", UniqueID: id, IssuerARN: arn,
	}
}

func root(acct string) policy.Principal {
	return policy.Principal{Type: policy.RootUser, Account: acct, ARN: "arn:aws:iam::" + acct + ":root", UserID: acct}
}

// create makes a key.
func (h *harness) create(in kms.NewKey) *kms.Key {
	h.t.Helper()
	if in.Account == "" {
		in.Account = account
	}
	in.Bypass = true
	k, err := h.Create(h.t.Context(), h.all(), in)
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

// now is the key as it is now.
func (h *harness) now(k *kms.Key) *kms.Key {
	h.t.Helper()
	k, err := h.Find(k.ARN, "", region)
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

// may tells whether the caller may do action on k.
func (h *harness) may(k *kms.Key, p policy.Principal, document, action string, encryption map[string]string, via string) bool {
	h.t.Helper()
	g, _ := h.asking(p, document)
	return g.May(h.Demand(h.now(k), action, encryption, via, &p))
}

// told are the entries of the change feed, which are done with then.
func (h *harness) told() []feed.Entry {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	list, err := h.feed.Next(ctx, "test", 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.feed.Done(ctx, "test", list[len(list)-1].Seq, nil); err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *harness) wants(err error, kind fault.Kind, message string) {
	h.t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(err.Error(), message) {
		h.t.Errorf("got %v, want %s %q", err, kind, message)
	}
}

func allow(action string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"` + action + `","Resource":"*"}}`
}

// keyPolicy is a key policy of one statement.
func keyPolicy(principal, action, condition string) string {
	s := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":` + action + `,"Resource":"*"`
	if condition != "" {
		s += `,"Condition":` + condition
	}
	return s + `}]}`
}

func viewOf(t testing.TB, raw json.RawMessage) (v kms.View) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
