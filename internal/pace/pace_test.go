package pace

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// machine is one that others congest so much, and each turn so much more.
type machine struct {
	p            *Pacer
	others, each atomic.Int64
	begun, looks atomic.Int64
}

func (m *machine) measure() func() time.Duration {
	m.begun.Add(1)
	return func() time.Duration {
		m.looks.Add(1)
		m.p.mu.Lock()
		defer m.p.mu.Unlock()
		return time.Duration(m.others.Load()) + time.Duration(m.p.width.now*float64(m.each.Load()))
	}
}

// congest leaves nothing for background work.
func (m *machine) congest() {
	m.others.Store(int64(time.Hour))
	m.each.Store(int64(1000 * time.Hour))
}

func (m *machine) pacer() *Pacer {
	m.p = New(Config{Congestion: m.measure, Widest: 8, Beside: 8, Calm: time.Millisecond})
	return m.p
}

// bubble runs a test on a clock of its own, and fails when a goroutine or timer outlives the work by a second.
func bubble(t *testing.T, test func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		test(t)
		time.Sleep(time.Second)
	})
}

// load keeps workers of a job busy with units of a length, and tells how many are at it.
type load struct {
	stop       context.CancelFunc
	all        sync.WaitGroup
	at, most   atomic.Int64
	done       atomic.Int64
	interrupts atomic.Int64
}

func begin(t *testing.T, p *Pacer, job string, workers int, unit time.Duration) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel}
	for range workers {
		l.all.Go(func() {
			for ctx.Err() == nil {
				err := p.Do(ctx, job, func(context.Context) error {
					n := l.at.Add(1)
					l.most.Store(max(l.most.Load(), n))
					time.Sleep(unit)
					l.at.Add(-1)
					l.done.Add(1)
					return nil
				})
				if err != nil {
					l.interrupts.Add(1)
				}
			}
		})
	}
	return l
}

func (l *load) end() {
	l.stop()
	l.all.Wait()
}

// within says how many units end within d, and how many were at work at a time.
func (l *load) within(d time.Duration) (done, most int64) {
	before := l.done.Load()
	l.most.Store(0)
	time.Sleep(d)
	return l.done.Load() - before, l.most.Load()
}

func TestWidensWhileCalm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		p := m.pacer()
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		time.Sleep(time.Second)
		if done, most := l.within(time.Second); most != 8 || done < 1350 {
			t.Errorf("%d at a time, %d in a second; want the widest", most, done)
		}
	})
}

func TestNarrowsToTheFloorUnderCongestion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		p := m.pacer()
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		time.Sleep(time.Second)
		m.others.Store(int64(10 * time.Millisecond))
		m.each.Store(int64(time.Second))
		time.Sleep(5 * time.Second)
		// A tenth of the time, and a quarter of that, in units of 5 ms: 20 to 25 in a second.
		if done, most := l.within(time.Second); most != 1 || done < 19 || done > 26 {
			t.Errorf("%d at a time, %d in a second; want 1 and 20", most, done)
		}
		if s := p.Stats(); s.Width > .13 || s.Waiting < 19 || s.Jobs["a"].Waited == 0 {
			t.Errorf("stats %+v", s)
		}
		m.others.Store(0)
		m.each.Store(int64(time.Millisecond / 20))
		time.Sleep(5 * time.Second)
		if _, most := l.within(time.Second); most != 8 {
			t.Errorf("%d at a time when it is calm again", most)
		}
	})
}

func TestHoldsTheTarget(t *testing.T) {
	for _, c := range []struct {
		others, each time.Duration
		least, most  float64
	}{
		// Where others do not wait, what waits is the work itself.
		{0, time.Millisecond / 4, 8, 8},
		{0, 3 * time.Millisecond, 3, 5},
		{time.Millisecond / 2, time.Millisecond, 2, 3.5},
		{time.Millisecond, time.Millisecond, .2, .5},
		// Where others congest the machine, they may wait a quarter longer.
		{8 * time.Millisecond, time.Millisecond, 1.9, 2.3},
		{8 * time.Millisecond, 4 * time.Millisecond, .4, .8},
		{8 * time.Millisecond, 0, 8, 8},
	} {
		bubble(t, func(t *testing.T) {
			m := &machine{}
			m.others.Store(int64(c.others))
			m.each.Store(int64(c.each))
			p := m.pacer()
			l := begin(t, p, "a", 20, 5*time.Millisecond)
			defer l.end()
			time.Sleep(20 * time.Second)
			if w := p.Stats().Width; w < c.least || w > c.most {
				t.Errorf("others %v, each %v: width %v, want about %v", c.others, c.each, w, c.least)
			}
		})
	}
}

func TestFloorRisesWithWhatIsBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congest()
		p := m.pacer()
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		for _, c := range []struct {
			behind time.Duration
			width  float64
		}{{0, .1}, {time.Minute, .2}, {9 * time.Minute, 1}, {39 * time.Minute, 4}, {24 * time.Hour, 8}, {0, .1}} {
			p.Behind("a", c.behind)
			time.Sleep(time.Second)
			if w := p.Stats().Width; w < c.width || w > 1.3*c.width {
				t.Errorf("%v behind: width %v, want %v", c.behind, w, c.width)
			}
		}
	})
}

func TestWithoutRequestsNothingIsCongested(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congest()
		p := m.pacer()
		var total, now atomic.Int64
		p.config.Requests = func() (int64, int64) { return total.Load(), now.Load() }
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		for _, c := range []struct {
			total, now int64
			most       int64
		}{{0, 0, 8}, {0, 1, 1}, {1, 0, 8}} {
			total.Store(c.total)
			now.Store(c.now)
			time.Sleep(5 * time.Second)
			if _, most := l.within(2 * time.Second); most != c.most {
				t.Errorf("%d requests, %d of them now: %d turns at a time, want %d", c.total, c.now, most, c.most)
			}
		}
	})
}

func TestBesideRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := (&machine{}).pacer()
		var served atomic.Int64
		p.config.Beside = 2
		p.config.Requests = func() (int64, int64) { return 0, served.Load() }
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		for now, want := range []int64{8, 2} {
			served.Store(int64(now))
			time.Sleep(time.Second)
			if _, most := l.within(time.Second); most != want {
				t.Errorf("%d requests: %d turns at a time, want %d", now, most, want)
			}
		}
	})
}

func TestCreditWaitsForNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congest()
		p := m.pacer()
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		other := begin(t, p, "b", 1, 5*time.Millisecond)
		defer other.end()
		time.Sleep(5 * time.Second)
		p.Credit("a", 100)
		done, most := l.within(100 * time.Millisecond)
		if most != 8 || done < 100 || done > 104 {
			t.Errorf("%d turns, %d at a time; want the 100 and 8", done, most)
		}
		p.Credit("a", 1_000_000)
		if done, _ := l.within(10 * time.Second); done > mostCredit+250 {
			t.Errorf("%d turns with too much credit", done)
		}
		if done, _ := other.within(10 * time.Second); done < 90 {
			t.Errorf("%d turns without credit", done)
		}
		feeding, stop := context.WithCancel(t.Context())
		var feeder sync.WaitGroup
		feeder.Go(func() {
			for feeding.Err() == nil {
				p.Credit("a", 100)
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(time.Second)
		if done, _ := other.within(10 * time.Second); done < 50 {
			t.Errorf("%d turns beside others with credit", done)
		}
		stop()
		feeder.Wait()
	})
}

func TestTurnsGoRoundBetweenJobs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congest()
		p := m.pacer()
		many := begin(t, p, "many", 20, time.Millisecond)
		defer many.end()
		one := begin(t, p, "one", 1, time.Millisecond)
		defer one.end()
		time.Sleep(time.Second)
		a, _ := many.within(10 * time.Second)
		b, _ := one.within(10 * time.Second)
		if b < a*9/10 {
			t.Errorf("the one got %d turns, the many %d", b, a)
		}
	})
}

func TestTheEndOfAContextEndsAWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congest()
		p := m.pacer()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hold := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			_ = p.Do(t.Context(), "a", func(context.Context) error { <-hold; return nil })
		})
		synctest.Wait()
		began := time.Now()
		err := p.Do(ctx, "a", func(context.Context) error { t.Error("it ran"); return nil })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := p.Do(ctx, "a", func(context.Context) error { t.Error("it ran"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(hold)
		all.Wait()
		if s := p.Stats(); s.Running != 0 || s.Waiting != 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

func TestNothingRunsWithoutWork(t *testing.T) {
	m := &machine{}
	bubble(t, func(t *testing.T) {
		p := m.pacer()
		for range 3 {
			if err := p.Do(t.Context(), "a", func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
	})
	if begun, looks := m.begun.Load(), m.looks.Load(); begun != 3 || looks != 3*linger {
		t.Errorf("looked %d times after %d beginnings", looks, begun)
	}
}

func TestALongUnitBreathes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congest()
		p := m.pacer()
		ctx, cancel := context.WithCancel(t.Context())
		var chunks atomic.Int64
		ended := make(chan error)
		go func() {
			ended <- p.Do(ctx, "long", func(ctx context.Context) error {
				for {
					time.Sleep(2 * time.Millisecond)
					chunks.Add(1)
					if err := Breathe(ctx); err != nil {
						return err
					}
				}
			})
		}()
		time.Sleep(time.Second)
		chunks.Store(0)
		other := begin(t, p, "other", 1, 2*time.Millisecond)
		done, _ := other.within(10 * time.Second)
		if n := chunks.Load(); n < 200 || done < 200 {
			t.Errorf("%d chunks of the long one, %d units of the other", n, done)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		other.end()
		if s := p.Stats(); s.Running != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAsideLeavesTheTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congest()
		p := m.pacer()
		broken := errors.New("broken")
		var all sync.WaitGroup
		all.Go(func() {
			err := p.Do(t.Context(), "a", func(ctx context.Context) error {
				if err := Aside(ctx, func() error { time.Sleep(time.Hour); return nil }); err != nil {
					t.Error(err)
				}
				if s := p.Stats(); s.Running != 1 {
					t.Errorf("after it: %+v", s)
				}
				return Aside(ctx, func() error { return broken })
			})
			if err != broken {
				t.Error(err)
			}
		})
		synctest.Wait()
		if s := p.Stats(); s.Running != 0 {
			t.Errorf("during it: %+v", s)
		}
		all.Wait()
		if s := p.Stats(); s.Running != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestReaderTakesATurnForEachRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := (&machine{}).pacer()
		got, err := io.ReadAll(p.Reader(t.Context(), "a", strings.NewReader("text")))
		if err != nil || string(got) != "text" || p.Stats().Jobs["a"].Turns != 2 {
			t.Errorf("%q, %v, %+v", got, err, p.Stats())
		}
	})
}

func TestAUnitThatPanicsEndsItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := (&machine{}).pacer()
		func() {
			defer func() { _ = recover() }()
			_ = p.Do(t.Context(), "a", func(context.Context) error { panic("broken") })
		}()
		if s := p.Stats(); s.Running != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWithoutAPacer(t *testing.T) {
	var p *Pacer
	p.Behind("a", time.Hour)
	ran := 0
	err := p.Do(t.Context(), "a", func(ctx context.Context) error {
		ran++
		return errors.Join(Breathe(ctx), Aside(ctx, func() error { ran++; return nil }))
	})
	if err != nil || ran != 2 {
		t.Errorf("%d, %v", ran, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Do(ctx, "a", func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSchedulerMeasures(t *testing.T) {
	measure := Scheduler()
	for range 1000 { // samples
		c := make(chan struct{})
		go close(c)
		<-c
	}
	if d := measure(); d < 0 || d > time.Minute {
		t.Errorf("%v", d)
	}
}
