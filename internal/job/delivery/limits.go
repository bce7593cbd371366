package delivery

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits spread what goes to each target over the seconds. The zero value is ready, and safe for concurrent use.
type Limits struct {
	mu    sync.Mutex
	by    map[string]*limit
	swept time.Time
}

// limit is the limiter of a target, and when it was last asked.
type limit struct {
	*rate.Limiter
	used time.Time
}

// idle is for how long at least a limiter is kept that nobody asks, as of a target that is gone. One that is
// made anew lets as much through as one that had nothing to do.
const idle = 10 * time.Minute

// Wait waits until one more may go to a target, of so many a second.
func (l *Limits) Wait(ctx context.Context, target string, perSecond int) error {
	return l.of(target, perSecond, time.Now()).Wait(ctx)
}

func (l *Limits) of(target string, perSecond int, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[string]*limit{}
	}
	if now.Sub(l.swept) >= idle {
		l.swept = now
		maps.DeleteFunc(l.by, func(_ string, one *limit) bool { return now.Sub(one.used) > idle })
	}
	one := l.by[target]
	if one == nil {
		one = &limit{Limiter: rate.NewLimiter(rate.Limit(perSecond), perSecond)}
		l.by[target] = one
	}
	one.used = now
	if one.Burst() != perSecond {
		one.SetLimit(rate.Limit(perSecond))
		one.SetBurst(perSecond)
	}
	return one.Limiter
}
