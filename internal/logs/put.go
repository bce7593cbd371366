package logs

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// The limits of AWS (API Reference, PutLogEvents).
const (
	maxBatchBytes  = 1 << 20
	maxBatchEvents = 10000
	maxBatchSpan   = 24 * 60 * 60 * 1000
	maxAge         = 14 * 24 * 60 * 60 * 1000
	maxAhead       = 2 * 60 * 60 * 1000
	day            = 24 * 60 * 60 * 1000
)

// Rejected are the events of a batch that were left out: those before TooOldEnd and ExpiredEnd, and from TooNew
// on. Nil: none of that kind.
type Rejected struct{ TooNew, TooOldEnd, ExpiredEnd *int32 }

func checkBatch(events []Input) error {
	if len(events) == 0 || len(events) > maxBatchEvents {
		return refuse(Invalid, "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length between 1 and %d, inclusive", maxBatchEvents)
	}
	if n := sizeOf(events); n > maxBatchBytes {
		return refuse(Invalid, "Upload too large: %d bytes exceeds limit of %d", n, maxBatchBytes)
	}
	for i := range events {
		switch {
		case events[i].Message == "":
			return refuse(Invalid, "Log event message at index %d is empty.", i)
		case !utf8.ValidString(events[i].Message):
			return refuse(Invalid, "Log event message at index %d is not UTF-8.", i)
		case events[i].Time < 0:
			return refuse(Invalid, "Log event timestamp at index %d is negative.", i)
		case i > 0 && events[i].Time < events[i-1].Time:
			return refuse(Invalid, "Log events in a single PutLogEvents request must be in chronological order.")
		}
	}
	if events[len(events)-1].Time-events[0].Time > maxBatchSpan {
		return refuse(Invalid, "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return nil
}

// accept cuts off what is too old, expired or too new. The events are in order.
func accept(events []Input, now int64, retention int32) ([]Input, Rejected) {
	var r Rejected
	// before is the number of events before a moment.
	before := func(t int64) (n int) {
		for n < len(events) && events[n].Time < t {
			n++
		}
		return n
	}
	from, to := 0, before(now+maxAhead+1)
	if to < len(events) {
		r.TooNew = new(int32(to))
	}
	if n := before(now - maxAge); n > 0 {
		r.TooOldEnd, from = new(int32(n)), n
	}
	if retention > 0 {
		if n := before(now - int64(retention)*day); n > 0 {
			r.ExpiredEnd, from = new(int32(n)), max(from, n)
		}
	}
	return events[from:max(from, to)], r
}

// Put adds events to a stream and needs logs:PutLogEvents on it. It returns when they are durable. sequence is
// that of the stream's last chunk.
func (s *Store) Put(ctx context.Context, g authz.Grant, account, group, stream string, events []Input) (r Rejected, sequence uint64, err error) {
	if err := g.Require("logs:PutLogEvents", s.StreamARN(account, group, stream)); err != nil {
		return r, 0, err
	}
	if err := checkBatch(events); err != nil {
		return r, 0, err
	}
	in, err := s.Group(account, group)
	if err != nil {
		return r, 0, err
	}
	mu := s.turn(in.ID, stream)
	mu.Lock()
	defer mu.Unlock()
	now := s.now().UnixMilli()
	var accepted []Input
	err = s.write(ctx, in, func(in *Group) (*engine.Batch, error) {
		record, v, err := s.stream(ctx, in.ID, stream)
		if err != nil {
			return nil, err
		}
		accepted, r = accept(events, now, in.Retention)
		b := new(engine.Batch)
		b.Require(streamKey(in.ID, stream), v)
		old := *record
		if err := s.append(ctx, b, in, record, accepted, now); err != nil {
			return nil, err
		}
		sequence = record.sequence
		if len(accepted) > 0 {
			b.Set(streamKey(in.ID, stream), record.encode())
		}
		if record.last != old.last {
			b.Delete(recentKey(in.ID, old.last, stream))
			b.Set(recentKey(in.ID, record.last, stream), nil)
		}
		return b, nil
	})
	if err == nil {
		s.size(in.ID).Add(sizeOf(accepted))
	}
	return r, sequence, err
}

// append adds the chunks of events to b, and notes them in r.
func (s *Store) append(ctx context.Context, b *engine.Batch, in *Group, r *streamRecord, events []Input, now int64) error {
	for len(events) > 0 {
		n, end := 1, spanEnd(events[0].Time)
		for n < len(events) && events[n].Time <= end {
			n++
		}
		c := &chunk{stream: r.id, first: events[0].Time, last: events[n-1].Time, sequence: s.unique()}
		packed, err := s.pack(ctx, in, c, events[:n], now)
		if err != nil {
			return err
		}
		c.add(b, in.ID, packed)
		r.sequence, r.ingestion, r.bytes = c.sequence, now, r.bytes+sizeOf(events[:n])
		r.last = max(r.last, c.last)
		if r.first == 0 || c.first < r.first {
			r.first = c.first
		}
		events = events[n:]
	}
	return nil
}

// expiry is the moment before which events of a group are gone; 0: there is none.
func (s *Store) expiry(in *Group) int64 {
	if in.Retention == 0 {
		return 0
	}
	return s.now().Add(-time.Duration(in.Retention) * 24 * time.Hour).UnixMilli()
}
