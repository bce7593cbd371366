package identity_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

// furnish makes one entity of every kind and gives the secrets that were told.
func (h *house) furnish() (secrets []string) {
	h.t.Helper()
	alice, key := h.user("alice")
	must(h.CreateGroup(h.ctx, h.all, account, "G", ""))(h.t)
	h.do(h.AddUserToGroup(h.ctx, h.all, account, "G", "alice"))
	r := h.role("R", trust(alice.ARN), "s3:*")
	p := must(h.CreatePolicy(h.ctx, h.all, account, identity.CreatePolicyInput{PolicyName: "P", PolicyDocument: allow("s3:*")}))(h.t)
	h.do(h.AttachPolicy(h.ctx, h.all, role("R"), p.ARN))
	must(h.CreateInstanceProfile(h.ctx, h.all, account, "I", "", nil))(h.t)
	h.do(h.AddRoleToInstanceProfile(h.ctx, h.all, account, "I", "R"))
	must(h.CreateOIDCProvider(h.ctx, h.all, account, "https://issuer.example.com/realm", []string{"c"}, nil, nil))(h.t)
	must(h.CreateLoginProfile(h.ctx, h.all, account, "alice", "Correct-Horse-1", false))(h.t)
	_, seed := h.device("alice", "phone")
	c := must(h.assume(key.AccessKeyID, "", identity.AssumeRoleInput{RoleARN: r.ARN, RoleSessionName: "work"}))(h.t)
	subject := h.subject(adminKey.ID, "")
	demands := []string{"organizations:CreateAccount", "organizations:CreatePolicy", "organizations:CreateOrganizationalUnit", "organizations:DescribeOrganization"}
	grant := must(h.guard(subject, demandsOn("*", demands...)))(h.t)
	must(h.CreateAccount(h.ctx, grant, identity.CreateAccountInput{Email: "b@example.com", AccountName: "B"}))(h.t)
	must(h.CreateControl(h.ctx, grant, "SCP", "", deny("s3:PutObject"), nil))(h.t)
	org := must(h.DescribeOrganization(h.ctx, grant))(h.t)
	on := must(h.guard(subject, demandsOn(h.OrganizationARN(org.RootID), demands[2])))(h.t)
	must(h.CreateOrganizationalUnit(h.ctx, on, org.RootID, "Unit", nil))(h.t)
	return []string{adminKey.Secret, rootKey.Secret, key.Secret, "Correct-Horse-1", seed, c.SecretAccessKey, c.SessionToken}
}

func TestEveryKindOfRecordIsReadBack(t *testing.T) {
	h := newHouse(t)
	secrets := h.furnish()
	it := must(h.meta.Scan(h.ctx, []byte("a/"), []byte("b")))(t)
	defer it.Close()
	kinds := map[string]bool{}
	for it.Next() {
		if parts := bytes.Split(it.Key(), []byte("/")); len(parts) > 3 && string(parts[1]) == "r" {
			kinds[string(parts[2])] = true
		}
		for _, secret := range secrets {
			if bytes.Contains(it.Value(), []byte(secret)) || bytes.Contains(it.Key(), []byte(secret)) {
				t.Errorf("record %q holds a secret in the clear", it.Key())
			}
		}
	}
	if len(kinds) != 14 {
		t.Errorf("%d kinds of record: %v", len(kinds), kinds)
	}
	want := h.inventory(h.Store)
	if got := h.inventory(h.open()); got != want {
		t.Errorf("after a restart:\n%s\nwant:\n%s", got, want)
	}
}

// inventory is everything that a store shows of the account.
func (h *house) inventory(s *identity.Store) string {
	h.t.Helper()
	var text bytes.Buffer
	details := must(s.GetAccountAuthorizationDetails(h.ctx, h.all, account, nil, identity.Page{MaxItems: 1000}))(h.t)
	for _, d := range details.Items {
		switch {
		case d.User != nil:
			fmt.Fprintf(&text, "%+v\n", *d.User)
		case d.Group != nil:
			fmt.Fprintf(&text, "%+v\n", *d.Group)
		case d.Role != nil:
			fmt.Fprintf(&text, "%+v %+v\n", d.Role.Role, d.Role.Inline)
		case d.Policy != nil:
			fmt.Fprintf(&text, "%+v\n", d.Policy.ManagedPolicy)
		}
	}
	fmt.Fprintln(&text, must(s.GetAccountSummary(h.ctx, h.all, account))(h.t), s.Accounts(), must(s.ListOIDCProviders(h.ctx, h.all, account))(h.t))
	return text.String()
}

// flaky is a Meta that fails commits when told to, before or after they took effect.
type flaky struct {
	engine.Meta
	mu            sync.Mutex
	before, after bool
}

var errBroken = errors.New("broken")

func (f *flaky) set(before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *flaky) Commit(ctx context.Context, b *engine.Batch) error {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before {
		return errBroken
	}
	if err := f.Meta.Commit(ctx, b); err != nil {
		return err
	}
	if after {
		return errBroken
	}
	return nil
}

// A failed commit leaves nothing in memory that is not in the store, and a commit whose outcome was not
// told is found out before the next change.
func TestFailedCommits(t *testing.T) {
	h := newHouse(t)
	meta := &flaky{Meta: memory.NewMeta()}
	s := h.openOn(meta)
	create := func(name string) error {
		return second(s.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: name}))
	}
	meta.set(true, false)
	if err := create("alice"); !errors.Is(err, errBroken) {
		t.Fatalf("got %v", err)
	}
	_, err := s.GetUser(h.ctx, h.all, account, "alice")
	refused(t, err, identity.NoSuchEntity, "")
	meta.set(false, true)
	if err := create("bob"); !errors.Is(err, errBroken) {
		t.Fatalf("got %v", err)
	}
	meta.set(false, false)
	h.do(create("alice"))
	refused(t, create("bob"), identity.EntityAlreadyExists, "") // it was made, as the store knows
	must(s.GetUser(h.ctx, h.all, account, "bob"))(t)
	if got, want := h.inventory(h.openOn(meta)), h.inventory(s); got != want {
		t.Errorf("memory and store differ:\n%s\n%s", want, got)
	}
}

// A node that fell behind by more revisions than are kept reads everything again before it changes
// anything.
func TestNodeThatFellFarBehind(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("shared")
	behind := h.openOn(&deaf{Meta: h.meta})
	h.do(h.DeleteAccessKey(h.ctx, h.all, account, "shared", key.AccessKeyID))
	for n := range 1100 {
		h.do(h.Tag(h.ctx, h.all, user("shared"), []identity.Tag{{Key: "n", Value: fmt.Sprint(n)}}))
	}
	h.do(behind.Tag(h.ctx, h.all, user("shared"), []identity.Tag{{Key: "m", Value: "x"}}))
	if got, want := h.inventory(behind), h.inventory(h.openOn(h.meta)); got != want {
		t.Errorf("the node shows\n%s\nand the store holds\n%s", got, want)
	}
	_, err := behind.Lookup(h.ctx, key.AccessKeyID, "")
	refused(t, err, authn.UnknownKey, "")
}

// Many nodes that change at once lose nothing and agree in the end.
func TestNodesAgree(t *testing.T) {
	h := newHouse(t)
	nodes := []*identity.Store{h.Store, h.open(), h.open()}
	h.user("shared")
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			for n := range 20 {
				err := node.Tag(h.ctx, h.all, user("shared"), []identity.Tag{{Key: fmt.Sprintf("n%d-%d", i, n%10), Value: "x"}})
				for fault.Is(err, identity.NoSuchEntity) || errors.Is(err, engine.ErrConflict) {
					err = node.Tag(h.ctx, h.all, user("shared"), []identity.Tag{{Key: fmt.Sprintf("n%d-%d", i, n%10), Value: "x"}})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, node := range nodes {
		eventually(t, func() bool {
			tags, err := node.ListTags(h.ctx, h.all, user("shared"), identity.Page{})
			return err == nil && len(tags.Items) == 30
		})
	}
}

func TestStaleNodeRefuses(t *testing.T) {
	h := newHouse(t)
	meta := &deaf{Meta: h.meta}
	s := must(identity.Open(h.ctx, identity.Config{Meta: meta, Secrets: h.vault, Now: h.clock.Now, MaxStaleness: 10 * time.Hour}))(t)
	defer s.Close()
	must(s.Lookup(h.ctx, adminKey.ID, ""))(t)
	h.clock.Forward(11 * time.Hour)
	_, err := s.Lookup(h.ctx, adminKey.ID, "")
	refused(t, err, identity.Stale, "")
}

// deaf is a Meta that never tells of changes.
type deaf struct{ engine.Meta }

func (d *deaf) Watch(context.Context, []byte) (<-chan struct{}, error) {
	return make(chan struct{}), nil
}

func TestUnknownFormatsAreRefused(t *testing.T) {
	h := newHouse(t)
	for key, value := range map[string]string{
		"a/r/user/AIDAXXXXXXXXXXXXXXXXX": `{"Format":2,"ID":"AIDAXXXXXXXXXXXXXXXXX"}`,
		"a/r/user/AIDAYYYYYYYYYYYYYYYYY": `{"Format":1,"ID":"AIDAXXXXXXXXXXXXXXXXX"}`,
		"a/r/user/AIDAZZZZZZZZZZZZZZZZZ": `not json`,
		"a/r/widget/W":                   `{"Format":1,"ID":"W"}`,
	} {
		b := new(engine.Batch)
		b.Set([]byte(key), []byte(value))
		h.do(h.meta.Commit(h.ctx, b))
		if s, err := identity.Open(h.ctx, identity.Config{Meta: h.meta, Secrets: h.vault}); err == nil {
			s.Close()
			t.Errorf("%s: %s was accepted", key, value)
		}
		b = new(engine.Batch)
		b.Delete([]byte(key))
		h.do(h.meta.Commit(h.ctx, b))
	}
}

// BenchmarkLookup is one authenticated request's share of this package, with 100,000 users that have
// policies: the key's credential and subject with compiled policies.
func BenchmarkLookup(b *testing.B) {
	for _, users := range []int{100, 100_000} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			h := newHouse(b)
			keys := make([]string, 0, users)
			for i := range users {
				name := fmt.Sprintf("user-%06d", i)
				must(h.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: name}))(b)
				h.do(h.PutInlinePolicy(h.ctx, h.all, user(name), "own", allow("s3:GetObject")))
				keys = append(keys, must(h.CreateAccessKey(h.ctx, h.all, account, name))(b).AccessKeyID)
			}
			for _, k := range keys[:min(users, 1000)] {
				must(h.Lookup(h.ctx, k, ""))(b)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := h.Lookup(h.ctx, keys[i%min(users, 1000)], ""); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkSession is the same for a temporary key.
func BenchmarkSession(b *testing.B) {
	h := newHouse(b)
	c := must(h.GetSessionToken(h.ctx, h.all, h.subject(adminKey.ID, ""), 0, nil))(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken); err != nil {
			b.Fatal(err)
		}
	}
}

// A request that asks for nothing new allocates nothing.
func TestLookupAllocatesNothing(t *testing.T) {
	h := newHouse(t)
	c := must(h.GetSessionToken(h.ctx, h.all, h.subject(adminKey.ID, ""), 0, nil))(t)
	must(h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken))(t)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := h.Lookup(h.ctx, adminKey.ID, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Lookup(h.ctx, c.AccessKeyID, c.SessionToken); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
