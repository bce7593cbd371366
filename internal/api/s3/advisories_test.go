package s3

import (
	"strings"
	"testing"
)

// TestCVE20201760OverridesNeedASignature: an anonymous link must not choose how a browser treats an
// object.
func TestCVE20201760OverridesNeedASignature(t *testing.T) {
	h := newOpenBucket(t)
	want(t, h.putPolicy(admin, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}}`), 204, "")
	want(t, h.do(user{}, "GET", "/bucket/key", ""), 200, "")
	for _, name := range []string{"content-type", "content-disposition", "content-encoding", "content-language", "cache-control", "expires"} {
		w := h.do(user{}, "GET", "/bucket/key?response-"+name+"=text%2Fhtml", "")
		want(t, w, 400, "InvalidRequest")
		w = h.do(admin, "GET", "/bucket/key?response-"+name+"=text%2Fhtml", "")
		want(t, w, 200, "")
	}
}

// TestCVE202010753ReflectedFieldsHaveNoLines: nothing that a client stores can begin a header of its own
// when it is given back (Ceph CVE-2015-5245, CVE-2020-10753, CVE-2021-3524).
func TestCVE202010753ReflectedFieldsHaveNoLines(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	for _, breaks := range []string{"%0d%0aX-Evil:%20yes", "%0aX-Evil:%20yes", "%0dX-Evil:%20yes"} {
		h.must(admin, "PUT", "/bucket/key", "content")
		for _, uri := range []string{
			"/bucket/key?response-content-type=text/plain" + breaks, "/bucket/key?response-cache-control=x" + breaks,
			"/bucket" + breaks, "/bucket/key" + breaks, "/bucket?list-type=2&prefix=x" + breaks, "/bucket?cors" + breaks,
		} {
			w := h.do(admin, "GET", uri, "")
			for name, values := range w.Result().Header {
				if strings.EqualFold(name, "X-Evil") || strings.ContainsAny(strings.Join(values, ""), "\r\n") {
					t.Errorf("%s: header %s: %q", uri, name, values)
				}
			}
		}
	}
	for _, value := range []string{"a\r\nX-Evil: yes", "a\nX-Evil: yes", "a\rX-Evil: yes"} {
		cors := `<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><ExposeHeader>` +
			strings.NewReplacer("\r", "&#13;", "\n", "&#10;").Replace(value) + `</ExposeHeader></CORSRule></CORSConfiguration>`
		w := h.do(admin, "PUT", "/bucket?cors", cors, "Content-Md5", checksumOfBody(cors))
		if w.Code == 200 {
			w = h.do(admin, "GET", "/bucket/key", "", "Origin", "https://a.example")
			if got := w.Header()["Access-Control-Expose-Headers"]; strings.ContainsAny(strings.Join(got, ""), "\r\n") {
				t.Errorf("%q is given back as %q", value, got)
			}
		}
	}
}

// TestCVE201816846PagesAreBounded: whatever number a client asks for.
func TestCVE201816846PagesAreBounded(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	for _, uri := range []string{"/bucket?max-keys=2147483647", "/bucket?list-type=2&max-keys=2147483647", "/bucket?versions&max-keys=2147483647"} {
		if w := h.must(admin, "GET", uri, ""); !strings.Contains(w.Body.String(), "<MaxKeys>1000</MaxKeys>") {
			t.Errorf("%s: %s", uri, w.Body)
		}
	}
	if w := h.must(admin, "GET", "/bucket?uploads&max-uploads=2147483647", ""); !strings.Contains(w.Body.String(), "<MaxUploads>1000</MaxUploads>") {
		t.Error(w.Body)
	}
}
