package object

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// lockClock is the time by which retention is judged. Whoever sets the machine's clock does not set
// this one: it goes on from a stored mark, at the pace of the monotonic clock. Turned back, the
// machine's clock is ignored; turned forward while Kura runs, it is caught up with at twice the
// pace, so that a minute in 2099 frees nothing. What passed while Kura was off is taken from the
// machine at the start, which cannot be known better.
type lockClock struct {
	mu   sync.Mutex
	at   time.Time // without a monotonic reading
	last time.Time // the reading at which it was that late
}

// start sets the clock to the later of the machine's and the mark.
func (c *lockClock) start(reading, mark time.Time) {
	c.at, c.last = reading.Round(0), reading
	if mark.After(c.at) {
		c.at = mark
	}
}

// read moves the clock on to a reading of the machine's.
func (c *lockClock) read(reading time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	elapsed := reading.Sub(c.last)
	if elapsed <= 0 {
		return c.at
	}
	c.last = reading
	c.at = c.at.Add(elapsed)
	if behind := reading.Round(0).Sub(c.at); behind > 0 {
		c.at = c.at.Add(min(behind, elapsed))
	}
	return c.at
}

// lockTime is now, for the question whether a retention still holds.
func (s *Store) lockTime() time.Time { return s.clock.read(s.now()) }

// retentionStart is now, for the question when a retention ends: never earlier than lockTime.
func (s *Store) retentionStart() time.Time {
	now, at := s.now(), s.lockTime()
	if now.Before(at) {
		return at
	}
	return now.Round(0)
}

// Time is now for whoever removes by age: a machine's clock that is turned forward while Kura runs is caught up
// with slowly, as for retention, so that a minute in the wrong year removes nothing.
func (s *Store) Time() time.Time {
	now := s.now()
	if at := s.lockTime(); at.Before(now) {
		return at
	}
	return now
}

// lockMarkInterval is how much of the time that passed a crash may take back, while a bucket has
// Object Lock.
const lockMarkInterval = time.Minute

// openClock reads the mark.
func (s *Store) openClock(ctx context.Context) error {
	raw, version, err := s.meta.Get(ctx, []byte(counterClock), nil)
	if err != nil {
		return err
	}
	var mark time.Time
	if version != 0 {
		if len(raw) != 8 {
			return fmt.Errorf("%w: counter %s", errRecord, counterClock)
		}
		mark = time.UnixMilli(int64(binary.BigEndian.Uint64(raw)))
	}
	now := s.now()
	s.clock.start(now, mark)
	if behind := mark.Sub(now); behind > lockMarkInterval {
		s.log.Warn("the machine's clock was turned back; Object Lock goes by the stored time", "clock", now.UTC(), "stored", mark.UTC())
	}
	return nil
}

// saveClock stores the mark.
func (s *Store) saveClock(ctx context.Context) error {
	var b engine.Batch
	b.Set([]byte(counterClock), binary.BigEndian.AppendUint64(nil, uint64(s.lockTime().UnixMilli())))
	return s.meta.Commit(ctx, &b)
}

// saveClockForever stores the mark now and then while a bucket has Object Lock, and at the end.
func (s *Store) saveClockForever(ctx context.Context) {
	tick := time.NewTicker(lockMarkInterval)
	defer tick.Stop()
	s.saveClockIfLocked(ctx)
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			s.saveClockIfLocked(ctx)
			return
		case <-tick.C:
			s.saveClockIfLocked(ctx)
		}
	}
}

func (s *Store) saveClockIfLocked(ctx context.Context) {
	locked := false
	s.buckets.all(func(b *Bucket) { locked = locked || b.lock != lockState{} })
	if !locked {
		return
	}
	if err := s.saveClock(ctx); err != nil {
		s.log.Error("object: storing the time by which Object Lock goes", "err", err)
	}
}
