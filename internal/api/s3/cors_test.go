package s3

import (
	"strings"
	"testing"
)

func TestCORS(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", "x")
	ask := func(uri, origin, method, headers string) (status int, got string) {
		t.Helper()
		list := []string{}
		for name, v := range map[string]string{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers} {
			if v != "" {
				list = append(list, name, v)
			}
		}
		w := h.do(user{}, "OPTIONS", uri, "", list...)
		if w.Code != 200 {
			if len(w.Header().Values("Access-Control-Allow-Origin")) > 0 {
				t.Errorf("%s %s: allowed in a refusal", uri, origin)
			}
			_, text, _ := strings.Cut(w.Body.String(), "<Message>")
			text, _, _ = strings.Cut(text, "</Message>")
			return w.Code, code(w) + ": " + text
		}
		return w.Code, w.Header().Get("Access-Control-Allow-Origin") + " " + w.Header().Get("Access-Control-Allow-Headers") + " " + w.Header().Get("Access-Control-Max-Age")
	}
	if status, got := ask("/bucket/key", "https://app.example", "PUT", ""); status != 403 || got != "AccessForbidden: CORSResponse: CORS is not enabled for this bucket." {
		t.Errorf("%d %s", status, got)
	}
	if status, got := ask("/nobucket/key", "https://app.example", "PUT", ""); status != 403 || got != "AccessForbidden: CORSResponse: Bucket not found" {
		t.Errorf("%d %s", status, got)
	}
	want(t, h.configureXML("bucket", "cors", `<CORSConfiguration>
		<CORSRule><AllowedMethod>PUT</AllowedMethod><AllowedMethod>GET</AllowedMethod><AllowedOrigin>https://*.example</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader><AllowedHeader>Content-Type</AllowedHeader>
			<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>300</MaxAgeSeconds></CORSRule>
		<CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>`), 200, "")
	const no = "AccessForbidden: CORSResponse: This CORS request is not allowed."
	for _, c := range []struct {
		origin, method, headers string
		status                  int
		got                     string
	}{
		{"https://app.example", "PUT", "X-Amz-Date, content-type", 200, "https://app.example x-amz-date, content-type 300"},
		{"https://app.example", "PUT", "authorization", 403, no},
		{"https://app.example", "DELETE", "", 403, no},
		{"https://app.example.evil", "PUT", "", 403, no},
		{"http://else.where", "GET", "", 200, "*  "},
		{"http://else.where", "GET", "x-any", 403, no},
		{"", "GET", "", 400, "BadRequest: Insufficient information. Origin request header needed."},
		{"https://app.example", "", "", 400, "BadRequest: Invalid Access-Control-Request-Method: null"},
		{"https://app.example\u00e4.example", "GET", "", 403, no},
	} {
		if status, got := ask("/bucket/key?partNumber=1&uploadId=x&X-Amz-Signature=y", c.origin, c.method, c.headers); status != c.status || !strings.HasPrefix(got, c.got) {
			t.Errorf("%+v: %d %q", c, status, got)
		}
	}
	// The answer to the request itself says the same, refused or not.
	w := h.do(user{}, "GET", "/bucket/key", "", "Origin", "https://app.example")
	want(t, w, 403, "AccessDenied")
	for name, v := range map[string]string{
		"Access-Control-Allow-Origin": "https://app.example", "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "PUT, GET",
		"Access-Control-Expose-Headers": "ETag", "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
	} {
		if got := w.Header().Get(name); got != v {
			t.Errorf("%s: %q", name, got)
		}
	}
	w = h.must(admin, "GET", "/bucket/key", "", "Origin", "http://else.where")
	if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Error(w.Header())
	}
	if w = h.must(admin, "DELETE", "/bucket/key", "", "Origin", "http://else.where"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error(w.Header())
	}
	h.must(admin, "DELETE", "/bucket?cors", "")
	want(t, h.do(admin, "GET", "/bucket?cors", ""), 404, "NoSuchCORSConfiguration")
}

func TestCORSConfigurationIsChecked(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	rule := `<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>`
	for _, c := range []struct{ rule, code, message string }{
		{`<AllowedMethod>GET</AllowedMethod>`, "MalformedXML", ""},
		{`<AllowedMethod>PATCH</AllowedMethod><AllowedOrigin>*</AllowedOrigin>`, "InvalidRequest", "Unsupported method is PATCH"},
		{`<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*.a.*</AllowedOrigin>`, "InvalidRequest", "more than one wildcard"},
		{rule + `<AllowedHeader>a*b*</AllowedHeader>`, "InvalidRequest", "more than one wildcard"},
		{rule + `<ExposeHeader>x-*</ExposeHeader>`, "InvalidRequest", "contains wildcard"},
		{rule + "<ExposeHeader>x\r\nSet-Cookie: a</ExposeHeader>", "InvalidRequest", "invalid character"},
		{rule + "<ExposeHeader>x&#13;&#10;Set-Cookie</ExposeHeader>", "InvalidRequest", "invalid character"},
		{rule + `<MaxAgeSeconds>-1</MaxAgeSeconds>`, "InvalidRequest", "negative"},
		{rule + strings.Repeat(`</CORSRule><CORSRule>`+rule, 100), "InvalidRequest", "100 rules"},
	} {
		w := h.configureXML("bucket", "cors", `<CORSConfiguration><CORSRule>`+c.rule+`</CORSRule></CORSConfiguration>`)
		if w.Code != 400 || code(w) != c.code || !strings.Contains(w.Body.String(), c.message) {
			t.Errorf("%.100s: %d %s", c.rule, w.Code, w.Body)
		}
	}
	want(t, h.do(admin, "PUT", "/bucket?cors", corsSample), 400, "InvalidRequest")
}
