package s3

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
)

// TestSignaturesForOtherServicesAreRefused: another service's signature normalises paths, so one for
// a key would open others. (SeaweedFS CVE-2026-55873: another service's scope reached S3.)
func TestSignaturesForOtherServicesAreRefused(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", "content")
	for _, service := range []string{"s3", "iam", "sts", "kms", "events", "config", "lambda", "unheard-of"} {
		r := httptest.NewRequest("GET", "http://s3.local/bucket/key", http.NoBody)
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		hash := "UNSIGNED-PAYLOAD"
		if service != "s3" {
			hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		}
		if _, err := authn.Sign(r, authn.Signing{
			AccessKeyID: admin.key, Secret: admin.secret, Region: testRegion, Service: service, Time: time.Now(), PayloadHash: hash,
		}); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.serve(w, r)
		if service == "s3" {
			if w.Code != http.StatusOK {
				t.Errorf("s3: %d %s", w.Code, w.Body)
			}
			continue
		}
		if w.Code != http.StatusBadRequest || code(w) != "AuthorizationHeaderMalformed" {
			t.Errorf("%s: %d %s, want 400 AuthorizationHeaderMalformed", service, w.Code, w.Body)
		}
	}
}
