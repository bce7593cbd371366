package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/job/trail"
)

// insideService is a service of this server that events and notifications can be sent to. What is sent is
// a request on behalf of the sender, so that the receiver's own policy decides.
type insideService struct {
	// check says, in EventBridge's words, what is wrong with a target of a rule; "" is nothing. Whether it
	// lets the rule send is decided at each delivery.
	check func(t *event.RuleTarget) string
	// demand is what S3 must be allowed before a notification is configured; an error says that there is
	// no such receiver.
	demand func(arn string) (authz.Demand, error)
	// request is what sends a delivery.
	request func(ctx context.Context, d *queue.Delivery) (*http.Request, error)
	// again is the code of an answer of the client-error kind that asks to come again. Optional.
	again string
	// before is what has to be requested first, and the delivery then once more, because of an answer; nil:
	// nothing. Optional.
	before func(ctx context.Context, d *queue.Delivery, answer []byte) (*http.Request, error)
}

// insideServices are such services, by their name in ARNs.
func (s *server) insideServices() map[string]insideService {
	return map[string]insideService{
		"sqs":    s.queueTargets(),
		"logs":   s.logTargets(),
		"lambda": s.functionTargets(),
		"events": busDestinations(),
		"sns":    s.topicTargets(),
	}
}

// ruleTargets are the services as targets of rules.
func ruleTargets(services map[string]insideService) map[string]event.Target {
	targets := map[string]event.Target{}
	for name, service := range services {
		targets[name] = ruleTarget(service.check)
	}
	return targets
}

type ruleTarget func(*event.RuleTarget) string

// Check implements event.Target.
func (check ruleTarget) Check(_ context.Context, _ string, t *event.RuleTarget) error {
	if reason := check(t); reason != "" {
		return fault.New(event.Invalid, "Parameter "+t.ARN+" is not valid. Reason: "+reason)
	}
	return nil
}

const s3Principal = "s3.amazonaws.com"

// senders are the service principals that send because of something, by the service of its ARN.
var senders = map[string]string{"events": eventsPrincipal, "s3": s3Principal, "sns": snsPrincipal, "config": configPrincipal, "cloudtrail": trail.Service}

// insideCarrier carries deliveries to services of this server. It implements delivery.Carrier and
// notify.Inside.
type insideCarrier struct {
	s        *server
	services map[string]insideService
}

func (c *insideCarrier) service(arn string) (insideService, bool) {
	f := strings.SplitN(arn, ":", 4)
	if len(f) < 4 {
		return insideService{}, false
	}
	service, ok := c.services[f[2]]
	return service, ok
}

// Has implements notify.Inside.
func (c *insideCarrier) Has(arn string) bool {
	service, ok := c.service(arn)
	if !ok {
		return false
	}
	_, err := service.demand(arn)
	return err == nil
}

// MaySend implements notify.Inside: what S3 asks when a notification is configured.
func (c *insideCarrier) MaySend(ctx context.Context, account, bucketARN, arn string) error {
	service, ok := c.service(arn)
	if !ok {
		return &delivery.Refused{Reason: "nothing receives at " + arn}
	}
	demand, err := service.demand(arn)
	if err != nil {
		return err
	}
	return c.s.mayDo(ctx, s3Principal, cause{bucketARN, account}, demand)
}

// Carry implements delivery.Carrier.
func (c *insideCarrier) Carry(ctx context.Context, d *queue.Delivery) error {
	service, ok := c.service(d.Target)
	if !ok {
		return &delivery.Refused{Reason: "nothing receives at " + d.Target}
	}
	as, err := c.sender(ctx, d)
	if err != nil {
		return delivery.Denied(err)
	}
	status, text, err := c.send(ctx, as, d, service.request)
	if err != nil {
		return err
	}
	if service.before != nil && status >= http.StatusBadRequest {
		first, err := service.before(ctx, d, text)
		if err != nil || first == nil {
			return errors.Join(err, service.judge(status, text))
		}
		given := func(context.Context, *queue.Delivery) (*http.Request, error) { return first, nil }
		if status, text, err = c.send(ctx, as, d, given); err != nil {
			return err
		}
		if status < http.StatusMultipleChoices || failedWith(text, "ResourceAlreadyExistsException") {
			if status, text, err = c.send(ctx, as, d, service.request); err != nil {
				return err
			}
		}
	}
	return service.judge(status, text)
}

// send makes a request on behalf of as and reads its answer.
func (c *insideCarrier) send(ctx context.Context, as *authz.Subject, d *queue.Delivery, request func(context.Context, *queue.Delivery) (*http.Request, error)) (int, []byte, error) {
	r, err := request(ctx, d)
	if err != nil {
		return 0, nil, &delivery.Refused{Reason: err.Error()}
	}
	return c.s.ask(ctx, as, as.Principal.ARN, r)
}

// judge says what an answer means: a refusal stays, unless it asks to come again.
func (i *insideService) judge(status int, text []byte) error {
	switch {
	case status < http.StatusMultipleChoices:
		return nil
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, i.again != "" && failedWith(text, i.again):
		return errors.New(string(text))
	}
	return &delivery.Refused{Reason: string(text)}
}

// sender is who sends: the delivery's role, or the service that its cause belongs to.
func (c *insideCarrier) sender(ctx context.Context, d *queue.Delivery) (*authz.Subject, error) {
	if d.Role != "" {
		if strings.HasPrefix(d.Cause, "arn:aws:lambda:") {
			return c.s.asFunction(ctx, d.Role, runner.FunctionARN(d.Cause))
		}
		return eventAuthority{c.s}.assume(ctx, d)
	}
	if f := strings.SplitN(d.Cause, ":", 4); len(f) == 4 && senders[f[2]] != "" {
		return servicePrincipal(senders[f[2]], cause{d.Cause, d.Account}), nil
	}
	return nil, &delivery.Refused{Reason: "nothing sends because of " + d.Cause}
}

// queueTargets are queues as receivers.
func (s *server) queueTargets() insideService {
	return insideService{
		check: func(t *event.RuleTarget) string {
			if t.MessageGroup != "" || strings.HasSuffix(t.ARN, ".fifo") {
				return "FIFO queues are not supported."
			}
			if _, err := s.queues.ByARN(t.ARN); err != nil {
				return "The queue does not exist."
			}
			return ""
		},
		demand: func(arn string) (authz.Demand, error) {
			q, err := s.queues.ByARN(arn)
			if err != nil {
				return authz.Demand{}, err
			}
			return s.queues.Demand(q, "sqs:SendMessage"), nil
		},
		request: sendMessage,
		again:   "RequestThrottled",
	}
}

func sendMessage(ctx context.Context, d *queue.Delivery) (*http.Request, error) {
	f := strings.Split(d.Target, ":")
	if len(f) != 6 {
		return nil, errors.New("not the ARN of a queue")
	}
	input := map[string]any{"QueueUrl": "https://sqs.inside/" + f[4] + "/" + f[5], "MessageBody": string(d.Payload)}
	var with struct{ MessageAttributes json.RawMessage } // of topics and functions
	if len(d.Options) > 0 && json.Unmarshal(d.Options, &with) == nil && with.MessageAttributes != nil {
		input["MessageAttributes"] = with.MessageAttributes
	}
	return jsonRequest(ctx, "sqs", "AmazonSQS.SendMessage", input)
}
