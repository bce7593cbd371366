package identity

import (
	"strings"
	"sync/atomic"
)

// State is everything there is, as of one revision. It is never changed: a change makes the next.
type State struct {
	revision uint64
	serial   uint64 // of the publication, within this process
	// shared changes with every change to an entity that many subjects depend on (a group, a managed
	// policy, an account, the organization). A cached subject is good while it stands still.
	shared  uint64
	ticks   *atomic.Uint64    // gives shared values that no other State of the process had
	records table[entity]     // by kind and id
	index   ordered[entity]   // by the keys that entities yield
	keys    table[*accessKey] // by access key id
}

func newState() *State {
	return &State{ticks: new(atomic.Uint64), records: newTable[entity](), index: newOrdered[entity](), keys: newTable[*accessKey]()}
}

// shares tells whether other subjects than its own depend on an entity of the kind.
func shares(k Kind) bool { return k != KindUser && k != KindRole && k != kindKey && k != KindMFA }

// put replaces or adds an entity. own: see table.with.
func (s *State) put(e entity, own bool) {
	e.prepare()
	at := recordID(e.kind(), e.id())
	if old, ok := s.records.get(at); ok {
		s.unindex(old)
	}
	s.records = s.records.with(at, e, own)
	e.indexes(func(key string) { s.index = s.index.with(key, e, own) })
	if k, ok := e.(*accessKey); ok {
		s.keys = s.keys.with(k.ID, k, own)
	}
	if shares(e.kind()) {
		s.shared = s.ticks.Add(1)
	}
}

// drop removes the entity of kind and id, if there is one.
func (s *State) drop(kind Kind, id string) {
	at := recordID(kind, id)
	old, ok := s.records.get(at)
	if !ok {
		return
	}
	s.records = s.records.without(at)
	s.unindex(old)
	if kind == kindKey {
		s.keys = s.keys.without(id)
	}
	if shares(kind) {
		s.shared = s.ticks.Add(1)
	}
}

func (s *State) unindex(old entity) {
	old.indexes(func(key string) {
		if now, ok := s.index.get(key); ok && now.id() == old.id() {
			s.index = s.index.without(key)
		}
	})
}

func recordID(kind Kind, id string) string { return string(kind) + "/" + id }

// byID finds an entity by its unique id.
func byID[E entity](s *State, kind Kind, id string) (e E, ok bool) {
	found, ok := s.records.get(recordID(kind, id))
	if !ok {
		return e, false
	}
	e, ok = found.(E)
	return e, ok
}

// byName finds an entity by its friendly name, whatever the case.
func byName[E entity](s *State, account string, kind Kind, name string) (e E, ok bool) {
	found, ok := s.index.get(nameIndex(account, kind, name))
	if !ok {
		return e, false
	}
	e, ok = found.(E)
	return e, ok
}

// byARN finds an entity by its exact ARN.
func byARN[E resource](s *State, arn string) (e E, ok bool) {
	account, kind, path, name, ok := splitARN(arn)
	if !ok {
		return e, false
	}
	e, ok = byName[E](s, account, kind, indexName(kind, path, name))
	if !ok || e.head().Path != path || e.head().Name != name {
		var none E
		return none, false
	}
	return e, true
}

// resource is an entity that has an IAM ARN.
type resource interface {
	entity
	head() *header
	// twin is a copy to change; its lists are its own.
	twin() resource
}

// arnOf is the ARN of an entity.
func arnOf(e resource) string { return e.head().arn(e.kind()) }

// each calls fn for the entities indexed under prefix, from the key on, until fn says false.
func each[E entity](s *State, prefix, from string, fn func(key string, e E) bool) {
	s.index.ascend(prefix, prefix+from, func(key string, found entity) bool {
		e, ok := found.(E)
		return !ok || fn(strings.TrimPrefix(key, prefix), e)
	})
}

// count is the number of entities indexed under prefix, at most limit.
func (s *State) count(prefix string, limit int) (n int) {
	s.index.ascend(prefix, prefix, func(string, entity) bool {
		n++
		return n < limit
	})
	return n
}

func (s *State) account(id string) (*account, bool) { return byID[*account](s, kindAccount, id) }
