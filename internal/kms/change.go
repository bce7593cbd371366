package kms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
)

// change is one atomic step. What it wrote becomes visible when it is durable.
type change struct {
	s     *Store
	g     authz.Grant
	batch engine.Batch
	// operation of changes that no request makes.
	operation string
	entries   []feed.Entry
	publish   []func()
}

// View is a key as the change feed's entries show it (Before and After): all that is known of it but
// its material and its grants. Entries of a changed grant show the grant beside it.
type View struct {
	KeyID, ARN, Account, Description string
	State                            State
	Spec                             Spec
	Usage                            Usage
	Origin                           Origin
	Manager                          Manager
	// Policy has users and roles by their unique ids, as the key has.
	Policy   string
	Aliases  []string
	Tags     []Tag
	Rotation Rotation
	Deletion string `json:",omitempty"` // RFC 3339
	Material string `json:",omitempty"` // id of what encrypts
	Grant    *Grant `json:",omitempty"`
}

func (k *Key) view(g *Grant) json.RawMessage {
	if k == nil {
		return nil
	}
	v := View{
		KeyID: k.ID, ARN: k.ARN, Account: k.Account, Description: k.Description, State: k.State, Spec: k.Spec, Usage: k.Usage, Origin: k.Origin,
		Manager: k.Manager, Policy: k.Policy.Source(), Aliases: k.Aliases, Tags: k.Tags, Rotation: k.Rotation, Material: k.CurrentMaterial(), Grant: g,
	}
	if !k.Deletion.IsZero() {
		v.Deletion = k.Deletion.UTC().Format("2006-01-02T15:04:05Z")
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil // cannot be: plain values
	}
	return raw
}

// tell notes a change of a key for the feed.
func (c *change) tell(before, after *Key, grantBefore, grantAfter *Grant) {
	k := after
	if k == nil {
		k = before
	}
	e := feed.Made(feed.Key, c.g.Event())
	if c.operation != "" {
		e.Operation = c.operation
	}
	e.Account, e.Resource, e.Gone = k.Account, k.ARN, after == nil
	e.Before, e.After = before.view(grantBefore), after.view(grantAfter)
	c.entries = append(c.entries, e)
}

// set stores next in place of old, which is nil for a new key.
func (c *change) set(old, next *Key) error {
	raw, err := next.encode()
	if err != nil {
		return fmt.Errorf("kms: encode %s: %w", next.ID, err)
	}
	c.batch.Set(keyRecordKey(next.ID), raw)
	c.show(next)
	c.tell(old, next, nil, nil)
	return nil
}

// show makes k what its id means once the change is durable.
func (c *change) show(k *Key) {
	c.publish = append(c.publish, func() { c.s.keys.Store(k.ID, k) })
}

// commit runs fn on what is there now and makes what it wrote durable, then visible. When another node
// was quicker, fn runs again. The outcome of a commit that failed otherwise is unknown, so everything
// is read again before the next change.
func (s *Store) commit(ctx context.Context, g authz.Grant, operation string, fn func(*change) error) error {
	ctx = context.WithoutCancel(ctx)
	s.writing.Lock()
	defer s.writing.Unlock()
	for range 16 {
		if s.unsure {
			if err := s.load(ctx); err != nil {
				return err
			}
		}
		c := &change{s: s, g: g, operation: operation}
		if err := fn(c); err != nil {
			return err
		}
		if len(c.batch.Writes) == 0 {
			return nil
		}
		err := s.write(ctx, c)
		if err == nil {
			return nil
		}
		s.unsure = true
		if !errors.Is(err, engine.ErrConflict) {
			return fmt.Errorf("kms: commit: %w", err)
		}
	}
	return fmt.Errorf("kms: commit: %w", engine.ErrConflict)
}

func (s *Store) write(ctx context.Context, c *change) error {
	c.batch.Require([]byte(counterKey), s.revised)
	c.batch.Set([]byte(counterKey), encodeCount(s.count+1))
	for _, e := range c.entries {
		done, err := s.feed.Add(&c.batch, e)
		if err != nil {
			return err
		}
		defer done()
	}
	if err := s.meta.Commit(ctx, &c.batch); err != nil {
		return err
	}
	s.revised, s.count = c.batch.Version, s.count+1
	for _, show := range c.publish {
		show()
	}
	return nil
}

func encodeCount(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }

func decodeCount(raw []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: counter: %w", errRecord, err)
	}
	return n, nil
}

// edit changes one key. It needs action on it; fn gets a copy and may write more into the change.
func (s *Store) edit(ctx context.Context, g authz.Grant, action, id string, fn func(*change, *Key) error) error {
	return s.commit(ctx, g, "", func(c *change) error {
		old, err := s.existing(id)
		if err != nil {
			return err
		}
		if err := g.RequireStill(action, old.ARN, old); err != nil {
			return err
		}
		next := old.clone()
		if err := fn(c, next); err != nil {
			return err
		}
		return c.set(old, next)
	})
}

// existing is the key with the id.
func (s *Store) existing(id string) (*Key, error) {
	if k := s.key(id); k != nil && !s.erased(k) {
		return k, nil
	}
	return nil, refuse(NotFound, "Key '%s' does not exist", id)
}

// without is list less the one item.
func without(list []string, item string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(x string) bool { return x == item })
}
