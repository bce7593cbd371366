package sns

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// Subscription is one subscription, immutable once published.
type Subscription struct {
	ID       string
	Topic    string // ARN
	TopicID  uint64
	Account  string // whose it is
	By       string // the ARN of who made it
	Protocol string
	Endpoint string
	Created  time.Time
	// Token proves, until Expires, that its holder receives what is sent to the endpoint.
	Token   string    `json:",omitempty"`
	Expires time.Time `json:",omitzero"`
	// Confirmed subscriptions get messages. Authenticated says that whoever confirmed had signed,
	// KeepSigned that only the owners, signed, can end it.
	Confirmed     bool `json:",omitempty"`
	Authenticated bool `json:",omitempty"`
	KeepSigned    bool `json:",omitempty"`
	// Ended subscriptions were ended by their link. They get nothing and lists show them as deleted; the
	// endpoint can restore them by Token until Expires.
	Ended bool `json:",omitempty"`

	Raw         bool   `json:",omitempty"`
	Filter      string `json:",omitempty"`
	FilterScope string `json:",omitempty"`
	Delivery    string `json:",omitempty"`
	// DeadLetter is the ARN of a queue that gets what cannot be delivered.
	DeadLetter string `json:",omitempty"`

	filter   *filter
	delivery *subscriptionDelivery
	version  engine.Version
}

// ARN of the subscription.
func (sub *Subscription) ARN() string { return sub.Topic + ":" + sub.ID }

// Limits of subscriptions.
const (
	maxSubscriptions = 10_000 // of a topic
	tokenLife        = 48 * time.Hour
	maxEndpoint      = 2048
)

func subscriptionKey(topic uint64, id string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(subscriptionPrefix), topic), id...)
}

// sealContext binds a sealed record to its key.
func sealContext(key []byte) []byte { return append([]byte("sns\x00"), key...) }

func (s *Store) sealed(key []byte, v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{format}, s.secrets.SealSecret(sealContext(key), raw)...), nil
}

func (s *Store) unsealed(ctx context.Context, key, value []byte, to any) error {
	if len(value) < 1 || value[0] != format {
		return errFormat
	}
	raw, err := s.secrets.OpenSecret(ctx, sealContext(key), value[1:])
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}

func (s *Store) loadSubscription(ctx context.Context, key, value []byte, v engine.Version) error {
	sub := &Subscription{}
	if err := s.unsealed(ctx, bytes.Clone(key), value, sub); err != nil {
		return err
	}
	sub.version = v
	if err := s.ready(sub); err != nil {
		return err
	}
	if t := s.topics[sub.Topic]; t == nil || t.ID != sub.TopicID {
		return nil // its topic is gone
	}
	s.publish(sub)
	return nil
}

// ready compiles what sub says.
func (s *Store) ready(sub *Subscription) (err error) {
	if sub.filter, err = s.readFilter(sub.Filter, sub.FilterScope); err != nil {
		return err
	}
	sub.delivery, err = readSubscriptionDelivery(sub.Delivery)
	return err
}

// publish shows sub to readers.
func (s *Store) publish(sub *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.subscriptions[sub.Topic]
	if of == nil {
		of = map[string]*Subscription{}
		s.subscriptions[sub.Topic] = of
	}
	of[sub.ID] = sub
}

// of are the subscriptions of a topic, by id.
func (s *Store) of(topic string) []*Subscription {
	s.mu.RLock()
	all := slices.Collect(maps.Values(s.subscriptions[topic]))
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Subscription) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Subscription resolves a subscription and its topic, from memory. It decides nothing.
func (s *Store) Subscription(arn string) (*Subscription, *Topic, error) {
	topic, id, err := s.splitSubscription(arn)
	if err != nil {
		return nil, nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sub, t := s.subscriptions[topic][id], s.topics[topic]; sub != nil && t != nil {
		return sub, t, nil
	}
	return nil, nil, errNoSubscription
}

var errNoSubscription = refuse(NotFound, "Subscription does not exist")

func (s *Store) splitSubscription(arn string) (topic, id string, err error) {
	i := strings.LastIndexByte(arn, ':')
	if strings.Count(arn, ":") != 6 {
		return "", "", invalid("SubscriptionArn Reason: An ARN must have at least 6 elements, not %d", strings.Count(arn, ":")+1)
	}
	if _, _, err := s.Address(arn[:i]); err != nil {
		return "", "", invalid("SubscriptionId")
	}
	return arn[:i], arn[i+1:], nil
}

// owns tells whether who asks owns the subscription or its topic.
func owns(g authz.Grant, sub *Subscription, t *Topic) bool {
	account := g.Principal().Account
	return account != "" && (account == sub.Account || account == t.Account)
}

var errNotOwner = refuse(Unauthorized, "Not authorized to access this subscription")

// owned resolves a subscription for one of its owners, under an action that is on "*".
func (s *Store) owned(g authz.Grant, action, arn string) (*Subscription, *Topic, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, nil, err
	}
	sub, t, err := s.Subscription(arn)
	switch {
	case err != nil:
		return nil, nil, err
	case !owns(g, sub, t):
		return nil, nil, errNotOwner
	case sub.Ended:
		return nil, nil, errNoSubscription
	}
	return sub, t, nil
}

// subscriptionSettings are the attributes of subscriptions that can be set.
var subscriptionSettings = map[string]struct {
	set func(sub *Subscription, value string) error
	get func(sub *Subscription) string
}{
	"RawMessageDelivery": {func(sub *Subscription, value string) error {
		raw, err := strconv.ParseBool(strings.ToLower(value))
		if err != nil && value != "" {
			return invalid("Attributes Reason: RawMessageDelivery: Invalid value [%s]. Must be true or false.", value)
		}
		sub.Raw = raw
		return nil
	}, func(sub *Subscription) string { return strconv.FormatBool(sub.Raw) }},
	"FilterPolicy":      {func(sub *Subscription, value string) error { sub.Filter = value; return nil }, func(sub *Subscription) string { return sub.Filter }},
	"FilterPolicyScope": {func(sub *Subscription, value string) error { sub.FilterScope = value; return nil }, scopeOf},
	"DeliveryPolicy":    {func(sub *Subscription, value string) error { sub.Delivery = value; return nil }, func(sub *Subscription) string { return sub.Delivery }},
	"RedrivePolicy":     {(*Subscription).setRedrive, redrivePolicy},
}

func scopeOf(sub *Subscription) string {
	if sub.FilterScope == "" && sub.Filter != "" {
		return ScopeAttributes
	}
	return sub.FilterScope
}

// redrive is the form of RedrivePolicy.
type redrive struct {
	Target string `json:"deadLetterTargetArn"`
}

func redrivePolicy(sub *Subscription) string {
	if sub.DeadLetter == "" {
		return ""
	}
	raw, _ := json.Marshal(redrive{sub.DeadLetter})
	return string(raw)
}

func (sub *Subscription) setRedrive(value string) error {
	sub.DeadLetter = ""
	if value == "" || value == "{}" {
		return nil
	}
	var r redrive
	if err := decode(value, &r); err != nil {
		return invalid("RedrivePolicy: failed to parse JSON.")
	}
	f, topic := strings.Split(r.Target, ":"), strings.Split(sub.Topic, ":")
	if len(f) != 6 || f[0] != "arn" || f[2] != "sqs" || f[5] == "" {
		return invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn")
	}
	if f[3] != topic[3] || f[4] != sub.Account || strings.HasSuffix(f[5], ".fifo") {
		return invalid("RedrivePolicy: deadLetterTargetArn must be a standard queue in the subscription's account and region")
	}
	sub.DeadLetter = r.Target
	return nil
}

// unsupported are attributes of kinds of subscriptions that there are none of.
var unsupported = map[string]bool{"SubscriptionRoleArn": true, "ReplayPolicy": true, "ReplayStatus": true}

func (s *Store) applyTo(sub *Subscription, attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a, ok := subscriptionSettings[name]
		switch {
		case unsupported[name] && attributes[name] == "":
		case !ok:
			return invalid("AttributeName")
		default:
			if err := a.set(sub, attributes[name]); err != nil {
				return err
			}
		}
	}
	if sub.Raw && (sub.Protocol == "email" || sub.Protocol == "email-json" || sub.Protocol == "lambda") {
		return invalid("Attributes Reason: Delivery protocol [%s] does not support raw message delivery.", sub.Protocol)
	}
	if sub.Delivery != "" && sub.Protocol != "http" && sub.Protocol != "https" {
		return invalid("DeliveryPolicy Reason: only endpoints over HTTP have a delivery policy")
	}
	return s.ready(sub)
}

// Subscribing is what Subscribe asks for.
type Subscribing struct {
	Account, Protocol, Endpoint string
	Attributes                  map[string]string
	// Owned says that the endpoint belongs to the caller's own account, who need not confirm.
	Owned bool
}

// Subscribe subscribes an endpoint to a topic and needs sns:Subscribe. What is there already with the same
// attributes is returned as it is; who has not confirmed is asked again.
func (s *Store) Subscribe(ctx context.Context, g authz.Grant, t *Topic, in Subscribing) (*Subscription, error) {
	if err := g.Require("sns:Subscribe", t.ARN); err != nil {
		return nil, err
	}
	if len(in.Endpoint) > maxEndpoint {
		return nil, invalid("Endpoint")
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	t, err := s.Topic(t.ARN)
	if err != nil {
		return nil, err
	}
	sub := &Subscription{
		ID: uuid.NewString(), Topic: t.ARN, TopicID: t.ID, Account: in.Account, By: g.Principal().ARN, Protocol: in.Protocol, Endpoint: in.Endpoint,
		Created: s.now().UTC().Truncate(time.Second),
	}
	sub.confirm(in.Owned)
	if err := s.applyTo(sub, in.Attributes); err != nil {
		return nil, err
	}
	all := s.of(t.ARN)
	i := slices.IndexFunc(all, func(o *Subscription) bool { return o.Protocol == sub.Protocol && o.Endpoint == sub.Endpoint })
	switch {
	case i < 0:
		if len(all) >= maxSubscriptions {
			return nil, refuse(SubscriptionLimit, "The topic has %d subscriptions.", maxSubscriptions)
		}
	case all[i].Ended: // a new one takes its place
		sub.ID, sub.version = all[i].ID, all[i].version
	default:
		old := all[i]
		if len(in.Attributes) > 0 && !alike(old, sub) {
			return nil, invalid("Attributes Reason: Subscription already exists with different attributes")
		}
		if old.Confirmed {
			return old, nil
		}
		// Whose it is stays as it was: asking again gives nobody else's subscription away.
		again := *old
		again.confirm(in.Owned && in.Account == old.Account)
		return &again, s.ask(ctx, t, &again)
	}
	if err := filtersLeft(all, sub); err != nil {
		return nil, err
	}
	return sub, s.ask(ctx, t, sub)
}

// confirm notes that who subscribed is whose endpoint it is, if so.
func (sub *Subscription) confirm(owned bool) {
	sub.Confirmed, sub.Authenticated, sub.KeepSigned = owned, owned, owned
}

// filtersLeft bounds the filter policies of a topic.
func filtersLeft(all []*Subscription, sub *Subscription) error {
	filters := 0
	for _, o := range all {
		if o.filter != nil && o.ID != sub.ID {
			filters++
		}
	}
	if sub.filter != nil && filters >= maxFilters {
		return refuse(FilterLimit, "The topic has %d filter policies.", maxFilters)
	}
	return nil
}

func alike(a, b *Subscription) bool {
	for _, st := range subscriptionSettings {
		if st.get(a) != st.get(b) {
			return false
		}
	}
	return true
}

// ask stores and publishes a subscription; one that is not confirmed together with the question whether it
// is meant. Under changes.
func (s *Store) ask(ctx context.Context, t *Topic, sub *Subscription) error {
	var b engine.Batch
	b.Require(topicKey(t.ARN), t.version)
	if !sub.Confirmed {
		err := s.question(&b, Confirmation, sub, "You have chosen to subscribe to the topic "+sub.Topic+
			".\nTo confirm the subscription, visit the SubscribeURL included in this message.")
		if err != nil {
			return err
		}
	}
	if err := s.write(&b, sub); err != nil {
		return err
	}
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	sub.version = b.Version
	s.publish(sub)
	if !sub.Confirmed {
		s.outbox.added(1)
	}
	return nil
}

// question sends the endpoint of a subscription what it can confirm it with. Call outbox.added once b was committed.
func (s *Store) question(b *engine.Batch, kind string, sub *Subscription, text string) error {
	now := s.now().UTC()
	if sub.Token == "" || now.After(sub.Expires) {
		sub.Token = newToken()
	}
	sub.Expires = now.Add(tokenLife)
	return s.send(b, &Outgoing{Kind: kind, Topic: sub.Topic, TopicID: sub.TopicID, Only: sub.ID, Message: Message{
		ID: uuid.NewString(), Time: now, Token: sub.Token, Body: text,
	}})
}

// write adds a subscription to b.
func (s *Store) write(b *engine.Batch, sub *Subscription) error {
	key := subscriptionKey(sub.TopicID, sub.ID)
	raw, err := s.sealed(key, sub)
	if err != nil {
		return err
	}
	b.Require(key, sub.version)
	b.Set(key, raw)
	return nil
}

// editSubscription changes a subscription. Under changes.
func (s *Store) editSubscription(ctx context.Context, arn string, change func(*Subscription) error) (*Subscription, error) {
	s.changes.Lock()
	defer s.changes.Unlock()
	now, _, err := s.Subscription(arn)
	if err != nil {
		return nil, err
	}
	next := *now
	if err := change(&next); err != nil {
		return nil, err
	}
	var b engine.Batch
	if err := s.write(&b, &next); err != nil {
		return nil, err
	}
	if err := s.commit(ctx, &b); err != nil {
		return nil, err
	}
	next.version = b.Version
	s.publish(&next)
	return &next, nil
}

// Proves tells which subscription of a topic a token is of; nil for none.
func (s *Store) Proves(topic, token string) *Subscription {
	if token == "" {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sub := range s.subscriptions[topic] {
		if subtle.ConstantTimeCompare([]byte(sub.Token), []byte(token)) == 1 && s.now().Before(sub.Expires) {
			return sub
		}
	}
	return nil
}

// Confirm confirms the subscription that token is of, and needs sns:ConfirmSubscription. keep, of a signed
// request, says that from then on only its owners can end it.
func (s *Store) Confirm(ctx context.Context, g authz.Grant, t *Topic, token string, signed, keep bool) (*Subscription, error) {
	if err := g.Require("sns:ConfirmSubscription", t.ARN); err != nil {
		return nil, err
	}
	sub := s.Proves(t.ARN, token)
	if sub == nil {
		return nil, invalid("Token")
	}
	if sub.Confirmed && (!signed || !keep) {
		return sub, nil
	}
	return s.editSubscription(ctx, sub.ARN(), func(now *Subscription) error {
		if now.Token != sub.Token { // it was ended, or subscribed anew, since
			return invalid("Token")
		}
		now.Confirmed, now.Ended = true, false
		now.Authenticated = now.Authenticated || signed
		now.KeepSigned = now.KeepSigned || signed && keep
		return nil
	})
}

// ByLink tells whether anybody who knows the subscription's ARN can end it: those by HTTP and e-mail, as every
// message has the link.
func (sub *Subscription) ByLink() bool {
	return sub.Confirmed && !sub.KeepSigned && (strings.HasPrefix(sub.Protocol, "http") || strings.HasPrefix(sub.Protocol, "email"))
}

// Unsubscribe ends a subscription and needs sns:Unsubscribe on "*". Where neither the owner of the subscription nor
// of the topic did it, the endpoint is told, and can restore it for a while.
func (s *Store) Unsubscribe(ctx context.Context, g authz.Grant, arn string) error {
	if err := g.Require("sns:Unsubscribe", "*"); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	sub, t, err := s.Subscription(arn)
	if err != nil {
		return err
	}
	owner := owns(g, sub, t)
	if !owner && !sub.ByLink() {
		return errNotOwner
	}
	counted := *t
	if !sub.Ended {
		counted.Deleted++
	}
	raw, err := json.Marshal(topicRecord{Format: format, Topic: counted})
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(topicKey(t.ARN), t.version)
	b.Set(topicKey(t.ARN), raw)
	ended := *sub
	if owner {
		key := subscriptionKey(sub.TopicID, sub.ID)
		b.Require(key, sub.version)
		b.Delete(key)
	} else if err := s.end(&b, &ended); err != nil {
		return err
	}
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	counted.version, ended.version = b.Version, b.Version
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[t.ARN] = &counted
	if owner {
		delete(s.subscriptions[t.ARN], sub.ID)
		return nil
	}
	s.subscriptions[t.ARN][sub.ID] = &ended
	s.outbox.added(1)
	return nil
}

// end writes that a subscription was ended by its link, and tells the endpoint how to restore it.
func (s *Store) end(b *engine.Batch, sub *Subscription) error {
	sub.Confirmed, sub.Ended, sub.Token = false, true, ""
	err := s.question(b, End, sub, "You have chosen to deactivate subscription "+sub.ARN()+
		".\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message.")
	if err != nil {
		return err
	}
	return s.write(b, sub)
}

// SetSubscriptionAttribute needs sns:SetSubscriptionAttributes on "*", by the owner of the subscription or its topic.
func (s *Store) SetSubscriptionAttribute(ctx context.Context, g authz.Grant, arn, name, value string) error {
	if _, _, err := s.owned(g, "sns:SetSubscriptionAttributes", arn); err != nil {
		return err
	}
	_, err := s.editSubscription(ctx, arn, func(sub *Subscription) error {
		if !sub.Confirmed {
			return invalid("SubscriptionArn Reason: the subscription is pending confirmation")
		}
		if err := s.applyTo(sub, map[string]string{name: value}); err != nil {
			return err
		}
		return filtersLeft(s.of(sub.Topic), sub)
	})
	return err
}

// SubscriptionAttributes are what GetSubscriptionAttributes tells. It needs sns:GetSubscriptionAttributes on "*", by
// the owner of the subscription or its topic.
func (s *Store) SubscriptionAttributes(g authz.Grant, arn string) (map[string]string, error) {
	sub, t, err := s.owned(g, "sns:GetSubscriptionAttributes", arn)
	if err != nil {
		return nil, err
	}
	m := manner(t, sub)
	all := map[string]string{
		"SubscriptionArn": sub.ARN(), "TopicArn": sub.Topic, "Owner": sub.Account, "Protocol": sub.Protocol, "Endpoint": sub.Endpoint,
		"PendingConfirmation": strconv.FormatBool(!sub.Confirmed), "ConfirmationWasAuthenticated": strconv.FormatBool(sub.Authenticated),
		"SubscriptionPrincipal": sub.By,
	}
	if strings.HasPrefix(sub.Protocol, "http") {
		all["EffectiveDeliveryPolicy"] = m.effective()
	}
	for name, a := range subscriptionSettings {
		if v := a.get(sub); v != "" {
			all[name] = v
		}
	}
	return all, nil
}

// ListByTopic gives a topic's subscriptions after an id. It needs sns:ListSubscriptionsByTopic.
func (s *Store) ListByTopic(g authz.Grant, t *Topic, after string) (subs []*Subscription, more bool, err error) {
	if err := g.Require("sns:ListSubscriptionsByTopic", t.ARN); err != nil {
		return nil, false, err
	}
	all := slices.DeleteFunc(s.of(t.ARN), func(sub *Subscription) bool { return sub.ARN() <= after })
	if len(all) > PageSize {
		return all[:PageSize], true, nil
	}
	return all, false, nil
}

// ListSubscriptions gives the account's subscriptions, by ARN, after one. It needs sns:ListSubscriptions on "*".
func (s *Store) ListSubscriptions(g authz.Grant, account, after string) (subs []*Subscription, more bool, err error) {
	if err := g.Require("sns:ListSubscriptions", "*"); err != nil {
		return nil, false, err
	}
	s.mu.RLock()
	for _, of := range s.subscriptions {
		for _, sub := range of {
			if sub.Account == account && sub.ARN() > after {
				subs = append(subs, sub)
			}
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(subs, func(a, b *Subscription) int { return strings.Compare(a.ARN(), b.ARN()) })
	if len(subs) > PageSize {
		return subs[:PageSize], true, nil
	}
	return subs, false, nil
}

// Forget takes the subscriptions away that nobody confirmed, or restored, in time.
func (s *Store) Forget(ctx context.Context) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	s.mu.RLock()
	var late []*Subscription
	for _, of := range s.subscriptions {
		for _, sub := range of {
			if !sub.Confirmed && s.now().After(sub.Expires) {
				late = append(late, sub)
			}
		}
	}
	s.mu.RUnlock()
	for _, sub := range late {
		var b engine.Batch
		b.Delete(subscriptionKey(sub.TopicID, sub.ID))
		if err := s.commit(ctx, &b); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.subscriptions[sub.Topic], sub.ID)
		s.mu.Unlock()
	}
	return nil
}

// newToken is what only the endpoint is told: 384 random bits.
func newToken() string {
	var b [48]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
