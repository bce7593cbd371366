//lint:file-ignore SA1019 old clients are still about, and what they send must be understood

package authn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	v1credentials "github.com/aws/aws-sdk-go/aws/credentials"
	v1 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// odd are targets that signers and servers have disagreed about. What is on the wire is what the
// clients themselves make of these keys and queries.
var odd = []string{
	"/", "/b/k", "/b//k//", "/b/./k/../x", "/b/a%2Fb", "/b/%25", "/b/a%20b+c", "/b/a%2Bb", "/b/~%7E", "/b/%E8%94%B5", "/b/%00%01%7F%FF",
	"/b/(a)*'!$&,;=:@", "/b/k?acl", "/b/k?acl=", "/b?prefix=a%20b&delimiter=%2F", "/b?prefix=%2B~*'()!", "/b?b=2&a=1&a=0&A=3",
	"/b?prefix=%E8%94%B5&empty=", "/b/k?versionId=a%3Bb&x=%3D%26",
}

// clients are signers that other people wrote.
var clients = map[string]func(r *http.Request, hash string) error{
	"aws-sdk-go-v2": func(r *http.Request, hash string) error {
		r.Header.Set("X-Amz-Content-Sha256", hash)
		return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(context.Background(),
			aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}, r, hash, "s3", "us-east-1", testTime)
	},
	"aws-sdk-go": func(r *http.Request, hash string) error {
		r.Header.Set("X-Amz-Content-Sha256", hash)
		s := v1.NewSigner(v1credentials.NewStaticCredentials(testKey, testSecret, ""), func(s *v1.Signer) { s.DisableURIPathEscaping = true })
		body, err := r.GetBody()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		_, err = s.Sign(r, bytes.NewReader(data), "s3", "us-east-1", testTime)
		return err
	},
	"aws-sdk-go-v2 presigned": func(r *http.Request, _ string) error {
		q := r.URL.Query()
		q.Set("X-Amz-Expires", "60")
		r.URL.RawQuery = q.Encode()
		u, header, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).PresignHTTP(context.Background(),
			aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}, r, UnsignedPayload, "s3", "us-east-1", testTime)
		if err != nil {
			return err
		}
		r.Header = header.Clone()
		r.Header.Del("Host")
		r.URL, err = url.Parse(u)
		return err
	},
}

// TestClients compares us with the signers of clients, after a way through net/http.
func TestClients(t *testing.T) {
	var failed error
	var got string
	a := testAuthenticator()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var c *Caller
		if c, failed = a.Request(r, Info{}); failed == nil {
			var b []byte
			b, failed = io.ReadAll(c.Body)
			got = string(b)
		}
	}))
	defer server.Close()
	for name, sign := range clients {
		for _, target := range odd {
			for _, body := range []string{"", "some body"} {
				r, err := http.NewRequest("PUT", server.URL+target, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "text/plain")
				r.Header.Set("X-Amz-Meta-Blanks", "  a   b ")
				if err := sign(r, sha(body)); err != nil {
					t.Fatal(err)
				}
				resp, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if failed != nil || got != body {
					t.Errorf("%s %s: %v, body %q", name, target, failed, got)
				}
			}
		}
	}
}

// TestOwnSignerAgrees: our signer and the SDK's make the same signature.
func TestOwnSignerAgrees(t *testing.T) {
	for _, service := range []string{"s3", "iam", "lambda"} {
		for _, target := range odd {
			if service != "s3" && strings.Contains(target, "/.") {
				continue // the SDK's signer leaves dot segments to the client
			}
			build := func() *http.Request { return request(t, "POST", target, "", "Content-Type", "text/plain") }
			ours, theirs := build(), build()
			s := testSigning()
			s.Service, s.PayloadHash = service, sha("")
			sign(t, ours, s)
			if service == "s3" {
				theirs.Header.Set("X-Amz-Content-Sha256", sha(""))
			}
			err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }).SignHTTP(context.Background(),
				aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}, theirs, sha(""), service, "us-east-1", testTime)
			if err != nil {
				t.Fatal(err)
			}
			theirs.Host = testHost
			if service != "s3" && strings.Contains(target, "//") {
				continue // likewise
			}
			cfg := testConfig()
			if _, err := New(cfg).Request(theirs, Info{}); err != nil {
				t.Errorf("%s %s: theirs: %v", service, target, err)
			}
			if _, err := New(cfg).Request(ours, Info{}); err != nil {
				t.Errorf("%s %s: ours: %v", service, target, err)
			}
		}
	}
}

// sha256Hasher is the form in which minio-go wants a hash.
type sha256Hasher struct{ hash.Hash }

func (sha256Hasher) Close() {}

// TestMinioStreams: minio-go writes its own chunks, with and without signatures.
func TestMinioStreams(t *testing.T) {
	data := strings.Repeat("kura", 50_000)
	trailer := http.Header{"X-Amz-Checksum-Crc32c": {"sOO8/Q=="}}
	for name, stream := range map[string]func(r *http.Request) *http.Request{
		"signed": func(r *http.Request) *http.Request {
			return signer.StreamingSignV4(r, testKey, testSecret, "", "us-east-1", int64(len(data)), time.Now().UTC(), sha256Hasher{sha256.New()})
		},
		"signed with trailer": func(r *http.Request) *http.Request {
			r.Trailer = trailer.Clone()
			return signer.StreamingSignV4(r, testKey, testSecret, "", "us-east-1", int64(len(data)), time.Now().UTC(), sha256Hasher{sha256.New()})
		},
		"unsigned with trailer": func(r *http.Request) *http.Request {
			r.Header.Set("X-Amz-Content-Sha256", StreamingUnsignedTrailer)
			return signer.SignV4Trailer(*r, testKey, testSecret, "", "us-east-1", trailer.Clone())
		},
	} {
		r := stream(request(t, "PUT", "/b/k", data))
		cfg := testConfig()
		cfg.Now = time.Now
		r.Trailer = nil
		c, err := New(cfg).Request(r, Info{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := io.ReadAll(c.Body)
		if err != nil || string(b) != data {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}
