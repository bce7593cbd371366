package pebblemeta

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kura-s3/kura/internal/engine"
)

const (
	// defaultReclaim is how often deletions are looked after.
	defaultReclaim = 15 * time.Second
	// worthReclaiming is the number of deletions that pays for a compaction, and deletedAtMost what
	// one may have freed: where it is little of what lies in the range, compacting waits for more.
	worthReclaiming = 256
	deletedAtMost   = 64 << 10
)

// reclaimer gives the space of deleted records back. Pebble frees it when the deletions meet, in a
// compaction, what they delete, which happens when enough is written behind them; on a store that
// has become quiet that would be never. So when deleting pauses, the ranges in which it happened
// are flushed and compacted. Large values lie in files of their own, which a compaction of their
// keys does not copy.
type reclaimer struct {
	mu     sync.Mutex
	ranges map[byte]*deletedRange // by the first byte of the keys: one kind of record
	busy   bool                   // something was deleted since the last look
	cancel context.CancelFunc
	done   chan struct{}
}

// deletedRange is where records of one kind were deleted, and how many.
type deletedRange struct {
	lo, hi []byte
	count  int64
}

// note remembers what b deletes.
func (r *reclaimer) note(b *engine.Batch) {
	for i := range b.Writes {
		w := &b.Writes[i]
		switch {
		case w.Op == engine.OpSet || len(w.Key) == 0:
		case w.Op == engine.OpDelete:
			r.add(w.Key, w.Key)
		default:
			r.add(w.Key, w.End)
		}
	}
}

func (r *reclaimer) add(lo, hi []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = true
	if r.ranges == nil {
		r.ranges = map[byte]*deletedRange{}
	}
	d := r.ranges[lo[0]]
	if d == nil {
		r.ranges[lo[0]] = &deletedRange{lo: bytes.Clone(lo), hi: bytes.Clone(hi), count: 1}
		return
	}
	d.count++
	if bytes.Compare(lo, d.lo) < 0 {
		d.lo = append(d.lo[:0], lo...)
	}
	if bytes.Compare(hi, d.hi) > 0 {
		d.hi = append(d.hi[:0], hi...)
	}
}

// quiet takes the ranges that are worth it, once nothing was deleted since the last look.
func (r *reclaimer) quiet() []*deletedRange {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		r.busy = false
		return nil
	}
	var ripe []*deletedRange
	for kind, d := range r.ranges {
		if d.count >= worthReclaiming {
			ripe = append(ripe, d)
			delete(r.ranges, kind)
		}
	}
	return ripe
}

// putBack waits for more deletions in d.
func (r *reclaimer) putBack(d *deletedRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.ranges[d.lo[0]]; now != nil {
		now.count += d.count
		if bytes.Compare(d.lo, now.lo) < 0 {
			now.lo = d.lo
		}
		if bytes.Compare(d.hi, now.hi) > 0 {
			now.hi = d.hi
		}
		return
	}
	r.ranges[d.lo[0]] = d
}

func (m *Meta) startReclaiming(every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	m.reclaim.cancel, m.reclaim.done = cancel, make(chan struct{})
	go func() {
		defer close(m.reclaim.done)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				for _, d := range m.reclaim.quiet() {
					m.compactDeleted(ctx, d)
				}
			}
		}
	}()
}

// compactDeleted compacts one range. Failing is no harm: the next deletions try again.
func (m *Meta) compactDeleted(ctx context.Context, d *deletedRange) {
	if m.failure.Load() != nil {
		return
	}
	if err := m.guarded(func() error { return ignoreClosed(m.db.Flush()) }); err != nil {
		return
	}
	end := append(bytes.Clone(d.hi), 0) // the bound is exclusive
	held, err := m.db.EstimateDiskUsage(d.lo, end)
	if err == nil && held > uint64(d.count)*deletedAtMost {
		m.reclaim.putBack(d)
		return
	}
	// A damaged table ends the compaction and is told by the event listener; reading goes on.
	_ = m.db.Compact(ctx, d.lo, end, false)
}

func ignoreClosed(err error) error {
	if errors.Is(err, pebble.ErrClosed) {
		return nil
	}
	return err
}

func (m *Meta) stopReclaiming() {
	if m.reclaim.cancel != nil {
		m.reclaim.cancel()
		<-m.reclaim.done
	}
}
