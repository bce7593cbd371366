package audit

import (
	"fmt"
	"os"

	"github.com/klauspost/compress/zstd"
)

// index holds the index of a sealed segment to its lines. The chain does not cover it, and who leaves an event out of
// it hides that event from every query.
func (k *segmentCheck) index(s *segment) {
	if !s.sealed || len(k.problems) > 0 {
		return // of a damaged segment the lines are the problem
	}
	name := s.name(indexSuffix)
	blocks, err := s.blocks()
	if err != nil {
		return // then queries read everything
	}
	problem := func(line uint64, what string) {
		k.problems = append(k.problems, Problem{File: name, Line: line, What: what})
	}
	file, err := os.Open(s.path())
	if err != nil {
		problem(0, err.Error())
		return
	}
	defer file.Close()
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		problem(0, err.Error())
		return
	}
	defer z.Close()
	var buf []byte
	var x expander
	x.light = true
	next := s.first
	for _, b := range blocks {
		if b.size < 0 || b.size > maxBlock || b.first != next {
			problem(next, "the index leaves lines out")
			return
		}
		if buf, err = s.readBlock(file, z, b, buf); err != nil {
			problem(next, "the index names a block that cannot be read: "+err.Error())
			return
		}
		if next, err = b.holds(buf, &x); err != nil {
			problem(next, err.Error())
			return
		}
	}
	if next != k.last+1 {
		problem(next, "the index leaves lines out")
	}
}

// holds tells whether a query finds every event in the block's lines, which are raw, and the number of the line behind
// them.
func (b *block) holds(raw []byte, x *expander) (next uint64, err error) {
	next = b.first
	for len(raw) > 0 {
		line, rest, ok := cutLine(raw)
		if !ok {
			break
		}
		p, err := parseLine(line)
		if err != nil {
			return next, err
		}
		if p.isEvent() {
			x.space = x.space[:0]
			millis, tokens := x.indexed(&p)
			if millis != 0 && (millis < b.oldest || millis > b.newest) {
				return next, fmt.Errorf("the index hides this event: it has another time")
			}
			for _, t := range tokens {
				if !b.filter.has(t) {
					return next, fmt.Errorf("the index hides this event")
				}
			}
		}
		raw = rest
		next++
	}
	if next != b.first+uint64(b.lines) {
		return next, fmt.Errorf("the index counts %d lines in a block of %d", b.lines, next-b.first)
	}
	return next, nil
}
