package fileblob

import "sync"

// group lets concurrent callers share one sync: a call returns when a sync that began after it has
// ended. After an error the file's contents are unknown, so the error stays.
type group struct {
	mu      sync.Mutex
	cond    sync.Cond
	started uint64
	ended   uint64
	running bool
	err     error
}

func (g *group) sync(f func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cond.L == nil {
		g.cond.L = &g.mu
	}
	mine := g.started + 1
	for g.err == nil && g.ended < mine {
		if g.running {
			g.cond.Wait()
			continue
		}
		g.running = true
		g.started++
		now := g.started
		g.mu.Unlock()
		err := f()
		g.mu.Lock()
		g.running = false
		g.ended = now
		if err != nil {
			g.err = err
		}
		g.cond.Broadcast()
	}
	return g.err
}
