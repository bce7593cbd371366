package event

import "sync"

// index finds what receives the events of a bus, by the bus's ARN. It is made when it is first asked
// after a change.
type index struct {
	rules    map[string][]*Rule
	archives map[string][]*Archive

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
	known := map[string]string{"source": k.source, "detail-type": k.detailType}
	for _, r := range x.rules[k.bus] {
		if r.pattern != nil && r.State != Disabled && !r.pattern.Excludes(known) {
			found.rules = append(found.rules, r)
		}
	}
	for _, a := range x.archives[k.bus] {
		if a.pattern == nil || !a.pattern.Excludes(known) {
			found.archives = append(found.archives, a)
		}
	}
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

func (s *Store) reindex() *index {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &index{rules: map[string][]*Rule{}, archives: map[string][]*Archive{}, kinds: map[kind]receivers{}}
	for _, r := range s.rules.items {
		arn := s.BusARN(r.Account, r.Bus)
		x.rules[arn] = append(x.rules[arn], r)
	}
	for _, a := range s.archives.items {
		x.archives[a.Source] = append(x.archives[a.Source], a)
	}
	s.index.Store(x)
	return x
}
