// Package trail is AWS CloudTrail's trails: what they are, which events they want, and the delivery of
// log files and digests into their buckets.
//
// What it promises: an event that a logging trail wants is delivered at least once, in the order of the
// journal, whatever crashes in between; a delivery that is repeated replaces the file that it made before.
// Digests form a chain that `aws cloudtrail validate-logs` accepts, and accepts no more after a file was
// changed or removed. A trail whose bucket refuses is behind, and nothing else is.
package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/audit/deliver"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/pace"
)

// Failures of this package.
const (
	NotFound            fault.Kind = "trail.NotFound"
	Exists              fault.Kind = "trail.Exists"
	TooMany             fault.Kind = "trail.TooMany"
	InvalidName         fault.Kind = "trail.InvalidName"
	InvalidBucket       fault.Kind = "trail.InvalidBucket"
	InvalidPrefix       fault.Kind = "trail.InvalidPrefix"
	NoBucket            fault.Kind = "trail.NoBucket"
	InsufficientPolicy  fault.Kind = "trail.InsufficientPolicy"
	InsufficientKey     fault.Kind = "trail.InsufficientKeyPolicy"
	KeyNotFound         fault.Kind = "trail.KeyNotFound"
	InvalidKey          fault.Kind = "trail.InvalidKey"
	InvalidSelectors    fault.Kind = "trail.InvalidSelectors"
	Unsupported         fault.Kind = "trail.Unsupported"
	InvalidCombination  fault.Kind = "trail.InvalidCombination"
	TooManyTags         fault.Kind = "trail.TooManyTags"
	InvalidTag          fault.Kind = "trail.InvalidTag"
	Busy                fault.Kind = "trail.Busy"
	DeliveryUnavailable fault.Kind = "trail.DeliveryUnavailable"
	InvalidLogGroup     fault.Kind = "trail.InvalidLogGroup"
	InvalidLogRole      fault.Kind = "trail.InvalidLogRole"
	InvalidTopic        fault.Kind = "trail.InvalidTopic"
	InsufficientTopic   fault.Kind = "trail.InsufficientTopicPolicy"
)

// Service is the principal that delivers.
const Service = "cloudtrail.amazonaws.com"

// Tag of a trail.
type Tag struct{ Key, Value string }

// Trail is one trail, as it is stored.
type Trail struct {
	Format                int
	Name, Account, Region string
	Bucket, Prefix        string
	KMSKey                string `json:",omitempty"`
	// LogGroup is the ARN of a group of CloudWatch Logs that events are delivered to too, in the name of
	// LogRole; "" for none.
	LogGroup, LogRole string `json:",omitempty"`
	// Topic is the ARN of a topic that hears of each log file, "" for none.
	Topic            string `json:",omitempty"`
	GlobalEvents     bool
	MultiRegion      bool
	Validation       bool
	Logging          bool
	Created          time.Time
	Started, Stopped time.Time          `json:",omitzero"`
	Tags             []Tag              `json:",omitempty"`
	Selectors        []Selector         `json:",omitempty"`
	Advanced         []AdvancedSelector `json:",omitempty"`
	selector         *compiled
}

const format = 1

// ARN of the trail.
func (t *Trail) ARN() string { return ARN(t.Region, t.Account, t.Name) }

// ARN of a trail by its name.
func ARN(region, account, name string) string {
	return "arn:aws:cloudtrail:" + region + ":" + account + ":trail/" + name
}

// State is how far the delivery of a trail is.
type State struct {
	Format int
	// Management and Data are the numbers of the last lines of the journals that are done with.
	Management, Data uint64
	Delivered        time.Time `json:",omitzero"`
	Attempted        time.Time `json:",omitzero"`
	Succeeded        time.Time `json:",omitzero"` // the attempt that did
	Error            string    `json:",omitempty"`
	// Begun is when the delivery began that has not ended yet; it is in the name of its file.
	Begun  time.Time `json:",omitzero"`
	Digest Digest
}

// Config of a Store.
type Config struct {
	// Meta keeps trails. Required.
	Meta engine.Meta
	// Secrets seals the keys that sign digests. Required.
	Secrets audit.Secrets
	// Record is what is delivered from. Required.
	Record *audit.Log
	// Feed is told of changes. Optional.
	Feed *feed.Feed
	// S3 makes the requests of deliveries. Required.
	S3 deliver.OnBehalf
	// Logs are where trails deliver to beside their buckets. Nil: nowhere.
	Logs LogGroups
	// Topics hear of log files. Nil: there are none.
	Topics Topics
	// Region of this server.
	Region string
	// LogInterval and DigestInterval are how often is delivered. Required.
	LogInterval, DigestInterval time.Duration
	Log                         *slog.Logger
	// Pace gives the turns in which is delivered. Nil: at once.
	Pace *pace.Pacer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store keeps trails and delivers. Safe for concurrent use.
type Store struct {
	config Config
	keys   keyRing

	mu     sync.Mutex // held by whoever changes trails
	states map[string]*State
	locks  map[string]*sync.Mutex
	// waiting are those who want a lock that a delivery may have.
	waiting atomic.Int32
	trails  atomic.Pointer[trails]
	work    map[string]*delivery

	logStates map[string]*LogState
	logWork   map[string]*logWork
}

// trails are all there are. They do not change: others come in their place.
type trails struct {
	byARN map[string]*Trail
	// data are those that take data events now: what every request is asked about.
	data []*Trail
}

func trailsOf(byARN map[string]*Trail) *trails {
	all := &trails{byARN: byARN}
	for _, t := range byARN {
		if t.Logging && t.selector.data {
			all.data = append(all.data, t)
		}
	}
	return all
}

const (
	trailPrefix = "t/d/"
	statePrefix = "t/s/"
)

// Open reads the trails.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Store{config: c, states: map[string]*State{}, locks: map[string]*sync.Mutex{}, work: map[string]*delivery{}}
	s.keys = keyRing{meta: c.Meta, secrets: c.Secrets, now: c.Now}
	byARN := map[string]*Trail{}
	err := scan(ctx, c.Meta, trailPrefix, func(_ string, raw []byte) error {
		t := &Trail{}
		if err := json.Unmarshal(raw, t); err != nil || t.Format != format {
			return fmt.Errorf("trail: a record does not decode: %w", err)
		}
		t.selector = compile(t)
		byARN[t.ARN()] = t
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = scan(ctx, c.Meta, statePrefix, func(arn string, raw []byte) error {
		st := &State{}
		if err := json.Unmarshal(raw, st); err != nil || st.Format != format {
			return fmt.Errorf("trail: the state of %s does not decode: %w", arn, err)
		}
		s.states[arn] = st
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.loadLogs(ctx); err != nil {
		return nil, err
	}
	s.trails.Store(trailsOf(byARN))
	c.Record.WantData(s.wants)
	return s, nil
}

func scan(ctx context.Context, meta engine.Meta, prefix string, each func(name string, raw []byte) error) error {
	it, err := meta.Scan(ctx, []byte(prefix), engine.PrefixEnd([]byte(prefix)))
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	defer it.Close()
	for it.Next() {
		if err := each(string(it.Key()[len(prefix):]), it.Value()); err != nil {
			return err
		}
	}
	return it.Err()
}

// Find gives a trail by its ARN, from memory. It decides nothing.
func (s *Store) Find(arn string) (*Trail, error) {
	if t := s.trails.Load().byARN[arn]; t != nil {
		return t, nil
	}
	return nil, fault.New(NotFound, "Unknown trail: "+arn)
}

// ResourceTags are the tags of a trail as condition keys; none when it is not there.
func (s *Store) ResourceTags(arn string) authz.ResourceTags {
	t, err := s.Find(arn)
	if err != nil {
		return nil
	}
	tags := make(authz.ResourceTags, len(t.Tags))
	for _, tag := range t.Tags {
		tags[tag.Key] = tag.Value
	}
	return tags
}

// Trails of an account, by name. They need cloudtrail:DescribeTrails or cloudtrail:ListTrails, which
// the caller of this has been granted.
func (s *Store) Trails(_ context.Context, g authz.Grant, action, account string) ([]*Trail, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, err
	}
	return s.Of(account), nil
}

// Of are the trails of an account, by name, from memory. It decides nothing.
func (s *Store) Of(account string) []*Trail {
	var own []*Trail
	for _, t := range s.trails.Load().byARN {
		if t.Account == account {
			own = append(own, t)
		}
	}
	slices.SortFunc(own, func(a, b *Trail) int { return strings.Compare(a.Name, b.Name) })
	return own
}

// State of a trail's delivery. It needs cloudtrail:GetTrailStatus.
func (s *Store) State(_ context.Context, g authz.Grant, t *Trail) (State, error) {
	if err := g.Require("cloudtrail:GetTrailStatus", t.ARN()); err != nil {
		return State{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.states[t.ARN()]; st != nil {
		return *st, nil
	}
	return State{}, nil
}

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	doubled       = regexp.MustCompile(`[._-]{2}`)
	addressLike   = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$`)
	bucketPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)
)

// CheckName tells whether a trail may be called so.
func CheckName(name string) error {
	switch {
	case len(name) < 3:
		return fault.New(InvalidName, "Trail name too short. Minimum allowed length: 3 characters. Specified name length: "+fmt.Sprint(len(name))+" characters.")
	case len(name) > 128:
		return fault.New(InvalidName, "Trail name too long. Maximum allowed length: 128 characters. Specified name length: "+fmt.Sprint(len(name))+" characters.")
	case !namePattern.MatchString(name), doubled.MatchString(name), addressLike.MatchString(name):
		return fault.New(InvalidName, "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_).")
	}
	return nil
}

const (
	maxTrails = 5
	maxPrefix = 200
	maxTags   = 50
)

func check(t *Trail) error {
	if err := CheckName(t.Name); err != nil {
		return err
	}
	if !bucketPattern.MatchString(t.Bucket) {
		return fault.New(InvalidBucket, "Bucket name is invalid: "+t.Bucket)
	}
	if len(t.Prefix) > maxPrefix {
		return fault.New(InvalidPrefix, "The prefix is longer than 200 characters.")
	}
	if t.MultiRegion && !t.GlobalEvents {
		return fault.New(InvalidCombination, "Multi-Region trail must include global service events.")
	}
	return checkTags(t.Tags)
}

func checkTags(tags []Tag) error {
	if len(tags) > maxTags {
		return fault.New(TooManyTags, "The number of tags per trail has exceeded the permitted amount. Currently, the limit is 50.")
	}
	seen := map[string]bool{}
	for _, tag := range tags {
		if tag.Key == "" || len(tag.Key) > 128 || len(tag.Value) > 256 || strings.HasPrefix(tag.Key, "aws:") || seen[tag.Key] {
			return fault.New(InvalidTag, "The specified tag key or values are not valid, or a key is there twice: "+tag.Key)
		}
		seen[tag.Key] = true
	}
	return nil
}

// Create makes a trail. It needs cloudtrail:CreateTrail. The bucket must be there and let CloudTrail
// write, which is found out by writing.
func (s *Store) Create(ctx context.Context, g authz.Grant, t Trail) (*Trail, error) {
	if err := g.Require("cloudtrail:CreateTrail", t.ARN()); err != nil {
		return nil, err
	}
	if err := check(&t); err != nil {
		return nil, err
	}
	if err := s.tryBucket(ctx, &t); err != nil {
		return nil, err
	}
	if err := s.checkLogs(ctx, &t); err != nil {
		return nil, err
	}
	if err := s.checkTopic(ctx, &t); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trails.Load().byARN[t.ARN()] != nil {
		return nil, fault.New(Exists, "Trail "+t.Name+" already exists for customer: "+t.Account)
	}
	if len(s.Of(t.Account)) >= maxTrails {
		return nil, fault.New(TooMany, "User: "+t.Account+" already has 5 trails in "+t.Region+".")
	}
	t.Format, t.Created = format, s.config.Now().UTC()
	return &t, s.put(ctx, g, nil, &t, nil)
}

// Update changes a trail and needs action on it. Change gets a copy.
func (s *Store) Update(ctx context.Context, g authz.Grant, action, arn string, change func(*Trail) error) (*Trail, error) {
	if err := g.Require(action, arn); err != nil {
		return nil, err
	}
	old, err := s.Find(arn)
	if err != nil {
		return nil, err
	}
	probe := *old
	if err := change(&probe); err != nil {
		return nil, err
	}
	if probe.Bucket != old.Bucket || probe.Prefix != old.Prefix || probe.KMSKey != old.KMSKey {
		if err := check(&probe); err != nil {
			return nil, err
		}
		if err := s.tryBucket(ctx, &probe); err != nil {
			return nil, err
		}
	}
	if probe.Topic != old.Topic {
		if err := s.checkTopic(ctx, &probe); err != nil {
			return nil, err
		}
	}
	if probe.LogGroup != old.LogGroup || probe.LogRole != old.LogRole {
		if err := s.checkLogs(ctx, &probe); err != nil {
			return nil, err
		}
	}
	defer s.before(ctx, old, &probe)()
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, err = s.Find(arn); err != nil {
		return nil, err
	}
	next := *old
	next.Tags = slices.Clone(old.Tags)
	if err := change(&next); err != nil {
		return nil, err
	}
	next.Name, next.Account, next.Region, next.Created = old.Name, old.Account, old.Region, old.Created
	if err := check(&next); err != nil {
		return nil, err
	}
	return &next, s.put(ctx, g, old, &next, nil)
}

// Start begins logging: what happens from now on is delivered. It needs cloudtrail:StartLogging.
func (s *Store) Start(ctx context.Context, g authz.Grant, arn string) error {
	if err := g.Require("cloudtrail:StartLogging", arn); err != nil {
		return err
	}
	unlock := s.lock(arn) // no delivery meanwhile
	defer unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.Find(arn)
	if err != nil || old.Logging {
		return err
	}
	next := *old
	next.Logging, next.Started = true, s.config.Now().UTC()
	st := &State{Format: format}
	if before := s.states[arn]; before != nil {
		*st = *before
	}
	st.Management, st.Data = s.config.Record.Management().Last(), s.config.Record.Data().Last()
	begun := next.Started
	if st.Digest.Begun.After(begun) {
		begun = st.Digest.Begun // the names of digests ascend
	}
	st.Digest = Digest{Begun: begun}
	s.forget(arn)
	return s.put(ctx, g, old, &next, st)
}

// Stop ends logging. It needs cloudtrail:StopLogging. What there is, is delivered first, and a last
// digest, as far as the bucket allows.
func (s *Store) Stop(ctx context.Context, g authz.Grant, arn string) (Conclusion, error) {
	if err := g.Require("cloudtrail:StopLogging", arn); err != nil {
		return nil, err
	}
	t, err := s.Find(arn)
	if err != nil || !t.Logging {
		return nil, err
	}
	defer s.last(ctx, t)()
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.Find(arn)
	if err != nil {
		return nil, err
	}
	next := *old
	next.Logging, next.Stopped = false, s.config.Now().UTC()
	conclude := s.conclusion(g, old)
	return conclude, s.put(ctx, g, old, &next, nil)
}

// Delete removes a trail; the files stay. It needs cloudtrail:DeleteTrail.
func (s *Store) Delete(ctx context.Context, g authz.Grant, arn string) (conclude Conclusion, err error) {
	if err := g.Require("cloudtrail:DeleteTrail", arn); err != nil {
		return nil, err
	}
	t, err := s.Find(arn)
	if err != nil {
		return nil, err
	}
	if t.Logging {
		defer s.last(ctx, t)()
	}
	unlock := s.lock(arn + "#logs") // no delivery meanwhile
	defer unlock()
	s.dropLogWork(arn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, err = s.Find(arn); err != nil {
		return nil, err
	}
	if t.Logging {
		conclude = s.conclusion(g, t)
	}
	before, _ := json.Marshal(t)
	var b engine.Batch
	b.Delete([]byte(trailPrefix + arn))
	b.Delete([]byte(statePrefix + arn))
	b.Delete([]byte(logPrefix + arn))
	if err := s.commit(ctx, g, &b, feed.Entry{Account: t.Account, Resource: arn, Gone: true, Before: before}); err != nil {
		return nil, err
	}
	byARN := maps.Clone(s.trails.Load().byARN)
	delete(byARN, arn)
	delete(s.states, arn)
	delete(s.logStates, arn)
	s.forget(arn)
	s.trails.Store(trailsOf(byARN))
	return conclude, nil
}

// put stores a trail, with its state where that changes. Under mu.
func (s *Store) put(ctx context.Context, g authz.Grant, old, t *Trail, st *State) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	var b engine.Batch
	b.Set([]byte(trailPrefix+t.ARN()), raw)
	if st != nil {
		state, err := json.Marshal(st)
		if err != nil {
			return fmt.Errorf("trail: %w", err)
		}
		b.Set([]byte(statePrefix+t.ARN()), state)
	}
	logs, err := s.beginLogs(&b, old, t)
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	e := feed.Entry{Account: t.Account, Resource: t.ARN(), After: raw}
	if old != nil {
		e.Before, _ = json.Marshal(old)
	}
	if err := s.commit(ctx, g, &b, e); err != nil {
		return err
	}
	t.selector = compile(t)
	byARN := maps.Clone(s.trails.Load().byARN)
	byARN[t.ARN()] = t
	s.trails.Store(trailsOf(byARN))
	if st != nil {
		s.states[t.ARN()] = st
	}
	if logs != nil {
		s.logStates[t.ARN()] = logs
	}
	return nil
}

// commit writes a change of a trail and tells the feed.
func (s *Store) commit(ctx context.Context, g authz.Grant, b *engine.Batch, e feed.Entry) error {
	made := feed.Made(feed.Trail, g.Event())
	made.Account, made.Resource, made.Gone, made.Before, made.After = e.Account, e.Resource, e.Gone, e.Before, e.After
	done, err := s.config.Feed.Add(b, made)
	if err != nil {
		return err
	}
	defer done()
	if err := s.config.Meta.Commit(context.WithoutCancel(ctx), b); err != nil {
		if errors.Is(err, engine.ErrConflict) {
			return &fault.Error{Kind: Busy, Cause: err}
		}
		return fmt.Errorf("trail: %w", err)
	}
	return nil
}
