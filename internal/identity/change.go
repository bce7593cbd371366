package identity

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// keptNotes is how many revisions a node may fall behind before it reads everything again.
const keptNotes = 1024

// change is one atomic step from a State to the next. Reads through it see its own writes.
type change struct {
	*State
	touched []touch
}

type touch struct {
	kind Kind
	id   string
	gone bool
}

func (c *change) set(e entity) {
	c.State.put(e, false)
	c.touched = append(c.touched, touch{kind: e.kind(), id: e.id()})
}

func (c *change) remove(e entity) {
	c.State.drop(e.kind(), e.id())
	c.touched = append(c.touched, touch{kind: e.kind(), id: e.id(), gone: true})
}

// change runs fn on a copy of the current State and commits what it wrote. When another node was
// quicker, fn runs again on what that node left. The new State is in place when it returns nil.
//
// g is whose request makes the change, for the feed; the zero Grant for what Kura does of itself.
func (s *Store) change(ctx context.Context, g authz.Grant, fn func(*change) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for range 16 {
		next := *s.state.Load()
		c := &change{State: &next}
		if err := fn(c); err != nil {
			return err
		}
		if len(c.touched) == 0 {
			return nil
		}
		err := s.commit(ctx, g, c)
		if !errors.Is(err, engine.ErrConflict) {
			return err
		}
		if err := s.follow(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("identity: change: %w", engine.ErrConflict)
}

// commit makes c durable and then current. After a failure the outcome is unknown, so that the
// State is read again before the next change.
func (s *Store) commit(ctx context.Context, g authz.Grant, c *change) error {
	if s.unsure {
		if err := s.follow(ctx); err != nil {
			return err
		}
		if s.state.Load().revision != c.revision {
			return engine.ErrConflict
		}
	}
	c.revision++
	batch, err := c.batch()
	if err != nil {
		return err
	}
	batch.Require([]byte(revisionKey), s.revised)
	told, err := s.tell(batch, g, c)
	if err != nil {
		return err
	}
	defer told()
	if err := s.meta.Commit(ctx, batch); err != nil {
		s.unsure = !errors.Is(err, engine.ErrConflict)
		return err
	}
	s.publish(c.State)
	revision, version, err := s.readRevision(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		s.unsure = true
	case revision == c.revision:
		s.revised = version
	default:
		s.unsure = true // another node came after us already
	}
	return nil
}

// batch is c as the store takes it: the records, the revision, and the note of what was written.
func (c *change) batch() (*engine.Batch, error) {
	b := new(engine.Batch)
	var note []string
	for _, t := range c.touched {
		key := recordPrefix + recordID(t.kind, t.id)
		note = append(note, key)
		e, ok := c.records.get(recordID(t.kind, t.id))
		if !ok {
			b.Delete([]byte(key))
			continue
		}
		value, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("identity: encode %s: %w", key, err)
		}
		b.Set([]byte(key), value)
	}
	text, err := json.Marshal(note)
	if err != nil {
		return nil, err
	}
	b.Set([]byte(revisionKey), []byte(strconv.FormatUint(c.revision, 10)))
	b.Set(noteKey(c.revision), text)
	if c.revision > keptNotes {
		b.Delete(noteKey(c.revision - keptNotes))
	}
	return b, nil
}

func noteKey(revision uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(notePrefix), revision)
}

func (s *Store) readRevision(ctx context.Context) (uint64, engine.Version, error) {
	value, version, err := s.meta.Get(ctx, []byte(revisionKey), nil)
	if err != nil || version == 0 {
		return 0, 0, err
	}
	revision, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("identity: revision record: %w", err)
	}
	return revision, version, nil
}

// follow brings the State up to what the store holds. The caller holds s.writing.
func (s *Store) follow(ctx context.Context) error {
	revision, version, err := s.readRevision(ctx)
	if err != nil {
		return err
	}
	current := s.state.Load()
	next := *current
	for next.revision < revision {
		ok, err := s.replay(ctx, &next)
		if err != nil {
			return err
		}
		if !ok {
			fresh, err := s.load(ctx)
			if err != nil {
				return err
			}
			next, version = *fresh.state, fresh.version
			break
		}
	}
	s.publish(&next)
	s.revised, s.unsure = version, false
	s.confirmed.Store(s.now().UnixNano())
	return nil
}

// replay applies the note after the revision of next. ok is false when it is no longer kept.
func (s *Store) replay(ctx context.Context, next *State) (ok bool, err error) {
	note, version, err := s.meta.Get(ctx, noteKey(next.revision+1), nil)
	if err != nil || version == 0 {
		return false, err
	}
	var keys []string
	if err := json.Unmarshal(note, &keys); err != nil {
		return false, fmt.Errorf("identity: note of revision %d: %w", next.revision+1, err)
	}
	for _, key := range keys {
		if err := s.refresh(ctx, next, key); err != nil {
			return false, err
		}
	}
	next.revision++
	return true, nil
}

// refresh reads one record again.
func (s *Store) refresh(ctx context.Context, next *State, key string) error {
	value, version, err := s.meta.Get(ctx, []byte(key), nil)
	if err != nil {
		return err
	}
	if version == 0 {
		kind, id, _ := cutRecordKey(key)
		next.drop(kind, id)
		return nil
	}
	e, err := decode(key, value)
	if err != nil {
		return err
	}
	next.put(e, false)
	return nil
}
