package event

import (
	"context"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// States of a replay.
const (
	ReplayRunning   = "RUNNING"
	ReplayCompleted = "COMPLETED"
	ReplayCancelled = "CANCELLED"
	ReplayFailed    = "FAILED"
)

// Replay tells the events of an archive again, to the bus they were on.
type Replay struct {
	Account, Name, ARN, Description, Archive, Bus, State, Reason string
	// Rules are the ARNs of the rules that get them; none: all.
	Rules              []string `json:",omitempty"`
	From, Until        time.Time
	Last, Started, End time.Time
	// Cursor is the place of the last event that was told.
	Cursor []byte `json:",omitempty"`
}

// ReplayARN is the ARN of a replay.
func (s *Store) ReplayARN(account, name string) string { return s.arn(account, "replay/"+name) }

func (s *Store) replay(account, name string) (*Replay, error) {
	if r, ok := get(s, &s.replays, account+"/"+name); ok {
		return r, nil
	}
	return nil, refuse(NotFound, "Replay %s does not exist.", name)
}

// ReplaySpec is what StartReplay says.
type ReplaySpec struct {
	Description, Archive, Destination string
	Rules                             []string
	From, Until                       time.Time
}

// Limits of replays.
const (
	maxReplays  = 10 // at a time, of an account
	replaySlice = 50 // events told in one commit
)

// StartReplay needs events:StartReplay on the replay.
func (s *Store) StartReplay(ctx context.Context, g authz.Grant, account, name string, in ReplaySpec) (*Replay, error) {
	if err := g.Require("events:StartReplay", s.ReplayARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, exists := get(s, &s.replays, account+"/"+name); exists {
		return nil, refuse(AlreadyExists, "Replay %s already exists.", name)
	}
	a, err := s.replayable(account, &in)
	if err != nil {
		return nil, err
	}
	_, bus, err := s.BusName(account, a.Source)
	if err != nil {
		return nil, err
	}
	if s.running(account) >= maxReplays {
		return nil, refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
	}
	r := &Replay{
		Account: account, Name: name, ARN: s.ReplayARN(account, name), Description: in.Description, Archive: a.ARN, Bus: bus,
		State: ReplayRunning, Rules: in.Rules, From: in.From.UTC(), Until: in.Until.UTC(), Started: s.moment(),
	}
	var e edit
	put(&e, &s.replays, account+"/"+name, r)
	if err := s.commit(ctx, &e); err != nil {
		return nil, err
	}
	notify(s.replaying)
	return r, nil
}

func (s *Store) replayable(account string, in *ReplaySpec) (*Archive, error) {
	if !in.From.Before(in.Until) {
		return nil, refuse(Invalid, "Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.")
	}
	owner, kind, name, ok := s.splitARN(in.Archive)
	if !ok || kind != "archive" || owner != account {
		return nil, refuse(Invalid, "Parameter EventSourceArn is not valid. Reason: Must contain an archive ARN.")
	}
	busOwner, bus, err := s.BusName(account, in.Destination)
	if err != nil {
		return nil, err
	}
	if _, err := s.bus(busOwner, bus); err != nil {
		return nil, err
	}
	a, err := s.archive(account, name)
	if err != nil {
		return nil, refuse(Invalid, "Parameter EventSourceArn is not valid. Reason: Archive %s does not exist.", name)
	}
	if a.Source != in.Destination {
		return nil, refuse(Invalid, "Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.")
	}
	for _, rule := range in.Rules {
		if !strings.HasPrefix(rule, s.RuleARN(account, bus, "")) {
			return nil, refuse(Invalid, "Parameter Destination.FilterArns is not valid. Reason: %s is not a rule of the event bus.", rule)
		}
	}
	return a, nil
}

func (s *Store) running(account string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for _, r := range s.replays.items {
		if r.State == ReplayRunning && r.Account == account {
			n++
		}
	}
	return n
}

// CancelReplay needs events:CancelReplay.
func (s *Store) CancelReplay(ctx context.Context, g authz.Grant, account, name string) (*Replay, error) {
	if err := g.Require("events:CancelReplay", s.ReplayARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	old, err := s.replay(account, name)
	if err != nil {
		return nil, err
	}
	if old.State != ReplayRunning {
		return nil, refuse(IllegalStatus, "Replay %s is not in a valid state for this operation.", name)
	}
	next := *old
	next.State, next.End = ReplayCancelled, s.moment()
	var e edit
	put(&e, &s.replays, account+"/"+name, &next)
	return &next, s.commit(ctx, &e)
}

// DescribeReplay needs events:DescribeReplay.
func (s *Store) DescribeReplay(_ context.Context, g authz.Grant, account, name string) (*Replay, error) {
	if err := g.Require("events:DescribeReplay", s.ReplayARN(account, name)); err != nil {
		return nil, err
	}
	return s.replay(account, name)
}

// ListReplays needs events:ListReplays on "*".
func (s *Store) ListReplays(_ context.Context, g authz.Grant, account, archive, state string, p Page) (Listed[*Replay], error) {
	if err := g.Require("events:ListReplays", "*"); err != nil {
		return Listed[*Replay]{}, err
	}
	return list(s, &s.replays, account+"/", p, func(r *Replay) bool {
		return (archive == "" || r.Archive == archive) && (state == "" || r.State == state)
	})
}

// RunReplays carries replays out until ctx ends, and goes on with those that a stop interrupted.
func (s *Store) RunReplays(ctx context.Context) {
	for {
		busy := false
		for _, r := range s.runningReplays() {
			if err := s.replayOn(ctx, r); err != nil && ctx.Err() == nil {
				s.config.Log.Error("event: replay", "replay", r.ARN, "err", err)
				continue
			}
			busy = true
		}
		if busy && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.replaying:
		case <-time.After(longSleep):
		}
	}
}

func (s *Store) runningReplays() (out []*Replay) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.replays.items {
		if r.State == ReplayRunning {
			out = append(out, r)
		}
	}
	return out
}

// replayOn tells the next slice of a replay's events, with the note of how far it came.
func (s *Store) replayOn(ctx context.Context, r *Replay) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	now, err := s.replay(r.Account, r.Name)
	if err != nil || now.State != ReplayRunning {
		return err
	}
	next := *now
	var e edit
	added, err := s.replaySlice(ctx, &e.batch, &next)
	if err != nil {
		return err
	}
	put(&e, &s.replays, r.Account+"/"+r.Name, &next)
	if err := s.commit(ctx, &e); err != nil {
		return err
	}
	for _, done := range added {
		done()
	}
	return nil
}

func (s *Store) replaySlice(ctx context.Context, b *engine.Batch, r *Replay) (added []func(), err error) {
	_, _, name, _ := s.splitARN(r.Archive)
	a, err := s.archive(r.Account, name)
	if err != nil {
		r.State, r.Reason, r.End = ReplayFailed, "The archive was deleted.", s.moment()
		return nil, nil
	}
	lo := keptFrom(a.Slot, r.From)
	if r.Cursor != nil {
		lo = append(append([]byte(nil), r.Cursor...), 0)
	}
	it, err := s.meta.Scan(ctx, lo, keptFrom(a.Slot, r.Until))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	n := 0
	for n < replaySlice && it.Next() {
		n++
		r.Cursor = append([]byte(nil), it.Key()...)
		e, err := parseEvent(it.Value())
		if err != nil {
			return nil, err
		}
		e.Replay, r.Last = r.Name, e.Time
		only := r.Rules
		if len(only) == 0 {
			only = nil
		}
		done, err := s.route(b, r.Account, r.Bus, e, only)
		if err != nil {
			return nil, err
		}
		added = append(added, done)
	}
	if n < replaySlice {
		r.State, r.End = ReplayCompleted, s.moment()
	}
	return added, it.Err()
}
