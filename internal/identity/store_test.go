package identity_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/testclock"
	"github.com/kura-s3/kura/policy"
)

const account = "123456789012"

var (
	adminKey = identity.AccessKeyPair{ID: "AKIAADMINADMINADMIN2", Secret: "admin/secret/admin/secret/admin/secret/a"}
	rootKey  = identity.AccessKeyPair{ID: "AKIAROOTROOTROOTROO2", Secret: "root/secret/root/secret/root/secret/root"}
)

// vault is a Secrets with a random key.
type vault struct{ aead cipher.AEAD }

func newVault(t testing.TB) vault {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return vault{aead}
}

func (v vault) SealSecret(context, plain []byte) []byte { return v.aead.Seal(nil, nil, plain, context) }

func (v vault) OpenSecret(_ context.Context, context, sealed []byte) ([]byte, error) {
	return v.aead.Open(nil, nil, sealed, context)
}

func newClock() *testclock.Clock { return testclock.New(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)) }

// house is a Store with its surroundings, and the Grant of somebody who may do everything.
type house struct {
	*identity.Store
	t     testing.TB
	meta  engine.Meta
	vault vault
	clock *testclock.Clock
	all   authz.Grant
	ctx   context.Context
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, meta: memory.NewMeta(), vault: newVault(t), clock: newClock(), ctx: context.Background()}
	h.all = authztest.Grant(t, "*", "*")
	h.Store = h.open()
	return h
}

// open opens a further Store (another node, or the same after a restart) on the same records.
func (h *house) open() *identity.Store { return h.openOn(h.meta) }

func (h *house) openOn(meta engine.Meta) *identity.Store {
	h.t.Helper()
	s, err := identity.Open(h.ctx, identity.Config{
		Meta: meta, Secrets: h.vault, Now: h.clock.Now, AccountID: account, Admin: &adminKey, Root: &rootKey,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { s.Close() })
	return s
}

// user makes a user with a key.
func (h *house) user(name string) (*identity.User, *identity.AccessKey) {
	h.t.Helper()
	u := must(h.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: name}))(h.t)
	k := must(h.CreateAccessKey(h.ctx, h.all, account, name))(h.t)
	return u, k
}

// may asks whether the holder of a key may do action on resource in account.
func (h *house) may(accessKeyID, token, action, resource string) bool {
	h.t.Helper()
	c, err := h.Lookup(h.ctx, accessKeyID, token)
	if err != nil {
		h.t.Fatalf("Lookup(%s): %v", accessKeyID, err)
	}
	in := c.Subject.Policies
	d := policy.Evaluate(&policy.Request{
		Principal: c.Subject.Principal, Action: action, Resource: resource, ResourceAccount: account, Context: c.Subject.Keys,
	}, &in)
	return d.Allowed()
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (h *house) do(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// refused holds err against a kind and, unless it is empty, the message.
func refused(t testing.TB, err error, kind fault.Kind, message string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind || message != "" && f.Message != message {
		t.Errorf("got error %v, want %s: %s", err, kind, message)
	}
}

func TestBootstrapMakesTheFirstAdministrator(t *testing.T) {
	h := newHouse(t)
	if f := h.FirstRun(); f == nil || f.AccountID != account || f.Admin != adminKey {
		t.Fatalf("FirstRun = %+v", f)
	}
	c := must(h.Lookup(h.ctx, adminKey.ID, ""))(t)
	p := c.Subject.Principal
	if c.Secret != adminKey.Secret || p.ARN != "arn:aws:iam::"+account+":user/admin" || p.Account != account || p.Type != policy.IAMUser {
		t.Errorf("administrator is %+v", c)
	}
	if len(p.CanonicalID) != 64 || !strings.HasPrefix(p.UniqueID, "AIDA") || len(p.UniqueID) != 21 {
		t.Errorf("ids of the administrator: %q %q", p.CanonicalID, p.UniqueID)
	}
	if !h.may(adminKey.ID, "", "s3:PutObject", "arn:aws:s3:::b/k") {
		t.Error("the administrator may not put an object")
	}
	root := must(h.Lookup(h.ctx, rootKey.ID, ""))(t)
	if root.Subject.Principal.Type != policy.RootUser || root.Subject.Principal.ARN != "arn:aws:iam::"+account+":root" {
		t.Errorf("root is %+v", root.Subject.Principal)
	}
	again := h.open()
	if again.FirstRun() != nil {
		t.Error("a second Open made a first account again")
	}
	if c := must(again.Lookup(h.ctx, adminKey.ID, ""))(t); c.Secret != adminKey.Secret {
		t.Error("the administrator's secret changed over a restart")
	}
}

func TestBootstrapRefusesBadInput(t *testing.T) {
	for name, c := range map[string]identity.Config{
		"account":      {AccountID: "12345678901"},
		"letters":      {AccountID: "12345678901x"},
		"key":          {Admin: &identity.AccessKeyPair{ID: "a b", Secret: "long enough"}},
		"secret":       {Admin: &identity.AccessKeyPair{ID: "AKIA12", Secret: "short"}},
		"temporary":    {Admin: &identity.AccessKeyPair{ID: "ASIAADMIN", Secret: "long-enough"}},
		"same as root": {Admin: &adminKey, Root: &identity.AccessKeyPair{ID: adminKey.ID, Secret: rootKey.Secret}},
	} {
		meta := memory.NewMeta()
		c.Meta, c.Secrets = meta, newVault(t)
		if s, err := identity.Open(context.Background(), c); err == nil {
			s.Close()
			t.Errorf("%s: accepted", name)
		}
		if n := meta.Usage().Records; n != 0 {
			t.Errorf("%s: %d records were left behind", name, n)
		}
	}
}

func TestNoKeyWithoutProvisioning(t *testing.T) {
	s := must(identity.Open(context.Background(), identity.Config{Meta: memory.NewMeta(), Secrets: newVault(t)}))(t)
	defer s.Close()
	first := s.FirstRun()
	if len(first.Admin.ID) != 20 || len(first.Admin.Secret) != 40 || len(first.AccountID) != 12 {
		t.Fatalf("FirstRun = %+v", first)
	}
	for _, id := range []string{"", "admin", "minioadmin", "AKIAIOSFODNN7EXAMPLE", "root", first.AccountID} {
		_, err := s.Lookup(context.Background(), id, "")
		refused(t, err, authn.UnknownKey, "")
	}
}

func TestNoSecretInTheStore(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	it := must(h.meta.Scan(h.ctx, nil, nil))(t)
	defer it.Close()
	n := 0
	for it.Next() {
		n++
		for _, secret := range []string{adminKey.Secret, rootKey.Secret, key.Secret} {
			if bytes.Contains(it.Value(), []byte(secret)) {
				t.Errorf("record %q holds a secret in the clear", it.Key())
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d records were searched", n)
	}
}

func TestChangesHoldForTheNextRequest(t *testing.T) {
	h := newHouse(t)
	_, key := h.user("alice")
	if h.may(key.AccessKeyID, "", "s3:GetObject", "arn:aws:s3:::b/k") {
		t.Fatal("a new user may do something")
	}
	h.do(h.UpdateAccessKey(h.ctx, h.all, account, "alice", key.AccessKeyID, false))
	_, err := h.Lookup(h.ctx, key.AccessKeyID, "")
	refused(t, err, authn.InactiveKey, "")
	h.do(h.UpdateAccessKey(h.ctx, h.all, account, "alice", key.AccessKeyID, true))
	must(h.Lookup(h.ctx, key.AccessKeyID, ""))(t)
	h.do(h.UpdateUser(h.ctx, h.all, account, "alice", "alicia", "/staff/"))
	if p := must(h.Lookup(h.ctx, key.AccessKeyID, ""))(t).Subject.Principal; p.ARN != "arn:aws:iam::"+account+":user/staff/alicia" || p.Name != "alicia" {
		t.Errorf("after renaming: %+v", p)
	}
	h.do(h.DeleteAccessKey(h.ctx, h.all, account, "alicia", key.AccessKeyID))
	_, err = h.Lookup(h.ctx, key.AccessKeyID, "")
	refused(t, err, authn.UnknownKey, "")
	h.do(h.DeleteUser(h.ctx, h.all, account, "alicia"))
}

func TestOtherNodesFollow(t *testing.T) {
	h := newHouse(t)
	other := h.open()
	_, key := h.user("alice")
	eventually(t, func() bool { _, err := other.Lookup(h.ctx, key.AccessKeyID, ""); return err == nil })
	// The other node changes what it has just learned; both agree in the end.
	h.do(other.UpdateAccessKey(h.ctx, h.all, account, "alice", key.AccessKeyID, false))
	eventually(t, func() bool { _, err := h.Lookup(h.ctx, key.AccessKeyID, ""); return fault.Is(err, authn.InactiveKey) })
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
	}
}

func TestOneOfRacingCreateUserWins(t *testing.T) {
	h := newHouse(t)
	nodes := []*identity.Store{h.Store, h.open(), h.open()}
	var won, lost int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			name := []string{"Alice", "alice", "ALICE"}[i%3]
			_, err := nodes[i%3].CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: name})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case fault.Is(err, identity.EntityAlreadyExists):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 11 {
		t.Errorf("%d won and %d lost", won, lost)
	}
}

func TestUsersInPages(t *testing.T) {
	h := newHouse(t)
	for i := range 25 {
		h.user(fmt.Sprintf("user-%02d", i))
	}
	var names []string
	for p := (identity.Page{MaxItems: 7}); ; {
		l := must(h.ListUsers(h.ctx, h.all, account, "/", p))(t)
		for _, u := range l.Items {
			names = append(names, u.UserName)
		}
		if !l.IsTruncated {
			break
		}
		p.Marker = l.Marker
	}
	if len(names) != 26 || names[0] != "admin" || names[25] != "user-24" {
		t.Errorf("got %d users: %v", len(names), names)
	}
	_, err := h.ListUsers(h.ctx, h.all, account, "/", identity.Page{Marker: "!!"})
	refused(t, err, identity.ValidationError, "Invalid Marker.")
	_, err = h.ListUsers(h.ctx, h.all, account, "/", identity.Page{MaxItems: 1001})
	refused(t, err, identity.ValidationError, "")
}

func TestEveryMethodNeedsItsGrant(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	_, err := h.CreateUser(h.ctx, authz.Grant{}, account, identity.CreateUserInput{UserName: "bob"})
	refused(t, err, authz.NotGranted, "")
	_, err = h.CreateUser(h.ctx, authztest.Grant(t, "iam:CreateUser", identity.ARN(account, identity.KindUser, "/", "carol")), account,
		identity.CreateUserInput{UserName: "bob"})
	refused(t, err, authz.NotGranted, "")
	// CVE-2022-24842: a key for somebody else takes permission on that principal.
	_, err = h.CreateAccessKey(h.ctx, authztest.Grant(t, "iam:CreateAccessKey", identity.ARN(account, identity.KindUser, "/", "alice")), account, "")
	refused(t, err, authz.NotGranted, "")
}

// Nodes that start at once on the same empty store make one first account.
func TestRacingFirstStarts(t *testing.T) {
	meta, v := memory.NewMeta(), newVault(t)
	stores := make([]*identity.Store, 6)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			s, err := identity.Open(context.Background(), identity.Config{Meta: meta, Secrets: v})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { s.Close() })
			stores[i] = s
		})
	}
	wg.Wait()
	firsts := 0
	for _, s := range stores {
		if s.FirstRun() != nil {
			firsts++
		}
		if got := s.Accounts(); len(got) != 1 || got[0] != stores[0].Accounts()[0] {
			t.Errorf("accounts %v", got)
		}
	}
	if firsts != 1 {
		t.Errorf("%d first runs", firsts)
	}
}

// MinIO CVE-2023-27589: nobody's new key may have the id of somebody else's, least of all root's.
func TestAccessKeyIDsAreNotShared(t *testing.T) {
	h := newHouse(t)
	must(h.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: "alice"}))(t)
	for _, id := range []string{rootKey.ID, adminKey.ID} {
		_, err := h.ImportAccessKey(h.ctx, h.all, account, "alice", identity.AccessKeyPair{ID: id, Secret: "another-secret"})
		refused(t, err, identity.EntityAlreadyExists, "")
	}
	_, err := h.ImportAccessKey(h.ctx, h.all, account, "alice", identity.AccessKeyPair{ID: "ASIA0000000000000000", Secret: "another-secret"})
	refused(t, err, identity.InvalidInput, "")
	must(h.ImportAccessKey(h.ctx, h.all, account, "alice", identity.AccessKeyPair{ID: "minio", Secret: "another-secret"}))(t)
}
