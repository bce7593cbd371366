package kms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
)

// Secrets seals what must not lie in the clear. keys.Ring is one.
type Secrets interface {
	SealSecret(context, plain []byte) []byte
	OpenSecret(ctx context.Context, context, sealed []byte) ([]byte, error)
}

// Principals knows the users and roles that policies and grants name.
type Principals interface {
	// UniqueID is the unique id behind the ARN of a user or role.
	UniqueID(arn string) (string, bool)
	// ARNOf is the ARN that a unique id has now; not ok once its entity was deleted.
	ARNOf(uniqueID string) (string, bool)
	// PrincipalExists tells whether there is an account of these 12 digits.
	PrincipalExists(account string) bool
}

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required. The Store owns the keys that begin with "kms/".
	Meta engine.Meta
	// Secrets seals key material. Required.
	Secrets Secrets
	// Principals knows users, roles and accounts. Required.
	Principals Principals
	// Region of the keys that are made. Required.
	Region string
	// Feed is told of every change, in the commit that makes it. Nil: nobody listens.
	Feed *feed.Feed
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Log is told what happens without a request. Nil: silent.
	Log *slog.Logger
}

// Store is all keys. Safe for concurrent use; reading takes no lock.
type Store struct {
	meta       engine.Meta
	secrets    Secrets
	principals Principals
	region     string
	feed       *feed.Feed
	now        func() time.Time
	log        *slog.Logger

	keys    sync.Map // id → *Key
	aliases sync.Map // aliasName → *Alias
	opened  sync.Map // materialName → *material
	usages  usages

	writing sync.Mutex // held by the one change at a time; guards the next three
	revised engine.Version
	count   uint64
	unsure  bool // a commit ended with an unknown outcome

	// making bounds the key pairs that are made at the same time: each costs a core for up to seconds.
	making chan struct{}

	stop context.CancelFunc
	done sync.WaitGroup
}

// maxMaking is how many key pairs are made at the same time.
const maxMaking = 2

type aliasName struct{ account, region, name string }

type materialName struct {
	id     string
	number uint32
}

// Open reads everything and follows other nodes until Close.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Secrets == nil || c.Principals == nil || c.Region == "" {
		return nil, errors.New("kms: Config needs Meta, Secrets, Principals and Region")
	}
	s := &Store{meta: c.Meta, secrets: c.Secrets, principals: c.Principals, region: c.Region, feed: c.Feed, now: c.Now, log: c.Log,
		making: make(chan struct{}, maxMaking)}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := errors.Join(s.load(ctx), s.loadUsages(ctx)); err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	changed, err := s.meta.Watch(life, []byte(counterKey))
	if err != nil {
		stop()
		return nil, fmt.Errorf("kms: watch: %w", err)
	}
	s.stop = stop
	s.done.Go(func() { s.follow(life, changed) })
	return s, nil
}

// Close ends following other nodes and writes the hints that are still in memory.
func (s *Store) Close() error {
	s.stop()
	s.done.Wait()
	return s.FlushUses(context.Background())
}

// Region of the keys that are made.
func (s *Store) Region() string { return s.region }

func (s *Store) key(id string) *Key {
	if k, ok := s.keys.Load(id); ok {
		return k.(*Key)
	}
	return nil
}

func (s *Store) alias(account, region, name string) (*Alias, bool) {
	a, ok := s.aliases.Load(aliasName{account, region, name})
	if !ok {
		return nil, false
	}
	return a.(*Alias), true
}

// follow takes over what other nodes change.
func (s *Store) follow(ctx context.Context, changed <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changed:
			if !ok {
				return
			}
		}
		if err := s.catchUp(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("kms: cannot follow the store", "err", err)
		}
	}
}

func (s *Store) catchUp(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, version, err := s.meta.Get(ctx, []byte(counterKey), nil)
	if err != nil || version == s.revised && !s.unsure {
		return err
	}
	return s.load(ctx)
}

// load reads every record but the material. The caller holds s.writing, or is the first. The counter is
// read first: what the scan saw beyond it is read again when the next change finds the counter moved.
func (s *Store) load(ctx context.Context) error {
	raw, version, err := s.meta.Get(ctx, []byte(counterKey), nil)
	if err != nil {
		return err
	}
	var count uint64
	if version != 0 {
		if count, err = decodeCount(raw); err != nil {
			return err
		}
	}
	l := loading{s: s, keys: map[string]*Key{}, aliases: map[aliasName]*Alias{}}
	for _, part := range []struct {
		prefix string
		take   func(key, raw []byte, v engine.Version) error
	}{{keyPrefix, l.key}, {aliasRecords, l.alias}, {grantPrefix, l.grant}} {
		if err := engine.Each(ctx, s.meta, part.prefix, part.take); err != nil {
			return err
		}
	}
	l.publish()
	s.revised, s.count, s.unsure = version, count, false
	return nil
}

// loading is everything, on its way into a Store.
type loading struct {
	s       *Store
	keys    map[string]*Key
	aliases map[aliasName]*Alias
	grants  map[string][]*Grant
}

func (l *loading) key(_, raw []byte, v engine.Version) error {
	k, err := decodeKey(raw, v)
	if err != nil {
		return err
	}
	l.keys[k.ID] = k
	return nil
}

func (l *loading) alias(_, raw []byte, _ engine.Version) error {
	a, err := decodeAlias(raw)
	if err != nil {
		return err
	}
	l.aliases[aliasName{a.Account, a.Region, a.Name}] = a
	if k := l.keys[a.Target]; k != nil {
		k.Aliases = append(k.Aliases, a.Name)
	}
	return nil
}

func (l *loading) grant(_, raw []byte, _ engine.Version) error {
	id, g, err := decodeGrant(raw)
	if err != nil {
		return err
	}
	if l.grants == nil {
		l.grants = map[string][]*Grant{}
	}
	l.grants[id] = append(l.grants[id], g)
	return nil
}

// publish makes what was loaded what requests see.
func (l *loading) publish() {
	for id, k := range l.keys {
		k.grants = newGrantSet(l.grants[id])
		sort.Strings(k.Aliases)
		l.s.keys.Store(id, k)
	}
	for name, a := range l.aliases {
		l.s.aliases.Store(name, a)
	}
	l.s.keys.Range(func(id, _ any) bool {
		if l.keys[id.(string)] == nil {
			l.s.forget(id.(string))
		}
		return true
	})
	l.s.opened.Range(func(name, _ any) bool {
		if of := name.(materialName); l.keys[of.id] == nil || !l.keys[of.id].has(of.number) {
			l.s.opened.Delete(name)
		}
		return true
	})
	l.s.aliases.Range(func(name, _ any) bool {
		if l.aliases[name.(aliasName)] == nil {
			l.s.aliases.Delete(name)
		}
		return true
	})
}

// forget drops a key that is no more, and its material, from memory.
func (s *Store) forget(id string) {
	s.keys.Delete(id)
	s.forgetUse(id)
	s.opened.Range(func(name, _ any) bool {
		if name.(materialName).id == id {
			s.opened.Delete(name)
		}
		return true
	})
}
