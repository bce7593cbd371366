package front

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// member authenticates who says so, and answers after the body was read.
var member = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		Authenticated(r.Context())
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, err)
		return
	}
	fmt.Fprintf(w, "%d bytes", n)
})

const (
	stranger = "GET / HTTP/1.1\nHost: a\n\n"
	known    = "GET / HTTP/1.1\nHost: a\nAuthorization: yes\n\n"
)

func TestStrangersGiveWay(t *testing.T) {
	f := start(t, Config{Handler: member, Limits: Limits{Unauthenticated: 2}})
	friend := f.dial(t)
	ask(t, friend, known)
	first, second := f.dial(t), f.dial(t)
	ask(t, first, stranger)
	ask(t, second, stranger)
	third := f.dial(t)
	ask(t, third, stranger)
	if !closed(first) {
		t.Error("the oldest idle stranger must give way")
	}
	ask(t, second, stranger)
	ask(t, friend, known)
	if st := f.Stats(); st.Refused[RefusedStranger] != 1 || st.Unauthenticated != 2 || st.Connections != 3 {
		t.Errorf("%+v", st)
	}
}

func TestManyHeldConnectionsDoNotLockAMemberOut(t *testing.T) {
	for name, limits := range map[string]Limits{
		"by all":         {Unauthenticated: 8, Connections: 8},
		"by one address": {ConnectionsPerIP: 8},
	} {
		f := start(t, Config{Handler: member, Limits: limits})
		for range 50 {
			fmt.Fprint(f.dial(t), "GET / HT") // never ends its headers
		}
		if _, got := ask(t, f.dial(t), known); got != "0 bytes" {
			t.Errorf("%s: got %q", name, got)
		}
		if st := f.Stats(); st.Connections != 8 || st.Refused[RefusedStranger] != 43 {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

func TestConnectionsOfOneAddress(t *testing.T) {
	f := start(t, Config{Handler: member, Limits: Limits{ConnectionsPerIP: 2}})
	a, b := f.dial(t), f.dial(t)
	ask(t, a, known)
	ask(t, b, known)
	if !closed(f.dial(t)) {
		t.Error("a third connection of one address was let in")
	}
	a.Close()
	eventually(t, "a closed connection gives its place back", func() bool { return f.Stats().Connections == 1 })
	ask(t, f.dial(t), known)

	behind := start(t, Config{Handler: member, Limits: Limits{ConnectionsPerIP: 2}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for range 5 {
		ask(t, behind.dial(t), known)
	}
}

func TestOneIPv6CustomerIsOneOrigin(t *testing.T) {
	a, b, c := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1"), netip.MustParseAddr("2001:db8:0:1::1")
	if origin(a) != origin(b) || origin(a) == origin(c) {
		t.Error("IPv6 connections are counted by /64")
	}
	if origin(netip.MustParseAddr("192.0.2.1")) == origin(netip.MustParseAddr("192.0.2.2")) {
		t.Error("IPv4 connections are counted by address")
	}
}

func TestAllConnectionsTaken(t *testing.T) {
	f := start(t, Config{Handler: member, Limits: Limits{Connections: 2}})
	a, b := f.dial(t), f.dial(t)
	ask(t, a, known)
	ask(t, b, known)
	if !closed(f.dial(t)) {
		t.Error("a connection above the limit was let in")
	}
	ask(t, a, known)
	if st := f.Stats(); st.Refused[RefusedConnections] != 1 {
		t.Errorf("%+v", st)
	}
}

func TestAStrangersConnectionEnds(t *testing.T) {
	f := start(t, Config{Handler: member, Limits: Limits{StrangerRequests: 3}})
	c, friend := f.dial(t), f.dial(t)
	for i := 1; i <= 3; i++ {
		resp, _ := ask(t, c, stranger)
		if resp.Close != (i == 3) {
			t.Errorf("request %d: close %v", i, resp.Close)
		}
	}
	for range 5 {
		if resp, _ := ask(t, friend, known); resp.Close {
			t.Error("a member's connection was ended")
		}
	}
	aged := start(t, Config{Handler: member, Limits: Limits{StrangerAge: time.Millisecond}})
	c = aged.dial(t)
	time.Sleep(5 * time.Millisecond)
	if resp, _ := ask(t, c, stranger); !resp.Close {
		t.Error("an old stranger's connection was kept")
	}
}

func TestUploadsAreBounded(t *testing.T) {
	f := start(t, Config{Handler: member, Limits: Limits{Uploads: 4}})
	put := func(auth string) net.Conn {
		c := f.dial(t)
		fmt.Fprintf(c, "PUT /b/k HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\nhe", auth, smallBody+1)
		return c
	}
	slowStranger := put("")
	eventually(t, "the stranger's upload is counted", func() bool { return f.uploads.unknown.Load() == 1 })
	if resp, body := answer(t, put("")); resp.StatusCode != 400 || body != ErrTooManyUploads.Error() {
		t.Errorf("a second stranger took a member's place: %d %s", resp.StatusCode, body)
	}
	var members []net.Conn
	for range 3 {
		members = append(members, put("Authorization: yes\r\n"))
	}
	eventually(t, "three members and a stranger upload", func() bool { return f.Stats().Uploads == 4 })
	if resp, body := answer(t, put("Authorization: yes\r\n")); resp.StatusCode != 503 || !strings.Contains(body, "<Code>SlowDown</Code>") {
		t.Errorf("a fifth upload: %d %s", resp.StatusCode, body)
	}
	small := f.dial(t)
	fmt.Fprint(small, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	if _, got := answer(t, small); got != "5 bytes" {
		t.Errorf("a small body beside all of these: %q", got)
	}
	for _, c := range append(members, slowStranger) {
		fmt.Fprint(c, strings.Repeat("x", smallBody-1))
		if _, got := answer(t, c); got != fmt.Sprint(smallBody+1, " bytes") {
			t.Errorf("got %q", got)
		}
	}
	eventually(t, "every place is given back", func() bool { return f.Stats().Uploads == 0 && f.uploads.unknown.Load() == 0 })
}

func quick() Limits {
	return Limits{Window: 240 * time.Millisecond, MinProgress: 1000}
}

func TestASlowBodyEnds(t *testing.T) {
	for _, who := range []string{"", "Authorization: yes\r\n"} {
		f := start(t, Config{Handler: member, Limits: quick()})
		c := f.dial(t)
		fmt.Fprintf(c, "PUT /b/k HTTP/1.1\r\nHost: a\r\n%sContent-Length: 100000\r\n\r\n", who)
		resp, body := answer(t, c)
		if resp.StatusCode != 400 || body != ErrSlowBody.Error() {
			t.Errorf("%q: %d %s", who, resp.StatusCode, body)
		}
		if st := f.Stats(); st.Refused[RefusedSlowBody] != 1 {
			t.Errorf("%+v", st)
		}
	}
}

func TestASteadyBodyIsLeftAlone(t *testing.T) {
	f := start(t, Config{Handler: member, Limits: quick()})
	c := f.dial(t)
	const pieces = 60
	fmt.Fprintf(c, "PUT /b/k HTTP/1.1\r\nHost: a\r\nAuthorization: yes\r\nContent-Length: %d\r\n\r\n", pieces*1000)
	for range pieces { // 600 ms: more than two windows
		time.Sleep(10 * time.Millisecond)
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if resp, body := answer(t, c); resp.StatusCode != 200 || body != fmt.Sprint(pieces*1000, " bytes") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestASlowServerIsNotTheClientsFault(t *testing.T) {
	f := start(t, Config{Limits: quick(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		time.Sleep(500 * time.Millisecond)
		if r.Context().Err() != nil {
			t.Error("the request was cancelled while the server worked")
		}
		fmt.Fprint(w, "done")
	})})
	c := f.dial(t)
	for range 2 {
		if _, got := ask(t, c, "PUT /b/k HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"); got != "done" {
			t.Errorf("got %q", got)
		}
	}
}

// net/http reads the rest of a refused body before it answers: at a byte a second, for ever.
func TestABodyThatNobodyWantsIsNotWaitedForForever(t *testing.T) {
	f := start(t, Config{Limits: quick(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	})})
	c := f.dial(t)
	fmt.Fprint(c, "PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	resp, _ := answer(t, c)
	if resp.StatusCode != 403 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if !closed(c) {
		t.Error("the connection is still open")
	}
	eventually(t, "its place is given back", func() bool { return f.Stats().Connections == 0 })
}

func TestAnIdleConnectionIsNotSlow(t *testing.T) {
	f := start(t, Config{Limits: quick(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Authenticated(r.Context())
		w.WriteHeader(http.StatusForbidden) // leaves the body; it is small and has arrived
	})})
	c := f.dial(t)
	for range 2 {
		ask(t, c, "PUT /b/k HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello")
		time.Sleep(400 * time.Millisecond)
	}
}

func TestASlowReaderEnds(t *testing.T) {
	ended := make(chan error, 1)
	f := start(t, Config{Limits: quick(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Authenticated(r.Context())
		b := make([]byte, 64<<10)
		for {
			if _, err := w.Write(b); err != nil {
				ended <- err
				return
			}
		}
	})})
	fmt.Fprint(f.dial(t), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("a client that takes nothing holds the handler")
	}
	if st := f.Stats(); st.Refused[RefusedSlowReader] != 1 {
		t.Errorf("%+v", st)
	}
}

func TestHeadersAreBoundedInSizeAndTime(t *testing.T) {
	f := start(t, Config{Handler: member, Limits: Limits{HeaderBytes: 4096, HeaderTimeout: time.Second}})
	if resp, _ := ask(t, f.dial(t), "GET / HTTP/1.1\nHost: a\nX: "+strings.Repeat("x", 16<<10)+"\n\n"); resp.StatusCode != 431 {
		t.Errorf("status %d", resp.StatusCode)
	}
	c := f.dial(t)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n")
	if !closed(c) {
		t.Error("headers that never end are waited for")
	}
}
