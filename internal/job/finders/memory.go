package finders

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// What principals did before is stored when it changed: "finders/p/" unique id → format, day, the peaks.
// What would not raise an expectation above the floor is not worth keeping.

const (
	pastPrefix    = "finders/p/"
	pastFormat    = 1
	pastSize      = 1 + 4 + 4*metrics
	rememberEvery = time.Minute
	maxWrites     = 1000 // of one commit
)

func (a *actor) worth() bool {
	for m := range a.peak {
		if a.peak[m] > floor[m]/factor {
			return true
		}
	}
	return false
}

func (a *actor) pack() []byte {
	b := binary.BigEndian.AppendUint32([]byte{pastFormat}, a.day)
	for _, n := range a.peak {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func unpack(raw []byte) (*actor, error) {
	if len(raw) != pastSize || raw[0] != pastFormat {
		return nil, fmt.Errorf("finders: a record does not decode")
	}
	a := &actor{day: binary.BigEndian.Uint32(raw[1:])}
	for m := range a.peak {
		a.peak[m] = binary.BigEndian.Uint32(raw[5+4*m:])
	}
	a.expect()
	return a, nil
}

// recall reads what was remembered, as much as there is room for.
func (f *Finder) recall(ctx context.Context) error {
	today := uint32(f.now().Unix() / 86400)
	return engine.Each(ctx, f.config.Meta, pastPrefix, func(key, value []byte, _ engine.Version) error {
		id := string(key[len(pastPrefix):])
		a, err := unpack(value)
		if err != nil {
			return err
		}
		a.learn(today)
		a.expect()
		if s := f.notes.shard(id); len(s.actors) < perShard {
			s.actors[id] = a
		}
		return nil
	})
}

// remember stores what changed.
func (f *Finder) remember(ctx context.Context) error {
	var b engine.Batch
	for i := range f.notes.shards {
		s := &f.notes.shards[i]
		s.mu.Lock()
		for id, a := range s.actors {
			if !a.dirty {
				continue
			}
			a.dirty = false
			if a.worth() {
				b.Set([]byte(pastPrefix+id), a.pack())
			} else {
				b.Delete([]byte(pastPrefix + id))
			}
		}
		s.mu.Unlock()
		if len(b.Writes) >= maxWrites || i == len(f.notes.shards)-1 && len(b.Writes) > 0 {
			if err := f.config.Meta.Commit(ctx, &b); err != nil {
				return err
			}
			b = engine.Batch{}
		}
	}
	return nil
}

// rememberLast stores what happened up to the end, current windows included.
func (f *Finder) rememberLast() {
	now := f.now()
	for i := range f.notes.shards {
		s := &f.notes.shards[i]
		s.mu.Lock()
		for _, a := range s.actors {
			a.learn(uint32(now.Unix() / 86400))
		}
		s.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := f.remember(ctx); err != nil {
		f.config.Log.Error("finders", "err", err)
	}
}
