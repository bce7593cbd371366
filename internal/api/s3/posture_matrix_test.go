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
	states, alarms := 0, 0
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
						alarms += h.tryFindings(fmt.Sprintf("policy %s, ACL %s, %s, bucket %s, account %s", policyName, aclName, ownership, bucketBlock, accountBlock))
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

func (h *harness) findings() []posture.Opening {
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
	openings, err := posture.Openings(resource, *account.Block, func(_, _ []string) policy.Zone {
		return policy.Zone{Accounts: []string{testAccount}, CanonicalIDs: []string{b.Owner.Canonical}}
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return openings
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
func (h *harness) tryFindings(state string) int {
	h.t.Helper()
	openings := h.findings()
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
	home := h.peer.IP
	for _, from := range []string{address, "127.0.0.1"} {
		h.peer.IP = netip.MustParseAddr(from)
		for _, p := range probes {
			got := h.do(p.who, "GET", p.uri, "").Code == http.StatusOK
			want := said[p.caller+" "+p.action] || said["* "+p.action] || p.who != (user{}) && said["authenticated "+p.action]
			if got && !want {
				h.t.Errorf("%s: %q gets %s and no finding says so", state, p.caller, p.uri)
			}
			if want && !got && from == address {
				h.t.Errorf("%s: a finding says that %q gets %s, and it does not", state, p.caller, p.uri)
			}
		}
	}
	h.peer.IP = home
	return len(openings)
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
