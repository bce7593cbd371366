package kms_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/kms"
)

func TestDataKeyOpensOnlyAsItWasMade(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k := h.create(kms.NewKey{})
	context := map[string]string{"aws:s3:arn": "arn:aws:s3:::b/k", "team": "red"}
	plain, wrapped, err := h.GenerateDataKey(ctx, h.all(), k, context, 32)
	if err != nil || len(plain) != 32 || bytes.Contains(wrapped, plain) || len(wrapped) != 32+kms.Overhead {
		t.Fatalf("%x %x %v", plain, wrapped, err)
	}
	for _, s := range []*kms.Store{h.Store, h.reopen()} {
		if of, err := s.KeyOf(wrapped); err != nil || of.ARN != k.ARN {
			t.Errorf("KeyOf: %v %v", of, err)
		}
		got, by, err := s.Decrypt(ctx, h.all(), wrapped, context)
		if err != nil || !bytes.Equal(got, plain) || by.ARN != k.ARN {
			t.Errorf("%x %v %v", got, by, err)
		}
	}
	for _, wrong := range []map[string]string{nil, {}, {"team": "red"}, {"aws:s3:arn": "arn:aws:s3:::b/k", "team": "Red"}, {"aws:s3:arn": "arn:aws:s3:::b/k", "Team": "red"}, {"aws:s3:arn": "arn:aws:s3:::b/k", "team": "red", "x": ""}} {
		_, _, err := h.Decrypt(ctx, h.all(), wrapped, wrong)
		h.wants(err, kms.InvalidCiphertext, "")
	}
	for i := range wrapped {
		bad := bytes.Clone(wrapped)
		bad[i] ^= 1
		if _, _, err := h.Decrypt(ctx, h.all(), bad, context); err == nil {
			t.Errorf("byte %d changed: opened", i)
		}
		if _, _, err := h.Decrypt(ctx, h.all(), wrapped[:i], context); err == nil {
			t.Errorf("cut to %d bytes: opened", i)
		}
	}
	again, _, _ := h.GenerateDataKey(ctx, h.all(), k, context, 32)
	if bytes.Equal(again, plain) {
		t.Error("the same data key twice")
	}
}

// TestCanonicalContextsDiffer: no two contexts have one form, however their texts are cut.
func TestCanonicalContextsDiffer(t *testing.T) {
	h := newHarness(t)
	k := h.create(kms.NewKey{})
	contexts := []map[string]string{{"ab": "c"}, {"a": "bc"}, {"abc": ""}, {"": "abc"}, {"a": "", "bc": ""}, {"a": "b", "c": ""}}
	for i, c := range contexts {
		blob, err := h.Encrypt(t.Context(), h.all(), kms.Sealing{Key: k, Context: c}, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		for j, d := range contexts {
			if _, _, err := h.Decrypt(t.Context(), h.all(), blob, d); (err == nil) != (i == j) {
				t.Errorf("%v opened by %v: %v", c, d, err)
			}
		}
	}
}

func TestEveryUseNeedsItsGrant(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k, stranger := h.create(kms.NewKey{}), h.create(kms.NewKey{})
	_, wrapped, _ := h.GenerateDataKey(ctx, h.all(), k, nil, 32)
	for name, g := range map[string]authz.Grant{
		"zero": {}, "another key": authztest.Grant(t, "kms:*", stranger.ARN), "another action": authztest.Grant(t, "kms:DescribeKey", k.ARN),
	} {
		_, _, err := h.GenerateDataKey(ctx, g, k, nil, 32)
		h.wants(err, authz.NotGranted, "")
		_, err = h.Encrypt(ctx, g, kms.Sealing{Key: k}, []byte("x"))
		h.wants(err, authz.NotGranted, "")
		_, _, err = h.Decrypt(ctx, g, wrapped, nil)
		h.wants(err, authz.NotGranted, "")
		if err := h.PutPolicy(ctx, g, k.ID, k.Written, true); err == nil {
			t.Errorf("%s: the policy was replaced", name)
		}
	}
	if _, err := h.Create(ctx, authz.Grant{}, kms.NewKey{Account: account}); err == nil {
		t.Error("a key was made without a grant")
	}
}

func TestContextsAreBounded(t *testing.T) {
	h := newHarness(t)
	k := h.create(kms.NewKey{})
	_, err := h.Encrypt(t.Context(), h.all(), kms.Sealing{Key: k, Context: map[string]string{"a": strings.Repeat("x", 8193)}}, []byte("x"))
	if err == nil {
		t.Error("a context of more than 8 KiB was taken")
	}
	_, err = h.Encrypt(t.Context(), h.all(), kms.Sealing{Key: k, Context: map[string]string{"Team": "red", "team": "blue"}}, []byte("x"))
	h.wants(err, kms.Invalid, "differ in case")
	_, err = h.Encrypt(t.Context(), h.all(), kms.Sealing{Key: k, Context: nil}, make([]byte, 4097))
	h.wants(err, kms.Invalid, "4096")
	for _, n := range []int{0, -1, 1025} {
		_, _, err = h.GenerateDataKey(t.Context(), h.all(), k, nil, n)
		h.wants(err, kms.Invalid, "")
	}
}

// TestMaterialIsNowhereInTheStore: neither material nor data keys lie in any record in the clear.
func TestMaterialIsNowhereInTheStore(t *testing.T) {
	h := newHarness(t)
	k := h.create(kms.NewKey{})
	plain, _, _ := h.GenerateDataKey(t.Context(), h.all(), k, nil, 32)
	it, err := h.meta.Scan(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for it.Next() {
		if bytes.HasPrefix(it.Key(), []byte("kms/")) {
			n++
		}
		if bytes.Contains(it.Value(), plain) || bytes.Contains(it.Value(), []byte(hex.EncodeToString(plain))) {
			t.Errorf("record %q holds a data key", it.Key())
		}
	}
	if n != 3 { // key, material, counter
		t.Errorf("%d records", n)
	}
}

func TestUsesOnBehalfAreOnRecord(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	alice := h.user(account, "alice")
	k := h.create(kms.NewKey{Policy: keyPolicy(`{"AWS":"`+alice.ARN+`"}`, `"kms:*"`, `{"StringEquals":{"kms:ViaService":"`+viaS3+`"}}`)})
	g, ev := h.asking(alice, "")
	context := map[string]string{"aws:s3:arn": "arn:aws:s3:::b/k"}
	g, err := g.Ask(ctx, h.Demand(k, "kms:GenerateDataKey", context, viaS3, &alice))
	if err != nil {
		t.Fatal(err)
	}
	_, wrapped, err := h.GenerateDataKey(ctx, g, k, context, 32)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Decrypt(ctx, g, wrapped, context); err == nil {
		t.Error("decrypted by a grant to generate")
	}
	if len(ev.KMS) != 1 || fmt.Sprint(ev.KMS[0]) != fmt.Sprintf("{kms:GenerateDataKey %s %s map[aws:s3:arn:arn:aws:s3:::b/k] %s}", k.ARN, account, viaS3) {
		t.Errorf("on record: %+v", ev.KMS)
	}
	if _, err := g.Ask(ctx, h.Demand(k, "kms:GenerateDataKey", context, "", &alice)); err == nil {
		t.Error("a direct call was allowed")
	}
}

func TestServiceKey(t *testing.T) {
	h := newHarness(t)
	k, err := h.ServiceKey(t.Context(), account, "s3")
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.ServiceKey(t.Context(), account, "s3")
	if err != nil || again.ID != k.ID || k.Manager != kms.ManagedByAWS {
		t.Errorf("%+v %v", again, err)
	}
	if found, err := h.Find("alias/aws/s3", account, region); err != nil || found.ID != k.ID {
		t.Errorf("by alias: %v %v", found, err)
	}
	if found, err := h.reopen().ServiceKey(t.Context(), account, "s3"); err != nil || found.ID != k.ID {
		t.Errorf("after another start: %v %v", found, err)
	}
	alice, bob := h.user(account, "alice"), h.user(other, "bob")
	for _, c := range []struct {
		want   bool
		action string
		via    string
	}{
		{true, "kms:GenerateDataKey", viaS3}, {true, "kms:Decrypt", viaS3}, {false, "kms:Decrypt", ""}, {false, "kms:Decrypt", "sns." + region + ".amazonaws.com"},
		{false, "kms:PutKeyPolicy", ""}, {false, "kms:ScheduleKeyDeletion", viaS3},
	} {
		if got := h.may(k, alice, "", c.action, nil, c.via); got != c.want {
			t.Errorf("%s via %q: %v", c.action, c.via, got)
		}
		if h.may(k, bob, allow("kms:*"), c.action, nil, c.via) {
			t.Errorf("another account may %s via %q", c.action, c.via)
		}
		if c.action == "kms:PutKeyPolicy" && h.may(k, root(account), "", c.action, nil, c.via) {
			t.Error("root may edit the policy of an AWS-managed key")
		}
	}
	if !h.may(k, alice, allow("kms:DescribeKey"), "kms:DescribeKey", nil, "") {
		t.Error("nobody may look at it")
	}
}
