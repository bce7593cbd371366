package pace

import (
	"math"
	"runtime/metrics"
	"slices"
	"time"
)

// latencies is the runtime's histogram of the time that goroutines were ready to run and did not. It
// follows every eighth of a goroutine's steps.
const latencies = "/sched/latencies:seconds"

const (
	// memory is what a look keeps of those before: noise of single looks evens out within some of them.
	memory = 0.3
	// fewest samples tell anything.
	fewest = 8
)

// Scheduler begins to measure how long this process's goroutines are ready to run and do not: on average,
// between two calls of what it returns and a little before. If few ran at all there is no congestion.
func Scheduler() func() time.Duration {
	sample := []metrics.Sample{{Name: latencies}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return func() time.Duration { return 0 } // a runtime that does not tell
	}
	last := slices.Clone(sample[0].Value.Float64Histogram().Counts)
	var n, sum float64
	return func() time.Duration {
		metrics.Read(sample)
		h := sample[0].Value.Float64Histogram()
		n, sum = n*memory, sum*memory
		for i, count := range h.Counts {
			if new := float64(count - last[i]); new > 0 {
				n, sum = n+new, sum+new*middle(h.Buckets[i], h.Buckets[i+1])
			}
		}
		copy(last, h.Counts)
		if n < fewest {
			return 0
		}
		return time.Duration(sum / n * float64(time.Second))
	}
}

func middle(lo, hi float64) float64 {
	switch {
	case math.IsInf(lo, -1):
		return max(hi, 0) / 2
	case math.IsInf(hi, 1):
		return lo
	}
	return (lo + hi) / 2
}
