package queue

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
)

// bury gives up n deliveries of an account.
func bury(t *testing.T, q *Queue, account string, n int) {
	t.Helper()
	for n > 0 {
		some := min(n, 500)
		n -= some
		var deliveries []*Delivery
		for range some {
			deliveries = append(deliveries, &Delivery{Target: "t" + account, Kind: "k", Account: account, Payload: []byte(account), Expires: time.Now().Add(time.Hour)})
		}
		if err := q.Put(t.Context(), deliveries...); err != nil {
			t.Fatal(err)
		}
		due, _, err := q.Due(t.Context(), laneFor(deliveries[0]), some)
		if err != nil || len(due) != some {
			t.Fatal(len(due), err)
		}
		var results []Result
		for _, d := range due {
			results = append(results, Result{Delivery: d, Err: errors.New("refused")})
		}
		if err := q.Done(t.Context(), results...); err != nil {
			t.Fatal(err)
		}
	}
}

// An account whose deliveries fail by the thousand pushes only its own dead letters out.
func TestDeadLettersAreBoundedByAccount(t *testing.T) {
	meta := memory.NewMeta()
	q, err := Open(t.Context(), Config{Meta: meta})
	if err != nil {
		t.Fatal(err)
	}
	bury(t, q, "111122223333", 3)
	bury(t, q, "", 2)
	bury(t, q, "444455556666", keptDead+1500)
	// One of the time before accounts were in the keys.
	raw, err := q.encode(&Delivery{Target: "t", Account: "111122223333"})
	if err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	b.Set([]byte(deadPrefix+"\x18\x01\x02\x03\x04\x05\x06\x07"), raw)
	if err := meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	count := func(q *Queue) string {
		by := map[string]int{}
		if err := q.Dead(t.Context(), func(d *Delivery) bool { by[d.Account]++; return true }); err != nil {
			t.Fatal(err)
		}
		if by["444455556666"] > keptDead || by["444455556666"] < keptDead-keptDead/10 {
			t.Errorf("%v", by)
		}
		delete(by, "444455556666")
		return fmt.Sprint(by)
	}
	const want = "map[:2 111122223333:4]"
	if got := count(q); got != want {
		t.Errorf("%s", got)
	}
	before := q.DeadLetters() + 1 // and the old one
	if q, err = Open(t.Context(), Config{Meta: meta}); err != nil {
		t.Fatal(err)
	}
	if got := count(q); got != want || q.DeadLetters() != before {
		t.Errorf("after a restart %s, %d and %d", got, q.DeadLetters(), before)
	}
}
