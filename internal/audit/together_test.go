package audit

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"
)

// kept is a Recorder that remembers.
type kept struct {
	mu  sync.Mutex
	ids map[string]int
}

func (k *kept) Wants(*Event) bool                   { return true }
func (k *kept) Begin(context.Context, *Event) error { return ErrJournal }

func (k *kept) Complete(_ context.Context, ev *Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ids == nil {
		k.ids = map[string]int{}
	}
	k.ids[ev.ID]++
	return ErrJournal
}

func (k *kept) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ids)
}

func TestEveryEventIsHandedOnOnce(t *testing.T) {
	const callers, each = 8, 5*atOnce + 3
	next := &kept{}
	together := NewTogether(next)
	var callersDone sync.WaitGroup
	for c := range callers {
		callersDone.Go(func() {
			for i := range each {
				if err := together.Complete(t.Context(), &Event{ID: strconv.Itoa(c*each + i), Class: Data}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callersDone.Wait()
	if err := together.Close(); err != nil {
		t.Fatal(err)
	}
	for id, n := range next.ids {
		if n != 1 {
			t.Errorf("event %s was handed on %d times", id, n)
		}
	}
	if n := next.count(); n != callers*each {
		t.Errorf("%d events, not %d", n, callers*each)
	}
}

func TestAnEventAloneDoesNotWaitForOthers(t *testing.T) {
	next := &kept{}
	together := NewTogether(next)
	for n := 1; n <= 3; n++ { // the timer goes off each time
		if err := together.Complete(t.Context(), &Event{ID: strconv.Itoa(n), Class: Data}); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); next.count() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the event is still held")
			}
		}
	}
}

// What somebody waits for is done, and its outcome told.
func TestManagementIsNotHeld(t *testing.T) {
	next := &kept{}
	together := NewTogether(next)
	if err := together.Complete(t.Context(), &Event{ID: "1", Class: Management}); err != ErrJournal || next.count() != 1 {
		t.Errorf("%v, %d events", err, next.count())
	}
	if err := together.Begin(t.Context(), &Event{Class: Data}); err != ErrJournal {
		t.Error(err)
	}
}
