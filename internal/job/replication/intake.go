package replication

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/object"
)

const (
	intakeSize  = 100
	intakePause = time.Second
	// turnsEach are those of one task: to make the replica, and to write down what became of it.
	turnsEach = 2
	// replicaOperation is what the feed calls our own copies.
	replicaOperation = "ReplicateObject"
	// settingName is in the record of each bucket that has a replication configuration.
	settingName = `"` + object.SettingReplication + `"`
)

// takeIn makes tasks of the feed's entries.
func (r *Replicator) takeIn(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.takeSome(ctx); err != nil && ctx.Err() == nil {
			r.config.Log.Error("replication: taking changes in", "err", err)
			pause(ctx, intakePause)
		}
	}
}

func (r *Replicator) takeSome(ctx context.Context) error {
	entries, err := r.config.Feed.Next(ctx, Consumer, intakeSize)
	if err != nil {
		return err
	}
	var b engine.Batch
	var made []*task
	walk := false
	for i := range entries {
		e := &entries[i]
		switch e.Kind {
		case feed.Bucket:
			began, err := r.noticeBucket(&b, e)
			if err != nil {
				return err
			}
			walk = walk || began
		case feed.Object:
			tasks, err := r.tasksOf(ctx, e)
			if err != nil {
				return err
			}
			made = append(made, tasks...)
		}
	}
	r.ledger.Lock() // until the ledgers that add read are written
	defer r.ledger.Unlock()
	if err := r.add(ctx, &b, made); err != nil {
		return err
	}
	if err := r.config.Feed.Done(ctx, Consumer, entries[len(entries)-1].Seq, &b); err != nil {
		return err
	}
	r.added(made)
	// What is copied as it comes keeps up with whoever writes it, however busy the server is.
	r.config.Pace.Credit(object.ReplicationJob, turnsEach*len(made))
	if walk {
		signal(r.walks)
	}
	return nil
}

// add writes tasks, and the ledgers of versions that have several, with the commit of b. The caller
// holds r.ledger until that has ended.
func (r *Replicator) add(ctx context.Context, b *engine.Batch, tasks []*task) error {
	now := r.config.Now()
	ledgers := map[string]*ledger{}
	for _, t := range tasks {
		t.Added = now.UnixMilli()
		raw, err := encode(t)
		if err != nil {
			return err
		}
		b.Set(rowOf(r.next()), raw)
		if !t.Shared {
			continue
		}
		key := string(t.ledgerKey())
		l, ok := ledgers[key]
		if !ok {
			if l, _, err = r.readLedger(ctx, []byte(key)); err != nil {
				return err
			}
			ledgers[key] = l
		}
		l.Left++
	}
	for key, l := range ledgers {
		raw, err := encode(l)
		if err != nil {
			return err
		}
		b.Set([]byte(key), raw)
	}
	return nil
}

func (r *Replicator) readLedger(ctx context.Context, key []byte) (*ledger, engine.Version, error) {
	l := &ledger{}
	raw, version, err := r.config.Meta.Get(ctx, key, nil)
	if err != nil || version == 0 {
		return l, 0, err
	}
	return l, version, decode(raw, l)
}

// added counts tasks whose commit has succeeded, and wakes whoever works them off.
func (r *Replicator) added(tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	var size int64
	for _, t := range tasks {
		size += t.Size
	}
	r.pending.Add(int64(len(tasks)))
	r.pendingBytes.Add(size)
	signal(r.wake)
}

// tasksOf are the destinations of a changed version.
func (r *Replicator) tasksOf(ctx context.Context, e *feed.Entry) ([]*task, error) {
	var c object.Change
	if err := json.Unmarshal(e.After, &c); err != nil {
		r.config.Log.Error("replication: an entry of the feed does not decode", "resource", e.Resource, "err", err)
		return nil, nil
	}
	created := strings.HasPrefix(c.Event, "ObjectCreated:") || c.Event == "ObjectRemoved:DeleteMarkerCreated"
	changed := strings.HasPrefix(c.Event, "ObjectTagging:") || strings.HasPrefix(c.Event, "ObjectAcl:") || strings.HasPrefix(c.Event, "ObjectLock:")
	pending := c.ReplicationStatus == object.ReplicationPending.String() && (created || changed)
	back := c.Replica && changed && e.Operation != replicaOperation
	if !pending && !back {
		return nil, nil
	}
	b, err := r.config.Objects.Bucket(c.Bucket)
	if err != nil || b.ID != c.BucketID {
		return nil, nil // the bucket is gone, and the version with it
	}
	t := task{Bucket: c.Bucket, BucketID: c.BucketID, Key: c.Key, Version: c.VersionID, Marker: c.DeleteMarker, Tagged: changed && !c.Unsent, Existing: c.Unsent, Size: c.Size}
	rules, err := r.rulesFor(ctx, b, &t, pending)
	if err != nil {
		return nil, err
	}
	if back {
		rules = syncing(rules)
	} else if len(rules) == 0 {
		return []*task{&t}, nil // its status has to be settled
	}
	return t.to(rules), nil
}

// rulesFor are the rules that are about the version as it is now. Pending: a rule was when it was made.
func (r *Replicator) rulesFor(ctx context.Context, b *object.Bucket, t *task, pending bool) ([]*object.ReplicationRule, error) {
	conf := b.Replication()
	if conf == nil {
		return nil, nil
	}
	if pending && len(conf.Rules) == 1 && conf.Rules[0].AboutAll() {
		return []*object.ReplicationRule{&conf.Rules[0]}, nil
	}
	in := t.source()
	info, err := r.config.Objects.Source(ctx, r.grant, &in)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return conf.For(info), nil
}

func absent(err error) bool {
	k := fault.Of(err)
	return k == object.NoSuchVersion || k == object.NoSuchKey || k == object.NoSuchBucket
}

// syncing are the rules by which changes to replicas go back.
func syncing(rules []*object.ReplicationRule) (out []*object.ReplicationRule) {
	for _, rule := range rules {
		if rule.SyncsReplicas() {
			out = append(out, rule)
		}
	}
	return out
}

// to is t for each of the rules.
func (t *task) to(rules []*object.ReplicationRule) []*task {
	out := make([]*task, 0, len(rules))
	for _, rule := range rules {
		one := *t
		one.Rule, one.To, one.Shared = rule.ID, rule.Destination.Bucket, len(rules) > 1
		out = append(out, &one)
	}
	return out
}

// noticeBucket begins a walk through a bucket whose configuration came to ask for what was there
// before.
func (r *Replicator) noticeBucket(b *engine.Batch, e *feed.Entry) (began bool, err error) {
	var before, after struct {
		ID       uint64
		Settings map[string][]byte
	}
	if e.Gone || !bytes.Contains(e.After, []byte(settingName)) {
		return false, nil // most buckets, which need not be decoded for that
	}
	if err := json.Unmarshal(e.After, &after); err != nil {
		return false, err
	}
	if len(e.Before) > 0 {
		if err := json.Unmarshal(e.Before, &before); err != nil {
			return false, err
		}
	}
	raw := after.Settings[object.SettingReplication]
	if len(raw) == 0 || string(raw) == string(before.Settings[object.SettingReplication]) {
		return false, nil
	}
	conf, err := object.DecodeReplication(raw)
	if err != nil || !asksForExisting(conf) {
		return false, nil
	}
	record, err := encode(&walk{Bucket: e.Resource, BucketID: after.ID})
	if err != nil {
		return false, err
	}
	b.Set(walkKey(after.ID), record)
	return true, nil
}

func asksForExisting(conf *object.Replication) bool {
	for i := range conf.Rules {
		if conf.Rules[i].Enabled && conf.Rules[i].Existing() {
			return true
		}
	}
	return false
}
