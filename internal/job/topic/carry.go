package topic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/job/delivery"
	"github.com/kura-s3/kura/internal/sns"
)

// Mailer sends e-mail.
type Mailer interface {
	// Send sends a text with a subject to one address, in the name of from.
	Send(ctx context.Context, to, from, subject, text string) error
}

// Carrier carries deliveries to subscriptions. It implements delivery.Carrier.
type Carrier struct {
	// Topics are required.
	Topics *sns.Store
	// Client makes the calls over HTTP. Required.
	Client *http.Client
	// Endpoint says what is wrong with a URL. Required.
	Endpoint func(protocol, url string) error
	// Mail sends e-mail. Nil: there is none.
	Mail Mailer
	// Inside carries to queues and functions of this server, in the name of the topic. Required.
	Inside delivery.Carrier

	limits delivery.Limits // by the ARN of the subscription
}

// Timeout is how long an endpoint has to answer ("Amazon SNS HTTP/HTTPS endpoints").
const Timeout = 15 * time.Second

// Carry implements delivery.Carrier.
func (c *Carrier) Carry(ctx context.Context, d *queue.Delivery) error {
	var p Parcel
	if err := json.Unmarshal(d.Options, &p); err != nil {
		return &delivery.Refused{Reason: "options: " + err.Error()}
	}
	if !c.wanted(d, &p) {
		return nil // nobody waits for it any more
	}
	if p.PerSecond > 0 {
		if err := c.limits.Wait(ctx, d.Target, p.PerSecond); err != nil {
			return err
		}
	}
	err := c.send(ctx, d, &p)
	var refused *delivery.Refused
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return &delivery.Later{Reason: err.Error(), Wait: p.Retries.Wait(d.Tries + 1), Exact: true}
}

// wanted tells whether the subscription is still there.
func (c *Carrier) wanted(d *queue.Delivery, p *Parcel) bool {
	sub, _, err := c.Topics.Subscription(d.Target)
	return err == nil && (sub.Confirmed || p.Kind != sns.Notification)
}

func (c *Carrier) send(ctx context.Context, d *queue.Delivery, p *Parcel) error {
	switch p.Protocol {
	case "http", "https":
		return c.post(ctx, d, p)
	case "email", "email-json":
		return c.mail(ctx, d, p)
	}
	to := *d
	to.Target, to.Options = p.Endpoint, nil
	if len(p.MessageAttributes) > 0 {
		raw, err := json.Marshal(struct{ MessageAttributes map[string]member }{p.MessageAttributes})
		if err != nil {
			return err
		}
		to.Options = raw
	}
	return c.Inside.Carry(ctx, &to)
}

const agent = "Amazon Simple Notification Service Agent"

func (c *Carrier) post(ctx context.Context, d *queue.Delivery, p *Parcel) error {
	if err := c.Endpoint(p.Protocol, p.Endpoint); err != nil {
		return &delivery.Refused{Reason: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Endpoint, bytes.NewReader(d.Payload))
	if err != nil {
		return &delivery.Refused{Reason: "the request cannot be made"}
	}
	h := r.Header
	h.Set("Content-Type", p.ContentType)
	h.Set("User-Agent", agent)
	// In small letters, as AWS writes them: receivers have been seen to insist.
	h["x-amz-sns-message-type"] = []string{p.Kind}
	h["x-amz-sns-message-id"] = []string{p.MessageID}
	h["x-amz-sns-topic-arn"] = []string{p.Topic}
	if p.Kind != sns.Confirmation {
		h["x-amz-sns-subscription-arn"] = []string{d.Target}
	}
	if p.Raw {
		h["x-amz-sns-rawdelivery"] = []string{"true"}
	}
	answer, err := c.Client.Do(r)
	if err != nil {
		return delivery.Unnamed(err)
	}
	defer answer.Body.Close()
	return delivery.JudgeBy(answer, again)
}

// again tells of which answers a delivery is tried again: of all but those that say that the request is wrong
// ("Amazon SNS message delivery retries", client-side and server-side errors).
func again(status int) bool {
	return status < 400 || status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

func (c *Carrier) mail(ctx context.Context, d *queue.Delivery, p *Parcel) error {
	if c.Mail == nil {
		return &delivery.Refused{Reason: "this server sends no e-mail"}
	}
	subject := p.Subject
	if subject == "" || p.Kind != sns.Notification {
		subject = subjects[p.Kind]
	}
	from := p.From
	if from == "" {
		from = "AWS Notifications"
	}
	return c.Mail.Send(ctx, p.Endpoint, from, oneLine(subject), string(d.Payload))
}

// oneLine is a text without what would begin another line of a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
