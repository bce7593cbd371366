package sqs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Sending is one message to send.
type Sending struct {
	Message Message
	Delay   *int32 // nil: the queue's
}

// Send sends messages, all or none, and needs sqs:SendMessage. It fills in their ids. It returns when they
// are durable.
func (s *Store) Send(ctx context.Context, g authz.Grant, q *Queue, sendings ...*Sending) error {
	if err := g.Require("sqs:SendMessage", s.ARN(q)); err != nil {
		return err
	}
	for _, x := range sendings {
		if err := x.check(q); err != nil {
			return err
		}
		x.Message.ID, x.Message.Sender = uuid.NewString(), g.Principal().UserID
	}
	ctx = context.WithoutCancel(ctx)
	for range sendAttempts {
		err := s.send(ctx, q, sendings)
		if !errors.Is(err, engine.ErrConflict) {
			return err
		}
		// The queue was changed, or the clock gave a time that it had given before a restart.
		now, err := s.Queue(q.Account, q.Name)
		if err != nil {
			return err
		}
		if now.ID != q.ID {
			return refuse(NoQueue, "The specified queue does not exist.")
		}
		q = now
	}
	return refuse(Busy, "The queue is being changed by somebody else.")
}

const sendAttempts = 8

func (s *Store) send(ctx context.Context, q *Queue, sendings []*Sending) error {
	var b engine.Batch
	// The queue must not be deleted meanwhile: what is sent would never be found.
	b.Require(queueKey(q.Account, q.Name), q.version)
	for _, x := range sendings {
		sent := s.unique()
		sealed, err := s.seal(q.ID, sent, &x.Message)
		if err != nil {
			return err
		}
		r := stored{visible: sent + x.delay(q)*int64(time.Second), sealed: sealed}
		b.Require(bodyKey(q.ID, sent), 0)
		b.Set(bodyKey(q.ID, sent), r.encode())
		b.Set(turnKey(q.ID, r.visible, sent), r.turn())
	}
	if err := s.meta.Commit(ctx, &b); err != nil {
		return err
	}
	s.state(q.ID).wake()
	return nil
}

func (x *Sending) delay(q *Queue) int64 {
	if x.Delay != nil {
		return int64(*x.Delay)
	}
	return q.Delay
}

func (x *Sending) check(q *Queue) error {
	if d := x.delay(q); d < 0 || d > maxDelay {
		return refuse(InvalidParameter, "Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", d)
	}
	return x.Message.check(q)
}
