package s3

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
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
