package acceptance

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// chromium is the browser, "" where there is none.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if hasClient(name) {
			return name
		}
	}
	t.Skip("=== SKIPPED: no Chromium; nobody looked at Kura with a browser ===")
	return ""
}

// browse opens an address and gives the page as it is when its scripts have come to rest. All names
// below kura.test are the server.
func (s *server) browse(t *testing.T, address string) string {
	t.Helper()
	plain, err := url.Parse(s.plain)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium(t),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--user-data-dir="+t.TempDir(), "--ignore-certificate-errors", "--host-resolver-rules=MAP *.kura.test:80 "+plain.Host,
		"--virtual-time-budget=8000", "--dump-dom", address)
	var told bytes.Buffer
	cmd.Stderr = &told
	page, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", address, err, told.Bytes())
	}
	return string(page)
}

// store puts objects by key.
func store(t *testing.T, c *s3.Client, bucket string, objects map[string]string) {
	t.Helper()
	for key, body := range objects {
		if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &bucket, Key: &key, Body: strings.NewReader(body), ContentType: aws.String("text/html"),
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// public makes a bucket that everybody may read.
func public(t *testing.T, c *s3.Client, bucket string) {
	t.Helper()
	ctx := t.Context()
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	if err == nil {
		_, err = c.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: &bucket})
	}
	if err == nil {
		_, err = c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: aws.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/*"}}`)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fetching is a page that fetches an address and shows what came of it.
func fetching(address, options string) string {
	return fmt.Sprintf(`<p id="out">waiting</p><script>
		const out = document.getElementById("out");
		fetch(%q, %s).then(r => r.text().then(t => out.textContent = "status " + r.status + ", etag " + (r.headers.get("ETag") || "hidden") + ", text " + t))
			.catch(e => out.textContent = "refused by the browser");
	</script>`, address, options)
}

func TestBrowser(t *testing.T) {
	chromium(t)
	s := serve(t, "--domain", "kura.test", "--allow-sse-c")
	c, ctx := s.s3(t, s.plain), t.Context()
	public(t, c, "site")
	if _, err := c.PutBucketWebsite(ctx, &s3.PutBucketWebsiteInput{Bucket: aws.String("site"), WebsiteConfiguration: &types.WebsiteConfiguration{
		IndexDocument: &types.IndexDocument{Suffix: aws.String("index.html")}, ErrorDocument: &types.ErrorDocument{Key: aws.String("error.html")},
	}}); err != nil {
		t.Fatal(err)
	}
	const site = "http://site.s3-website.kura.test"
	expect := func(t *testing.T, address, want string) {
		t.Helper()
		if page := s.browse(t, address); !strings.Contains(page, want) {
			t.Errorf("%s does not show %q:\n%s", address, want, page)
		}
	}

	t.Run("a website is read", func(t *testing.T) {
		store(t, c, "site", map[string]string{
			"index.html": "<h1>welcome</h1>", "docs/index.html": `<h1>the docs</h1>`, "error.html": "<h1>not here</h1>",
		})
		expect(t, site, "<h1>welcome</h1>")
		expect(t, site+"/docs", "<h1>the docs</h1>") // by a redirect
		expect(t, site+"/none", "<h1>not here</h1>")
	})

	t.Run("a page of another origin reads what the rules allow", func(t *testing.T) {
		public(t, c, "data")
		store(t, c, "data", map[string]string{"answer": "42"})
		store(t, c, "site", map[string]string{"fetch.html": fetching("http://data.kura.test/answer", "{}")})
		expect(t, site+"/fetch.html", "refused by the browser")
		allow(t, c, "data", site, "GET")
		expect(t, site+"/fetch.html", `status 200, etag "a1d0c6e83f027327d8461063f4ac58a6", text 42`)
	})

	t.Run("a page uploads to a presigned address after a preflight", func(t *testing.T) {
		allow(t, c, "data", site, "PUT")
		signer := s3.NewPresignClient(c)
		signed, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String("data"), Key: aws.String("up load.txt"), ContentType: aws.String("text/x-kura"), Metadata: map[string]string{"from": "browser"},
		})
		if err != nil {
			t.Fatal(err)
		}
		options := `{method: "PUT", body: "from the page", headers: {"Content-Type": "text/x-kura", "x-amz-meta-from": "browser"}}`
		store(t, c, "site", map[string]string{"put.html": fetching(signed.URL, options)})
		expect(t, site+"/put.html", "status 200")
		got, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("data"), Key: aws.String("up load.txt")})
		if err != nil || aws.ToInt64(got.ContentLength) != int64(len("from the page")) || aws.ToString(got.ContentType) != "text/x-kura" {
			t.Errorf("stored %+v, %v", got, err)
		}
		allow(t, c, "data", site, "GET")
		expect(t, site+"/put.html", "refused by the browser")
	})

	t.Run("a form uploads a file", func(t *testing.T) { s.formUpload(t, c, site) })

	t.Run("a presigned address opens", func(t *testing.T) { s.presigned(t) })
	t.Run("a presigned address of SSE-C does not", func(t *testing.T) { s.presignedSSEC(t) })
}

// allow sets one rule for cross-origin requests.
func allow(t *testing.T, c *s3.Client, bucket, origin, method string) {
	t.Helper()
	if _, err := c.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{Bucket: &bucket, CORSConfiguration: &types.CORSConfiguration{
		CORSRules: []types.CORSRule{{AllowedOrigins: []string{origin}, AllowedMethods: []string{method}, AllowedHeaders: []string{"*"}, ExposeHeaders: []string{"ETag"}}},
	}}); err != nil {
		t.Fatal(err)
	}
}

// formUpload submits a form with a signed policy and follows it to where it redirects.
func (s *server) formUpload(t *testing.T, c *s3.Client, site string) {
	ctx := t.Context()
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("inbox")}); err != nil {
		t.Fatal(err)
	}
	store(t, c, "site", map[string]string{"done.html": `<p id="out"></p><script>document.getElementById("out").textContent = "uploaded " + location.search</script>`})
	form := func(key string) string {
		signed, err := s3.NewPresignClient(c).PresignPostObject(ctx, &s3.PutObjectInput{Bucket: aws.String("inbox"), Key: aws.String("in/${filename}")}, func(o *s3.PresignPostOptions) {
			o.Conditions = []any{
				[]any{"starts-with", "$key", "in/"}, []any{"content-length-range", 1, 100},
				map[string]string{"success_action_redirect": site + "/done.html"}, []any{"starts-with", "$Content-Type", "text/"},
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		b.WriteString(`<form method="post" enctype="multipart/form-data" action="http://inbox.kura.test/">`)
		for name, value := range signed.Values {
			if name == "key" {
				value = key
			}
			fmt.Fprintf(&b, `<input name="%s" value="%s">`, name, value)
		}
		fmt.Fprintf(&b, `<input name="success_action_redirect" value="%s/done.html"><input name="Content-Type" value="text/plain"><input type="file" name="file"></form>`, site)
		b.WriteString(`<script>const d = new DataTransfer(); d.items.add(new File(["from a form"], "note ä.txt")); document.querySelector("input[type=file]").files = d.files; document.forms[0].submit()</script>`)
		return b.String()
	}
	store(t, c, "site", map[string]string{"form.html": `<meta charset="utf-8">` + form("in/${filename}"), "bad.html": form("out/${filename}")})
	if page := s.browse(t, site+"/form.html"); !strings.Contains(page, "uploaded ?bucket=inbox&amp;key=in%2Fnote+%C3%A4.txt&amp;etag=") {
		t.Errorf("the form ended at:\n%s", page)
	}
	if got, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("inbox"), Key: aws.String("in/note ä.txt")}); err != nil || aws.ToInt64(got.ContentLength) != 11 || aws.ToString(got.ContentType) != "text/plain" {
		t.Errorf("stored %+v, %v", got, err)
	}
	if page := s.browse(t, site+"/bad.html"); !strings.Contains(page, "Policy Condition failed") {
		t.Errorf("a form against its policy ended at:\n%s", page)
	}
}

// presigned opens addresses of objects in a bucket that is closed and wants TLS.
func (s *server) presigned(t *testing.T) {
	c, ctx := s.s3(t, s.secure), t.Context()
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("closed")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String("closed"), Policy: aws.String(
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::closed/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}}`)}); err != nil {
		t.Fatal(err)
	}
	store(t, c, "closed", map[string]string{"page": "<h1>for your eyes</h1>"})
	signer := s3.NewPresignClient(c)
	open, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("closed"), Key: aws.String("page")})
	if err != nil {
		t.Fatal(err)
	}
	if page := s.browse(t, open.URL); !strings.Contains(page, "<h1>for your eyes</h1>") {
		t.Errorf("presigned:\n%s", page)
	}
	if page := s.browse(t, strings.Replace(open.URL, "closed/page", "closed/other", 1)); !strings.Contains(page, "SignatureDoesNotMatch") {
		t.Errorf("presigned for another key:\n%s", page)
	}
}

// presignedSSEC: the key of such an object travels in headers, which no browser sends by itself.
func (s *server) presignedSSEC(t *testing.T) {
	c, ctx := s.s3(t, s.secure), t.Context()
	key := strings.Repeat("k", 32)
	sum := md5.Sum([]byte(key))
	algorithm, encoded, digest := aws.String("AES256"), aws.String(base64.StdEncoding.EncodeToString([]byte(key))), aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("closed"), Key: aws.String("own"), Body: strings.NewReader("<h1>mine</h1>"), ContentType: aws.String("text/html"),
		SSECustomerAlgorithm: algorithm, SSECustomerKey: encoded, SSECustomerKeyMD5: digest})
	if err != nil {
		t.Fatal(err)
	}
	signer := s3.NewPresignClient(c)
	plain, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("closed"), Key: aws.String("own")})
	if err != nil {
		t.Fatal(err)
	}
	if page := s.browse(t, plain.URL); strings.Contains(page, "mine") || !strings.Contains(page, "InvalidRequest") {
		t.Errorf("without the key:\n%s", page)
	}
	signed, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("closed"), Key: aws.String("own"),
		SSECustomerAlgorithm: algorithm, SSECustomerKey: encoded, SSECustomerKeyMD5: digest})
	if err != nil {
		t.Fatal(err)
	}
	if page := s.browse(t, signed.URL); strings.Contains(page, "mine") || !strings.Contains(page, "SignatureDoesNotMatch") {
		t.Errorf("without the headers that were signed:\n%s", page)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, signed.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = signed.SignedHeader
	answer, err := loose.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "<h1>mine</h1>" {
		t.Errorf("with the headers that were signed: %d %s %v", answer.StatusCode, body, err)
	}
}
