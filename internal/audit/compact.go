package audit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Data events of S3 are by far the most there are. Their lines (kindData) hold, in place of a record and a
// note, the event that both are made of, and whoever reads the journal makes them. Fields are in the
// order of pack, with a TAB between any two; a number that is 0 is an empty field. Control characters and
// backslashes of a text are \xHH; "=" stands for a text that the line has already, "." for the bucket.
// Behind the fields come four for each decision. The eventID follows from the hash of the line.

// Flags of a data line.
const (
	flagReadOnly = 'r'
	flagACL      = 'a'
	flagMFA      = 'm'
	flagBare     = 'b'
	flagEndpoint = 'e' // the endpoint is one more field behind the others
)

// isCompact tells whether a data line can hold the event.
func isCompact(ev *Event, category string) bool {
	return category == CategoryData && ev.Class == Data && ev.Service == "s3" && ev.Operation != "" && ev.Parameters == nil && ev.Response == nil
}

// packer writes the fields of a data line.
type packer struct{ b []byte }

func (p *packer) number(n int64) {
	if p.b = append(p.b, '\t'); n != 0 {
		p.b = strconv.AppendInt(p.b, n, 10)
	}
}

func (p *packer) text(s string) {
	p.b = append(p.b, '\t')
	if s == "=" || s == "." {
		p.b = append(p.b, '\\', 'x', hexDigits[s[0]>>4], hexDigits[s[0]&15])
		return
	}
	p.escaped(s)
}

func (p *packer) texts(all ...string) {
	for _, s := range all {
		p.text(s)
	}
}

// same writes "=" for a text that is as the other one.
func (p *packer) same(s, other string) {
	if s != "" && s == other {
		p.b = append(p.b, '\t', '=')
		return
	}
	p.text(s)
}

func (p *packer) escaped(s string) {
	start := 0
	for i := plain(s); i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '\\' || c == 0x7f {
			p.b = append(append(p.b, s[start:i]...), '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			start = i + 1
		}
	}
	p.b = append(p.b, s[start:]...)
}

// before writes what comes before common.
func (p *packer) before(ev *Event) {
	p.b = strconv.AppendInt(p.b, ev.Time.UnixMilli(), 10)
	p.flags(ev)
	p.number(int64(ev.Principal.Type))
	p.number(int64(ev.Status))
	p.number(ev.BytesIn)
	p.number(ev.BytesOut)
	p.number(ev.Duration.Microseconds())
	issued := int64(0)
	if !ev.Session.Issued.IsZero() {
		issued = ev.Session.Issued.Unix()
	}
	p.number(issued)
	p.text(ev.ID)
	p.same(ev.RequestID, ev.ID)
}

// common writes what the events of a caller mostly have in common.
func (p *packer) common(ev *Event, account, shared string) {
	who, session := &ev.Principal, &ev.Session
	p.texts(account, shared, ev.Operation)
	p.same(ev.API, "s3")
	p.texts(who.ARN, who.UserID)
	p.same(who.Account, account)
	p.texts(who.Name, who.IssuerARN)
	p.same(who.UniqueID, who.UserID)
	p.texts(ev.AccessKey, session.SourceIdentity, session.Provider, ev.InvokedBy, ev.SourceIP, ev.TLS, ev.Cipher, ev.SignatureVersion, ev.AuthType,
		clip(ev.UserAgent, maxText), clip(ev.Host, maxText), ev.Region, ev.Method, ev.Bucket)
}

// after writes what comes after common.
func (p *packer) after(ev *Event) {
	p.text(ev.Key)
	if len(ev.URI) > 0 && ev.URI[0] == '/' && isPath(ev.URI[1:], ev) {
		p.b = append(p.b, '\t', '=')
	} else {
		p.text(clip(ev.URI, 2*maxText))
	}
	p.texts(ev.ErrorCode, clip(ev.ErrorText, maxText), ev.HostID, ev.Members)
	if ev.Endpoint != "" {
		p.text(ev.Endpoint)
	}
	for i := range ev.Decisions[:min(len(ev.Decisions), MaxVerdicts)] {
		p.decision(&ev.Decisions[i], ev)
	}
}

func (p *packer) flags(ev *Event) {
	p.b = append(p.b, '\t')
	for _, f := range [...]struct {
		set  bool
		flag byte
	}{{ev.ReadOnly, flagReadOnly}, {ev.ACLRequired, flagACL}, {ev.Session.MFA, flagMFA}, {ev.Bare, flagBare}, {ev.Endpoint != "", flagEndpoint}} {
		if f.set {
			p.b = append(p.b, f.flag)
		}
	}
}

func (p *packer) decision(d *Decision, ev *Event) {
	p.text(d.Action)
	rest, ok := strings.CutPrefix(d.Resource, bucketARN)
	switch {
	case ok && rest == ev.Bucket && len(rest) <= maxText:
		p.b = append(p.b, '\t', '.')
	case ok && isPath(rest, ev):
		p.b = append(p.b, '\t', '=')
	default:
		p.text(clip(d.Resource, 2*maxText))
	}
	verdict := byte('n')
	if d.Allowed {
		verdict = 'y'
	}
	p.b = append(p.b, '\t', verdict)
	p.escaped(d.Account)
	p.text(clip(d.Reason, 2*maxText))
}

// isPath tells whether s is BUCKET/KEY.
func isPath(s string, ev *Event) bool {
	n := len(ev.Bucket)
	return len(s) == n+1+len(ev.Key) && len(s) <= maxText && s[:n] == ev.Bucket && s[n] == '/' && s[n+1:] == ev.Key
}

// unpacker reads the fields of a data line.
type unpacker struct {
	rest    string
	more    bool
	bad     bool
	escapes bool // there are some
}

func unpack(fields string) unpacker {
	return unpacker{rest: fields, more: true, escapes: strings.IndexByte(fields, '\\') >= 0}
}

func (u *unpacker) field() (s string) {
	if !u.more {
		u.bad = true
		return ""
	}
	s, u.rest, u.more = strings.Cut(u.rest, "\t")
	return s
}

func (u *unpacker) number() int64 {
	s := u.field()
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	u.bad = u.bad || err != nil
	return n
}

func (u *unpacker) text() string { return u.plain(u.field()) }

// same reads a text that may stand for another one.
func (u *unpacker) same(other string) string {
	s := u.field()
	if s == "=" {
		return other
	}
	return u.plain(s)
}

// plain is a text without its escapes.
func (u *unpacker) plain(s string) string {
	if !u.escapes {
		return s
	}
	at := strings.IndexByte(s, '\\')
	if at < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for ; at >= 0; at = strings.IndexByte(s, '\\') {
		if len(s) < at+4 || s[at+1] != 'x' {
			u.bad = true
			return ""
		}
		c, err := strconv.ParseUint(s[at+2:at+4], 16, 8)
		u.bad = u.bad || err != nil
		b = append(append(b, s[:at]...), byte(c))
		s = s[at+4:]
	}
	return string(append(b, s...))
}

// unpack reads an event into x.ev. Without full its decisions have no resources.
func (x *expander) unpack(fields string, full bool) (ok bool) {
	u, ev := unpack(fields), &x.ev
	at, flags, kind := u.number(), u.field(), u.number()
	status, in, out, micros, issued := u.number(), u.number(), u.number(), u.number(), u.number()
	id := u.text()
	request := u.same(id)
	x.alike = x.alikes.read(&u, flags, kind, issued)
	decisions := ev.Decisions[:0]
	*ev = x.alike.ev
	ev.Time, ev.Status, ev.BytesIn, ev.BytesOut, ev.Duration = time.UnixMilli(at), int(status), in, out, time.Duration(micros)*time.Microsecond
	ev.ID, ev.RequestID, ev.Key = id, request, u.text()
	if ev.URI = u.field(); ev.URI == "=" {
		ev.URI = x.join("/", ev.Bucket, "/", ev.Key)
	} else {
		ev.URI = u.plain(ev.URI)
	}
	ev.ErrorCode, ev.ErrorText, ev.HostID, ev.Members = u.text(), u.text(), u.text(), u.text()
	if strings.IndexByte(flags, flagEndpoint) >= 0 {
		ev.Endpoint = u.text()
	}
	for u.more && !u.bad {
		decisions = append(decisions, u.decision(ev, full || ev.Bucket == ""))
	}
	ev.Decisions = decisions
	return !u.bad
}

func (u *unpacker) decision(ev *Event, full bool) (d Decision) {
	d.Action = u.text()
	switch d.Resource = u.field(); {
	case !full:
		d.Resource = ""
	case d.Resource == ".":
		d.Resource = bucketARN + ev.Bucket
	case d.Resource == "=":
		d.Resource = bucketARN + ev.Bucket + "/" + ev.Key
	default:
		d.Resource = u.plain(d.Resource)
	}
	verdict := u.field()
	if verdict == "" {
		u.bad = true
		return d
	}
	d.Allowed, d.Account = verdict[0] == 'y', u.plain(verdict[1:])
	d.Reason = u.text()
	return d
}

// eventID is that of a data line whose hash is h.
func eventID(h hash) [36]byte { return uuidText([16]byte(h[:16])) }

// expander makes entries of data lines. Not safe for concurrent use.
type expander struct {
	ev      Event
	encoder encoder
	alikes  alikes
	alike   *alike // of ev
	// light puts texts together in texts: of entries that nobody keeps.
	light bool
	texts strings.Builder
	// space is where records are made, one after the other: they belong to who asked for them.
	space []byte
}

// recordSpace is how much memory for records is taken at once, at most; a record has 1.2 KB.
const recordSpace = 1 << 20

// textSpace is how much memory for texts is taken at once.
const textSpace = 32 << 10

// join puts a text together.
func (x *expander) join(parts ...string) string {
	if !x.light {
		return strings.Join(parts, "")
	}
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	start := x.room(size)
	for _, part := range parts {
		x.texts.WriteString(part)
	}
	return x.texts.String()[start:]
}

// text is a copy of b.
func (x *expander) text(b []byte) string {
	if !x.light {
		return string(b)
	}
	start := x.room(len(b))
	x.texts.Write(b)
	return x.texts.String()[start:]
}

// room makes room for a text, and tells where it begins.
func (x *expander) room(size int) (start int) {
	if x.texts.Cap()-x.texts.Len() < size {
		x.texts.Reset()
		x.texts.Grow(max(size, textSpace))
	}
	return x.texts.Len()
}

// note reads a data line. Without full the note has no Verdicts.
func (x *expander) note(p *parsedLine, n *Note, full bool) error {
	if !x.unpack(x.text(p.body[2:]), full) { // everything in the note lies in that text
		return errLine
	}
	ev, id := &x.ev, eventID(p.hash)
	*n = x.alike.note
	n.ID, n.Event, n.Millis, n.Status, n.Error, n.Micros = ev.ID, x.text(id[:]), ev.Time.UnixMilli(), ev.Status, ev.ErrorCode, ev.Duration.Microseconds()
	n.URI = clip(ev.URI, 2*maxText)
	switch n.Key = clip(ev.Key, maxText); {
	case n.Key != "":
		n.ARN, n.Type = x.join(bucketARN, ev.Bucket, "/", n.Key), "AWS::S3::Object"
	case ev.Bucket == "":
		n.about(ev)
	}
	if full {
		for _, d := range x.ev.Decisions {
			d.Account = ""
			n.Verdicts = append(n.Verdicts, d)
		}
	}
	return nil
}

// record is that of the line that note read last.
func (x *expander) record(n *Note) []byte {
	if cap(x.space)-len(x.space) < usualLine {
		x.space = make([]byte, 0, min(max(2*cap(x.space), usualLine), recordSpace))
	}
	w := writer{b: x.space[len(x.space):]}
	x.encoder.alike = x.alike
	x.encoder.record(&w, &x.ev, n, x.alike.shared)
	if len(w.b) <= cap(x.space)-len(x.space) {
		x.space = x.space[:len(x.space)+len(w.b)]
	}
	return w.b[:len(w.b):len(w.b)]
}

// entry makes the entry of a line of either kind.
func (x *expander) entry(seq uint64, p *parsedLine, full bool) (e Entry, err error) {
	e.Seq = seq
	switch {
	case p.kind == kindData:
		if err = x.note(p, &e.Note, full); err == nil {
			e.Record = x.record(&e.Note)
		}
	case !full && e.scan(p.note):
		e.Record = append(e.Record, p.record...)
	default:
		return entryOf(seq, p)
	}
	if err != nil {
		return e, fmt.Errorf("audit: line %d: %w", seq, err)
	}
	return e, nil
}

// isEvent tells whether a line is an event's.
func (p *parsedLine) isEvent() bool { return p.kind == kindEvent || p.kind == kindData }

// indexed is what an index needs of an event's line.
func (x *expander) indexed(p *parsedLine) (millis int64, tokens []uint64) {
	if p.kind == kindEvent {
		return noteLine(p.note)
	}
	var n Note
	if x.note(p, &n, false) != nil {
		return 0, nil
	}
	return n.Millis, x.encoder.appendTokens(nil, &n) // of them the eventID
}

// tokenOfHash is the token of the eventID of a data line.
func tokenOfHash(h hash) uint64 {
	id := eventID(h)
	return tokenOf(fieldEvent, id[:])
}
