package app

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
)

// trailTopics are topics as receivers of trails. It implements trail.Topics.
type trailTopics struct{ s *server }

// Try implements trail.Topics.
func (n trailTopics) Try(ctx context.Context, t *trail.Trail) error {
	exists, err := n.s.mayPublish(ctx, trail.Service, cause{t.ARN(), t.Account}, t.Topic)
	switch {
	case !exists:
		return fault.New(trail.InvalidTopic, "SNS Topic does not exist or the topic policy is incorrect!")
	case err != nil:
		f := fault.New(trail.InsufficientTopic, "SNS Topic does not exist or the topic policy is incorrect!")
		f.Cause = err
		return f
	}
	return nil
}

// Tell implements trail.Topics.
func (n trailTopics) Tell(ctx context.Context, t *trail.Trail, message []byte) error {
	return n.s.queue.Put(ctx, &queue.Delivery{
		Target: t.Topic, Kind: "sns", Account: t.Account, Cause: t.ARN(), Payload: message,
		Expires: time.Now().Add(noticeLife), MaxRetries: -1,
	})
}
