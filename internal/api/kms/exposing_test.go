package kms_test

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/policy"
)

// watchful may do everything that exposes nothing.
const watchful = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
	{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"kura:ExposesData":"true"}}}]}`

// TestWhatDidNotExposeHoldsForTheKeyThatWasJudged: between the judgement of a change and the change nobody else changes
// who may use the key, by its policy or by a grant.
func TestWhatDidNotExposeHoldsForTheKeyThatWasJudged(t *testing.T) {
	h := newHarness(t)
	wary := h.newUser(h.admin, "wary", watchful)
	key := h.key(m{})
	policyText := h.must(h.admin, "GetKeyPolicy", m{"KeyId": key}).text("Policy")
	grant := func(operation string) m {
		return m{"KeyId": key, "GranteePrincipal": "arn:aws:iam::" + testAccount + ":user/wary", "Operations": []string{operation}}
	}
	put := m{"KeyId": key, "Policy": policyText}
	for name, c := range map[string]struct {
		operation string
		in        m
		meanwhile func()
		want      int
	}{
		"a policy, and another policy": {"PutKeyPolicy", put, func() { h.must(h.admin, "PutKeyPolicy", put) }, 503},
		"a policy, and a grant":        {"PutKeyPolicy", put, func() { h.must(h.admin, "CreateGrant", grant("Decrypt")) }, 503},
		"a grant, and a policy":        {"CreateGrant", grant("Encrypt"), func() { h.must(h.admin, "PutKeyPolicy", put) }, 503},
		"a policy, and another key":    {"PutKeyPolicy", put, func() { h.key(m{}) }, 200},
		"a grant":                      {"CreateGrant", grant("Encrypt"), func() {}, 200},
	} {
		asked := 0
		h.exposes = func(exposure.Change) (exposure.Exposed, error) {
			if asked++; asked == 1 {
				c.meanwhile()
			}
			return exposure.Exposed{}, nil
		}
		a := h.call(wary, c.operation, c.in)
		if a.status != c.want || asked != 1 || c.want == 503 && a.code() != "ServiceUnavailable" {
			t.Errorf("%s: %d %s, asked %d times", name, a.status, a.body, asked)
		}
		if again := h.call(wary, c.operation, c.in); again.status != 200 {
			t.Errorf("%s, again: %d %s", name, again.status, again.body)
		}
	}
}

// TestGrantsStandBesideThePolicy: a change of the policy is judged with the grants that the key has.
func TestGrantsStandBesideThePolicy(t *testing.T) {
	h := newHarness(t)
	wary := h.newUser(h.admin, "wary", watchful)
	key := h.key(m{})
	h.must(h.admin, "CreateGrant", m{
		"KeyId": key, "GranteePrincipal": "arn:aws:iam::" + testAccount + ":user/wary", "Operations": []string{"Decrypt"},
		"Constraints": m{"EncryptionContextSubset": m{"a": "b"}},
	})
	var got exposure.Change
	h.exposes = func(c exposure.Change) (exposure.Exposed, error) {
		got = c
		return exposure.Exposed{To: []string{"*"}}, nil
	}
	h.refused("AccessDeniedException", "The change would expose data to *", wary, "PutKeyPolicy", m{"KeyId": key, "Policy": h.must(h.admin, "GetKeyPolicy", m{"KeyId": key}).text("Policy")})
	if len(got.Standing) != 1 || got.Kind != policy.KeyPolicy || got.Before == nil || got.After == "" {
		t.Fatalf("judged is %+v", got)
	}
	s := got.Standing[0]
	who, _ := s.Principal.(map[string]string)
	if !strings.HasPrefix(who["AWS"], "AIDA") || len(s.Actions) != 1 || s.Actions[0] != "kms:Decrypt" || s.Condition["StringEquals"]["kms:EncryptionContext:a"] != "b" {
		t.Errorf("the grant stands as %+v", s)
	}
}
