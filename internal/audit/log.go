package audit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/policy"
)

// Streams of a Log.
const (
	StreamManagement = "management"
	StreamData       = "data"
)

// Streams are all of them.
var Streams = []string{StreamManagement, StreamData}

// LogConfig of a Log.
type LogConfig struct {
	// Management and Data are the two journals. They are apart so that a flood of data events never
	// pushes the record of changes out. Required.
	Management, Data *Journal
	// Strict refuses every request that is to be recorded while its journal cannot be written. Without
	// it only management requests are refused then.
	Strict bool
	// Together has finished data events handed on some at a time, unless it is Strict. Settle waits for them.
	Together bool
}

// Log is the Recorder of a running server. Management events of callers that it knows are always kept,
// and writes among them are durable when Complete returns. Data events are kept where somebody wants
// them. What a stranger is refused stands among the data events, whatever it was.
type Log struct {
	config LogConfig
	wanted atomic.Pointer[[]func(*Event) bool]
	taps   atomic.Pointer[[]Tap]
	// encoders are those that no request uses now.
	encoders sync.Pool
	together *together // nil: each is written at once
}

// Tap is told of finished requests beside the journals: a server access log.
type Tap interface {
	// Wants is asked for every request; it must cost next to nothing.
	Wants(*Event) bool
	// Take gets what it wanted. It must not block, and keeps nothing of the event itself.
	Take(*Event)
}

// NewLog makes a Log.
func NewLog(c LogConfig) *Log {
	l := &Log{config: c, encoders: sync.Pool{New: func() any { return new(encoder) }}}
	l.wanted.Store(&[]func(*Event) bool{})
	l.taps.Store(&[]Tap{})
	if c.Together && !c.Strict {
		l.together = newTogether(func(ev *Event) {
			_ = l.write(ev) // what the journal cannot keep it counts
		})
	}
	return l
}

// WantData adds somebody who decides which data events are kept: what one of them wants. It must cost next
// to nothing.
func (l *Log) WantData(f func(*Event) bool) {
	all := append(append([]func(*Event) bool{}, *l.wanted.Load()...), f)
	l.wanted.Store(&all)
}

func (l *Log) wantsData(ev *Event) bool {
	for _, wants := range *l.wanted.Load() {
		if wants(ev) {
			return true
		}
	}
	return false
}

// AddTap adds a Tap.
func (l *Log) AddTap(t Tap) {
	taps := append(append([]Tap{}, *l.taps.Load()...), t)
	l.taps.Store(&taps)
}

// Management and Data are the journals.
func (l *Log) Management() *Journal { return l.config.Management }

// Data is the journal of data events.
func (l *Log) Data() *Journal { return l.config.Data }

// destination of an event: nil for none.
func (l *Log) destination(ev *Event) *Journal {
	switch {
	case ev.Principal.Type == policy.Nobody || ev.Operation == "":
		// As in CloudTrail: requests that fail authentication are not kept, so that a stranger cannot
		// flood the record out.
		return nil
	case ev.Class == Management:
		if ev.Principal.Type == policy.Anonymous && ev.ErrorCode != "" {
			return l.config.Data
		}
		return l.config.Management
	case l.wantsData(ev):
		return l.config.Data
	}
	return nil
}

// keepers are who keeps an event: found out once, because most of what a Log does is to ask.
type keepers struct {
	known   bool
	journal *Journal
	keys    bool
	taps    uint64 // a bit for each; there is one
	parts   []int  // of the event that are kept
}

// keepers finds out who keeps the event as it is now.
func (l *Log) keepers(ev *Event) keepers {
	k := keepers{known: true, journal: l.destination(ev), keys: usesKeys(ev), parts: l.wantedParts(ev)}
	for i, t := range *l.taps.Load() {
		if t.Wants(ev) {
			k.taps |= 1 << i
		}
	}
	return k
}

// Wants tells whether anybody keeps the event. Complete goes by what it found.
func (l *Log) Wants(ev *Event) bool {
	k := l.keepers(ev)
	ev.keepers = k
	return k.journal != nil || k.keys || k.taps != 0 || len(k.parts) > 0
}

// Begin refuses what cannot be recorded.
func (l *Log) Begin(_ context.Context, ev *Event) error {
	if ev.Class == Data && !l.config.Strict {
		return nil
	}
	j := l.destination(ev)
	if j == nil && len(l.wantedParts(ev)) > 0 {
		j = l.config.Data
	}
	if j == nil || j == l.config.Data && !l.config.Strict {
		return nil
	}
	return j.Err()
}

// Complete writes the event. With Together a data event is held for a while: it must not change any more.
func (l *Log) Complete(_ context.Context, ev *Event) error {
	if l.together != nil && ev.Class == Data {
		l.together.add(ev)
		return nil
	}
	return l.write(ev)
}

// Settle returns when the data events that were completed before are on disk.
func (l *Log) Settle() error {
	if l.together != nil {
		l.together.settle()
	}
	return l.config.Data.Append(true)
}

func (l *Log) write(ev *Event) error {
	k := ev.keepers
	if ev.keepers = (keepers{}); !k.known {
		k = l.keepers(ev)
	}
	for i, t := range *l.taps.Load() {
		if k.taps&(1<<i) != 0 {
			t.Take(ev)
		}
	}
	if k.keys {
		if err := l.config.Management.Append(false, KeyLines(ev)...); err != nil && l.config.Strict {
			return err
		}
	}
	j := k.journal
	if j == nil && len(k.parts) == 0 {
		return nil
	}
	e, _ := l.encoders.Get().(*encoder)
	defer l.encoders.Put(e)
	if err := l.parts(e, ev, k.parts); err != nil || j == nil {
		return err
	}
	category := CategoryManagement
	if ev.Class == Data {
		category = CategoryData
	}
	return j.Append(j == l.config.Management && !ev.ReadOnly, e.lines(ev, category)...)
}

// Close closes the journals.
func (l *Log) Close() error {
	if l.together != nil {
		l.together.settle()
	}
	return errors.Join(l.config.Management.Close(), l.config.Data.Close())
}
