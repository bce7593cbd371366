// Package feed is the change feed: every committed change to a bucket, an object that somebody asked
// about, a policy, a key or a principal, in the order of its commits.
//
// An entry is written by the commit that makes the change, so there is no change without its entry
// and no entry without its change, whatever crashes. Consumers read in order, each with a cursor of
// its own that is stored; an entry is given again until its consumer has said that it is done with
// it (at least once), and is forgotten when all have. What a consumer made nothing of may be given again
// after a crash, if it was the last it read.
package feed

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/policy"
)

// Kind says what changed.
type Kind string

// The kinds. Detail of each is what its writer documents.
const (
	Bucket   Kind = "s3.bucket"   // a bucket was made, configured or deleted; Resource is its name
	Account  Kind = "s3.account"  // what is configured for all buckets of an account; Resource is its id
	Object   Kind = "s3.object"   // an object version came, went or changed; Resource is bucket/key
	Identity Kind = "iam.entity"  // an entity of IAM or Organizations; Resource is its ARN
	Key      Kind = "kms.key"     // a KMS key, its policy, grants or aliases; Resource is its ARN
	Trail    Kind = "audit.trail" // a trail; Resource is its ARN
	// Policy: the policy of a queue, a topic or a function came, changed or went, in which case the entry says Gone;
	// Resource is the ARN of what has it. There is neither Before nor After.
	Policy Kind = "resource.policy"
)

// Entry is one change.
type Entry struct {
	// Seq is the entry's place; ascending, not dense. Set by the Feed.
	Seq  uint64 `json:"-"`
	Time time.Time
	Kind Kind
	// Operation is the API operation that made the change ("PutBucketPolicy"), or the background
	// job's name.
	Operation string
	// Account that owns the resource, and the resource.
	Account, Resource string
	Gone              bool `json:",omitempty"` // the resource was deleted
	// Who and whence, as in the audit event of the request.
	Actor                                     policy.Principal
	AccessKey, RequestID, SourceIP, UserAgent string `json:",omitempty"`
	// Before and After are the resource's state in the form that Kind's writer documents, where it
	// gives them.
	Before, After json.RawMessage `json:",omitempty"`

	memo *memo
}

// memo keeps what somebody made of an entry, for all consumers that read it from memory.
type memo struct {
	once sync.Once
	made any
}

// Memo gives what make made of the entry, made once for all consumers as far as possible: nobody may change it. There
// is one memo: its only user is package posture.
func (e *Entry) Memo(make func() any) any {
	if e.memo == nil {
		return make()
	}
	e.memo.once.Do(func() { e.memo.made = make() })
	return e.memo.made
}

// Made begins an entry from the audit event of the request that makes the change.
func Made(kind Kind, ev *audit.Event) Entry {
	e := Entry{Kind: kind}
	if ev != nil {
		e.Operation, e.Actor, e.AccessKey = ev.Operation, ev.Principal, ev.AccessKey
		e.RequestID, e.SourceIP, e.UserAgent = ev.RequestID, ev.SourceIP, ev.UserAgent
		if e.SourceIP == "" && ev.Peer.IsValid() {
			e.SourceIP = ev.Peer.String()
		}
	}
	return e
}

const (
	entryPrefix  = "f/e/"
	cursorPrefix = "f/c/"
	format       = 1
)

var errEntry = errors.New("feed: an entry does not decode")

// Feed writes and reads entries. Safe for concurrent use.
type Feed struct {
	meta engine.Meta
	now  func() time.Time
	// consumers by name; the map never changes.
	consumers map[string]*consumer

	mu   sync.Mutex
	last uint64
	// newest is the place of the newest entry, 0 when there was none.
	newest uint64
	// pending are the places given to commits that have not ended: nobody reads beyond the first.
	pending map[uint64]struct{}
	// changed is closed and replaced when a commit has ended.
	changed chan struct{}
	recent  recent
	// forgotten is the place up to which entries were taken away, dueToSave that a timer runs for save.
	forgotten uint64
	dueToSave bool
}

// consumer is how far one has come.
type consumer struct {
	// saving is held while the cursor is written, so that an older one is never written over a newer.
	saving sync.Mutex
	// at is the cursor, saved the one that is stored. Under the feed's mu.
	at, saved uint64
}

// Open continues the feed that meta holds. Consumers are all names that will ever be read under: an
// entry is kept until each of them is done with it, and the cursor of a name that is no longer among
// them is forgotten. A new consumer begins with what comes next.
func Open(ctx context.Context, meta engine.Meta, consumers ...string) (*Feed, error) {
	f := &Feed{meta: meta, now: time.Now, pending: map[uint64]struct{}{}, changed: make(chan struct{}), consumers: map[string]*consumer{}}
	stored, err := loadCursors(ctx, meta)
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	if err := f.findLast(ctx, stored); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	f.recent.from = f.last
	var b engine.Batch
	for _, name := range consumers {
		at, ok := stored[name]
		if !ok {
			at = f.last
			b.Set(cursorKey(name), cursorValue(at))
		}
		f.consumers[name] = &consumer{at: at, saved: at}
		delete(stored, name)
	}
	for name := range stored {
		b.Delete(cursorKey(name))
	}
	if len(b.Writes) == 0 {
		return f, nil
	}
	return f, meta.Commit(ctx, &b)
}

func cursorKey(name string) []byte { return []byte(cursorPrefix + name) }

func cursorValue(at uint64) []byte { return binary.BigEndian.AppendUint64(nil, at) }

func loadCursors(ctx context.Context, meta engine.Meta) (map[string]uint64, error) {
	cursors := map[string]uint64{}
	return cursors, engine.Each(ctx, meta, cursorPrefix, func(key, value []byte, _ engine.Version) error {
		if len(value) != 8 {
			return errEntry
		}
		cursors[string(key[len(cursorPrefix):])] = binary.BigEndian.Uint64(value)
		return nil
	})
}

// findLast sets the place after which new entries go. Places are times in nanoseconds, so that a feed
// whose entries were all forgotten still ascends; a clock turned back is overruled by what is stored.
func (f *Feed) findLast(ctx context.Context, cursors map[string]uint64) error {
	f.last = uint64(f.now().UnixNano())
	for _, at := range cursors {
		f.last = max(f.last, at)
	}
	return engine.Each(ctx, f.meta, entryPrefix, func(key, _ []byte, _ engine.Version) error {
		f.newest = placeOf(key)
		f.last = max(f.last, f.newest)
		return nil
	})
}

func placeKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte(entryPrefix), seq) }

func placeOf(key []byte) uint64 {
	if len(key) != len(entryPrefix)+8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(entryPrefix):])
}

// Add writes e with the commit of b. Call done when that commit has ended, however it ended;
// until then consumers wait. An entry whose commit is tried again is added again. Nobody may change
// Before and After any more.
func (f *Feed) Add(b *engine.Batch, e Entry) (done func(), err error) {
	if f == nil {
		return func() {}, nil
	}
	if e.Time.IsZero() {
		e.Time = f.now()
	}
	e.Time = e.Time.Round(0).UTC() // as it is read back
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	f.mu.Lock()
	f.last = max(f.last+1, uint64(f.now().UnixNano()))
	e.Seq, e.memo = f.last, &memo{}
	f.newest = e.Seq
	f.pending[e.Seq] = struct{}{}
	f.mu.Unlock()
	b.Set(placeKey(e.Seq), append([]byte{format}, raw...))
	return sync.OnceFunc(func() { f.ended(b, &e) }), nil
}

// AddPolicy is Add for a policy of account's resource, if it changed: was and is tell one policy from another, "" is
// none. ev is the audit event of the request that changes it.
func (f *Feed) AddPolicy(b *engine.Batch, ev *audit.Event, account, arn, was, is string) (done func(), err error) {
	if was == is {
		return func() {}, nil
	}
	e := Made(Policy, ev)
	e.Account, e.Resource, e.Gone = account, arn, is == ""
	return f.Add(b, e)
}

// ended takes an entry into memory if its commit is known to have succeeded; else, whether there is one is
// asked of the engine.
func (f *Feed) ended(b *engine.Batch, e *Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pending, e.Seq)
	if b.Version != 0 && len(f.consumers) > 0 {
		f.recent.add(e)
	} else {
		f.recent.begin(e.Seq)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// horizon is the place up to which everything has been decided. Under mu.
func (f *Feed) horizon() uint64 {
	limit := f.last
	for seq := range f.pending {
		limit = min(limit, seq-1)
	}
	return limit
}

// Next gives the oldest entries, at most most, that consumer is not done with. It waits until there
// is one, or ctx ends.
func (f *Feed) Next(ctx context.Context, consumer string, most int) ([]Entry, error) {
	c := f.consumers[consumer]
	if c == nil {
		return nil, notAConsumer(consumer)
	}
	for {
		f.mu.Lock()
		at, limit, changed := c.at, f.horizon(), f.changed
		entries, known := f.recent.between(at, limit, most)
		f.mu.Unlock()
		var err error
		if !known {
			entries, err = f.read(ctx, at, limit, most)
		}
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		f.passed(c, limit)
		select {
		case <-ctx.Done():
			f.save()
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// passed notes that there is nothing for c up to limit: what was to come there failed.
func (f *Feed) passed(c *consumer, limit uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.at = max(c.at, limit)
}

func notAConsumer(name string) error { return fmt.Errorf("feed: %q is not a consumer", name) }

// read gives entries that memory does not have any more.
func (f *Feed) read(ctx context.Context, at, limit uint64, most int) ([]Entry, error) {
	if at >= limit {
		return nil, nil
	}
	it, err := f.meta.Scan(ctx, placeKey(at+1), placeKey(limit+1))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var entries []Entry
	for len(entries) < most && it.Next() {
		e, err := decode(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, it.Err()
}

func decode(key, value []byte) (Entry, error) {
	var e Entry
	if len(value) < 1 || value[0] != format {
		return e, fmt.Errorf("%w: place %d", errEntry, placeOf(key))
	}
	if err := json.Unmarshal(value[1:], &e); err != nil {
		return e, fmt.Errorf("%w: place %d: %w", errEntry, placeOf(key), err)
	}
	e.Seq, e.memo = placeOf(key), &memo{}
	return e, nil
}

// Done says that consumer is done with everything up to and including seq. With extra, what the
// consumer made of the entries is written in the same commit, so that it happens once. Without
// anything to write, the cursor is written soon.
func (f *Feed) Done(ctx context.Context, consumer string, seq uint64, extra *engine.Batch) error {
	c := f.consumers[consumer]
	if c == nil {
		return notAConsumer(consumer)
	}
	if extra == nil || len(extra.Writes)+len(extra.Expect) == 0 {
		f.moved(c, seq, false)
		return nil
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	b := *extra
	b.Set(cursorKey(consumer), cursorValue(seq))
	if err := f.meta.Commit(ctx, &b); err != nil {
		return err
	}
	f.moved(c, seq, true)
	return nil
}

// saveAfter is how soon cursors are written that moved without anything to write, and entries taken away
// that all consumers are done with: for many of them together.
const saveAfter = 100 * time.Millisecond

func (f *Feed) moved(c *consumer, seq uint64, saved bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.at = max(c.at, seq)
	if saved {
		c.saved = max(c.saved, seq)
	}
	f.recent.begin(f.slowest())
	if !f.dueToSave {
		f.dueToSave = true
		time.AfterFunc(saveAfter, f.save)
	}
}

// slowest is the place that all consumers are done with. Under mu.
func (f *Feed) slowest() uint64 {
	at := f.last
	for _, c := range f.consumers {
		at = min(at, c.at)
	}
	return at
}

// save writes what is due. A failure costs nothing but work that is done twice: it is due again with the
// next move.
func (f *Feed) save() {
	var b engine.Batch
	var then []func()
	f.mu.Lock()
	f.dueToSave = false
	for name, c := range f.consumers {
		if c.at == c.saved || !c.saving.TryLock() { // whoever holds it is writing a newer one
			continue
		}
		defer c.saving.Unlock()
		at := c.at
		b.Set(cursorKey(name), cursorValue(at))
		then = append(then, func() { c.saved = at })
	}
	if done := f.slowest(); done > f.forgotten && len(f.consumers) > 0 {
		b.DeleteRange(placeKey(f.forgotten), placeKey(done+1))
		then = append(then, func() { f.forgotten = done })
	}
	f.mu.Unlock()
	if len(b.Writes) == 0 {
		return
	}
	b.Lazy = true
	if f.meta.Commit(context.Background(), &b) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fn := range then {
		fn()
	}
}

// maxBatch is the size of what was made of entries after which a commit does not wait for more of them.
const maxBatch = 8 << 20

// Weight weighs what a consumer makes of entries: rules multiply a change, and one commit must not hold
// what a hundred made.
type Weight struct{ counted, bytes int }

// Full tells whether b holds so much that it is to be committed before a further entry is looked at.
func (w *Weight) Full(b *engine.Batch) bool {
	for ; w.counted < len(b.Writes); w.counted++ {
		w.bytes += len(b.Writes[w.counted].Value)
	}
	return w.bytes > maxBatch
}

// Behind is how long the oldest entry has been waiting for the consumer. For one that is further behind than memory
// reaches it is how far its place lies before the newest entry's.
func (f *Feed) Behind(consumer string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.consumers[consumer]
	if c == nil || c.at >= f.newest {
		return 0
	}
	oldest, known := f.recent.between(c.at, f.horizon(), 1)
	switch {
	case !known:
		return time.Duration(f.newest - c.at)
	case len(oldest) == 0:
		return 0
	}
	return max(0, time.Duration(f.now().UnixNano()-int64(oldest[0].Seq)))
}
