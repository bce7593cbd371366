package event

import (
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/fault"
)

// TestBusPoliciesArePinned: a role that is made anew under the name of another gets nothing by a bus's policy, whatever
// becomes of the statements beside the one that named it, and after a restart.
func TestBusPoliciesArePinned(t *testing.T) {
	b := newBench(t)
	named := func(role string) Permission {
		return Permission{Policy: `{"Version":"2012-10-17","Statement":[{"Sid":"one","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/` + role + `"},"Action":"events:PutEvents","Resource":"*"}]}`}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	holds := func(when, want string) {
		t.Helper()
		decides := b.BusResource(account, DefaultBus).Policy
		if got := decides.Source(); !strings.Contains(got, want) || strings.Contains(got, "role/known") {
			t.Errorf("%s: %s", when, got)
		}
		info, err := b.DescribeEventBus(b.ctx, b.all, account, DefaultBus)
		if err != nil || !strings.Contains(info.Policy, "role/known") {
			t.Errorf("%s, shown: %v %v", when, info, err)
		}
	}
	must(b.PutPermission(b.ctx, b.all, account, DefaultBus, named("known")))
	holds("put", "AROAEXAMPLEEXAMPLE00")
	must(b.PutPermission(b.ctx, b.all, account, DefaultBus, Permission{StatementID: "two", Action: "events:PutEvents", Principal: "444455556666"}))
	holds("a statement more", "444455556666")
	b.reopen()
	holds("a restart", "AROAEXAMPLEEXAMPLE00")
	must(b.RemovePermission(b.ctx, b.all, account, DefaultBus, "two", false))
	holds("a statement less", "AROAEXAMPLEEXAMPLE00")
	if err := b.PutPermission(b.ctx, b.all, account, DefaultBus, named("unknown")); !fault.Is(err, Invalid) {
		t.Errorf("a policy for a role that does not exist: %v", err)
	}
	must(b.RemovePermission(b.ctx, b.all, account, DefaultBus, "one", false))
	if p := b.BusResource(account, DefaultBus).Policy; p != nil {
		t.Errorf("no statement is left of %s", p.Source())
	}
	if err := b.RemovePermission(b.ctx, b.all, account, DefaultBus, "one", false); !fault.Is(err, NotFound) {
		t.Errorf("nothing to remove: %v", err)
	}
}
