// Package function is Lambda: functions with their code and settings, published versions, aliases, who may
// invoke them, and their invocations, synchronous and queued.
//
// It promises: code and environment lie sealed; a published version never changes; an asynchronous
// invocation that was acknowledged is durable, and is run until it succeeds or its retries or its time are
// used up; what becomes of it then is told to the function's destinations. Who runs the code is a Runner;
// without one nothing is created and nothing is invoked.
package function

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/policy"
)

// Failures of this package.
const (
	NotFound           fault.Kind = "function.NotFound"
	Conflict           fault.Kind = "function.Conflict"
	InvalidParameter   fault.Kind = "function.InvalidParameter"
	InvalidContent     fault.Kind = "function.InvalidContent"
	TooLarge           fault.Kind = "function.TooLarge"
	Throttled          fault.Kind = "function.Throttled"
	PreconditionFailed fault.Kind = "function.PreconditionFailed"
	PolicyTooLong      fault.Kind = "function.PolicyTooLong"
	CodeStorage        fault.Kind = "function.CodeStorageExceeded"
	KeyDenied          fault.Kind = "function.KeyDenied"
	Unavailable        fault.Kind = "function.Unavailable"
	// Off: this server runs no functions.
	Off fault.Kind = "function.Off"
)

func refuse(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) error { return refuse(InvalidParameter, format, args...) }

// Secrets seals what is stored.
type Secrets interface {
	SealSecret(about, plain []byte) []byte
	OpenSecret(ctx context.Context, about, sealed []byte) ([]byte, error)
}

// Principals knows the users and roles that policies name.
type Principals interface {
	UniqueID(arn string) (id string, ok bool)
}

// Runner runs code.
type Runner interface {
	Invoke(ctx context.Context, s *runner.Spec, in *runner.Invocation) (*runner.Result, error)
	// Retire ends the warm processes of what an ARN names: a changed or deleted function.
	Retire(arn string)
}

// Keys are the customer's keys under which environments are encrypted, beside the store's own. A key is used
// with the caller's permission, and by the function's role through a grant.
type Keys interface {
	// Encrypt encrypts for the function with that ARN and role.
	Encrypt(ctx context.Context, g authz.Grant, key, functionARN, role string, plain []byte) ([]byte, error)
	// Decrypt is for the caller who looks, DecryptAs for the function that runs in its role.
	Decrypt(ctx context.Context, g authz.Grant, key, functionARN string, sealed []byte) ([]byte, error)
	DecryptAs(ctx context.Context, key, functionARN, role string, sealed []byte) ([]byte, error)
}

// Roles are the execution roles.
type Roles interface {
	// Assume gives a session of the role that lasts longer than any function runs.
	Assume(ctx context.Context, role, functionARN string) (runner.Credentials, error)
}

// Queue keeps asynchronous invocations until they have run. Lane names those that may wait for each other.
type Queue interface {
	Enqueue(ctx context.Context, lane, account, functionARN, requestID string, sealed []byte) error
}

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required.
	Meta engine.Meta
	// Secrets seals code, environments and waiting events. Required.
	Secrets Secrets
	// Principals knows whom policies name. Required.
	Principals Principals
	// Feed is told of policies that change. Nil: nobody is.
	Feed *feed.Feed
	// Region of this server. Required.
	Region string
	// Roles are the execution roles. Required where there is a Runner.
	Roles Roles
	// Keys are the customer's. Nil: there are none.
	Keys Keys
	// Runner runs the code. Nil: functions are off.
	Runner Runner
	// Queue keeps asynchronous invocations. Required where there is a Runner.
	Queue Queue
	// Retry is the pause before the first retry of an asynchronous invocation; the second is twice as long.
	// Default one minute.
	Retry time.Duration
	// Log is told of what happens in the background. Default slog.Default.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store has all functions. Safe for concurrent use.
type Store struct {
	config    Config
	now       func() time.Time
	changes   sync.Mutex // held by whoever changes functions
	functions atomic.Pointer[map[string]*Function]
	last      atomic.Int64
	lanes     atomic.Uint32
}

// Function is one function, immutable once published.
type Function struct {
	Account, Name string
	ID            uint64 // never used again
	// Published is the number of the last version.
	Published int
	Tags      map[string]string `json:",omitempty"`
	// Reserved concurrency; nil: none.
	Reserved *int                    `json:",omitempty"`
	Latest   Configuration           // $LATEST
	Aliases  map[string]*Alias       `json:",omitempty"`
	Policies map[string]*Policy      `json:",omitempty"` // by qualifier; "": of the function itself
	Async    map[string]*AsyncConfig `json:",omitempty"` // by qualifier
	// Versions are those published, by number.
	Versions map[int]*Configuration `json:"-"`

	version engine.Version
}

// Configuration is code with its settings: $LATEST or a version.
type Configuration struct {
	Version       string
	Description   string `json:",omitempty"`
	Role          string
	Handler       string `json:",omitempty"`
	Runtime       string
	Timeout       int // seconds
	Memory        int // MB
	Ephemeral     int // MB
	Architectures []string
	// Environment is sealed. Under Key it was encrypted before.
	Environment []byte  `json:",omitempty"`
	Key         string  `json:",omitempty"`
	DeadLetter  string  `json:",omitempty"`
	Tracing     string  `json:",omitempty"`
	Logging     Logging `json:",omitzero"`
	Code        Code
	Modified    time.Time
	Revision    string
}

// Logging is where a function's output goes, and how.
type Logging struct{ Format, Group string }

// Code is the zip of a configuration.
type Code struct {
	ID     uint64
	SHA256 string // in base64
	Size   int64
}

// Alias is a name for a version.
type Alias struct {
	Version     string
	Description string `json:",omitempty"`
	// Also is a second version that gets the share Weight of the invocations; "" for none.
	Also     string  `json:",omitempty"`
	Weight   float64 `json:",omitempty"`
	Revision string
}

// The records.
const (
	functionPrefix = "fn/f/" // functions, by account and name
	versionPrefix  = "fn/v/" // published versions, by function and number
	codePrefix     = "fn/c/" // pieces of code, by code and number
	format         = 1
	// latest is the version that is not published.
	latest = "$LATEST"
)

type functionRecord struct {
	Format int
	Function
}

type versionRecord struct {
	Format int
	Configuration
}

func functionKey(account, name string) []byte { return []byte(functionPrefix + account + "/" + name) }

func versionKey(id uint64, number int) []byte {
	b := binary.BigEndian.AppendUint64([]byte(versionPrefix), id)
	return binary.BigEndian.AppendUint64(b, uint64(number))
}

// Open loads the functions and removes code that no function has.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Secrets == nil || c.Principals == nil || c.Region == "" {
		return nil, errors.New("function: a Store needs Meta, Secrets, Principals and a Region")
	}
	if c.Runner != nil && (c.Roles == nil || c.Queue == nil) {
		return nil, errors.New("function: a Store that runs functions needs Roles and a Queue")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Retry == 0 {
		c.Retry = time.Minute
	}
	s := &Store{config: c, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	functions, err := s.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("function: %w", err)
	}
	s.functions.Store(&functions)
	return s, s.sweepCode(ctx)
}

func (s *Store) load(ctx context.Context) (map[string]*Function, error) {
	functions, byID := map[string]*Function{}, map[uint64]*Function{}
	err := engine.Each(ctx, s.config.Meta, functionPrefix, func(key, value []byte, v engine.Version) error {
		var r functionRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return err
		}
		if r.Format != format || r.Name == "" || r.ID == 0 {
			return errors.New("unknown format")
		}
		f := r.Function
		f.version, f.Versions = v, map[int]*Configuration{}
		for _, p := range f.Policies {
			if err := p.compile(); err != nil {
				return err
			}
		}
		functions[f.Account+"/"+f.Name], byID[f.ID] = &f, &f
		return nil
	})
	if err != nil {
		return nil, err
	}
	return functions, engine.Each(ctx, s.config.Meta, versionPrefix, func(key, value []byte, _ engine.Version) error {
		var r versionRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return err
		}
		if r.Format != format || len(key) != len(versionPrefix)+16 {
			return errors.New("unknown format")
		}
		at := key[len(versionPrefix):]
		f := byID[binary.BigEndian.Uint64(at)]
		if f == nil {
			return errors.New("a version of no function")
		}
		f.Versions[int(binary.BigEndian.Uint64(at[8:]))] = &r.Configuration
		return nil
	})
}

// unique gives a number that it never gives twice: the time in nanoseconds.
func (s *Store) unique() uint64 {
	for {
		last := s.last.Load()
		next := max(s.now().UnixNano(), last+1)
		if s.last.CompareAndSwap(last, next) {
			return uint64(next)
		}
	}
}

func (s *Store) moment() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// Region of this server.
func (s *Store) Region() string { return s.config.Region }

// Function resolves a function, from memory. It decides nothing.
func (s *Store) Function(r Ref) (*Function, error) {
	if f := s.find(r); f != nil {
		return f, nil
	}
	return nil, s.missing(r)
}

func (s *Store) find(r Ref) *Function { return (*s.functions.Load())[r.Account+"/"+r.Name] }

func (s *Store) missing(r Ref) error { return refuse(NotFound, "Function not found: %s", s.ARN(r)) }

// Configuration that a qualifier names, an alias by its first version.
func (s *Store) Configuration(r Ref) (*Function, *Configuration, error) {
	f, err := s.Function(r)
	if err != nil {
		return nil, nil, err
	}
	q := r.Qualifier
	if a := f.Aliases[q]; a != nil {
		q = a.Version
	}
	c := f.at(q)
	if c == nil {
		return nil, nil, s.missing(r)
	}
	return f, c, nil
}

// at is the configuration of a version; "" is $LATEST. Nil where there is none.
func (f *Function) at(version string) *Configuration {
	if version == "" || version == latest {
		return &f.Latest
	}
	n, err := strconv.Atoi(version)
	if err != nil || strconv.Itoa(n) != version {
		return nil // "01" is no name of version 1
	}
	return f.Versions[n]
}

// has tells whether a qualifier names something of f.
func (f *Function) has(qualifier string) bool {
	return f.Aliases[qualifier] != nil || f.at(qualifier) != nil
}

// edit changes a function under action on resource.
func (s *Store) edit(ctx context.Context, g authz.Grant, action string, r Ref, change func(f *Function, b *engine.Batch) error) (*Function, error) {
	s.changes.Lock()
	defer s.changes.Unlock()
	old, err := s.Function(r)
	if err != nil {
		return nil, err
	}
	if err := g.RequireStill(action, s.ARN(r), old.PolicyOf(r.Qualifier)); err != nil {
		return nil, err
	}
	f := old.clone()
	var b engine.Batch
	if err := change(f, &b); err != nil {
		return nil, err
	}
	return f, s.put(ctx, g, f, &b)
}

// PolicyOf decides who may use what a qualifier names, nil for none.
func (f *Function) PolicyOf(qualifier string) *policy.Document {
	if p := f.Policies[qualifier]; p != nil {
		return p.document
	}
	return nil
}

// clone is a copy whose maps can be changed; what they hold is replaced, never changed.
func (f *Function) clone() *Function {
	next := *f
	next.Tags, next.Aliases, next.Policies = maps.Clone(f.Tags), maps.Clone(f.Aliases), maps.Clone(f.Policies)
	next.Async, next.Versions = maps.Clone(f.Async), maps.Clone(f.Versions)
	return &next
}

// put stores f with b and publishes it. Under changes.
func (s *Store) put(ctx context.Context, g authz.Grant, f *Function, b *engine.Batch) error {
	raw, err := json.Marshal(functionRecord{Format: format, Function: *f})
	if err != nil {
		return err
	}
	b.Require(functionKey(f.Account, f.Name), f.version)
	b.Set(functionKey(f.Account, f.Name), raw)
	done, err := s.tell(b, g, s.find(f.ref("")), f)
	if err != nil {
		return err
	}
	defer done()
	if err := s.commit(ctx, b); err != nil {
		return err
	}
	f.version = b.Version
	s.publish(f.Account+"/"+f.Name, f)
	return nil
}

func (s *Store) publish(at string, f *Function) {
	next := maps.Clone(*s.functions.Load())
	delete(next, at)
	if f != nil {
		next[at] = f
	}
	s.functions.Store(&next)
}

func (s *Store) commit(ctx context.Context, b *engine.Batch) error {
	err := s.config.Meta.Commit(context.WithoutCancel(ctx), b)
	if errors.Is(err, engine.ErrConflict) {
		return refuse(Conflict, "The operation cannot be performed at this time. An update is in progress for the resource.")
	}
	return err
}

// Demand is one action on what r names.
func (s *Store) Demand(action string, r Ref) authz.Demand {
	d := authz.Demand{Action: action, Resource: authz.Resource{ARN: s.ARN(r), Account: r.Account}}
	f := s.find(r)
	if f == nil {
		return d
	}
	d.Resource.Policy = f.PolicyOf(r.Qualifier)
	d.Keys = authz.ResourceTags(f.Tags)
	return d
}

// TagDemand is an action that adds or takes tags, which may depend on them.
func (s *Store) TagDemand(action string, r Ref, tags authz.Keys) authz.Demand {
	d := s.Demand(action, r)
	d.Keys = authz.Either{d.Keys, tags}
	return d
}
