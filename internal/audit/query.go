package audit

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Query says which records are wanted. What is empty does not matter; what is not must be equal.
type Query struct {
	// Since and Until bound the time of the event; Since is included.
	Since, Until time.Time
	Account      string
	Category     string // Management or Data
	Source       string // "s3.amazonaws.com"
	Name         string // event name
	User         string // ARN or user name
	// UserPrefix is how the ARN of who asked begins: all sessions of a role.
	UserPrefix  string
	UserName    string
	KeyID       string
	IP          string
	Bucket, Key string
	// Prefix of the key.
	Prefix string
	ARN    string
	Type   string
	// Resource is the ARN or name of the first resource.
	Resource string
	Error    string
	ID       string // decision id, request id
	Event    string // eventID
	ReadOnly *bool
	// Decision is "allowed" or "denied".
	Decision string
	// Newest gives the newest first.
	Newest bool
	// After and Before bound the line number, exclusively; 0 does not.
	After, Before uint64
}

// condition is one equality of a Query.
type condition struct {
	tokens []uint64 // one of them is in a block that holds a match
	text   [][]byte // all are in the note of a match
	data   [][]byte // all are in the data line of one
	id     string   // is its eventID
	match  func(*Note) bool
}

func (q *Query) conditions() []condition {
	var c []condition
	equal := func(field byte, want, member string, get func(*Note) string) {
		if want == "" {
			return
		}
		c = append(c, condition{
			tokens: []uint64{tokenOf(field, want)}, text: [][]byte{appendQuoted([]byte(`"`+member+`":`), want)},
			match: func(n *Note) bool { return get(n) == want },
		})
		last := &c[len(c)-1]
		switch field {
		case fieldEvent:
			last.id = want
		case fieldAccount, fieldKeyID, fieldIP, fieldBucket, fieldKey, fieldError, fieldID:
			last.data = [][]byte{packed(want)}
		}
	}
	equal(fieldAccount, q.Account, "account", func(n *Note) string { return n.Account })
	equal(fieldCategory, q.Category, "category", func(n *Note) string { return n.Category })
	equal(fieldSource, q.Source, "source", func(n *Note) string { return n.Source })
	equal(fieldName, q.Name, "name", func(n *Note) string { return n.Name })
	equal(fieldUserName, q.UserName, "userName", func(n *Note) string { return n.UserName })
	equal(fieldKeyID, q.KeyID, "accessKey", func(n *Note) string { return n.KeyID })
	equal(fieldIP, q.IP, "ip", func(n *Note) string { return n.IP })
	equal(fieldBucket, q.Bucket, "bucket", func(n *Note) string { return n.Bucket })
	equal(fieldKey, q.Key, "key", func(n *Note) string { return n.Key })
	equal(fieldARN, q.ARN, "arn", func(n *Note) string { return n.ARN })
	equal(fieldType, q.Type, "type", func(n *Note) string { return n.Type })
	equal(fieldError, q.Error, "error", func(n *Note) string { return n.Error })
	equal(fieldID, q.ID, "id", func(n *Note) string { return n.ID })
	equal(fieldEvent, q.Event, "event", func(n *Note) string { return n.Event })
	if q.User != "" {
		c = append(c, condition{
			tokens: []uint64{tokenOf(fieldUser, q.User), tokenOf(fieldUserName, q.User)}, text: [][]byte{appendQuoted(nil, q.User)},
			data:  [][]byte{packed(q.User)},
			match: func(n *Note) bool { return n.User == q.User || n.UserName == q.User },
		})
	}
	if q.Resource != "" {
		quoted := appendQuoted(nil, q.Resource)
		c = append(c, condition{
			tokens: []uint64{tokenOf(fieldARN, q.Resource), tokenOf(fieldResource, q.Resource)}, text: [][]byte{quoted[1 : len(quoted)-1]},
			match: func(n *Note) bool { return n.ARN == q.Resource || n.ARN != "" && n.Resource() == q.Resource },
		})
	}
	if q.ReadOnly != nil {
		c = append(c, condition{tokens: []uint64{tokenOf(fieldRead, readText(*q.ReadOnly))}, match: func(n *Note) bool { return n.ReadOnly == *q.ReadOnly }})
	}
	if q.UserPrefix != "" {
		quoted := appendQuoted([]byte(`"user":`), q.UserPrefix)
		c = append(c, condition{text: [][]byte{quoted[:len(quoted)-1]}, match: func(n *Note) bool { return strings.HasPrefix(n.User, q.UserPrefix) }})
	}
	if q.Prefix != "" {
		c = append(c, condition{match: func(n *Note) bool { return strings.HasPrefix(n.Key, q.Prefix) }})
	}
	if q.Decision != "" {
		found := condition{match: func(n *Note) bool { return n.Decision() == q.Decision }}
		if q.Decision == "denied" {
			found.text = [][]byte{[]byte(`"allowed":false`)}
			found.data = [][]byte{[]byte("\tn")}
		}
		c = append(c, found)
	}
	return c
}

// packed is a text as a data line has it.
func packed(s string) []byte {
	var p packer
	p.escaped(s)
	return p.b
}

// may tells whether a line can be what is asked for; to look closer costs more.
func (c *condition) may(p *parsedLine) bool {
	texts, in := c.text, p.note
	if p.kind == kindData {
		if texts, in = c.data, p.body; c.id != "" {
			id := eventID(p.hash)
			return c.id == string(id[:])
		}
	}
	for _, text := range texts {
		if !bytes.Contains(in, text) {
			return false
		}
	}
	return true
}

// Matches tells whether an entry is wanted.
func (q *Query) Matches(e *Entry) bool {
	if !q.within(e.Millis) || q.After > 0 && e.Seq <= q.After || q.Before > 0 && e.Seq >= q.Before {
		return false
	}
	for _, c := range q.conditions() {
		if !c.match(&e.Note) {
			return false
		}
	}
	return true
}

func (q *Query) within(millis int64) bool {
	return (q.Since.IsZero() || millis >= q.Since.UnixMilli()) && (q.Until.IsZero() || millis < q.Until.UnixMilli())
}

// Find calls found with the records of a stream that q asks for, in order, until it returns false. It
// reads the files and needs no running server.
func Find(ctx context.Context, dir, stream string, q *Query, found func(*Entry) bool) error {
	all, err := segments(dir, stream)
	if err != nil {
		return err
	}
	f := &finder{q: q, conditions: q.conditions(), found: found}
	f.z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		return err
	}
	defer f.z.Close()
	if q.Newest {
		slices.Reverse(all)
	}
	for i, s := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := uint64(0) // first line of the segment after s
		if q.Newest && i > 0 {
			next = all[i-1].first
		} else if !q.Newest && i+1 < len(all) {
			next = all[i+1].first
		}
		if q.Before > 0 && s.first >= q.Before || q.After > 0 && next > 0 && next <= q.After {
			continue
		}
		more, err := f.segment(ctx, s)
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention took it away meanwhile
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

type finder struct {
	q          *Query
	conditions []condition
	found      func(*Entry) bool
	z          *zstd.Decoder
	buf        []byte
	expander   expander
}

func (f *finder) segment(ctx context.Context, s *segment) (more bool, err error) {
	blocks, err := s.blocks()
	if err != nil {
		return f.whole(s)
	}
	file, err := os.Open(s.path())
	if err != nil {
		return false, err
	}
	defer file.Close()
	if f.q.Newest {
		slices.Reverse(blocks)
	}
	for _, b := range blocks {
		if !f.mayHold(b) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if f.buf, err = s.readBlock(file, f.z, b, f.buf); err != nil {
			return false, err
		}
		if more, err = f.lines(f.buf, b.first); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// whole looks through a segment that has no index.
func (f *finder) whole(s *segment) (bool, error) {
	r, err := s.open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	raw := f.buf[:0]
	lines := newLines(r)
	for lines.next() {
		raw = append(append(raw, lines.line...), '\n')
	}
	f.buf = raw
	if lines.err != nil {
		return false, lines.err
	}
	return f.lines(raw, s.first)
}

func (f *finder) mayHold(b *block) bool {
	q := f.q
	if b.oldest > b.newest || q.After > 0 && b.first+uint64(b.lines) <= q.After+1 || q.Before > 0 && b.first >= q.Before {
		return false
	}
	if !q.Since.IsZero() && b.newest < q.Since.UnixMilli() || !q.Until.IsZero() && b.oldest >= q.Until.UnixMilli() {
		return false
	}
	for i := range f.conditions {
		tokens := f.conditions[i].tokens
		if len(tokens) > 0 && !slices.ContainsFunc(tokens, b.filter.has) {
			return false
		}
	}
	return true
}

// lines looks at the lines in raw, of which the first has number seq.
func (f *finder) lines(raw []byte, seq uint64) (bool, error) {
	if !f.q.Newest {
		for len(raw) > 0 {
			line, rest, ok := cutLine(raw)
			if !ok {
				break
			}
			more, err := f.line(line, seq)
			if err != nil || !more {
				return false, err
			}
			raw, seq = rest, seq+1
		}
		return true, nil
	}
	seq += uint64(bytes.Count(raw, lf))
	for end := len(raw); end > 0; {
		start := bytes.LastIndexByte(raw[:end-1], '\n') + 1
		seq--
		more, err := f.line(raw[start:end-1], seq)
		if err != nil || !more {
			return false, err
		}
		end = start
	}
	return true, nil
}

func (f *finder) line(line []byte, seq uint64) (bool, error) {
	if f.q.After > 0 && seq <= f.q.After || f.q.Before > 0 && seq >= f.q.Before {
		return true, nil
	}
	p, err := parseLine(line)
	if err != nil || !p.isEvent() {
		return true, nil // what is damaged, verify names
	}
	for i := range f.conditions {
		if !f.conditions[i].may(&p) {
			return true, nil
		}
	}
	e, err := f.expander.entry(seq, &p, true)
	if err != nil || !f.q.within(e.Millis) {
		return true, nil
	}
	for i := range f.conditions {
		if !f.conditions[i].match(&e.Note) {
			return true, nil
		}
	}
	return f.found(&e), nil
}
