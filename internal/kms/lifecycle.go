package kms

import (
	"context"
	"sort"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/authz"
)

// Bounds of the waiting time before a key is erased, in days.
const (
	minWindow     = 7
	maxWindow     = 30
	defaultWindow = 30
)

// notPending refuses changes of a key that is pending deletion.
func notPending(k *Key) error {
	if k.State == PendingDeletion {
		return refuse(InvalidState, "%s is pending deletion.", k.ARN)
	}
	return nil
}

// switchable refuses to enable or disable a key that is neither.
func (s *Store) switchable(k *Key) error {
	if err := notPending(k); err != nil {
		return err
	}
	if s.StateOf(k) == PendingImport {
		return refuse(InvalidState, "%s is pending import.", k.ARN)
	}
	return nil
}

// Enable needs kms:EnableKey.
func (s *Store) Enable(ctx context.Context, g authz.Grant, id string) error {
	return s.edit(ctx, g, "kms:EnableKey", id, func(_ *change, k *Key) error {
		if err := s.switchable(k); err != nil {
			return err
		}
		k.State = Enabled
		return nil
	})
}

// Disable needs kms:DisableKey.
func (s *Store) Disable(ctx context.Context, g authz.Grant, id string) error {
	return s.edit(ctx, g, "kms:DisableKey", id, func(_ *change, k *Key) error {
		if err := s.switchable(k); err != nil {
			return err
		}
		k.State = DisabledState
		return nil
	})
}

// Describe replaces the description. It needs kms:UpdateKeyDescription.
func (s *Store) Describe(ctx context.Context, g authz.Grant, id, description string) error {
	if utf8.RuneCountInString(description) > maxDescription {
		return violates(description, "description", "Member must have length less than or equal to 8192")
	}
	return s.edit(ctx, g, "kms:UpdateKeyDescription", id, func(_ *change, k *Key) error {
		k.Description = description
		return notPending(k)
	})
}

// ScheduleDeletion has the key erased after days (7 to 30; 0: 30), in which it cannot be used. It needs
// kms:ScheduleKeyDeletion.
func (s *Store) ScheduleDeletion(ctx context.Context, g authz.Grant, id string, days int) (*Key, error) {
	if days == 0 {
		days = defaultWindow
	}
	if days < minWindow || days > maxWindow {
		return nil, refuse(Invalid, "PendingWindowInDays must be between %d and %d, inclusive.", minWindow, maxWindow)
	}
	var next *Key
	err := s.edit(ctx, g, "kms:ScheduleKeyDeletion", id, func(_ *change, k *Key) error {
		next = k
		k.Deletion, k.Window = s.now().UTC().Truncate(time.Second).AddDate(0, 0, days), days
		err := notPending(k)
		k.State = PendingDeletion
		return err
	})
	return next, err
}

// CancelDeletion keeps a key that was to be erased; it is disabled then, or waits for its material. It
// needs kms:CancelKeyDeletion.
func (s *Store) CancelDeletion(ctx context.Context, g authz.Grant, id string) error {
	return s.edit(ctx, g, "kms:CancelKeyDeletion", id, func(_ *change, k *Key) error {
		if k.State != PendingDeletion {
			return refuse(InvalidState, "%s is not pending deletion.", k.ARN)
		}
		k.State, k.Deletion, k.Window = DisabledState, time.Time{}, 0
		if k.current() == nil {
			k.State = PendingImport
		}
		return nil
	})
}

// Keys are the account's keys in the region, by id. It needs kms:ListKeys on "*".
func (s *Store) Keys(g authz.Grant, account string) ([]*Key, error) {
	if err := g.Require("kms:ListKeys", "*"); err != nil {
		return nil, err
	}
	var list []*Key
	s.keys.Range(func(_, v any) bool {
		if k := v.(*Key); k.Account == account && k.Region == s.region && !s.erased(k) {
			list = append(list, k)
		}
		return true
	})
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list, nil
}
