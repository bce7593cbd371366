package kms_test

import (
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/kms"
)

// TestLastUse: what a key was last used for with success, also after another start, until it is erased.
func TestLastUse(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k := h.create(kms.NewKey{})
	sign := h.create(kms.NewKey{Spec: kms.P256, Usage: kms.SignVerify})
	wants := func(s *kms.Store, k *kms.Key, operation string, days int) {
		t.Helper()
		u, ok := s.LastUse(k)
		if ok != (operation != "") || u.Operation != operation || s.DaysWithoutUse(k) != days {
			t.Errorf("%+v %v, %d days, want %q, %d", u, ok, s.DaysWithoutUse(k), operation, days)
		}
	}
	wants(h.Store, k, "", 0)
	h.clock.Forward(3 * day)
	wants(h.Store, k, "", 3)
	_, wrapped, err := h.GenerateDataKey(ctx, h.all(), k, nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	wants(h.Store, k, "GenerateDataKey", 0)
	h.clock.Forward(time.Minute)
	if _, _, err := h.Decrypt(ctx, h.all(), wrapped, map[string]string{"a": "b"}); err == nil {
		t.Fatal("opened")
	}
	wants(h.Store, k, "GenerateDataKey", 0) // a failure is no use
	if _, _, err := h.ReEncrypt(ctx, h.all(), kms.Sealing{Key: k}, kms.Sealing{Key: k}, wrapped); err != nil {
		t.Fatal(err)
	}
	wants(h.Store, k, "ReEncrypt", 0)
	if _, err := h.Sign(ctx, h.all(), sign, kms.Message{Bytes: []byte("x"), Algorithm: "ECDSA_SHA_256"}); err != nil {
		t.Fatal(err)
	}
	wants(h.Store, sign, "Sign", 0)
	for range 2 {
		if err := h.FlushUses(ctx); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.Forward(40 * day)
	again := h.reopen()
	wants(again, k, "ReEncrypt", 40)
	wants(again, sign, "Sign", 40)
	if _, err := h.ScheduleDeletion(ctx, h.all(), k.ID, 7); err != nil {
		t.Fatal(err)
	}
	h.clock.Forward(7 * day)
	h.housekeep()
	if err := h.FlushUses(ctx); err != nil {
		t.Fatal(err)
	}
	if _, v, _ := h.meta.Get(ctx, []byte("kms/u/"+k.ID), nil); v != 0 {
		t.Error("the use of an erased key is kept")
	}
}
