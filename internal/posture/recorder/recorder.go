// Package recorder is AWS Config: it keeps the history of every configuration, judges configurations by
// managed rules, and tells of each answer that changed.
//
// What it promises:
//
//   - A change is judged once. Items, results and events of a change are written in the commit that
//     moves the change feed's cursor on; a crash before it forgets all of them, after it none.
//   - What cannot be read is never compliant, and what is non-compliant always has an annotation.
//   - Nothing is lost between a change and a full pass over an account: a pass reads each resource anew
//     under the same lock under which changes are judged.
//   - An account in which no recorder is recording is neither recorded nor judged.
//
// Every method that answers a request takes a Grant.
package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/rule"
)

// Failures, in AWS's words.
const (
	NoSuchRecorder          fault.Kind = "config.NoSuchConfigurationRecorderException"
	NoRecorder              fault.Kind = "config.NoAvailableConfigurationRecorderException"
	MaxRecorders            fault.Kind = "config.MaxNumberOfConfigurationRecordersExceededException"
	InvalidRecorderName     fault.Kind = "config.InvalidConfigurationRecorderNameException"
	InvalidGroup            fault.Kind = "config.InvalidRecordingGroupException"
	InvalidRole             fault.Kind = "config.InvalidRoleException"
	NoSuchChannel           fault.Kind = "config.NoSuchDeliveryChannelException"
	NoChannel               fault.Kind = "config.NoAvailableDeliveryChannelException"
	MaxChannels             fault.Kind = "config.MaxNumberOfDeliveryChannelsExceededException"
	LastChannel             fault.Kind = "config.LastDeliveryChannelDeleteFailedException"
	InvalidChannelName      fault.Kind = "config.InvalidDeliveryChannelNameException"
	InvalidPrefix           fault.Kind = "config.InvalidS3KeyPrefixException"
	InvalidTopic            fault.Kind = "config.InvalidSNSTopicARNException"
	NoSuchBucket            fault.Kind = "config.NoSuchBucketException"
	InsufficientDelivery    fault.Kind = "config.InsufficientDeliveryPolicyException"
	InsufficientPermissions fault.Kind = "config.InsufficientPermissionsException"
	NotRunning              fault.Kind = "config.NoRunningConfigurationRecorderException"
	NoSuchRule              fault.Kind = "config.NoSuchConfigRuleException"
	MaxRules                fault.Kind = "config.MaxNumberOfConfigRulesExceededException"
	InvalidParameter        fault.Kind = "config.InvalidParameterValueException"
	ResourceInUse           fault.Kind = "config.ResourceInUseException"
	LimitExceeded           fault.Kind = "config.LimitExceededException"
	NotDiscovered           fault.Kind = "config.ResourceNotDiscoveredException"
	InvalidTimeRange        fault.Kind = "config.InvalidTimeRangeException"
	InvalidToken            fault.Kind = "config.InvalidNextTokenException"
	NoSuchPack              fault.Kind = "config.NoSuchConformancePackException"
	InvalidTemplate         fault.Kind = "config.ConformancePackTemplateValidationException"
	MaxPacks                fault.Kind = "config.MaxNumberOfConformancePacksExceededException"
	NoSuchRuleInPack        fault.Kind = "config.NoSuchConfigRuleInConformancePackException"
	ResourceNotFound        fault.Kind = "config.ResourceNotFoundException"
	TooManyTags             fault.Kind = "config.TooManyTagsException"
	ValidationError         fault.Kind = "config.ValidationException"
)

// Delivery writes objects in the name of config.amazonaws.com for an account. Its error is a refusal
// with a sentence for people.
type Delivery interface {
	// Exists tells whether there is such a bucket.
	Exists(bucket string) bool
	// Put writes one into the channel's bucket, encrypted under the channel's key where it has one; role is
	// that of the account's recorder, which may have what the service has not.
	Put(ctx context.Context, c *Channel, role, key string, body []byte) error
}

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required. The Store owns the keys that begin with "posture/c/".
	Meta engine.Meta
	// Source has the resources. Required.
	Source posture.Source
	// Region that ARNs and items carry. Required.
	Region string
	// Publish takes the events. Nil: nobody hears of anything.
	Publish posture.Publisher
	// Heard tells whether anybody may want an event of which some fields are known, by their paths. Default:
	// somebody may want any.
	Heard func(account string, known map[string]string) bool
	// Deliver writes snapshots. Nil: delivery channels are refused.
	Deliver Delivery
	// CheckTopic tells whether there is a topic, and why Config cannot publish there. Nil: there are no topics.
	CheckTopic func(ctx context.Context, account, topic string) (exists bool, err error)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
}

// Store is AWS Config for all accounts. Safe for concurrent use.
type Store struct {
	meta       engine.Meta
	source     posture.Source
	region     string
	publish    posture.Publisher
	heard      func(account string, known map[string]string) bool
	deliver    Delivery
	checkTopic func(ctx context.Context, account, topic string) (exists bool, err error)
	now        func() time.Time
	log        *slog.Logger

	// judging is held by whoever judges, and by whoever changes what is judged by. It is taken before mu.
	judging sync.Mutex
	// hashes are those of resources' newest items, as far as they are remembered; under judging.
	hashes map[string]string
	mu     sync.RWMutex
	// accounts and all below are changed under mu, after the commit of the change.
	accounts map[string]*accountState
	wake     chan struct{}
}

// accountState is what one account has of AWS Config.
type accountState struct {
	recorder *Recorder
	channel  *Channel
	rules    map[string]*Rule // by name
	packs    map[string]*Pack // by name
	// asked is when StartConfigRulesEvaluation was last accepted.
	asked time.Time
}

// Open reads everything.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Source == nil || c.Region == "" || c.Log == nil {
		return nil, errors.New("recorder: Config needs Meta, Source, Region and Log")
	}
	s := &Store{
		meta: c.Meta, source: c.Source, region: c.Region, publish: c.Publish, heard: c.Heard, deliver: c.Deliver, checkTopic: c.CheckTopic, now: c.Now, log: c.Log,
		accounts: map[string]*accountState{}, hashes: map[string]string{}, wake: make(chan struct{}, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	return s, nil
}

// of is the account's part, made when it is not there. Under mu for writing.
func (s *Store) of(id string) *accountState {
	a := s.accounts[id]
	if a == nil {
		a = &accountState{rules: map[string]*Rule{}, packs: map[string]*Pack{}}
		s.accounts[id] = a
	}
	return a
}

// find is the account's part for reading; never nil. Under mu.
func (s *Store) find(id string) *accountState {
	if a := s.accounts[id]; a != nil {
		return a
	}
	return &accountState{}
}

// recording tells whether the account's recorder is recording. Under mu or judging.
func (a *accountState) recording() bool { return a != nil && a.recorder != nil && a.recorder.Recording }

// poke wakes the worker.
func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Consumer is the name under which the recorder reads the change feed.
const Consumer = "config"

// most is how many entries of the feed are judged in one commit.
const most = 256

// Consume judges what the change feed tells until ctx ends.
func (s *Store) Consume(ctx context.Context, f *feed.Feed) {
	for ctx.Err() == nil {
		entries, err := f.Next(ctx, Consumer, most)
		if err == nil {
			err = s.take(ctx, f, entries)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("recorder: changes not judged; trying again", "err", err)
			pause(ctx, time.Second)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// take judges entries and is done with them in one commit.
func (s *Store) take(ctx context.Context, f *feed.Feed, entries []feed.Entry) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	w := s.begin()
	var weight feed.Weight
	last := uint64(0)
	for i := range entries {
		if weight.Full(&w.batch) {
			break
		}
		last = entries[i].Seq
		if err := s.note(ctx, w, &entries[i]); err != nil {
			return err
		}
	}
	err := f.Done(ctx, Consumer, last, &w.batch)
	return s.ended(w, err)
}

// Work does what is due until ctx ends: full passes of rules that were made, asked for or come round,
// the first record of everything when a recorder starts, snapshots.
func (s *Store) Work(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.workOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("recorder: what is due is not done; trying again", "err", err)
		}
		t := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

func (s *Store) workOnce(ctx context.Context) error {
	s.mu.RLock()
	var ids []string
	for id, a := range s.accounts {
		if a.recording() {
			ids = append(ids, id)
		}
	}
	s.mu.RUnlock()
	var errs []error
	for _, id := range ids {
		errs = append(errs, s.baseline(ctx, id), s.pass(ctx, id, s.due(id)), s.snapshotDue(ctx, id))
	}
	return errors.Join(errs...)
}

// due are the rules of the account that want a full pass now.
func (s *Store) due(id string) []*Rule {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var due []*Rule
	for _, r := range s.find(id).rules {
		every := frequencies[r.period()]
		if r.Status.LastPass.IsZero() || r.Status.Requested.After(r.Status.LastPass) || every > 0 && now.Sub(r.Status.LastPass) >= every {
			due = append(due, r)
		}
	}
	return due
}

// frequencies are AWS's.
var frequencies = map[string]time.Duration{
	"One_Hour": time.Hour, "Three_Hours": 3 * time.Hour, "Six_Hours": 6 * time.Hour, "Twelve_Hours": 12 * time.Hour, "TwentyFour_Hours": 24 * time.Hour,
}

// period is how often the rule comes round; "" for never.
func (r *Rule) period() string {
	m := rule.All[r.Identifier]
	if m == nil || !m.Periodic {
		return ""
	}
	if r.Frequency == "" {
		return "TwentyFour_Hours"
	}
	return r.Frequency
}

// encode makes a record. The types are this package's own and always encode.
func encode(v any) ([]byte, error) { return json.Marshal(v) }
