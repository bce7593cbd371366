// Package topic hands the messages of topics on: it makes a delivery of each for every subscription that gets
// it, and carries these by HTTP, by e-mail, and to queues and functions of this server.
//
// Promises: a message leaves the outbox in the commit that adds its deliveries to the queue, so a crash loses
// and doubles none; a receiver that is down holds up nobody else; what is sent over HTTP, by e-mail as JSON
// and to queues is signed; nothing is sent to an address that has ended its subscription.
package topic

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/sns"
)

// Kind of the deliveries that this package makes, and of the carrier that takes them.
const Kind = "sns/subscription"

// Config of a FanOut.
type Config struct {
	// Meta is where both the topics and the queue keep their records. Required.
	Meta engine.Meta
	// Topics and Queue are required.
	Topics *sns.Store
	Queue  *queue.Queue
	// Signer signs. Required.
	Signer *sns.Signer
	// URL is that of this server, for links in messages. Required.
	URL string
	// Log is required.
	Log *slog.Logger
}

// FanOut makes deliveries of messages.
type FanOut struct {
	config Config
	writer writer
}

// NewFanOut makes a FanOut.
func NewFanOut(c Config) *FanOut {
	return &FanOut{config: c, writer: writer{signer: c.Signer, url: c.URL}}
}

const (
	// slice is how many messages are read at a time, abreast to how many subscriptions each is handed on at once.
	slice   = 20
	abreast = 50
	// weight bounds what one commit carries.
	weight = 4 << 20
	hiccup = time.Second
)

// Run works until ctx ends.
func (f *FanOut) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.config.Topics.Woken():
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = f.step(ctx); err != nil && ctx.Err() == nil {
				f.config.Log.Error("topics: messages are not handed on", "err", err)
				select {
				case <-ctx.Done():
				case <-time.After(hiccup):
				}
				more = true
			}
		}
	}
}

// step hands some messages on; more says that there may be others.
func (f *FanOut) step(ctx context.Context) (more bool, err error) {
	waiting, err := f.config.Topics.Waiting(ctx, slice)
	if err != nil || len(waiting) == 0 {
		return false, err
	}
	var b engine.Batch
	var committed []func()
	size := 0
	for _, o := range waiting {
		if size > weight {
			break
		}
		deliveries, forward, err := f.deliveries(o, &b)
		if err != nil {
			return true, err
		}
		for _, d := range deliveries {
			size += len(d.Payload)
		}
		added, err := f.config.Queue.Add(&b, deliveries...)
		if err != nil {
			return true, err
		}
		committed = append(committed, forward, added)
	}
	if err := f.config.Meta.Commit(context.WithoutCancel(ctx), &b); err != nil {
		return true, err
	}
	for _, done := range committed {
		done()
	}
	return true, nil
}

// deliveries are the next ones of a message.
func (f *FanOut) deliveries(o *sns.Outgoing, b *engine.Batch) (out []*queue.Delivery, forwarded func(), err error) {
	receivers, last, done := f.config.Topics.Receivers(o, abreast)
	letter := f.writer.letter(o)
	size := 0
	for i := range receivers {
		if size > weight {
			last, done = receivers[i-1].ID, false
			break
		}
		d, err := letter.delivery(&receivers[i])
		if err != nil {
			return nil, nil, err
		}
		size += len(d.Payload)
		out = append(out, d)
	}
	forwarded, err = f.config.Topics.Forward(b, o, last, done)
	return out, forwarded, err
}

// Parcel says of a delivery how its payload goes. MessageAttributes are for queues that get the message itself.
type Parcel struct {
	Kind, Protocol, Endpoint string
	MessageID, Topic         string
	Subject                  string            `json:",omitempty"`
	Raw                      bool              `json:",omitempty"`
	ContentType              string            `json:",omitempty"`
	From                     string            `json:",omitempty"` // of e-mail: what the topic calls itself
	Retries                  sns.Retries       // of HTTP
	PerSecond                int               `json:",omitempty"`
	MessageAttributes        map[string]member `json:",omitempty"`
}

// member is a message attribute as SQS takes it.
type member struct {
	DataType    string
	StringValue string `json:",omitempty"`
	BinaryValue []byte `json:",omitempty"`
}

// delivery of the letter to a subscription.
func (l *letter) delivery(to *sns.Receiver) (*queue.Delivery, error) {
	payload, err := l.payload(to)
	if err != nil {
		return nil, err
	}
	o := l.out
	p := Parcel{
		Kind: o.Kind, Protocol: to.Protocol, Endpoint: to.Endpoint, MessageID: o.Message.ID, Topic: o.Topic, Subject: o.Message.Subject,
		Raw: l.raw(to), ContentType: to.ContentType, From: to.DisplayName, Retries: to.Retries, PerSecond: to.PerSecond,
	}
	if p.Subject == "" && to.Protocol == "email" {
		p.Subject = subject(o.Message.For("email"))
	}
	if to.Protocol == "sqs" && p.Raw {
		p.MessageAttributes = map[string]member{}
		for name, a := range o.Message.Attributes {
			p.MessageAttributes[name] = member{a.Type, a.String, a.Binary}
		}
	}
	options, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return &queue.Delivery{
		Target: to.ARN(), Kind: Kind, Account: topicAccount(o.Topic), Cause: o.Topic, EventID: o.Message.ID, Payload: payload, Options: options,
		Expires: time.Now().Add(to.Life), MaxRetries: to.Retries.Number, DeadLetter: to.DeadLetter,
	}, nil
}
