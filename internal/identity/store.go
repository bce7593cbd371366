package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
)

// Secrets seals what must not lie in the clear. keys.Ring is one.
type Secrets interface {
	SealSecret(context, plain []byte) []byte
	OpenSecret(ctx context.Context, context, sealed []byte) ([]byte, error)
}

// AccessKeyPair is an access key given from outside.
type AccessKeyPair struct{ ID, Secret string }

// Config of a Store.
type Config struct {
	// Meta keeps the records. Required. The Store owns the keys that begin with "a/".
	Meta engine.Meta
	// Secrets seals access key secrets, MFA seeds and the keys of session tokens. Required.
	Secrets Secrets
	// Feed is told of every change to an Entity. Nil: nobody listens.
	Feed *feed.Feed
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Log is told what happens without a request. Nil: silent.
	Log *slog.Logger
	// AccountID of the first account, used once on an empty store. Empty: random.
	AccountID string
	// Admin is the first administrator's access key, used once on an empty store. Nil: random.
	Admin *AccessKeyPair
	// Root is an access key for the first account's root user, used once on an empty store. Nil: none.
	Root *AccessKeyPair
	// Dial opens connections to OIDC issuers; the place for the policy on outbound addresses. Nil:
	// web identities are refused.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Issuers is the HTTP transport to OIDC issuers in place of one made with Dial. For tests.
	Issuers http.RoundTripper
	// MaxStaleness is how long this node may go on without having confirmed that no other node
	// changed anything; then it refuses. 0: this node is the only one.
	MaxStaleness time.Duration
}

// FirstRun is what Open made on an empty store. Admin.Secret is told this once.
type FirstRun struct {
	AccountID string
	Admin     AccessKeyPair
}

// Store is all identities. Safe for concurrent use.
type Store struct {
	meta      engine.Meta
	secrets   Secrets
	feed      *feed.Feed
	now       func() time.Time
	log       *slog.Logger
	staleness time.Duration

	state     atomic.Pointer[State]
	confirmed atomic.Int64 // when the State was last known to be current

	writing sync.Mutex // held by the one change at a time; guards the next two
	revised engine.Version
	unsure  bool // a commit ended with an unknown outcome

	sessions *sessionCache
	usage    usageLog
	codes    attempts
	reports  reports
	issuers  *issuers

	first *FirstRun
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// Open reads everything, makes the first account on an empty store, and follows other nodes until
// Close.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Secrets == nil {
		return nil, errors.New("identity: Config needs Meta and Secrets")
	}
	s := &Store{meta: c.Meta, secrets: c.Secrets, feed: c.Feed, now: c.Now, log: c.Log, staleness: c.MaxStaleness}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.sessions = newSessionCache()
	s.issuers = &issuers{dial: c.Dial, transport: c.Issuers, now: s.now}
	s.state.Store(newState())
	if err := s.start(ctx, c); err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	changed, err := s.meta.Watch(life, []byte(revisionKey))
	if err != nil {
		stop()
		return nil, fmt.Errorf("identity: watch: %w", err)
	}
	s.done.Go(func() { s.run(life, changed) })
	return s, nil
}

// start loads the store and, on an empty one, makes the first account. Two nodes may start at once
// on the same empty store: one of them makes it.
func (s *Store) start(ctx context.Context, c Config) error {
	for range 4 {
		loaded, err := s.load(ctx)
		if err != nil {
			return err
		}
		s.state.Store(loaded.state)
		s.revised = loaded.version
		s.confirmed.Store(s.now().UnixNano())
		if loaded.version != 0 {
			return nil
		}
		if err = s.bootstrap(ctx, c); err == nil || !errors.Is(err, engine.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("identity: first account: %w", engine.ErrConflict)
}

// FirstRun is what Open made on an empty store, nil when there was one already.
func (s *Store) FirstRun() *FirstRun { return s.first }

// Close ends the background work and writes the hints that are still in memory.
func (s *Store) Close() error {
	s.stop()
	s.done.Wait()
	return s.flushUsage(context.Background())
}

// run follows other nodes and writes hints until ctx ends.
func (s *Store) run(ctx context.Context, changed <-chan struct{}) {
	period := time.Minute
	if s.staleness > 0 {
		period = min(period, s.staleness/4)
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changed:
			if !ok {
				changed = nil // the engine is closing; ctx ends next
			}
		case <-tick.C:
			if err := s.flushUsage(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("identity: last-used hints not written", "err", err)
			}
			if err := s.rotateTokenKey(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("identity: token key not rotated", "err", err)
			}
		}
		if err := s.catchUp(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("identity: cannot follow the store", "err", err)
		}
	}
}

// catchUp takes over what other nodes changed.
func (s *Store) catchUp(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, version, err := s.readRevision(ctx)
	if err != nil {
		return err
	}
	if version == s.revised && !s.unsure {
		s.confirmed.Store(s.now().UnixNano())
		return nil
	}
	return s.follow(ctx)
}

// current is the State to decide upon. It errs when this node may have missed changes for too long.
func (s *Store) current() (*State, error) {
	if s.staleness > 0 && s.now().UnixNano()-s.confirmed.Load() > int64(s.staleness) {
		return nil, fault.New(Stale, "")
	}
	return s.state.Load(), nil
}

// publish makes next the State that requests see.
func (s *Store) publish(next *State) {
	next.serial = s.state.Load().serial + 1
	s.state.Store(next)
}

// loaded is a State read from the store and the version of its revision record.
type loaded struct {
	state   *State
	version engine.Version
}

// load reads every record. Other nodes may commit meanwhile; the revision is read first, so that
// what the scan saw beyond it is merely applied again.
func (s *Store) load(ctx context.Context) (loaded, error) {
	revision, version, err := s.readRevision(ctx)
	if err != nil {
		return loaded{}, err
	}
	state := newState()
	if err := provideManaged(state); err != nil {
		return loaded{}, err
	}
	if err := engine.Each(ctx, s.meta, recordPrefix, func(key, value []byte, _ engine.Version) error {
		e, err := decode(string(key), value)
		if err == nil {
			state.put(e, true)
		}
		return err
	}); err != nil {
		return loaded{}, err
	}
	state.revision = revision
	return loaded{state, version}, nil
}
