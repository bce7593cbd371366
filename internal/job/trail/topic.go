package trail

import (
	"context"
	"encoding/json"

	"github.com/kura-s3/kura/internal/fault"
)

// Topics hear of the log files of trails.
type Topics interface {
	// Try finds out whether CloudTrail may publish to a trail's topic: InvalidTopic, InsufficientTopic.
	Try(ctx context.Context, t *Trail) error
	// Tell publishes a message to it, durably.
	Tell(ctx context.Context, t *Trail, message []byte) error
}

func (s *Store) checkTopic(ctx context.Context, t *Trail) error {
	if t.Topic == "" {
		return nil
	}
	if s.config.Topics == nil {
		return fault.New(Unsupported, "This server has no Amazon SNS.")
	}
	return s.config.Topics.Try(ctx, t)
}

// notice is what topics are told of a file (CloudTrail User Guide, "Configuring Amazon SNS notifications").
type notice struct {
	Bucket string   `json:"s3Bucket"`
	Keys   []string `json:"s3ObjectKey"`
}

// tell tells the trail's topic of a log file. It comes before the state is stored: a crash tells twice,
// never not at all.
func (s *Store) tell(ctx context.Context, t *Trail, key string) error {
	if t.Topic == "" || s.config.Topics == nil {
		return nil
	}
	message, err := json.Marshal(notice{t.Bucket, []string{key}})
	if err != nil {
		return err
	}
	return s.config.Topics.Tell(ctx, t, message)
}
