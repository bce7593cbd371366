package pebblemeta

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kura-s3/kura/internal/engine"
)

// Scan implements engine.Meta. The snapshot is taken first and given out when everything in it is
// durable.
func (m *Meta) Scan(ctx context.Context, lo, hi []byte) (engine.Iterator, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	lower, upper := bounds(lo, hi)
	it, err := m.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err == nil {
		if err = m.under.wait(ctx); err == nil {
			return &iterator{m: m, it: it}, nil
		}
		err = errors.Join(err, it.Close())
	}
	m.leave()
	return nil, err
}

// iterator implements engine.Iterator.
type iterator struct {
	m   *Meta
	it  *pebble.Iterator
	err error
	// begun after the first move; ended after one that found nothing.
	begun, ended bool
}

func (i *iterator) Next() bool {
	if i.it == nil || i.ended {
		return false
	}
	if !i.begun {
		return i.moved(i.it.First())
	}
	return i.moved(i.it.Next())
}

func (i *iterator) SeekGE(key []byte) bool {
	if i.it == nil || i.ended {
		return false
	}
	if i.begun && bytes.Compare(key, i.it.Key()) <= 0 {
		return true
	}
	return i.moved(i.it.SeekGE(key))
}

func (i *iterator) moved(found bool) bool {
	i.begun = true
	i.ended = !found
	if !found {
		if err := i.it.Error(); err != nil {
			i.err = i.m.readError(err)
		}
	}
	return found
}

func (i *iterator) Key() []byte { return i.it.Key() }

// stored is the record's value, or nil after an error, which also ends the walk.
func (i *iterator) stored() (engine.Version, []byte) {
	stored, err := i.it.ValueAndErr()
	if err != nil {
		i.err, i.ended = i.m.readError(err), true
		return 0, nil
	}
	version, value, err := i.m.split(i.it.Key(), stored)
	if err != nil {
		i.err, i.ended = err, true
	}
	return version, value
}

func (i *iterator) Value() []byte {
	_, value := i.stored()
	return value
}

func (i *iterator) Version() engine.Version {
	version, _ := i.stored()
	return version
}

func (i *iterator) Err() error { return i.err }

func (i *iterator) Close() error {
	if i.it == nil {
		return nil
	}
	err := i.it.Close()
	i.it = nil
	i.m.leave()
	if err != nil && i.err == nil {
		return i.m.readError(err)
	}
	return nil
}
