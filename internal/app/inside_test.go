package app

import (
	"errors"
	"testing"

	"github.com/kura-s3/kura/internal/job/delivery"
)

// TestWhatAReceiverAnswers: a delivery is given up only for an answer that stays.
func TestWhatAReceiverAnswers(t *testing.T) {
	queues := (&server{}).queueTargets()
	for _, c := range []struct {
		status int
		body   string
		final  bool
	}{
		{400, `{"__type":"com.amazonaws.sqs#RequestThrottled","message":"The queue is being changed by somebody else."}`, false},
		{503, `{"__type":"com.amazonaws.sqs#ServiceUnavailable"}`, false},
		{429, `{}`, false},
		{400, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}`, true},
		{403, `{"__type":"com.amazonaws.sqs#AccessDenied"}`, true},
	} {
		err := queues.judge(c.status, []byte(c.body))
		var refused *delivery.Refused
		if err == nil || errors.As(err, &refused) != c.final {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
	if err := queues.judge(202, nil); err != nil {
		t.Error(err)
	}
}
