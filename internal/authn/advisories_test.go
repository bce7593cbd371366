package authn

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/fault"
)

// Each test is named after a published hole of another server.

// TestCVE_2020_11012_WrongSecret: to know a key id is not enough, in no place of a signature.
func TestCVE_2020_11012_WrongSecret(t *testing.T) {
	s := testSigning()
	s.Secret = "not the secret"
	a := testAuthenticator()
	r := request(t, "GET", "/k", "")
	sign(t, r, s)
	_, err := a.Request(r, Info{})
	wantKind(t, err, SignatureDoesNotMatch)
	_, err = a.Request(presigned(t, request(t, "GET", "/k", ""), s, time.Hour), Info{})
	wantKind(t, err, SignatureDoesNotMatch)
	fields := signedForm(policyText("2013-05-24T01:00:00Z", testConditions))
	_, _, err = a.Form(request(t, "POST", "/", ""), with(fields, "X-Amz-Signature", strings.Repeat("0", 64)), "b")
	wantKind(t, err, SignatureDoesNotMatch)
}

// TestUnknownKeyLearnsNothing: no string to sign for a key that does not exist.
func TestUnknownKeyLearnsNothing(t *testing.T) {
	s := testSigning()
	s.AccessKeyID = "AKIANOBODY"
	r := request(t, "GET", "/k", "")
	sign(t, r, s)
	_, err := testAuthenticator().Request(r, Info{})
	e := wantKind(t, err, UnknownKey)
	for _, f := range e.Fields {
		if f.Name != "AWSAccessKeyId" {
			t.Errorf("field %s", f.Name)
		}
	}
}

// TestCVE_2025_31489_CVE_2026_41145_EveryModeIsVerified: each body mode, in the header and in the
// query, is refused with a wrong signature before the body is touched.
func TestCVE_2025_31489_CVE_2026_41145_EveryModeIsVerified(t *testing.T) {
	modes := append([]string{UnsignedPayload, sha("x")}, streamingModes...)
	for _, mode := range modes {
		for _, query := range []bool{false, true} {
			s := testSigning()
			s.PayloadHash, s.Secret = mode, "wrong"
			r := request(t, "PUT", "/k", "x", "X-Amz-Decoded-Content-Length", "1", "X-Amz-Trailer", "x-amz-checksum-crc32")
			if query {
				r.Header.Set("X-Amz-Content-Sha256", mode)
				r = presigned(t, r, s, time.Hour)
			} else {
				sign(t, r, s)
			}
			r.Body = untouched{t}
			c, err := testAuthenticator().Request(r, Info{})
			wantKind(t, err, SignatureDoesNotMatch)
			if c != nil {
				t.Errorf("%s: a caller", mode)
			}
		}
	}
}

// TestPresignedStreams: what is refused with a wrong signature works with the right one.
func TestPresignedStreams(t *testing.T) {
	s := testSigning()
	s.PayloadHash = StreamingUnsignedTrailer
	body := chunks("data", minChunk, nil, crcTrailer)
	r := request(t, "PUT", "/k", body, "X-Amz-Decoded-Content-Length", "4", "X-Amz-Trailer", "x-amz-checksum-crc32",
		"X-Amz-Content-Sha256", StreamingUnsignedTrailer)
	c, err := testAuthenticator().Request(presigned(t, r, s, time.Hour), Info{})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "data" {
		t.Errorf("body %q", got)
	}
}

// TestCVE_2026_40344_NoTypeWithoutCheck: whatever shows a sign of authentication is verified or
// refused; only a request with none is anonymous.
func TestCVE_2026_40344_NoTypeWithoutCheck(t *testing.T) {
	for _, scheme := range []string{"AWS4-HMAC-SHA256", "aws4-hmac-sha256", "AWS", "Basic", "Bearer", "Digest", "Negotiate", "AWS4-HMAC-SHA256-PAYLOAD", " ", "", "\t"} {
		r := request(t, "PUT", "/k", "")
		r.Header["Authorization"] = []string{scheme + " Credential=" + testKey}
		if c, err := testAuthenticator().Request(r, Info{}); err == nil || c != nil {
			t.Errorf("%q went through", scheme)
		}
	}
	for _, q := range []string{"X-Amz-Signature=", "X-Amz-Credential=", "X-Amz-Algorithm", "Signature=x", "AWSAccessKeyId=x", "%53ignature=x"} {
		if c, err := testAuthenticator().Request(request(t, "PUT", "/k?"+q, ""), Info{}); err == nil || c != nil {
			t.Errorf("%q went through", q)
		}
	}
}

// TestGHSA_g8w9_xm99_UnsignedCopySource: a header that was added to a signed PUT refuses it.
func TestGHSA_g8w9_xm99_UnsignedCopySource(t *testing.T) {
	for _, key := range []string{"X-Amz-Copy-Source", "X-Amz-Acl", "X-Amz-Server-Side-Encryption", "x-amz-copy-source"} {
		r := request(t, "PUT", "/k", "")
		sign(t, r, testSigning())
		q := presigned(t, request(t, "PUT", "/k", ""), testSigning(), time.Hour)
		for _, r := range []*http.Request{r, q} {
			r.Header[key] = []string{"/secret/key"} // also a name that net/http did not make canonical
			_, err := testAuthenticator().Request(r, Info{})
			wantKind(t, err, HeadersNotSigned)
		}
	}
}

// TestCVE_2026_55873_OtherServiceScope: the service of a scope is one that we speak.
func TestCVE_2026_55873_OtherServiceScope(t *testing.T) {
	for service, kind := range map[string]fault.Kind{"s3": "", "iam": "", "kms": "", "S3": HeaderMalformed, "execute-api": HeaderMalformed, "s3 ": HeaderMalformed} {
		s := testSigning()
		s.Service = service
		r := request(t, "GET", "/", "")
		sign(t, r, s)
		_, err := testAuthenticator().Request(r, Info{})
		wantKind(t, err, kind)
	}
}

// TestGHSA_v2ch_ChunkedWithoutLength: an aws-chunked body needs no Content-Length, only its own.
func TestGHSA_v2ch_ChunkedWithoutLength(t *testing.T) {
	r := streamed(t, StreamingPayload, "data", minChunk)
	r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
	c, err := testAuthenticator().Request(r, Info{})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "data" || c.DecodedLength != 4 {
		t.Errorf("body %q, length %d", got, c.DecodedLength)
	}
	r = streamed(t, StreamingPayload, "data", minChunk)
	r.ContentLength, r.Body = 0, nil
	if c, err = testAuthenticator().Request(r, Info{}); err == nil {
		_, err = io.ReadAll(c.Body)
	}
	wantKind(t, err, IncompleteBody)
}

// TestCVE_2026_54917_EncodedPath: "/a%2Fb" and "/a/b", "/a/../b" and "/b" are different things to sign.
func TestCVE_2026_54917_EncodedPath(t *testing.T) {
	for signedAs, sent := range map[string]string{"/a%2Fb": "/a/b", "/a/b": "/a%2Fb", "/b": "/a/../b", "/a/../b": "/b", "/a//b": "/a/b", "/a%252Fb": "/a%2Fb"} {
		r := request(t, "GET", signedAs, "")
		sign(t, r, testSigning())
		r.URL = request(t, "GET", sent, "").URL
		_, err := testAuthenticator().Request(r, Info{})
		wantKind(t, err, SignatureDoesNotMatch)
	}
}

// TestCarelessCredentials: what Credentials forgets to check is checked again.
func TestCarelessCredentials(t *testing.T) {
	for kind, edit := range map[fault.Kind]func(*Credential){
		InactiveKey: func(c *Credential) { c.Active = false }, ExpiredToken: func(c *Credential) { c.Expires = testTime },
		BadToken: func(c *Credential) { c.SessionToken = "t" }, UnknownKey: func(c *Credential) { c.Secret = "" },
	} {
		c := person(testKey, testSecret)
		edit(c)
		cfg := testConfig()
		cfg.Credentials = people{testKey: c}
		s := testSigning()
		s.Secret = c.Secret
		r := request(t, "GET", "/k", "")
		sign(t, r, s)
		_, err := New(cfg).Request(r, Info{})
		wantKind(t, err, kind)
	}
}
