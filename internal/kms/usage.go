package kms

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// LastUse is the last cryptographic operation that a key was used for with success.
type LastUse struct {
	At time.Time
	// Operation is AWS's name of it, ReEncrypt for both its halves.
	Operation string
	RequestID string `json:",omitempty"`
}

// usageGrain is how often the same use is noted again.
const usageGrain = time.Second

// usages are the last uses. They are hints, written once in a while: a crash may lose the latest.
type usages struct {
	last sync.Map // id → *LastUse
	// written are those that are in the store, under Store.writing.
	written map[string]*LastUse
}

const usagePrefix = "kms/u/" // id: its last use

type usageRecord struct {
	Format int
	Key    string
	LastUse
}

func decodeUsage(raw []byte) (*usageRecord, error) {
	var r usageRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if r.Format != recordFormat || r.Key == "" {
		return nil, fmt.Errorf("%w: use of format %d", errRecord, r.Format)
	}
	return &r, nil
}

// loadUsages reads the uses that earlier runs wrote.
func (s *Store) loadUsages(ctx context.Context) error {
	s.usages.written = map[string]*LastUse{}
	return engine.Each(ctx, s.meta, usagePrefix, func(_, raw []byte, _ engine.Version) error {
		r, err := decodeUsage(raw)
		if err != nil {
			return err
		}
		s.usages.last.Store(r.Key, &r.LastUse)
		s.usages.written[r.Key] = &r.LastUse
		return nil
	})
}

// used notes a use that succeeded, and puts one on a caller's behalf into the record of the request that
// it is made for.
func (s *Store) used(g authz.Grant, operation string, k *Key, context map[string]string) {
	ev := g.Event()
	name := operation
	if strings.HasPrefix(name, "ReEncrypt") {
		name = "ReEncrypt"
	}
	now := s.now().UTC()
	if old, ok := s.usages.last.Load(k.ID); !ok || old.(*LastUse).Operation != name || now.Sub(old.(*LastUse).At) >= usageGrain {
		u := &LastUse{At: now.Truncate(time.Millisecond), Operation: name}
		if ev != nil {
			u.RequestID = ev.RequestID
		}
		s.usages.last.Store(k.ID, u)
	}
	if ev == nil || ev.Service == service {
		return
	}
	ev.KMS = append(ev.KMS, audit.KeyUse{
		Action: "kms:" + operation, KeyARN: k.ARN, Account: k.Account, Context: context, ViaService: ViaService(ev.Service, k.Region),
	})
}

// service is the signing name of direct calls.
const service = "kms"

// LastUse is the key's last use; ok is false when it was never used.
func (s *Store) LastUse(k *Key) (u LastUse, ok bool) {
	if last, ok := s.usages.last.Load(k.ID); ok {
		return *last.(*LastUse), true
	}
	return LastUse{}, false
}

// DaysWithoutUse is how many whole days the key was not used, since it was made if it never was.
func (s *Store) DaysWithoutUse(k *Key) int {
	since := k.Created
	if u, ok := s.LastUse(k); ok {
		since = u.At
	}
	return max(0, int(s.now().Sub(since)/(24*time.Hour)))
}

// FlushUses writes the uses that were noted since the last time.
func (s *Store) FlushUses(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b := &engine.Batch{Lazy: true}
	fresh := map[string]*LastUse{}
	var failed error
	s.usages.last.Range(func(id, v any) bool {
		u := v.(*LastUse)
		if s.usages.written[id.(string)] == u || s.key(id.(string)) == nil {
			return true
		}
		raw, err := json.Marshal(usageRecord{recordFormat, id.(string), *u})
		if err != nil {
			failed = err
			return false
		}
		b.Set([]byte(usagePrefix+id.(string)), raw)
		fresh[id.(string)] = u
		return true
	})
	if failed != nil || len(b.Writes) == 0 {
		return failed
	}
	if err := s.meta.Commit(ctx, b); err != nil {
		return fmt.Errorf("kms: last uses: %w", err)
	}
	for id, u := range fresh {
		s.usages.written[id] = u
	}
	return nil
}

// forgetUse drops the use of a key that is no more. The caller holds s.writing, or loads.
func (s *Store) forgetUse(id string) {
	s.usages.last.Delete(id)
	delete(s.usages.written, id)
}
