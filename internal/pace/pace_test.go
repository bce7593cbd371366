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

// machine is a congestion that a test sets.
type machine struct{ congestion, begun, looks atomic.Int64 }

func (m *machine) measure() func() time.Duration {
	m.begun.Add(1)
	return func() time.Duration {
		m.looks.Add(1)
		return time.Duration(m.congestion.Load())
	}
}

func (m *machine) pacer() *Pacer {
	return New(Config{Congestion: m.measure, Widest: 8, Target: time.Millisecond})
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
		if done, most := l.within(time.Second); most != 8 || done < 1500 {
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
		m.congestion.Store(int64(10 * time.Millisecond))
		time.Sleep(200 * time.Millisecond)
		// A tenth of the time, in units of 5 ms: 20 in a second.
		if done, most := l.within(time.Second); most != 1 || done < 19 || done > 21 {
			t.Errorf("%d at a time, %d in a second; want 1 and 20", most, done)
		}
		if s := p.Stats(); s.Width != .1 || s.Waiting < 19 || s.Jobs["a"].Waited == 0 {
			t.Errorf("stats %+v", s)
		}
		m.congestion.Store(int64(time.Millisecond / 2))
		time.Sleep(time.Second)
		if _, most := l.within(time.Second); most != 8 {
			t.Errorf("%d at a time when it is calm again", most)
		}
	})
}

func TestHoldsTheTarget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		p := m.pacer()
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		// What is at work congests: four at a time are at the target.
		for range 200 {
			m.congestion.Store(l.at.Load() * int64(time.Millisecond) / 4)
			time.Sleep(p.config.Interval)
		}
		if w := p.Stats().Width; w < 3 || w > 6 {
			t.Errorf("width %v, want about 4", w)
		}
	})
}

func TestFloorRisesWithWhatIsBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congestion.Store(int64(time.Second))
		p := m.pacer()
		l := begin(t, p, "a", 20, 5*time.Millisecond)
		defer l.end()
		for _, c := range []struct {
			behind time.Duration
			width  float64
		}{{0, .1}, {time.Minute, .2}, {9 * time.Minute, 1}, {39 * time.Minute, 4}, {24 * time.Hour, 8}, {0, .1}} {
			p.Behind("a", c.behind)
			time.Sleep(time.Second)
			if w := p.Stats().Width; w != c.width {
				t.Errorf("%v behind: width %v, want %v", c.behind, w, c.width)
			}
		}
	})
}

func TestTurnsGoRoundBetweenJobs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{}
		m.congestion.Store(int64(time.Second))
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
		m.congestion.Store(int64(time.Second))
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
		m.congestion.Store(int64(time.Second))
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
		m.congestion.Store(int64(time.Second))
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
