package s3

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPostForms: uploads by an HTML form run under the same signature, permission and record as a
// PUT, and under their own policy besides.
func TestPostForms(t *testing.T) {
	const far = `{"expiration":"2100-01-01T00:00:00Z","conditions":[`
	const plain = far + `{"bucket":"bucket"},["starts-with","$key",""]]}`
	for _, c := range []struct {
		name, policy string
		fields       [][2]string
		user         user
		file         string
		status       int
		code         string
	}{
		{name: "plain", policy: plain, fields: [][2]string{{"key", "k"}}, status: 204},
		{name: "200", policy: far + `{"bucket":"bucket"},["eq","$key","k"],{"success_action_status":"200"}]}`, fields: [][2]string{{"key", "k"}, {"success_action_status", "200"}}, status: 200},
		{name: "201", policy: far + `{"bucket":"bucket"},["eq","$key","k"],["starts-with","$success_action_status",""]]}`, fields: [][2]string{{"key", "k"}, {"success_action_status", "201"}}, status: 201},
		{name: "redirect", policy: far + `{"bucket":"bucket"},["eq","$key","k"],["starts-with","$success_action_redirect",""]]}`, fields: [][2]string{{"key", "k"}, {"success_action_redirect", "https://example.com/x?y=1"}}, status: 303},
		{name: "redirect elsewhere", policy: far + `{"bucket":"bucket"},["eq","$key","k"],["starts-with","$success_action_redirect",""]]}`, fields: [][2]string{{"key", "k"}, {"success_action_redirect", "javascript:alert(1)"}}, status: 204},
		{name: "file name", policy: plain, fields: [][2]string{{"key", "up/${filename}"}}, status: 204},
		{name: "metadata", policy: far + `{"bucket":"bucket"},["eq","$key","k"],{"x-amz-meta-a":"b"},["starts-with","$Content-Type","text/"]]}`, fields: [][2]string{{"key", "k"}, {"x-amz-meta-a", "b"}, {"Content-Type", "text/plain"}}, status: 204},

		{name: "key outside the policy", policy: far + `{"bucket":"bucket"},["starts-with","$key","up/"]]}`, fields: [][2]string{{"key", "elsewhere"}}, status: 403, code: "AccessDenied"},
		{name: "field outside the policy", policy: plain, fields: [][2]string{{"key", "k"}, {"x-amz-meta-a", "b"}}, status: 403, code: "AccessDenied"},
		{name: "another bucket", policy: far + `{"bucket":"other"},["starts-with","$key",""]]}`, fields: [][2]string{{"key", "k"}}, status: 403, code: "AccessDenied"},
		{name: "no bucket condition", policy: far + `["starts-with","$key",""]]}`, fields: [][2]string{{"key", "k"}}, status: 403, code: "AccessDenied"},
		{name: "expired", policy: `{"expiration":"2001-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},["starts-with","$key",""]]}`, fields: [][2]string{{"key", "k"}}, status: 403, code: "AccessDenied"},
		{name: "too large", policy: far + `{"bucket":"bucket"},["starts-with","$key",""],["content-length-range",0,3]]}`, fields: [][2]string{{"key", "k"}}, status: 400, code: "EntityTooLarge"},
		{name: "too small", policy: far + `{"bucket":"bucket"},["starts-with","$key",""],["content-length-range",100,200]]}`, fields: [][2]string{{"key", "k"}}, status: 400, code: "EntityTooSmall"},
		{name: "no key", policy: plain, status: 400, code: "InvalidArgument"},
		{name: "public ACL", policy: far + `{"bucket":"bucket"},["eq","$key","k"],{"acl":"public-read"}]}`, fields: [][2]string{{"key", "k"}, {"acl", "public-read"}}, status: 400, code: "AccessControlListNotSupported"},
		{name: "reader may not write", user: stranger, policy: plain, fields: [][2]string{{"key", "k"}}, status: 403, code: "AccessDenied"},
		{name: "unknown key id", user: user{"AKIAUNKNOWN", "x"}, policy: plain, fields: [][2]string{{"key", "k"}}, status: 403, code: "InvalidAccessKeyId"},
		{name: "wrong secret", user: user{admin.key, "wrong"}, policy: plain, fields: [][2]string{{"key", "k"}}, status: 403, code: "SignatureDoesNotMatch"},
		{name: "anonymous", fields: [][2]string{{"key", "k"}}, status: 403, code: "AccessDenied"},
		{name: "fields too large", fields: [][2]string{{"key", "k"}, {"x-ignore-1", strings.Repeat("x", 30<<10)}}, status: 400, code: "MaxMessageLengthExceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t)
			h.must(admin, "PUT", "/bucket", "")
			h.must(admin, "PUT", "/other", "")
			u := c.user
			if u.key == "" {
				u = admin
			}
			fields := c.fields
			if c.policy != "" {
				fields = append(fields, h.signPolicy(u, c.policy)...)
			}
			w := h.sendForm("/bucket", fields, "file.txt", "content")
			if w.Code != c.status || code(w) != c.code && !strings.Contains(c.code, "Argument") {
				t.Fatalf("%d %s, want %d %s\n%s", w.Code, code(w), c.status, c.code, w.Body)
			}
			stored := len(h.must(admin, "GET", "/bucket?list-type=2", "").Body.String()) > 0 && strings.Contains(h.must(admin, "GET", "/bucket?list-type=2", "").Body.String(), "<Contents>")
			if stored != (c.status < 400) {
				t.Errorf("stored: %v", stored)
			}
			if c.name == "redirect" && !strings.HasPrefix(w.Header().Get("Location"), "https://example.com/x?y=1&bucket=bucket&key=k&etag=") {
				t.Errorf("redirected to %q", w.Header().Get("Location"))
			}
			if c.name == "file name" && h.must(admin, "GET", "/bucket/up/file.txt", "").Body.String() != "content" {
				t.Error("not stored under the file's name")
			}
		})
	}
}

// TestPostWithoutFile and other bodies that are no form.
func TestPostBodies(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	for name, body := range map[string]string{
		"empty":        "",
		"garbage":      "no form at all",
		"no file":      "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--b--\r\n",
		"cut":          "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk",
		"many fields":  strings.Repeat("--b\r\nContent-Disposition: form-data; name=\"x-ignore\"\r\n\r\nk\r\n", 200),
		"twice a key":  "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--b\r\nContent-Disposition: form-data; name=\"Key\"\r\n\r\nl\r\n--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n",
		"crlf in name": "--b\r\nContent-Disposition: form-data; name=\"a\\\r\n b\"\r\n\r\nk\r\n--b--\r\n",
	} {
		r := httptest.NewRequest("POST", "http://s3.local/bucket", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		w := httptest.NewRecorder()
		h.serve(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "http://s3.local/bucket", strings.NewReader("key=k"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.serve(w, r)
	if w.Code < http.StatusBadRequest {
		t.Errorf("a form of another kind: %d", w.Code)
	}
}
