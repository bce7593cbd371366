package s3

import (
	"net/http"
	"testing"

	"github.com/kura-s3/kura/policy"
)

// FuzzACLHeaders: whatever a client writes into the grant headers is refused in S3's words, or makes a
// list that comes back from storage as it was.
func FuzzACLHeaders(f *testing.F) {
	for _, seed := range []string{
		`id="` + canonicalID(otherAccount) + `"`, "uri=" + allUsers + ", id=x", `emailAddress="` + otherAccount + `@example.com"`, "=", ",,", "id", `uri=""`,
	} {
		f.Add(seed, "")
		f.Add(seed, "public-read")
	}
	s := &Service{config: Config{Accounts: &harness{users: testUsers{}}, DisplayName: func(string) string { return "" }}}
	f.Fuzz(func(t *testing.T, grant, canned string) {
		h := http.Header{"X-Amz-Grant-Write-Acp": {grant}}
		if canned != "" {
			h.Set("X-Amz-Acl", canned)
		}
		r := readACLRequest(h)
		list, err := r.list(s, bucketCanned, "owner", "owner")
		if err != nil {
			if _, a := explain(err); a.status != 400 {
				t.Fatalf("%q: %v", grant, err)
			}
			return
		}
		raw, err := list.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeACL(raw)
		if err != nil || len(back) != len(list) || back.public() != list.public() {
			t.Fatalf("%q: %s, %v", grant, raw, err)
		}
	})
}

// TestDenialsOf: what is left of a policy allows nobody anything, and denies what it denied.
func TestDenialsOf(t *testing.T) {
	allow := `{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}`
	deny := `{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`
	for _, c := range []struct {
		statement string
		left      int
	}{
		{allow, 0}, {deny, 1}, {"[" + allow + "]", 0}, {"[" + deny + "]", 1}, {"[" + allow + "," + deny + "," + allow + "," + deny + "]", 2},
	} {
		doc, err := denialsOf([]byte(`{"Version":"2012-10-17","Id":"x","Statement":` + c.statement + `}`))
		if err != nil || (doc == nil) != (c.left == 0) || doc != nil && doc.Len() != c.left {
			t.Errorf("%s: %v, %v", c.statement, doc, err)
			continue
		}
		for i := range c.left {
			if doc.Statement(i).Effect != policy.ExplicitDeny {
				t.Errorf("%s: statement %d allows", c.statement, i)
			}
		}
	}
}
