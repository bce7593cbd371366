package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// deliver puts a log file as the service principal of log delivery, for a source bucket.
func (h *harness) deliver(bucket, key, body, source string) *http.Response {
	h.t.Helper()
	as := &authz.Subject{
		Principal: policy.Principal{Type: policy.Service, ARN: "logging.s3.amazonaws.com"},
		Keys:      fixedKeys{"aws:sourcearn": "arn:aws:s3:::" + source},
	}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPut, "http://s3.local/"+bucket+"/"+key, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := h.server.OnBehalf(h.t.Context(), as, r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

type fixedKeys map[string]string

func (k fixedKeys) Lookup(key string) (policy.Values, bool) {
	v, ok := k[key]
	return policy.Values{One: v}, ok
}

func TestARequestOnBehalfIsJudgedLikeAnyOther(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	if answer := h.deliver("bucket", "one", "text", "source"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("without a policy: %d", answer.StatusCode)
	}
	want(t, h.putPolicy(admin, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},
		"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::source"}}}}`), 204, "")
	if answer := h.deliver("bucket", "one", "text", "other"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("for another source: %d", answer.StatusCode)
	}
	if answer := h.deliver("bucket", "one", "text", "source"); answer.StatusCode != http.StatusOK || answer.Header.Get("Etag") == "" {
		t.Errorf("allowed: %d %v", answer.StatusCode, answer.Header)
	}
	if got := h.must(admin, "GET", "/bucket/one", "").Body.String(); got != "text" {
		t.Errorf("stored %q", got)
	}
}

func TestAnAnswerOnBehalfStreams(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	body := strings.Repeat("0123456789", 1<<20)
	h.must(admin, "PUT", "/bucket/key", body)
	as := h.users[admin.key].Subject
	get := func(ctx context.Context) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://s3.local/bucket/key", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := h.server.OnBehalf(ctx, &as, r)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	answer := get(t.Context())
	got, err := io.ReadAll(answer.Body)
	if err != nil || string(got) != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	answer.Body.Close()

	// Whoever closes early gets no more, and the answer ends.
	answer = get(t.Context())
	answer.Body.Close()
	if _, err := answer.Body.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after close: %v", err)
	}
}

// TestADeliveryForTheOwnerNeedsPutObjectAlone: the policies that AWS documents for log delivery and
// inventory ask for this ACL and allow no s3:PutObjectAcl.
func TestADeliveryForTheOwnerNeedsPutObjectAlone(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	want(t, h.putPolicy(admin, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"s3:PutObject",
		"Resource":"arn:aws:s3:::bucket/*","Condition":{"StringEquals":{"s3:x-amz-acl":"bucket-owner-full-control"}}}}`), 204, "")
	for acl, status := range map[string]int{"bucket-owner-full-control": 200, "private": 403, "": 403} {
		as := &authz.Subject{Principal: policy.Principal{Type: policy.Service, ARN: "s3.amazonaws.com"}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://s3.local/bucket/key", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if acl != "" {
			r.Header.Set("X-Amz-Acl", acl)
		}
		answer, err := h.server.OnBehalf(t.Context(), as, r)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != status {
			t.Errorf("%q: %d", acl, answer.StatusCode)
		}
	}
}
