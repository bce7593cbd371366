package pebblemeta

import (
	"context"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/engine"
)

// stripeCount bounds how many commits can be checked at once. A power of two.
const stripeCount = 1024

// stripe serializes commits on the keys that hash to it.
type stripe struct {
	mu sync.RWMutex // held to check expectations (shared) and to apply writes
	// last is the newest commit that wrote to a key of the stripe.
	last atomic.Pointer[pending]
	// known is the version of one key that commits expect without writing it (the bucket of every
	// object that is put), so that Pebble is not asked each time. It is set under the shared lock and
	// forgotten under the exclusive one.
	known atomic.Pointer[knownVersion]
}

type knownVersion struct {
	key     string
	version engine.Version
}

// pending is a commit on its way to the disk.
type pending struct {
	version uint64
	// floor: every earlier commit to its stripes with a version up to floor is durable.
	floor uint64
	done  chan struct{} // closed when the commit is durable, or has failed
	err   error         // set before done is closed

	prev, next *pending // in the list of those under way
}

func (p *pending) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *pending) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// durable waits until a record of the stripe that was read with version v (0: absent) cannot be
// taken back by a crash. Commits to one stripe reach the log in the order of their versions, so
// that the newest one's sync covers the others.
func (s *stripe) durable(ctx context.Context, v engine.Version) error {
	p := s.last.Load()
	if p == nil || v != 0 && uint64(v) <= p.floor {
		return nil
	}
	return p.wait(ctx)
}

// floorBefore is the version up to which the stripe's commits are durable, when the next one will
// have version v.
func (s *stripe) floorBefore(v uint64) uint64 {
	if p := s.last.Load(); p != nil && !p.ended() {
		return p.floor
	}
	return v - 1
}

var seed = maphash.MakeSeed()

func stripeOf(key []byte) int { return int(maphash.Bytes(seed, key) % stripeCount) }

// stripeSet holds stripe numbers; walking it in order makes locking free of deadlock.
type stripeSet [stripeCount / 64]uint64

func (s *stripeSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *stripeSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s *stripeSet) each(f func(i int)) {
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			f(w*64 + bits.TrailingZeros64(word))
		}
	}
}

// claim is the stripes that one commit holds.
type claim struct {
	m               *Meta
	written, either stripeSet
}

// lock takes the stripes of what b writes, and shares those of what it only expects.
func (c *claim) lock(b *engine.Batch) {
	for i := range b.Writes {
		c.written.add(stripeOf(b.Writes[i].Key))
	}
	c.either = c.written
	for i := range b.Expect {
		c.either.add(stripeOf(b.Expect[i].Key))
	}
	c.either.each(func(i int) {
		if c.written.has(i) {
			c.m.stripes[i].mu.Lock()
		} else {
			c.m.stripes[i].mu.RLock()
		}
	})
}

func (c *claim) unlock() {
	c.either.each(func(i int) {
		if c.written.has(i) {
			c.m.stripes[i].mu.Unlock()
		} else {
			c.m.stripes[i].mu.RUnlock()
		}
	})
}

// announce makes the coming commit known to readers of the stripes, before it can be read.
func (c *claim) announce(version uint64) *pending {
	p := &pending{version: version, floor: version - 1, done: make(chan struct{})}
	c.written.each(func(i int) { p.floor = min(p.floor, c.m.stripes[i].floorBefore(version)) })
	c.m.under.add(p)
	c.written.each(func(i int) { c.m.stripes[i].last.Store(p) })
	return p
}

// underWay lists the commits that are not durable yet.
type underWay struct {
	mu    sync.Mutex
	first *pending
}

func (u *underWay) add(p *pending) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p.next = u.first
	if u.first != nil {
		u.first.prev = p
	}
	u.first = p
}

// end lets the waiters go on.
func (u *underWay) end(p *pending, err error) {
	p.err = err
	close(p.done)
	u.mu.Lock()
	defer u.mu.Unlock()
	if p.prev == nil {
		u.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}

// wait returns when every commit that is under way now has ended.
func (u *underWay) wait(ctx context.Context) error {
	u.mu.Lock()
	var all []*pending
	for p := u.first; p != nil; p = p.next {
		all = append(all, p)
	}
	u.mu.Unlock()
	for _, p := range all {
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
