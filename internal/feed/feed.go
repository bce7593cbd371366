// Package feed is the change feed: every committed change to a bucket, an object that somebody asked
// about, a policy, a key or a principal, in the order of its commits.
//
// An entry is written by the commit that makes the change, so there is no change without its entry
// and no entry without its change, whatever crashes. Consumers read in order, each with a cursor of
// its own that is stored; an entry is given again until its consumer has said that it is done with
// it (at least once), and is forgotten when all have.
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

	mu   sync.Mutex
	last uint64
	// newest is the place of the newest entry, 0 when there was none.
	newest uint64
	// pending are the places given to commits that have not ended: nobody reads beyond the first.
	pending map[uint64]struct{}
	// changed is closed and replaced when a commit has ended.
	changed chan struct{}
	cursors map[string]uint64
}

// Open continues the feed that meta holds. Consumers are all names that will ever be read under: an
// entry is kept until each of them is done with it, and the cursor of a name that is no longer among
// them is forgotten. A new consumer begins with what comes next.
func Open(ctx context.Context, meta engine.Meta, consumers ...string) (*Feed, error) {
	f := &Feed{meta: meta, now: time.Now, pending: map[uint64]struct{}{}, changed: make(chan struct{}), cursors: map[string]uint64{}}
	if err := f.loadCursors(ctx); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	if err := f.findLast(ctx); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	stored := f.cursors
	f.cursors = map[string]uint64{}
	var b engine.Batch
	for _, name := range consumers {
		if at, ok := stored[name]; ok {
			f.cursors[name] = at
			delete(stored, name)
			continue
		}
		f.cursors[name] = f.last
		b.Set([]byte(cursorPrefix+name), binary.BigEndian.AppendUint64(nil, f.last))
	}
	for name := range stored {
		b.Delete([]byte(cursorPrefix + name))
	}
	if len(b.Writes) == 0 {
		return f, nil
	}
	return f, meta.Commit(ctx, &b)
}

func (f *Feed) loadCursors(ctx context.Context) error {
	it, err := f.meta.Scan(ctx, []byte(cursorPrefix), engine.PrefixEnd([]byte(cursorPrefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		if len(it.Value()) != 8 {
			return fmt.Errorf("%w: cursor %q", errEntry, it.Key())
		}
		f.cursors[string(it.Key()[len(cursorPrefix):])] = binary.BigEndian.Uint64(it.Value())
	}
	return it.Err()
}

// findLast sets the place after which new entries go. Places are times in nanoseconds, so that a feed
// whose entries were all forgotten still ascends; a clock turned back is overruled by what is stored.
func (f *Feed) findLast(ctx context.Context) error {
	f.last = uint64(f.now().UnixNano())
	for _, at := range f.cursors {
		f.last = max(f.last, at)
	}
	it, err := f.meta.Scan(ctx, []byte(entryPrefix), engine.PrefixEnd([]byte(entryPrefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		f.newest = placeOf(it.Key())
		f.last = max(f.last, f.newest)
	}
	return it.Err()
}

func placeKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte(entryPrefix), seq) }

func placeOf(key []byte) uint64 {
	if len(key) != len(entryPrefix)+8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(entryPrefix):])
}

// Add writes e with the commit of b. Call done when that commit has ended, however it ended;
// until then consumers wait. An entry whose commit is tried again is added again.
func (f *Feed) Add(b *engine.Batch, e Entry) (done func(), err error) {
	if f == nil {
		return func() {}, nil
	}
	if e.Time.IsZero() {
		e.Time = f.now().UTC()
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	f.mu.Lock()
	f.last = max(f.last+1, uint64(f.now().UnixNano()))
	seq := f.last
	f.newest = seq
	f.pending[seq] = struct{}{}
	f.mu.Unlock()
	b.Set(placeKey(seq), append([]byte{format}, raw...))
	return sync.OnceFunc(func() { f.ended(seq) }), nil
}

func (f *Feed) ended(seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pending, seq)
	close(f.changed)
	f.changed = make(chan struct{})
}

// horizon is the place up to which everything has been decided, and a channel that is closed when it
// may have moved.
func (f *Feed) horizon() (uint64, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limit := f.last
	for seq := range f.pending {
		limit = min(limit, seq-1)
	}
	return limit, f.changed
}

// Next gives the oldest entries, at most most, that consumer is not done with. It waits until there
// is one, or ctx ends.
func (f *Feed) Next(ctx context.Context, consumer string, most int) ([]Entry, error) {
	for {
		limit, changed := f.horizon()
		entries, err := f.read(ctx, consumer, limit, most)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

func (f *Feed) read(ctx context.Context, consumer string, limit uint64, most int) ([]Entry, error) {
	f.mu.Lock()
	at, ok := f.cursors[consumer]
	f.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("feed: %q is not a consumer", consumer)
	}
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
	e.Seq = placeOf(key)
	return e, nil
}

// Done says that consumer is done with everything up to and including seq. With extra, what the
// consumer made of the entries is written in the same commit, so that it happens once.
func (f *Feed) Done(ctx context.Context, consumer string, seq uint64, extra *engine.Batch) error {
	var b engine.Batch
	if extra != nil {
		b = *extra
	}
	b.Set([]byte(cursorPrefix+consumer), binary.BigEndian.AppendUint64(nil, seq))
	if lo, hi, ok := f.forgettable(consumer, seq); ok {
		b.DeleteRange(placeKey(lo), placeKey(hi+1))
	}
	if err := f.meta.Commit(ctx, &b); err != nil {
		return err
	}
	f.mu.Lock()
	f.cursors[consumer] = max(f.cursors[consumer], seq)
	f.mu.Unlock()
	return nil
}

// forgettable is the range that all consumers are done with once consumer has come to seq.
func (f *Feed) forgettable(consumer string, seq uint64) (lo, hi uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.cursors[consumer]
	hi = seq
	before := old
	for name, at := range f.cursors {
		if name != consumer {
			hi, before = min(hi, at), min(before, at)
		}
	}
	return before, hi, hi > before
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

// Behind is how far the consumer is behind the newest entry, for metrics.
func (f *Feed) Behind(consumer string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.cursors[consumer]
	if !ok || at >= f.newest {
		return 0
	}
	return time.Duration(f.newest - at)
}
