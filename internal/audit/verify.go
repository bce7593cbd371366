package audit

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// VerifyConfig says what to hold a directory of journals to.
type VerifyConfig struct {
	Dir string
	// Key made the checkpoints. Required.
	Key ed25519.PublicKey
	// Kept are checkpoints that were kept elsewhere, of any stream.
	Kept []Checkpoint
}

// Problem is something that Verify found.
type Problem struct {
	Stream string `json:"stream"`
	File   string `json:"file,omitempty"`
	Line   uint64 `json:"line,omitempty"`
	What   string `json:"what"`
}

// Report of Verify for one stream.
type Report struct {
	Stream   string    `json:"stream"`
	Segments int       `json:"segments"`
	First    uint64    `json:"first"`
	Last     uint64    `json:"last"`
	Events   uint64    `json:"events"`
	Lost     uint64    `json:"lost"`    // events that the journal itself says it could not write
	Covered  uint64    `json:"covered"` // the newest checkpoint signs up to this line
	Head     string    `json:"head"`    // hash of the last line
	Problems []Problem `json:"problems"`
}

// Sound tells whether nothing is wrong.
func (r *Report) Sound() bool { return len(r.Problems) == 0 }

const maxProblems = 100

func (r *Report) add(file string, line uint64, what string) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{Stream: r.Stream, File: file, Line: line, What: what})
	}
}

// Verify checks a stream: that every line follows on the one before it, that every checkpoint is signed
// with the key and says what the chain says, that no segment is missing which retention did not take,
// and that the end is not before a checkpoint that was kept elsewhere.
func Verify(ctx context.Context, c VerifyConfig, stream string) (*Report, error) {
	all, err := segments(c.Dir, stream)
	if err != nil {
		return nil, err
	}
	r := &Report{Stream: stream, Segments: len(all), Problems: []Problem{}}
	kept := r.kept(c) // before the lines are read: a running server goes on writing
	wanted := map[uint64]bool{}
	for _, k := range kept {
		wanted[k.Seq] = true
	}
	checked := make([]*segmentCheck, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, s := range all {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			checked[i] = checkSegment(ctx, s, c.Key, wanted, i == len(all)-1)
			checked[i].index(s)
		}()
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.join(checked)
	for i := range kept {
		r.keep(&kept[i], checked)
	}
	return r, nil
}

// segmentCheck is what one segment says.
type segmentCheck struct {
	file        string
	stream      string
	first, last uint64
	head        hash
	header      *header
	events      uint64
	lost        uint64
	checkpoints []Checkpoint
	hashes      map[uint64]string // of the lines that somebody asks about
	expired     []expiry
	problems    []Problem
}

func (k *segmentCheck) add(line uint64, what string) {
	if len(k.problems) < maxProblems {
		k.problems = append(k.problems, Problem{File: k.file, Line: line, What: what})
	}
}

func checkSegment(ctx context.Context, s *segment, key ed25519.PublicKey, wanted map[uint64]bool, last bool) *segmentCheck {
	k := &segmentCheck{file: s.path(), stream: s.stream, first: s.first, last: s.first - 1, hashes: map[uint64]string{}}
	r, err := s.open()
	if err != nil {
		k.add(0, err.Error())
		return k
	}
	defer r.Close()
	k.file = s.path()
	lines := newLines(r)
	var scratch []byte
	for lines.next() {
		seq := k.last + 1
		if seq%4096 == 0 && ctx.Err() != nil {
			return k
		}
		p, err := parseLine(lines.line)
		if err != nil {
			k.add(seq, "is not a line of a journal")
			k.last = seq
			continue
		}
		if seq == s.first {
			k.begin(lines.line, seq)
		}
		var follows bool
		if scratch, follows = p.follows(k.head, scratch); !follows {
			k.add(seq, "does not follow on the line before it: one of the two was changed, moved or removed, or this one was put in")
		}
		k.line(seq, &p, key)
		k.last, k.head = seq, p.hash
		if wanted[seq] {
			k.hashes[seq] = p.hash.text()
		}
	}
	switch {
	case lines.err != nil:
		k.add(k.last+1, "cannot be read: "+lines.err.Error())
	case lines.rest > 0 && !last:
		k.add(k.last+1, fmt.Sprintf("%d bytes of an unfinished line at the end of the file", lines.rest))
	}
	return k
}

// begin takes the header, and from it the hash that the segment begins on.
func (k *segmentCheck) begin(line []byte, seq uint64) {
	h, err := parseHeader(line)
	if err != nil {
		k.add(seq, "is not the header of a segment")
		return
	}
	k.header = h
	if h.Stream != k.stream {
		k.add(seq, "the header is of the journal "+h.Stream)
	}
	if k.head, _ = parseHash([]byte(h.Previous)); h.First != seq {
		k.add(seq, fmt.Sprintf("the header is of line %d", h.First))
	}
}

func (k *segmentCheck) line(seq uint64, p *parsedLine, key ed25519.PublicKey) {
	switch p.kind {
	case kindEvent, kindData:
		k.events++
	case kindCheckpoint:
		var c Checkpoint
		switch {
		case json.Unmarshal(p.record, &c) != nil:
			k.add(seq, "is not a checkpoint")
		case !c.Verify(key):
			k.add(seq, "a checkpoint is not signed with the key")
		case c.Stream != k.stream || c.Seq != seq-1 || c.Hash != k.head.text():
			k.add(seq, "a checkpoint says something else than the chain before it")
		default:
			k.checkpoints = append(k.checkpoints, c)
		}
	case kindExpired:
		var x expiry
		if json.Unmarshal(p.record, &x) == nil {
			k.expired = append(k.expired, x)
		}
	case kindLost:
		var l loss
		if json.Unmarshal(p.record, &l) == nil {
			k.lost += l.Events
		}
	case kindHeader:
		if k.header == nil || seq != k.first {
			k.add(seq, "a header in the middle of a segment")
		}
	default:
		k.add(seq, "is of an unknown kind")
	}
}

// join holds the segments to each other.
func (r *Report) join(checked []*segmentCheck) {
	expired := map[uint64]string{}
	for _, k := range checked {
		for _, x := range k.expired {
			expired[x.UpTo] = x.Hash
		}
	}
	for i, k := range checked {
		for _, p := range k.problems {
			p.Stream = r.Stream
			r.Problems = append(r.Problems, p)
		}
		r.Events += k.events
		r.Lost += k.lost
		if n := len(k.checkpoints); n > 0 {
			r.Covered = max(r.Covered, k.checkpoints[n-1].Seq)
		}
		if k.header == nil {
			continue
		}
		if k.header.Missing > 0 {
			r.add(k.file, k.first, fmt.Sprintf("%d lines before this one were missing when the server started: the end of the journal had been cut off", k.header.Missing))
		}
		if k.header.Rewritten > 0 {
			r.add(k.file, k.first, fmt.Sprintf("line %d was another one than the last checkpoint signed when the server started: the journal had been rewritten", k.header.Rewritten))
		}
		if i == 0 {
			r.First = k.first
			if h, ok := expired[k.first-1]; k.first > 1 && (!ok || h != k.header.Previous) {
				r.add(k.file, k.first, "everything before this line is missing, and retention did not take it")
			}
			continue
		}
		before := checked[i-1]
		switch {
		case k.first-k.header.Missing != before.last+1 && k.first > before.last+1:
			r.add(k.file, k.first, fmt.Sprintf("lines %d to %d before it are missing", before.last+1, k.first-1))
		case k.header.Previous != before.head.text():
			r.add(k.file, k.first, "does not follow on the last line of the segment before it")
		}
	}
	if n := len(checked); n > 0 {
		r.Last, r.Head = checked[n-1].last, checked[n-1].head.text()
	}
}

// kept are the checkpoints that the end of the journal is held to.
func (r *Report) kept(c VerifyConfig) []Checkpoint {
	var kept []Checkpoint
	name := HeadFile(c.Dir, r.Stream)
	raw, err := os.ReadFile(name)
	switch {
	case err == nil:
		var head Checkpoint
		switch {
		case json.Unmarshal(raw, &head) != nil || !head.Verify(c.Key):
			r.add(name, 0, "the newest checkpoint's file is not signed with the key")
		case head.Stream != r.Stream:
			r.add(name, 0, "the newest checkpoint's file is of the journal "+head.Stream)
		default:
			kept = append(kept, head)
		}
	case errors.Is(err, os.ErrNotExist):
		r.add(name, 0, "the newest checkpoint's file is missing")
	default:
		r.add(name, 0, err.Error())
	}
	for _, k := range c.Kept {
		if k.Stream != r.Stream {
			continue
		}
		if !k.Verify(c.Key) {
			r.add("", k.Seq, "a checkpoint that was kept elsewhere is not signed with the key")
			continue
		}
		kept = append(kept, k)
	}
	return kept
}

// keep holds the journal to a checkpoint.
func (r *Report) keep(k *Checkpoint, checked []*segmentCheck) {
	switch {
	case k.Seq > r.Last:
		r.add("", k.Seq, fmt.Sprintf("a checkpoint signs up to this line, and the journal ends at line %d: its end was cut off", r.Last))
		return
	case k.Seq < r.First:
		return // retention took it
	}
	for _, s := range checked {
		if h, ok := s.hashes[k.Seq]; ok {
			if h != k.Hash {
				r.add(s.file, k.Seq, "the chain is another one than the checkpoint signs")
			}
			return
		}
	}
	r.add("", k.Seq, "a checkpoint signs this line, which is not there")
}

// KeyOf is the public key that a directory's newest segment names, in base64: to compare with what one
// knows.
func KeyOf(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }
