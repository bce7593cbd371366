package logs

import (
	"bytes"
	"context"
	"math"
	"slices"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Limits of a page, and of the work for one: a search that has found less goes on with the next request.
const (
	MaxEvents = 10000
	pageBytes = 1 << 20
	// searched is how many bytes of events, looked how many chunks one request looks at.
	searched = 64 << 20
	looked   = 200000
)

// Range of events that a read is of, in milliseconds since 1970: From included, To not.
type Range struct{ From, To int64 }

// Always is the range of all events.
var Always = Range{0, math.MaxInt64}

// search is one read of a group.
type search struct {
	store   *Store
	group   *Group
	stream  uint64            // the only one, or 0
	streams map[uint64]string // the wanted ones; nil: all
	within  Range
	match   func(message []byte) bool // nil: everything
	limit   int

	// Forward: events from at on. Backward: those before it.
	forward bool
	at      Position

	found  []Event
	bytes  int64
	cut    *Position // what lies there or beyond was left out
	opened int64
	seen   int
}

// beyond tells whether p lies, in the direction of the read, at q or further.
func (x *search) beyond(p, q Position) bool {
	if x.forward {
		return p.compare(q) >= 0
	}
	return p.compare(q) <= 0
}

// wants tells whether an event at p belongs to what is read.
func (x *search) wants(p Position) bool {
	if p.Time < x.within.From || p.Time >= x.within.To || x.cut != nil && x.beyond(p, *x.cut) {
		return false
	}
	if x.forward {
		return p.compare(x.at) >= 0
	}
	return p.compare(x.at) < 0
}

// take keeps an event; when there is much more than a page, what does not belong to it goes.
func (x *search) take(e Event) {
	x.found = append(x.found, e)
	x.bytes += e.size()
	if len(x.found) > 2*x.limit || x.bytes > 2*pageBytes {
		x.trim()
	}
}

// trim keeps one page, and sets the cut where it ends.
func (x *search) trim() {
	slices.SortFunc(x.found, func(a, b Event) int {
		if x.forward {
			return a.compare(b.Position)
		}
		return b.compare(a.Position)
	})
	n, size := 0, int64(0)
	for n < len(x.found) && n < x.limit && (n == 0 || size+x.found[n].size() <= pageBytes) {
		size += x.found[n].size()
		n++
	}
	if n < len(x.found) {
		at := x.found[n].Position
		x.cut = &at
		x.found = append([]Event(nil), x.found[:n]...)
		x.bytes = size
	}
}

// done tells whether no chunk from c on, in the order of the walk, can hold anything for the page.
func (x *search) done(c chunk) bool {
	if x.cut == nil {
		return false
	}
	if x.forward {
		return c.first > x.cut.Time
	}
	return c.last < x.cut.Time
}

// spent tells whether enough was looked at, and the walk has come so far that the next request gets further;
// then it ends before c.
func (x *search) spent(c chunk) bool {
	if x.opened < searched && x.seen < looked {
		return false
	}
	edge := Position{Time: c.first}
	if !x.forward {
		edge = Position{Time: c.last, Sequence: math.MaxUint64, Index: math.MaxUint32}
	}
	if x.forward && edge.Time <= x.at.Time || !x.forward && edge.Time >= x.at.Time {
		return false
	}
	if x.cut == nil || x.beyond(*x.cut, edge) {
		x.cut = &edge
	}
	x.found = slices.DeleteFunc(x.found, func(e Event) bool { return x.beyond(e.Position, edge) })
	return true
}

// run reads one page.
func (x *search) run(ctx context.Context) error {
	it, of, err := x.walk(ctx)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	names := map[uint64]string{}
	for it.Next() {
		c, err := of(it.Key())
		if err != nil {
			return err
		}
		x.seen++
		if x.done(c) || x.spent(c) {
			break
		}
		if !x.holds(c) {
			continue
		}
		name, ok, err := x.nameOf(ctx, names, c.stream)
		if err != nil {
			return err
		}
		if !ok {
			continue // deleted
		}
		if err := x.open(ctx, it, c, name); err != nil {
			return err
		}
	}
	x.trim()
	if !x.forward {
		slices.Reverse(x.found)
	}
	return it.Err()
}

// walk is over the chunks that may hold events of the page, nearest first; nil when there are none.
func (x *search) walk(ctx context.Context) (it engine.Iterator, of func([]byte) (chunk, error), err error) {
	from, to := x.within.From, x.within.To // to is not included
	if x.forward {
		from = max(from, x.at.Time)
	} else if x.at.Time < math.MaxInt64 {
		to = min(to, x.at.Time+1)
	}
	if to <= from {
		return nil, nil, nil
	}
	var lo, hi []byte
	meta, group := x.store.meta, x.group.ID
	switch {
	case x.stream == 0:
		lo, hi, of = key(bodyPrefix, group, uint64(spanStart(from))), key(bodyPrefix, group, uint64(to)), bodyChunk
	case x.forward:
		lo, hi, of = key(forthPrefix, group, x.stream, uint64(spanStart(from))), key(forthPrefix, group, x.stream, uint64(to)), forthChunk
	default:
		lo, hi, of = key(backPrefix, group, x.stream, ^uint64(spanEnd(to-1))), key(backPrefix, group, x.stream, ^uint64(from)+1), backChunk
		if from == 0 {
			hi = engine.PrefixEnd(key(backPrefix, group, x.stream))
		}
	}
	it, err = meta.Scan(ctx, lo, hi)
	return it, of, err
}

// holds tells whether a chunk may hold an event of the page.
func (x *search) holds(c chunk) bool {
	if x.streams != nil && x.streams[c.stream] == "" {
		return false
	}
	if c.last < x.within.From || c.first >= x.within.To {
		return false
	}
	if x.forward {
		return c.last >= x.at.Time
	}
	return c.first <= x.at.Time
}

// nameOf finds a stream's name; ok is false for one that was deleted.
func (x *search) nameOf(ctx context.Context, known map[uint64]string, stream uint64) (name string, ok bool, err error) {
	if x.stream != 0 || x.streams != nil {
		return x.streams[stream], true, nil
	}
	if name, ok = known[stream]; !ok {
		raw, _, err := x.store.meta.Get(ctx, key(namePrefix, x.group.ID, stream), nil)
		if err != nil {
			return "", false, err
		}
		if len(known) > maxNamed {
			clear(known)
		}
		name = string(raw)
		known[stream] = name
	}
	return name, name != "", nil
}

// open reads a chunk's events.
func (x *search) open(ctx context.Context, it engine.Iterator, c chunk, name string) error {
	raw := it.Value()
	if x.stream != 0 {
		var v engine.Version
		var err error
		if raw, v, err = x.store.meta.Get(ctx, c.bodyKey(x.group.ID), nil); err != nil {
			return err
		}
		if v == 0 {
			return nil // its retention has ended meanwhile
		}
	}
	x.opened += int64(len(raw))
	return x.store.unpack(ctx, x.group, &c, raw, func(at Position, ingestion int64, message []byte) {
		x.opened += int64(len(message))
		if x.wants(at) && (x.match == nil || x.match(message)) {
			x.take(Event{Position: at, Message: string(bytes.Clone(message)), Ingestion: ingestion, Stream: name})
		}
	})
}

// Page is a page of one stream, in order. Forward is where reading forward goes on, Backward where backward;
// both are between two events.
type Page struct {
	Events            []Event
	Forward, Backward Position
}

// Reading is what of a stream is read.
type Reading struct {
	Range
	Limit int // 0: a page
	// From where; nil: the oldest events of the range when FromHead, else the newest.
	At       *Position
	Forward  bool // from At
	FromHead bool
}

// Read gives events of a stream and needs logs:GetLogEvents on it.
func (s *Store) Read(ctx context.Context, g authz.Grant, account, group, stream string, r Reading) (p Page, err error) {
	if err := g.Require("logs:GetLogEvents", s.StreamARN(account, group, stream)); err != nil {
		return p, err
	}
	in, err := s.Group(account, group)
	if err != nil {
		return p, err
	}
	record, _, err := s.stream(ctx, in.ID, stream)
	if err != nil {
		return p, err
	}
	r.Range.From = max(r.Range.From, s.expiry(in))
	x := &search{store: s, group: in, stream: record.id, streams: map[uint64]string{record.id: stream}, within: r.Range, limit: r.Limit}
	if x.limit == 0 {
		x.limit = MaxEvents
	}
	switch {
	case r.At != nil:
		x.at, x.forward = *r.At, r.Forward
	case r.FromHead:
		x.at, x.forward = Position{Time: r.Range.From}, true
	default:
		x.at = Position{Time: r.To}
	}
	if err := x.run(ctx); err != nil {
		return p, err
	}
	return Page{Events: x.found, Forward: x.end(r), Backward: x.begin(r)}, nil
}

// end and begin are where reading goes on from a page. From an empty one it goes on where it began, or where
// the search was broken off.
func (x *search) end(r Reading) Position {
	if n := len(x.found); n > 0 {
		last := x.found[n-1].Position
		last.Index++
		return last
	}
	return x.stand(r, true)
}

func (x *search) begin(r Reading) Position {
	if len(x.found) > 0 {
		return x.found[0].Position
	}
	return x.stand(r, false)
}

func (x *search) stand(r Reading, forward bool) Position {
	switch {
	case x.cut != nil && x.forward == forward:
		return *x.cut
	case r.At != nil:
		return *r.At
	}
	return Position{Time: r.Range.From}
}

// Filtering is what is searched for in a group.
type Filtering struct {
	Range
	Limit   int      // 0: a page
	Streams []string // of these names; none: all
	Prefix  string   // or whose names begin so
	At      Position // where the last page ended
	Match   func(message []byte) bool
}

// Filter searches a group and needs logs:FilterLogEvents on it. next is where the next page begins, nil at the
// end.
func (s *Store) Filter(ctx context.Context, g authz.Grant, account, group string, f Filtering) (events []Event, next *Position, err error) {
	if err := g.Require("logs:FilterLogEvents", s.StreamARN(account, group, "")); err != nil {
		return nil, nil, err
	}
	in, err := s.Group(account, group)
	if err != nil {
		return nil, nil, err
	}
	f.Range.From = max(f.Range.From, s.expiry(in))
	x := &search{store: s, group: in, within: f.Range, limit: f.Limit, forward: true, at: f.At, match: f.Match}
	if x.limit == 0 {
		x.limit = MaxEvents
	}
	if len(f.Streams) > 0 || f.Prefix != "" {
		if x.streams, err = s.named(ctx, in, f.Streams, f.Prefix); err != nil {
			return nil, nil, err
		}
	}
	if len(x.streams) == 1 {
		for id := range x.streams {
			x.stream = id
		}
	}
	if err := x.run(ctx); err != nil {
		return nil, nil, err
	}
	return x.found, x.cut, nil
}
