package audit

import (
	"strconv"
	"sync"
	"testing"
	"time"
)

// written are the ids of events, with how often each was.
type written struct {
	mu  sync.Mutex
	ids map[string]int
}

func (w *written) write(ev *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ids == nil {
		w.ids = map[string]int{}
	}
	w.ids[ev.ID]++
}

func (w *written) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ids)
}

func TestEveryEventIsHandedOnOnce(t *testing.T) {
	const callers, each = 8, 5*atOnce + 3
	w := &written{}
	together := newTogether(w.write)
	var added sync.WaitGroup
	for c := range callers {
		added.Go(func() {
			for i := range each {
				together.add(&Event{ID: strconv.Itoa(c*each + i)})
				if i%atOnce == c {
					together.settle()
				}
			}
		})
	}
	added.Wait()
	together.settle()
	if n := w.count(); n != callers*each {
		t.Errorf("%d events, not %d", n, callers*each)
	}
	for id, n := range w.ids {
		if n != 1 {
			t.Errorf("event %s was handed on %d times", id, n)
		}
	}
}

func TestAnEventAloneDoesNotWaitForOthers(t *testing.T) {
	w := &written{}
	together := newTogether(w.write)
	for n := 1; n <= 3; n++ { // the timer goes off each time
		together.add(&Event{ID: strconv.Itoa(n)})
		for deadline := time.Now().Add(time.Minute); w.count() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the event is still held")
			}
		}
	}
}

// TestASettledLogHoldsNothing: what was completed before is on disk.
func TestASettledLogHoldsNothing(t *testing.T) {
	data, management := open(t, JournalConfig{}), open(t, JournalConfig{})
	l := NewLog(LogConfig{Management: management, Data: data, Together: true})
	l.WantData(func(*Event) bool { return true })
	before := data.Last()
	for i := range 3 {
		ev := made(i)
		if !l.Wants(ev) {
			t.Fatal("not wanted")
		}
		if err := l.Complete(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Settle(); err != nil {
		t.Fatal(err)
	}
	entries, err := data.Reader(before).Ready(10)
	if err != nil || len(entries) != 3 {
		t.Fatal(len(entries), err)
	}
}
