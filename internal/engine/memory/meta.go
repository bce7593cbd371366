// Package memory keeps metadata and blobs in memory, for tests. It promises everything that the
// contracts promise but durability: closing loses all.
package memory

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/watch"
)

// Meta is an engine.Meta in memory. Readers take no lock.
type Meta struct {
	root   atomic.Pointer[node]
	closed atomic.Bool
	hub    watch.Hub

	mu      sync.Mutex // serializes commits
	version engine.Version
	commits int64
}

// NewMeta returns an empty Meta.
func NewMeta() *Meta { return &Meta{} }

func (m *Meta) check() error {
	if m.closed.Load() {
		return engine.ErrClosed
	}
	return nil
}

func (m *Meta) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return m.check()
}

// Get implements engine.Meta.
func (m *Meta) Get(ctx context.Context, key, buf []byte) ([]byte, engine.Version, error) {
	if err := m.usable(ctx); err != nil {
		return nil, 0, err
	}
	n := find(m.root.Load(), key)
	if n == nil {
		return nil, 0, nil
	}
	if buf == nil {
		buf = []byte{}
	}
	return append(buf[:0], n.value...), n.version, nil
}

// Scan implements engine.Meta.
func (m *Meta) Scan(ctx context.Context, lo, hi []byte) (engine.Iterator, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	return &iterator{root: m.root.Load(), lo: bytes.Clone(lo), hi: bytes.Clone(hi), closed: m.check}, nil
}

// Commit implements engine.Meta.
func (m *Meta) Commit(ctx context.Context, b *engine.Batch) error {
	if err := m.usable(ctx); err != nil {
		return err
	}
	if err := b.Check(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(); err != nil {
		return err
	}
	root := m.root.Load()
	for _, e := range b.Expect {
		var have engine.Version
		if n := find(root, e.Key); n != nil {
			have = n.version
		}
		if have != e.Version {
			return engine.ErrConflict
		}
	}
	m.version++
	for _, w := range b.Writes {
		switch w.Op {
		case engine.OpSet:
			root = set(root, w.Key, w.Value, m.version)
		case engine.OpDelete:
			root = cut(root, w.Key, next(w.Key))
		case engine.OpDeleteRange:
			root = cut(root, w.Key, w.End)
		}
	}
	b.Version = m.version
	m.root.Store(root)
	m.commits++
	m.hub.Changed(b.Writes)
	return nil
}

// Watch implements engine.Meta.
func (m *Meta) Watch(ctx context.Context, prefix []byte) (<-chan struct{}, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	return m.hub.Watch(ctx, prefix), nil
}

// Usage implements engine.Meta.
func (m *Meta) Usage() engine.Usage {
	u := engine.Usage{BytesFree: -1, Background: "in memory"}
	var walk func(*node)
	walk = func(n *node) {
		if n == nil {
			return
		}
		u.Records++
		u.BytesUsed += int64(len(n.key) + len(n.value))
		walk(n.left)
		walk(n.right)
	}
	walk(m.root.Load())
	m.mu.Lock()
	u.Syncs = m.commits
	m.mu.Unlock()
	return u
}

// Close implements engine.Meta.
func (m *Meta) Close() error {
	m.closed.Store(true)
	return nil
}
