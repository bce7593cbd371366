package event

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/event/pattern"
)

// Archive keeps the events of a bus, for replays.
type Archive struct {
	Account, Name, ARN, Source, Description, Pattern string
	RetentionDays                                    int // 0: for ever
	Created                                          time.Time
	// Slot is where its events lie; never used by another archive.
	Slot string

	pattern *pattern.Pattern
}

func (a *Archive) compile() (err error) {
	if a.Pattern != "" {
		a.pattern, err = pattern.Compile([]byte(a.Pattern))
	}
	return err
}

// keptEvents counts what archives hold, by slot.
type keptEvents struct {
	mu    sync.Mutex
	count map[string]int64
	bytes map[string]int64
}

func (k *keptEvents) add(slot string, events, bytes int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count[slot] += events
	k.bytes[slot] += bytes
}

const keptPrefix = "ev/a/"

// keptKey is the place of an archived event: slot, time, and a hash of its id.
func keptKey(slot string, at time.Time, id string) []byte {
	h := fnv.New64a()
	h.Write([]byte(id))
	return binary.BigEndian.AppendUint64(keptFrom(slot, at), h.Sum64())
}

// keptFrom is where the events of a time and later begin. Times that a key cannot tell count as the
// nearest that it can: 1970, and 2262.
func keptFrom(slot string, at time.Time) []byte {
	nanos := uint64(0)
	switch last := time.Unix(0, math.MaxInt64); {
	case at.After(last):
		nanos = math.MaxInt64
	case at.Unix() >= 0:
		nanos = uint64(at.UnixNano())
	}
	return binary.BigEndian.AppendUint64([]byte(keptPrefix+slot+"/"), nanos)
}

const slotLength = 32

func (s *Store) countKept(ctx context.Context, meta engine.Meta) error {
	s.kept = keptEvents{count: map[string]int64{}, bytes: map[string]int64{}}
	return engine.Each(ctx, meta, keptPrefix, func(key, value []byte, _ engine.Version) error {
		if of := key[len(keptPrefix):]; len(of) > slotLength {
			s.kept.add(string(of[:slotLength]), 1, int64(len(value)))
		}
		return nil
	})
}

// keep adds a routed event to the archives that want it. A replayed event is not archived again.
func (s *Store) keep(archives []*Archive, r *routed) (kept func()) {
	var slots []string
	for _, a := range archives {
		if r.event.Replay != "" || a.pattern != nil && !a.pattern.Matches(r.document) {
			continue
		}
		r.batch.Set(keptKey(a.Slot, r.event.Time, r.event.ID), r.occasion.raw)
		slots = append(slots, a.Slot)
	}
	return func() {
		for _, slot := range slots {
			s.kept.add(slot, 1, int64(len(r.occasion.raw)))
		}
	}
}

// ArchiveARN is the ARN of an archive.
func (s *Store) ArchiveARN(account, name string) string { return s.arn(account, "archive/"+name) }

func (s *Store) archive(account, name string) (*Archive, error) {
	if a, ok := get(s, &s.archives, account+"/"+name); ok {
		return a, nil
	}
	return nil, refuse(NotFound, "Archive %s does not exist.", name)
}

// ArchiveSpec is what is set of an archive. Nil: left as it is.
type ArchiveSpec struct {
	Description, Pattern *string
	RetentionDays        *int32
}

func (a *Archive) apply(in ArchiveSpec) error {
	if in.Description != nil {
		a.Description = *in.Description
	}
	if in.RetentionDays != nil {
		a.RetentionDays = int(*in.RetentionDays)
	}
	if in.Pattern != nil {
		a.Pattern, a.pattern = *in.Pattern, nil
	}
	return a.compile()
}

const maxArchives = 100

// CreateArchive needs events:CreateArchive.
func (s *Store) CreateArchive(ctx context.Context, g authz.Grant, account, name, source string, in ArchiveSpec) (*Archive, error) {
	if err := g.Require("events:CreateArchive", s.ArchiveARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	owner, bus, err := s.BusName(account, source)
	if err != nil {
		return nil, err
	}
	if owner != account {
		return nil, refuse(Invalid, "Parameter EventSourceArn is not valid. Reason: the event bus belongs to another account.")
	}
	if _, err := s.bus(account, bus); err != nil {
		return nil, err
	}
	if _, exists := get(s, &s.archives, account+"/"+name); exists {
		return nil, refuse(AlreadyExists, "Archive %s already exists.", name)
	}
	if count(s, &s.archives, account+"/") >= maxArchives {
		return nil, refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
	}
	a := &Archive{Account: account, Name: name, ARN: s.ArchiveARN(account, name), Source: source, Created: s.moment(), Slot: newSlot()}
	if err := a.apply(in); err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.archives, account+"/"+name, a)
	return a, s.commit(ctx, &e)
}

func newSlot() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// UpdateArchive needs events:UpdateArchive.
func (s *Store) UpdateArchive(ctx context.Context, g authz.Grant, account, name string, in ArchiveSpec) (*Archive, error) {
	if err := g.Require("events:UpdateArchive", s.ArchiveARN(account, name)); err != nil {
		return nil, err
	}
	if in == (ArchiveSpec{}) {
		return nil, refuse(Invalid, "At least one of EventPattern, RetentionDays or Description must be provided.")
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	old, err := s.archive(account, name)
	if err != nil {
		return nil, err
	}
	next := *old
	if err := next.apply(in); err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.archives, account+"/"+name, &next)
	return &next, s.commit(ctx, &e)
}

// DeleteArchive takes an archive away with all its events. It needs events:DeleteArchive.
func (s *Store) DeleteArchive(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("events:DeleteArchive", s.ArchiveARN(account, name)); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	a, err := s.archive(account, name)
	if err != nil {
		return err
	}
	var e edit
	put(&e, &s.archives, account+"/"+name, nil)
	lo := []byte(keptPrefix + a.Slot + "/")
	e.batch.DeleteRange(lo, engine.PrefixEnd(lo))
	return s.commit(ctx, &e)
}

// ArchiveSize is how much an archive holds.
func (s *Store) ArchiveSize(a *Archive) (events, bytes int64) {
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	return s.kept.count[a.Slot], s.kept.bytes[a.Slot]
}

// DescribeArchive needs events:DescribeArchive.
func (s *Store) DescribeArchive(_ context.Context, g authz.Grant, account, name string) (*Archive, error) {
	if err := g.Require("events:DescribeArchive", s.ArchiveARN(account, name)); err != nil {
		return nil, err
	}
	return s.archive(account, name)
}

// ListArchives needs events:ListArchives on "*".
func (s *Store) ListArchives(_ context.Context, g authz.Grant, account, source string, p Page) (Listed[*Archive], error) {
	if err := g.Require("events:ListArchives", "*"); err != nil {
		return Listed[*Archive]{}, err
	}
	return list(s, &s.archives, account+"/", p, func(a *Archive) bool { return source == "" || a.Source == source })
}

// Forget takes events away that are older than their archive keeps them. It is called now and then.
func (s *Store) Forget(ctx context.Context) error {
	s.mu.RLock()
	var all []*Archive
	for _, a := range s.archives.items {
		all = append(all, a)
	}
	s.mu.RUnlock()
	for _, a := range all {
		if a.RetentionDays == 0 {
			continue
		}
		if err := s.forget(ctx, a.Slot, s.now().AddDate(0, 0, -a.RetentionDays)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forget(ctx context.Context, slot string, before time.Time) error {
	lo, hi := []byte(keptPrefix+slot+"/"), keptFrom(slot, before)
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return err
	}
	var events, bytes int64
	for it.Next() {
		events++
		bytes += int64(len(it.Value()))
	}
	if err := it.Close(); err != nil || events == 0 {
		return err
	}
	var b engine.Batch
	b.DeleteRange(lo, hi)
	if err := s.meta.Commit(ctx, &b); err != nil {
		return err
	}
	s.kept.add(slot, -events, -bytes)
	return nil
}
