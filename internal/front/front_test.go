package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/front/localca"
)

// lockedBuffer is a log that tests read while the server writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type fixture struct {
	*Server
	addr string
	log  *lockedBuffer
}

func start(t testing.TB, c Config) *fixture {
	t.Helper()
	log := &lockedBuffer{}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l, "http", nil) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // tests that leave requests behind have them cut off
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &fixture{s, l.Addr().String(), log}
}

func (f *fixture) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a request as text and returns the answer.
func ask(t testing.TB, c net.Conn, request string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	return answer(t, c)
}

func answer(t testing.TB, c net.Conn) (*http.Response, string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp, string(b)
}

// closed tells whether the server ends the connection within a minute.
func closed(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	return !(errors.As(err, &timeout) && timeout.Timeout())
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

var echoPeer = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	p := PeerOf(r.Context())
	fmt.Fprintf(w, "%s secure=%v tls=%s via=%s forwarded=%v", p.IP, p.Secure, p.TLSVersion, p.Listener, p.Forwarded)
})

func TestForwardedAddresses(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	nobody := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	cases := []struct {
		name, headers string
		proxies       []netip.Prefix
		ip            string
		secure        bool
	}{
		{"no proxy", "", proxies, "127.0.0.1", false},
		{"a sender that nobody trusts", "X-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https\n", nobody, "127.0.0.1", false},
		{"one proxy", "X-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https\n", proxies, "203.0.113.9", true},
		{"the client lies on the left", "X-Forwarded-For: 192.168.1.1, 203.0.113.9\n", proxies, "203.0.113.9", false},
		{"two proxies", "X-Forwarded-For: 203.0.113.9, 10.0.0.7\n", proxies, "203.0.113.9", false},
		{"two headers", "X-Forwarded-For: 198.51.100.1\nX-Forwarded-For: 203.0.113.9\n", proxies, "203.0.113.9", false},
		{"nothing but proxies", "X-Forwarded-For: 10.0.0.1, 10.0.0.2\n", proxies, "10.0.0.1", false},
		{"a hop that is no address", "X-Forwarded-For: 198.51.100.1, unknown, 10.0.0.2\n", proxies, "10.0.0.2", false},
		{"empty", "X-Forwarded-For:\n", proxies, "127.0.0.1", false},
		{"a port", "X-Forwarded-For: 203.0.113.9:4711\n", proxies, "203.0.113.9", false},
		{"IPv6", "X-Forwarded-For: 2001:db8::7\n", proxies, "2001:db8::7", false},
		{"IPv6 and a port", "X-Forwarded-For: [2001:db8::7]:4711\n", proxies, "2001:db8::7", false},
		{"a mapped address is the address", "X-Forwarded-For: ::ffff:203.0.113.9\n", proxies, "203.0.113.9", false},
		{"one of two hops without TLS", "X-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: https, http\n", proxies, "203.0.113.9", false},
		{"the scheme in capitals", "X-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto: HTTPS\n", proxies, "203.0.113.9", true},
		{"an empty scheme", "X-Forwarded-For: 203.0.113.9\nX-Forwarded-Proto:\n", proxies, "203.0.113.9", false},
		{"other headers mean nothing", "X-Real-Ip: 203.0.113.9\nForwarded: for=203.0.113.9;proto=https\n", proxies, "127.0.0.1", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, Config{Handler: echoPeer, TrustedProxies: c.proxies})
			_, got := ask(t, f.dial(t), "GET / HTTP/1.1\nHost: a\n"+c.headers+"\n")
			want := fmt.Sprintf("%s secure=%v tls= via=http forwarded=%v", c.ip, c.secure, c.headers != "")
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	f := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := PeerOf(r.Context())
		fmt.Fprint(w, p.RequestID+" "+p.HostID)
	})})
	c := f.dial(t)
	form := regexp.MustCompile(`^[0-9A-F]{16} [A-Za-z0-9+/]{75}=$`)
	for range 50 {
		_, got := ask(t, c, "GET / HTTP/1.1\nHost: a\n\n")
		if !form.MatchString(got) || seen[got] {
			t.Fatalf("ids %q", got)
		}
		seen[got] = true
	}
}

func TestThePathReachesTheHandlerAsItWasSent(t *testing.T) {
	f := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RequestURI)
	}), Domains: []string{"s3.example"}})
	for _, target := range []string{"/b//k", "/b/../k", "/b/./k/", "/b/%2e%2e/k", "/b/%2F?a=b&c", "/-", "/-x", "//-/live", "/b/-/live"} {
		resp, got := ask(t, f.dial(t), "GET "+target+" HTTP/1.1\nHost: a\n\n")
		if resp.StatusCode != 200 || got != target {
			t.Errorf("%s: %d %s", target, resp.StatusCode, got)
		}
	}
	for _, host := range []string{"bucket.s3.example", "BUCKET.S3.example:9000", "a.b.s3.example."} {
		if _, got := ask(t, f.dial(t), "GET /-/live HTTP/1.1\nHost: "+host+"\n\n"); got != "/-/live" {
			t.Errorf("%s: the key -/live of a bucket was taken for Kura's own path: %s", host, got)
		}
	}
	if _, got := ask(t, f.dial(t), "GET /-/live HTTP/1.1\nHost: s3.example\n\n"); got != "ok\n" {
		t.Errorf("own path on the domain itself: %q", got)
	}
}

func TestOwnPaths(t *testing.T) {
	var broken error
	f := start(t, Config{
		Handler:        http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s reached the handler", r.URL) }),
		Metrics:        http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "numbers") }),
		Ready:          func() error { return broken },
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Authorize: func(r *http.Request) error {
			if r.Header.Get("Authorization") != "good" {
				return errors.New("no")
			}
			return nil
		},
	})
	cases := []struct {
		request string
		status  int
	}{
		{"GET /-/live HTTP/1.1\nHost: a\n\n", 200},
		{"HEAD /-/live HTTP/1.1\nHost: a\n\n", 200},
		{"GET /-/ready HTTP/1.1\nHost: a\n\n", 200},
		{"POST /-/ready HTTP/1.1\nHost: a\nContent-Length: 0\n\n", 405},
		{"GET /-/console/ HTTP/1.1\nHost: a\n\n", 404},
		{"GET /-/secrets HTTP/1.1\nHost: a\n\n", 404},
		{"GET /-/../b HTTP/1.1\nHost: a\n\n", 404},
		{"GET /-/metrics HTTP/1.1\nHost: 127.0.0.1:9000\n\n", 200},
		{"GET /-/metrics HTTP/1.1\nHost: localhost\n\n", 200},
		{"GET /-/metrics HTTP/1.1\nHost: [::1]:9000\n\n", 200},
		{"GET /-/metrics HTTP/1.1\nHost: rebound.example\n\n", 403},
		{"GET /-/metrics HTTP/1.1\nHost: localhost\nX-Forwarded-For: 203.0.113.9\n\n", 403},
		{"GET /-/metrics HTTP/1.1\nHost: localhost\nX-Forwarded-For: 127.0.0.1\n\n", 403},
		{"GET /-/metrics HTTP/1.1\nHost: localhost\nVia: 1.1 nginx\n\n", 403},
		{"GET /-/metrics HTTP/1.1\nHost: localhost\nVia: 1.1 nginx\nAuthorization: good\n\n", 200},
	}
	for _, c := range cases {
		conn := f.dial(t)
		if _, err := io.WriteString(conn, strings.ReplaceAll(c.request, "\n", "\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(c.request)[0]})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%q: %d, want %d", c.request, resp.StatusCode, c.status)
		}
	}
	broken = errors.New("the disk /secret/path is gone")
	resp, body := ask(t, f.dial(t), "GET /-/ready HTTP/1.1\nHost: a\n\n")
	if resp.StatusCode != 503 || strings.Contains(body, "secret") {
		t.Errorf("not ready: %d %q", resp.StatusCode, body)
	}
}

func TestAPanicIsAPlain500(t *testing.T) {
	f := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Half-Done", "1")
		if r.URL.Path == "/late" {
			fmt.Fprint(w, strings.Repeat("x", 8192))
		}
		panic("the secret is swordfish")
	})})
	resp, body := ask(t, f.dial(t), "GET /early HTTP/1.1\nHost: a\n\n")
	if resp.StatusCode != 500 || !strings.Contains(body, "<Code>InternalError</Code>") || strings.Contains(body, "swordfish") || resp.Header.Get("X-Half-Done") != "" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	id := resp.Header.Get("X-Amz-Request-Id")
	if !strings.Contains(body, "<RequestId>"+id+"</RequestId>") || !strings.Contains(f.log.String(), id) {
		t.Errorf("the log and the answer must have the request id %s", id)
	}
	c := f.dial(t)
	fmt.Fprint(c, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		if _, err = io.ReadAll(resp.Body); err == nil {
			t.Error("an answer that broke off looks whole")
		}
		resp.Body.Close()
	}
}

// TestEveryBodyThatWaitsIsCalledFor: boto3 sends Expect with empty bodies too, and loses count of the answers on its
// connection when no 100 comes.
func TestEveryBodyThatWaitsIsCalledFor(t *testing.T) {
	f := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	})})
	for _, c := range []struct {
		name, request, body string
		want                bool
	}{
		{"empty", "PUT / HTTP/1.1\nHost: a\nContent-Length: 0\nExpect: 100-continue\n\n", "", true},
		{"a body", "PUT / HTTP/1.1\nHost: a\nContent-Length: 2\nExpect: 100-continue\n\n", "ab", true},
		{"unasked", "PUT / HTTP/1.1\nHost: a\nContent-Length: 0\n\n", "", false},
		{"HTTP/1.0", "PUT / HTTP/1.0\nHost: a\nContent-Length: 0\nExpect: 100-continue\n\n", "", false},
	} {
		conn := f.dial(t)
		answers := bufio.NewReader(conn)
		if _, err := io.WriteString(conn, strings.ReplaceAll(c.request, "\n", "\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if (resp.StatusCode == 100) != c.want {
			t.Errorf("%s: the first answer is %d", c.name, resp.StatusCode)
		}
		if resp.StatusCode != 100 {
			continue
		}
		fmt.Fprint(conn, c.body)
		if resp, err = http.ReadResponse(answers, nil); err != nil {
			t.Fatal(c.name, err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(got) != c.body || err != nil {
			t.Errorf("%s: then %d %q %v", c.name, resp.StatusCode, got, err)
		}
	}
}

func TestTLS(t *testing.T) {
	ca, err := localca.Open(localca.Config{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Handler: echoPeer, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l, "https", &tls.Config{GetCertificate: ca.Certificate}) }()
	defer func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	}()
	leaf, err := ca.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	root, err := x509.ParseCertificate(leaf.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(root)
	for version, want := range map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		_, got := ask(t, c, "GET / HTTP/1.1\nHost: a\n\n")
		if got != "127.0.0.1 secure=true tls="+want+" via=https forwarded=false" {
			t.Errorf("TLS %s: %s", want, got)
		}
		c.Close()
	}
	if c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestARequestInFlightEndsBeforeTheServerStops(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	s, err := New(Config{Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(in)
		b, _ := io.ReadAll(r.Body)
		<-out
		fmt.Fprintf(w, "stored %d", len(b))
	})})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- s.Serve(l, "http", nil) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
	<-in
	go func() { done <- s.Shutdown(context.Background()) }()
	eventually(t, "the listener is closed", func() bool {
		d, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			d.Close()
		}
		return err != nil
	})
	fmt.Fprint(c, "llo")
	close(out)
	if _, got := answer(t, c); got != "stored 5" {
		t.Errorf("got %q", got)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if st := s.Stats(); st.Connections != 0 || st.Uploads != 0 || st.Unauthenticated != 0 {
		t.Errorf("left behind: %+v", st)
	}
}

func TestAStopIsBounded(t *testing.T) {
	in := make(chan struct{})
	var returned atomic.Bool
	s, err := New(Config{Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(in)
		<-r.Context().Done()
		time.Sleep(50 * time.Millisecond)
		returned.Store(true)
	})})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l, "http", nil) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-in
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("a stop that cut a request off must say so")
	}
	if !returned.Load() {
		t.Error("the stop was over while a handler still worked")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
