package iam_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
)

// TestS3SignaturesOpenNoOtherService: S3 signs no body. A URL presigned for S3, its parameter's name
// escaped so that routing overlooks it, or a decoy beside it, must not carry an IAM action.
func TestS3SignaturesOpenNoOtherService(t *testing.T) {
	h := newHarness(t)
	for _, uri := range []string{"/", "/?ZX-Amz-Credential=A%2F1%2Fr%2Fiam%2Faws4_request"} {
		body := "Action=CreateUser&Version=2010-05-08&UserName=smuggled"
		r := httptest.NewRequest("POST", "http://kura.local"+uri, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		signed, err := authn.Presign(r, authn.Signing{
			AccessKeyID: h.admin.key, Secret: h.admin.secret, Region: testRegion, Service: "s3", Time: h.clock.Now(),
		}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = strings.Replace(u.RawQuery, "&X-Amz-Credential=", "&X-Amz-%43redential=", 1)
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		if w.Code < http.StatusBadRequest || !strings.Contains(w.Body.String(), "incorrect service") {
			t.Errorf("%s: %d %s, want a refusal of the foreign signature", uri, w.Code, w.Body)
		}
	}
	if a := h.call(h.admin, "iam", "GetUser", "UserName", "smuggled"); a.status != http.StatusNotFound {
		t.Errorf("the user is there: %d %s", a.status, a.body)
	}
}
