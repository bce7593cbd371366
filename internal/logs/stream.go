package logs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"regexp"
	"slices"
	"sync"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Stream is what there is to say of one stream. Times are in milliseconds since 1970, 0: there were no events.
type Stream struct {
	Name                    string
	Created                 int64
	First, Last, LastIngest int64
	Sequence                uint64 // of the last chunk
}

var streamName = regexp.MustCompile(`^[^:*]{1,512}$`)

// streamRecord is a stream as it is stored.
type streamRecord struct {
	id                              uint64
	created, first, last, ingestion int64
	bytes                           int64
	sequence                        uint64
}

const streamSize = 1 + 7*8

func (r *streamRecord) encode() []byte {
	b := append(make([]byte, 0, streamSize), format)
	for _, n := range []uint64{r.id, uint64(r.created), uint64(r.first), uint64(r.last), uint64(r.ingestion), uint64(r.bytes), r.sequence} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func decodeStream(b []byte) (*streamRecord, error) {
	if len(b) != streamSize || b[0] != format {
		return nil, errors.New("a stream of unknown format")
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	return &streamRecord{
		id: n(0), created: int64(n(1)), first: int64(n(2)), last: int64(n(3)), ingestion: int64(n(4)), bytes: int64(n(5)), sequence: n(6),
	}, nil
}

func (r *streamRecord) shown(name string) Stream {
	return Stream{Name: name, Created: r.created, First: r.first, Last: r.last, LastIngest: r.ingestion, Sequence: r.sequence}
}

func streamKey(group uint64, name string) []byte { return append(key(streamPrefix, group), name...) }

func recentKey(group uint64, last int64, name string) []byte {
	return append(key(recentPrefix, group, ^uint64(last)), name...)
}

func (s *Store) stream(ctx context.Context, group uint64, name string) (*streamRecord, engine.Version, error) {
	raw, v, err := s.meta.Get(ctx, streamKey(group, name), nil)
	if err != nil {
		return nil, 0, err
	}
	if v == 0 {
		return nil, 0, refuse(NotFound, "The specified log stream does not exist.")
	}
	r, err := decodeStream(raw)
	return r, v, err
}

// turn is held by the one who writes into a stream.
func (s *Store) turn(group uint64, name string) *sync.Mutex {
	h := fnv.New32a()
	h.Write(streamKey(group, name))
	return &s.writing[h.Sum32()%uint32(len(s.writing))]
}

// CreateStream makes a stream and needs logs:CreateLogStream on it.
func (s *Store) CreateStream(ctx context.Context, g authz.Grant, account, group, name string) error {
	if err := g.Require("logs:CreateLogStream", s.StreamARN(account, group, name)); err != nil {
		return err
	}
	if !streamName.MatchString(name) {
		return refuse(Invalid, "The log stream name is not valid: %s", name)
	}
	in, err := s.Group(account, group)
	if err != nil {
		return err
	}
	mu := s.turn(in.ID, name)
	mu.Lock()
	defer mu.Unlock()
	if _, v, err := s.meta.Get(ctx, streamKey(in.ID, name), nil); err != nil || v != 0 {
		if err == nil {
			err = refuse(Exists, "The specified log stream already exists")
		}
		return err
	}
	r := &streamRecord{id: s.unique(), created: s.now().UnixMilli()}
	return s.write(ctx, in, func(in *Group) (*engine.Batch, error) {
		b := new(engine.Batch)
		b.Require(streamKey(in.ID, name), 0)
		b.Set(streamKey(in.ID, name), r.encode())
		b.Set(key(namePrefix, in.ID, r.id), []byte(name))
		b.Set(recentKey(in.ID, 0, name), nil)
		return b, nil
	})
}

// writeAttempts is how often something is written anew because its group was changed meanwhile.
const writeAttempts = 8

// write commits into a group, which must not be deleted meanwhile: what is written would never be found.
func (s *Store) write(ctx context.Context, in *Group, build func(*Group) (*engine.Batch, error)) error {
	var err error
	for range writeAttempts {
		var b *engine.Batch
		if b, err = build(in); err != nil {
			return err
		}
		b.Require(groupKey(in.Account, in.Name), in.version)
		if err = s.meta.Commit(context.WithoutCancel(ctx), b); !errors.Is(err, engine.ErrConflict) {
			return err
		}
		id := in.ID
		if in, err = s.Group(in.Account, in.Name); err != nil {
			return err
		}
		if in.ID != id {
			return refuse(NotFound, "The specified log stream does not exist.")
		}
	}
	return refuse(Busy, "A conflicting operation is currently in progress against this resource. Please try again.")
}

// DeleteStream takes a stream and its events away and needs logs:DeleteLogStream on it. What there is of
// events goes in the background; nobody finds it any more.
func (s *Store) DeleteStream(ctx context.Context, g authz.Grant, account, group, name string) error {
	if err := g.Require("logs:DeleteLogStream", s.StreamARN(account, group, name)); err != nil {
		return err
	}
	in, err := s.Group(account, group)
	if err != nil {
		return err
	}
	mu := s.turn(in.ID, name)
	mu.Lock()
	defer mu.Unlock()
	var gone *streamRecord
	err = s.write(ctx, in, func(in *Group) (*engine.Batch, error) {
		r, v, err := s.stream(ctx, in.ID, name)
		if err != nil {
			return nil, err
		}
		gone = r
		b := new(engine.Batch)
		b.Require(streamKey(in.ID, name), v)
		b.Delete(streamKey(in.ID, name))
		b.Delete(key(namePrefix, in.ID, r.id))
		b.Delete(recentKey(in.ID, r.last, name))
		b.Set(key(trashPrefix, in.ID, r.id), nil)
		return b, nil
	})
	if err == nil {
		s.size(in.ID).Add(-gone.bytes)
	}
	return err
}

// StreamsWanted says which streams a listing is of, and how it is ordered.
type StreamsWanted struct {
	Prefix     string
	ByTime     bool // by the last event, else by name
	Descending bool
	After      string // where the last page ended: what Streams gave as next
	Most       int
}

// Streams gives streams of a group. It needs logs:DescribeLogStreams on the group. next is where the next
// page begins, "" at the end.
func (s *Store) Streams(ctx context.Context, g authz.Grant, account, group string, w StreamsWanted) (streams []Stream, next string, err error) {
	if err := g.Require("logs:DescribeLogStreams", s.StreamARN(account, group, "")); err != nil {
		return nil, "", err
	}
	if w.ByTime && w.Prefix != "" {
		return nil, "", refuse(Invalid, "Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	in, err := s.Group(account, group)
	if err != nil {
		return nil, "", err
	}
	names, err := s.streamNames(ctx, in, w)
	if err != nil {
		return nil, "", err
	}
	if len(names) > w.Most {
		names = names[:w.Most]
		next = names[w.Most-1].at
	}
	for _, n := range names {
		r, _, err := s.stream(ctx, in.ID, n.name)
		if fault.Is(err, NotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, "", err
		}
		streams = append(streams, r.shown(n.name))
	}
	return streams, next, nil
}

// place is a stream in an order: at is what tells its place.
type place struct{ at, name string }

// streamNames gives up to one more than a page.
func (s *Store) streamNames(ctx context.Context, in *Group, w StreamsWanted) ([]place, error) {
	prefix, reverse, skip := append(key(streamPrefix, in.ID), w.Prefix...), w.Descending, 0
	if w.ByTime {
		prefix, reverse, skip = key(recentPrefix, in.ID), !w.Descending, 8 // that index has the newest first
	}
	head := len(key(streamPrefix, in.ID))
	it, err := s.meta.Scan(ctx, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	after := []byte(nil)
	if w.After != "" {
		after = append(bytes.Clone(prefix[:head]), w.After...)
	}
	var found []place
	ok := false
	if after != nil && !reverse {
		ok = it.SeekGE(append(after, 0))
	} else {
		ok = it.Next()
	}
	for ; ok; ok = it.Next() {
		if reverse && after != nil && bytes.Compare(it.Key(), after) >= 0 {
			break
		}
		at := string(it.Key()[head:])
		found = append(found, place{at, at[min(skip, len(at)):]})
		switch {
		case !reverse && len(found) > w.Most:
			return found, it.Err()
		case reverse && len(found) > 4*w.Most+4: // only the last ones count
			found = slices.Clone(found[len(found)-w.Most-1:])
		}
	}
	if reverse {
		slices.Reverse(found)
		found = found[:min(len(found), w.Most+1)]
	}
	return found, it.Err()
}

// named gives the ids and names of the wanted streams of a group: those of these names, or whose name has the
// prefix.
func (s *Store) named(ctx context.Context, in *Group, names []string, prefix string) (map[uint64]string, error) {
	found := map[uint64]string{}
	for _, name := range names {
		r, _, err := s.stream(ctx, in.ID, name)
		if err != nil {
			return nil, err
		}
		found[r.id] = name
	}
	if len(names) > 0 {
		return found, nil
	}
	lo := streamKey(in.ID, prefix)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.Next() {
		if len(found) == maxNamed {
			return nil, refuse(Invalid, "More than %d log streams have the prefix %s.", maxNamed, prefix)
		}
		r, err := decodeStream(it.Value())
		if err != nil {
			return nil, err
		}
		found[r.id] = string(it.Key()[len(streamPrefix)+8:])
	}
	return found, it.Err()
}

// maxNamed bounds the streams that one search looks for by their prefix.
const maxNamed = 10000

// span is the time in milliseconds whose boundaries no chunk crosses. So who looks for a moment finds all
// that may hold it close by.
const span = 10 * 60 * 1000

// spanStart is the beginning of the span that t is in, spanEnd its last millisecond.
func spanStart(t int64) int64 { return t - t%span }
func spanEnd(t int64) int64   { return spanStart(min(t, math.MaxInt64-span)) + span - 1 }

// Position is a place in the order of events: by time, then as they came in.
type Position struct {
	Time     int64
	Sequence uint64
	Index    uint32
}

func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Time, q.Time), cmp.Compare(p.Sequence, q.Sequence), cmp.Compare(p.Index, q.Index))
}

// Event is one event.
type Event struct {
	Position
	Message   string
	Ingestion int64
	Stream    string // where a search covers several
}

// eventOverhead is what AWS counts for an event beside its message.
const eventOverhead = 26

func (e *Event) size() int64 { return int64(len(e.Message)) + eventOverhead }

// Input is an event that is put.
type Input struct {
	Time    int64
	Message string
}

func sizeOf(events []Input) (n int64) {
	for i := range events {
		n += int64(len(events[i].Message)) + eventOverhead
	}
	return n
}
