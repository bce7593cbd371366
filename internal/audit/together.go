package audit

import (
	"sync"
	"time"
)

const (
	// atOnce is how many events are handed on together, holdFor how long one waits for others.
	atOnce  = 16
	holdFor = 20 * time.Millisecond
)

// together hands finished data events on some at a time: most of what one event costs a busy server is that code
// and memory have to be fetched again. Safe for concurrent use.
type together struct {
	write func(*Event)
	timer *time.Timer

	mu   sync.Mutex
	held []*Event
	// writing is shared by those who write what was held.
	writing sync.RWMutex
}

func newTogether(write func(*Event)) *together {
	t := &together{write: write}
	t.timer = time.AfterFunc(holdFor, t.flush)
	return t
}

// add takes an event, which does not change any more.
func (t *together) add(ev *Event) {
	t.mu.Lock()
	t.held = append(t.held, ev)
	if len(t.held) < atOnce {
		if len(t.held) == 1 {
			t.timer.Reset(holdFor)
		}
		t.mu.Unlock()
		return
	}
	t.handOn()
}

func (t *together) flush() {
	t.mu.Lock()
	t.handOn()
}

// handOn writes what is held. It is called with mu, and gives it back.
func (t *together) handOn() {
	t.writing.RLock()
	defer t.writing.RUnlock()
	due := t.held
	t.held = nil
	if len(due) == atOnce {
		t.held = make([]*Event, 0, atOnce)
	}
	t.mu.Unlock()
	for _, ev := range due {
		t.write(ev)
	}
}

// settle returns when every event that was added before is written.
func (t *together) settle() {
	t.flush()
	t.writing.Lock() // whoever took some before is done
	defer t.writing.Unlock()
}
