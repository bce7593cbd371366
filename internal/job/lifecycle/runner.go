package lifecycle

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/pace"
)

// Options of a Runner.
type Options struct {
	// Objects is what expires. Required.
	Objects *object.Store
	// Meta keeps how far each walk has come. Required.
	Meta engine.Meta
	// Guard grants the work. Required.
	Guard *authz.Guard
	// Day is how long a day is. Default Day.
	Day time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Count is told of what was done: "expired", "removed", "transitioned", "aborted", "kept" (by
	// Object Lock, MFA delete or for its replication). Optional.
	Count func(what string, n int)
	// Tell is told of each thing that was done to a bucket, after it was committed; what was kept is not
	// told. It keeps nothing of what it is given, and the walk waits for it. What is done at the moment
	// of a crash may stay untold. Optional.
	Tell func(b *object.Bucket, done *Done)
	// Log says what a walk did. Default slog.Default.
	Log *slog.Logger
	// Pace gives the turns in which a walk works. Nil: at once.
	Pace *pace.Pacer
}

// What a walk does, as Count and Tell are told of it.
const (
	Expired      = "expired" // the current version was removed, or hidden under a delete marker
	Removed      = "removed" // a version, or a delete marker under which nothing was left, for good
	Transitioned = "transitioned"
	Aborted      = "aborted" // an upload
	kept         = "kept"
)

// Done is one thing that a walk did.
type Done struct {
	What string
	Key  string
	// VersionID of what was removed or moved, or of the delete marker that was made; "" where the bucket
	// never had versions, and of uploads.
	VersionID string
	// Marked: the current version was hidden under a delete marker.
	Marked bool
	// Size of the version that was removed or moved.
	Size int64
	// Class that the version has now, of a transition.
	Class string
}

// Runner walks the buckets.
type Runner struct {
	options Options
	done    map[uint64]progress // of walks that came to their end, by bucket id
}

// New makes a Runner.
func New(o Options) *Runner {
	if o.Objects == nil || o.Meta == nil || o.Guard == nil {
		panic("lifecycle: a Runner needs Objects, Meta and Guard")
	}
	if o.Day <= 0 {
		o.Day = Day
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Count == nil {
		o.Count = func(string, int) {}
	}
	if o.Tell == nil {
		o.Tell = func(*object.Bucket, *Done) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Runner{options: o, done: map[uint64]progress{}}
}

// Run works until ctx ends. It looks for due walks often enough that the rules of a bucket hold soon
// after they were stored, and that a shortened day is kept.
func (r *Runner) Run(ctx context.Context) {
	tick := time.NewTicker(max(min(r.options.Day/20, time.Minute), 10*time.Millisecond))
	defer tick.Stop()
	if err := r.sweep(ctx); err != nil && ctx.Err() == nil {
		r.options.Log.Error("lifecycle: forgetting buckets without rules", "err", err)
	}
	for {
		r.Once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Once makes the walks that are due.
func (r *Runner) Once(ctx context.Context) {
	configured := r.options.Objects.Configured(Setting)
	for _, b := range configured {
		if ctx.Err() != nil {
			return
		}
		if err := r.bucket(ctx, b); err != nil && ctx.Err() == nil {
			r.options.Log.Error("lifecycle: a bucket's walk ended early", "bucket", b.Name, "err", err)
		}
	}
	if err := r.forget(ctx, configured); err != nil && ctx.Err() == nil {
		r.options.Log.Error("lifecycle: forgetting buckets without rules", "err", err)
	}
}

// today numbers the days.
func (r *Runner) today() int64 { return r.options.Now().UnixNano() / int64(r.options.Day) }

// bucket makes the walk of a bucket, when one is due, from where it was left.
func (r *Runner) bucket(ctx context.Context, b *object.Bucket) error {
	raw := b.Settings[Setting]
	fresh := progress{Day: r.today(), Rules: sha256.Sum256(raw)}
	if done, ok := r.done[b.ID]; ok && done.same(&fresh) {
		return nil
	}
	at, err := r.load(ctx, b.ID)
	if err != nil {
		return err
	}
	if at == nil || !at.same(&fresh) {
		at = &fresh
	}
	if at.Done {
		r.done[b.ID] = fresh
		return nil
	}
	config, err := Decode(raw)
	if err != nil {
		return err
	}
	grant, err := r.grant(ctx, b)
	if err != nil {
		return err
	}
	w := &walk{r: r, bucket: b, judge: config.Judge(r.options.Day), grant: grant, at: at, began: r.options.Now()}
	err = w.run(ctx)
	w.tell(err)
	if err == nil {
		r.done[b.ID] = fresh
	}
	if errors.Is(err, errChanged) || fault.Is(err, object.NoSuchBucket) {
		return nil
	}
	return err
}

// grant is what a walk may do: nothing outside its bucket.
func (r *Runner) grant(ctx context.Context, b *object.Bucket) (authz.Grant, error) {
	bucket := authz.Resource{ARN: b.ARN(), Account: b.Owner.Account}
	keys := authz.Resource{ARN: b.ARN() + "/*", Account: b.Owner.Account}
	return r.options.Guard.System(ctx, object.LifecycleJob,
		authz.Demand{Action: "s3:ListBucketVersions", Resource: bucket},
		authz.Demand{Action: "s3:ListBucketMultipartUploads", Resource: bucket},
		authz.Demand{Action: "s3:DeleteObject", Resource: keys},
		authz.Demand{Action: "s3:DeleteObjectVersion", Resource: keys},
		authz.Demand{Action: "s3:PutObject", Resource: keys},
		authz.Demand{Action: "s3:AbortMultipartUpload", Resource: keys},
	)
}

// errChanged ends a walk whose bucket has other rules now; the next one begins with those.
var errChanged = errors.New("lifecycle: the rules changed")

// unchanged tells whether the walk's rules still hold.
func (w *walk) unchanged() error {
	b, err := w.r.options.Objects.Bucket(w.bucket.Name)
	if err != nil {
		return err
	}
	if b.ID != w.bucket.ID || sha256.Sum256(b.Settings[Setting]) != w.at.Rules {
		return errChanged
	}
	w.bucket = b // as it is now
	return nil
}

// tell logs and counts what the walk did.
func (w *walk) tell(err error) {
	if w.counts == (counts{}) {
		return
	}
	w.r.options.Log.Info("lifecycle", "bucket", w.bucket.Name, "expired", w.counts.expired, "removed", w.counts.removed,
		"transitioned", w.counts.transitioned, "aborted", w.counts.aborted, "kept", w.counts.kept,
		"took", w.r.options.Now().Sub(w.began).Round(time.Millisecond), "finished", err == nil)
}

// turn does a unit of a walk's work when others leave room for it.
func (r *Runner) turn(ctx context.Context, unit func(ctx context.Context) error) error {
	return r.options.Pace.Do(ctx, object.LifecycleJob, unit)
}
