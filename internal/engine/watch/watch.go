// Package watch tells interested parties that records under a prefix changed. Drivers of engine.Meta
// that learn of their own commits share it.
package watch

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/engine"
)

// Hub keeps the watchers. The zero value is ready. Safe for concurrent use.
type Hub struct {
	mu  sync.Mutex // held to change all
	all atomic.Pointer[[]*watcher]
}

type watcher struct {
	prefix, end []byte
	ch          chan struct{}
}

// Watch returns a channel that holds at most one token, which arrives after a change under prefix.
// It is forgotten when ctx ends; the channel is never closed.
func (h *Hub) Watch(ctx context.Context, prefix []byte) <-chan struct{} {
	w := &watcher{prefix: bytes.Clone(prefix), end: engine.PrefixEnd(prefix), ch: make(chan struct{}, 1)}
	h.change(func(all []*watcher) []*watcher { return append(all, w) })
	context.AfterFunc(ctx, func() {
		h.change(func(all []*watcher) []*watcher {
			return slices.DeleteFunc(all, func(x *watcher) bool { return x == w })
		})
	})
	return w.ch
}

func (h *Hub) change(f func([]*watcher) []*watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*watcher
	if p := h.all.Load(); p != nil {
		all = slices.Clone(*p)
	}
	all = f(all)
	h.all.Store(&all)
}

// Changed tells the watchers of every prefix that writes touch. It never blocks.
func (h *Hub) Changed(writes []engine.Write) {
	p := h.all.Load()
	if p == nil {
		return
	}
	for _, w := range *p {
		if slices.ContainsFunc(writes, w.touched) {
			select {
			case w.ch <- struct{}{}:
			default:
			}
		}
	}
}

func (w *watcher) touched(x engine.Write) bool {
	if x.Op != engine.OpDeleteRange {
		return bytes.HasPrefix(x.Key, w.prefix)
	}
	// The half-open ranges [Key, End) and [prefix, end) meet.
	return bytes.Compare(x.Key, x.End) < 0 && bytes.Compare(w.prefix, x.End) < 0 &&
		(w.end == nil || bytes.Compare(x.Key, w.end) < 0)
}
