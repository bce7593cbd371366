package identity

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// Use is the last time that an access key, a role or a password was used.
type Use struct {
	At      time.Time
	Service string `json:",omitempty"`
	Region  string `json:",omitempty"`
}

// useGrain is how often the same use is noted again.
const useGrain = time.Minute

// usageLog keeps last uses in memory until they are written, lazily: they are hints, which a crash
// may lose. It holds at most one entry per key, role and user that exists.
type usageLog struct {
	mu    sync.RWMutex
	last  map[string]Use
	dirty map[string]bool
}

// NoteUse remembers that the key was used now for a service. It is called once per authenticated
// request and costs a map lookup unless something is new. principal is the unique id of the role
// behind a temporary key, whose own id nobody asks for.
func (s *Store) NoteUse(accessKeyID, principal, service, region string) {
	id := accessKeyID
	if isTemporary(accessKeyID) {
		id = principal
	}
	if id != "" {
		s.usage.note(id, Use{At: s.now().UTC().Truncate(useGrain), Service: service, Region: region})
	}
}

func (l *usageLog) note(id string, u Use) {
	l.mu.RLock()
	old := l.last[id]
	l.mu.RUnlock()
	if old.At.Equal(u.At) && old.Service == u.Service && old.Region == u.Region {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last, l.dirty = map[string]Use{}, map[string]bool{}
	}
	l.last[id] = u
	l.dirty[id] = true
}

// LastUse is when an access key or a user's password was last used, by its or the user's id; zero for
// never. It decides nothing: what it tells is for Kura's own watch, not for an answer.
func (s *Store) LastUse(ctx context.Context, id string) (time.Time, error) {
	u, err := s.lastUse(ctx, id)
	return u.At, err
}

// lastUse is the latest use of id known here or in the store; the zero Use for none.
func (s *Store) lastUse(ctx context.Context, id string) (u Use, err error) {
	s.usage.mu.RLock()
	u = s.usage.last[id]
	s.usage.mu.RUnlock()
	value, version, err := s.meta.Get(ctx, []byte(lastUsedPrefix+id), nil)
	if err != nil || version == 0 {
		return u, err
	}
	var stored Use
	if err := json.Unmarshal(value, &stored); err != nil {
		return u, err
	}
	if stored.At.After(u.At) {
		return stored, nil
	}
	return u, nil
}

// flushUsage writes what was noted since the last time.
func (s *Store) flushUsage(ctx context.Context) error {
	s.usage.mu.Lock()
	batch := &engine.Batch{Lazy: true}
	for id := range s.usage.dirty {
		value, err := json.Marshal(s.usage.last[id])
		if err != nil {
			s.usage.mu.Unlock()
			return err
		}
		batch.Set([]byte(lastUsedPrefix+id), value)
	}
	s.usage.dirty = map[string]bool{}
	if s.usage.last == nil || len(s.usage.last) > maxUsesKept {
		s.usage.last = map[string]Use{} // all of it is in the batch or in the store
	}
	s.usage.mu.Unlock()
	if len(batch.Writes) == 0 {
		return nil
	}
	return s.meta.Commit(ctx, batch)
}

// maxUsesKept bounds the memory of what was flushed already.
const maxUsesKept = 100000
