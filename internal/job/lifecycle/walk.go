package lifecycle

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// sliceSize is how many versions or uploads are looked at in one go, and batchSize how many go in one
// commit: it holds their keys' locks, so others on those wait for it.
const (
	sliceSize = 250
	batchSize = 32
)

// counts is what a walk did.
type counts struct{ expired, removed, transitioned, aborted, kept int }

// walk is one walk through a bucket.
type walk struct {
	r      *Runner
	bucket *object.Bucket
	judge  *Judge
	grant  authz.Grant
	at     *progress
	began  time.Time
	counts counts

	// The key under way: its delete marker that may stand alone, when its next older version was
	// superseded, and how many older ones there were.
	key     string
	open    bool
	marker  *object.Info
	since   time.Time
	older   int
	deletes []*object.DeleteInput
	names   []string // of the actions in deletes
}

// run walks from where at says, and moves it on.
func (w *walk) run(ctx context.Context) error {
	if !w.at.Uploads {
		if err := w.versions(ctx); err != nil {
			return err
		}
		w.at.Uploads, w.at.After = true, nil
	}
	if w.judge.abandons() {
		if err := w.uploads(ctx); err != nil {
			return err
		}
	}
	w.at.Done = true
	return w.r.save(ctx, w.bucket.ID, w.at)
}

func (w *walk) versions(ctx context.Context) error {
	in := &object.ListVersionsInput{Bucket: w.bucket.Name, KeyMarker: string(w.at.After), Max: sliceSize, Whole: true}
	for {
		var page *object.VersionsPage
		err := w.r.turn(ctx, func(ctx context.Context) (err error) {
			if err := w.unchanged(); err != nil {
				return err
			}
			page, err = w.r.options.Objects.ListVersions(ctx, w.grant, in)
			return err
		})
		if err != nil {
			return err
		}
		for i := range page.Versions {
			if err := w.version(ctx, &page.Versions[i]); err != nil {
				return err
			}
		}
		if !page.Truncated {
			w.finishKey()
			return w.flush(ctx)
		}
		if err := w.flush(ctx); err != nil {
			return err
		}
		if err := w.r.save(ctx, w.bucket.ID, w.at); err != nil {
			return err
		}
		in.KeyMarker, in.VersionIDMarker = page.NextKeyMarker, page.NextVersionIDMarker
	}
}

// version looks at one version; they come newest first within a key.
func (w *walk) version(ctx context.Context, v *object.Info) error {
	now := w.r.options.Now()
	if !w.open || v.Key != w.key {
		w.finishKey()
		w.key, w.open = v.Key, true
	}
	var verdict verdict
	switch {
	case v.Latest && v.DeleteMarker:
		w.marker = v
	case v.Latest:
		verdict = w.judge.current(v, false, now)
	case w.since.IsZero():
		// Its successor was not seen: it came, or the key changed, since the walk passed it.
	default:
		verdict = w.judge.noncurrent(v, w.since, w.older, now)
	}
	if !v.Latest {
		w.marker = nil
		if !v.DeleteMarker {
			w.older++
		}
	}
	w.since = v.Modified
	if verdict.action != keep && w.uncopied(v) {
		return w.outcome(&Done{What: kept}, nil)
	}
	return w.do(ctx, v, verdict)
}

// uncopied tells whether a version is still to be replicated, or could not be, by a rule that its bucket has: nothing
// but it is there to be copied.
func (w *walk) uncopied(v *object.Info) bool {
	if v.Replication != object.ReplicationPending && v.Replication != object.ReplicationFailed {
		return false
	}
	conf := w.bucket.Replication()
	return conf != nil && len(conf.For(v)) > 0
}

// finishKey decides about a delete marker that stood alone.
func (w *walk) finishKey() {
	if w.marker != nil {
		if v := w.judge.current(w.marker, true, w.r.options.Now()); v.action == remove && !w.uncopied(w.marker) {
			w.delete(Removed, &object.DeleteInput{Bucket: w.bucket.Name, Key: w.marker.Key, VersionID: w.marker.VersionID, Still: w.marker})
		}
	}
	if w.open {
		w.at.After = []byte(w.key)
	}
	w.open, w.marker, w.since, w.older = false, nil, time.Time{}, 0
}

func (w *walk) do(ctx context.Context, v *object.Info, verdict verdict) error {
	switch verdict.action {
	case expire:
		w.delete(Expired, &object.DeleteInput{Bucket: w.bucket.Name, Key: v.Key, Still: v})
	case remove:
		w.delete(Removed, &object.DeleteInput{Bucket: w.bucket.Name, Key: v.Key, VersionID: v.VersionID, Still: v})
	case transition:
		return w.r.turn(ctx, func(ctx context.Context) error {
			err := w.r.options.Objects.SetStorageClass(ctx, w.grant, v, verdict.class)
			return w.outcome(&Done{What: Transitioned, Key: v.Key, VersionID: versionOf(v), Size: v.Size, Class: verdict.class}, err)
		})
	}
	if len(w.deletes) >= batchSize {
		return w.flush(ctx)
	}
	return nil
}

func (w *walk) delete(name string, in *object.DeleteInput) {
	w.deletes, w.names = append(w.deletes, in), append(w.names, name)
}

// flush deletes what was found, some at a time.
func (w *walk) flush(ctx context.Context) error {
	deletes, names := w.deletes, w.names
	w.deletes, w.names = w.deletes[:0], w.names[:0]
	for len(deletes) > 0 {
		n := min(len(deletes), batchSize)
		grants := make([]authz.Grant, n)
		for i := range grants {
			grants[i] = w.grant
		}
		err := w.r.turn(ctx, func(ctx context.Context) error {
			var failed error
			for i, out := range w.r.options.Objects.DeleteMany(ctx, grants, deletes[:n]) {
				if err := w.deleted(names[i], deletes[i], &out); err != nil && failed == nil {
					failed = err // the others of the commit went
				}
			}
			return failed
		})
		if err != nil {
			return err
		}
		deletes, names = deletes[n:], names[n:]
	}
	return nil
}

// deleted is the outcome of one deletion.
func (w *walk) deleted(name string, in *object.DeleteInput, out *object.DeleteOutcome) error {
	done := Done{What: name, Key: in.Key, Size: in.Still.Size}
	if r := out.Result; out.Err == nil {
		done.VersionID = r.VersionID
		if done.Marked = name == Expired && r.DeleteMarker; done.Marked {
			done.Size = 0 // it is still there
		}
	}
	return w.outcome(&done, out.Err)
}

// versionOf is the id that clients know the version by.
func versionOf(v *object.Info) string {
	if !v.Versioned {
		return ""
	}
	return v.VersionID
}

// outcome counts and tells. What moved on since it was seen is left to the next walk.
func (w *walk) outcome(done *Done, err error) error {
	name := done.What
	switch fault.Of(err) {
	case object.MovedOn, object.NoSuchKey, object.NoSuchVersion, object.NoSuchUpload, object.IsDeleteMarker, object.Busy:
		return nil
	case object.Protected, object.Governed, object.MFARequired:
		name, err = kept, nil
	}
	if err != nil {
		return err
	}
	*w.counts.of(name)++
	w.r.options.Count(name, 1)
	if name != kept {
		w.r.options.Tell(w.bucket, done)
	}
	return nil
}

func (c *counts) of(name string) *int {
	return map[string]*int{
		Expired: &c.expired, Removed: &c.removed, Transitioned: &c.transitioned, Aborted: &c.aborted, kept: &c.kept,
	}[name]
}

// uploads gives up what nobody completed.
func (w *walk) uploads(ctx context.Context) error {
	in := &object.ListUploadsInput{Bucket: w.bucket.Name, KeyMarker: string(w.at.After), Max: sliceSize}
	for {
		var page *object.UploadsPage
		err := w.r.turn(ctx, func(ctx context.Context) (err error) {
			if err := w.unchanged(); err != nil {
				return err
			}
			page, err = w.r.options.Objects.ListUploads(ctx, w.grant, in)
			return err
		})
		if err != nil {
			return err
		}
		now := w.r.options.Now()
		for i := range page.Uploads {
			u := &page.Uploads[i]
			if !w.judge.abandoned(u, now) {
				continue
			}
			err := w.r.turn(ctx, func(ctx context.Context) error {
				return w.outcome(&Done{What: Aborted, Key: u.Key}, w.r.options.Objects.AbortUpload(ctx, w.grant, u.Bucket, u.Key, u.UploadID))
			})
			if err != nil {
				return err
			}
		}
		if !page.Truncated {
			return nil
		}
		in.KeyMarker, in.UploadIDMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
