package audit

import (
	"context"
	"sync"
	"time"
)

const (
	// atOnce is how many events are handed on together, holdFor how long one waits for others.
	atOnce  = 16
	holdFor = 20 * time.Millisecond
)

// Together is a Recorder in front of another one, which gets finished data events some at a time: most of what
// one event costs a busy server is that code and memory have to be fetched again. What somebody waits for is not
// held. Safe for concurrent use.
type Together struct {
	next    Recorder
	timer   *time.Timer
	handing sync.WaitGroup

	mu   sync.Mutex
	held []*Event
}

// NewTogether makes one. What next answers to a data event nobody hears: of what it cannot keep, a Log tells in
// its journal.
func NewTogether(next Recorder) *Together {
	t := &Together{next: next}
	t.timer = time.AfterFunc(holdFor, t.flush)
	return t
}

// Wants implements Recorder.
func (t *Together) Wants(ev *Event) bool { return t.next.Wants(ev) }

// Begin implements Recorder.
func (t *Together) Begin(ctx context.Context, ev *Event) error { return t.next.Begin(ctx, ev) }

// Complete implements Recorder. A data event must not change any more.
func (t *Together) Complete(ctx context.Context, ev *Event) error {
	if ev.Class != Data {
		return t.next.Complete(ctx, ev)
	}
	t.mu.Lock()
	t.held = append(t.held, ev)
	var due []*Event
	switch len(t.held) {
	case 1:
		t.timer.Reset(holdFor)
	case atOnce:
		due = t.take()
		t.held = make([]*Event, 0, atOnce)
	}
	t.mu.Unlock()
	t.handOn(due)
	return nil
}

func (t *Together) flush() {
	t.mu.Lock()
	due := t.take()
	t.mu.Unlock()
	t.handOn(due)
}

// take takes what is held, for handOn. Under mu.
func (t *Together) take() (due []*Event) {
	due, t.held = t.held, nil
	if len(due) > 0 {
		t.handing.Add(1)
	}
	return due
}

func (t *Together) handOn(due []*Event) {
	if len(due) == 0 {
		return
	}
	defer t.handing.Done()
	for _, ev := range due {
		_ = t.next.Complete(context.Background(), ev)
	}
}

// Close returns when everything is handed on, once no more is completed.
func (t *Together) Close() error {
	t.timer.Stop()
	t.flush()
	t.handing.Wait()
	return nil
}
