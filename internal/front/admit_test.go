package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// admission lets in what it is told to, and notes what it was asked.
type admission struct {
	closed  atomic.Bool
	clients atomic.Value // string: the only client behind proxies that is let in
	asked   atomic.Int64
}

func (a *admission) admit(_ string, from netip.Addr, proxy bool) bool {
	a.asked.Add(1)
	if a.closed.Load() {
		return false
	}
	return proxy || a.clients.Load() == nil || a.clients.Load() == from.String()
}

func echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, PeerOf(r.Context()).IP) })
}

func TestConnectionsAreJudgedBeforeAnythingIsRead(t *testing.T) {
	a := &admission{}
	f := start(t, Config{Handler: echo(), Admit: a.admit})
	a.closed.Store(true)
	if c, err := net.Dial("tcp", f.addr); err == nil { // else it was dropped at once
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("read %d bytes: %v", n, err)
		}
	}
	if st := f.Stats(); st.Connections != 0 || st.Unauthenticated != 0 {
		t.Errorf("a refused connection took a place: %+v", st)
	}
}

func TestReadmitEndsConnections(t *testing.T) {
	a := &admission{}
	f := start(t, Config{Handler: echo(), Admit: a.admit})
	c := f.dial(t)
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	f.Readmit()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err = http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatalf("an admitted connection was ended: %v", err)
	}
	a.closed.Store(true)
	f.Readmit()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the connection goes on")
	}
}

func TestClientsBehindProxiesAreJudgedAgain(t *testing.T) {
	for _, c := range []struct {
		name, header string
		proxies      []netip.Prefix
		want         int
	}{
		{"the allowed client", "X-Forwarded-For: 203.0.113.9\n", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 200},
		{"another client", "X-Forwarded-For: 203.0.113.10\n", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 403},
		{"what the client wrote itself", "X-Forwarded-For: 203.0.113.9, 203.0.113.10\n", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 403},
		{"a zone", "X-Forwarded-For: 203.0.113.9%eth0\n", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 403},
		{"IPv4 in IPv6's clothes", "X-Forwarded-For: ::ffff:203.0.113.9\n", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 200},
		{"the proxy itself", "", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 403},
	} {
		a := &admission{}
		f := start(t, Config{Handler: echo(), Admit: a.admit, TrustedProxies: c.proxies})
		a.clients.Store("203.0.113.9")
		conn := f.dial(t)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: h\r\n"+strings.ReplaceAll(c.header, "\n", "\r\n")+"\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != c.want {
			t.Errorf("%s: %v %v, want %d", c.name, resp, err, c.want)
		}
		conn.Close()
	}
}

func TestSpoofedHeaderDoesNotOpen(t *testing.T) {
	a := &admission{}
	a.clients.Store("203.0.113.9")
	f := start(t, Config{Handler: echo(), Admit: a.admit})
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		return // dropped at once
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		t.Errorf("let in: %v", resp.Status)
	}
}

func TestMetricsReach(t *testing.T) {
	monitoring := netip.MustParsePrefix("10.0.0.0/8")
	f := start(t, Config{
		Handler: echo(), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "m") }),
		Reaches: func(surface string, from netip.Addr) bool { return surface == "metrics" && monitoring.Contains(from) },
	})
	for _, c := range []struct {
		name, header string
		want         int
	}{
		{"a scraper", "X-Forwarded-For: 10.1.1.1\r\n", 200},
		{"somebody else", "X-Forwarded-For: 11.1.1.1\r\n", 403},
		{"a web page", "X-Forwarded-For: 10.1.1.1\r\nSec-Fetch-Site: same-origin\r\n", 403},
		{"this machine, which the list leaves out", "", 403},
	} {
		conn := f.dial(t)
		fmt.Fprint(conn, "GET /-/metrics HTTP/1.1\r\nHost: kura\r\n"+c.header+"\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != c.want {
			t.Errorf("%s: %v %v, want %d", c.name, resp, err, c.want)
		}
		conn.Close()
	}
}
