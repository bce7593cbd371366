package kms_test

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
)

func TestAliases(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	k, l := h.create(kms.NewKey{}), h.create(kms.NewKey{})
	mac := h.create(kms.NewKey{Spec: kms.HMAC256, Usage: kms.GenerateVerifyMAC})
	foreign := h.create(kms.NewKey{Account: other})
	for name, kind := range map[string]fault.Kind{
		"x": kms.Invalid, "alias/": kms.Invalid, "alias/a b": kms.Invalid, "alias/a:b": kms.Invalid, "alias/" + strings.Repeat("x", 251): kms.Invalid, "alias/aws/x": kms.NotAuthorized,
	} {
		h.wants(h.CreateAlias(ctx, h.all(), account, name, k.ID), kind, "")
	}
	h.wants(h.CreateAlias(ctx, h.all(), account, "alias/x", foreign.ID), kms.NotFound, "")
	if err := h.CreateAlias(ctx, h.all(), account, "alias/x", k.ID); err != nil {
		t.Fatal(err)
	}
	h.wants(h.CreateAlias(ctx, h.all(), account, "alias/x", l.ID), kms.AlreadyExists, "An alias with the name arn:aws:kms:"+region+":"+account+":alias/x already exists")
	if err := h.CreateAlias(ctx, h.all(), other, "alias/x", foreign.ID); err != nil {
		t.Errorf("in another account: %v", err)
	}
	h.wants(h.UpdateAlias(ctx, h.all(), account, "alias/y", l.ID), kms.NotFound, "is not found")
	h.wants(h.UpdateAlias(ctx, h.all(), account, "alias/x", mac.ID), kms.Invalid, "same type")
	only := authztest.Grant(t, "kms:UpdateAlias", kms.AliasARN(region, account, "alias/x"), "kms:UpdateAlias", l.ARN)
	if err := h.UpdateAlias(ctx, only, account, "alias/x", l.ID); err == nil {
		t.Error("updated without permission on the old key")
	}
	if err := h.UpdateAlias(ctx, h.all(), account, "alias/x", l.ID); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*kms.Store{h.Store, h.reopen()} {
		if got, err := s.Find("alias/x", account, region); err != nil || got.ID != l.ID || len(got.Aliases) != 1 {
			t.Errorf("%+v %v", got, err)
		}
		if got, _ := s.Find(k.ID, account, region); len(got.Aliases) != 0 {
			t.Error("the old key kept the alias")
		}
	}
	if list, err := h.Aliases(h.all(), account, ""); err != nil || len(list) != 2 || list[0].Name != "alias/aws/s3" || list[0].Target != "" {
		t.Errorf("%v %v", list, err)
	}
	if err := h.DeleteAlias(ctx, h.all(), account, "alias/x"); err != nil {
		t.Fatal(err)
	}
	h.wants(h.DeleteAlias(ctx, h.all(), account, "alias/x"), kms.NotFound, "")
	for i := range 51 {
		err := h.CreateAlias(ctx, h.all(), account, "alias/n"+strings.Repeat("x", i), k.ID)
		if (err != nil) != (i == 50) {
			t.Errorf("alias %d: %v", i+1, err)
		}
	}
}
