package pace

import "time"

const (
	// narrowing and widening bound what one look changes.
	narrowing, widening = 0.5, 1.25
	// Of so many looks, the last so many are at the floor: they tell how long others wait without the
	// work. The very last of these counts.
	round, still = 25, 3
	// learning is how much of what was known such a round replaces, and tolerance how much longer others
	// that congest the machine may wait with the work than without.
	learning, tolerance = 0.5, 1.25
)

// width decides how many turns there are at a time, by what others wait without the work: where that is
// little, work that waits for itself harms nobody.
type width struct {
	now     float64 // in turns; below 1, the share of the time in which there is one
	wanted  float64 // the same between the looks at the floor
	without float64 // the congestion at the floor
	looks   int
}

// look takes in what one look saw while there was work. It never becomes narrower than floor, but for the looks
// without work, nor wider than Beside.
func (w *width) look(congestion time.Duration, c *Config, floor float64) {
	w.looks = (w.looks + 1) % round
	switch {
	case w.looks == 0:
		w.without += learning * (float64(congestion) - w.without)
	case w.looks <= round-still:
		factor := widening
		if congestion > 0 {
			factor = min(max(w.limit(c)/float64(congestion), narrowing), widening)
		}
		w.wanted *= factor
	}
	w.wanted = max(min(w.wanted, c.Beside, c.Widest), floor)
	if w.now = w.wanted; w.looks >= round-still {
		w.now = c.Floor
	}
}

// free is for looks when nobody else is there: it widens, and the first look at somebody else begins with
// what they wait without the work.
func (w *width) free(c *Config) {
	w.without, w.looks = 0, round-still-1
	w.wanted = min(w.wanted*widening, c.Widest)
	w.now = w.wanted
}

// limit is the congestion that there may be with the work: a little more than without it, and the more beyond
// that the calmer it is.
func (w *width) limit(c *Config) float64 {
	room := float64(c.Calm) / max(w.without, 1)
	return max(tolerance*w.without, float64(c.Calm)*room*room)
}
