package generation

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Work does the jobs, one after the other, until ctx ends: those that were left over first.
func (s *Store) Work(ctx context.Context) {
	const pause = 5 * time.Second // after a failure of the engine
	for {
		retry := (<-chan time.Time)(nil)
		if err := s.all(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Error("policies are not generated", "err", err)
			retry = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-retry:
		}
	}
}

func (s *Store) all(ctx context.Context) error {
	var waiting []*Job
	if err := s.scan(ctx, prefix, func(_ []byte, j *Job) {
		if j.Status == InProgress {
			waiting = append(waiting, j)
		}
	}); err != nil {
		return err
	}
	for _, j := range waiting {
		if err := s.one(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// one does a job unless it was cancelled, and keeps its result.
func (s *Store) one(ctx context.Context, j *Job) error {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.running, s.cancel = string(keyOf(j.Account, j.ID)), cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running, s.cancel = "", nil
		s.mu.Unlock()
	}()
	now, version, err := s.read(ctx, j.Account, j.ID)
	if fault.Of(err) == NotFound || err == nil && now.Status != InProgress {
		return nil
	}
	if err != nil {
		return err
	}
	if failure := s.generate(work, now); failure != nil {
		if work.Err() != nil {
			return ctx.Err() // cancelled, or the server stops
		}
		now.Status, now.ErrorCode, now.Error = Failed, "SERVICE_ERROR", "The policy could not be generated."
		switch fault.Of(failure) {
		case authz.Denied:
			now.ErrorCode, now.Error = "AUTHORIZATION_ERROR", failure.Error()
		case NotFound:
			now.ErrorCode, now.Error = "RESOURCE_NOT_FOUND_ERROR", failure.Error()
		default:
			s.config.Log.Error("a policy is not generated", "job", now.ID, "err", failure)
		}
	}
	now.Completed = s.now().UTC()
	if err := s.write(ctx, now, version); !errors.Is(err, engine.ErrConflict) {
		return err
	}
	return nil // cancelled meanwhile
}

// generate reads the record and writes the policies into j.
func (s *Store) generate(ctx context.Context, j *Job) error {
	source, err := s.config.Source(ctx, j.Account, j.Role, j.Trails)
	if err != nil {
		return err
	}
	if err := s.settle(ctx, j.Until); err != nil {
		return err
	}
	used := &usage{}
	q := &audit.Query{Since: j.Since, Until: j.Until.Add(time.Millisecond), Account: j.Account}
	mine := j.asks(q)
	for _, stream := range []string{audit.StreamManagement, audit.StreamData} {
		err := audit.Find(ctx, s.config.Dir, stream, q, func(e *audit.Entry) bool {
			if mine(&e.Note) && succeeded(&e.Note) && (source.Takes == nil || source.Takes(&e.Note)) {
				used.add(&e.Note)
			}
			return ctx.Err() == nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	j.Status, j.Policies = Succeeded, used.policies()
	j.Complete = !used.cut && source.Complete(j.Since)
	return nil
}

// settle waits until what was answered before until is in the journals.
func (s *Store) settle(ctx context.Context, until time.Time) error {
	wait := min(settle-s.now().Sub(until), settle)
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// asks puts into q what narrows it to the principal, and returns what decides: a user is found by ARN, a
// role by the sessions that carry its name.
func (j *Job) asks(q *audit.Query) func(*audit.Note) bool {
	parts := strings.SplitN(j.Principal, ":", 6)
	kind, name, _ := strings.Cut(parts[5], "/")
	if kind == "user" {
		q.User = j.Principal
		return func(n *audit.Note) bool { return n.User == j.Principal }
	}
	q.UserPrefix = strings.Join([]string{parts[0], parts[1], "sts", "", parts[4], "assumed-role/" + name[strings.LastIndexByte(name, '/')+1:] + "/"}, ":")
	return func(n *audit.Note) bool { return strings.HasPrefix(n.User, q.UserPrefix) }
}

func succeeded(n *audit.Note) bool { return n.Error == "" && n.Status < 400 }
