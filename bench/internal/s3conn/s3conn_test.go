package s3conn

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var testCredentials = Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret/key+", Region: "eu-west-1"}

// The AWS SDK's signer is the judge of ours.
func TestSignatureIsTheSDKs(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, r := range []Request{
		{Method: "GET", Path: "/bucket"},
		{Method: "GET", Path: "/bucket", Query: "list-type=2&max-keys=1000&start-after=a%2Fb"},
		{Method: "POST", Path: "/bucket/key%20with%20space", Query: "uploads="},
		{Method: "PUT", Path: "/bucket/key", Body: []byte("x"), PayloadHash: UnsignedPayload},
		{Method: "PUT", Path: "/b/k", Body: []byte("body"), PayloadHash: EmptyPayload, Header: []Header{
			{"x-amz-server-side-encryption", "AES256"}, {"content-md5", "abc="}, {"x-amz-acl", "private"}}},
	} {
		s := signer{cred: testCredentials}
		for range 2 { // the second time with the cached key
			head, _ := s.appendSigned(nil, nil, "127.0.0.1:9000", &r, at)
			got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(head, "\r\n"...))))
			if err != nil {
				t.Fatal(err)
			}
			want, err := http.NewRequest(r.Method, "http://127.0.0.1:9000"+r.Path+"?"+r.Query, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range r.Header {
				want.Header.Set(h.Name, h.Value)
			}
			payload := r.PayloadHash
			if payload == "" {
				payload = EmptyPayload
			}
			want.Header.Set("x-amz-content-sha256", payload)
			sdk := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
			err = sdk.SignHTTP(context.Background(), aws.Credentials{AccessKeyID: testCredentials.AccessKeyID, SecretAccessKey: testCredentials.SecretAccessKey},
				want, payload, "s3", testCredentials.Region, at)
			if err != nil {
				t.Fatal(err)
			}
			if g, w := got.Header.Get("Authorization"), want.Header.Get("Authorization"); g != w {
				t.Errorf("%s %s?%s\n got %s\nwant %s", r.Method, r.Path, r.Query, g, w)
			}
		}
	}
}

func TestNextDayNextKey(t *testing.T) {
	s := signer{cred: testCredentials}
	one := string(s.keyFor("20260101"))
	if two := string(s.keyFor("20260102")); one == two {
		t.Error("the same key on two days")
	}
	if again := string(s.keyFor("20260101")); again != one {
		t.Error("another key for the first day")
	}
}

func endpoint(t *testing.T, h http.HandlerFunc) *Conn {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c := NewEndpoint(strings.TrimPrefix(srv.URL, "http://"), testCredentials).Conn()
	t.Cleanup(c.Close)
	return c
}

func TestAnswersInEveryFraming(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 20_000)
	c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"etag"`)
		switch r.URL.Path {
		case "/length":
			fmt.Fprint(w, "short")
		case "/chunked":
			for i := 0; i < len(big); i += 5000 {
				fmt.Fprint(w, big[i:min(i+5000, len(big))])
				w.(http.Flusher).Flush()
			}
		case "/close":
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, big)
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			fmt.Fprint(w, "late")
		}
	})
	for _, tc := range []struct {
		method, path string
		body         string
	}{
		{"GET", "/length", "short"}, {"HEAD", "/length", ""}, {"GET", "/chunked", big}, {"GET", "/length", "short"},
		{"GET", "/close", big}, {"GET", "/nothing", ""}, {"GET", "/early", "late"}, {"GET", "/length", "short"},
	} {
		for _, discard := range []bool{false, true} {
			resp, err := c.Do(context.Background(), &Request{Method: tc.method, Path: tc.path, Discard: discard})
			if err != nil {
				t.Fatalf("%s %s: %v", tc.method, tc.path, err)
			}
			if resp.Size != int64(len(tc.body)) || resp.ETag != `"etag"` || (!discard && string(resp.Body) != tc.body) {
				t.Errorf("%s %s discard=%v: %d bytes, ETag %q", tc.method, tc.path, discard, resp.Size, resp.ETag)
			}
		}
	}
}

func TestBodyArrivesWhole(t *testing.T) {
	body := bytes.Repeat([]byte("body"), 100_000)
	c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		var got bytes.Buffer
		if _, err := got.ReadFrom(r.Body); err != nil || !bytes.Equal(got.Bytes(), body) {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	resp, err := c.Do(context.Background(), &Request{Method: "PUT", Path: "/b/k", Body: body, PayloadHash: UnsignedPayload})
	if err != nil || resp.Err() != nil {
		t.Fatal(err, resp.Err())
	}
}

func TestRefusalNamesItsCode(t *testing.T) {
	c := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code></Error>")
	})
	resp, err := c.Do(context.Background(), &Request{Method: "GET", Path: "/b/k", Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	var status *StatusError
	if !errors.As(resp.Err(), &status) || status.Status != 403 || status.Code != "AccessDenied" {
		t.Errorf("%v", resp.Err())
	}
}

// raw serves the same bytes on every connection.
func raw(t *testing.T, answer string) *Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(nc)); err == nil {
				_, _ = nc.Write([]byte(answer))
			}
			nc.Close()
		}
	}()
	c := NewEndpoint(l.Addr().String(), testCredentials).Conn()
	t.Cleanup(c.Close)
	return c
}

func TestMalformedAnswersAreErrors(t *testing.T) {
	for _, answer := range []string{
		"", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "ICY 200 OK....\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", maxHeaders+1) + "\r\n",
		"HTTP/1.1 200 OK\r\nlong: " + strings.Repeat("x", readBuffer) + "\r\n\r\n",
	} {
		c := raw(t, answer)
		if resp, err := c.Do(context.Background(), &Request{Method: "GET", Path: "/"}); err == nil {
			t.Errorf("%.60q: no error but %+v", answer, resp)
		}
	}
}

func TestUnstatedLengthEndsWithTheConnection(t *testing.T) {
	c := raw(t, "HTTP/1.0 200 OK\r\n\r\nuntil the end")
	for range 2 {
		resp, err := c.Do(context.Background(), &Request{Method: "GET", Path: "/"})
		if err != nil || string(resp.Body) != "until the end" {
			t.Errorf("%q, %v", resp.Body, err)
		}
	}
}
