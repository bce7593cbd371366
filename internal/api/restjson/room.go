package restjson

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/front"
)

const (
	// maxLarge bounds the memory that large bodies of one service take together.
	maxLarge = 160 << 20
	// roomWait is how long a request waits for room.
	roomWait = 30 * time.Second
	// grace is how long a body may take whoever waits, and pace how many bytes of it must have come in each
	// second from then on for it to keep its room.
	grace = 5 * time.Second
	pace  = 1 << 20
)

// room is the memory for large bodies. Its zero value is all free.
type room struct {
	mu      sync.Mutex
	taken   int64
	freed   chan struct{} // closed when some was given back
	waiting int           // requests that wait
}

// take waits for n bytes of room, for a while.
func (r *room) take(ctx context.Context, n int64) bool {
	end := time.NewTimer(roomWait)
	defer end.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.taken > 0 && r.taken+n > maxLarge {
		if !r.wait(ctx, end.C) {
			return false
		}
	}
	r.taken += n
	return true
}

// wait waits until some room was given back, with the lock given up meanwhile.
func (r *room) wait(ctx context.Context, end <-chan time.Time) bool {
	if r.freed == nil {
		r.freed = make(chan struct{})
	}
	freed := r.freed
	r.waiting++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.waiting--
	}()
	select {
	case <-freed:
		return true
	case <-ctx.Done():
	case <-end:
	}
	return false
}

func (r *room) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting > 0
}

// paced is a body that has room. While others wait for room it must come fast enough: its signature can be judged
// only when it is all there, and whoever sends it may have none.
type paced struct {
	io.ReadCloser
	room  *room
	began time.Time
	n     int64
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	p.n += int64(n)
	if late := time.Since(p.began) - grace; err == nil && late > 0 && float64(p.n) < pace*late.Seconds() && p.room.wanted() {
		err = front.ErrTooManyUploads
	}
	return n, err
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
