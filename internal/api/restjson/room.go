package restjson

import (
	"context"
	"sync"
	"time"
)

const (
	// maxLarge bounds the memory that large bodies of one service take together.
	maxLarge = 160 << 20
	// roomWait is how long a request waits for room.
	roomWait = 30 * time.Second
)

// room is the memory for large bodies. Its zero value is all free.
type room struct {
	mu    sync.Mutex
	taken int64
	freed chan struct{} // closed when some was given back
}

// take waits for n bytes of room, for a while.
func (r *room) take(ctx context.Context, n int64) bool {
	end := time.NewTimer(roomWait)
	defer end.Stop()
	for {
		r.mu.Lock()
		if r.taken+n <= maxLarge || r.taken == 0 {
			r.taken += n
			r.mu.Unlock()
			return true
		}
		if r.freed == nil {
			r.freed = make(chan struct{})
		}
		freed := r.freed
		r.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		case <-end.C:
			return false
		}
	}
}

func (r *room) give(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= n
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}
