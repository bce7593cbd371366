package export

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/policy"
)

// harness is a store whose record is exported.
type harness struct {
	t       *testing.T
	meta    engine.Meta
	journal *audit.Journal
	added   int
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	j, err := audit.OpenJournal(audit.JournalConfig{
		Dir: filepath.Join(t.TempDir(), "audit"), Stream: audit.StreamManagement, SegmentBytes: 32 << 10,
		Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)), Log: slog.New(slog.DiscardHandler), CheckpointEvery: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return &harness{t: t, meta: memory.NewMeta(), journal: j}
}

// start exports until the test calls stop.
func (h *harness) start(target string) (e *Exporter, stop func()) {
	h.t.Helper()
	e, err := New(h.t.Context(), Config{
		Meta: h.meta, Journals: map[string]*audit.Journal{audit.StreamManagement: h.journal}, Targets: []string{target},
		Dial: new(net.Dialer).DialContext, Version: "1", Log: slog.New(slog.DiscardHandler), Retry: time.Millisecond, RetryMax: 10 * time.Millisecond, SaveEvery: time.Millisecond,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	return e, sync.OnceFunc(func() { cancel(); <-done })
}

// add records n more requests; their request ids are their numbers.
func (h *harness) add(n int) {
	h.t.Helper()
	for range n {
		h.added++
		ev := &audit.Event{
			ID: "x", RequestID: strconv.Itoa(h.added), Time: time.Now(), Service: "s3", Operation: "CreateBucket", Class: audit.Management,
			Principal: policy.Principal{Type: policy.IAMUser, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/ü", UserID: "AIDA1", Name: "ü"},
			Status:    200, Bucket: "b",
		}
		if h.added%2 == 0 {
			ev.Status, ev.ErrorCode, ev.ErrorText = 403, "AccessDenied", strings.Repeat("ü", 20)
		}
		if err := h.journal.Append(h.added%50 == 0, audit.Lines(ev, audit.CategoryManagement)...); err != nil {
			h.t.Fatal(err)
		}
	}
}

// received are records as a target got them.
type received struct {
	mu  sync.Mutex
	ids []int
}

func (r *received) take(t *testing.T, record []byte) {
	t.Helper()
	var got struct {
		RequestID string `json:"requestID"`
	}
	if err := json.Unmarshal(record, &got); err != nil {
		t.Errorf("%q: %v", record, err)
		return
	}
	id, _ := strconv.Atoi(got.RequestID)
	r.mu.Lock()
	r.ids = append(r.ids, id)
	r.mu.Unlock()
}

// whole tells whether 1 to n were received, in order but for what was sent again.
func (r *received) whole(n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := 1
	for i, id := range r.ids {
		switch {
		case id > next:
			return fmt.Errorf("%d after %v", id, r.ids[max(0, i-3):i])
		case id == next:
			next++
		}
	}
	if next <= n {
		return fmt.Errorf("%d of %d", next-1, n)
	}
	return nil
}

func until(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for range 1000 {
		if err = f(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
}

func (h *harness) untilWhole(r *received) {
	h.t.Helper()
	until(h.t, func() error { return r.whole(h.added) })
}

func idle(e *Exporter) func() error {
	return func() error {
		for _, p := range e.Progress() {
			if p.Lag > 0 || p.Failing {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	}
}

func TestFileHasEveryRecordOnceAcrossRestartsAndRenames(t *testing.T) {
	h := newHarness(t)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	e, stop := h.start("file://" + path)
	h.add(250)
	until(t, func() error { return fileHolds(t, path, 250) })
	until(t, idle(e))
	stop()
	h.add(100) // while nobody exports
	// A crash tore a line.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"torn`)
	f.Close()
	_, stop = h.start("file://" + path)
	defer stop()
	until(t, func() error { return fileHolds(t, path, 350) })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	h.add(10)
	until(t, func() error {
		if got, err := os.ReadFile(path); err != nil || bytes.Count(got, []byte("\n")) != 10 {
			return fmt.Errorf("after the rename: %d lines, %v", bytes.Count(got, []byte("\n")), err)
		}
		return nil
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// fileHolds tells whether path holds 1 to n, each once and whole but for a torn line.
func fileHolds(t *testing.T, path string, n int) error {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r received
	for line := range bytes.Lines(text) {
		if string(line) == "{\"torn\n" {
			continue
		}
		if bytes.HasSuffix(line, []byte("\n")) {
			r.take(t, line)
		}
	}
	if err := r.whole(n); err != nil {
		return err
	}
	if len(r.ids) != n {
		t.Errorf("%d lines for %d records", len(r.ids), n)
	}
	return nil
}

// syslogServer takes messages over TCP; hangUp, when it is not 0, is how many of a connection.
func syslogServer(t *testing.T, address string, r *received, hangUp int) (string, func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for n := 0; hangUp == 0 || n < hangUp; n++ {
					message, err := counting(in)
					if err != nil {
						return
					}
					takeMessage(t, r, message)
				}
			}()
		}
	}()
	return l.Addr().String(), func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	}
}

func counting(in *bufio.Reader) ([]byte, error) {
	length, err := in.ReadString(' ')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
	if err != nil {
		return nil, err
	}
	message := make([]byte, n)
	_, err = io.ReadFull(in, message)
	return message, err
}

// takeMessage checks a message's form: PRI VERSION TIME HOST APP PROCID MSGID [SD] MSG.
func takeMessage(t *testing.T, r *received, message []byte) {
	head, record, ok := bytes.Cut(message, []byte("] "))
	fields := strings.SplitN(string(head), " ", 7)
	if !ok || len(fields) != 7 || fields[0] != "<110>1" && fields[0] != "<108>1" || fields[3] != "kura" || fields[5] != "management" || !strings.HasPrefix(fields[6], `[meta sequenceId="`) {
		t.Errorf("%q", message)
	}
	if _, err := time.Parse(time.RFC3339Nano, fields[1]); err != nil {
		t.Error(err)
	}
	if refused := bytes.Contains(record, []byte(`"errorCode"`)); refused != (fields[0] == "<108>1") {
		t.Errorf("%q", message)
	}
	r.take(t, record)
}

func TestSyslogServerGoesAndComesBack(t *testing.T) {
	h := newHarness(t)
	var r received
	address, down := syslogServer(t, "127.0.0.1:0", &r, 0)
	e, stop := h.start("syslog://" + address)
	h.add(150)
	h.untilWhole(&r)
	until(t, idle(e))
	down()
	h.add(150)
	until(t, func() error {
		if !e.Progress()[0].Failing || e.Progress()[0].Lag == 0 {
			return fmt.Errorf("%+v", e.Progress())
		}
		return nil
	})
	stop() // and Kura restarts meanwhile
	h.add(10)
	e, stop = h.start("syslog://" + address)
	defer stop()
	_, down = syslogServer(t, address, &r, 0)
	defer down()
	h.untilWhole(&r)
	until(t, idle(e))
}

func TestSyslogReceiverThatHangsUpWhileIdleIsNoFailure(t *testing.T) {
	h := newHarness(t)
	var r received
	address, down := syslogServer(t, "127.0.0.1:0", &r, 10)
	defer down()
	e, stop := h.start("syslog://" + address)
	defer stop()
	for range 3 {
		h.add(10)
		until(t, func() error { r.mu.Lock(); defer r.mu.Unlock(); return h.all(r.ids) })
		until(t, idle(e))
	}
	h.untilWhole(&r)
}

func (h *harness) all(ids []int) error {
	if len(ids) < h.added {
		return fmt.Errorf("%v", ids)
	}
	return nil
}

func TestSyslogOverDatagrams(t *testing.T) {
	for _, scheme := range []string{"udp", "unix"} {
		h := newHarness(t)
		var r received
		network, address := "udp", "127.0.0.1:0"
		if scheme == "unix" {
			dir, err := os.MkdirTemp("", "k") // a socket's path is short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			network, address = "unixgram", filepath.Join(dir, "log")
		}
		l, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			buffer := make([]byte, 64<<10)
			for {
				n, _, err := l.ReadFrom(buffer)
				if err != nil {
					return
				}
				takeMessage(t, &r, buffer[:n])
			}
		}()
		_, stop := h.start("syslog+" + scheme + "://" + l.LocalAddr().String())
		h.add(20)
		h.untilWhole(&r)
		stop()
	}
	if got := cut([]byte("aüb"), 2); string(got) != "a" {
		t.Errorf("%q", got)
	}
}

// collector is an OTLP receiver; before each answer it asks what to do.
func collector(t *testing.T, r *received, answer func(w http.ResponseWriter, ids []int) bool) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var in otlpRequest
		if err := json.NewDecoder(request.Body).Decode(&in); err != nil || request.URL.Path != "/v1/logs" || request.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %v", request, err)
		}
		if user, password, _ := request.BasicAuth(); user != "u" || password != "p" {
			t.Error("no credentials")
		}
		var batch received
		for _, l := range in.ResourceLogs[0].ScopeLogs[0].LogRecords {
			batch.take(t, []byte(l.Body.String))
		}
		if answer(w, batch.ids) {
			r.mu.Lock()
			r.ids = append(r.ids, batch.ids...)
			r.mu.Unlock()
			io.WriteString(w, `{"partialSuccess":{}}`)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func otlpURL(s *httptest.Server) string {
	return strings.Replace(s.URL, "http://", "otlp+http://u:p@", 1)
}

func TestCollectorThatIsBusyGetsEverythingInOrder(t *testing.T) {
	h := newHarness(t)
	var r received
	var calls atomic.Int64
	s := collector(t, &r, func(w http.ResponseWriter, ids []int) bool {
		switch n := calls.Add(1); {
		case n < 4:
			w.WriteHeader([]int{429, 503, 500}[n-1])
		case n == 5:
			panic(http.ErrAbortHandler)
		case len(ids) > 30:
			w.WriteHeader(413)
		default:
			return true
		}
		return false
	})
	e, stop := h.start(otlpURL(s))
	h.add(300)
	h.untilWhole(&r)
	until(t, idle(e))
	stop()
	h.add(40)
	_, stop = h.start(otlpURL(s))
	defer stop()
	h.untilWhole(&r)
	if target := e.Progress()[0].Target; strings.Contains(target, "u:p") {
		t.Errorf("%s tells the password", target)
	}
}

func TestARecordThatIsRefusedForGoodHoldsUpNoOther(t *testing.T) {
	h := newHarness(t)
	var r received
	s := collector(t, &r, func(w http.ResponseWriter, ids []int) bool {
		if slices.Contains(ids, 7) {
			w.WriteHeader(400)
			return false
		}
		if slices.Contains(ids, 20) {
			r.mu.Lock()
			r.ids = append(r.ids, ids...)
			r.mu.Unlock()
			io.WriteString(w, `{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"x"}}`)
			return false
		}
		return true
	})
	e, stop := h.start(otlpURL(s))
	defer stop()
	h.add(50)
	until(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.ids) != 49 || !slices.IsSorted(r.ids) || slices.Contains(r.ids, 7) || e.Progress()[0].Rejected != 3 {
			return fmt.Errorf("%v %+v", r.ids, e.Progress())
		}
		return nil
	})
}

func TestAnExportWithoutATargetKeepsItsPlace(t *testing.T) {
	h := newHarness(t)
	h.add(50) // durable: not exported, they were before
	path := filepath.Join(t.TempDir(), "none", "f")
	_, stop := h.start("file://" + path)
	h.add(50)
	stop()
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	_, stop = h.start("file://" + path)
	defer stop()
	until(t, func() error {
		text, _ := os.ReadFile(path)
		if n := bytes.Count(text, []byte("\n")); n != 50 || !bytes.Contains(text, []byte(`"requestID":"51"`)) {
			return fmt.Errorf("%d lines", n)
		}
		return nil
	})
}

func TestTargetsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, target := range []string{
		"", "x", "file:x", "file://host/x", "file:///", "syslog://", "syslog://u@h", "syslog://h/path", "syslog://h?ca=/x", "otlp+http://h?ca=x",
		"otlp+https://u@h?token=/x", "otlp+https://h?what=x", "syslog+unix://h/x", "http://h", "otlp+http://h#f", "syslog+tls://h?ca=/is/not/there", "otlp+http://[",
	} {
		_, err := New(t.Context(), Config{Meta: memory.NewMeta(), Targets: []string{target}, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Errorf("%q was taken", target)
		}
	}
	_, err := New(t.Context(), Config{Meta: memory.NewMeta(), Targets: []string{"otlp+http://h", "otlp+http://u:p@h"}, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "twice") || strings.Contains(err.Error(), "u:p") {
		t.Errorf("one target twice: %v", err)
	}
}
