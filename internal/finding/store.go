package finding

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// BadRequest is GuardDuty's word for what cannot be done, whatever the reason.
const BadRequest fault.Kind = "finding.BadRequestException"

// Event is what is told to the event bus, in EventBridge's terms.
type Event struct {
	Source, DetailType, Account string
	Time                        time.Time
	Resources                   []string
	Detail                      any // encoded as JSON
}

// Publisher takes events. What it writes, it writes with b, so that an event goes out if and only if
// what it tells of was stored; committed is called once it was.
type Publisher func(ctx context.Context, b *engine.Batch, e Event) (committed func(), err error)

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required. The Store owns the keys that begin with "finding/".
	Meta engine.Meta
	// Region that ARNs carry. Required.
	Region string
	// Publish takes the events. Required.
	Publish Publisher
	// Threats are lists of dangerous addresses that hold for every account, by name.
	Threats map[string]*Table
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
}

// Store keeps the detectors of all accounts. Safe for concurrent use.
type Store struct {
	config Config
	now    func() time.Time

	// working is held by whoever changes something, from reading what is there to the end of the commit.
	// It is taken before mu, under which the maps change.
	working   sync.Mutex
	mu        sync.RWMutex
	detectors map[string]*Detector // by account
	watches   atomic.Pointer[map[string]*Watch]
}

// Watch is what finders need to know of an account whose detector is enabled.
type Watch struct {
	// S3 says that requests for objects are looked at too.
	S3 bool
	// Trusted addresses are never held against anybody. Nil: none.
	Trusted *Table
	// Threats are lists of dangerous addresses.
	Threats []Named
}

// Named is a list with its name. Custom says that it is the account's own.
type Named struct {
	Name   string
	Custom bool
	Table  *Table
}

const format = 1

// Keys of the records (docs/formats.md, "Findings").
const (
	detectorPrefix = "finding/d/" // account
	findingPrefix  = "finding/f/" // account "/" id
	tablePrefix    = "finding/t/" // account "/" id: the addresses of a list
)

// entry is a finding as it is stored.
type entry struct {
	Format int
	// Subject is what sightings that count here have in common.
	Subject string
	// Suppressed says that a filter archived it.
	Suppressed bool `json:",omitempty"`
	// Told is when its event last went out.
	Told time.Time
	// Untold says that it was seen since.
	Untold  bool `json:",omitempty"`
	Finding Finding

	dirty bool // not yet stored
}

// Open reads everything.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Region == "" || c.Publish == nil || c.Log == nil {
		return nil, errors.New("finding: Config needs Meta, Region, Publish and Log")
	}
	s := &Store{config: c, now: c.Now, detectors: map[string]*Detector{}}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("finding: %w", err)
	}
	s.rewatch()
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	if err := engine.Each(ctx, s.config.Meta, detectorPrefix, func(_, raw []byte, _ engine.Version) error {
		d := &Detector{}
		if err := decode(raw, d, &d.Format); err != nil {
			return err
		}
		d.entries, d.open = map[string]*entry{}, map[string]*entry{}
		s.detectors[d.Account] = d
		return nil
	}); err != nil {
		return err
	}
	if err := engine.Each(ctx, s.config.Meta, tablePrefix, func(key, raw []byte, _ engine.Version) error {
		account, id, _ := strings.Cut(string(key[len(tablePrefix):]), "/")
		d := s.detectors[account]
		if d == nil || d.Lists[id] == nil {
			return nil // of a detector that was deleted meanwhile
		}
		t, err := unpackTable(raw)
		d.Lists[id].table = t
		return err
	}); err != nil {
		return err
	}
	return engine.Each(ctx, s.config.Meta, findingPrefix, func(key, raw []byte, _ engine.Version) error {
		account, _, _ := strings.Cut(string(key[len(findingPrefix):]), "/")
		d := s.detectors[account]
		if d == nil {
			return nil
		}
		e := &entry{}
		if err := decode(raw, e, &e.Format); err != nil {
			return err
		}
		d.show(e)
		return nil
	})
}

func decode(raw []byte, to any, got *int) error {
	if err := json.Unmarshal(raw, to); err != nil {
		return err
	}
	if *got != format {
		return fmt.Errorf("a record has format %d; this Kura knows %d", *got, format)
	}
	return nil
}

// work is what one commit writes, and what holds once it has.
type work struct {
	batch engine.Batch
	then  []func() // under mu
	after []func()
}

func (w *work) set(key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.batch.Set([]byte(key), raw)
	return nil
}

// commit ends w under working. Commit nil is the store's own.
func (s *Store) commit(ctx context.Context, w *work, commit func(*engine.Batch) error) error {
	switch {
	case commit != nil:
		if err := commit(&w.batch); err != nil {
			return err
		}
	case len(w.batch.Writes) > 0:
		if err := s.config.Meta.Commit(ctx, &w.batch); err != nil {
			return err
		}
	}
	s.mu.Lock()
	for _, f := range w.then {
		f()
	}
	s.mu.Unlock()
	for _, f := range w.after {
		f()
	}
	return nil
}

// Watches are the accounts whose detectors are enabled. The map is not changed: a change makes another.
func (s *Store) Watches() map[string]*Watch { return *s.watches.Load() }

// rewatch makes Watches anew, under working or before anybody else has the store.
func (s *Store) rewatch() {
	all := map[string]*Watch{}
	for account, d := range s.detectors {
		if !d.Enabled {
			continue
		}
		w := &Watch{S3: d.S3}
		for _, name := range slices.Sorted(maps.Keys(s.config.Threats)) {
			w.Threats = append(w.Threats, Named{Name: name, Table: s.config.Threats[name]})
		}
		lists := slices.SortedFunc(maps.Values(d.Lists), func(a, b *List) int { return cmp.Compare(a.ID, b.ID) })
		for _, l := range lists {
			switch {
			case !l.Active || l.table == nil || !l.Deleted.IsZero():
			case l.Kind == KindTrusted:
				w.Trusted = l.table
			default:
				w.Threats = append(w.Threats, Named{Name: l.Name, Custom: true, Table: l.table})
			}
		}
		all[account] = w
	}
	s.watches.Store(&all)
}

// newID is 32 hexadecimal digits, as GuardDuty's ids are.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func badRequest(format string, args ...any) error {
	return fault.New(BadRequest, "The request is rejected because "+fmt.Sprintf(format, args...))
}

func notOwned(what string) error {
	return badRequest("the input %s is not owned by the current account.", what)
}

// errNoFilter is told of filters that are not there, in AWS's words.
func errNoFilter() error {
	return fault.New(BadRequest, "The request is rejected since no such resource found.")
}
