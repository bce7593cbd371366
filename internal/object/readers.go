package object

import "sync"

// readerRegistry keeps trash that is being read from being taken away. A reader pins the body
// before it opens it; the drain condemns a body before it deletes it; each refuses where the other
// came first. A refused reader reads the head again, which no longer names that body.
type readerRegistry struct {
	mu        sync.Mutex
	pinned    map[uint64]int
	condemned map[uint64]struct{}
	waited    map[uint64]struct{} // the drain wanted them
	released  func()              // told when one of them is free
}

func (r *readerRegistry) setReleased(fn func()) {
	r.mu.Lock()
	r.released = fn
	r.mu.Unlock()
}

func (r *readerRegistry) pin(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, gone := r.condemned[id]; gone {
		return false
	}
	if r.pinned == nil {
		r.pinned = map[uint64]int{}
	}
	r.pinned[id]++
	return true
}

func (r *readerRegistry) unpin(id uint64) {
	r.mu.Lock()
	last := r.pinned[id] == 1
	if last {
		delete(r.pinned, id)
	} else {
		r.pinned[id]--
	}
	_, waited := r.waited[id]
	if last && waited {
		delete(r.waited, id)
	}
	released := r.released
	r.mu.Unlock()
	if last && waited && released != nil {
		released()
	}
}

func (r *readerRegistry) condemn(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pinned[id] > 0 {
		if r.waited == nil {
			r.waited = map[uint64]struct{}{}
		}
		r.waited[id] = struct{}{}
		return false
	}
	if r.condemned == nil {
		r.condemned = map[uint64]struct{}{}
	}
	r.condemned[id] = struct{}{}
	return true
}

func (r *readerRegistry) isPinned(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pinned[id] > 0
}

// forget ends a condemnation: the body is gone, or stays.
func (r *readerRegistry) forget(id uint64) {
	r.mu.Lock()
	delete(r.condemned, id)
	r.mu.Unlock()
}

func (r *readerRegistry) open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.pinned {
		n += c
	}
	return n
}
