package front

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

var nothing = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
})

// BenchmarkRequest compares a request through the front with one through net/http alone.
func BenchmarkRequest(b *testing.B) {
	const empty = "GET /b/k HTTP/1.1\r\nHost: a\r\n\r\n"
	put := "PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("x", 4096)
	b.Run("empty/front", func(b *testing.B) {
		f := start(b, Config{Handler: nothing, Log: slog.New(slog.DiscardHandler), Limits: Limits{StrangerRequests: 1 << 30, StrangerAge: 1 << 60}})
		exchangeMany(b, f.addr, empty)
	})
	b.Run("empty/bare", func(b *testing.B) { exchangeMany(b, bare(b), empty) })
	b.Run("put/front", func(b *testing.B) {
		f := start(b, Config{Handler: nothing, Log: slog.New(slog.DiscardHandler), Limits: Limits{StrangerRequests: 1 << 30, StrangerAge: 1 << 60}})
		exchangeMany(b, f.addr, put)
	})
	b.Run("put/bare", func(b *testing.B) { exchangeMany(b, bare(b), put) })
}

func bare(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: nothing}
	go s.Serve(l) //nolint:errcheck // ends with Close
	b.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func exchangeMany(b *testing.B, addr, request string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, request); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
		}
	}
}
