package kms

import (
	"context"
	"errors"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// Housekeeping is the name of the job that does what time brings, and what it may touch.
const (
	Housekeeping       = "kms-housekeeping"
	HousekeepingAction = "kms:*"
	HousekeepingARN    = "arn:aws:kms:*"
)

// duty is what time brings to a key.
type duty func(*Store, context.Context, authz.Grant, *Key) error

// due is what is to be done with k now; nil: nothing.
func (s *Store) due(k *Key) duty {
	now := s.now()
	switch {
	case s.erased(k):
		return (*Store).eraseKey
	case k.Origin == OriginExternal && !k.Expires().IsZero() && !now.Before(k.Expires()):
		return (*Store).expire
	case k.Rotation.Enabled && k.State == Enabled && k.Origin == OriginKMS && !now.Before(k.Rotation.Next):
		return (*Store).rotateDue
	}
	return nil
}

// Due tells whether Housekeep has anything to do.
func (s *Store) Due() bool {
	found := false
	s.keys.Range(func(_, k any) bool {
		found = s.due(k.(*Key)) != nil
		return !found
	})
	return found
}

// Housekeep erases keys whose waiting time is over and imported material that has expired, and rotates
// what is due. Its grant covers HousekeepingAction on HousekeepingARN. It may be run at any time, on any
// node, and after any crash.
func (s *Store) Housekeep(ctx context.Context, g authz.Grant) error {
	type work struct {
		key *Key
		do  duty
	}
	var list []work
	s.keys.Range(func(_, v any) bool {
		if do := s.due(v.(*Key)); do != nil {
			list = append(list, work{v.(*Key), do})
		}
		return true
	})
	var errs []error
	for _, w := range list {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, w.do(s, ctx, g, w.key))
	}
	return errors.Join(errs...)
}

// still finds k again inside of a change; nil when there is nothing to do with it any more.
func (s *Store) still(k *Key, is func(*Key) bool) *Key {
	if now := s.key(k.ID); now != nil && is(now) {
		return now
	}
	return nil
}

// eraseKey takes the key away with its material, aliases and grants.
func (s *Store) eraseKey(ctx context.Context, g authz.Grant, k *Key) error {
	return s.commit(ctx, g, "DeleteKey", func(c *change) error {
		k := s.still(k, s.erased)
		if k == nil {
			return nil
		}
		if err := g.Require("kms:DeleteKey", k.ARN); err != nil {
			return err
		}
		c.batch.Delete(keyRecordKey(k.ID))
		c.batch.Delete([]byte(usagePrefix + k.ID))
		for _, m := range k.Materials {
			c.batch.Delete(materialRecordKey(k.ID, m.Number))
		}
		for _, x := range k.grants.all() {
			c.batch.Delete(grantRecordKey(k.ID, x.ID))
		}
		for _, name := range k.Aliases {
			if a, ok := s.alias(k.Account, k.Region, name); ok && a.Target == k.ID {
				c.dropAlias(a)
			}
		}
		c.publish = append(c.publish, func() { s.forget(k.ID) })
		c.tell(k, nil, nil, nil)
		return nil
	})
}

// expire erases imported material whose time is over.
func (s *Store) expire(ctx context.Context, g authz.Grant, k *Key) error {
	return s.commit(ctx, g, "DeleteExpiredKeyMaterial", func(c *change) error {
		old := s.still(k, func(k *Key) bool { return !k.Expires().IsZero() && !s.now().Before(k.Expires()) })
		if old == nil {
			return nil
		}
		if err := g.Require("kms:DeleteExpiredKeyMaterial", old.ARN); err != nil {
			return err
		}
		next := old.clone()
		c.erase(next)
		return c.set(old, next)
	})
}

// rotateDue rotates by itself.
func (s *Store) rotateDue(ctx context.Context, g authz.Grant, k *Key) error {
	raw, err := s.newMaterial(ctx, SymmetricDefault)
	if err != nil {
		return err
	}
	return s.commit(ctx, g, "RotateKey", func(c *change) error {
		old := s.still(k, func(k *Key) bool {
			return k.Rotation.Enabled && k.State == Enabled && !s.now().Before(k.Rotation.Next)
		})
		if old == nil {
			return nil
		}
		if err := g.Require("kms:RotateKey", old.ARN); err != nil {
			return err
		}
		next := old.clone()
		next.Rotation.Next = s.now().UTC().Truncate(time.Second).AddDate(0, 0, next.Rotation.Days)
		c.rotate(next, raw, "AUTOMATIC")
		return c.set(old, next)
	})
}
