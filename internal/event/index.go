package event

// index finds what receives the events of a bus, by the bus's ARN. It is made when it is first asked
// after a change.
type index struct {
	rules    map[string][]*Rule
	archives map[string][]*Archive
}

// receivers are the rules and archives of a bus.
func (s *Store) receivers(account, bus string) ([]*Rule, []*Archive) {
	x := s.index.Load()
	if x == nil {
		x = s.reindex()
	}
	arn := s.BusARN(account, bus)
	return x.rules[arn], x.archives[arn]
}

func (s *Store) reindex() *index {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &index{rules: map[string][]*Rule{}, archives: map[string][]*Archive{}}
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
