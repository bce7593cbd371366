package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// carrier answers by what a test says of a payload, and keeps what it was given.
type carrier struct {
	mu     sync.Mutex
	given  []string
	answer func(payload string, n int) error
	told   chan string
}

func (c *carrier) Carry(_ context.Context, d *queue.Delivery) error {
	c.mu.Lock()
	payload := string(d.Payload)
	n := 0
	for _, p := range c.given {
		if p == payload {
			n++
		}
	}
	c.given = append(c.given, payload)
	c.mu.Unlock()
	err := error(nil)
	if c.answer != nil {
		err = c.answer(payload, n)
	}
	if err == nil && c.told != nil {
		c.told <- payload
	}
	return err
}

type world struct {
	t     *testing.T
	meta  engine.Meta
	queue *queue.Queue
	c     *carrier
}

func newWorld(t *testing.T, answer func(string, int) error) *world {
	w := &world{t: t, meta: memory.NewMeta(), c: &carrier{answer: answer, told: make(chan string, 1000)}}
	w.reopen()
	return w
}

func (w *world) reopen() {
	var err error
	if w.queue, err = queue.Open(w.t.Context(), queue.Config{Meta: w.meta}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) add(deliveries ...*queue.Delivery) {
	w.t.Helper()
	var b engine.Batch
	for _, d := range deliveries {
		d.Kind = "test"
		if d.Expires.IsZero() {
			d.Expires = time.Now().Add(time.Hour)
		}
		if d.MaxRetries == 0 {
			d.MaxRetries = 50
		}
	}
	added, err := w.queue.Add(&b, deliveries...)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.meta.Commit(w.t.Context(), &b); err != nil {
		w.t.Fatal(err)
	}
	added()
}

// run carries until stop.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	c := New(Config{Queue: w.queue, Carriers: map[string]Carrier{"test": w.c}, Log: slog.New(slog.DiscardHandler), FirstPause: time.Millisecond})
	go func() { c.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func (w *world) arrived(n int) (out []string) {
	w.t.Helper()
	for range n {
		select {
		case p := <-w.c.told:
			out = append(out, p)
		case <-time.After(time.Minute):
			w.t.Fatalf("%d of %d arrived: %v", len(out), n, out)
		}
	}
	return out
}

func TestTriedUntilItArrives(t *testing.T) {
	w := newWorld(t, func(_ string, n int) error {
		if n < 4 {
			return errors.New("down")
		}
		return nil
	})
	w.add(&queue.Delivery{Target: "a", Payload: []byte("x")})
	stop := w.run()
	w.arrived(1)
	stop()
	if w.queue.Waiting() != 0 || len(w.c.given) != 5 {
		t.Errorf("%d waiting, %d tries", w.queue.Waiting(), len(w.c.given))
	}
}

func TestWhatIsRefusedIsADeadLetter(t *testing.T) {
	w := newWorld(t, func(p string, _ int) error {
		if p == "no" {
			return &Refused{"404"}
		}
		return errors.New("down")
	})
	w.add(&queue.Delivery{Target: "a", Payload: []byte("no")}, &queue.Delivery{Target: "b", Payload: []byte("few"), MaxRetries: 2},
		&queue.Delivery{Target: "c", Payload: []byte("late"), Expires: time.Now().Add(-time.Second)})
	stop := w.run()
	for end := time.Now().Add(time.Minute); w.queue.DeadLetters() < 3 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	stop()
	w.reopen()
	var dead []string
	if err := w.queue.Dead(t.Context(), func(d *queue.Delivery) bool {
		dead = append(dead, fmt.Sprintf("%s after %d: %s", d.Payload, d.Tries, d.Attempts[len(d.Attempts)-1].Error))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(dead)
	want := []string{"few after 3: down", "late after 1: it was not delivered in time", "no after 1: 404"}
	if !slices.Equal(dead, want) || w.queue.Waiting() != 0 {
		t.Errorf("%q, %d waiting", dead, w.queue.Waiting())
	}
}

func TestADeadLetterGoesToItsQueueOnce(t *testing.T) {
	w := newWorld(t, func(string, int) error { return &Refused{"404"} })
	w.add(&queue.Delivery{Target: "a", Payload: []byte("x"), Account: "111122223333", Cause: "rule", DeadLetter: "arn:aws:sqs:us-east-1:111122223333:dead"})
	letters := &carrier{told: make(chan string, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	c := New(Config{Queue: w.queue, Carriers: map[string]Carrier{"test": w.c, "sqs": letters}, Log: slog.New(slog.DiscardHandler), FirstPause: time.Millisecond})
	go func() { c.Run(ctx); close(done) }()
	select {
	case p := <-letters.told:
		if p != "x" {
			t.Errorf("%q", p)
		}
	case <-time.After(time.Minute):
		t.Error("nothing came to the dead-letter queue")
	}
	cancel()
	<-done
	if n := len(letters.given); n != 1 || w.queue.DeadLetters() != 1 || w.queue.Waiting() != 0 {
		t.Errorf("%d letters, %d kept, %d waiting", n, w.queue.DeadLetters(), w.queue.Waiting())
	}
}

func TestASlowTargetHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, func(p string, _ int) error {
		if strings.HasPrefix(p, "slow") {
			<-release
		}
		return nil
	})
	for i := range 50 {
		w.add(&queue.Delivery{Target: "slow", Payload: fmt.Appendf(nil, "slow %d", i)}, &queue.Delivery{Target: "quick", Payload: fmt.Appendf(nil, "%d", i)})
	}
	stop := w.run()
	for _, p := range w.arrived(50) {
		if strings.HasPrefix(p, "slow") {
			t.Fatal("a slow one arrived first")
		}
	}
	close(release)
	w.arrived(50)
	stop()
}

func TestOrderIsKeptPerKey(t *testing.T) {
	fails := map[string]int{"b/k1 3": 2, "b/k2 0": 3}
	w := newWorld(t, func(p string, n int) error {
		if n < fails[p] {
			return errors.New("down")
		}
		return nil
	})
	for i := range 100 {
		for _, key := range []string{"b/k1", "b/k2", "b/k3"} {
			w.add(&queue.Delivery{Target: "hook", Order: key, Payload: fmt.Appendf(nil, "%s %d", key, i)})
		}
	}
	stop := w.run()
	next := map[string]int{}
	for _, p := range w.arrived(300) {
		key, n, _ := strings.Cut(p, " ")
		if n != fmt.Sprint(next[key]) {
			t.Fatalf("%s came in place of %d", p, next[key])
		}
		next[key]++
	}
	stop()
}

func TestAcrossARestart(t *testing.T) {
	down := true
	w := newWorld(t, func(string, int) error {
		if down {
			return errors.New("down")
		}
		return nil
	})
	w.add(&queue.Delivery{Target: "a", Payload: []byte("1")}, &queue.Delivery{Target: "o", Order: "k", Payload: []byte("2")}, &queue.Delivery{Target: "o", Order: "k", Payload: []byte("3")})
	stop := w.run()
	time.Sleep(20 * time.Millisecond)
	stop()
	w.reopen()
	down = false
	if w.queue.Waiting() != 3 {
		t.Fatalf("%d waiting", w.queue.Waiting())
	}
	stop = w.run()
	got := w.arrived(3)
	stop()
	if slices.Index(got, "2") > slices.Index(got, "3") {
		t.Errorf("order: %v", got)
	}
}

func TestJudge(t *testing.T) {
	for status, final := range map[int]bool{200: false, 204: false, 302: true, 400: true, 401: false, 403: true, 404: true, 407: false, 409: false, 410: true, 429: false, 500: false, 503: false} {
		r := httptest.NewRecorder()
		r.Header().Set("Retry-After", "7")
		r.WriteHeader(status)
		err := Judge(r.Result())
		var refused *Refused
		var later *Later
		switch {
		case (err == nil) != (status < 300), errors.As(err, &refused) != final:
			t.Errorf("%d: %v", status, err)
		case err != nil && !final && (!errors.As(err, &later) || later.Wait != 7*time.Second):
			t.Errorf("%d: the wait is not told: %v", status, err)
		}
	}
}

func TestErrorsDoNotNameTheURL(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	url := dead.URL + "/secret"
	dead.Close()
	_, err := http.Post(url, "", nil)
	if got := Unnamed(err).Error(); strings.Contains(got, "secret") {
		t.Error(got)
	}
}

// BenchmarkDelivery is the way of a delivery through the queue to its carrier.
func BenchmarkDelivery(b *testing.B) {
	meta := memory.NewMeta()
	q, err := queue.Open(b.Context(), queue.Config{Meta: meta})
	if err != nil {
		b.Fatal(err)
	}
	c := &carrier{told: make(chan string, 1)}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		New(Config{Queue: q, Carriers: map[string]Carrier{"test": c}, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
		close(done)
	}()
	for b.Loop() {
		var batch engine.Batch
		added, err := q.Add(&batch, &queue.Delivery{Kind: "test", Target: "t", Payload: []byte("x"), Expires: time.Now().Add(time.Hour)})
		if err != nil {
			b.Fatal(err)
		}
		if err := meta.Commit(ctx, &batch); err != nil {
			b.Fatal(err)
		}
		added()
		<-c.told
	}
	cancel()
	<-done
}
