// Package output sends what functions write to CloudWatch Logs, each under the permission of its execution
// role.
//
// Promises: what a function writes never holds it up; memory is bounded, by stream and as a whole, and what
// does not fit is counted and told in its place; a stop sends what is waiting. As at AWS, a role that may not
// write logs has none.
package output

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config of a Shipper.
type Config struct {
	// Request makes a request to CloudWatch Logs in the role of a function. Required.
	Request func(ctx context.Context, s Source, operation string, input any) (status int, answer []byte, err error)
	// Log is told of what cannot be sent. Required.
	Log *slog.Logger
	// Interval between two looks. Default 250 ms.
	Interval time.Duration
}

// Source is who writes, and where.
type Source struct{ Function, Role, Group, Stream string }

// Shipper collects lines and sends them.
type Shipper struct {
	config Config

	mu      sync.Mutex
	streams map[Source]*stream
	size    int
}

type stream struct {
	lines   []line
	size    int
	dropped int
	used    time.Time
	refused time.Time // when its role was last refused
}

type line struct {
	at   time.Time
	text string
}

const (
	// maxStream and maxAll bound what waits, in bytes.
	maxStream = 4 << 20
	maxAll    = 64 << 20
	// overhead is what a line costs beside its text.
	overhead = 64
	// A batch has at most so many events and bytes, an event so many bytes (CloudWatch Logs quotas).
	batchEvents = 10_000
	batchBytes  = 1 << 20
	maxEvent    = 256<<10 - 26
	eventCost   = 26
	// refusedFor is how long a role that was refused is not asked again.
	refusedFor = 5 * time.Second
	// forget streams without lines after.
	forget = time.Hour
	// stopTime is how long a stop sends.
	stopTime = 3 * time.Second
)

// New makes a Shipper.
func New(c Config) *Shipper {
	if c.Interval == 0 {
		c.Interval = 250 * time.Millisecond
	}
	return &Shipper{config: c, streams: map[Source]*stream{}}
}

// Write takes a line. It never waits for anybody.
func (s *Shipper) Write(from Source, at time.Time, text string) {
	if text = strings.ToValidUTF8(text, "\uFFFD"); text == "" {
		return // CloudWatch Logs has no empty events
	}
	if len(text) > maxEvent {
		text = strings.ToValidUTF8(text[:maxEvent], "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[from]
	if st == nil {
		st = &stream{}
		s.streams[from] = st
	}
	st.used = at
	n := len(text) + overhead
	if st.size+n > maxStream || s.size+n > maxAll {
		st.dropped++
		return
	}
	st.lines = append(st.lines, line{at, text})
	st.size += n
	s.size += n
}

// Run sends until ctx ends, and then what is still waiting. A stop does not cut off what is on its way, but
// takes no longer than stopTime.
func (s *Shipper) Run(ctx context.Context) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })()
	tick := time.NewTicker(s.config.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			s.flush(sending)
		case <-ctx.Done():
		}
	}
	s.flush(sending)
}

// take are the lines of a stream that wait, with what is told of those that did not fit.
func (s *Shipper) take(from Source) (lines []line, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[from]
	lines = st.lines
	if st.dropped > 0 {
		lines = append(lines, line{time.Now(), fmt.Sprintf("[%d lines were written faster than they could be stored and are missing here]", st.dropped)})
	}
	s.size -= st.size
	st.lines, st.size, st.dropped = nil, 0, 0
	if len(lines) == 0 && time.Since(st.used) > forget {
		delete(s.streams, from)
	}
	return lines, time.Since(st.refused) < refusedFor
}

func (s *Shipper) flush(ctx context.Context) {
	s.mu.Lock()
	sources := make([]Source, 0, len(s.streams))
	for from := range s.streams {
		sources = append(sources, from)
	}
	s.mu.Unlock()
	for _, from := range sources {
		lines, refused := s.take(from)
		if refused {
			continue
		}
		slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
		for len(lines) > 0 && ctx.Err() == nil {
			n := batch(lines)
			if err := s.send(ctx, from, lines[:n]); err != nil {
				s.failed(from, err, len(lines))
				break
			}
			lines = lines[n:]
		}
	}
}

// batch is how many of the lines fit into one request.
func batch(lines []line) (n int) {
	size := 0
	for n < len(lines) && n < batchEvents {
		if size += len(lines[n].text) + eventCost; size > batchBytes {
			return max(n, 1)
		}
		n++
	}
	return n
}

func (s *Shipper) failed(from Source, err error, lines int) {
	s.mu.Lock()
	if st := s.streams[from]; st != nil {
		st.refused = time.Now()
	}
	s.mu.Unlock()
	s.config.Log.Warn("functions: output is not stored", "function", from.Function, "group", from.Group, "lines", lines, "err", err)
}

// event is one of PutLogEvents.
type event struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

// send puts lines into their stream, and makes stream and group where they are missing.
func (s *Shipper) send(ctx context.Context, from Source, lines []line) error {
	events := make([]event, len(lines))
	for i, l := range lines {
		events[i] = event{l.at.UnixMilli(), l.text}
	}
	put := map[string]any{"logGroupName": from.Group, "logStreamName": from.Stream, "logEvents": events}
	err := s.request(ctx, from, "PutLogEvents", put)
	if code(err) != "ResourceNotFoundException" {
		return err
	}
	stream := map[string]any{"logGroupName": from.Group, "logStreamName": from.Stream}
	err = s.request(ctx, from, "CreateLogStream", stream)
	if code(err) == "ResourceNotFoundException" {
		if err = s.request(ctx, from, "CreateLogGroup", map[string]any{"logGroupName": from.Group}); err != nil && code(err) != exists {
			return err
		}
		err = s.request(ctx, from, "CreateLogStream", stream)
	}
	if err != nil && code(err) != exists {
		return err
	}
	return s.request(ctx, from, "PutLogEvents", put)
}

const exists = "ResourceAlreadyExistsException"

// refusal is an answer that is no success.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return cmp.Or(r.message, r.code) }

func code(err error) string {
	if r, ok := err.(*refusal); ok {
		return r.code
	}
	return ""
}

func (s *Shipper) request(ctx context.Context, from Source, operation string, input any) error {
	status, answer, err := s.config.Request(ctx, from, operation, input)
	if err != nil || status == http.StatusOK {
		return err
	}
	var told struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &told) != nil || told.Type == "" {
		return fmt.Errorf("output: %s: status %d", operation, status)
	}
	return &refusal{told.Type[strings.LastIndexByte(told.Type, '#')+1:], told.Message}
}
