package kms_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func ptr(p policy.Principal) *policy.Principal { return &p }

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func (h *harness) grant(k *kms.Key, in kms.NewGrant) *kms.Grant {
	h.t.Helper()
	g, err := h.CreateGrant(h.t.Context(), h.all(), k.ID, in, false)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// locked is a key whose policy lets nobody in.
func (h *harness) locked() *kms.Key {
	return h.create(kms.NewKey{Policy: keyPolicy(`{"AWS":"`+h.user(account, "warden").ARN+`"}`, `"kms:PutKeyPolicy"`, "")})
}

func TestGrantAllowsWhatItSays(t *testing.T) {
	h := newHarness(t)
	alice, app := h.user(account, "alice"), h.role(account, "app")
	k := h.locked()
	if h.may(k, alice, allow("kms:*"), "kms:Decrypt", nil, "") {
		t.Fatal("allowed without a grant")
	}
	h.grant(k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}, Subset: map[string]string{"team": "red"}})
	h.grant(k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Encrypt", "DescribeKey"}, Equals: map[string]string{"team": "red"}})
	h.grant(k, kms.NewGrant{Grantee: app.IssuerARN, Operations: []string{"Decrypt"}})
	red, both := map[string]string{"team": "red"}, map[string]string{"team": "red", "x": "y"}
	for _, c := range []struct {
		who     policy.Principal
		action  string
		context map[string]string
		want    bool
	}{
		{alice, "kms:Decrypt", red, true}, {alice, "kms:Decrypt", both, true}, {alice, "kms:Decrypt", nil, false},
		{alice, "kms:Decrypt", map[string]string{"team": "Red"}, false}, {alice, "kms:Decrypt", map[string]string{"Team": "red"}, false},
		{alice, "kms:Encrypt", red, true}, {alice, "kms:Encrypt", both, false}, {alice, "kms:Encrypt", nil, false},
		{alice, "kms:DescribeKey", nil, true}, {alice, "kms:GenerateDataKey", red, false}, {alice, "kms:PutKeyPolicy", red, false},
		{app, "kms:Decrypt", nil, true}, {app, "kms:Encrypt", nil, false}, {h.user(account, "bob"), "kms:Decrypt", red, false},
		{root(account), "kms:Decrypt", red, false},
	} {
		if got := h.may(k, c.who, "", c.action, c.context, viaS3); got != c.want {
			t.Errorf("%s %s %v: %v", c.who.ARN, c.action, c.context, got)
		}
	}
	deny := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*"}}`
	if h.may(k, alice, deny, "kms:Decrypt", red, "") {
		t.Error("a grant won over an explicit deny")
	}
	// An entity made later under the same name is another one.
	h.people[alice.ARN] = "AIDANEWALICEXXXXXXXXX"
	again := alice
	again.UniqueID, again.UserID = "AIDANEWALICEXXXXXXXXX", "AIDANEWALICEXXXXXXXXX"
	if h.may(k, again, "", "kms:Decrypt", red, "") {
		t.Error("a user made later inherited the grant")
	}
}

// TestGrantToAnotherAccount: the other account's own policies must allow too, as always across accounts.
func TestGrantToAnotherAccount(t *testing.T) {
	h := newHarness(t)
	bob := h.user(other, "bob")
	k := h.locked()
	h.grant(k, kms.NewGrant{Grantee: bob.ARN, Operations: []string{"Decrypt"}})
	if h.may(k, bob, "", "kms:Decrypt", nil, "") || !h.may(k, bob, allow("kms:Decrypt"), "kms:Decrypt", nil, "") {
		t.Error("a grant to a user of another account")
	}
	k = h.locked()
	h.grant(k, kms.NewGrant{Grantee: "arn:aws:iam::" + other + ":root", Operations: []string{"Decrypt"}})
	if h.may(k, bob, "", "kms:Decrypt", nil, "") || !h.may(k, bob, allow("kms:Decrypt"), "kms:Decrypt", nil, "") || !h.may(k, root(other), "", "kms:Decrypt", nil, "") {
		t.Error("a grant to another account")
	}
	// To the own account it is one to the root user alone.
	h.grant(k, kms.NewGrant{Grantee: "arn:aws:iam::" + account + ":root", Operations: []string{"Decrypt"}})
	if alice := h.user(account, "alice"); h.may(k, alice, allow("kms:Decrypt"), "kms:Decrypt", nil, "") || !h.may(k, root(account), "", "kms:Decrypt", nil, "") {
		t.Error("a grant to the own account")
	}
}

func TestGranteePassesOnNoMoreThanItHas(t *testing.T) {
	h := newHarness(t)
	alice, bob := h.user(account, "alice"), h.user(account, "bob")
	k := h.locked()
	h.grant(k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"CreateGrant", "Decrypt"}, Subset: map[string]string{"team": "red"}})
	for name, c := range map[string]struct {
		in   kms.NewGrant
		want bool
	}{
		"the same":             {kms.NewGrant{Operations: []string{"Decrypt"}, Subset: map[string]string{"team": "red"}}, true},
		"stricter":             {kms.NewGrant{Operations: []string{"Decrypt"}, Subset: map[string]string{"team": "red", "x": "y"}}, true},
		"equal":                {kms.NewGrant{Operations: []string{"Decrypt"}, Equals: map[string]string{"team": "red"}}, true},
		"unconstrained":        {kms.NewGrant{Operations: []string{"Decrypt"}}, false},
		"another context":      {kms.NewGrant{Operations: []string{"Decrypt"}, Subset: map[string]string{"team": "blue"}}, false},
		"another operation":    {kms.NewGrant{Operations: []string{"Decrypt", "Encrypt"}, Subset: map[string]string{"team": "red"}}, false},
		"the right to pass on": {kms.NewGrant{Operations: []string{"CreateGrant"}, Equals: map[string]string{"team": "red"}}, true},
	} {
		c.in.Grantee = bob.ARN
		g, _ := h.asking(alice, "")
		d := h.DemandUse(kms.Use{Key: h.now(k), Action: "kms:CreateGrant", By: &alice, Passing: &c.in})
		if got := g.May(d); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if g.May(h.Demand(h.now(k), "kms:CreateGrant", nil, "", &alice)) {
			t.Error("may pass on without saying what")
		}
	}
}

func TestGrantsAreIdempotentByName(t *testing.T) {
	h := newHarness(t)
	alice := h.user(account, "alice")
	k := h.locked()
	in := kms.NewGrant{Name: "n", Grantee: alice.ARN, Operations: []string{"Decrypt", "Encrypt"}}
	first := h.grant(k, in)
	in.Operations = []string{"Encrypt", "Decrypt", "Encrypt"}
	if h.grant(k, in).ID != first.ID {
		t.Error("the same grant was made twice")
	}
	in.Operations = []string{"Encrypt"}
	if h.grant(k, in).ID == first.ID {
		t.Error("another grant has the same id")
	}
	in.Name = ""
	if one := h.grant(k, in); one.ID == h.grant(k, in).ID {
		t.Error("grants without a name are one")
	}
	list, err := h.ListGrants(h.all(), h.now(k), "", alice.ARN)
	if err != nil || len(list) != 4 || !slices.IsSortedFunc(list, func(a, b *kms.Grant) int { return strings.Compare(a.ID, b.ID) }) {
		t.Errorf("%d grants, %v", len(list), err)
	}
	again, err := h.reopen().Find(k.ID, account, region)
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := h.ListGrants(h.all(), again, "", ""); len(list) != 4 {
		t.Errorf("%d grants after another start", len(list))
	}
	if _, err := h.CreateGrant(t.Context(), h.all(), k.ID, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}}, true); !contains(err, "DryRun") {
		t.Errorf("dry run: %v", err)
	}
	if list, _ := h.ListGrants(h.all(), h.now(k), "", ""); len(list) != 4 {
		t.Error("a dry run made a grant")
	}
}

func TestWhoRetiresAGrant(t *testing.T) {
	h := newHarness(t)
	alice, bob, carol := h.user(account, "alice"), h.user(account, "bob"), h.user(account, "carol")
	k := h.locked()
	retirable := h.grant(k, kms.NewGrant{Grantee: alice.ARN, Retiring: bob.ARN, Operations: []string{"Decrypt", "RetireGrant"}})
	plain := h.grant(k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}})
	for _, c := range []struct {
		grant *kms.Grant
		who   policy.Principal
		want  bool
	}{{retirable, alice, true}, {retirable, bob, true}, {retirable, carol, false}, {plain, alice, false}, {plain, bob, false}} {
		if got := h.RetiredBy(h.now(k), c.grant.ID, &c.who); got != c.want {
			t.Errorf("%s: %v", c.who.ARN, got)
		}
	}
	if h.may(k, alice, "", "kms:RetireGrant", nil, "") || !h.RetiredBy(h.now(k), plain.ID, ptr(root(account))) || h.RetiredBy(h.now(k), plain.ID, ptr(root(other))) {
		t.Error("a grant that allows to retire itself allows to retire others, or the owner's root may not")
	}
	list, err := h.ListRetirable(h.askedFor(bob, "kms:ListRetirableGrants", "*"), bob.ARN)
	if err != nil || len(list) != 1 || list[0].ID != retirable.ID {
		t.Errorf("retirable: %v %v", list, err)
	}
	if _, err := h.ListRetirable(h.askedFor(bob, "kms:ListRetirableGrants", "*"), "arn:aws:iam::"+other+":user/x"); err == nil {
		t.Error("grants of another account's principal were listed")
	}
	token := h.Token(h.now(k), retirable.ID)
	of, id, err := h.ReadToken(token)
	if err != nil || of.ID != k.ID || id != retirable.ID || h.CheckTokens([]string{token}) != nil {
		t.Errorf("token: %v %v %v", of, id, err)
	}
	if err := h.EndGrant(t.Context(), h.all(), "kms:RetireGrant", k.ID, retirable.ID, false); err != nil {
		t.Error(err)
	}
	if h.may(k, alice, "", "kms:RetireGrant", nil, "") || h.CheckTokens([]string{token}) == nil || h.CheckTokens([]string{"x"}) == nil || h.CheckTokens(make([]string, 11)) == nil {
		t.Error("the grant lives on")
	}
	h.wants(h.EndGrant(t.Context(), h.all(), "kms:RevokeGrant", k.ID, retirable.ID, false), kms.NotFound, "")
	h.wants(h.EndGrant(t.Context(), authz.Grant{}, "kms:RevokeGrant", k.ID, plain.ID, false), authz.NotGranted, "")
}

// askedFor is a grant of a real decision for one action.
func (h *harness) askedFor(p policy.Principal, action, resource string) authz.Grant {
	h.t.Helper()
	g, _ := h.asking(p, allow(action))
	g, err := g.Ask(h.t.Context(), authz.Demand{Action: action, Resource: authz.Resource{ARN: resource, Account: p.Account}})
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

func TestGrantsAreChecked(t *testing.T) {
	h := newHarness(t)
	alice := h.user(account, "alice")
	k := h.locked()
	sign := h.create(kms.NewKey{Spec: kms.P256, Usage: kms.SignVerify})
	many := map[string]string{}
	for _, n := range strings.Split("a b c d e f g h i", " ") {
		many[n] = n
	}
	for name, c := range map[string]struct {
		key *kms.Key
		in  kms.NewGrant
	}{
		"nobody":             {k, kms.NewGrant{Grantee: alice.ARN + "x", Operations: []string{"Decrypt"}}},
		"a service":          {k, kms.NewGrant{Grantee: "s3.amazonaws.com", Operations: []string{"Decrypt"}}},
		"everyone":           {k, kms.NewGrant{Grantee: "*", Operations: []string{"Decrypt"}}},
		"unknown account":    {k, kms.NewGrant{Grantee: "arn:aws:iam::999999999999:root", Operations: []string{"Decrypt"}}},
		"retired by nobody":  {k, kms.NewGrant{Grantee: alice.ARN, Retiring: "x", Operations: []string{"Decrypt"}}},
		"no operation":       {k, kms.NewGrant{Grantee: alice.ARN}},
		"not of the key":     {k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Sign"}}},
		"administration":     {k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"PutKeyPolicy"}}},
		"two constraints":    {k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}, Equals: many, Subset: many}},
		"too many pairs":     {k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}, Equals: many}},
		"too long":           {k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}, Equals: map[string]string{"a": strings.Repeat("x", 384)}}},
		"no context to hold": {sign, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Sign"}, Equals: map[string]string{"a": "b"}}},
	} {
		if g, err := h.CreateGrant(t.Context(), h.all(), c.key.ID, c.in, false); err == nil {
			t.Errorf("%s: %+v", name, g)
		}
	}
	h.grant(sign, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Sign", "Verify", "GetPublicKey"}})
}

// TestGrantsAreTold: what Config rules and findings look at.
func TestGrantsAreTold(t *testing.T) {
	h := newHarness(t)
	alice := h.user(account, "alice")
	k := h.locked()
	g := h.grant(k, kms.NewGrant{Grantee: alice.ARN, Operations: []string{"Decrypt"}})
	if err := h.EndGrant(t.Context(), h.all(), "kms:RevokeGrant", k.ID, g.ID, false); err != nil {
		t.Fatal(err)
	}
	list := h.told()
	if len(list) != 3 || list[0].Kind != feed.Key || list[0].Resource != k.ARN || list[0].Account != account || list[0].Before != nil {
		t.Fatalf("%+v", list)
	}
	if made := viewOf(t, list[0].After); made.ARN != k.ARN || made.Policy == "" || made.State != kms.Enabled || made.Grant != nil {
		t.Errorf("made: %+v", made)
	}
	if after := viewOf(t, list[1].After); after.Grant == nil || after.Grant.ID != g.ID || viewOf(t, list[1].Before).Grant != nil {
		t.Errorf("granted: %+v", after)
	}
	if before := viewOf(t, list[2].Before); before.Grant == nil || viewOf(t, list[2].After).Grant != nil {
		t.Errorf("revoked: %+v", before)
	}
}
