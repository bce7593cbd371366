package event

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/engine"
)

const firedPrefix = "ev/s/"

func firedKey(rulePath string) []byte { return []byte(firedPrefix + rulePath) }

// longSleep bounds how long a schedule waits without looking at the clock again.
const longSleep = time.Minute

// RunSchedules publishes the events of scheduled rules until ctx ends. A time that passed while the
// server was down is made up for once.
func (s *Store) RunSchedules(ctx context.Context) {
	for {
		next, err := s.fire(ctx)
		if err != nil && ctx.Err() == nil {
			s.config.Log.Error("event: schedules", "err", err)
		}
		wait := longSleep
		if !next.IsZero() {
			wait = min(wait, max(0, next.Sub(s.now())))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.schedules:
		case <-time.After(wait):
		}
	}
}

// scheduled are the enabled rules with a schedule.
func (s *Store) scheduled() (out []*Rule) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.rules.items {
		if r.schedule != nil && r.State != Disabled {
			out = append(out, r)
		}
	}
	return out
}

// fire publishes what is due, and says when the next rule is.
func (s *Store) fire(ctx context.Context) (next time.Time, err error) {
	now := s.now()
	for _, r := range s.scheduled() {
		key := firedKey(rulePath(r.Account, r.Bus, r.Name))
		raw, version, err := s.meta.Get(ctx, key, nil)
		if err != nil {
			return now.Add(time.Second), err
		}
		last := r.Since
		if len(raw) == 8 {
			if at := time.Unix(0, int64(binary.BigEndian.Uint64(raw))); at.After(last) {
				last = at
			}
		}
		due := r.schedule.Next(last, r.Since)
		if !due.IsZero() && !due.After(now) {
			if err := s.fireRule(ctx, r, key, version, due, now); err != nil {
				return now.Add(time.Second), err
			}
			due = r.schedule.Next(now, r.Since)
		}
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next, nil
}

// fireRule sends one scheduled event to the rule's targets, together with the note that it did.
func (s *Store) fireRule(ctx context.Context, r *Rule, key []byte, version engine.Version, due, now time.Time) error {
	e := Event{
		ID: uuid.NewString(), Source: "aws.events", DetailType: "Scheduled Event", Account: r.Account, Region: s.config.Region,
		Time: due, Resources: []string{r.ARN}, Detail: []byte("{}"),
	}
	raw, err := e.raw()
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(key, version)
	b.Set(key, binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())))
	routed := &routed{event: &e, occasion: occasion{ingested: now, raw: raw}, batch: &b}
	s.deliver(r, routed)
	added, err := s.queue.Add(&b, routed.out...)
	if err != nil {
		return err
	}
	if err := s.meta.Commit(ctx, &b); err != nil {
		return err
	}
	added()
	return nil
}
