package identity_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/identity"
)

// TestFeed: each change to an entity is told once, with what it was and is, and no secret.
func TestFeed(t *testing.T) {
	h := newHouse(t)
	f := must(feed.Open(h.ctx, h.meta, "test"))(t)
	s := must(identity.Open(h.ctx, identity.Config{Meta: h.meta, Secrets: h.vault, Now: h.clock.Now, Feed: f}))(t)
	t.Cleanup(func() { _ = s.Close() })
	must(s.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: "eve"}))(t)
	arn := identity.ARN(account, identity.KindUser, "/", "eve")
	must(s.CreateAccessKey(h.ctx, h.all, account, "eve"))(t)

	entries := must(f.Next(context.Background(), "test", 10))(t)
	if len(entries) != 2 {
		t.Fatalf("%d entries", len(entries))
	}
	var made, keyed identity.Entity
	for i, to := range []*identity.Entity{&made, &keyed} {
		e := entries[i]
		if e.Kind != feed.Identity || e.Resource != arn || e.Account != account || e.Gone {
			t.Errorf("entry %+v", e)
		}
		if err := json.Unmarshal(e.After, to); err != nil {
			t.Fatal(err)
		}
	}
	if entries[0].Before != nil || string(entries[1].Before) != string(entries[0].After) {
		t.Error("Before is not what was")
	}
	if len(made.Keys) != 0 || len(keyed.Keys) != 1 || !keyed.Keys[0].Active {
		t.Errorf("%+v %+v", made, keyed)
	}
	found, ok := s.Entity(identity.KindUser, made.ID)
	if !ok || found.Name != "eve" {
		t.Errorf("%+v %v", found, ok)
	}
	n := 0
	for e := range s.Entities(account, identity.KindUser) {
		n++
		_ = e
	}
	if n != 2 {
		t.Errorf("%d users", n)
	}
	for root := range s.Entities(account, identity.KindRoot) {
		if root.ARN != identity.RootARN(account) {
			t.Errorf("%+v", root)
		}
	}
}

// TestFeedTellsOfBoundaries: a policy that becomes or ceases to be somebody's permissions boundary changed.
func TestFeedTellsOfBoundaries(t *testing.T) {
	h := newHouse(t)
	f := must(feed.Open(h.ctx, h.meta, "test"))(t)
	s := must(identity.Open(h.ctx, identity.Config{Meta: h.meta, Secrets: h.vault, Now: h.clock.Now, Feed: f}))(t)
	t.Cleanup(func() { _ = s.Close() })
	user := identity.Ref{Kind: identity.KindUser, Account: account, Name: "eve"}
	must(s.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: "eve"}))(t)
	must(s.CreateUser(h.ctx, h.all, account, identity.CreateUserInput{UserName: "mallory"}))(t)
	p := must(s.CreatePolicy(h.ctx, h.all, account, identity.CreatePolicyInput{
		PolicyName: "p", PolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	}))(t)
	check := func(what string, want ...bool) {
		t.Helper()
		var got []bool
		entries := must(f.Next(h.ctx, "test", 10))(t)
		for i := range entries {
			var e identity.Entity
			if err := json.Unmarshal(entries[i].After, &e); err != nil {
				t.Fatal(err)
			}
			if e.Kind == identity.KindPolicy {
				got = append(got, e.Bounds)
			}
		}
		if err := f.Done(h.ctx, "test", entries[len(entries)-1].Seq, nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %v, want %v", what, got, want)
		}
	}
	done := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("made", false)
	done(s.PutPermissionsBoundary(h.ctx, h.all, user, p.ARN))
	check("a boundary", true)
	other := identity.Ref{Kind: identity.KindUser, Account: account, Name: "mallory"}
	done(s.PutPermissionsBoundary(h.ctx, h.all, other, p.ARN))
	check("of two")
	done(s.DeletePermissionsBoundary(h.ctx, h.all, user))
	check("of one")
	done(s.PutPermissionsBoundary(h.ctx, h.all, other, "arn:aws:iam::aws:policy/ReadOnlyAccess"))
	check("of nobody", false)
}
