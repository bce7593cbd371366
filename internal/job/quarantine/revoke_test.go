package quarantine

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/keys"
)

const account = "111122223333"

type bench struct {
	*Quarantine
	t      *testing.T
	people *identity.Store
	passed atomic.Int64 // time since began, which background work reads too
	admin  identity.AccessKeyPair
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, admin: identity.AccessKeyPair{ID: "AKIAADMINADMINADMIN1", Secret: "admin-secret-admin-secret-admin-secret-1"}}
	meta, clock, log := memory.NewMeta(), b.clock, slog.New(slog.DiscardHandler)
	ring, err := keys.Open(t.Context(), meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	b.people, err = identity.Open(t.Context(), identity.Config{Meta: meta, Secrets: ring, Now: clock, Log: log, AccountID: account, Admin: &b.admin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.people.Close() })
	b.Quarantine = New(Config{
		Identities: b.people, Guard: authz.New(authz.Config{Recorder: authztest.Forget{}, Now: clock}), Record: authztest.Forget{}, AuditDir: t.TempDir(),
		Region: "us-east-1", Now: clock, Log: log,
	})
	return b
}

var began = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func (b *bench) clock() time.Time { return began.Add(time.Duration(b.passed.Load())) }

func (b *bench) forward(d time.Duration) { b.passed.Add(int64(d)) }

// leak is that of a key, or of a session with its token.
func (b *bench) leak(id, token string) *Leak {
	b.t.Helper()
	c, err := b.people.Lookup(context.Background(), id, token)
	if err != nil {
		b.t.Fatal(err)
	}
	return &Leak{Credential: c, KeyID: id}
}

func (b *bench) act1(l *Leak) {
	b.t.Helper()
	if err := b.act(context.Background(), l); err != nil {
		b.t.Fatal(err)
	}
}

// want is until when sessions are revoked.
func (b *bench) want(of identity.Ref, before time.Time) {
	b.t.Helper()
	if document, _ := b.revoked(context.Background(), of); document != revocation(before) {
		b.t.Fatalf("revoked by %s, want before %s", document, before)
	}
}

// TestLeakedSession: whoever shows a session of his of a role that others use too ends it and those before
// it, and however often he shows it, none that began later.
func TestLeakedSession(t *testing.T) {
	b := newBench(t)
	ctx, g := t.Context(), authztest.Grant(t, "*", "*")
	role, err := b.people.CreateRole(ctx, g, account, identity.CreateRoleInput{
		RoleName:                 "shared",
		AssumeRolePolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	of := identity.Ref{Kind: identity.KindRole, Account: account, Name: "shared"}
	session := func() *Leak {
		t.Helper()
		caller := b.leak(b.admin.ID, "").Credential.Subject
		c, err := b.people.AssumeRole(ctx, g, &caller, identity.AssumeRoleInput{RoleARN: role.ARN, RoleSessionName: "mine"})
		if err != nil {
			t.Fatal(err)
		}
		return b.leak(c.AccessKeyID, c.SessionToken)
	}
	old, first := session(), b.clock()
	b.forward(30 * time.Minute)
	young, second := session(), b.clock()
	b.act1(old)
	b.want(of, first.Add(time.Second)) // young goes on
	b.act1(young)
	b.want(of, second.Add(time.Second))
	b.act1(old)
	b.want(of, second.Add(time.Second)) // and is not given back

	// What an administrator revoked, in the console's words, stays revoked.
	later := second.Add(20 * time.Minute)
	if err := b.people.PutInlinePolicy(ctx, g, of, Revoke, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],
		"Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+later.Format("2006-01-02T15:04:05.000Z")+`"}}}]}`); err != nil {
		t.Fatal(err)
	}
	b.act1(young)
	b.want(of, later)
}

// TestLeakedKeyAgain: a key that is shown a second time while its user is quarantined changes nothing, after the
// quarantine was lifted everything.
func TestLeakedKeyAgain(t *testing.T) {
	b := newBench(t)
	user := identity.Ref{Kind: identity.KindUser, Account: account, Name: "admin"}
	leak := b.leak(b.admin.ID, "")
	first := b.clock()
	b.act1(leak)
	b.want(user, first.Add(time.Second))
	b.forward(time.Hour)
	b.act1(leak)
	b.want(user, first.Add(time.Second))
	if err := b.people.DetachPolicy(t.Context(), authztest.Grant(t, "*", "*"), user, DenyAll); err != nil {
		t.Fatal(err)
	}
	b.act1(leak)
	b.want(user, b.clock().Add(time.Second))
	if !b.denied(t.Context(), user) {
		t.Fatal("it is not quarantined again")
	}
}
