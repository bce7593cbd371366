package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// logs is CloudWatch Logs as a Shipper sees it.
type logs struct {
	mu       sync.Mutex
	groups   map[string]bool
	streams  map[string][]string
	denied   bool
	broken   bool
	requests int
	largest  int
}

func (l *logs) request(_ context.Context, s Source, operation string, input any) (int, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if l.broken {
		return 0, nil, errors.New("broken")
	}
	if l.denied {
		return 400, []byte(`{"__type":"AccessDeniedException","message":"no"}`), nil
	}
	stream := s.Group + "/" + s.Stream
	_, there := l.streams[stream]
	switch {
	case operation == "CreateLogGroup":
		l.groups[s.Group] = true
	case operation == "CreateLogStream" && l.groups[s.Group]:
		l.streams[stream] = nil
	case operation == "PutLogEvents" && there:
		var in struct {
			Events []event `json:"logEvents"`
		}
		raw, _ := json.Marshal(input)
		if err := json.Unmarshal(raw, &in); err != nil {
			return 0, nil, err
		}
		size := 0
		for _, e := range in.Events {
			size += len(e.Message) + eventCost
			l.streams[stream] = append(l.streams[stream], e.Message)
		}
		l.largest = max(l.largest, size)
	default:
		return 400, []byte(`{"__type":"com.amazon#ResourceNotFoundException"}`), nil
	}
	return 200, []byte("{}"), nil
}

func newShipper() (*Shipper, *logs) {
	l := &logs{groups: map[string]bool{}, streams: map[string][]string{}}
	return New(Config{Request: l.request, Log: slog.New(slog.DiscardHandler)}), l
}

var from = Source{Function: "f", Role: "r", Group: "/aws/lambda/f", Stream: "s"}

func TestLinesArrive(t *testing.T) {
	s, l := newShipper()
	start := time.Now()
	s.Write(from, start.Add(time.Millisecond), "second")
	s.Write(from, start, "first")
	s.Write(from, start, "")
	s.Write(from, start.Add(2*time.Millisecond), "a\xffb")
	s.flush(t.Context())
	s.Write(from, start.Add(3*time.Millisecond), "later")
	// A stop sends what waits.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Run(ctx)
	if got := strings.Join(l.streams["/aws/lambda/f/s"], " "); got != "first second a\uFFFDb later" || l.requests != 6 {
		t.Errorf("%q in %d requests", got, l.requests)
	}
}

// TestAStopLosesNothing: neither what is on its way when it comes, nor what waits behind that.
func TestAStopLosesNothing(t *testing.T) {
	l := &logs{groups: map[string]bool{}, streams: map[string][]string{}}
	ctx, stop := context.WithCancel(t.Context())
	s := New(Config{Log: slog.New(slog.DiscardHandler), Interval: time.Millisecond, Request: func(ctx context.Context, s Source, operation string, input any) (int, []byte, error) {
		stop()
		if err := ctx.Err(); err != nil {
			return 0, nil, err
		}
		return l.request(ctx, s, operation, input)
	}})
	const streams = 5
	for n := range streams {
		s.Write(Source{Group: "g", Stream: fmt.Sprint(n)}, time.Now(), "x")
	}
	s.Run(ctx)
	for n := range streams {
		if got := l.streams[fmt.Sprint("g/", n)]; len(got) != 1 {
			t.Errorf("stream %d has %d lines", n, len(got))
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s, l := newShipper()
	line := strings.Repeat("x", 100_000)
	for n := range 200 {
		for range 10 {
			s.Write(Source{Group: "g", Stream: fmt.Sprint(n)}, time.Now(), line)
		}
	}
	for range 100 {
		s.Write(from, time.Now(), line)
	}
	if s.size > maxAll {
		t.Errorf("%d bytes wait", s.size)
	}
	s.flush(t.Context())
	if s.size != 0 || l.largest > batchBytes {
		t.Errorf("%d bytes wait, a request had %d", s.size, l.largest)
	}
	got := l.streams["/aws/lambda/f/s"]
	if len(got) == 0 || !strings.Contains(got[len(got)-1], "lines were written faster") {
		t.Errorf("nobody says that lines are missing: %d lines", len(got))
	}
	s.Write(from, time.Now(), strings.Repeat("é", maxEvent))
	s.flush(t.Context())
	if got := l.streams["/aws/lambda/f/s"]; len(got[len(got)-1]) > maxEvent {
		t.Error("a line without end")
	}
}

func TestARoleThatMayNotWriteHasNoLogs(t *testing.T) {
	s, l := newShipper()
	for _, fail := range []func(){func() { l.denied = true }, func() { l.denied, l.broken = false, true }} {
		fail()
		before := l.requests
		for range 10 {
			s.Write(from, time.Now(), "x")
			s.flush(t.Context())
		}
		if l.requests != before+1 || s.size != 0 {
			t.Errorf("%d requests, %d bytes wait", l.requests-before, s.size)
		}
		s.streams[from].refused = time.Time{}
	}
}
