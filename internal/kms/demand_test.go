package kms_test

import (
	"testing"

	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

// TestKeyPolicyDecidesAlone: an identity policy is not enough unless the key's policy delegates to the
// account; naming the caller is enough without one; across accounts both sides must allow.
func TestKeyPolicyDecidesAlone(t *testing.T) {
	h := newHarness(t)
	alice, bob, app := h.user(account, "alice"), h.user(other, "bob"), h.role(account, "app")
	delegated := h.create(kms.NewKey{})
	named := h.create(kms.NewKey{Policy: keyPolicy(`{"AWS":["`+alice.ARN+`","`+app.IssuerARN+`"]}`, `"kms:Decrypt"`, "")})
	crossing := h.create(kms.NewKey{Policy: keyPolicy(`{"AWS":"arn:aws:iam::`+other+`:root"}`, `"kms:Decrypt"`, "")})
	openTo := h.create(kms.NewKey{Policy: keyPolicy(`"*"`, `"kms:Decrypt"`, `{"StringEquals":{"kms:CallerAccount":"`+account+`"}}`)})
	denied := h.create(kms.NewKey{Policy: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"}]}`})
	decrypt := allow("kms:Decrypt")
	for name, c := range map[string]struct {
		key      *kms.Key
		who      policy.Principal
		document string
		want     bool
	}{
		"delegated, with identity policy":      {delegated, alice, decrypt, true},
		"delegated, without":                   {delegated, alice, "", false},
		"delegated, root":                      {delegated, root(account), "", true},
		"delegated, role with identity policy": {delegated, app, decrypt, true},
		"delegated, another account":           {delegated, bob, decrypt, false},
		"delegated, another account's root":    {delegated, root(other), "", false},
		"named, without identity policy":       {named, alice, "", true},
		"named role":                           {named, app, "", true},
		"not named, with identity policy":      {named, h.user(account, "carol"), decrypt, false},
		"not named, root":                      {named, root(account), "", false},
		"crossing, both":                       {crossing, bob, decrypt, true},
		"crossing, key policy alone":           {crossing, bob, "", false},
		"crossing, owner's user":               {crossing, alice, decrypt, false},
		"crossing, owner's root":               {crossing, root(account), "", false},
		"everyone of the account":              {openTo, alice, "", true},
		"everyone of the account, another":     {openTo, bob, decrypt, false},
		"everyone of the account, anonymous":   {openTo, policy.Principal{Type: policy.Anonymous}, "", false},
		"denied":                               {denied, alice, decrypt, false},
		"denied root":                          {denied, root(account), "", false},
	} {
		if c.who.Type == policy.Anonymous {
			d := h.Demand(c.key, "kms:Decrypt", nil, "", &c.who)
			req := policy.Request{Principal: c.who, Action: d.Action, Resource: d.Resource.ARN, ResourceAccount: d.Resource.Account, Context: d.Keys}
			if policy.Evaluate(&req, &policy.Inputs{Resource: d.Resource.Policy, ResourceMustAllow: true}).Allowed() != c.want {
				t.Errorf("%s: %v", name, !c.want)
			}
			continue
		}
		if got := h.may(c.key, c.who, c.document, "kms:Decrypt", nil, ""); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestConditionKeysOfUse holds each condition key to what the use is.
func TestConditionKeysOfUse(t *testing.T) {
	h := newHarness(t)
	alice := h.user(account, "alice")
	context := map[string]string{"aws:s3:arn": "arn:aws:s3:::b/k", "Team": "red"}
	for condition, want := range map[string]bool{
		`{"StringLike":{"kms:ViaService":"s3.*.amazonaws.com"}}`:                                     true,
		`{"StringEquals":{"kms:ViaService":"s3.us-west-2.amazonaws.com"}}`:                           false,
		`{"StringEquals":{"kms:CallerAccount":"` + account + `"}}`:                                   true,
		`{"StringEquals":{"kms:CallerAccount":"` + other + `"}}`:                                     false,
		`{"StringEquals":{"kms:EncryptionContext:aws:s3:arn":"arn:aws:s3:::b/k"}}`:                   true,
		`{"StringEquals":{"kms:EncryptionContext:AWS:S3:ARN":"arn:aws:s3:::b/k"}}`:                   true,
		`{"StringEquals":{"kms:EncryptionContext:aws:s3:arn":"arn:aws:s3:::b/K"}}`:                   false,
		`{"StringEquals":{"kms:EncryptionContext:team":"red"}}`:                                      true,
		`{"Null":{"kms:EncryptionContext:none":"true"}}`:                                             true,
		`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["aws:s3:arn","Team"]}}`:          true,
		`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["aws:s3:arn"]}}`:                 false,
		`{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"Team"}}`:                          true,
		`{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","kms:KeyUsage":"ENCRYPT_DECRYPT"}}`:      true,
		`{"StringEquals":{"kms:KeyOrigin":"EXTERNAL"}}`:                                              false,
		`{"Bool":{"kms:MultiRegion":"false"}}`:                                                       true,
		`{"Bool":{"aws:ViaAWSService":"true"}}`:                                                      true,
		`{"StringEquals":{"aws:ResourceTag/env":"prod"}}`:                                            true,
		`{"StringEquals":{"aws:ResourceTag/env":"test"}}`:                                            false,
		`{"StringEquals":{"aws:ResourceAccount":"` + account + `"}}`:                                 true,
		`{"StringEquals":{"aws:PrincipalArn":"` + alice.ARN + `"}}`:                                  true,
		`{"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/*"}}`:                               false,
		`{"StringEquals":{"kms:EncryptionContext:aws:s3:arn":["x","arn:aws:s3:::b/k"]}}`:             true,
		`{"StringNotEquals":{"kms:EncryptionContext:Team":"red"}}`:                                   false,
		`{"Bool":{"aws:ViaAWSService":"false"}}`:                                                     false,
		`{"StringEquals":{"kms:ViaService":["sns.eu-central-1.amazonaws.com","` + viaS3 + `"]}}`:     true,
		`{"StringEqualsIgnoreCase":{"kms:EncryptionContext:aws:s3:arn":"ARN:aws:s3:::B/k"}}`:         true,
		`{"StringEquals":{"kms:EncryptionContext:aws:s3:arn":"arn:aws:s3:::b/k","kms:KeySpec":"x"}}`: false,
	} {
		k := h.create(kms.NewKey{Policy: keyPolicy(`{"AWS":"`+alice.ARN+`"}`, `"kms:Decrypt"`, condition), Tags: []kms.Tag{{Key: "env", Value: "prod"}}})
		if got := h.may(k, alice, "", "kms:Decrypt", context, viaS3); got != want {
			t.Errorf("%s: %v", condition, got)
		}
	}
}

func TestFind(t *testing.T) {
	h := newHarness(t)
	k := h.create(kms.NewKey{})
	if err := h.CreateAlias(t.Context(), h.all(), account, "alias/a/b", k.ID); err != nil {
		t.Fatal(err)
	}
	alias := kms.AliasARN(region, account, "alias/a/b")
	for _, c := range []struct{ ref, account, want string }{
		{k.ID, account, ""}, {k.ARN, account, ""}, {k.ARN, other, ""}, {k.ARN, "", ""}, {"alias/a/b", account, ""}, {alias, other, ""}, {alias, "", ""},
		{k.ID, other, "does not exist"}, {k.ID, "", "does not exist"}, {"alias/a/b", other, "is not found"}, {"alias/a", account, "is not found"},
		{"", account, "Invalid keyId ''"}, {"nope", account, "Invalid keyId 'nope'"}, {"mrk-1234", account, "Invalid keyId"},
		{"134f2428cec14b25a1ae9048164dba47", account, "Invalid keyId"}, {kms.KeyARN("us-west-2", account, k.ID), account, "Invalid arn us-west-2"},
		{kms.KeyARN(region, other, k.ID), account, "does not exist"}, {"arn:aws:s3:::b", account, "Invalid arn"}, {"arn:aws:kms:" + region + ":" + account + ":x/" + k.ID, account, "Invalid arn"},
		{"arn:", account, "Invalid arn"}, {"ALIAS/a/b", account, "Invalid keyId"}, {k.ARN + "x", account, "Invalid keyId"},
	} {
		got, err := h.Find(c.ref, c.account, region)
		switch {
		case c.want == "" && (err != nil || got.ID != k.ID):
			t.Errorf("%q by %q: %v %v", c.ref, c.account, got, err)
		case c.want != "" && err == nil:
			t.Errorf("%q by %q was found", c.ref, c.account)
		case c.want != "":
			if !contains(err, c.want) {
				t.Errorf("%q by %q: %v, want %q", c.ref, c.account, err, c.want)
			}
		}
	}
}
