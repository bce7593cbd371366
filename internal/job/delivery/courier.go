// Package delivery carries out what lies in the event queue: it calls API destinations, hands events to
// other buses, and lets other packages carry to further kinds of targets.
//
// Promises: a delivery is tried until it arrives, is refused for good, or has used up its retries or its
// time, with growing pauses, across restarts; a target that is slow or down holds up nobody's
// deliveries but its own; memory is bounded by the number of targets; who sends is judged before each
// try. A stop lets tries in flight end, so that nothing arrives twice on a clean run.
package delivery

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/event/queue"
)

// Carrier carries deliveries of one kind. An error that is a *Refused is final; any other is tried again.
type Carrier interface {
	Carry(ctx context.Context, d *queue.Delivery) error
}

// Patient is a Carrier whose tries take as long as it says.
type Patient interface{ TryTimeout() time.Duration }

// Refused is a failure that trying again does not mend.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }

// Later is a failure whose cause said how long to wait.
type Later struct {
	Reason string
	Wait   time.Duration
	// Exact says that this is the pause, however short: the target has a way of its own.
	Exact bool
}

func (l *Later) Error() string { return l.Reason }

// Outcome of a try, for metrics.
type Outcome string

// The outcomes.
const (
	Arrived Outcome = "arrived"
	Retried Outcome = "retried"
	Dead    Outcome = "dead"
)

// Config of a Courier.
type Config struct {
	// Queue has the deliveries. Required.
	Queue *queue.Queue
	// Carriers by the Kind of a delivery. Required.
	Carriers map[string]Carrier
	// Count is told of each try. Optional.
	Count func(kind string, o Outcome)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log gets a line for each try. Required.
	Log *slog.Logger
	// FirstPause before the second try; each further one is twice as long. Default 500 ms.
	FirstPause time.Duration
}

// Courier empties the queue.
type Courier struct {
	config Config

	mu      sync.Mutex
	lanes   map[queue.Lane]chan struct{} // of the running ones, to be told of new deliveries
	running sync.WaitGroup
}

// New makes a Courier.
func New(c Config) *Courier {
	if c.Count == nil {
		c.Count = func(string, Outcome) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.FirstPause == 0 {
		c.FirstPause = 500 * time.Millisecond
	}
	return &Courier{config: c, lanes: map[queue.Lane]chan struct{}{}}
}

const (
	// abreast is how many deliveries of a lane are tried at the same time.
	abreast = 8
	// inOrder is how many deliveries of an ordered lane are read at a time.
	inOrder = 32
	// maxPause bounds the pause between two tries.
	maxPause = 10 * time.Minute
	// tryTimeout bounds a try, if its carrier does not.
	tryTimeout = 30 * time.Second
	// hiccup is the pause after a failure of the engine.
	hiccup = time.Second
)

// Run carries until ctx ends, and returns when the tries in flight have ended.
func (c *Courier) Run(ctx context.Context) {
	defer c.running.Wait()
	for {
		lanes, err := c.config.Queue.Woken(ctx)
		if err != nil {
			return
		}
		for _, lane := range lanes {
			c.wake(ctx, lane)
		}
	}
}

func (c *Courier) wake(ctx context.Context, lane queue.Lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if signal, ok := c.lanes[lane]; ok {
		select {
		case signal <- struct{}{}:
		default:
		}
		return
	}
	signal := make(chan struct{}, 1)
	c.lanes[lane] = signal
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		c.empty(ctx, lane, signal)
	}()
}

// idle ends a lane's goroutine, unless it was told of something new.
func (c *Courier) idle(lane queue.Lane, signal chan struct{}) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(signal) > 0 {
		<-signal
		return false
	}
	delete(c.lanes, lane)
	return true
}

// empty carries what lies in a lane until there is nothing.
func (c *Courier) empty(ctx context.Context, lane queue.Lane, signal chan struct{}) {
	most := abreast
	if lane.Ordered() {
		most = inOrder
	}
	for ctx.Err() == nil {
		due, next, err := c.config.Queue.Due(ctx, lane, most)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				c.config.Log.Error("delivery: reading the queue", "lane", lane, "err", err)
			}
			pause(ctx, hiccup, nil)
			continue
		case len(due) == 0 && next.IsZero():
			if c.idle(lane, signal) {
				return
			}
			continue
		case len(due) == 0:
			pause(ctx, next.Sub(c.config.Now()), signal)
			continue
		}
		results := c.carry(ctx, lane, due)
		if err := c.config.Queue.Done(context.WithoutCancel(ctx), results...); err != nil {
			c.config.Log.Error("delivery: writing what became of deliveries", "lane", lane, "err", err)
			pause(ctx, hiccup, nil)
		}
		if again := results[len(results)-1].Again; lane.Ordered() && !again.IsZero() {
			pause(ctx, again.Sub(c.config.Now()), nil)
		}
	}
}

// pause waits, until woken.
func pause(ctx context.Context, d time.Duration, woken <-chan struct{}) {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-woken:
	case <-timer.C:
	}
}

// carry tries deliveries: side by side, or one after the other up to the first that has to wait.
func (c *Courier) carry(ctx context.Context, lane queue.Lane, due []*queue.Delivery) []queue.Result {
	ctx = context.WithoutCancel(ctx)
	results := make([]queue.Result, len(due))
	if lane.Ordered() {
		for i, d := range due {
			results[i] = c.try(ctx, d)
			if !results[i].Again.IsZero() {
				return results[:i+1]
			}
		}
		return results
	}
	var tries sync.WaitGroup
	for i, d := range due {
		tries.Go(func() { results[i] = c.try(ctx, d) })
	}
	tries.Wait()
	return results
}

func (c *Courier) try(ctx context.Context, d *queue.Delivery) queue.Result {
	carrier, ok := c.config.Carriers[d.Kind]
	timeout := tryTimeout
	if patient, is := carrier.(Patient); is {
		timeout = patient.TryTimeout()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	started := c.config.Now()
	var err error
	if started.After(d.Expires) {
		err = &Refused{"it was not delivered in time"}
	} else if ok {
		err = carrier.Carry(ctx, d)
	} else {
		err = &Refused{"this server has no targets of the kind " + d.Kind}
	}
	r := queue.Result{Delivery: d, Err: Unnamed(err)}
	log := c.config.Log.With("target", d.Target, "cause", d.Cause, "account", d.Account, "event", d.EventID, "try", d.Tries+1)
	if err == nil {
		c.config.Count(d.Kind, Arrived)
		log.Info("delivered", "took", c.config.Now().Sub(started).Round(time.Millisecond), "after", c.config.Now().Sub(d.Created).Round(time.Millisecond))
		return r
	}
	r.Again = c.again(d, err)
	if r.Again.IsZero() {
		c.config.Count(d.Kind, Dead)
		log.Error("delivery given up", "deadLetterQueue", d.DeadLetter, "err", r.Err)
		return r
	}
	c.config.Count(d.Kind, Retried)
	log.Warn("delivery failed", "again", r.Again.UTC().Format(time.RFC3339), "err", r.Err)
	return r
}

// Unnamed is err without the URL that the HTTP client put before it: it may be a secret.
func Unnamed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// again is when a delivery is tried next, zero for never.
func (c *Courier) again(d *queue.Delivery, err error) time.Time {
	var refused *Refused
	if errors.As(err, &refused) || d.MaxRetries >= 0 && d.Tries >= d.MaxRetries {
		return time.Time{}
	}
	wait := maxPause
	if d.Tries < 16 {
		wait = min(maxPause, c.config.FirstPause<<d.Tries)
	}
	wait = wait/2 + jitter(wait/2)
	var later *Later
	switch {
	case !errors.As(err, &later):
	case later.Exact:
		wait = later.Wait
	default:
		wait = max(wait, min(later.Wait, maxPause))
	}
	at := c.config.Now().Add(wait)
	if at.After(d.Expires) {
		return time.Time{}
	}
	return at
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	var b [8]byte
	rand.Read(b[:])
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(d))
}
