package object

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
)

// SettingPublicAccessBlock is the name of the setting that buckets and accounts have in common.
const SettingPublicAccessBlock = "publicAccessBlock"

// Account is what is configured for all buckets of an account, immutable once published.
type Account struct {
	ID string
	// Settings as in Bucket ("publicAccessBlock"). Absent: never configured, or deleted.
	Settings map[string][]byte
	// Revision is the record's version, for conditional updates; 0 when there is no record.
	Revision engine.Version `json:"-"`

	memo *memo
}

// accountRecord is the stored form of an Account.
type accountRecord struct {
	Format int
	Account
}

const formatAccount = 1

func accountKey(id string) []byte { return append([]byte(spaceAccount), id...) }

func decodeAccount(raw []byte, v engine.Version) (*Account, error) {
	var r accountRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if r.Format != formatAccount || r.ID == "" {
		return nil, fmt.Errorf("%w: account", errRecord)
	}
	a := r.Account
	a.Revision, a.memo = v, new(memo)
	return &a, nil
}

// accountTable is every configured account, in memory.
type accountTable struct {
	byID atomic.Pointer[map[string]*Account]
	// changes is held by whoever changes accounts, from reading to publishing, and shared by those who change buckets (a new one is closed by a block of its own): what
	// is allowed because of a bucket and its account together is so until the change is made.
	changes sync.RWMutex
}

func (t *accountTable) get(id string) *Account {
	if m := t.byID.Load(); m != nil {
		return (*m)[id]
	}
	return nil
}

func (t *accountTable) publish(a *Account) {
	next := map[string]*Account{}
	if m := t.byID.Load(); m != nil {
		next = maps.Clone(*m)
	}
	next[a.ID] = a
	t.byID.Store(&next)
}

// Account is what is configured for an account, from memory. One that was never configured has no
// settings. It decides nothing.
func (s *Store) Account(id string) *Account {
	if a := s.accounts.get(id); a != nil {
		return a
	}
	return &Account{ID: id}
}

// UpdateAccount changes what is configured for an account and needs action on "*". Change gets a deep
// copy and is called again when another node was faster; its error ends the update and comes back
// unchanged. No bucket is changed between Change and the end. What it made holds for every request that
// begins after UpdateAccount returned.
func (s *Store) UpdateAccount(ctx context.Context, g authz.Grant, action, id string, change func(*Account) error) (*Account, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, err
	}
	t := &s.accounts
	t.changes.Lock()
	defer t.changes.Unlock()
	ctx = context.WithoutCancel(ctx)
	for range commitAttempts {
		a, err := s.updateAccountOnce(ctx, g, s.Account(id), change)
		if !errors.Is(err, engine.ErrConflict) {
			return a, stored(err)
		}
		if _, err := s.republishAccount(ctx, id); err != nil {
			return nil, err
		}
	}
	return nil, fault.New(Busy, "")
}

func (s *Store) updateAccountOnce(ctx context.Context, g authz.Grant, old *Account, change func(*Account) error) (*Account, error) {
	next := Account{ID: old.ID, Settings: cloneSettings(old.Settings)}
	if err := change(&next); err != nil {
		return nil, err
	}
	next.ID = old.ID
	raw, err := json.Marshal(accountRecord{Format: formatAccount, Account: next})
	if err != nil {
		return nil, err
	}
	var batch engine.Batch
	batch.Require(accountKey(old.ID), old.Revision)
	batch.Set(accountKey(old.ID), raw)
	before, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	told, err := s.tell(&batch, g, feed.Entry{Kind: feed.Account, Account: old.ID, Resource: old.ID, Before: before, After: raw})
	if err != nil {
		return nil, err
	}
	defer told()
	if err := s.meta.Commit(ctx, &batch); err != nil {
		return nil, err
	}
	return s.republishAccount(ctx, old.ID)
}

// republishAccount reads an account that was just written, for its revision, and makes it visible.
func (s *Store) republishAccount(ctx context.Context, id string) (*Account, error) {
	raw, version, err := s.meta.Get(ctx, accountKey(id), nil)
	if err != nil {
		return nil, stored(err)
	}
	a := &Account{ID: id, memo: new(memo)}
	if version != 0 {
		if a, err = decodeAccount(raw, version); err != nil {
			return nil, stored(err)
		}
	}
	s.accounts.publish(a)
	return a, nil
}

// loadAccounts brings the table to what is stored.
func (s *Store) loadAccounts(ctx context.Context) error {
	t := &s.accounts
	t.changes.Lock()
	defer t.changes.Unlock()
	lo, hi := prefixRange([]byte(spaceAccount))
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		id := string(it.Key()[len(spaceAccount):])
		if old := t.get(id); old != nil && old.Revision == it.Version() {
			continue
		}
		a, err := decodeAccount(it.Value(), it.Version())
		if err != nil {
			return fmt.Errorf("account %q: %w", id, err)
		}
		t.publish(a)
	}
	return it.Err()
}
