package sns

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Attribute of a message that its publisher set.
type Attribute struct {
	Type   string // "String", "String.Array", "Number", "Binary"
	String string `json:",omitempty"`
	Binary []byte `json:",omitempty"`
}

// Message is one message.
type Message struct {
	ID, Subject, Body string
	// Structure, when there is one, has the bodies by protocol; Body is the default one.
	Structure  map[string]string    `json:",omitempty"`
	Attributes map[string]Attribute `json:",omitempty"`
	Time       time.Time
	// Token of a question whether a subscription is meant.
	Token string `json:",omitempty"`
}

// For is the body that a protocol gets.
func (m *Message) For(protocol string) string {
	if body, ok := m.Structure[protocol]; ok {
		return body
	}
	return m.Body
}

// Limits of messages (SNS API Reference, Publish).
const (
	MaxMessage = 256 << 10
	maxSubject = 100
)

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\.[A-Za-z0-9_.-]{1,200})?$`)
)

// Size is what counts of a message.
func (m *Message) Size() int {
	n := len(m.Body)
	for _, body := range m.Structure {
		n += len(body)
	}
	for name, a := range m.Attributes {
		n += len(name) + len(a.Type) + len(a.String) + len(a.Binary)
	}
	return n
}

// structured reads a message whose body has the bodies by protocol.
func (m *Message) structured() error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(m.Body), &members); err != nil {
		return invalid("Message Structure - JSON message body failed to parse")
	}
	m.Structure = map[string]string{}
	for name, raw := range members {
		var text string
		if json.Unmarshal(raw, &text) == nil { // what is no text is not for anybody
			m.Structure[name] = text
		}
	}
	body, ok := m.Structure["default"]
	if !ok {
		return invalid("Message Structure - No default entry in JSON message body")
	}
	delete(m.Structure, "default")
	m.Body = body
	return nil
}

// Structured reads a message with MessageStructure "json".
func (m *Message) Structured(structure string) error {
	switch structure {
	case "":
		return nil
	case "json":
		if len(m.Body) > MaxMessage {
			return invalid("Message too long")
		}
		return m.structured()
	}
	return invalid("MessageStructure")
}

// Check is what Publish would refuse a message for.
func (m *Message) Check() error {
	if m.Body == "" {
		return invalid("Empty message")
	}
	if !utf8.ValidString(m.Body) || !utf8.ValidString(m.Subject) {
		return invalid("Message Reason: it is not UTF-8")
	}
	if m.Size() > MaxMessage {
		return invalid("Message too long")
	}
	if strings.ContainsFunc(m.Subject, control) || utf8.RuneCountInString(m.Subject) > maxSubject {
		return invalid("Subject")
	}
	for name, a := range m.Attributes {
		if err := a.check(name); err != nil {
			return err
		}
	}
	return nil
}

func (a *Attribute) check(name string) error {
	lower := strings.ToLower(name)
	if !attributeName.MatchString(name) || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") || strings.HasPrefix(name, ".") ||
		strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return refuse(InvalidValue, "Invalid attribute name: %s", name)
	}
	kind := attributeType.FindStringSubmatch(a.Type)
	if kind == nil {
		return refuse(InvalidValue, "The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
	}
	if kind[1] == "Binary" && len(a.Binary) == 0 || kind[1] != "Binary" && a.String == "" {
		return refuse(InvalidValue, "The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", name, a.Type)
	}
	if !utf8.ValidString(a.String) {
		return refuse(InvalidValue, "The message attribute '%s' is not UTF-8.", name)
	}
	if kind[1] == "Number" {
		if _, err := strconv.ParseFloat(a.String, 64); err != nil {
			return refuse(InvalidValue, "Could not cast message attribute '%s' value to number.", name)
		}
	}
	return nil
}

// The kinds of what goes out.
const (
	Notification = "Notification"
	Confirmation = "SubscriptionConfirmation"
	End          = "UnsubscribeConfirmation"
)

// Outgoing is a message on its way to a topic's subscriptions.
type Outgoing struct {
	Kind    string
	Topic   string // ARN
	TopicID uint64
	Message Message
	// Only is the id of the one subscription that is meant, "" for all that want it.
	Only string `json:",omitempty"`
	// After is the id of the last subscription that has its delivery.
	After string `json:",omitempty"`

	key []byte
}

// outbox tells of messages that are not handed on.
type outbox struct {
	waiting atomic.Int64
	wake    chan struct{}
}

func (o *outbox) added(n int64) {
	o.waiting.Add(n)
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (s *Store) openOutbox(ctx context.Context) error {
	s.outbox.wake = make(chan struct{}, 1)
	n := int64(0)
	err := engine.Each(ctx, s.meta, outboxPrefix, func(key, _ []byte, _ engine.Version) error {
		n++
		if number := binary.BigEndian.Uint64(key[len(outboxPrefix):]); number > s.last.Load() {
			s.last.Store(number)
		}
		return nil
	})
	if n > 0 {
		s.outbox.added(n)
	}
	return err
}

// send adds a message to the outbox. Call outbox.added once b was committed.
func (s *Store) send(b *engine.Batch, o *Outgoing) error {
	key := binary.BigEndian.AppendUint64([]byte(outboxPrefix), s.unique())
	raw, err := s.sealed(key, o)
	if err != nil {
		return err
	}
	b.Require(key, 0)
	b.Set(key, raw)
	return nil
}

// Publish takes messages, all or none, and needs sns:Publish. It fills in their ids, and returns when they are
// durable.
func (s *Store) Publish(ctx context.Context, g authz.Grant, t *Topic, messages ...*Message) error {
	if err := g.Require("sns:Publish", t.ARN); err != nil {
		return err
	}
	var b engine.Batch
	for _, m := range messages {
		if err := m.Check(); err != nil {
			return err
		}
		m.ID, m.Time = uuid.NewString(), s.now().UTC()
		if err := s.send(&b, &Outgoing{Kind: Notification, Topic: t.ARN, TopicID: t.ID, Message: *m}); err != nil {
			return err
		}
	}
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	s.outbox.added(int64(len(messages)))
	return nil
}

// Woken tells of messages in the outbox; at first, if there are some from before.
func (s *Store) Woken() <-chan struct{} { return s.outbox.wake }

// Waiting gives the oldest messages of the outbox, at most most.
func (s *Store) Waiting(ctx context.Context, most int) ([]*Outgoing, error) {
	lo := []byte(outboxPrefix)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var out []*Outgoing
	size := 0
	for len(out) < most && size < 4*MaxMessage && it.Next() {
		o := &Outgoing{key: append([]byte(nil), it.Key()...)}
		if err := s.unsealed(ctx, o.key, it.Value(), o); err != nil {
			return nil, err
		}
		size += o.Message.Size()
		out = append(out, o)
	}
	return out, it.Err()
}

// Receiver is a subscription that gets a message, and how.
type Receiver struct {
	*Subscription
	Manner
	SignatureVersion string
	DisplayName      string
}

// Receivers are the next subscriptions that get o, at most most, by id.
func (s *Store) Receivers(o *Outgoing, most int) (to []Receiver, last string, done bool) {
	t, err := s.Topic(o.Topic)
	if err != nil || t.ID != o.TopicID {
		return nil, "", true // the topic is gone, and whoever was subscribed with it
	}
	var attributes, body map[string]any
	for _, sub := range s.of(o.Topic) {
		if sub.ID <= o.After || o.Only != "" && sub.ID != o.Only {
			continue
		}
		if len(to) == most {
			return to, last, false
		}
		last = sub.ID
		if o.Kind == Notification {
			if !sub.Confirmed || sub.Created.Sub(o.Message.Time) > time.Second {
				continue
			}
			if sub.filter != nil && attributes == nil {
				attributes, body = s.documents(&o.Message)
			}
			if !sub.filter.accepts(attributes, body) {
				continue
			}
		}
		to = append(to, t.receiver(sub))
	}
	return to, last, true
}

func (t *Topic) receiver(sub *Subscription) Receiver {
	version := t.SignatureVersion
	if version == "" {
		version = "1"
	}
	return Receiver{sub, manner(t, sub), version, t.DisplayName}
}

// Forward writes into b that the subscriptions of o up to the one with the id last have their deliveries; with
// done that all have. Call forwarded once b was committed.
func (s *Store) Forward(b *engine.Batch, o *Outgoing, last string, done bool) (forwarded func(), err error) {
	if done {
		b.Delete(o.key)
		return func() { s.outbox.waiting.Add(-1) }, nil
	}
	o.After = last
	raw, err := s.sealed(o.key, o)
	if err != nil {
		return nil, err
	}
	b.Set(o.key, raw)
	return func() {}, nil
}

// Check reads what waits in the outbox, for the doctor; topics and subscriptions were read by Open.
func (s *Store) Check(ctx context.Context) error {
	return engine.Each(ctx, s.meta, outboxPrefix, func(key, value []byte, _ engine.Version) error {
		var o Outgoing
		return s.unsealed(ctx, bytes.Clone(key), value, &o)
	})
}
