// Package logs is CloudWatch Logs: groups with their retention, policies and tags, streams, and the events
// in them.
//
// It promises: events whose putting was acknowledged are durable, and are read until the retention of their
// group ends or somebody deletes them; they lie compressed and sealed. A read takes memory for one page and
// one chunk, whatever there is to search. Memory grows with the number of groups alone.
package logs

import (
	"context"
	"encoding/binary"
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
)

// Failures of this package.
const (
	NotFound    fault.Kind = "logs.NotFound"
	Exists      fault.Kind = "logs.Exists"
	Invalid     fault.Kind = "logs.Invalid"
	Limit       fault.Kind = "logs.Limit"
	TooManyTags fault.Kind = "logs.TooManyTags"
	Protected   fault.Kind = "logs.Protected"   // the group must not be deleted
	Busy        fault.Kind = "logs.Busy"        // somebody else changes the same at this moment
	Unsupported fault.Kind = "logs.Unsupported" // AWS has it, this server does not
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

// Keys uses customers' keys in the name of CloudWatch Logs, whom their policies have to let.
type Keys interface {
	// NewDataKey makes a data key for a group under a KMS key, and its wrapped form.
	NewDataKey(ctx context.Context, account, key, group string) (plain, wrapped []byte, err error)
	// OpenDataKey opens the wrapped form.
	OpenDataKey(ctx context.Context, account, group string, wrapped []byte) ([]byte, error)
}

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required.
	Meta engine.Meta
	// Secrets seals the events. Required.
	Secrets Secrets
	// Principals knows whom policies name. Required.
	Principals Principals
	// Keys of groups that have one of their own. Required.
	Keys Keys
	// Region of this server. Required.
	Region string
	// Log is told of what happens in the background. Default slog.Default.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store has all groups. Safe for concurrent use.
type Store struct {
	meta       engine.Meta
	secrets    Secrets
	principals Principals
	keys       Keys
	region     string
	log        *slog.Logger
	now        func() time.Time

	changes  sync.Mutex // held by whoever changes groups or policies
	groups   atomic.Pointer[map[string]*Group]
	policies atomic.Pointer[map[string]*ResourcePolicies] // by account
	sizes    sync.Map                                     // id of a group → *atomic.Int64, the bytes stored
	writing  [64]sync.Mutex                               // one puts into a stream at a time, by its name
	last     atomic.Int64
	opened   dataKeys
}

// The records. Numbers are 8 bytes, big endian; ~ is a number inverted, so that the largest comes first.
const (
	groupPrefix  = "lg/G/" // account / name: a group
	policyPrefix = "lg/P/" // account: its resource policies
	streamPrefix = "lg/s/" // group, name: a stream
	namePrefix   = "lg/i/" // group, stream: the stream's name
	recentPrefix = "lg/t/" // group, ~last event, name: streams by their last event
	bodyPrefix   = "lg/e/" // group, first, sequence, stream, last: a chunk of events
	forthPrefix  = "lg/f/" // group, stream, first, sequence, last: the chunks of a stream, oldest first
	backPrefix   = "lg/b/" // group, stream, ~last, ~sequence, first: the same, newest first
	trashPrefix  = "lg/g/" // group, stream: a deleted stream whose chunks are still there
	format       = 1
)

// ofGroup are the prefixes of what belongs to a group.
var ofGroup = []string{streamPrefix, namePrefix, recentPrefix, bodyPrefix, forthPrefix, backPrefix, trashPrefix}

func key(prefix string, numbers ...uint64) []byte {
	b := make([]byte, 0, len(prefix)+8*len(numbers)+32)
	b = append(b, prefix...)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// numbersOf reads the n numbers behind a prefix.
func numbersOf(key []byte, prefix string, n int) ([]uint64, bool) {
	if len(key) < len(prefix)+8*n {
		return nil, false
	}
	key = key[len(prefix):]
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.BigEndian.Uint64(key[8*i:])
	}
	return out, true
}

// Open loads groups and policies, and counts what is stored.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Secrets == nil || c.Principals == nil || c.Keys == nil || c.Region == "" {
		return nil, errors.New("logs: a Store needs Meta, Secrets, Principals, Keys and a Region")
	}
	s := &Store{meta: c.Meta, secrets: c.Secrets, principals: c.Principals, keys: c.Keys, region: c.Region, log: c.Log, now: c.Now}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.opened.now = s.now
	groups, policies := map[string]*Group{}, map[string]*ResourcePolicies{}
	err := engine.Each(ctx, s.meta, groupPrefix, func(key, value []byte, v engine.Version) error {
		g, err := decodeGroup(value, v)
		if err == nil {
			groups[g.Account+"/"+g.Name] = g
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	err = engine.Each(ctx, s.meta, policyPrefix, func(key, value []byte, v engine.Version) error {
		p, err := decodePolicies(value, v)
		if err == nil {
			policies[p.Account] = p
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	err = engine.Each(ctx, s.meta, streamPrefix, func(key, value []byte, _ engine.Version) error {
		ids, ok := numbersOf(key, streamPrefix, 1)
		r, err := decodeStream(value)
		if err == nil && ok {
			s.size(ids[0]).Add(r.bytes)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	s.groups.Store(&groups)
	s.policies.Store(&policies)
	return s, nil
}

func (s *Store) size(group uint64) *atomic.Int64 {
	n, ok := s.sizes.Load(group)
	if !ok {
		n, _ = s.sizes.LoadOrStore(group, new(atomic.Int64))
	}
	return n.(*atomic.Int64)
}

// unique gives a number that it never gives twice: the time in nanoseconds, or a little more.
func (s *Store) unique() uint64 {
	for {
		last := s.last.Load()
		next := max(s.now().UnixNano(), last+1)
		if s.last.CompareAndSwap(last, next) {
			return uint64(next)
		}
	}
}

func (s *Store) commit(ctx context.Context, b *engine.Batch) error {
	err := s.meta.Commit(context.WithoutCancel(ctx), b)
	if errors.Is(err, engine.ErrConflict) {
		return refuse(Busy, "A conflicting operation is currently in progress against this resource. Please try again.")
	}
	return err
}

// arn of something of the account.
func (s *Store) arn(account, rest string) string {
	return "arn:aws:logs:" + s.region + ":" + account + ":" + rest
}

// GroupARN of a group, without the trailing ":*" that policies and most answers have.
func (s *Store) GroupARN(account, group string) string { return s.arn(account, "log-group:"+group) }

// StreamARN of a stream.
func (s *Store) StreamARN(account, group, stream string) string {
	return s.GroupARN(account, group) + ":log-stream:" + stream
}

// ParseARN reads the ARN of a group, with or without ":*", or of a stream.
func (s *Store) ParseARN(arn string) (account, group string, ok bool) {
	f := strings.SplitN(arn, ":", 8)
	if len(f) < 7 || f[0] != "arn" || f[1] != "aws" || f[2] != "logs" || f[3] != s.region || f[5] != "log-group" || f[6] == "" {
		return "", "", false
	}
	if len(f) == 8 && f[7] != "*" && !strings.HasPrefix(f[7], "log-stream:") {
		return "", "", false
	}
	return f[4], f[6], true
}

// Demand is one action on a group or, where stream is not empty, on a stream in it. Neither need exist. As at
// AWS the resource of an action on a group is "…:log-group:NAME:log-stream:", which is what "NAME:*" in
// policies is about; group "" stands for all.
func (s *Store) Demand(account, group, stream, action string) authz.Demand {
	return s.demand(account, group, action, s.StreamARN(account, group, stream))
}

// TagDemand is an action on the tags of a group, whose ARN policies give without ":*". Tags are those that
// the request brings or takes.
func (s *Store) TagDemand(account, group, action string, tags authz.Keys) authz.Demand {
	d := s.demand(account, group, action, s.GroupARN(account, group))
	d.Keys = authz.Either{d.Keys, tags}
	return d
}

// NewDemand is the action of making a group with these tags.
func (s *Store) NewDemand(account, group, action string, tags map[string]string) authz.Demand {
	d := s.Demand(account, group, "", action)
	d.Keys = authz.RequestTags(tags)
	return d
}

func (s *Store) demand(account, group, action, arn string) authz.Demand {
	var tags authz.ResourceTags
	if g, err := s.Group(account, group); err == nil {
		tags = g.Tags
	}
	d := authz.Demand{Action: action, Resource: authz.Resource{ARN: arn, Account: account}, Keys: tags}
	if p := (*s.policies.Load())[account]; p != nil {
		d.Resource.Policy = p.whole
	}
	return d
}

// decode reads a JSON record that has a format number.
func decode[T any](raw []byte) (*T, error) {
	var r struct {
		Format int
		Value  T
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r.Format != format {
		return nil, errors.New("unknown format")
	}
	return &r.Value, nil
}

func encode[T any](v *T) ([]byte, error) {
	return json.Marshal(struct {
		Format int
		Value  *T
	}{format, v})
}
