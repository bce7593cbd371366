package s3

import (
	"net/http"
	"testing"
)

// TestEndpointPolicies: a bucket that admits one named listener only (scenario N05), and the address
// that a request through one has.
func TestEndpointPolicies(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/k", "x")
	put := func(document string) {
		t.Helper()
		h.must(admin, "PUT", "/bucket?policy", document, "Content-Md5", checksumOfBody(document))
	}
	get := func(endpoint, vpc string) int {
		h.peer.Endpoint, h.peer.VPC = endpoint, vpc
		defer func() { h.peer.Endpoint, h.peer.VPC = "", "" }()
		return h.do(admin, "GET", "/bucket/k", "").Code
	}
	deny := func(condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":` + condition + `}}`
	}
	for _, c := range []struct {
		condition, endpoint, vpc string
		want                     int
	}{
		{`{"StringNotEquals":{"aws:SourceVpce":"vpce-app"}}`, "vpce-app", "", 200},
		{`{"StringNotEquals":{"aws:SourceVpce":"vpce-app"}}`, "vpce-other", "", 403},
		{`{"StringNotEquals":{"aws:SourceVpce":"vpce-app"}}`, "", "", 403},
		{`{"StringNotEquals":{"aws:SourceVpc":"vpc-main"}}`, "vpce-app", "vpc-main", 200},
		{`{"StringNotEquals":{"aws:SourceVpc":"vpc-main"}}`, "vpce-app", "", 403},
		{`{"Null":{"aws:SourceIp":"true"}}`, "vpce-app", "", 403},
		{`{"Null":{"aws:SourceIp":"true"}}`, "", "", 200},
		{`{"NotIpAddress":{"aws:VpcSourceIp":"127.0.0.0/8"}}`, "vpce-app", "", 200},
		{`{"NotIpAddress":{"aws:VpcSourceIp":"127.0.0.0/8"}}`, "", "", 403},
	} {
		put(deny(c.condition))
		if got := get(c.endpoint, c.vpc); got != c.want {
			t.Errorf("%s through %q in %q: %d", c.condition, c.endpoint, c.vpc, got)
		}
	}
	// No header makes a listener.
	put(deny(`{"StringNotEquals":{"aws:SourceVpce":"vpce-app"}}`))
	for _, header := range []string{"Aws-Sourcevpce", "X-Amz-Source-Vpce", "X-Amzn-Vpce-Id"} {
		if w := h.do(admin, "GET", "/bucket/k", "", header, "vpce-app"); w.Code != http.StatusForbidden {
			t.Errorf("%s opened the bucket", header)
		}
	}
}
