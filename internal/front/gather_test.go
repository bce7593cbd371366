package front

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// counting is a connection that notes the sizes of what is written.
type counting struct {
	net.Conn
	writes []int
	bytes.Buffer
}

func (c *counting) Read(b []byte) (int, error) { return c.Buffer.Read(b) }

func (c *counting) Write(b []byte) (int, error) {
	c.writes = append(c.writes, len(b))
	return c.Buffer.Write(b)
}

func TestAGatheredAnswerIsOneWrite(t *testing.T) {
	under := &counting{}
	c := &conn{Conn: under, registry: newRegistry(Limits{}, nil)}
	header := "HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
	body := strings.Repeat("b", 5000)
	for range 2 {
		under.writes = nil
		c.answer.expect(len(body))
		text := header + body
		for _, piece := range []string{text[:10], text[10:4096], text[4096:5000], text[5000:]} {
			if n, err := io.WriteString(c, piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
		if fmt.Sprint(under.writes) != fmt.Sprint([]int{len(header) + len(body)}) {
			t.Errorf("writes of %v bytes", under.writes)
		}
		if got := under.String(); got != text {
			t.Errorf("%d other bytes", len(got))
		}
		under.Reset()
	}
	under.writes = nil
	if _, err := io.WriteString(c, "next"); err != nil || len(under.writes) != 1 {
		t.Errorf("what follows is held back: %v %v", under.writes, err)
	}
	// Headers of any size pass.
	c.answer.expect(gatherFrom)
	if _, err := io.WriteString(c, strings.Repeat("h", gatherRoom+1)); err != nil || len(under.writes) != 2 {
		t.Errorf("a large header is held back: %v", err)
	}
}

func TestAnswersOfEverySizeArriveWhole(t *testing.T) {
	f := start(t, Config{Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = w.Write(bytes.Repeat([]byte("x"), n))
		}
	})})
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for _, n := range []int{0, 1, gatherFrom - 1, gatherFrom, 4096 - 200, 4096, 5000, 8192, gatherTo, gatherTo + 1, 1 << 20} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, status := range []int{200, 206, 404} {
				r, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://%s/b/k?n=%d&status=%d", f.addr, n, status), nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				want := n
				if method == http.MethodHead {
					want = 0
				}
				if err != nil || len(body) != want || answer.StatusCode != status || answer.ContentLength != int64(n) {
					t.Errorf("%s of %d: %d %d bytes, %v", method, n, answer.StatusCode, len(body), err)
				}
			}
		}
	}
}

func TestAShortAnswerIsBrokenNotHeld(t *testing.T) {
	f := start(t, Config{Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5000")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "too little")
	})})
	answer, err := http.Get("http://" + f.addr + "/b/k")
	if err != nil {
		return // the connection ended before the header: as good
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err == nil {
		t.Error("a short answer was taken for whole")
	}
}
