// Package pace gives background work what requests leave of the machine.
//
// A job cuts its work into units (one object copied, a slice of a list) and runs each of them in a turn
// that a Pacer gave it. While what is ready to run gets a processor at once, there are many turns and the
// work goes as fast as it can; when it has to wait, there are fewer, down to one at a time with long rests
// in between. It is never less than that: work that keeps coming to the floor still comes to its end, and
// the floor rises with the time that a job says it is behind. What requests themselves make for a job to do
// is credited to it: so many turns it gets at once, and it keeps up with them.
//
// Whoever waits for a turn must hold nothing that others wait for: no lock, transaction or snapshot. Turns
// go round between the jobs, so that none waits for the whole queue of another.
package pace

import (
	"context"
	"io"
	"maps"
	"runtime"
	"sync"
	"time"
)

// Config of a Pacer. The zero value is one for a server.
type Config struct {
	// Congestion begins to measure when there is work, and then tells every Interval how long what was
	// ready to run has lately been waiting for a processor. Default Scheduler.
	Congestion func() func() time.Duration
	// Requests tells how many there have been, and how many are being served. Without any, the congestion
	// is the work's own and does not matter. Nil: there are always some.
	Requests func() (total, now int64)
	// Interval between two looks. Default 20 ms.
	Interval time.Duration
	// Calm is a congestion that requests without background work bring about when they need most of the
	// machine. Default 100 µs.
	Calm time.Duration
	// Widest is how many turns there are at most, and Beside while there are requests, what is credited
	// not counted: what slows a disk does not show in the congestion. Floor is how many there are at
	// least: the share of the time in which there is one. Defaults 32, a quarter of the processors, and
	// 0.1.
	Widest, Beside, Floor float64
	// Patience is how far a job may be behind until the floor is twice as high; it rises in proportion.
	// Default one minute.
	Patience time.Duration
}

const (
	// quantum is how long a turn lasts before Breathe gives others theirs.
	quantum = 2 * time.Millisecond
	// longestRest bounds the rest after a turn that took long.
	longestRest = 500 * time.Millisecond
	// linger is how many looks without work end the looking.
	linger = 10
	// idle is how many looks in a row without a request mean that there are none.
	idle = 5
	// mostCredit bounds the turns that a job saves up: what it cannot use at once waits as other work does.
	mostCredit = 128
)

// Pacer gives turns. A nil Pacer gives each at once. Safe for concurrent use.
type Pacer struct {
	config Config

	mu      sync.Mutex
	width   width
	running int       // turns without credit
	ahead   int       // turns with credit
	rested  time.Time // no turn before, while the width is below 1
	rest    *time.Timer
	looking bool
	jobs    map[string]*job
	order   []*job // those with somebody waiting; the first is next
}

// job is what is known about the turns of one.
type job struct {
	name    string
	waiting []*turn
	behind  time.Duration
	credit  int
	turns   int64
	waited  time.Duration
}

// turn is one unit of work at its time.
type turn struct {
	p       *Pacer
	job     *job
	granted chan struct{}
	// The others are guarded by p.mu. A turn is held, waits, or is over.
	held, over, credited bool
	since                time.Time // when it was granted; before, when it was asked for
}

// New makes a Pacer.
func New(c Config) *Pacer {
	if c.Congestion == nil {
		c.Congestion = Scheduler
	}
	if c.Interval <= 0 {
		c.Interval = 20 * time.Millisecond
	}
	if c.Calm <= 0 {
		c.Calm = 100 * time.Microsecond
	}
	if c.Widest < 1 {
		c.Widest = 32
	}
	if c.Beside <= 0 {
		c.Beside = float64(runtime.GOMAXPROCS(0)) / 4
	}
	if c.Floor <= 0 {
		c.Floor = .1
	}
	if c.Patience <= 0 {
		c.Patience = time.Minute
	}
	return &Pacer{config: c, width: width{now: 1, wanted: 1, without: float64(c.Calm)}, jobs: map[string]*job{}}
}

type turnKey struct{}

// Do runs a unit of a job when its turn has come, unless ctx ends before. The unit's context carries the
// turn, for Breathe and Aside.
func (p *Pacer) Do(ctx context.Context, name string, unit func(ctx context.Context) error) error {
	if p == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		return unit(ctx)
	}
	t := p.turnOf(name)
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.end()
	return unit(context.WithValue(ctx, turnKey{}, t))
}

// Breathe lets others have their turn in the middle of a long unit, if this one has lasted for a while. It
// fails when ctx ends. Without a turn in ctx it does nothing, so that what serves requests as well as jobs
// may call it.
func Breathe(ctx context.Context) error {
	t, _ := ctx.Value(turnKey{}).(*turn)
	if t == nil || !t.give(quantum) {
		return ctx.Err()
	}
	return t.take(ctx)
}

// Aside waits for something else than the machine, without a turn, and takes it again.
func Aside(ctx context.Context, wait func() error) error {
	t, _ := ctx.Value(turnKey{}).(*turn)
	if t == nil || !t.give(0) {
		return wait()
	}
	if err := wait(); err != nil {
		return err
	}
	return t.take(ctx)
}

// Reader reads from r, each time in a turn of a job.
func (p *Pacer) Reader(ctx context.Context, name string, r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return &reader{p: p, ctx: ctx, name: name, from: r}
}

type reader struct {
	p    *Pacer
	ctx  context.Context
	name string
	from io.Reader
}

func (r *reader) Read(b []byte) (n int, err error) {
	err = r.p.Do(r.ctx, r.name, func(context.Context) (err error) {
		n, err = r.from.Read(b)
		return err
	})
	return n, err
}

// Behind tells how far a job is behind: its oldest work has been waiting for so long.
func (p *Pacer) Behind(name string, d time.Duration) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.job(name).behind = d
}

// Credit gives a job turns that wait for nothing: for work that requests have just made.
func (p *Pacer) Credit(name string, turns int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.job(name)
	j.credit = min(j.credit+turns, mostCredit)
	p.admit()
}

// Stats are for metrics.
type Stats struct {
	// Width is how many turns there are at a time; below 1, the share of the time in which there is one.
	Width float64
	// Running and Waiting turns.
	Running, Waiting int
	Jobs             map[string]JobStats
}

// JobStats are those of one job, since the start.
type JobStats struct {
	Turns  int64
	Waited time.Duration
}

// Stats tells how it goes.
func (p *Pacer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Width: p.width.wanted, Running: p.running + p.ahead, Jobs: map[string]JobStats{}}
	for j := range maps.Values(p.jobs) {
		s.Waiting += len(j.waiting)
		s.Jobs[j.name] = JobStats{Turns: j.turns, Waited: j.waited}
	}
	return s
}

func (p *Pacer) job(name string) *job {
	j := p.jobs[name]
	if j == nil {
		j = &job{name: name}
		p.jobs[name] = j
	}
	return j
}

func (p *Pacer) turnOf(name string) *turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &turn{p: p, job: p.job(name), granted: make(chan struct{}, 1)}
}
