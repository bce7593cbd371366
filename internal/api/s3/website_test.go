package s3

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// visit asks a bucket's website for a path.
func (h *harness) visit(method, bucket, path string, headers ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	r := httptest.NewRequest(method, "http://"+bucket+".s3-website.s3.test"+path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.serve(w, r)
	return w
}

// put stores a configuration.
func (h *harness) configureXML(bucket, sub, body string) *httptest.ResponseRecorder {
	h.t.Helper()
	return h.do(admin, "PUT", "/"+bucket+"?"+sub, body, "Content-Md5", checksumOfBody(body))
}

// open lets everybody read what lies below a prefix of the bucket.
func (h *harness) open(bucket, prefix string) {
	h.t.Helper()
	h.must(admin, "DELETE", "/"+bucket+"?publicAccessBlock", "")
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/` + prefix + `*"}}`
	h.must(admin, "PUT", "/"+bucket+"?policy", document, "Content-Md5", checksumOfBody(document))
}

func newSite(t *testing.T) *harness {
	h := newHarness(t)
	h.must(admin, "PUT", "/site", "")
	for _, key := range []string{"index.html", "error.html", "docs/index.html", "docs/one.html", "secret/page"} {
		h.must(admin, "PUT", "/site/"+key, "this is "+key, "Content-Type", "text/html")
	}
	h.must(admin, "PUT", "/site//evil.example/index.html", "x")
	h.must(admin, "PUT", "/site/old", "", "X-Amz-Website-Redirect-Location", "/docs/one.html")
	if w := h.configureXML("site", "website", `<WebsiteConfiguration>
		<IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>error.html</Key></ErrorDocument>
		<RoutingRules>
			<RoutingRule><Condition><KeyPrefixEquals>a/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>docs/</ReplaceKeyPrefixWith></Redirect></RoutingRule>
			<RoutingRule><Condition><KeyPrefixEquals>report/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>
				<Redirect><Protocol>https</Protocol><HostName>other.example</HostName><ReplaceKeyWith>none ä.html</ReplaceKeyWith><HttpRedirectCode>307</HttpRedirectCode></Redirect></RoutingRule>
		</RoutingRules></WebsiteConfiguration>`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return h
}

func TestWebsite(t *testing.T) {
	h := newSite(t)
	if w := h.visit("GET", "site", "/"); w.Code != 403 || !strings.Contains(w.Body.String(), "<li>Code: AccessDenied</li>") || !strings.Contains(w.Body.String(), "Custom Error Document") {
		t.Errorf("closed: %d %s", w.Code, w.Body)
	}
	h.open("site", "")
	list := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::site/*"},
		{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::site"},
		{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::site/secret/*"}]}`
	h.must(admin, "PUT", "/site?policy", list, "Content-Md5", checksumOfBody(list))

	for _, c := range []struct {
		path     string
		status   int
		contains string // of the body
		location string
	}{
		{"/", 200, "this is index.html", ""},
		{"/?versionId=x&response-content-type=a/b&acl", 200, "this is index.html", ""},
		{"/docs/", 200, "this is docs/index.html", ""},
		{"/docs", 302, "", "/docs/"},
		{"//evil.example", 302, "", "http://site.s3-website.s3.test//evil.example/"},
		{"/docs/one.html", 200, "this is docs/one.html", ""},
		{"/none", 404, "this is error.html", ""},
		{"/secret/page", 403, "this is error.html", ""},
		{"/secret", 404, "this is error.html", ""},
		{"/old", 301, "", "/docs/one.html"},
		{"/a/x%20y?q=1", 301, "", "http://site.s3-website.s3.test/docs/x%20y"},
		{"/a/%0d%0aX:y", 301, "", "http://site.s3-website.s3.test/docs/%0D%0AX:y"},
		{"/report/7", 307, "", "https://other.example/none%20%C3%A4.html"},
		{"/" + strings.Repeat("k", 1100), 400, "KeyTooLongError", ""},
	} {
		w := h.visit("GET", "site", c.path)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.contains) || w.Header().Get("Location") != c.location {
			t.Errorf("%s: %d %q %s", c.path, w.Code, w.Header().Get("Location"), w.Body)
		}
		head := h.visit("HEAD", "site", c.path)
		if head.Code != w.Code || head.Body.Len() != 0 || head.Header().Get("Location") != c.location {
			t.Errorf("HEAD %s: %d %s", c.path, head.Code, head.Body)
		}
	}
	if w := h.visit("GET", "site", "/", "Range", "bytes=0-3"); w.Code != 206 || w.Body.String() != "this" {
		t.Errorf("range: %d %s", w.Code, w.Body)
	}
	etag := map[string][]string(h.visit("GET", "site", "/").Header())["ETag"][0]
	if w := h.visit("GET", "site", "/", "If-None-Match", etag); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("304: %d %s", w.Code, w.Body)
	}
	for _, method := range []string{"PUT", "POST", "DELETE", "OPTIONS"} {
		if w := h.visit(method, "site", "/docs/one.html"); w.Code != 405 || !strings.Contains(w.Body.String(), "MethodNotAllowed") || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
}

// TestWebsiteReadsAsAnonymous: a signature changes nothing, and Block Public Access holds.
func TestWebsiteReadsAsAnonymous(t *testing.T) {
	h := newSite(t)
	r := h.request(admin, "GET", "/", "")
	r.Host, r.URL.Host = "site.s3-website.s3.test", "site.s3-website.s3.test"
	w := httptest.NewRecorder()
	h.serve(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("the administrator's signature: %d %s", w.Code, w.Body)
	}
	h.open("site", "")
	if w := h.visit("GET", "site", "/"); w.Code != 200 {
		t.Fatalf("open: %d", w.Code)
	}
	if w := h.visit("GET", "site", "/none"); w.Code != 403 {
		t.Errorf("who may not list learns what is missing: %d", w.Code)
	}
	block := `<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`
	h.configureXML("site", "publicAccessBlock", block)
	if w := h.visit("GET", "site", "/"); w.Code != 403 {
		t.Errorf("restricted: %d", w.Code)
	}
}

// TestDistribution: the policy of a distribution keeps a bucket closed to everybody else (P06).
func TestDistribution(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", "x")
	want(t, h.putPolicy(admin, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},"Action":"s3:GetObject",
		"Resource":"arn:aws:s3:::bucket/*","Condition":{"StringEquals":{"AWS:SourceArn":"arn:aws:cloudfront::111122223333:distribution/ONE"}}}}`), 204, "")
	if w := h.must(admin, "GET", "/bucket?policyStatus", ""); !strings.Contains(w.Body.String(), "<IsPublic>false</IsPublic>") {
		t.Error(w.Body)
	}
	for arn, status := range map[string]int{"ONE": 200, "TWO": 403} {
		r := httptest.NewRequest("GET", "http://s3.local/bucket/key", nil)
		answer, err := h.server.OnBehalf(t.Context(), &authz.Subject{
			Principal: policy.Principal{Type: policy.Service, ARN: "cloudfront.amazonaws.com"},
			Keys:      fixedKeys{"aws:sourcearn": "arn:aws:cloudfront::111122223333:distribution/" + arn},
		}, r)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != status {
			t.Errorf("%s: %d", arn, answer.StatusCode)
		}
	}
	want(t, h.do(user{}, "GET", "/bucket/key", ""), 403, "AccessDenied")
}

func TestWebsiteErrors(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/plain", "")
	h.must(admin, "PUT", "/plain/key", "x")
	h.open("plain", "")
	for bucket, code := range map[string]string{"plain": "NoSuchWebsiteConfiguration", "nobucket": "NoSuchBucket"} {
		w := h.visit("GET", bucket, "/key")
		if w.Code != 404 || w.Header().Get("X-Amz-Error-Code") != code || !strings.Contains(w.Body.String(), "<li>Code: "+code+"</li>") || !strings.Contains(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %v %s", bucket, w.Code, w.Header(), w.Body)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "<script>.s3-website.s3.test"
	unescaped := httptest.NewRecorder()
	h.serve(unescaped, r)
	if w := unescaped; strings.Contains(w.Body.String(), "<script") {
		t.Errorf("unescaped: %s", w.Body)
	}
	w := h.configureXML("plain", "website", `<WebsiteConfiguration><RedirectAllRequestsTo><HostName>www.example</HostName><Protocol>https</Protocol></RedirectAllRequestsTo></WebsiteConfiguration>`)
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	h.must(admin, "DELETE", "/plain?policy", "")
	if w := h.visit("GET", "plain", "/a%20b?c=d"); w.Code != 301 || w.Header().Get("Location") != "https://www.example/a%20b?c=d" {
		t.Errorf("all: %d %v", w.Code, w.Header())
	}
	h.must(admin, "DELETE", "/plain?website", "")
	if w := h.visit("GET", "plain", "/key"); w.Code != 404 {
		t.Errorf("deleted: %d", w.Code)
	}
}

func TestWebsiteConfigurationIsChecked(t *testing.T) {
	h := newHarness(t)
	h.must(admin, "PUT", "/bucket", "")
	index := `<IndexDocument><Suffix>i</Suffix></IndexDocument>`
	rule := func(inner string) string {
		return index + `<RoutingRules><RoutingRule>` + inner + `</RoutingRule></RoutingRules>`
	}
	for _, c := range []struct{ body, code, message string }{
		{``, "InvalidArgument", "A value for IndexDocument Suffix must be provided"},
		{`<IndexDocument><Suffix>a/b</Suffix></IndexDocument>`, "InvalidArgument", "not well formed"},
		{`<IndexDocument><Suffix></Suffix></IndexDocument>`, "InvalidArgument", "not well formed"},
		{index + `<RedirectAllRequestsTo><HostName>x</HostName></RedirectAllRequestsTo>`, "InvalidArgument", "in conjunction"},
		{`<RedirectAllRequestsTo><HostName>x/y</HostName></RedirectAllRequestsTo>`, "InvalidArgument", "HostName"},
		{rule(`<Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect>`), "InvalidRequest", "not both"},
		{rule(`<Redirect><HttpRedirectCode>200</HttpRedirectCode></Redirect>`), "InvalidRequest", "3XX"},
		{rule(`<Redirect><HttpRedirectCode>300</HttpRedirectCode></Redirect>`), "InvalidRequest", "3XX"},
		{rule(`<Redirect><Protocol>ftp</Protocol></Redirect>`), "", ""},
		{rule(`<Condition></Condition><Redirect><HostName>x</HostName></Redirect>`), "InvalidRequest", "Condition cannot be empty"},
		{rule(`<Condition><HttpErrorCodeReturnedEquals>200</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>x</HostName></Redirect>`), "InvalidRequest", "4XX or 5XX"},
		{index + `<RoutingRules>` + strings.Repeat(`<RoutingRule><Redirect><HostName>x</HostName></Redirect></RoutingRule>`, 51) + `</RoutingRules>`, "InvalidRequest", "51 routing rules"},
	} {
		w := h.configureXML("bucket", "website", `<WebsiteConfiguration>`+c.body+`</WebsiteConfiguration>`)
		if w.Code != 400 || c.code != "" && code(w) != c.code || !strings.Contains(w.Body.String(), c.message) {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
	}
}

func TestRequesterPays(t *testing.T) {
	h := newHarness(t)
	h.addUserOf("444455556666", user{"AKIAOTHEROTHEROTHER1", "other-secret-other-secret-other-secret-1"}, "other", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	other := user{"AKIAOTHEROTHEROTHER1", "other-secret-other-secret-other-secret-1"}
	h.must(admin, "PUT", "/bucket", "")
	h.must(admin, "PUT", "/bucket/key", "x")
	h.open("bucket", "")
	want(t, h.do(other, "GET", "/bucket/key", ""), 200, "")
	want(t, h.configureXML("bucket", "requestPayment", `<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>`), 200, "")
	if w := h.must(admin, "GET", "/bucket?requestPayment", ""); !strings.Contains(w.Body.String(), "<Payer>Requester</Payer>") {
		t.Error(w.Body)
	}
	want(t, h.do(admin, "GET", "/bucket/key", ""), 200, "")
	want(t, h.do(other, "GET", "/bucket/key", ""), 403, "AccessDenied")
	want(t, h.do(user{}, "GET", "/bucket/key", "", "X-Amz-Request-Payer", "requester"), 403, "AccessDenied")
	w := h.do(other, "GET", "/bucket/key", "", "X-Amz-Request-Payer", "requester")
	want(t, w, 200, "")
	if w.Header().Get("X-Amz-Request-Charged") != "requester" {
		t.Error(w.Header())
	}
	h.must(other, "PUT", "/others", "")
	want(t, h.do(other, "PUT", "/others/copy", "", "X-Amz-Copy-Source", "/bucket/key"), 403, "AccessDenied")
	want(t, h.do(other, "PUT", "/others/copy", "", "X-Amz-Copy-Source", "/bucket/key", "X-Amz-Request-Payer", "requester"), 200, "")
}
