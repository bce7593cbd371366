// Package sns is the Simple Notification Service: topics, their settings and policies, who is subscribed to
// them, and the messages that were published and are not handed on yet.
//
// It promises: a message whose publishing was acknowledged is durable until every subscription that was
// there and that its filter lets through has a delivery of its own in the queue (Outbox); nobody is
// sent a message who did not confirm; messages and where they go lie sealed. Delivering is not done here.
package sns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/policy"
)

// Failures of this package.
const (
	NotFound           fault.Kind = "sns.NotFound"
	InvalidParameter   fault.Kind = "sns.InvalidParameter"
	InvalidValue       fault.Kind = "sns.InvalidValue"
	Unauthorized       fault.Kind = "sns.Unauthorized"
	TopicLimit         fault.Kind = "sns.TopicLimit"
	SubscriptionLimit  fault.Kind = "sns.SubscriptionLimit"
	FilterLimit        fault.Kind = "sns.FilterLimit"
	TagLimit           fault.Kind = "sns.TagLimit"
	NoResource         fault.Kind = "sns.NoResource" // of the tag operations
	EmptyBatch         fault.Kind = "sns.EmptyBatch"
	TooManyEntries     fault.Kind = "sns.TooManyEntries"
	EntriesNotDistinct fault.Kind = "sns.EntriesNotDistinct"
	BadEntryID         fault.Kind = "sns.BadEntryID"
	BatchTooLong       fault.Kind = "sns.BatchTooLong"
	Busy               fault.Kind = "sns.Busy"
)

func refuse(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, fmt.Sprintf(format, args...))
}

// invalid is AWS's sentence for a parameter that is wrong.
func invalid(format string, args ...any) error {
	return refuse(InvalidParameter, "Invalid parameter: "+format, args...)
}

// Secrets seals what is stored.
type Secrets interface {
	SealSecret(about, plain []byte) []byte
	OpenSecret(ctx context.Context, about, sealed []byte) ([]byte, error)
}

// Principals knows the users and roles that policies name.
type Principals interface {
	UniqueID(arn string) (id string, ok bool)
}

// Filter is a compiled filter policy: one pattern for attributes and bodies alike.
type Filter interface {
	Matches(document map[string]any) bool
}

// Filters reads filter policies and what they are held against.
type Filters struct {
	// Compile reads a policy; what is wrong with it is told in words.
	Compile func(policy []byte) (Filter, error)
	// Decode reads a document for Matches.
	Decode func(document []byte) (any, error)
}

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required.
	Meta engine.Meta
	// Secrets seals messages and subscriptions. Required.
	Secrets Secrets
	// Principals knows whom policies name. Required.
	Principals Principals
	// Filters reads filter policies. Required.
	Filters Filters
	// Feed is told of policies that change. Nil: nobody is.
	Feed *feed.Feed
	// Region of this server. Required.
	Region string
	// Log is told of what happens in the background. Default slog.Default.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store has all topics. Safe for concurrent use.
type Store struct {
	meta       engine.Meta
	secrets    Secrets
	principals Principals
	filters    Filters
	feed       *feed.Feed
	region     string
	log        *slog.Logger
	now        func() time.Time
	last       atomic.Uint64
	outbox     outbox

	changes sync.Mutex // held by whoever changes topics or subscriptions

	mu            sync.RWMutex
	topics        map[string]*Topic                   // by ARN
	subscriptions map[string]map[string]*Subscription // by the topic's ARN and their ids
}

// Topic is one topic, immutable once published.
type Topic struct {
	ARN, Account, Name string
	ID                 uint64 // never used again
	Created            time.Time
	DisplayName        string `json:",omitempty"`
	// Written is the policy as it was put, "" for the default; Policy the same with whom it names pinned.
	Written string           `json:",omitempty"`
	Pinned  string           `json:",omitempty"`
	Policy  *policy.Document `json:"-"`
	// Key is the KMS key that whoever publishes must be able to use, "" for none.
	Key string `json:",omitempty"`
	// Delivery is the delivery policy as it was put.
	Delivery string `json:",omitempty"`
	// SignatureVersion of what is sent: "1" (SHA-1) or "2" (SHA-256); "" is 1.
	SignatureVersion string            `json:",omitempty"`
	Tracing          string            `json:",omitempty"`
	Tags             map[string]string `json:",omitempty"`
	// Deleted counts the subscriptions that were.
	Deleted int64 `json:",omitempty"`

	delivery *topicDelivery
	version  engine.Version
}

func (s *Store) arn(account, name string) string {
	return "arn:aws:sns:" + s.region + ":" + account + ":" + name
}

// The records.
const (
	topicPrefix        = "n/t/" // topics, by ARN
	subscriptionPrefix = "n/s/" // subscriptions, by the topic's number and their ids; sealed
	outboxPrefix       = "n/o/" // messages that are not handed on, by number; sealed
	identityKey        = "n/k"  // what signs messages; sealed
	format             = 1
)

type topicRecord struct {
	Format int
	Topic
}

func topicKey(arn string) []byte { return []byte(topicPrefix + arn) }

// Open loads the topics and subscriptions.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Secrets == nil || c.Principals == nil || c.Filters.Compile == nil || c.Filters.Decode == nil || c.Region == "" {
		return nil, errors.New("sns: a Store needs Meta, Secrets, Principals, Filters and a Region")
	}
	s := &Store{
		meta: c.Meta, secrets: c.Secrets, principals: c.Principals, filters: c.Filters, feed: c.Feed, region: c.Region, log: c.Log, now: c.Now,
		topics: map[string]*Topic{}, subscriptions: map[string]map[string]*Subscription{},
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err := engine.Each(ctx, s.meta, topicPrefix, s.loadTopic); err != nil {
		return nil, fmt.Errorf("sns: %w", err)
	}
	if err := engine.Each(ctx, s.meta, subscriptionPrefix, func(key, value []byte, v engine.Version) error {
		return s.loadSubscription(ctx, key, value, v)
	}); err != nil {
		return nil, fmt.Errorf("sns: %w", err)
	}
	return s, s.openOutbox(ctx)
}

var errFormat = errors.New("unknown format")

func (s *Store) loadTopic(_, value []byte, v engine.Version) error {
	var r topicRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	if r.Format != format || r.ARN == "" || r.ID == 0 {
		return errFormat
	}
	t := r.Topic
	t.version = v
	if t.Pinned == "" {
		t.Policy = s.defaultPolicy(&t)
	} else {
		doc, err := policy.ParseString(t.Pinned, policy.Resource)
		if err != nil {
			return err
		}
		t.Policy = doc
	}
	var err error
	if t.delivery, err = readTopicDelivery(t.Delivery); err != nil {
		return err
	}
	s.topics[t.ARN] = &t
	return nil
}

// Topic resolves a topic, from memory. It decides nothing.
func (s *Store) Topic(arn string) (*Topic, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.topics[arn]; t != nil {
		return t, nil
	}
	return nil, refuse(NotFound, "Topic does not exist")
}

// Address reads a topic's ARN. It is an error of the client's if it is none of this server's.
func (s *Store) Address(arn string) (account, name string, err error) {
	f := strings.Split(arn, ":")
	if len(f) != 6 || f[0] != "arn" || f[1] != "aws" || f[2] != "sns" || len(f[4]) != 12 || f[5] == "" {
		return "", "", invalid("TopicArn Reason: An ARN must have at least 6 elements, not %d", len(f))
	}
	if f[3] != s.region {
		return "", "", invalid("TopicArn")
	}
	return f[4], f[5], nil
}

// Demand is one action on a topic.
func (s *Store) Demand(t *Topic, action string, more authz.Keys) authz.Demand {
	return authz.Demand{
		Action: action, Resource: authz.Resource{ARN: t.ARN, Account: t.Account, Policy: t.Policy}, Keys: authz.Either{more, authz.ResourceTags(t.Tags)},
	}
}

// NewDemand is one action on a topic that need not exist.
func (s *Store) NewDemand(account, name, action string, more authz.Keys) authz.Demand {
	return authz.Demand{
		Action: action, Resource: authz.Resource{ARN: s.arn(account, name), Account: account}, Keys: more,
	}
}

// SubscribeKeys are the condition keys of Subscribe.
type SubscribeKeys struct{ Protocol, Endpoint string }

// Lookup implements authz.Keys.
func (k SubscribeKeys) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "sns:protocol":
		return policy.Values{One: k.Protocol}, true
	case "sns:endpoint":
		return policy.Values{One: k.Endpoint}, true
	}
	return policy.Values{}, false
}

// unique gives ascending numbers, never the same twice.
func (s *Store) unique() uint64 {
	for {
		last := s.last.Load()
		next := max(uint64(s.now().UnixNano()), last+1)
		if s.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

func (s *Store) commit(ctx context.Context, b *engine.Batch) error {
	err := s.meta.Commit(context.WithoutCancel(ctx), b)
	if errors.Is(err, engine.ErrConflict) {
		return refuse(Busy, "The topic is being changed by somebody else.")
	}
	return err
}

// Counts are what there is, for metrics.
type Counts struct{ Topics, Subscriptions, Waiting int }

// Count counts.
func (s *Store) Count() Counts {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := Counts{Topics: len(s.topics), Waiting: int(s.outbox.waiting.Load())}
	for _, of := range s.subscriptions {
		c.Subscriptions += len(of)
	}
	return c
}
