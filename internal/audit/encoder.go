package audit

import (
	"crypto/rand"
	"time"

	"github.com/kura-s3/kura/policy"
)

// encoder makes the lines of events one after the other in the same memory: an event that is recorded
// should cost no garbage. Not safe for concurrent use.
type encoder struct {
	w        writer
	note     Note
	made     []Line
	tokens   []uint64
	packings packings
	// alike is what records are made of where the events are read from lines, else nil.
	alike *alike
	// told are the tokens that were made last: most fields are those of the event before.
	told [noteFields]told
	// who asked last, and what a record says of them.
	who  identity
	said []byte
	// second is the time whose text was asked for last.
	second int64
	text   string
	random [512]byte
	used   int // of random, from its end
}

// Records and notes of data events are about 1.2 KB and 0.7 KB; what is larger than maxKept is not kept
// for the next event.
const (
	usualLine = 2 << 10
	maxKept   = 32 << 10
)

// lines are good until the next call.
func (e *encoder) lines(ev *Event, category string) []Line {
	if cap(e.w.b) > maxKept || e.w.b == nil {
		e.w.b = make([]byte, 0, usualLine)
	}
	e.w.b, e.made, e.tokens = e.w.b[:0], e.made[:0], e.tokens[:0]
	account, other := recipients(ev)
	shared := ""
	if other != "" {
		shared = e.uuid()
	}
	e.add(ev, category, account, shared)
	if other != "" {
		e.add(ev, category, other, shared)
	}
	e.note = Note{} // keeps nothing of the event
	return e.made
}

func (e *encoder) add(ev *Event, category, account, shared string) {
	if isCompact(ev, category) {
		e.addData(ev, account, shared)
		return
	}
	e.note.describe(ev, category, account)
	e.note.readable()
	e.note.Event = e.uuid()
	start := len(e.w.b)
	e.w.more = false
	e.record(&e.w, ev, &e.note, shared)
	middle := len(e.w.b)
	e.w.more = false
	e.note.encode(&e.w)
	tokens := len(e.tokens)
	e.tokens = e.appendTokens(e.tokens, &e.note)
	e.made = append(e.made, Line{Record: e.w.b[start:middle:middle], Note: e.w.b[middle:], millis: e.note.Millis, tokens: e.tokens[tokens:]})
}

func (e *encoder) addData(ev *Event, account, shared string) {
	p, tokens := packer{e.w.b}, len(e.tokens)
	start := len(p.b)
	e.pack(&p, ev, account, shared)
	e.w.b = p.b
	e.made = append(e.made, Line{data: e.w.b[start:len(e.w.b):len(e.w.b)], millis: ev.Time.UnixMilli(), tokens: e.tokens[tokens:]})
}

// told is a token and what it is of.
type told struct {
	text  string
	token uint64
}

// appendTokens adds the tokens of a note.
func (e *encoder) appendTokens(t []uint64, n *Note) []uint64 {
	for i, f := range n.fields() {
		if f.value == "" {
			continue
		}
		last := &e.told[i]
		if last.text != f.value {
			*last = told{f.value, tokenOf(f.field, f.value)}
		}
		t = append(t, last.token)
	}
	return t
}

// identity is all that userIdentity is made of.
type identity struct {
	principal            policy.Principal
	session              Session
	accessKey, invokedBy string
}

// identify writes userIdentity: that of the event before, where it is the same.
func (e *encoder) identify(w *writer, ev *Event) {
	who := identity{ev.Principal, ev.Session, ev.AccessKey, ev.InvokedBy}
	if e.said == nil || e.who != who {
		own := writer{b: e.said[:0]}
		own.object("userIdentity", func() { identify(&own, ev) })
		e.who, e.said = who, own.b
	}
	if w.more {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, e.said...)
	w.more = true
}

// stamp is a time in CloudTrail's form.
func (e *encoder) stamp(t time.Time) string {
	if second := t.Unix(); second != e.second || e.text == "" {
		e.second, e.text = second, t.UTC().Format("2006-01-02T15:04:05Z")
	}
	return e.text
}

// uuid is random; the bytes of many are drawn at once.
func (e *encoder) uuid() string {
	if e.used == 0 {
		rand.Read(e.random[:])
		e.used = len(e.random)
	}
	e.used -= 16
	return uuidOf([16]byte(e.random[e.used:]))
}
