package authn

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/fault"
)

// FuzzChunks: no framing panics, gives more than was announced, or fails without a kind.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("1\r\na\r\n0\r\n"+crcTrailer+"\r\n\r\n"), int64(1), true, false)
	f.Add([]byte("0;chunk-signature="+strings.Repeat("0", 64)+"\r\n\r\n"), int64(0), false, true)
	f.Add([]byte("2000\r\n"+strings.Repeat("x", minChunk)+"\r\n0\r\n\r\n"), int64(minChunk), false, false)
	f.Add([]byte("ffffffffffffffff\r\n"), int64(1)<<62, true, true)
	f.Fuzz(func(t *testing.T, body []byte, decoded int64, trailer, signed bool) {
		if decoded < 0 {
			return
		}
		c := newChunkReader(bytes.NewReader(body), decoded, trailer, "x-amz-checksum-crc32")
		if signed {
			c.sig = newChunkSigner(deriveKey("s", "20130524", "r", "s3"), "20130524T000000Z", "x", "seed")
		}
		n, err := io.Copy(io.Discard, c)
		var known *fault.Error
		switch {
		case n > decoded || n > int64(len(body)):
			t.Errorf("%d bytes out of %d, announced %d", n, len(body), decoded)
		case err == nil && (n != decoded || signed):
			t.Errorf("went through: %d bytes, announced %d, signed %v", n, decoded, signed)
		case err != nil && !errors.As(err, &known):
			t.Errorf("error without a kind: %v", err)
		}
	})
}

// FuzzAuthorization: no header panics, and none that we did not sign goes through.
func FuzzAuthorization(f *testing.F) {
	r := request(f, "GET", "/k", "")
	sign(f, r, testSigning())
	right := r.Header.Get("Authorization")
	f.Add(right)
	f.Add(Algorithm + " Credential=a/20130524/us-east-1/s3/aws4_request,SignedHeaders=;;,Signature=")
	f.Add("AWS a:b")
	_, _, signature := cutLast(right)
	f.Fuzz(func(t *testing.T, value string) {
		r := request(t, "GET", "/k", "")
		sign(t, r, testSigning())
		r.Header["Authorization"] = []string{value}
		c, err := testAuthenticator().Request(r, Info{})
		if (c == nil) == (err == nil) || c != nil && !strings.Contains(value, signature) {
			t.Errorf("%q: %v, %v", value, c, err)
		}
		if fault.Of(err) == "" && err != nil {
			t.Errorf("%q: error without a kind: %v", value, err)
		}
	})
}

func cutLast(auth string) (before, sep, after string) {
	i := strings.LastIndex(auth, "=")
	return auth[:i], "=", auth[i+1:]
}

// FuzzQuery: the canonical query is stable (canonical of itself), and what is presigned is verified.
func FuzzQuery(f *testing.F) {
	for _, target := range odd {
		if _, query, ok := strings.Cut(target, "?"); ok {
			f.Add(query)
		}
	}
	f.Add("X-Amz-Algorithm=x&X-Amz-Signature=")
	f.Fuzz(func(t *testing.T, raw string) {
		c := &canonical{}
		_, errParse := parseQuery(raw)
		if err := c.query(raw, false); err != nil || errParse != nil {
			if fault.Of(errors.Join(err, errParse)) != InvalidURI {
				t.Errorf("%q: %v, %v", raw, err, errParse)
			}
			return
		}
		once := string(c.request)
		c.request = nil
		if err := c.query(once, false); err != nil || string(c.request) != once {
			t.Errorf("%q: %q, then %q, %v", raw, once, c.request, err)
		}
	})
}

// FuzzPostPolicy: no document panics, and none allows a form that it does not cover.
func FuzzPostPolicy(f *testing.F) {
	f.Add(policyText("2013-05-24T01:00:00Z", testConditions), "key")
	f.Add(`{"expiration":"2013-05-24T01:00:00Z","conditions":[{"a":"b"},["eq","$c","d"],["content-length-range","1",9223372036854775807]]}`, "a")
	f.Add(`{"conditions":{}}`, "")
	f.Fuzz(func(t *testing.T, document, name string) {
		p, err := parsePostPolicy(base64.StdEncoding.EncodeToString([]byte(document)))
		if err != nil {
			wantKind(t, err, InvalidPolicyDocument)
			return
		}
		err = p.check(form{strings.ToLower(name): "value", "bucket": "b"}, testTime)
		if err == nil && !strings.Contains(strings.ToLower(document), "bucket") && !strings.Contains(document, `\`) {
			t.Errorf("%s covers no bucket", document)
		}
		if err != nil {
			wantKind(t, err, PolicyDenied)
		}
	})
}
