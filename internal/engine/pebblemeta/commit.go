package pebblemeta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kura-s3/kura/internal/engine"
)

var errReadOnly = errors.New("pebblemeta: opened for reading only")

// Commit implements engine.Meta.
func (m *Meta) Commit(ctx context.Context, b *engine.Batch) error {
	if err := b.Check(); err != nil {
		return err
	}
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	if m.readOnly {
		return errReadOnly
	}
	if err := m.room(b); err != nil {
		return err
	}
	batch, p, err := m.apply(b)
	if err != nil {
		return err
	}
	if p == nil {
		if len(b.Writes) > 0 { // lazy
			m.hub.Changed(b.Writes)
			return nil
		}
		return m.expectationsDurable(ctx, b)
	}
	// Whatever becomes of ctx, the commit is on its way and its outcome has to be told.
	err = batch.SyncWait()
	if err != nil {
		err = m.fail(err)
	}
	m.under.end(p, err)
	if err != nil {
		return err
	}
	m.hub.Changed(b.Writes)
	if err := batch.Close(); err != nil {
		return m.fail(err)
	}
	return nil
}

// apply checks b and writes it to the log and to memory. The sync of the batch that it returns, and
// so the end of p, is still to be waited for; without one, nothing is.
func (m *Meta) apply(b *engine.Batch) (batch *pebble.Batch, p *pending, err error) {
	c := claim{m: m}
	c.lock(b)
	defer c.unlock()
	if err := m.expected(b, &c.written); err != nil {
		return nil, nil, err
	}
	c.forget(b)
	if len(b.Writes) == 0 {
		return nil, nil, nil
	}
	version := m.version.Add(1)
	batch = m.db.NewBatch()
	if err := encode(batch, b, version); err != nil {
		batch.Close()
		return nil, nil, fmt.Errorf("pebblemeta: %w", err)
	}
	b.Version = engine.Version(version)
	m.reclaim.note(b)
	if b.Lazy {
		err := m.guarded(func() error { return batch.Commit(pebble.NoSync) })
		if err == nil {
			err = batch.Close()
		}
		return nil, nil, err
	}
	p = c.announce(version)
	if err := m.guarded(func() error { return m.db.ApplyNoSyncWait(batch, pebble.Sync) }); err != nil {
		m.under.end(p, err)
		return nil, nil, err
	}
	return batch, p, nil
}

// guarded turns Pebble's panic at a log that cannot be written into the engine's failure.
func (m *Meta) guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = m.fail(fmt.Errorf("write-ahead log: %v", r))
		}
	}()
	if err := f(); err != nil {
		return m.fail(err)
	}
	return nil
}

// expected checks the expectations of b, which writes to the stripes in written.
func (m *Meta) expected(b *engine.Batch, written *stripeSet) error {
	for i := range b.Expect {
		e := &b.Expect[i]
		number := stripeOf(e.Key)
		s := &m.stripes[number]
		if k := s.known.Load(); k != nil && k.key == string(e.Key) {
			if k.version != e.Version {
				return engine.ErrConflict
			}
			continue
		}
		have, err := m.current(e.Key)
		if err != nil {
			return err
		}
		if !written.has(number) {
			s.known.Store(&knownVersion{string(e.Key), have})
		}
		if have != e.Version {
			return engine.ErrConflict
		}
	}
	return nil
}

// forget drops the known versions of what b writes; a range may lie in any stripe.
func (c *claim) forget(b *engine.Batch) {
	for i := range b.Writes {
		if b.Writes[i].Op == engine.OpDeleteRange {
			for j := range c.m.stripes {
				c.m.stripes[j].known.Store(nil)
			}
			return
		}
	}
	c.written.each(func(i int) { c.m.stripes[i].known.Store(nil) })
}

// expectationsDurable lets a batch without writes vouch for nothing that a crash could take back.
func (m *Meta) expectationsDurable(ctx context.Context, b *engine.Batch) error {
	for i := range b.Expect {
		e := &b.Expect[i]
		if err := m.stripes[stripeOf(e.Key)].durable(ctx, e.Version); err != nil {
			return err
		}
	}
	return nil
}

func encode(batch *pebble.Batch, b *engine.Batch, version uint64) error {
	for i := range b.Writes {
		w := &b.Writes[i]
		switch w.Op {
		case engine.OpSet:
			op := batch.SetDeferred(len(w.Key), versionSize+len(w.Value))
			copy(op.Key, w.Key)
			binary.BigEndian.PutUint64(op.Value, version)
			copy(op.Value[versionSize:], w.Value)
			if err := op.Finish(); err != nil {
				return err
			}
		case engine.OpDelete:
			if err := batch.Delete(w.Key, nil); err != nil {
				return err
			}
		case engine.OpDeleteRange:
			if string(w.Key) >= string(w.End) {
				continue // an empty range, which Pebble does not take
			}
			if err := batch.DeleteRange(w.Key, w.End, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
