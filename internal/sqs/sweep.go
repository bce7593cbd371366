package sqs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Purge deletes all messages of a queue and needs sqs:PurgeQueue.
func (s *Store) Purge(ctx context.Context, g authz.Grant, q *Queue) error {
	if err := g.Require("sqs:PurgeQueue", s.ARN(q)); err != nil {
		return err
	}
	st := s.state(q.ID)
	st.mu.Lock()
	recent := !st.purged.IsZero() && s.now().Sub(st.purged) < purgePause
	if !recent {
		st.purged = s.now()
	}
	st.mu.Unlock()
	if recent {
		return refuse(PurgeInProgress, "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.Name)
	}
	var b engine.Batch
	empty(&b, q.ID)
	return s.commit(ctx, &b)
}

// empty deletes every message of a queue with b.
func empty(b *engine.Batch, queue uint64) {
	for _, space := range []string{bodyPrefix, turnPrefix} {
		lo := about(space, queue)
		b.DeleteRange(lo, engine.PrefixEnd(lo))
	}
}

// Counts of a queue, approximately: messages that can be received, that are with a receiver, and that are
// not visible yet for the first time. It needs sqs:GetQueueAttributes.
type Counts struct{ Visible, InFlight, Delayed int64 }

// maxCounted bounds what is looked at to count.
const maxCounted = 200000

// Count needs sqs:GetQueueAttributes.
func (s *Store) Count(ctx context.Context, g authz.Grant, q *Queue) (c Counts, err error) {
	if err := g.Require("sqs:GetQueueAttributes", s.ARN(q)); err != nil {
		return c, err
	}
	lo := about(turnPrefix, q.ID)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return c, err
	}
	defer it.Close()
	now := s.now().UnixNano()
	for n := 0; n < maxCounted && it.Next(); n++ {
		visible, _, ok := turnOf(it.Key())
		switch {
		case !ok:
		case visible <= now:
			c.Visible++
		case len(it.Value()) > 0:
			c.InFlight++
		default:
			c.Delayed++
		}
	}
	return c, it.Err()
}

// sweepSlice is how many messages are deleted in one commit.
const sweepSlice = 1000

// Sweep deletes messages whose time of retention has ended. The app calls it now and then: nobody may be
// receiving.
func (s *Store) Sweep(ctx context.Context) error {
	for _, q := range *s.queues.Load() {
		for {
			more, err := s.sweep(ctx, q)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

func (s *Store) sweep(ctx context.Context, q *Queue) (more bool, err error) {
	end := s.now().UnixNano() - q.Retention*int64(time.Second)
	it, err := s.meta.Scan(ctx, about(bodyPrefix, q.ID), bodyKey(q.ID, end))
	if err != nil {
		return false, err
	}
	defer it.Close()
	var b engine.Batch
	for n := 0; n < sweepSlice && it.Next(); n++ {
		key := bytes.Clone(it.Key())
		r, err := decodeStored(it.Value())
		if err != nil {
			return false, err
		}
		b.Require(key, it.Version())
		b.Delete(key)
		b.Delete(turnKey(q.ID, r.visible, int64(binary.BigEndian.Uint64(key[len(key)-8:]))))
		more = n == sweepSlice-1
	}
	if err := it.Err(); err != nil || len(b.Writes) == 0 {
		return false, err
	}
	err = s.meta.Commit(ctx, &b)
	if errors.Is(err, engine.ErrConflict) {
		return false, nil // the next time
	}
	return more, err
}
