package event

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/event/queue"
)

// MaxEvent bounds an entry of PutEvents, and an event.
const MaxEvent = 256 << 10

// maxFanOut bounds what all targets together are sent of one event: it is in memory until it is stored.
const maxFanOut = 64 << 20

// Publisher gives a Bus to Kura's own services. It needs events:PutEvents on "*", which only a
// background job is granted.
func (s *Store) Publisher(g authz.Grant) (Bus, error) {
	if err := g.Require("events:PutEvents", "*"); err != nil {
		return nil, err
	}
	return publisher{s}, nil
}

type publisher struct{ store *Store }

// Publish implements Bus.
func (p publisher) Publish(ctx context.Context, b *engine.Batch, events ...Event) (committed func(), err error) {
	own := b == nil
	if own {
		b = &engine.Batch{}
	}
	var added []func()
	for i := range events {
		done, err := p.store.route(b, events[i].Account, DefaultBus, events[i], nil)
		if err != nil {
			return nil, err
		}
		added = append(added, done)
	}
	committed = func() {
		for _, done := range added {
			done()
		}
	}
	if !own {
		return committed, nil
	}
	if len(b.Writes) > 0 {
		if err := p.store.meta.Commit(ctx, b); err != nil {
			return nil, err
		}
	}
	committed()
	return committed, nil
}

// Heard tells whether a rule or an archive of an account's default bus may want an event of which some fields are
// known, by their paths: whoever has many events need not make those that nobody hears.
func (s *Store) Heard(account string, known map[string]string) bool {
	source, detailType := known["source"], known["detail-type"]
	if source == "" || detailType == "" {
		return true // it is not known enough
	}
	return !s.receivers(account, DefaultBus, source, detailType).hearing(known).nobody()
}

// routed is an event on its way through the rules of a bus.
type routed struct {
	event    *Event
	occasion occasion
	document map[string]any
	batch    *engine.Batch
	out      []*queue.Delivery
	size     int // of what they carry
	// only are the ARNs of the rules that may get it; nil: all. Replays say so.
	only []string
}

// route adds to b what the rules and archives of a bus make of an event. Call added when b was
// committed.
func (s *Store) route(b *engine.Batch, account, bus string, e Event, only []string) (added func(), err error) {
	some := s.receivers(account, bus, e.Source, e.DetailType)
	if some.nobody() {
		return func() {}, nil
	}
	if some = some.hearing(map[string]string{"account": e.Account}); some.nobody() {
		return func() {}, nil
	}
	if e.ID == "" {
		e.ID = uuid.NewString()
	}
	if e.Region == "" {
		e.Region = s.config.Region
	}
	if e.Time.IsZero() {
		e.Time = s.now()
	}
	raw, err := e.raw()
	if err != nil {
		return nil, fmt.Errorf("event: %s %s: %w", e.Source, e.DetailType, err)
	}
	document, err := pattern.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("event: %s %s: %w", e.Source, e.DetailType, err)
	}
	r := &routed{event: &e, occasion: occasion{ingested: s.now(), raw: raw}, document: document.(map[string]any), batch: b, only: only}
	for _, rule := range some.rules {
		if rule.wants(r) {
			s.deliver(rule, r)
		}
	}
	kept := s.keep(some.archives, r)
	queued, err := s.queue.Add(b, r.out...)
	if err != nil {
		return nil, err
	}
	return func() { queued(); kept() }, nil
}

func (r *Rule) wants(e *routed) bool {
	switch {
	case e.event.ReadOnly && r.State != EnabledWithEvents:
		return false
	case e.only != nil && !slices.Contains(e.only, r.ARN):
		return false
	}
	return r.pattern.Matches(e.document)
}

// deliver adds a delivery for each target of a rule.
func (s *Store) deliver(r *Rule, e *routed) {
	e.occasion.ruleARN, e.occasion.ruleName = r.ARN, r.Name
	for i := range r.Targets {
		d, err := s.delivery(r, &r.Targets[i], e)
		if err != nil {
			s.config.Log.Error("event: a target gets nothing", "rule", r.ARN, "target", r.Targets[i].ID, "err", err)
			continue
		}
		if d == nil {
			continue
		}
		if e.size += len(d.Payload); e.size > maxFanOut {
			s.config.Log.Error("event: a target gets nothing: too much is made of one event", "rule", r.ARN, "target", r.Targets[i].ID, "most", maxFanOut)
			continue
		}
		e.out = append(e.out, d)
	}
}

// Hop is the Options of deliveries to buses: how often an event was sent on.
type Hop struct{ Hops int }

// FIFO is the Options of deliveries to queues that keep groups in order.
type FIFO struct{ MessageGroup string }

func (s *Store) delivery(r *Rule, t *RuleTarget, e *routed) (*queue.Delivery, error) {
	now := s.now().UTC()
	d := &queue.Delivery{
		Target: t.ARN, Kind: KindOf(t.ARN), Account: r.Account, Cause: r.ARN, EventID: e.event.ID, Role: t.Role,
		Created: now, Expires: now.Add(defaultMaxAge * time.Second), MaxRetries: defaultMaxRetries, DeadLetter: t.DeadLetter,
	}
	if t.MaxAge != nil {
		d.Expires = now.Add(time.Duration(*t.MaxAge) * time.Second)
	}
	if t.MaxRetries != nil {
		d.MaxRetries = int(*t.MaxRetries)
	}
	var options any
	var err error
	switch {
	case d.Kind == KindBus:
		if e.event.hops > 0 {
			return nil, nil // an event is sent on once
		}
		d.Payload, options = e.occasion.raw, Hop{e.event.hops + 1}
	case t.HTTP != nil:
		options = t.HTTP
	case t.MessageGroup != "":
		options = FIFO{t.MessageGroup}
	}
	if options != nil {
		if d.Options, err = json.Marshal(options); err != nil {
			return nil, err
		}
	}
	if d.Payload == nil {
		d.Payload, err = t.input(&e.occasion)
	}
	return d, err
}

// Entry is an event that a client puts.
type Entry struct {
	Account, Bus               string
	Source, DetailType, Detail string
	Resources                  []string
	Time                       time.Time
	// Hops is how often it was sent on already.
	Hops int
}

// PutEntry publishes a client's event. It needs events:PutEvents on the bus. Source is not looked at:
// who may put which is a matter of the caller.
func (s *Store) PutEntry(ctx context.Context, g authz.Grant, in Entry) (id string, err error) {
	if err := g.Require("events:PutEvents", s.BusARN(in.Account, in.Bus)); err != nil {
		return "", err
	}
	if _, err := s.bus(in.Account, in.Bus); err != nil {
		return "", err
	}
	e := Event{
		ID: uuid.NewString(), Source: in.Source, DetailType: in.DetailType, Account: g.Principal().Account, Time: in.Time,
		Resources: in.Resources, Detail: json.RawMessage(in.Detail), hops: in.Hops,
	}
	var b engine.Batch
	return e.ID, s.publishOn(ctx, &b, in.Account, in.Bus, e)
}

// publishOn routes an event on a bus and commits b with it.
func (s *Store) publishOn(ctx context.Context, b *engine.Batch, account, bus string, e Event) error {
	added, err := s.route(b, account, bus, e, nil)
	if err != nil {
		return err
	}
	if len(b.Writes) > 0 {
		if err := s.meta.Commit(context.WithoutCancel(ctx), b); err != nil {
			return err
		}
	}
	added()
	return nil
}

// Forward puts the event that a delivery carries from another bus, for the hops-th time, on the bus that is its
// target, once whatever crashes; it needs events:PutEvents there.
func (s *Store) Forward(ctx context.Context, g authz.Grant, d *queue.Delivery, hops int) error {
	if err := g.Require("events:PutEvents", d.Target); err != nil {
		return err
	}
	account, _, name, ok := s.splitARN(d.Target)
	if !ok {
		return refuse(NotFound, "Event bus %s does not exist.", d.Target)
	}
	if _, err := s.bus(account, name); err != nil {
		return err
	}
	e, err := parseEvent(d.Payload)
	if err != nil {
		return err
	}
	e.hops = hops
	var b engine.Batch
	d.ArriveIn(&b)
	return s.publishOn(ctx, &b, account, name, e)
}
