package feed

import "slices"

// What is kept in memory for consumers that keep up. Those that do not read what is stored.
const (
	maxRecent      = 8192
	maxRecentBytes = 16 << 20
)

// recent are the newest entries in order: all whose commits are known to have succeeded, after the place from.
type recent struct {
	from    uint64
	entries []Entry
	bytes   int
}

func weigh(e *Entry) int { return 512 + len(e.Before) + len(e.After) }

// add takes in an entry. Commits end in another order than they began, but not by much.
func (r *recent) add(e *Entry) {
	if e.Seq <= r.from {
		return
	}
	i := len(r.entries)
	for i > 0 && r.entries[i-1].Seq > e.Seq {
		i--
	}
	r.entries = slices.Insert(r.entries, i, *e)
	r.bytes += weigh(e)
	for len(r.entries) > maxRecent || r.bytes > maxRecentBytes {
		r.begin(r.entries[0].Seq)
	}
}

// begin forgets all up to a place.
func (r *recent) begin(from uint64) {
	if from <= r.from {
		return
	}
	r.from = from
	n := 0
	for n < len(r.entries) && r.entries[n].Seq <= from {
		r.bytes -= weigh(&r.entries[n])
		n++
	}
	clear(r.entries[:n])
	if r.entries = r.entries[n:]; len(r.entries) == 0 {
		r.entries = nil
	}
}

// between gives the oldest entries after the place at, up to limit and at most most; known is false when there may be
// such that are not here.
func (r *recent) between(at, limit uint64, most int) (entries []Entry, known bool) {
	if at < r.from {
		return nil, at >= limit
	}
	i, _ := slices.BinarySearchFunc(r.entries, at+1, func(e Entry, seq uint64) int {
		switch {
		case e.Seq < seq:
			return -1
		case e.Seq > seq:
			return 1
		}
		return 0
	})
	n := i
	for n < len(r.entries) && n-i < most && r.entries[n].Seq <= limit {
		n++
	}
	return slices.Clone(r.entries[i:n]), true
}
