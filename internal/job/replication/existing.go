package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/object"
)

// walk goes through what a bucket held before a rule with ExistingObjectReplication, and through what
// failed before it was put anew.
type walk struct {
	Bucket             string
	BucketID           uint64
	KeyMarker          string `json:",omitempty"`
	VersionMarker      string `json:",omitempty"`
	Versions, Selected int64  `json:",omitempty"`
}

func walkKey(bucket uint64) []byte { return binary.BigEndian.AppendUint64([]byte(walkPrefix), bucket) }

const (
	walkPage = 250
	// walkAhead bounds the tasks that walks leave for others to work off.
	walkAhead = 10_000
	walkPause = 200 * time.Millisecond
)

// walkAll works off the walks, one after the other, in pages whose end is stored.
func (r *Replicator) walkAll(ctx context.Context) {
	for {
		err := r.walkSome(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, engine.ErrConflict):
			continue // the walk began anew meanwhile
		case err != nil:
			r.config.Log.Error("replication: existing objects", "err", err)
			pause(ctx, r.config.Retry)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-r.walks:
		}
	}
}

// walkSome goes on until no walk is left.
func (r *Replicator) walkSome(ctx context.Context) error {
	for {
		key, raw, version, err := r.firstWalk(ctx)
		if err != nil || key == nil {
			return err
		}
		var w walk
		if err := decode(raw, &w); err != nil {
			return err
		}
		for r.pending.Load() > walkAhead {
			if !pause(ctx, walkPause) {
				return ctx.Err()
			}
		}
		more, err := r.walkOn(ctx, &w)
		if err != nil {
			return err
		}
		var b engine.Batch
		b.Require(key, version)
		if !more {
			b.Delete(key)
			r.config.Log.Info("replication: existing objects are on their way", "bucket", w.Bucket, "versions", w.Versions, "selected", w.Selected)
		} else {
			if raw, err = encode(&w); err != nil {
				return err
			}
			b.Set(key, raw)
		}
		if err := r.config.Meta.Commit(ctx, &b); err != nil {
			return err
		}
	}
}

func (r *Replicator) firstWalk(ctx context.Context) (key, raw []byte, version engine.Version, err error) {
	it, err := r.config.Meta.Scan(ctx, []byte(walkPrefix), engine.PrefixEnd([]byte(walkPrefix)))
	if err != nil {
		return nil, nil, 0, err
	}
	defer it.Close()
	if it.Next() {
		return append([]byte(nil), it.Key()...), append([]byte(nil), it.Value()...), it.Version(), it.Err()
	}
	return nil, nil, 0, it.Err()
}

// walkOn takes one page of versions.
func (r *Replicator) walkOn(ctx context.Context, w *walk) (more bool, err error) {
	b, err := r.config.Objects.Bucket(w.Bucket)
	if err != nil || b.ID != w.BucketID || b.Replication() == nil {
		return false, nil
	}
	var page *object.VersionsPage
	err = r.turn(ctx, func(ctx context.Context) (err error) {
		page, err = r.config.Objects.ListVersions(ctx, r.grant, &object.ListVersionsInput{
			Bucket: w.Bucket, KeyMarker: w.KeyMarker, VersionIDMarker: w.VersionMarker, Max: walkPage,
		})
		return err
	})
	if err != nil {
		return false, err
	}
	for i := range page.Versions {
		v := &page.Versions[i]
		w.Versions++
		if v.Replication != object.NotReplicated && v.Replication != object.ReplicationFailed {
			continue
		}
		selected := false
		err := r.turn(ctx, func(ctx context.Context) (err error) {
			selected, err = r.selectExisting(ctx, b, v)
			return err
		})
		if err != nil {
			return false, err
		}
		if selected {
			w.Selected++
		}
	}
	w.KeyMarker, w.VersionMarker = page.NextKeyMarker, page.NextVersionIDMarker
	return page.Truncated, nil
}

// selectExisting makes the tasks of a version that was there before the rule. Another endpoint takes for
// current what comes last: it gets no version that is not.
func (r *Replicator) selectExisting(ctx context.Context, b *object.Bucket, v *object.Info) (bool, error) {
	in := object.GetInput{Bucket: b.Name, Key: v.Key, VersionID: v.VersionID}
	info, err := r.config.Objects.Source(ctx, r.grant, &in)
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var rules []*object.ReplicationRule
	for _, rule := range b.Replication().For(info) {
		if rule.Existing() && (info.Latest || r.config.Elsewhere(rule.Destination.BucketName(), b.Owner.Account) == nil) {
			rules = append(rules, rule)
		}
	}
	if len(rules) == 0 {
		return false, nil
	}
	t := task{Bucket: b.Name, BucketID: b.ID, Key: v.Key, Version: v.VersionID, Marker: v.DeleteMarker, Existing: true, Size: v.Size}
	tasks := t.to(rules)
	r.ledger.Lock()
	defer r.ledger.Unlock()
	var failed error
	err = r.config.Objects.SetReplicationStatus(ctx, r.grant, &in, b.ID, object.ReplicationPending, func(batch *engine.Batch) {
		failed = r.add(ctx, batch, tasks)
	})
	if err = errors.Join(err, failed); err == nil {
		r.added(tasks)
	}
	return true, err
}
