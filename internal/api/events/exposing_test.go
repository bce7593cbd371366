package events_test

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/api/exposure"
)

// TestBusPoliciesAreWatchedOver: a change of a bus's policy is judged as what it leads to, and made to what was judged
// or not at all.
func TestBusPoliciesAreWatchedOver(t *testing.T) {
	h := newHarness(t)
	wary := h.user("wary", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"kura:ExposesData":"true"}}}]}`)
	put := func(sid, principal string) m {
		return m{"StatementId": sid, "Action": "events:PutEvents", "Principal": principal}
	}
	must := func(operation string, in m) {
		t.Helper()
		if status, code, out := h.call(h.admin, operation, in); status != 200 {
			t.Fatalf("%s: %d %s %v", operation, status, code, out)
		}
	}
	must("PutPermission", put("first", "444455556666"))

	var judged exposure.Change
	exposed := exposure.Exposed{To: []string{"*"}}
	h.exposes = func(c exposure.Change) (exposure.Exposed, error) { judged = c; return exposed, nil }
	for _, c := range []struct {
		operation string
		in        m
		after     string
	}{
		{"PutPermission", put("second", "*"), "second"},
		{"PutPermission", m{"Policy": `{"Version":"2012-10-17","Statement":[{"Sid":"whole","Effect":"Allow","Principal":"*","Action":"events:PutRule","Resource":"*"}]}`}, "whole"},
		{"PutPermission", m{"Policy": "not a policy"}, exposure.Unreadable},
		{"RemovePermission", m{"StatementId": "first"}, ""},
		{"RemovePermission", m{"StatementId": "unknown"}, exposure.Unreadable},
		{"RemovePermission", m{"RemoveAllPermissions": true}, ""},
	} {
		status, code, _ := h.call(wary, c.operation, c.in)
		if status != 400 || code != "AccessDeniedException" || judged.ARN != busARN || judged.Before == nil || !strings.Contains(judged.After, c.after) || (judged.After == "") != (c.after == "") {
			t.Errorf("%s %v: %d %s, judged as %+v", c.operation, c.in, status, code, judged)
		}
	}

	// Somebody else changes the policy between the judgement and the change.
	meanwhile := put("meanwhile", "777788889999")
	h.exposes = func(exposure.Change) (exposure.Exposed, error) {
		if meanwhile != nil {
			must("PutPermission", meanwhile)
			meanwhile = nil
		}
		return exposure.Exposed{}, nil
	}
	if status, code, _ := h.call(wary, "PutPermission", put("second", "111122223333")); status != 503 {
		t.Errorf("a change of what is another thing now: %d %s", status, code)
	}
	if status, code, _ := h.call(wary, "PutPermission", put("second", "111122223333")); status != 200 {
		t.Errorf("again: %d %s", status, code)
	}
}
