// Package queue keeps what is on its way to targets: each delivery is a record, written by the commit
// that decided it, and taken away by the commit that follows its arrival.
//
// Promises: a delivery is given to its carrier until the carrier has said that it arrived or is given
// up (at least once; exactly once where the carrier writes to the same store), across restarts; deliveries to different targets lie in different lanes, so that
// none waits for another's target; those of an ordered lane are given one by one, in the order in which
// they were added. What is given up stays readable as a dead letter.
package queue

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// Delivery is one payload on its way to one target.
type Delivery struct {
	// Target is the ARN, or the name, of where it goes. Deliveries with the same Target share a lane.
	Target string
	// Kind says who carries it: a name in the carrier's registry.
	Kind string
	// Order, when not empty, keeps the deliveries with the same Order and Target in sequence.
	Order string `json:",omitempty"`
	// Account that sends, on whose behalf and because of what: the ARN of a rule, a bucket.
	Account, Cause string
	// EventID is the event's.
	EventID string
	// Role that sends; "" where Cause does itself.
	Role string `json:",omitempty"`
	// Payload is what arrives; Options say how, in the form that Kind knows.
	Payload []byte
	Options json.RawMessage `json:",omitempty"`
	// Created, and how long and how often it is tried: Expires, MaxRetries (-1: as long as it lasts).
	Created, Expires time.Time
	MaxRetries       int
	// DeadLetter is the ARN that gets it when it is given up, "" for none.
	DeadLetter string `json:",omitempty"`
	// Attempts are the last of Tries tries.
	Attempts []Attempt `json:",omitempty"`
	Tries    int       `json:",omitempty"`

	key []byte
	// arrived says that a commit of its carrier took it away.
	arrived bool
}

// ArriveIn takes d away in the commit of b, which writes what arrives: it arrives once, whatever crashes. For
// carriers to what is in the same store; a carrier whose commit fails returns the error.
func (d *Delivery) ArriveIn(b *engine.Batch) {
	b.Delete(d.key)
	d.arrived = true
}

// Attempt is one try that failed.
type Attempt struct {
	Time  time.Time
	Error string
}

const (
	itemPrefix = "ev/q/"
	deadPrefix = "ev/d/"
	// The formats of a record: JSON, and the same sealed.
	formatPlain  = 1
	formatSealed = 2
	// keptAttempts bounds the attempts in a record, keptDead the dead letters of an account: nobody's failures
	// push another's out.
	keptAttempts = 10
	keptDead     = 10_000
	// orderedShards are the lanes over which one target's ordered deliveries are spread.
	orderedShards = 16
	orderedBit    = 1
)

var errRecord = errors.New("queue: a record does not decode")

// Queue is safe for concurrent use.
type Queue struct {
	meta    engine.Meta
	secrets Secrets
	now     func() time.Time
	last    atomic.Uint64

	mu    sync.Mutex
	woken map[Lane]struct{}
	wake  chan struct{}

	waiting atomic.Int64
	dead    map[string]int // dead letters by account, under mu
}

// Lane is where the deliveries to one target wait; of an ordered one, those of one shard of the keys.
type Lane uint64

// Ordered tells whether the deliveries of the lane are given one by one.
func (l Lane) Ordered() bool { return l&orderedBit != 0 }

func (l Lane) String() string { return fmt.Sprintf("%016x", uint64(l)) }

// Secrets seals what is stored.
type Secrets interface {
	SealSecret(about, plain []byte) []byte
	OpenSecret(ctx context.Context, about, sealed []byte) ([]byte, error)
}

// Config of a Queue.
type Config struct {
	// Meta keeps the records. Required.
	Meta engine.Meta
	// Secrets seals deliveries: they carry what queues and topics keep sealed. Nil: nothing is sealed.
	Secrets Secrets
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Open continues the queue that meta holds.
func Open(ctx context.Context, c Config) (*Queue, error) {
	q := &Queue{meta: c.Meta, secrets: c.Secrets, now: c.Now, woken: map[Lane]struct{}{}, dead: map[string]int{}, wake: make(chan struct{}, 1)}
	if q.now == nil {
		q.now = time.Now
	}
	q.last.Store(uint64(q.now().UnixNano()))
	err := engine.Each(ctx, q.meta, itemPrefix, func(key, _ []byte, _ engine.Version) error {
		lane, err := laneOf(key)
		if err != nil {
			return err
		}
		q.waiting.Add(1)
		q.woken[lane] = struct{}{}
		q.last.Store(max(q.last.Load(), binary.BigEndian.Uint64(key[keyLength-8:])))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if len(q.woken) > 0 {
		q.wake <- struct{}{}
	}
	return q, q.countDead(ctx)
}

// laneFor spreads targets by a hash: two that share a lane wait for each other and nothing else.
func laneFor(d *Delivery) Lane {
	h := fnv.New64a()
	h.Write([]byte(d.Target))
	if d.Order != "" {
		o := fnv.New32a()
		o.Write([]byte(d.Order))
		h.Write([]byte{0, byte(o.Sum32() % orderedShards)})
		return Lane(h.Sum64() | orderedBit)
	}
	return Lane(h.Sum64() &^ orderedBit)
}

func itemKey(l Lane, due time.Time, seq uint64) []byte {
	key := append([]byte(itemPrefix), l.String()...)
	key = binary.BigEndian.AppendUint64(append(key, '/'), uint64(due.UnixNano()))
	return binary.BigEndian.AppendUint64(key, seq)
}

const keyLength = len(itemPrefix) + 16 + 1 + 16

func laneOf(key []byte) (Lane, error) {
	if len(key) != keyLength {
		return 0, fmt.Errorf("%w: key of %d bytes", errRecord, len(key))
	}
	raw, err := hex.DecodeString(string(key[len(itemPrefix) : len(itemPrefix)+16]))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errRecord, err)
	}
	return Lane(binary.BigEndian.Uint64(raw)), nil
}

func dueOf(key []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(key[keyLength-16:])))
}

// next gives ascending numbers, never the same twice.
func (q *Queue) next() uint64 {
	for {
		old := q.last.Load()
		n := max(old+1, uint64(q.now().UnixNano()))
		if q.last.CompareAndSwap(old, n) {
			return n
		}
	}
}

// Add writes deliveries with the commit of b. Call added once that commit has succeeded: their lanes
// are awake from then on.
func (q *Queue) Add(b *engine.Batch, deliveries ...*Delivery) (added func(), err error) {
	lanes := make([]Lane, 0, len(deliveries))
	for _, d := range deliveries {
		if d.Created.IsZero() {
			d.Created = q.now().UTC()
		}
		raw, err := q.encode(d)
		if err != nil {
			return nil, err
		}
		lane := laneFor(d)
		due := q.now()
		if lane.Ordered() {
			due = time.Unix(0, 0) // the sequence alone keeps the order, whatever the clock does
		}
		b.Set(itemKey(lane, due, q.next()), raw)
		lanes = append(lanes, lane)
	}
	return sync.OnceFunc(func() {
		q.waiting.Add(int64(len(lanes)))
		q.awake(lanes...)
	}), nil
}

// Put adds deliveries in a commit of their own.
func (q *Queue) Put(ctx context.Context, deliveries ...*Delivery) error {
	var b engine.Batch
	added, err := q.Add(&b, deliveries...)
	if err != nil || len(b.Writes) == 0 {
		return err
	}
	if err := q.meta.Commit(ctx, &b); err != nil {
		return err
	}
	added()
	return nil
}

// sealContext says what is sealed.
const sealContext = "kura delivery\x00"

func (q *Queue) encode(d *Delivery) ([]byte, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if q.secrets == nil {
		return append([]byte{formatPlain}, raw...), nil
	}
	return append([]byte{formatSealed}, q.secrets.SealSecret([]byte(sealContext), raw)...), nil
}

func (q *Queue) decode(ctx context.Context, key, value []byte) (*Delivery, error) {
	if len(value) < 1 {
		return nil, fmt.Errorf("%w: format", errRecord)
	}
	raw := value[1:]
	switch {
	case value[0] == formatPlain:
	case value[0] == formatSealed && q.secrets != nil:
		var err error
		if raw, err = q.secrets.OpenSecret(ctx, []byte(sealContext), raw); err != nil {
			return nil, fmt.Errorf("%w: %w", errRecord, err)
		}
	default:
		return nil, fmt.Errorf("%w: format", errRecord)
	}
	d := &Delivery{key: append([]byte(nil), key...)}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return d, nil
}

func (q *Queue) awake(lanes ...Lane) {
	if len(lanes) == 0 {
		return
	}
	q.mu.Lock()
	for _, l := range lanes {
		q.woken[l] = struct{}{}
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Woken waits for lanes that got deliveries since it was last called; at first, all that have some.
func (q *Queue) Woken(ctx context.Context) ([]Lane, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-q.wake:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	lanes := make([]Lane, 0, len(q.woken))
	for l := range q.woken {
		lanes = append(lanes, l)
	}
	clear(q.woken)
	return lanes, nil
}

// Due gives the oldest deliveries of a lane that are due, at most most. When none is due, it says when
// the next one will be; zero when the lane is empty.
func (q *Queue) Due(ctx context.Context, lane Lane, most int) (due []*Delivery, next time.Time, err error) {
	lo := append([]byte(itemPrefix), lane.String()...)
	it, err := q.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return nil, time.Time{}, err
	}
	defer it.Close()
	now := q.now()
	for len(due) < most && it.Next() {
		if at := dueOf(it.Key()); at.After(now) {
			next = at
			break
		}
		d, err := q.decode(ctx, it.Key(), it.Value())
		if err != nil {
			return nil, next, err
		}
		due = append(due, d)
	}
	return due, next, it.Err()
}

// Result is what became of a delivery. Exactly one of Again and Dead is set when it did not arrive.
type Result struct {
	Delivery *Delivery
	// Err is why it did not arrive. Again is when it is tried next; zero: never.
	Err   error
	Again time.Time
}

// Done writes what became of deliveries that Due gave. Those of an ordered lane keep their place: the
// carrier waits until Again by itself.
func (q *Queue) Done(ctx context.Context, results ...Result) error {
	var b engine.Batch
	var letters []*Delivery
	gone := 0
	dead := map[string]int{}
	for _, r := range results {
		d := r.Delivery
		if r.Err == nil {
			if !d.arrived {
				b.Delete(d.key)
			}
			gone++
			continue
		}
		d.failed(q.now().UTC(), r.Err)
		raw, err := q.encode(d)
		if err != nil {
			return err
		}
		lane := laneFor(d)
		switch {
		case r.Again.IsZero():
			b.Delete(d.key)
			b.Set(binary.BigEndian.AppendUint64(deadOf(d.Account), q.next()), raw)
			gone++
			dead[d.Account]++
			if letter := q.letter(d); letter != nil {
				letters = append(letters, letter)
			}
		case lane.Ordered():
			b.Set(d.key, raw)
		default:
			b.Delete(d.key)
			b.Set(itemKey(lane, r.Again, q.next()), raw)
		}
	}
	added, err := q.Add(&b, letters...)
	if err != nil {
		return err
	}
	if len(b.Writes) > 0 {
		if err := q.meta.Commit(ctx, &b); err != nil {
			return err
		}
	}
	added()
	q.waiting.Add(-int64(gone))
	return q.buried(ctx, dead)
}

// deadOf is how the keys of an account's dead letters begin; a sequence number follows.
func deadOf(account string) []byte { return append([]byte(deadPrefix+account), '/') }

// accountOf is whose dead letter has that key. Keys of the first form have no account.
func accountOf(key []byte) string {
	if n := len(key) - 9; n >= len(deadPrefix) && key[n] == '/' {
		return string(key[len(deadPrefix):n])
	}
	return ""
}

// Letters of the dead are tried for a day.
const (
	letterLife    = 24 * time.Hour
	letterRetries = 185
	letterKind    = "sqs"
)

// letter is what goes to the dead-letter queue when d is given up; nil when d has none.
func (q *Queue) letter(d *Delivery) *Delivery {
	if d.DeadLetter == "" {
		return nil
	}
	now := q.now().UTC()
	return &Delivery{
		Target: d.DeadLetter, Kind: letterKind, Account: d.Account, Cause: d.Cause, EventID: d.EventID, Payload: d.Payload,
		Created: now, Expires: now.Add(letterLife), MaxRetries: letterRetries,
	}
}

func (d *Delivery) failed(at time.Time, err error) {
	text := err.Error()
	if len(text) > 300 {
		text = text[:300]
	}
	d.Tries++
	d.Attempts = append(d.Attempts, Attempt{at, text})
	if n := len(d.Attempts); n > keptAttempts {
		d.Attempts = d.Attempts[n-keptAttempts:]
	}
}

// Waiting is the number of deliveries on their way, for metrics.
func (q *Queue) Waiting() int64 { return q.waiting.Load() }

// DeadLetters is the number of those that were given up and are kept.
func (q *Queue) DeadLetters() (n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, of := range q.dead {
		n += int64(of)
	}
	return n
}

func (q *Queue) countDead(ctx context.Context) error {
	return q.eachDead(ctx, deadPrefix, func(it engine.Iterator) (bool, error) {
		q.dead[accountOf(it.Key())]++
		return true, nil
	})
}

// Dead calls fn for the deliveries that were given up, of each account the oldest first, until it returns
// false.
func (q *Queue) Dead(ctx context.Context, fn func(*Delivery) bool) error {
	return q.eachDead(ctx, deadPrefix, func(it engine.Iterator) (bool, error) {
		d, err := q.decode(ctx, it.Key(), it.Value())
		return err == nil && fn(d), err
	})
}

func (q *Queue) eachDead(ctx context.Context, prefix string, fn func(engine.Iterator) (more bool, err error)) error {
	it, err := q.meta.Scan(ctx, []byte(prefix), engine.PrefixEnd([]byte(prefix)))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		if more, err := fn(it); err != nil || !more {
			return err
		}
	}
	return it.Err()
}

// buried counts new dead letters, and forgets old ones of accounts that have too many.
func (q *Queue) buried(ctx context.Context, dead map[string]int) error {
	for account, n := range dead {
		q.mu.Lock()
		q.dead[account] += n
		most := q.dead[account]
		q.mu.Unlock()
		if most > keptDead {
			if err := q.trimDead(ctx, account); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimDead forgets the oldest tenth of an account's dead letters.
func (q *Queue) trimDead(ctx context.Context, account string) error {
	first, last := []byte(nil), []byte(nil)
	n := 0
	prefix := string(deadOf(account))
	err := q.eachDead(ctx, prefix, func(it engine.Iterator) (bool, error) {
		if first == nil {
			first = append(first, it.Key()...)
		}
		last = append(last[:0], it.Key()...)
		n++
		return n < keptDead/10, nil
	})
	if err != nil || n == 0 {
		return err
	}
	var b engine.Batch
	b.DeleteRange(first, append(last, 0))
	if err := q.meta.Commit(ctx, &b); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dead[account] = max(0, q.dead[account]-n)
	return nil
}
