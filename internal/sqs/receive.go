package sqs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Receiving is what a receiver asks for.
type Receiving struct {
	Max        int    // 1 to 10
	Visibility *int32 // seconds; nil: the queue's
	Wait       *int32 // seconds; nil: the queue's
}

const (
	maxWait       = 20
	maxVisibility = 43200
)

// Receive takes up to Max messages, which nobody else gets for the visibility timeout. It needs
// sqs:ReceiveMessage. Where there is none it waits.
func (s *Store) Receive(ctx context.Context, g authz.Grant, q *Queue, r Receiving) ([]*Message, error) {
	if err := g.Require("sqs:ReceiveMessage", s.ARN(q)); err != nil {
		return nil, err
	}
	visibility, wait := q.Visibility, q.Wait
	if r.Visibility != nil {
		visibility = int64(*r.Visibility)
	}
	if r.Wait != nil {
		wait = int64(*r.Wait)
	}
	switch {
	case r.Max < 1 || r.Max > maxBatch:
		return nil, refuse(InvalidParameter, "Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", r.Max)
	case visibility < 0 || visibility > maxVisibility:
		return nil, refuse(InvalidParameter, "Value %d for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.", visibility)
	case wait < 0 || wait > maxWait:
		return nil, refuse(InvalidParameter, "Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", wait)
	}
	end := time.NewTimer(time.Duration(wait) * time.Second)
	defer end.Stop()
	st := s.state(q.ID)
	for {
		came := st.waiting()
		got, next, err := s.receive(ctx, q, r.Max, time.Duration(visibility)*time.Second)
		if err != nil || len(got) > 0 || wait == 0 && next > 0 {
			return got, err
		}
		soon := time.NewTimer(next)
		select {
		case <-came:
		case <-soon.C:
		case <-end.C:
			wait = 0 // a last look
		case <-ctx.Done():
			soon.Stop()
			return nil, ctx.Err()
		}
		soon.Stop()
		if _, err := s.Queue(q.Account, q.Name); err != nil {
			return nil, err
		}
	}
}

// receiveSlice bounds the messages that one commit takes out of turn, dead letters and expired ones too.
const receiveSlice = 64

// receive takes what is visible; next is how long it is until something may be, 0 when there was more to
// look at.
func (s *Store) receive(ctx context.Context, q *Queue, most int, visibility time.Duration) (got []*Message, next time.Duration, err error) {
	st := s.state(q.ID)
	st.receiving.Lock()
	defer st.receiving.Unlock()
	lo := about(turnPrefix, q.ID)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return nil, 0, err
	}
	defer it.Close()
	next = maxWait * time.Second
	now := s.now().UnixNano()
	b := engine.Batch{Lazy: true} // what a crash takes back is received again
	looked := 0
	for ; len(got) < most && looked < receiveSlice && it.Next(); looked++ {
		visible, sent, ok := turnOf(it.Key())
		if !ok {
			return nil, 0, fmt.Errorf("sqs: record %q", it.Key())
		}
		if visible > now {
			next = min(next, time.Duration(visible-now))
			break
		}
		b.Delete(bytes.Clone(it.Key()))
		m, err := s.take(ctx, &b, q, sent, now, visibility)
		if err != nil {
			return nil, 0, err
		}
		if m != nil {
			got = append(got, m)
		}
	}
	if err := it.Err(); err != nil {
		return nil, 0, err
	}
	if len(b.Writes) == 0 {
		return nil, next, nil
	}
	err = s.meta.Commit(context.WithoutCancel(ctx), &b)
	if errors.Is(err, engine.ErrConflict) { // one of them was deleted meanwhile
		return nil, time.Millisecond, nil
	}
	if looked == receiveSlice {
		next = 0
	}
	return got, next, err
}

// take gives the message to its receiver until the timeout, or moves it to the dead-letter queue, or deletes
// it when its time has ended; then nil is returned.
func (s *Store) take(ctx context.Context, b *engine.Batch, q *Queue, sent, now int64, visibility time.Duration) (*Message, error) {
	key := bodyKey(q.ID, sent)
	value, version, err := s.meta.Get(ctx, key, nil)
	if err != nil || version == 0 {
		return nil, err
	}
	r, err := decodeStored(value)
	if err != nil {
		return nil, err
	}
	b.Require(key, version)
	if sent+q.Retention*int64(time.Second) <= now {
		b.Delete(key)
		return nil, nil
	}
	r.visible = now + int64(visibility)
	r.count++
	if r.first == 0 {
		r.first = now / int64(time.Millisecond)
	}
	m, err := s.open(ctx, q.ID, sent, r)
	if err != nil {
		return nil, err
	}
	if dead := s.deadLetters(q, m); dead != nil {
		b.Delete(key)
		return nil, s.bury(b, q, dead, sent, now, m)
	}
	b.Set(key, r.encode())
	b.Set(turnKey(q.ID, r.visible, sent), r.turn())
	m.Receipt = receipt(q.ID, sent, r.count)
	return m, nil
}

// bury puts m of q into its dead-letter queue. It keeps its time of sending, by which it will be deleted.
func (s *Store) bury(b *engine.Batch, q, dead *Queue, sent, now int64, m *Message) error {
	m.Source = s.ARN(q)
	sealed, err := s.seal(dead.ID, sent, m)
	if err != nil {
		return err
	}
	r := stored{visible: now, sealed: sealed}
	b.Require(queueKey(dead.Account, dead.Name), dead.version) // or nobody would ever find it
	b.Set(bodyKey(dead.ID, sent), r.encode())
	b.Set(turnKey(dead.ID, now, sent), r.turn())
	b.Lazy = false
	s.state(dead.ID).wake()
	return nil
}

// deadLetters is the queue that m goes to because it was received too often; nil when it does not.
func (s *Store) deadLetters(q *Queue, m *Message) *Queue {
	if q.DeadLetter == "" || m.Count <= q.MaxReceives {
		return nil
	}
	dead, err := s.ByARN(q.DeadLetter)
	if err != nil {
		return nil
	}
	return dead
}

// Remove deletes a received message and needs sqs:DeleteMessage. One that is gone is no error; one that was
// received again by somebody else stays theirs.
func (s *Store) Remove(ctx context.Context, g authz.Grant, q *Queue, receipt string) error {
	if err := g.Require("sqs:DeleteMessage", s.ARN(q)); err != nil {
		return err
	}
	sent, r, version, err := s.received(ctx, q, receipt)
	if err != nil || r == nil {
		return err
	}
	var b engine.Batch
	b.Require(bodyKey(q.ID, sent), version)
	b.Delete(bodyKey(q.ID, sent))
	b.Delete(turnKey(q.ID, r.visible, sent))
	err = s.commit(ctx, &b)
	if fault.Is(err, Busy) { // received by somebody else at this moment
		return nil
	}
	return err
}

// SetVisibility sets how long from now a received message stays with its receiver, in seconds. It needs
// sqs:ChangeMessageVisibility.
func (s *Store) SetVisibility(ctx context.Context, g authz.Grant, q *Queue, receipt string, seconds int32) error {
	if err := g.Require("sqs:ChangeMessageVisibility", s.ARN(q)); err != nil {
		return err
	}
	if seconds < 0 || seconds > maxVisibility {
		return refuse(InvalidParameter, "Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", seconds)
	}
	sent, r, version, err := s.received(ctx, q, receipt)
	if err != nil {
		return err
	}
	now := s.now().UnixNano()
	if r == nil || r.visible <= now {
		return refuse(NotInFlight, "The message referred to isn't in flight.")
	}
	var b engine.Batch
	b.Require(bodyKey(q.ID, sent), version)
	b.Delete(turnKey(q.ID, r.visible, sent))
	r.visible = now + int64(seconds)*int64(time.Second)
	b.Set(bodyKey(q.ID, sent), r.encode())
	b.Set(turnKey(q.ID, r.visible, sent), r.turn())
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	s.state(q.ID).wake()
	return nil
}
