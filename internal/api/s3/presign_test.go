package s3

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
)

// presigned sends a request by a presigned URL; query goes into the URL before it is signed.
func (h *harness) presigned(u user, method, uri, body string) *httptest.ResponseRecorder {
	h.t.Helper()
	r := httptest.NewRequest(method, "http://s3.local"+uri, nil)
	url, err := authn.Presign(r, authn.Signing{
		AccessKeyID: u.key, Secret: u.secret, Region: testRegion, Service: "s3", Time: time.Now(),
	}, time.Minute)
	if err != nil {
		h.t.Fatal(err)
	}
	r = httptest.NewRequest(method, url, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.serve(w, r)
	return w
}

// TestPresignedHeadersInQuery: SDKs move headers into the query of a presigned URL. They count as
// the headers that they are, and never as nothing.
func TestPresignedHeadersInQuery(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	if w := h.presigned(admin, "PUT", "/bucket/k?x-amz-storage-class=STANDARD_IA&x-amz-meta-a=b", "content"); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	meta := "x-amz-meta-a" // S3 tells the names of user metadata in lower case
	got := h.must(admin, "HEAD", "/bucket/k", "").Header()
	if got.Get("X-Amz-Storage-Class") != "STANDARD_IA" || len(got[meta]) != 1 {
		t.Errorf("%v", got)
	}
	if w := h.presigned(admin, "PUT", "/bucket/k?x-amz-acl=public-read", "content"); w.Code != http.StatusBadRequest {
		t.Errorf("an ACL in the query was ignored: %d", w.Code)
	}
	if w := h.presigned(admin, "PUT", "/bucket/copy?x-amz-copy-source=/bucket/k", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "CopyObjectResult") {
		t.Errorf("copy: %d %s", w.Code, w.Body)
	}
	if w := h.presigned(admin, "PUT", "/bucket/k?x-amz-checksum-crc32=AAAAAA==", "content"); code(w) != "BadDigest" {
		t.Errorf("checksum: %d %s", w.Code, w.Body)
	}
	if w := h.presigned(stranger, "GET", "/bucket/k", ""); w.Code != http.StatusForbidden {
		t.Errorf("stranger: %d", w.Code)
	}
	w := httptest.NewRecorder()
	h.serve(w, h.request(admin, "PUT", "/bucket/k?x-amz-acl=public-read", "content"))
	if w.Code != http.StatusNotImplemented {
		t.Errorf("a header-signed request with such a parameter: %d", w.Code)
	}
}
