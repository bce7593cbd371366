package event

import "sync"

// index finds what receives the events of a bus, by the bus's ARN. It is made when it is first asked
// after a change.
type index struct {
	all map[string]receivers

	// kinds are the receivers of each kind of event, as far as they were asked for: most rules want few kinds, and are
	// not looked at for others.
	mu    sync.RWMutex
	kinds map[kind]receivers
}

// kind is what rules mostly tell events by.
type kind struct{ bus, source, detailType string }

type receivers struct {
	rules    []*Rule
	archives []*Archive
}

// hearing are the receivers that what is known of an event does not exclude.
func (some receivers) hearing(known map[string]string) (hear receivers) {
	for _, r := range some.rules {
		if !r.pattern.Excludes(known) {
			hear.rules = append(hear.rules, r)
		}
	}
	for _, a := range some.archives {
		if a.pattern == nil || !a.pattern.Excludes(known) {
			hear.archives = append(hear.archives, a)
		}
	}
	return hear
}

func (some receivers) nobody() bool { return len(some.rules)+len(some.archives) == 0 }

// maxKinds are remembered, of at most maxKind bytes; clients put events of kinds of their own.
const (
	maxKinds = 1024
	maxKind  = 512
)

// receivers are the rules and archives of a bus that may want events of a kind.
func (s *Store) receivers(account, bus, source, detailType string) receivers {
	x := s.index.Load()
	if x == nil {
		x = s.reindex()
	}
	return x.of(kind{s.BusARN(account, bus), source, detailType})
}

func (x *index) of(k kind) receivers {
	x.mu.RLock()
	found, ok := x.kinds[k]
	x.mu.RUnlock()
	if ok {
		return found
	}
	found = x.all[k.bus].hearing(map[string]string{"source": k.source, "detail-type": k.detailType})
	if len(k.source)+len(k.detailType) > maxKind {
		return found
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.kinds) < maxKinds {
		x.kinds[k] = found
	}
	return found
}

// add takes a rule in, unless events do not set it off.
func (x *index) add(bus string, r *Rule) {
	if r.pattern == nil || r.State == Disabled {
		return
	}
	of := x.all[bus]
	of.rules = append(of.rules, r)
	x.all[bus] = of
}

func (s *Store) reindex() *index {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &index{all: map[string]receivers{}, kinds: map[kind]receivers{}}
	for _, r := range s.rules.items {
		x.add(s.BusARN(r.Account, r.Bus), r)
	}
	for _, a := range s.archives.items {
		of := x.all[a.Source]
		of.archives = append(of.archives, a)
		x.all[a.Source] = of
	}
	s.index.Store(x)
	return x
}
