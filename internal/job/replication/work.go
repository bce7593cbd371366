package replication

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/object"
)

const (
	scanSize = 256
	// scanRows bounds the rows that one look at the queue passes over because their lane is busy.
	scanRows = 4096
	// fullScan is how often the queue is looked at from its start.
	fullScan = 2 * time.Second
	// ageScan is how often the oldest of the first agedRows tasks is looked for.
	ageScan  = 10 * time.Second
	agedRows = 4096
)

// dispatcher gives tasks to workers, those of a lane one by one and in their order. A lane whose first
// task has to wait is parked: all its tasks stand in rows of their own until they are through. The fields
// are its own goroutine's.
type dispatcher struct {
	r       *Replicator
	ready   []*task
	running map[lane]bool
	parked  map[lane]time.Time // until when
	floor   []byte             // no row of a task lies before it
	// fulled, aged and awoke are when the queue was looked at from its start, for its age, and for
	// parked lanes.
	fulled, aged, awoke time.Time
	work, done          chan *task
}

func newDispatcher(r *Replicator) *dispatcher {
	return &dispatcher{
		r: r, running: map[lane]bool{}, parked: map[lane]time.Time{}, work: make(chan *task), done: make(chan *task, r.config.Workers),
	}
}

// begin finds out how much is waiting, and which lanes are parked. They are tried at once: what kept
// them may be over.
func (d *dispatcher) begin(ctx context.Context) error {
	count := func(row []byte, t *task) {
		d.r.pending.Add(1)
		d.r.pendingBytes.Add(t.Size)
		if number := binary.BigEndian.Uint64(row[len(row)-8:]); number > d.r.last.Load() {
			d.r.last.Store(number) // the clock was turned back
		}
	}
	if err := d.each(ctx, taskPrefix, math.MaxInt, count); err != nil {
		return err
	}
	return d.each(ctx, parkedPrefix, math.MaxInt, func(row []byte, t *task) {
		count(row, t)
		if l, ok := parkedLane(row); ok {
			d.parked[l] = d.r.config.Now()
		}
	})
}

// run works tasks off until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	r := d.r
	var workers sync.WaitGroup
	for range r.config.Workers {
		workers.Go(func() {
			for t := range d.work {
				r.carry(ctx, t)
				d.done <- t
			}
		})
	}
	for ctx.Err() == nil {
		if err := d.turn(ctx); err != nil && ctx.Err() == nil {
			r.config.Log.Error("replication: reading the queue", "err", err)
			pause(ctx, r.config.Retry)
		}
	}
	close(d.work)
	go func() {
		for range d.done { // let workers end
		}
	}()
	workers.Wait()
	close(d.done)
}

// turn gives out one task, or waits until there may be one.
func (d *dispatcher) turn(ctx context.Context) error {
	if len(d.ready) == 0 {
		if err := d.look(ctx); err != nil {
			return err
		}
	}
	var work chan *task
	var first *task
	wait := fullScan
	if len(d.ready) > 0 {
		work, first = d.work, d.ready[0]
	}
	if len(d.parked) > 0 {
		wait = d.r.parkedScan()
	}
	tick := time.NewTimer(wait)
	defer tick.Stop()
	select {
	case work <- first:
		d.ready = d.ready[1:]
	case t := <-d.done:
		d.ended(t)
	case <-d.r.wake:
	case <-tick.C:
	case <-ctx.Done():
	}
	return nil
}

// parkedScan is how often parked lanes are looked through.
func (r *Replicator) parkedScan() time.Duration { return min(r.config.Retry/4, 250*time.Millisecond) }

func (d *dispatcher) ended(t *task) {
	l := t.lane()
	delete(d.running, l)
	if _, parked := d.parked[l]; t.again {
		d.parked[l] = time.UnixMilli(t.Due)
	} else if parked {
		d.parked[l], d.awoke = d.r.config.Now(), time.Time{} // on with the next of the lane
	}
}

// look finds tasks whose lanes are free.
func (d *dispatcher) look(ctx context.Context) error {
	now := d.r.config.Now()
	if now.Sub(d.aged) >= ageScan {
		d.aged = now
		if err := d.age(ctx); err != nil {
			return err
		}
	}
	if len(d.parked) > 0 && now.Sub(d.awoke) >= d.r.parkedScan() {
		d.awoke = now
		if err := d.unpark(ctx, now); err != nil {
			return err
		}
	}
	return d.lookThrough(ctx, now)
}

// unpark takes the first task of each parked lane whose time has come. A lane without tasks is parked
// no more.
func (d *dispatcher) unpark(ctx context.Context, now time.Time) error {
	for l, until := range d.parked {
		if len(d.ready) >= scanSize {
			return nil
		}
		if d.running[l] || until.After(now) {
			continue
		}
		t, err := d.firstOf(ctx, l)
		if err != nil {
			return err
		}
		if t == nil {
			delete(d.parked, l)
			continue
		}
		d.running[l] = true
		d.ready = append(d.ready, t)
	}
	return nil
}

func (d *dispatcher) firstOf(ctx context.Context, l lane) (first *task, err error) {
	err = d.each(ctx, string(lanePrefix(l)), 1, func(row []byte, t *task) {
		first = t
		first.row = bytes.Clone(row)
	})
	return first, err
}

// lookThrough goes through the tasks that are not parked.
func (d *dispatcher) lookThrough(ctx context.Context, now time.Time) error {
	lo := []byte(taskPrefix)
	if now.Sub(d.fulled) < fullScan && d.floor != nil {
		lo = d.floor
	} else {
		d.fulled = now
	}
	it, err := d.r.config.Meta.Scan(ctx, lo, engine.PrefixEnd([]byte(taskPrefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	d.floor = nil
	last := lo
	var behind []*task
	for rows := 0; len(d.ready) < scanSize && rows < scanRows && it.Next(); rows++ {
		last = bytes.Clone(it.Key())
		if d.floor == nil {
			d.floor = last
		}
		t := &task{row: last}
		if err := decode(it.Value(), t); err != nil {
			d.r.config.Log.Error("replication: a task is passed over", "row", fmt.Sprintf("%x", it.Key()), "err", err)
			continue
		}
		l := t.lane()
		if _, parked := d.parked[l]; parked {
			behind = append(behind, t)
			continue
		}
		if d.running[l] {
			continue
		}
		d.running[l] = true
		d.ready = append(d.ready, t)
	}
	if d.floor == nil {
		d.floor = last
	}
	if err := it.Err(); err != nil {
		return err
	}
	return d.parkBehind(ctx, behind)
}

// parkBehind parks tasks of parked lanes.
func (d *dispatcher) parkBehind(ctx context.Context, tasks []*task) error {
	if len(tasks) == 0 {
		return nil
	}
	b := engine.Batch{Lazy: true}
	for _, t := range tasks {
		raw, err := encode(t)
		if err != nil {
			return err
		}
		b.Delete(t.row)
		b.Set(t.parkedRow(), raw)
	}
	return d.r.config.Meta.Commit(ctx, &b)
}

// age finds out how long the oldest of the first tasks has been waiting, and how long one has been waiting for
// nothing but its turn: what keeps a parked lane is its destination, which more turns would not open.
func (d *dispatcher) age(ctx context.Context) error {
	now := d.r.config.Now()
	oldest, free := now, now
	err := d.each(ctx, taskPrefix, 1, func(_ []byte, t *task) {
		oldest = earlier(oldest, time.UnixMilli(t.Added))
		free = oldest
	})
	if err == nil {
		err = d.each(ctx, parkedPrefix, agedRows, func(row []byte, t *task) {
			added := time.UnixMilli(t.Added)
			oldest = earlier(oldest, added)
			if l, ok := parkedLane(row); ok {
				if until := d.parked[l]; added.Before(until) {
					added = until
				}
			}
			free = earlier(free, added)
		})
	}
	at := int64(0)
	if oldest.Before(now) {
		at = oldest.UnixMilli()
	}
	d.r.oldest.Store(at)
	d.r.config.Pace.Behind(object.ReplicationJob, max(now.Sub(free), d.r.config.Feed.Behind(Consumer)))
	return err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (d *dispatcher) each(ctx context.Context, prefix string, most int, fn func(row []byte, t *task)) error {
	it, err := d.r.config.Meta.Scan(ctx, []byte(prefix), engine.PrefixEnd([]byte(prefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	for n := 0; n < most && it.Next(); n++ {
		t := &task{}
		if decode(it.Value(), t) == nil {
			fn(it.Key(), t)
		}
	}
	return it.Err()
}

// carry makes one replica, and writes down what became of it.
func (r *Replicator) carry(ctx context.Context, t *task) {
	err := r.replicate(ctx, t)
	if ctx.Err() != nil {
		return // it stays as it is
	}
	for {
		ended := r.turn(ctx, func(ctx context.Context) error { return r.settle(ctx, t, err) })
		if ended == nil || ctx.Err() != nil {
			return
		}
		r.config.Log.Error("replication: writing down what became of a version", "bucket", t.Bucket, "key", t.Key, "err", ended)
		pause(ctx, r.config.Retry)
	}
}

// What no further try changes.
var (
	errNoRule = &Refusal{Reason: "no rule of the bucket is about the version any more"}
	errOlder  = &Refusal{Reason: "the version is no longer current, and another endpoint would take it for that"}
)

func (r *Replicator) replicate(ctx context.Context, t *task) error {
	b, err := r.config.Objects.Bucket(t.Bucket)
	if err != nil || b.ID != t.BucketID {
		return &Refusal{Reason: "the bucket is gone", Gone: true}
	}
	conf := b.Replication()
	if conf == nil || t.To == "" {
		return errNoRule
	}
	rule, err := r.ruleOf(ctx, conf, t)
	if err != nil {
		return err
	}
	as, err := r.config.Assume(ctx, conf.Role, b)
	if err != nil {
		return err
	}
	c := Copy{Source: t.source(), SourceID: t.BucketID, Rule: rule, DeleteMarker: t.Marker}
	name := rule.Destination.BucketName()
	// A configured target comes first: whoever may make buckets here must not become the destination by
	// taking its name.
	if to := r.config.Elsewhere(name, b.Owner.Account); to != nil {
		return r.sendElsewhere(ctx, as, t, c, to)
	}
	return r.turn(ctx, func(ctx context.Context) error { return r.config.Replicate(ctx, as, c) })
}

// ruleOf is the rule of a task. Whoever puts a configuration anew may give its rules other names: then it is
// the rule that takes the version to the same place.
func (r *Replicator) ruleOf(ctx context.Context, conf *object.Replication, t *task) (*object.ReplicationRule, error) {
	if rule := conf.Rule(t.Rule); rule != nil && rule.Destination.Bucket == t.To {
		return rule, nil
	}
	in := t.source()
	info, err := r.config.Objects.Source(ctx, r.grant, &in)
	if absent(err) {
		return nil, errNoRule
	}
	if err != nil {
		return nil, err
	}
	for _, rule := range conf.For(info) {
		if rule.Destination.Bucket == t.To && (info.Replication != object.Replica || rule.SyncsReplicas()) {
			return rule, nil
		}
	}
	return nil, errNoRule
}

func (r *Replicator) sendElsewhere(ctx context.Context, as *authz.Subject, t *task, c Copy, to Elsewhere) error {
	var info *object.Info
	var body io.ReadCloser
	err := r.turn(ctx, func(ctx context.Context) (err error) {
		info, body, err = r.config.Open(ctx, as, c)
		return err
	})
	if err != nil {
		return err
	}
	defer body.Close()
	by := &c.Rule.Destination
	switch {
	case t.Existing && !info.Latest:
		return errOlder
	case t.Marker:
		return to.Delete(ctx, by, t.Key)
	case !t.Tagged:
		return to.Put(ctx, by, info, r.config.Pace.Reader(ctx, object.ReplicationJob, body))
	case info.Latest:
		return to.Tag(ctx, by, t.Key, info.Tags)
	}
	return nil // tags of what is no longer current there
}

// settle writes down what became of a task.
func (r *Replicator) settle(ctx context.Context, t *task, failed error) error {
	var refused *Refusal
	isRefused := errors.As(failed, &refused)
	now := r.config.Now()
	switch {
	case failed == nil:
		if err := r.finish(ctx, t, object.ReplicationCompleted); err != nil {
			return err
		}
		r.replicated.Add(1)
		r.bytes.Add(t.Size)
		return nil
	case isRefused && refused.Gone:
		return r.finish(ctx, t, object.NotReplicated)
	case failed == errNoRule, failed == errOlder, now.Sub(time.UnixMilli(t.Added)) > r.config.GiveUp:
		r.failed.Add(1)
		r.config.Log.Error("replication: given up", "bucket", t.Bucket, "key", t.Key, "version", t.Version, "to", t.To, "tries", t.Tries+1, "err", failed)
		return r.finish(ctx, t, object.ReplicationFailed)
	}
	return r.again(ctx, t, failed, isRefused)
}

// again queues a task for another try. A refusal shows in the version's status at once.
func (r *Replicator) again(ctx context.Context, t *task, failed error, refused bool) error {
	r.failed.Add(1)
	next := *t
	next.Tries++
	next.Due = r.config.Now().Add(r.backoff(next.Tries)).UnixMilli()
	if next.Error = failed.Error(); len(next.Error) > 300 {
		next.Error = next.Error[:300]
	}
	raw, err := encode(&next)
	if err != nil {
		return err
	}
	row := t.parkedRow()
	write := func(b *engine.Batch) {
		b.Delete(t.row)
		b.Set(row, raw)
	}
	r.config.Log.Warn("replication: to be tried again", "bucket", t.Bucket, "key", t.Key, "version", t.Version, "to", t.To, "tries", next.Tries, "err", failed)
	if refused {
		in := t.source()
		err = r.config.Objects.SetReplicationStatus(ctx, r.grant, &in, t.BucketID, object.ReplicationFailed, write)
	} else {
		b := engine.Batch{Lazy: true}
		write(&b)
		err = r.config.Meta.Commit(ctx, &b)
	}
	if err == nil {
		t.again, t.Due = true, next.Due
	}
	return err
}

// backoff doubles from Retry to RetryMax, less up to a fifth, so that what failed together does not
// come back together.
func (r *Replicator) backoff(tries int) time.Duration {
	d := r.config.RetryMax
	if shift := tries - 1; shift < 20 {
		d = min(d, r.config.Retry<<shift)
	}
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}

// finish ends a task with what became of the version; NotReplicated: it is gone. The status of a
// version with several destinations is settled by the last of them.
func (r *Replicator) finish(ctx context.Context, t *task, status object.ReplicationStatus) error {
	in := t.source()
	remove := func(b *engine.Batch) { b.Delete(t.row) }
	if t.Shared {
		r.ledger.Lock()
		defer r.ledger.Unlock()
		l, _, err := r.readLedger(ctx, t.ledgerKey())
		if err != nil {
			return err
		}
		l.Left--
		l.Failed = l.Failed || status == object.ReplicationFailed
		if l.Failed && status != object.NotReplicated {
			status = object.ReplicationFailed
		}
		raw, err := encode(l)
		if err != nil {
			return err
		}
		last := l.Left <= 0
		remove = func(b *engine.Batch) {
			b.Delete(t.row)
			if last {
				b.Delete(t.ledgerKey())
			} else {
				b.Set(t.ledgerKey(), raw)
			}
		}
		if !last && status == object.ReplicationCompleted {
			status = object.NotReplicated
		}
	}
	var err error
	if status == object.NotReplicated {
		b := engine.Batch{Lazy: true}
		remove(&b)
		err = r.config.Meta.Commit(ctx, &b)
	} else {
		err = r.config.Objects.SetReplicationStatus(ctx, r.grant, &in, t.BucketID, status, remove)
	}
	if err != nil {
		return err
	}
	r.pending.Add(-1)
	r.pendingBytes.Add(-t.Size)
	return nil
}
