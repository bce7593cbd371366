package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Entry is a record as it is read back.
type Entry struct {
	// Seq is the record's number in its journal: what a reader keeps to go on from.
	Seq uint64
	Note
	// Record is the CloudTrail record as JSON.
	Record json.RawMessage
}

// Reader follows a journal from a place on, in order. Not safe for concurrent use.
//
// Whoever must miss nothing keeps the Seq of the last entry that it is done with, durably, and opens
// its next Reader there: entries after it are given again, whatever crashed.
type Reader struct {
	journal *Journal
	next    uint64 // number of the next line
	r       io.ReadCloser
	lines   *lineReader
	end     uint64 // last line of the segment in r, 0 while it grows

	expander expander
	entries  []Entry // that Ready gave
}

// Reader begins after line number after; 0 is the beginning. What retention has removed is skipped.
func (j *Journal) Reader(after uint64) *Reader { return &Reader{journal: j, next: after + 1} }

// Last is the number of the newest durable line: a Reader from there gets what comes next.
func (j *Journal) Last() uint64 {
	seq, _ := j.Durable()
	return seq
}

// Next gives the next entries, at most most. It waits until there is one, or ctx ends.
func (r *Reader) Next(ctx context.Context, most int) ([]Entry, error) {
	for {
		limit, changed := r.journal.Durable()
		entries, err := r.read(limit, most, false)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		if r.next <= limit {
			continue // lines that are no events
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// Ready gives the entries that are there now, at most most, without waiting. They and their records are good
// until the Reader is asked for more, and their notes are without Verdicts: who reads everything that happens
// should not pay for what it does not look at.
func (r *Reader) Ready(most int) ([]Entry, error) {
	for {
		r.expander.space, r.expander.light = r.expander.space[:0], true
		limit, _ := r.journal.Durable()
		entries, err := r.read(limit, most, true)
		if entries != nil {
			r.entries = entries
		}
		if err != nil || len(entries) > 0 || r.next > limit {
			return entries, err
		}
	}
}

// Position is the number of the last line that was read: nothing before it comes again.
func (r *Reader) Position() uint64 { return r.next - 1 }

// Close gives up what the Reader holds.
func (r *Reader) Close() {
	if r.r != nil {
		r.r.Close()
		r.r, r.lines = nil, nil
	}
}

// read gives entries up to line limit, from one segment.
func (r *Reader) read(limit uint64, most int, light bool) ([]Entry, error) {
	if r.next > limit {
		return nil, nil
	}
	if r.r == nil {
		if err := r.open(); err != nil {
			return nil, err
		}
	}
	var entries []Entry
	if n := int(min(uint64(most), limit-r.next+1)); light && cap(r.entries) >= n {
		clear(r.entries)
		entries = r.entries[:0]
	} else {
		entries = make([]Entry, 0, n)
	}
	for len(entries) < most && r.next <= limit {
		if r.end != 0 && r.next > r.end {
			r.Close()
			break
		}
		if !r.lines.next() {
			if r.lines.err != nil {
				return entries, r.lines.err
			}
			if r.lines.rest != 0 {
				// A line that is being written: read it again from its start.
				r.Close()
				return entries, nil
			}
			// The segment ended: the next line begins another one.
			r.Close()
			break
		}
		p, err := parseLine(r.lines.line)
		if err != nil {
			return entries, fmt.Errorf("audit: line %d: %w", r.next, err)
		}
		seq := r.next
		r.next++
		if !p.isEvent() {
			continue
		}
		e, err := r.expander.entry(seq, &p, !light)
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func entryOf(seq uint64, p *parsedLine) (Entry, error) {
	e := Entry{Seq: seq, Record: append(json.RawMessage(nil), p.record...)}
	if err := json.Unmarshal(p.note, &e.Note); err != nil {
		return e, fmt.Errorf("audit: line %d: %w", seq, err)
	}
	return e, nil
}

// open opens the segment that holds line next and goes to it.
func (r *Reader) open() error {
	for range 3 {
		all, err := segments(r.journal.config.Dir, r.journal.config.Stream)
		if err != nil {
			return err
		}
		err = r.openIn(all)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fs.ErrNotExist
}

func (r *Reader) openIn(all []*segment) error {
	if len(all) == 0 {
		return fs.ErrNotExist
	}
	i := len(all) - 1
	for i > 0 && all[i].first > r.next {
		i--
	}
	s := all[i]
	r.next = max(r.next, s.first)
	r.end = 0
	if i+1 < len(all) {
		// Numbers may jump where lines went missing.
		r.end = all[i+1].first - 1
	}
	var err error
	if r.r, err = s.open(); err != nil {
		return err
	}
	r.lines = newLines(r.r)
	for at := s.first; at < r.next; at++ {
		if !r.lines.next() {
			r.Close()
			if i+1 < len(all) {
				r.next = all[i+1].first
				return nil
			}
			return fmt.Errorf("audit: %s ends before line %d: %w", s.path(), r.next, errLine)
		}
	}
	return nil
}
