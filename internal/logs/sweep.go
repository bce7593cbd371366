package logs

import (
	"context"
	"errors"

	"github.com/kura-s3/kura/internal/engine"
)

// sweepSlice is how many chunks go in one commit, sweepMost how many of one group in one sweep.
const (
	sweepSlice = 256
	sweepMost  = 40 * sweepSlice
)

// Sweep deletes events whose retention has ended, and those of deleted streams. The app calls it now and then.
func (s *Store) Sweep(ctx context.Context) error {
	var errs []error
	for _, g := range *s.groups.Load() {
		for n := 0; n < sweepMost; n += sweepSlice {
			more, err := s.expire(ctx, g)
			if err != nil {
				errs = append(errs, err)
			}
			if !more || ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(append(errs, s.empty(ctx))...)
}

// expire deletes one slice of a group's expired chunks. A chunk goes when all its events have expired.
func (s *Store) expire(ctx context.Context, g *Group) (more bool, err error) {
	end := s.expiry(g)
	if end <= 0 {
		return false, nil
	}
	it, err := s.meta.Scan(ctx, key(bodyPrefix, g.ID), key(bodyPrefix, g.ID, uint64(end)))
	if err != nil {
		return false, err
	}
	defer it.Close()
	var b engine.Batch
	sizes := map[uint64]int64{} // by stream
	for it.Next() && len(b.Writes) < 3*sweepSlice {
		c, err := bodyChunk(it.Key())
		if err != nil {
			return false, err
		}
		if c.last >= end {
			continue
		}
		packed, err := decodeBody(it.Value())
		if err != nil {
			return false, err
		}
		sizes[c.stream] += packed.bytes
		c.remove(&b, g.ID)
	}
	if err := it.Err(); err != nil || len(b.Writes) == 0 {
		return false, err
	}
	more = len(b.Writes) == 3*sweepSlice
	freed, err := s.discount(ctx, &b, g, sizes)
	if err != nil {
		return false, err
	}
	b.Require(groupKey(g.Account, g.Name), g.version)
	err = s.meta.Commit(ctx, &b)
	if errors.Is(err, engine.ErrConflict) {
		return false, nil // written to at this moment: the next time
	}
	if err == nil {
		s.size(g.ID).Add(-freed)
	}
	return more, err
}

// discount takes what goes off the streams' bytes.
func (s *Store) discount(ctx context.Context, b *engine.Batch, g *Group, sizes map[uint64]int64) (freed int64, err error) {
	for id, n := range sizes {
		name, v, err := s.meta.Get(ctx, key(namePrefix, g.ID, id), nil)
		if err != nil {
			return 0, err
		}
		if v == 0 {
			continue // the stream was deleted, and counts no more
		}
		at := streamKey(g.ID, string(name))
		raw, v, err := s.meta.Get(ctx, at, nil)
		if err != nil {
			return 0, err
		}
		if v == 0 {
			continue
		}
		r, err := decodeStream(raw)
		if err != nil {
			return 0, err
		}
		r.bytes -= n
		freed += n
		b.Require(at, v)
		b.Set(at, r.encode())
	}
	return freed, nil
}

// empty deletes chunks of deleted streams.
func (s *Store) empty(ctx context.Context) error {
	var trash [][2]uint64
	err := engine.Each(ctx, s.meta, trashPrefix, func(k, _ []byte, _ engine.Version) error {
		if n, ok := numbersOf(k, trashPrefix, 2); ok && len(trash) < sweepSlice {
			trash = append(trash, [2]uint64{n[0], n[1]})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range trash {
		for more := true; more; {
			if more, err = s.emptySlice(ctx, t[0], t[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) emptySlice(ctx context.Context, group, stream uint64) (more bool, err error) {
	lo := key(forthPrefix, group, stream)
	it, err := s.meta.Scan(ctx, lo, engine.PrefixEnd(lo))
	if err != nil {
		return false, err
	}
	defer it.Close()
	var b engine.Batch
	for !more && it.Next() {
		c, err := forthChunk(it.Key())
		if err != nil {
			return false, err
		}
		c.remove(&b, group)
		more = len(b.Writes) == 3*sweepSlice
	}
	if !more {
		b.Delete(key(trashPrefix, group, stream))
	}
	if err := it.Err(); err != nil {
		return false, err
	}
	return more, s.meta.Commit(ctx, &b)
}
