// Package sqs is the Simple Queue Service: standard queues, their settings and policies, and the messages
// in them.
//
// It promises: a message whose sending was acknowledged is durable, and is received until somebody deletes
// it, its time of retention ends, or it goes to the dead-letter queue; who receives one alone has it for
// the visibility timeout; bodies lie sealed. A crash may show a message again, never lose one. Memory does
// not grow with the number of messages.
package sqs

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
	NoQueue            fault.Kind = "sqs.NoQueue"
	QueueNameExists    fault.Kind = "sqs.QueueNameExists"
	InvalidName        fault.Kind = "sqs.InvalidName"
	InvalidAttribute   fault.Kind = "sqs.InvalidAttribute"      // an attribute that queues do not have
	InvalidValue       fault.Kind = "sqs.InvalidAttributeValue" // an attribute's value
	InvalidParameter   fault.Kind = "sqs.InvalidParameter"
	MissingParameter   fault.Kind = "sqs.MissingParameter"
	InvalidContents    fault.Kind = "sqs.InvalidContents"
	InvalidReceipt     fault.Kind = "sqs.InvalidReceipt"
	NotInFlight        fault.Kind = "sqs.NotInFlight"
	Unsupported        fault.Kind = "sqs.Unsupported"
	PurgeInProgress    fault.Kind = "sqs.PurgeInProgress"
	OverLimit          fault.Kind = "sqs.OverLimit"
	EmptyBatch         fault.Kind = "sqs.EmptyBatch"
	TooManyEntries     fault.Kind = "sqs.TooManyEntries"
	EntriesNotDistinct fault.Kind = "sqs.EntriesNotDistinct"
	BadEntryID         fault.Kind = "sqs.BadEntryID"
	BatchTooLong       fault.Kind = "sqs.BatchTooLong"
	Busy               fault.Kind = "sqs.Busy"
)

func refuse(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, fmt.Sprintf(format, args...))
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

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required.
	Meta engine.Meta
	// Secrets seals the messages. Required.
	Secrets Secrets
	// Principals knows whom policies name. Required.
	Principals Principals
	// Feed is told of policies that change. Nil: nobody is.
	Feed *feed.Feed
	// Region of this server. Required.
	Region string
	// Log is told of what happens in the background. Default slog.Default.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store has all queues. Safe for concurrent use.
type Store struct {
	meta       engine.Meta
	secrets    Secrets
	principals Principals
	feed       *feed.Feed
	region     string
	log        *slog.Logger
	now        func() time.Time

	changes sync.Mutex // held by whoever changes queues
	queues  atomic.Pointer[map[string]*Queue]
	states  sync.Map // id → *state
	last    atomic.Int64
}

// state is what of a queue lives in memory alone.
type state struct {
	receiving sync.Mutex // one receives at a time, so that two do not race for the same messages

	mu     sync.Mutex
	came   chan struct{} // closed when a message came or was made visible
	purged time.Time
}

// Queue is one queue, immutable once published.
type Queue struct {
	Account, Name string
	ID            uint64 // never used again
	Created       time.Time
	Modified      time.Time
	// Delay, Retention, Wait and Visibility are the queue's settings of these names, in seconds; MaxSize
	// is in bytes.
	Delay, Retention, Wait, Visibility, MaxSize int64
	// Written is the policy as it was put, "" for none; Policy the same with whom it names pinned.
	Written string           `json:",omitempty"`
	Policy  *policy.Document `json:"-"`
	Pinned  string           `json:",omitempty"`
	// DeadLetter is the ARN to which a message goes that was received MaxReceives times.
	DeadLetter   string            `json:",omitempty"`
	MaxReceives  int64             `json:",omitempty"`
	RedriveAllow string            `json:",omitempty"`
	Tags         map[string]string `json:",omitempty"`

	version engine.Version
}

// ARN of the queue.
func (s *Store) ARN(q *Queue) string { return s.arn(q.Account, q.Name) }

func (s *Store) arn(account, name string) string {
	return "arn:aws:sqs:" + s.region + ":" + account + ":" + name
}

// The records.
const (
	queuePrefix = "q/q/" // queues, by account and name
	bodyPrefix  = "q/b/" // messages, by queue and time of sending
	turnPrefix  = "q/t/" // the same, by queue and the time at which they are visible
	format      = 1
)

type queueRecord struct {
	Format int
	Queue
}

func queueKey(account, name string) []byte { return []byte(queuePrefix + account + "/" + name) }

// Open loads the queues.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Secrets == nil || c.Principals == nil || c.Region == "" {
		return nil, errors.New("sqs: a Store needs Meta, Secrets, Principals and a Region")
	}
	s := &Store{meta: c.Meta, secrets: c.Secrets, principals: c.Principals, feed: c.Feed, region: c.Region, log: c.Log, now: c.Now}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	queues := map[string]*Queue{}
	if err := engine.Each(ctx, s.meta, queuePrefix, func(_, value []byte, v engine.Version) error {
		q, err := decodeQueue(value, v)
		if err == nil {
			queues[q.Account+"/"+q.Name] = q
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("sqs: %w", err)
	}
	s.queues.Store(&queues)
	return s, nil
}

func decodeQueue(raw []byte, v engine.Version) (*Queue, error) {
	var r queueRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r.Format != format || r.Name == "" || r.ID == 0 {
		return nil, errors.New("unknown format")
	}
	q := r.Queue
	q.version = v
	if len(q.Pinned) > 0 {
		doc, err := policy.ParseString(q.Pinned, policy.Resource)
		if err != nil {
			return nil, err
		}
		q.Policy = doc
	}
	return &q, nil
}

// Queue resolves a queue, from memory. It decides nothing.
func (s *Store) Queue(account, name string) (*Queue, error) {
	if q := (*s.queues.Load())[account+"/"+name]; q != nil {
		return q, nil
	}
	return nil, refuse(NoQueue, "The specified queue does not exist.")
}

// ByARN resolves a queue by its ARN, from memory. It decides nothing.
func (s *Store) ByARN(arn string) (*Queue, error) {
	f := strings.Split(arn, ":")
	if len(f) != 6 || f[2] != "sqs" || f[3] != s.region {
		return nil, refuse(NoQueue, "The specified queue does not exist.")
	}
	return s.Queue(f[4], f[5])
}

// Demand is one action on a queue.
func (s *Store) Demand(q *Queue, action string) authz.Demand {
	return authz.Demand{
		Action: action, Resource: authz.Resource{ARN: s.ARN(q), Account: q.Account, Policy: q.Policy}, Keys: authz.ResourceTags(q.Tags),
	}
}

// NewDemand is one action on a queue that need not exist.
func (s *Store) NewDemand(account, name, action string, tags authz.Keys) authz.Demand {
	return authz.Demand{
		Action: action, Resource: authz.Resource{ARN: s.arn(account, name), Account: account}, Keys: tags,
	}
}

// TagDemand is one action that adds or takes tags, which may depend on these and on those that are there.
func (s *Store) TagDemand(q *Queue, action string, tags authz.Keys) authz.Demand {
	d := s.Demand(q, action)
	d.Keys = authz.Either{d.Keys, tags}
	return d
}

func (s *Store) state(id uint64) *state {
	if st, ok := s.states.Load(id); ok {
		return st.(*state)
	}
	st, _ := s.states.LoadOrStore(id, &state{came: make(chan struct{})})
	return st.(*state)
}

// wake tells those who wait for messages of a queue.
func (st *state) wake() {
	st.mu.Lock()
	defer st.mu.Unlock()
	close(st.came)
	st.came = make(chan struct{})
}

func (st *state) waiting() <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.came
}

// unique gives a time in nanoseconds that it never gives twice.
func (s *Store) unique() int64 {
	for {
		last := s.last.Load()
		next := max(s.now().UnixNano(), last+1)
		if s.last.CompareAndSwap(last, next) {
			return next
		}
	}
}
