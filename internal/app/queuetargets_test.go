package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
)

// TestWhatAQueueAnswers: a delivery is given up only for an answer that stays.
func TestWhatAQueueAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		final  bool
	}{
		{400, `{"__type":"com.amazonaws.sqs#RequestThrottled","message":"The queue is being changed by somebody else."}`, false},
		{503, `{"__type":"com.amazonaws.sqs#ServiceUnavailable"}`, false},
		{400, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}`, true},
		{403, `{"__type":"com.amazonaws.sqs#AccessDenied"}`, true},
	} {
		q := &queueCarrier{do: func(context.Context, *authz.Subject, *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: c.status, Body: io.NopCloser(strings.NewReader(c.body))}, nil
		}}
		err := q.Carry(t.Context(), &queue.Delivery{
			Account: "111122223333", Cause: "arn:aws:s3:::bucket", Target: "arn:aws:sqs:us-east-1:111122223333:q", Payload: []byte("{}"),
		})
		var refused *delivery.Refused
		if err == nil || errors.As(err, &refused) != c.final {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}
