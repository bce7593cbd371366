package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAuditURIHoldsNoSecrets: what proves a caller's identity never enters the record.
func TestAuditURIHoldsNoSecrets(t *testing.T) {
	const canary = "SECRETCANARY"
	for _, c := range []struct{ uri, service, want string }{
		{"/b/k?versionId=1&X-Amz-Signature=" + canary, "s3", "/b/k?versionId=1&X-Amz-Signature=HIDDEN"},
		{"/b/k?x-amz-security-token=" + canary + "&acl", "s3", "/b/k?x-amz-security-token=HIDDEN&acl"},
		{"/b/k?X-Amz-Security-%54oken=" + canary, "s3", "/b/k?X-Amz-Security-Token=HIDDEN"},
		{"/b/k?AWSAccessKeyId=A&Signature=" + canary, "s3", "/b/k?AWSAccessKeyId=A&Signature=HIDDEN"},
		{"/?Action=ChangePassword&NewPassword=" + canary, "iam", "/"},
		{"/?Action=AssumeRoleWithWebIdentity&WebIdentityToken=" + canary, "sts", "/"},
	} {
		got := auditURI(httptest.NewRequest("GET", "http://h"+c.uri, nil), c.service)
		if got != c.want || strings.Contains(got, canary) {
			t.Errorf("%s: %s", c.uri, got)
		}
	}
}

func TestServiceOfScope(t *testing.T) {
	for header, want := range map[string]string{
		"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=00": "iam",
		"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=00":    "s3",
		"AWS4-HMAC-SHA256 Credential=AKID": "",
		"AWS AKID:signature":               "",
		"Bearer x":                         "",
	} {
		r := httptest.NewRequest("GET", "http://h/", nil)
		r.Header.Set("Authorization", header)
		if got := scopeService(r); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	r := httptest.NewRequest("GET", "http://h/?X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fsts%2Faws4_request&x=1", nil)
	if got := scopeService(r); got != "sts" {
		t.Errorf("query: %q", got)
	}
}
