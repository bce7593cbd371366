package s3

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/object"
)

// discard is a ResponseWriter that costs nothing, so that a benchmark counts the staircase alone.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// replay serves copies of one signed request.
func replay(b *testing.B, h *harness, r *http.Request, body string) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	w := &discard{h: make(http.Header, 16)}
	for b.Loop() {
		clear(w.h)
		once := *r
		once.Body = io.NopCloser(strings.NewReader(body))
		h.server.ServeHTTP(w, &once)
	}
}

func BenchmarkPutObject4K(b *testing.B) {
	h := newHarness(b)
	h.must(admin, "PUT", "/bucket", "")
	body := strings.Repeat("x", 4096)
	replay(b, h, h.request(admin, "PUT", "/bucket/key", body), body)
}

func BenchmarkGetObject4K(b *testing.B) {
	h := newHarness(b)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", strings.Repeat("x", 4096))
	replay(b, h, h.request(admin, "GET", "/bucket/key", ""), "")
}

func BenchmarkHeadObject(b *testing.B) {
	h := newHarness(b)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", strings.Repeat("x", 4096))
	replay(b, h, h.request(admin, "HEAD", "/bucket/key", ""), "")
}

func BenchmarkDeleteObjects(b *testing.B) {
	h := newHarness(b)
	h.must(admin, "PUT", "/bucket", "")
	var doc bytes.Buffer
	doc.WriteString("<Delete>")
	for range 1000 {
		doc.WriteString("<Object><Key>some/prefix/key</Key></Object>")
	}
	doc.WriteString("</Delete>")
	sum := checksumOfBody(doc.String())
	replay(b, h, h.request(admin, "POST", "/bucket?delete", doc.String(), "Content-Md5", sum), doc.String())
}

// BenchmarkPolicies reads from a bucket with a policy of ten statements, alone and among 10,000 others
// that have one too: a request must not notice them. Beside it, the same read where no policy is.
func BenchmarkPolicies(b *testing.B) {
	statements := make([]string, 10)
	for i := range statements {
		statements[i] = fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/%d/*"}`, otherAccount, i)
	}
	document := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	for _, c := range []struct {
		name    string
		buckets int
		policy  bool
	}{{"none", 1, false}, {"one", 1, true}, {"10000", 10000, true}} {
		b.Run(c.name, func(b *testing.B) {
			h := newAccessHarness(b)
			h.must(admin, "PUT", "/bucket", "")
			h.must(admin, "PUT", "/bucket/key", "content")
			if c.policy {
				h.config("policy", document)
			}
			g := authztest.Grant(b, "s3:CreateBucket", "*")
			for i := range c.buckets - 1 {
				name := fmt.Sprintf("bucket-%d", i)
				_, err := h.objects.CreateBucket(b.Context(), g, object.CreateBucketInput{
					Name: name, Region: testRegion, Owner: object.Owner{Account: testAccount, Canonical: canonicalID(testAccount)},
					Settings: map[string][]byte{settingPolicy: []byte(strings.ReplaceAll(document, ":::bucket/", ":::"+name+"/"))},
				})
				if err != nil {
					b.Fatal(err)
				}
				h.do(user{}, "HEAD", "/"+name, "")
			}
			replay(b, h, h.request(admin, "GET", "/bucket/key", ""), "")
		})
	}
}

// BenchmarkEncryption compares SSE-S3 with SSE-KMS under a bucket key.
func BenchmarkEncryption(b *testing.B) {
	body := strings.Repeat("x", 4096)
	for _, algorithm := range []string{"AES256", "aws:kms"} {
		for _, method := range []string{"PUT", "GET", "HEAD"} {
			b.Run(algorithm+"/"+method, func(b *testing.B) {
				h := newHarness(b)
				h.peer.Secure = true
				h.must(admin, "PUT", "/bucket", "")
				h.encryptBucket("bucket", algorithm, "", algorithm != "AES256")
				h.must(admin, "PUT", "/bucket/key", body)
				sent := ""
				if method == "PUT" {
					sent = body
				}
				replay(b, h, h.request(admin, method, "/bucket/key", sent), sent)
			})
		}
	}
}
