package kms_test

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/kms"
)

// TestCheck: a sound store has no faults; each kind of damage is found and named.
func TestCheck(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	alice := h.user(account, "alice")
	k := h.create(kms.NewKey{})
	h.create(kms.NewKey{Spec: kms.P256, Usage: kms.SignVerify})
	h.create(kms.NewKey{Origin: kms.OriginExternal})
	h.grant(k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}})
	if err := h.CreateAlias(ctx, h.all(), account, "alias/x", k.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.Rotate(ctx, h.all(), k.ID); err != nil {
		t.Fatal(err)
	}
	faults := func() string {
		t.Helper()
		var list []string
		n, err := h.reopen().Check(ctx, func(where, what string) { list = append(list, where+": "+what) })
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		return strings.Join(list, "\n")
	}
	if got := faults(); got != "" {
		t.Errorf("of a sound store: %s", got)
	}
	get := func(key string) []byte {
		value, _, err := h.meta.Get(ctx, []byte(key), nil)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	first, second := "kms/m/"+k.ID+"/00000001", "kms/m/"+k.ID+"/00000002"
	for want, damage := range map[string]func(*engine.Batch){
		"material 1 does not open":       func(b *engine.Batch) { b.Delete([]byte(first)) },
		"material 2 does not open":       func(b *engine.Batch) { b.Set([]byte(second), get(first)) },
		"its key does not know of it":    func(b *engine.Batch) { b.Set([]byte("kms/m/"+k.ID+"/00000003"), get(first)) },
		"its key is not there":           func(b *engine.Batch) { b.Delete([]byte("kms/k/" + k.ID)) },
		"material 1 does not open: keys": func(b *engine.Batch) { v := get(first); v[len(v)-1] ^= 1; b.Set([]byte(first), v) },
	} {
		var b, back engine.Batch
		damage(&b)
		for _, w := range b.Writes {
			if old := get(string(w.Key)); old != nil {
				back.Set(w.Key, old)
			} else {
				back.Delete(w.Key)
			}
		}
		if err := h.meta.Commit(ctx, &b); err != nil {
			t.Fatal(err)
		}
		if got := faults(); !strings.Contains(got, strings.TrimSuffix(want, ": keys")) {
			t.Errorf("want %q, got %q", want, got)
		}
		if err := h.meta.Commit(ctx, &back); err != nil {
			t.Fatal(err)
		}
	}
}
