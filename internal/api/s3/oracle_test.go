package s3

import (
	"net/http"
	"strings"
	"testing"
)

// TestConditionsAreNoOracle: who may only write or only delete learns nothing of what is stored, not
// through If-Match either: the answer is the same for keys that exist and keys that do not.
func TestConditionsAreNoOracle(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	writer := user{"AKIAWRITERWRITERWRIT", "writer-secret-writer-secret-writer-secr"}
	h.addUser(writer, "writer", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:PutObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::bucket/*"}}`)
	etag := h.must(admin, "PUT", "/bucket/there", "content").Header()[etagHeader][0]
	for _, method := range []string{"PUT", "DELETE"} {
		for _, tag := range []string{etag, `"0123456789abcdef0123456789abcdef"`} {
			for _, key := range []string{"there", "missing"} {
				if w := h.do(writer, method, "/bucket/"+key, "x", "If-Match", tag); w.Code != http.StatusForbidden || code(w) != "AccessDenied" {
					t.Errorf("%s %s: %d %s", method, key, w.Code, w.Body)
				}
			}
		}
	}
	doc := `<Delete><Object><Key>there</Key><ETag>` + etag + `</ETag></Object><Object><Key>missing</Key><ETag>` + etag + `</ETag></Object></Delete>`
	w := h.do(writer, "POST", "/bucket?delete", doc, "Content-Md5", checksumOfBody(doc))
	if n := strings.Count(w.Body.String(), "<Code>AccessDenied</Code>"); n != 2 {
		t.Errorf("multi-delete: %d %s", w.Code, w.Body)
	}
	h.must(writer, "PUT", "/bucket/there", "new")
	if w := h.do(admin, "PUT", "/bucket/there", "x", "If-Match", etag); w.Code != http.StatusPreconditionFailed {
		t.Errorf("a reader's condition: %d", w.Code)
	}
}
