// Package replication copies what a bucket's replication configuration selects into other buckets: of
// this store, or of another S3 endpoint.
//
// A change that a rule selects is in the change feed with the commit that made it. From there it becomes
// a task for each destination, in one commit with the feed's cursor; a task ends in one commit with the
// version's status. So nothing is lost, whenever either side is killed, and what was done twice changed
// nothing. Tasks of one key and destination run in their order; others pass a task that has to wait.
//
// Every copy is made in the name of the configuration's role, by requests that walk the same staircase
// as those of the network. Nothing here removes a version anywhere.
package replication

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/pace"
)

// Consumer is the name under which the change feed is read.
const Consumer = "replication"

// Copy is one replica to make.
type Copy struct {
	Source       object.GetInput // with its version id
	SourceID     uint64
	Rule         *object.ReplicationRule
	DeleteMarker bool
}

// Refusal is an answer that will not change by itself: a permission or a setting is missing.
type Refusal struct {
	Reason string
	// Gone says that the source version is not there any more: nothing is left to do.
	Gone bool
}

// Error implements error.
func (r *Refusal) Error() string { return r.Reason }

// Elsewhere is a destination at another S3 endpoint. By is what a rule says of it.
type Elsewhere interface {
	// Put stores an object; what it cannot keep of info it leaves out.
	Put(ctx context.Context, by *object.ReplicationDestination, info *object.Info, body io.Reader) error
	// Tag replaces the tags of the current version, Delete puts a delete marker.
	Tag(ctx context.Context, by *object.ReplicationDestination, key string, tags []object.Tag) error
	Delete(ctx context.Context, by *object.ReplicationDestination, key string) error
}

// Config of a Replicator.
type Config struct {
	Meta    engine.Meta
	Feed    *feed.Feed
	Objects *object.Store
	// Guard grants what Kura does for itself: to read the configuration's objects' state and to write it.
	Guard *authz.Guard
	// Assume gives the session of a role that S3 assumes for a bucket.
	Assume func(ctx context.Context, role string, b *object.Bucket) (*authz.Subject, error)
	// Replicate makes a replica in this store, Open reads a version for one elsewhere, in the name of as.
	Replicate func(ctx context.Context, as *authz.Subject, c Copy) error
	Open      func(ctx context.Context, as *authz.Subject, c Copy) (*object.Info, io.ReadCloser, error)
	// Elsewhere is the destination of a bucket name at another endpoint, for an account; nil when there
	// is none.
	Elsewhere func(bucket, account string) Elsewhere
	// Pace gives the turns in which replicas are made. Nil: at once.
	Pace *pace.Pacer
	Log  *slog.Logger
	// Workers at once. Default 24: they wait for the disk, and share its syncs.
	Workers int
	// Retry is the pause before the second try; it doubles up to RetryMax. Default 1 s and 5 min.
	Retry, RetryMax time.Duration
	// GiveUp ends the tries for a version. Default 24 h.
	GiveUp time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Replicator works off what is to be replicated.
type Replicator struct {
	config Config
	grant  authz.Grant
	last   atomic.Uint64
	wake   chan struct{}
	walks  chan struct{}
	ledger sync.Mutex

	replicated, failed, bytes atomic.Int64
	pending, pendingBytes     atomic.Int64
	oldest                    atomic.Int64 // Unix milliseconds, 0: none
}

// Stats are for metrics.
type Stats struct {
	// Pending versions, their bytes, and how long the oldest has been waiting.
	Pending, PendingBytes int64
	Oldest                time.Duration
	// Since the start: replicas made, their bytes, and tries that were refused or failed.
	Replicated, ReplicatedBytes, Failed int64
}

// New makes a Replicator. Run lets it work.
func New(ctx context.Context, c Config) (*Replicator, error) {
	if c.Meta == nil || c.Feed == nil || c.Objects == nil || c.Guard == nil || c.Assume == nil || c.Replicate == nil || c.Open == nil {
		return nil, errors.New("replication: the configuration is not whole")
	}
	c.setDefaults()
	all := authz.Resource{ARN: "arn:aws:s3:::*"}
	grant, err := c.Guard.System(ctx, object.ReplicationJob,
		authz.Demand{Action: "s3:GetObjectVersionForReplication", Resource: all},
		authz.Demand{Action: "s3:ListBucketVersions", Resource: all},
		authz.Demand{Action: "s3:ReplicateObject", Resource: all})
	if err != nil {
		return nil, err
	}
	r := &Replicator{config: c, grant: grant, wake: make(chan struct{}, 1), walks: make(chan struct{}, 1)}
	r.last.Store(uint64(c.Now().UnixNano()))
	return r, nil
}

func (c *Config) setDefaults() {
	if c.Elsewhere == nil {
		c.Elsewhere = func(string, string) Elsewhere { return nil }
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Workers == 0 {
		c.Workers = 24
	}
	if c.Retry == 0 {
		c.Retry = time.Second
	}
	if c.RetryMax == 0 {
		c.RetryMax = 5 * time.Minute
	}
	if c.GiveUp == 0 {
		c.GiveUp = 24 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Run works until ctx ends.
func (r *Replicator) Run(ctx context.Context) {
	d := newDispatcher(r)
	if err := d.begin(ctx); err != nil && ctx.Err() == nil { // before more is taken in
		r.config.Log.Error("replication: counting what waits", "err", err)
	}
	var all sync.WaitGroup
	all.Go(func() { r.takeIn(ctx) })
	all.Go(func() { d.run(ctx) })
	all.Go(func() { r.walkAll(ctx) })
	all.Wait()
}

// Stats tells how far replication is.
func (r *Replicator) Stats() Stats {
	s := Stats{
		Pending: max(0, r.pending.Load()), PendingBytes: max(0, r.pendingBytes.Load()), Replicated: r.replicated.Load(),
		ReplicatedBytes: r.bytes.Load(), Failed: r.failed.Load(),
	}
	if at := r.oldest.Load(); at != 0 && s.Pending > 0 {
		s.Oldest = max(0, r.config.Now().Sub(time.UnixMilli(at)))
	}
	s.Oldest = max(s.Oldest, r.config.Feed.Behind(Consumer))
	return s
}

// turn does a unit of work when others leave room for it.
func (r *Replicator) turn(ctx context.Context, unit func(ctx context.Context) error) error {
	return r.config.Pace.Do(ctx, object.ReplicationJob, unit)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits, or tells that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
