package s3

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kura-s3/kura/policy"
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

// TestThePolicyOfAListenerCaps every way of asking: signed, presigned, by a form, anonymously, and as the
// source of a copy; it gives nothing, and does not bind what S3 asks of KMS.
func TestThePolicyOfAListenerCaps(t *testing.T) {
	h := newAccessHarness(t)
	h.peer.Secure = true
	for _, bucket := range []string{"bucket", "other"} {
		h.must(admin, "PUT", "/"+bucket, "")
		h.must(admin, "PUT", "/"+bucket+"/key", "x")
		h.must(admin, "DELETE", "/"+bucket+"?publicAccessBlock", "")
		open := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/*"}}`
		h.must(admin, "PUT", "/"+bucket+"?policy", open, "Content-Md5", checksumOfBody(open))
	}
	var err error
	h.peer.Policy, err = policy.ParseString(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]},
		{"Effect":"Deny","Principal":"*","Action":"s3:DeleteObject","Resource":"*"}]}`, policy.Resource)
	if err != nil {
		t.Fatal(err)
	}
	const missing, denied = "because no VPC endpoint policy allows the s3:", "with an explicit deny in a VPC endpoint policy"
	for _, c := range []struct {
		name, method, uri, says string
		who                     user
		headers                 []string
		want                    int
	}{
		{"the bucket", "GET", "/bucket/key", "", admin, nil, 200},
		{"another", "GET", "/other/key", missing, admin, nil, 403},
		{"a deny", "DELETE", "/bucket/key", denied, admin, nil, 403},
		{"nobody, the bucket", "GET", "/bucket/key", "", user{}, nil, 200},
		{"nobody, another", "GET", "/other/key", "Access Denied", user{}, nil, 403},
		{"another account", "GET", "/other/key", "Access Denied", otherAdmin, nil, 403},
		{"a copy into it", "PUT", "/bucket/copy", missing, admin, []string{"X-Amz-Copy-Source", "/other/key"}, 403},
		{"a copy out of it", "PUT", "/other/copy", missing, admin, []string{"X-Amz-Copy-Source", "/bucket/key"}, 403},
		{"all buckets", "GET", "/", missing, admin, nil, 403},
		{"who may nothing", "PUT", "/bucket/key", "because no identity-based policy allows", stranger, nil, 403},
		{"under KMS", "PUT", "/bucket/sealed", "", admin, []string{"X-Amz-Server-Side-Encryption", "aws:kms"}, 200},
	} {
		if w := h.do(c.who, c.method, c.uri, "", c.headers...); w.Code != c.want || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	want(t, h.presigned(admin, "GET", "/bucket/key", ""), 200, "")
	want(t, h.presigned(admin, "GET", "/other/key", ""), 403, "AccessDenied")
	form := append([][2]string{{"key", "form"}}, h.signPolicy(admin, `{"expiration":"2100-01-01T00:00:00Z","conditions":[["starts-with","$bucket",""],["starts-with","$key",""]]}`)...)
	want(t, h.sendForm("/other", form, "file.txt", "content"), 403, "AccessDenied")
	want(t, h.sendForm("/bucket", form, "file.txt", "content"), 204, "")
}
