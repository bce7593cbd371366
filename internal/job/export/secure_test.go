package export

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// authority writes the certificate of s into a file.
func authority(t *testing.T, s *httptest.Server) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCollectorProvesItselfAndGetsTheToken(t *testing.T) {
	h := newHarness(t)
	var right, wrong atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.Header.Get("Authorization") {
		case "Bearer one":
			right.Add(1)
		case "Bearer two":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect) // never followed
			fallthrough
		default:
			wrong.Add(1)
		}
		if r.URL.Path != "/custom" {
			t.Error(r.URL)
		}
	}))
	defer s.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := strings.Replace(s.URL, "https", "otlp+https", 1) + "/custom?token=" + token
	e, stop := h.start(base) // nobody vouches for the certificate
	h.add(50)
	until(t, func() error { return failing(e) })
	stop()
	if right.Load()+wrong.Load() != 0 {
		t.Error("sent to a server that did not prove itself")
	}
	e, stop = h.start(base + "&ca=" + authority(t, s))
	defer stop()
	until(t, func() error { return failing(e) })
	if err := os.WriteFile(token, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, idle(e))
	if right.Load() == 0 || wrong.Load() == 0 {
		t.Error(right.Load(), wrong.Load())
	}
}

func failing(e *Exporter) error {
	if !e.Progress()[0].Failing {
		return io.ErrNoProgress
	}
	return nil
}

func TestSyslogOverTLS(t *testing.T) {
	h := newHarness(t)
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: lender.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var r received
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					message, err := counting(in)
					if err != nil {
						return
					}
					takeMessage(t, &r, message)
				}
			}(conn)
		}
	}()
	e, stop := h.start("syslog+tls://" + l.Addr().String() + "?ca=" + authority(t, lender))
	defer stop()
	h.add(120)
	h.untilWhole(&r)
	until(t, idle(e))
}
