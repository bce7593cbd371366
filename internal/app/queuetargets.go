package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/sqs"
	"github.com/kura-s3/kura/policy"
)

// kindQueue is the kind of deliveries to queues.
const kindQueue = "sqs"

// queueTargets are queues as targets of rules.
type queueTargets struct{ queues *sqs.Store }

// Check implements event.Target. Whether the queue lets the rule send is decided at each delivery.
func (t queueTargets) Check(_ context.Context, _ string, target *event.RuleTarget) error {
	if target.MessageGroup != "" || strings.HasSuffix(target.ARN, ".fifo") {
		return fault.New(event.Invalid, "Parameter "+target.ARN+" is not valid. Reason: FIFO queues are not supported.")
	}
	if _, err := t.queues.ByARN(target.ARN); err != nil {
		return fault.New(event.Invalid, "Parameter "+target.ARN+" is not valid. Reason: The queue does not exist.")
	}
	return nil
}

// senders are the service principals that send because of something, by the service of its ARN.
var senders = map[string]string{"events": eventsPrincipal, "s3": "s3.amazonaws.com"}

// queueCarrier carries to queues, by requests on behalf of the service that sends, so that the queue's policy
// decides.
type queueCarrier struct {
	queues    *sqs.Store
	authority eventAuthority
	do        func(context.Context, *authz.Subject, *http.Request) (*http.Response, error)
}

// Has implements notify.Queues.
func (q *queueCarrier) Has(arn string) bool {
	_, err := q.queues.ByARN(arn)
	return err == nil
}

// MaySend implements notify.Queues: what S3 asks when a notification is configured.
func (q *queueCarrier) MaySend(ctx context.Context, account, bucketARN, arn string) error {
	to, err := q.queues.ByARN(arn)
	if err != nil {
		return err
	}
	d := &queue.Delivery{Account: account, Cause: bucketARN, Target: arn}
	as, err := q.sender(ctx, d)
	if err != nil {
		return err
	}
	_, err = q.authority.guard.Decide(ctx, &authz.Inquiry{
		Subject: as, Keys: q.authority.keys(d), Event: q.authority.record(d, "sqs:SendMessage", as.Principal),
	}, q.queues.Demand(to, "sqs:SendMessage"))
	return err
}

// maxAnswer bounds what is read of a queue's answer.
const maxAnswer = 64 << 10

// Carry implements delivery.Carrier.
func (q *queueCarrier) Carry(ctx context.Context, d *queue.Delivery) error {
	as, err := q.sender(ctx, d)
	if err != nil {
		return err
	}
	f := strings.Split(d.Target, ":")
	if len(f) != 6 {
		return &delivery.Refused{Reason: "not the ARN of a queue"}
	}
	body, err := json.Marshal(map[string]string{"QueueUrl": "http://sqs/" + f[4] + "/" + f[5], "MessageBody": string(d.Payload)})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sqs/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	answer, err := q.do(ctx, as, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case answer.StatusCode == http.StatusOK:
		return nil
	case answer.StatusCode >= http.StatusInternalServerError, throttled(text):
		return errors.New(string(text))
	}
	return &delivery.Refused{Reason: string(text)}
}

// throttled tells an answer that asks to come again from those that stay.
func throttled(answer []byte) bool {
	var told struct {
		Type string `json:"__type"`
	}
	return json.Unmarshal(answer, &told) == nil && strings.HasSuffix(told.Type, "RequestThrottled")
}

// sender is who sends: the delivery's role, or the service that its cause belongs to.
func (q *queueCarrier) sender(ctx context.Context, d *queue.Delivery) (*authz.Subject, error) {
	if d.Role != "" {
		as, err := q.authority.assume(ctx, d, "sqs:SendMessage")
		return &as, err
	}
	service := ""
	if f := strings.SplitN(d.Cause, ":", 4); len(f) == 4 {
		service = senders[f[2]]
	}
	if service == "" {
		return nil, &delivery.Refused{Reason: "nothing sends because of " + d.Cause}
	}
	return &authz.Subject{Principal: policy.Principal{Type: policy.Service, ARN: service}, Keys: q.authority.keys(d)}, nil
}
