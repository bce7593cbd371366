// Package stat measures: latencies in a histogram of fixed size, and what a process took from the
// kernel (processor time, memory) by its /proc files.
package stat

import (
	"math/bits"
	"time"
)

const (
	subBits    = 5 // 32 steps an octave: a bucket is at most 3.2 % wide
	subBuckets = 1 << subBits
	octaves    = 36 // in units of 100 ns: up to hours
	unit       = 100 * time.Nanosecond
)

// Histogram counts durations in log-linear buckets: bounded memory whatever the number of samples,
// quantiles true to about 3 %. The zero value is empty and ready.
type Histogram struct {
	counts [octaves * subBuckets]uint64
	total  uint64
	max    time.Duration
}

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0) / unit)
	if v < subBuckets {
		return int(v)
	}
	octave := bits.Len64(v) - subBits // 1 for 32..63
	index := octave*subBuckets + int(v>>(octave-1)) - subBuckets
	return min(index, octaves*subBuckets-1)
}

// lowerBound is the smallest duration of a bucket.
func lowerBound(index int) time.Duration {
	octave, sub := index/subBuckets, index%subBuckets
	if octave == 0 {
		return time.Duration(sub) * unit
	}
	return time.Duration(uint64(subBuckets+sub)<<(octave-1)) * unit
}

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
	h.max = max(h.max, d)
}

// Add counts all that o counted.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count is the number of recorded durations.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile returns the duration below which the fraction q of the samples lie; 0 without samples.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.total)), h.total-1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			middle := (lowerBound(i) + lowerBound(i+1)) / 2
			return min(middle, h.max)
		}
	}
	return h.max
}
