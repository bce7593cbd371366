package s3

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// TestFindingsAreTheTruth: for every policy, list, ownership and Block Public Access of bucket and account,
// what the analysis says that strangers can do is what they can do, tried with real requests anonymously
// and from another account. No false alarm, and no miss.
func TestFindingsAreTheTruth(t *testing.T) {
	h := newAccessHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", "content")
	states, alarms, last := 0, 0, &seen{}
	for aclName, header := range matrixACLs {
		for _, ownership := range matrixOwnerships {
			h.setACL(aclName, header, ownership)
			// Findings are about the bucket: what one object's own list gives is not among them.
			h.setBlock(policy.PublicAccessBlock{})
			h.do(admin, "PUT", "/bucket/key?acl", "", "X-Amz-Acl", "private", "Content-Md5", checksumOfBody(""))
			h.must(admin, "PUT", "/bucket/key", "content")
			for policyName, p := range matrixPolicies {
				h.setPolicy(p.statements)
				for bucketBlock := range matrixBlocks {
					h.setBlock(matrixBlocks[bucketBlock])
					for accountBlock := range matrixBlocks {
						h.setAccountBlock(matrixBlocks[accountBlock])
						states++
						alarms += h.tryFindings(last, fmt.Sprintf("policy %s, ACL %s, %s, bucket %s, account %s", policyName, aclName, ownership, bucketBlock, accountBlock))
					}
				}
			}
		}
	}
	t.Logf("%d states, %d findings", states, alarms)
	if states < 2000 || alarms < 500 {
		t.Errorf("%d states with %d findings are too few", states, alarms)
	}
}

// probes are requests of strangers.
var probes = []struct {
	who         user
	caller      string // of findings
	uri, action string
}{
	{user{}, "*", "/bucket/key", "s3:GetObject"}, {user{}, "*", "/bucket?list-type=2", "s3:ListBucket"},
	{otherAdmin, otherAccount, "/bucket/key", "s3:GetObject"}, {otherAdmin, otherAccount, "/bucket?list-type=2", "s3:ListBucket"},
}

// seen is a state and what strangers got in it from this machine.
type seen struct {
	bucket *posture.Resource
	block  posture.Block
	got    map[string]bool
}

// home trusts the owner's account only.
func home(canonical string) posture.Trust {
	return func(_, _ []string) policy.Zone {
		return policy.Zone{Accounts: []string{testAccount}, CanonicalIDs: []string{canonical}}
	}
}

// findings are those about the bucket as it is, and what is new since the last state: what an alarm tells and
// the guard refuses.
func (h *harness) findings(last *seen) (openings, gained []posture.Opening, now *seen) {
	h.t.Helper()
	b, err := h.objects.Bucket("bucket")
	if err != nil {
		h.t.Fatal(err)
	}
	resource, err := posture.BucketFrom(must(h.t, b))
	if err != nil || resource.Broken != nil {
		h.t.Fatal(err, resource.Broken)
	}
	account, err := posture.BlockFrom(testAccount, must(h.t, h.objects.Account(testAccount)))
	if err != nil {
		h.t.Fatal(err)
	}
	now = &seen{bucket: resource, block: *account.Block, got: map[string]bool{}}
	if openings, err = posture.Openings(resource, now.block, home(b.Owner.Canonical)); err != nil {
		h.t.Fatal(err)
	}
	if gained, err = posture.Gains(last.bucket, resource, last.block, now.block, home(b.Owner.Canonical)); err != nil {
		h.t.Fatal(err)
	}
	return openings, gained, now
}

func must(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// tryFindings holds the findings to what requests get, from where the findings say that they get in and
// from elsewhere.
func (h *harness) tryFindings(last *seen, state string) int {
	h.t.Helper()
	openings, gained, now := h.findings(last)
	said := map[string]bool{}
	address := "127.0.0.1"
	for _, o := range openings {
		if !o.Proven {
			h.t.Errorf("%s: not proven: %+v", state, o)
		}
		if v := o.Witness.Keys["aws:sourceip"]; len(v) > 0 {
			address = v[0]
		}
		for _, action := range o.Actions {
			said[reached(&o)+" "+action] = true
		}
	}
	alarm := map[string]bool{}
	for _, o := range gained {
		for _, action := range o.Actions {
			alarm[reached(&o)+" "+action] = true
		}
	}
	here := h.peer.IP
	for _, from := range []string{address, "127.0.0.1"} {
		h.peer.IP = netip.MustParseAddr(from)
		for _, p := range probes {
			got := h.do(p.who, "GET", p.uri, "").Code == http.StatusOK
			want := said[p.caller+" "+p.action] || said["* "+p.action] || p.who != (user{}) && said["authenticated "+p.action]
			if got && !want {
				h.t.Errorf("%s: %q gets %s and no finding says so", state, p.caller, p.uri)
			}
			if from == "127.0.0.1" {
				name := p.caller + " " + p.action
				now.got[name] = got
				told := alarm[name] || alarm["* "+p.action] || p.who != (user{}) && alarm["authenticated "+p.action]
				if got && last.got != nil && !last.got[name] && !told {
					h.t.Errorf("%s: %q newly gets %s, and no alarm says so", state, p.caller, p.uri)
				}
				if told && !said[name] && !said["* "+p.action] && !said["authenticated "+p.action] {
					h.t.Errorf("%s: an alarm says that %q gets %s, and it does not", state, p.caller, p.uri)
				}
			}
			if want && !got && from == address {
				h.t.Errorf("%s: a finding says that %q gets %s, and it does not", state, p.caller, p.uri)
			}
		}
	}
	h.peer.IP = here
	h.tryVerdict(now, state)
	*last = *now
	return len(openings)
}

// tryVerdict holds what AWS Config's rules say of public reading to what requests get.
func (h *harness) tryVerdict(now *seen, state string) {
	h.t.Helper()
	policyRead, _, listRead, _ := now.bucket.Bucket.PublicAccess(now.block)
	here := h.peer.IP
	defer func() { h.peer.IP = here }()
	// A policy for some addresses is not public, as AWS defines it: the request comes from anywhere else.
	h.peer.IP = netip.MustParseAddr("198.51.100.77")
	reads := false
	for _, p := range probes {
		got := h.do(p.who, "GET", p.uri, "").Code == http.StatusOK
		reads = reads || got
		if got && p.who == (user{}) && !policyRead && !listRead {
			h.t.Errorf("%s: anybody gets %s, and the rule about public reading is met", state, p.uri)
		}
	}
	// As at AWS the rule does not see that a policy stops what a public list gives; findings and alarms do.
	if !reads && policyRead && !listRead {
		h.t.Errorf("%s: the rule about public reading is not met, and nobody reads", state)
	}
}

// reached is whom a finding is about, as the probes name it.
func reached(o *posture.Opening) string {
	switch {
	case o.Principal == "*" && o.Witness.Type != "Anonymous":
		return "authenticated" // whoever signs
	case o.Principal == "*":
		return "*"
	}
	return otherAccount
}
