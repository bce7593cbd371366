package pace

import (
	"context"
	"slices"
	"time"
)

// take waits until the turn is granted. When ctx ends before, the turn is over.
func (t *turn) take(ctx context.Context) error {
	p := t.p
	p.mu.Lock()
	if t.over || ctx.Err() != nil {
		t.over = true
		p.mu.Unlock()
		return ctx.Err()
	}
	t.since = time.Now()
	if len(t.job.waiting) == 0 {
		p.order = append(p.order, t.job)
	}
	t.job.waiting = append(t.job.waiting, t)
	p.look()
	p.admit()
	held := t.held
	p.mu.Unlock()
	if held {
		<-t.granted
		return nil
	}
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(t)
	return ctx.Err()
}

// leave ends a turn, whether it has been granted or not.
func (p *Pacer) leave(t *turn) {
	t.over = true
	if t.held {
		p.release(t)
		return
	}
	j := t.job
	if i := slices.Index(j.waiting, t); i >= 0 {
		j.waiting = slices.Delete(j.waiting, i, i+1)
		if len(j.waiting) == 0 {
			p.order = slices.DeleteFunc(p.order, func(other *job) bool { return other == j })
		}
	}
}

// give gives the turn back that has been held for least, and tells whether it did. One with credit stands in
// nobody's way: it is kept, unless it is to be given back at once.
func (t *turn) give(least time.Duration) bool {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if !t.held || least > 0 && (t.credited || time.Since(t.since) < least) {
		return false
	}
	t.p.release(t)
	return true
}

func (t *turn) end() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if !t.over {
		t.p.leave(t)
	}
}

// release takes a turn back. Where there is less than one at a time, a rest follows it. The caller holds
// p.mu, as with all below.
func (p *Pacer) release(t *turn) {
	t.held = false
	if t.credited {
		p.ahead--
		p.admit()
		return
	}
	p.running--
	if w := p.width.now; w < 1 {
		now := time.Now()
		p.rested = now.Add(min(time.Duration(float64(now.Sub(t.since))*(1/w-1)), longestRest))
	}
	p.admit()
}

// admit grants the turns that have credit, and those for which there is room, one job after the other.
func (p *Pacer) admit() {
	for {
		i := slices.IndexFunc(p.order, func(j *job) bool { return j.credit > 0 })
		credited := i >= 0 && p.running+p.ahead < int(p.config.Widest)
		if credited {
			p.order[i].credit--
			p.ahead++
		} else if i = 0; len(p.order) > 0 && p.room() {
			p.running++
		} else {
			return
		}
		p.grant(i, credited)
	}
}

// grant gives the next turn of a job, and puts it behind the others.
func (p *Pacer) grant(i int, credited bool) {
	j := p.order[i]
	t := j.waiting[0]
	j.waiting = j.waiting[1:]
	p.order = slices.Delete(p.order, i, i+1)
	if len(j.waiting) > 0 {
		p.order = append(p.order, j)
	} else {
		j.waiting = nil
	}
	now := time.Now()
	j.turns++
	j.waited += now.Sub(t.since)
	t.held, t.since, t.credited = true, now, credited
	t.granted <- struct{}{}
}

func (p *Pacer) room() bool {
	if p.width.now >= 1 {
		return p.running < int(p.width.now)
	}
	if p.running > 0 {
		return false
	}
	wait := time.Until(p.rested)
	if wait <= 0 {
		return true
	}
	if p.rest == nil {
		p.rest = time.AfterFunc(wait, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.rest = nil
			p.admit()
		})
	}
	return false
}

// look makes sure that somebody looks how the machine is while there is work.
func (p *Pacer) look() {
	if p.looking {
		return
	}
	p.looking = true
	go p.watch()
}

func (p *Pacer) watch() {
	tick := time.NewTicker(p.config.Interval)
	defer tick.Stop()
	congestion, requests := p.config.Congestion(), p.requests()
	for without := 0; without < linger; {
		<-tick.C
		waited, served := congestion(), requests()
		p.mu.Lock()
		if without++; p.running+p.ahead > 0 || len(p.order) > 0 {
			without = 0
			if served {
				p.width.look(waited, &p.config, p.floor())
			} else {
				p.width.free(&p.config)
			}
			p.admit()
		}
		if without == linger {
			p.looking = false
		}
		p.mu.Unlock()
	}
}

// requests begins to look for requests. What it returns tells whether there were any in the last looks.
func (p *Pacer) requests() func() bool {
	if p.config.Requests == nil {
		return func() bool { return true }
	}
	last, _ := p.config.Requests()
	quiet := 0
	return func() bool {
		total, now := p.config.Requests()
		if quiet++; total != last || now > 0 {
			quiet, last = 0, total
		}
		return quiet < idle
	}
}

// floor is how narrow it may become: it rises with what is behind.
func (p *Pacer) floor() float64 {
	var behind time.Duration
	for _, j := range p.jobs {
		behind = max(behind, j.behind)
	}
	return min(p.config.Floor*(1+float64(behind)/float64(p.config.Patience)), p.config.Widest)
}
