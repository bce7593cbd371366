package replication

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/object"
)

// anywhere is what a rule says that says nothing.
var anywhere = &object.ReplicationDestination{}

// endpoint is an Endpoint whose bucket keeps versions, and whose other requests fn answers.
func endpoint(t *testing.T, fn http.HandlerFunc) *Endpoint {
	t.Helper()
	return bareEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.RequestURI == "/there?versioning=" {
			_, _ = io.WriteString(w, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
			return
		}
		fn(w, r)
	})
}

func bareEndpoint(t *testing.T, fn http.HandlerFunc) *Endpoint {
	t.Helper()
	server := httptest.NewServer(fn)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return NewEndpoint(EndpointConfig{
		URL: u, Bucket: "there", Region: "eu-west-1", Credentials: Credentials{AccessKeyID: "AKIA", Secret: "secret"}, Dial: (&net.Dialer{}).DialContext,
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	})
}

func TestAnEndpointGetsASignedUpload(t *testing.T) {
	var got *http.Request
	var body []byte
	e := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		body, _ = io.ReadAll(r.Body)
	})
	info := &object.Info{
		Key: "a b+c/ü%", Size: 5, Tags: []object.Tag{{Key: "k", Value: "v w"}}, Checksum: object.Checksum{Algorithm: object.CRC32, Value: []byte{1, 2, 3, 4}},
		Attributes: object.Attributes{ContentType: "text/x", StorageClass: "STANDARD_IA", User: []object.Tag{{Key: "color", Value: "red"}}},
	}
	if err := e.Put(t.Context(), anywhere, info, strings.NewReader("bytes")); err != nil {
		t.Fatal(err)
	}
	if got.Method != "PUT" || got.RequestURI != "/there/a%20b%2Bc/%C3%BC%25" || string(body) != "bytes" || got.ContentLength != 5 {
		t.Errorf("%s %s, %d bytes: %q", got.Method, got.RequestURI, got.ContentLength, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/x", "X-Amz-Meta-Color": "red", "X-Amz-Tagging": "k=v+w", "X-Amz-Storage-Class": "STANDARD_IA", "X-Amz-Checksum-Crc32": "AQIDBA==",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q", name, got.Header.Get(name))
		}
	}
	// The signature is that of what arrived.
	again := got.Clone(t.Context())
	again.URL.Host = got.Host
	if _, err := authn.Sign(again, authn.Signing{AccessKeyID: "AKIA", Secret: "secret", Region: "eu-west-1", Service: "s3", Time: e.config.Now()}); err != nil {
		t.Fatal(err)
	}
	if again.Header.Get("Authorization") != got.Header.Get("Authorization") {
		t.Errorf("signed %s\nwant   %s", got.Header.Get("Authorization"), again.Header.Get("Authorization"))
	}
}

func TestAnswersThatStayAreRefusals(t *testing.T) {
	for status, refused := range map[int]bool{301: true, 400: true, 403: true, 404: true, 408: false, 409: false, 429: false, 500: false, 503: false} {
		e := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://elsewhere.example/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<Error><Code>SomeCode</Code><Message>said</Message></Error>")
		})
		err := e.Delete(t.Context(), anywhere, "k")
		var r *Refusal
		if err == nil || errors.As(err, &r) != refused || !strings.Contains(err.Error(), "SomeCode said") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestAnEndpointThatIsNotThere(t *testing.T) {
	e := endpoint(t, nil)
	e.config.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	err := e.Put(t.Context(), anywhere, &object.Info{Key: "k", Size: 1}, strings.NewReader("x"))
	var r *Refusal
	if err == nil || errors.As(err, &r) {
		t.Errorf("%v", err)
	}
	if err := e.Put(t.Context(), anywhere, &object.Info{Key: "k", Size: object.MaxSingle + 1}, nil); !errors.As(err, &r) {
		t.Errorf("too large: %v", err)
	}
}

// TestAnEndpointKeepsVersions: where it does not, or does not say so, nothing is overwritten or deleted.
func TestAnEndpointKeepsVersions(t *testing.T) {
	for _, answer := range []string{"", "<VersioningConfiguration/>", "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>", "403"} {
		var asked []string
		e := bareEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method)
			if answer == "403" {
				w.WriteHeader(http.StatusForbidden)
			}
			_, _ = io.WriteString(w, answer)
		})
		for _, err := range []error{e.Put(t.Context(), anywhere, &object.Info{Key: "k", Size: 1}, strings.NewReader("x")), e.Delete(t.Context(), anywhere, "k")} {
			var r *Refusal
			if !errors.As(err, &r) {
				t.Errorf("%q: %v", answer, err)
			}
		}
		if want := []string{"GET", "GET"}; !slices.Equal(asked, want) {
			t.Errorf("%q: asked %q", answer, asked)
		}
	}
}

// TestAnEndpointIsHeldToTheRule: its account, its storage class, and the key that seals what a key sealed.
func TestAnEndpointIsHeldToTheRule(t *testing.T) {
	var got []http.Header
	e := endpoint(t, func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header) })
	by := &object.ReplicationDestination{Account: "444455556666", StorageClass: "GLACIER_IR", KMSKey: "arn:aws:kms:eu-west-1:444455556666:key/k"}
	plain := &object.Info{Key: "k", Attributes: object.Attributes{StorageClass: "STANDARD_IA"}, Encryption: "AES256"}
	sealed := &object.Info{Key: "k", Encryption: "aws:kms", Sealed: &object.Sealed{Encryption: object.SSEKMS}}
	err := errors.Join(e.Put(t.Context(), by, plain, nil), e.Put(t.Context(), by, sealed, nil), e.Tag(t.Context(), by, "k", nil), e.Delete(t.Context(), by, "k"))
	if err != nil || len(got) != 4 {
		t.Fatalf("%d requests, %v", len(got), err)
	}
	for i, want := range []map[string]string{
		{"X-Amz-Storage-Class": "GLACIER_IR", "X-Amz-Server-Side-Encryption": ""},
		{"X-Amz-Storage-Class": "GLACIER_IR", "X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": by.KMSKey},
		{}, {},
	} {
		want["X-Amz-Expected-Bucket-Owner"] = by.Account
		for name, value := range want {
			if got[i].Get(name) != value {
				t.Errorf("request %d: %s: %q", i, name, got[i].Get(name))
			}
		}
	}
}

func TestTagsElsewhere(t *testing.T) {
	var asked []string
	e := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.RequestURI+" "+string(body))
	})
	if err := errors.Join(e.Tag(t.Context(), anywhere, "k", []object.Tag{{Key: "a<", Value: "b"}}), e.Tag(t.Context(), anywhere, "k", nil)); err != nil {
		t.Fatal(err)
	}
	want := []string{"PUT /there/k?tagging= <Tagging><TagSet><Tag><Key>a&lt;</Key><Value>b</Value></Tag></TagSet></Tagging>", "DELETE /there/k?tagging= "}
	if !slices.Equal(asked, want) {
		t.Errorf("%q", asked)
	}
}

// moved is a commit of stored credentials under another name.
func moved(raw []byte) *engine.Batch {
	b := &engine.Batch{}
	b.Set([]byte(connectionPrefix+"other"), raw)
	return b
}

func TestCredentialsAreStoredSealed(t *testing.T) {
	b := newBench(t)
	meta := memory.NewMeta()
	c := Credentials{AccessKeyID: "AKIA", Secret: "very-secret-very-secret"}
	if _, ok, err := LoadCredentials(t.Context(), meta, b.ring, "there"); ok || err != nil {
		t.Errorf("before: %v %v", ok, err)
	}
	if err := StoreCredentials(t.Context(), meta, b.ring, "there", c); err != nil {
		t.Fatal(err)
	}
	got, ok, err := LoadCredentials(t.Context(), meta, b.ring, "there")
	if err != nil || !ok || got != c {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	raw, _, err := meta.Get(t.Context(), []byte(connectionPrefix+"there"), nil)
	if err != nil || strings.Contains(string(raw), "very-secret") || strings.Contains(string(raw), "AKIA") {
		t.Errorf("stored %q, %v", raw, err)
	}
	// What is sealed for one target does not open for another.
	if err := meta.Commit(t.Context(), moved(raw)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadCredentials(t.Context(), meta, b.ring, "other"); err == nil {
		t.Error("credentials moved to another target")
	}
}
