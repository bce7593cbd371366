package iam_test

import (
	"testing"

	"github.com/kura-s3/kura/internal/api/exposure"
)

// TestWhatDidNotExposeHoldsForTheTrustThatWasJudged: between the judgement of a change and the change nobody else
// changes the role's trust policy.
func TestWhatDidNotExposeHoldsForTheTrustThatWasJudged(t *testing.T) {
	h := newHarness(t)
	wary := h.newUser("wary", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"kura:ExposesData":"true"}}}]}`)
	trust := func(service string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"` + service + `.amazonaws.com"},"Action":"sts:AssumeRole"}}`
	}
	h.must(h.admin, "iam", "CreateRole", "RoleName", "r", "AssumeRolePolicyDocument", trust("ec2"))
	asked := 0
	h.exposes = func(exposure.Change) (exposure.Exposed, error) {
		if asked++; asked == 1 {
			h.must(h.admin, "iam", "UpdateAssumeRolePolicy", "RoleName", "r", "PolicyDocument", trust("lambda"))
		}
		return exposure.Exposed{}, nil
	}
	change := func() answer {
		return h.call(wary, "iam", "UpdateAssumeRolePolicy", "RoleName", "r", "PolicyDocument", trust("s3"))
	}
	if a := change(); a.status != 503 || a.code() != "ServiceUnavailable" || asked != 1 {
		t.Errorf("%d %s, asked %d times", a.status, a.body, asked)
	}
	if a := change(); a.status != 200 || asked != 2 {
		t.Errorf("again: %d %s, asked %d times", a.status, a.body, asked)
	}
}
