package object

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/seal"
)

// Keyring makes and opens data keys. The context (whose bytes the key is for) is authenticated.
type Keyring interface {
	NewDataKey(ctx context.Context, about []byte) (seal.Key, []byte, error)
	OpenDataKey(ctx context.Context, wrapped, about []byte) (seal.Key, error)
}

// DefaultInlineMax is the largest body that travels in the metadata commit unless configured.
const DefaultInlineMax = 64 << 10

// Config of a Store.
type Config struct {
	// Meta and Blob keep everything. Required. The Store does not close them.
	Meta engine.Meta
	Blob engine.Blob
	// Keys wraps the data key of every body. Required.
	Keys Keyring
	// Feed is told of every change to a bucket. Nil: nobody listens.
	Feed *feed.Feed
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is told of background failures. Default slog.Default.
	Log *slog.Logger
	// InlineMax is the largest body that travels in the metadata commit, at most
	// DefaultInlineMax. Default DefaultInlineMax; negative: none but the empty one.
	InlineMax int64
	// MaxBuckets of one account. Default 10,000, as AWS.
	MaxBuckets int
	// ReadOnly writes nothing, undoes nothing and works off no trash, for the doctor: what a crash
	// left is looked at as it is. Methods that change something fail.
	ReadOnly bool
}

// Store is all buckets and objects of one installation. Safe for concurrent use.
//
// Locks are taken in this order: upload, key, bucket gate; or making buckets, the lock of one, accounts, its gate.
type Store struct {
	meta       engine.Meta
	blob       engine.Blob
	keys       Keyring
	feed       *feed.Feed
	now        func() time.Time
	log        *slog.Logger
	inlineMax  int64
	maxBuckets int

	buckets  bucketTable
	accounts accountTable
	keyLocks [keyStripes]sync.Mutex
	uploads  [lockStripes]sync.RWMutex
	seed     maphash.Seed
	ids      idSource
	readers  readerRegistry
	drain    drain
	clock    lockClock

	finishedKept atomic.Int64
	damagedReads atomic.Int64
	stop         context.CancelFunc
	background   sync.WaitGroup
}

// Names of buckets and uploads, and keys, share locks. A deletion of many keys holds many: there are so many more that
// it seldom meets another one.
const lockStripes, keyStripes = 1024, 1 << 16

// Open loads the buckets, undoes what a crash interrupted and starts the background work. Its cost
// grows with the number of buckets and of interrupted writes, not of objects.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Meta == nil || c.Blob == nil || c.Keys == nil {
		return nil, errors.New("object: a Store needs Meta, Blob and Keys")
	}
	s := &Store{
		meta: c.Meta, blob: c.Blob, keys: c.Keys, feed: c.Feed, now: c.Now, log: c.Log,
		inlineMax: c.InlineMax, maxBuckets: c.MaxBuckets, seed: maphash.MakeSeed(),
	}
	s.setDefaults()
	if err := s.loadBuckets(ctx); err != nil {
		return nil, fmt.Errorf("object: loading buckets: %w", err)
	}
	if err := s.loadAccounts(ctx); err != nil {
		return nil, fmt.Errorf("object: loading accounts: %w", err)
	}
	if err := s.openClock(ctx); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	s.drain.init()
	if c.ReadOnly {
		s.stop, s.meta = func() {}, readOnly{s.meta}
		return s, nil
	}
	if err := s.ids.open(ctx, s.meta); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	if err := s.replayIntents(ctx); err != nil {
		return nil, fmt.Errorf("object: clearing interrupted writes: %w", err)
	}
	life, stop := context.WithCancel(context.Background())
	s.stop = stop
	changed, err := s.meta.Watch(life, []byte(spaceBucket))
	if err != nil {
		stop()
		return nil, fmt.Errorf("object: %w", err)
	}
	configured, err := s.meta.Watch(life, []byte(spaceAccount))
	if err != nil {
		stop()
		return nil, fmt.Errorf("object: %w", err)
	}
	s.background.Go(func() { s.reload(life, changed, "buckets", s.followBuckets) })
	s.background.Go(func() { s.reload(life, configured, "accounts", s.loadAccounts) })
	s.background.Go(func() { s.drainForever(life) })
	s.background.Go(func() { s.saveClockForever(life) })
	return s, nil
}

func (s *Store) setDefaults() {
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.inlineMax == 0 || s.inlineMax > DefaultInlineMax {
		s.inlineMax = DefaultInlineMax
	}
	s.inlineMax = max(s.inlineMax, 0)
	if s.maxBuckets == 0 {
		s.maxBuckets = 10000
	}
}

// readOnly refuses every commit.
type readOnly struct{ engine.Meta }

var errReadOnly = errors.New("object: opened for reading only")

// Commit implements engine.Meta.
func (readOnly) Commit(context.Context, *engine.Batch) error { return errReadOnly }

// Close ends the background work. Callers end their requests first.
func (s *Store) Close(ctx context.Context) error {
	s.stop()
	done := make(chan struct{})
	go func() { s.background.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Usage tells how much there is, cheaply.
type Usage struct {
	Meta, Blob     engine.Usage
	Buckets        int
	Trash          int   // things that wait for their space to be given back, as far as known in memory
	OpenReaders    int   // large bodies being read
	DamagedReads   int64 // reads that met damaged bytes since start
	ReclaimedBlobs int64 // since start
}

// Usage reports space and health.
func (s *Store) Usage(context.Context) Usage {
	return Usage{
		Meta: s.meta.Usage(), Blob: s.blob.Usage(), Buckets: s.buckets.count(),
		Trash: s.drain.pending(), OpenReaders: s.readers.open(),
		DamagedReads: s.damagedReads.Load(), ReclaimedBlobs: s.drain.reclaimed.Load(),
	}
}

func (s *Store) stripe(bucket uint64, key string) int {
	return int((maphash.String(s.seed, key) ^ bucket) % keyStripes)
}

func (s *Store) millis() int64 { return s.now().UnixMilli() }

// idSource gives ids that are never given twice, ascending: a number that each start takes from a
// stored counter, then a count.
type idSource struct {
	last atomic.Uint64
}

const idsPerEpoch = 40 // bits

func (i *idSource) open(ctx context.Context, meta engine.Meta) error {
	epoch, err := nextCounter(ctx, meta, counterEpoch, nil)
	if err != nil {
		return err
	}
	i.last.Store(epoch << idsPerEpoch)
	return nil
}

func (i *idSource) next() uint64 { return i.last.Add(1) }

// nextCounter increments a stored counter in one commit with what extra adds.
func nextCounter(ctx context.Context, meta engine.Meta, name string, extra func(b *engine.Batch, value uint64)) (uint64, error) {
	for range commitAttempts {
		raw, version, err := meta.Get(ctx, []byte(name), nil)
		if err != nil {
			return 0, err
		}
		value := uint64(1)
		if version != 0 {
			if len(raw) != 8 {
				return 0, fmt.Errorf("%w: counter %s", errRecord, name)
			}
			value = binary.BigEndian.Uint64(raw) + 1
		}
		var b engine.Batch
		b.Require([]byte(name), version)
		b.Set([]byte(name), binary.BigEndian.AppendUint64(nil, value))
		if extra != nil {
			extra(&b, value)
		}
		err = meta.Commit(ctx, &b)
		if err == nil {
			return value, nil
		}
		if !errors.Is(err, engine.ErrConflict) {
			return 0, err
		}
	}
	return 0, engine.ErrConflict
}
