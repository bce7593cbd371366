package finding

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// Bounds of what is kept.
const (
	maxFindings = 5000                // of an account
	retention   = 90 * 24 * time.Hour // as at AWS
)

// Source and DetailType of the events.
const (
	Source     = "aws.guardduty"
	DetailType = "GuardDuty Finding"
)

// Report makes findings of what was seen, or counts it in those that tell of it, where a detector is enabled.
// With commit, everything is written by that (a consumer of the change feed: feed.Done); without, the
// store commits by itself, and what only counts is written soon.
func (s *Store) Report(ctx context.Context, commit func(*engine.Batch) error, seen ...Sighting) error {
	s.working.Lock()
	defer s.working.Unlock()
	w := &work{}
	for _, one := range together(seen) {
		d := s.detectors[one.Account]
		if d == nil || !d.Enabled {
			continue
		}
		if err := s.sight(ctx, w, d, &one); err != nil {
			return err
		}
	}
	return s.commit(ctx, w, commit)
}

// together counts sightings of the same thing in one.
func together(seen []Sighting) []Sighting {
	var all []Sighting
	at := map[string]int{}
	for _, s := range seen {
		s.Count = max(1, s.Count)
		key := s.Account + "\x00" + s.subject()
		i, ok := at[key]
		if !ok {
			at[key] = len(all)
			all = append(all, s)
			continue
		}
		s.Count += all[i].Count
		all[i] = s
	}
	return all
}

// sight puts one sighting into w.
func (s *Store) sight(ctx context.Context, w *work, d *Detector, seen *Sighting) error {
	now := s.now().UTC()
	at := seen.Time.UTC()
	if seen.Time.IsZero() {
		at = now
	}
	if e := d.open[seen.subject()]; e != nil {
		next := e.again(seen, at, now)
		w.then = append(w.then, func() { d.show(next) })
		return nil
	}
	e := s.fresh(d, seen, at, now)
	for _, f := range d.ranked() {
		// That detection is switched off cannot be suppressed.
		if f.Action == actionArchive && seen.Type != DetectorDisabled && f.Criteria.Matches(&e.Finding) {
			e.Suppressed, e.Finding.Service.Archived = true, true
			break
		}
	}
	if err := w.set(d.findingKey(e.Finding.ID), e); err != nil {
		return err
	}
	if !e.Suppressed {
		if err := s.tell(ctx, w, e); err != nil {
			return err
		}
	}
	evicted := d.surplus(maxFindings - 1)
	for _, old := range evicted {
		w.batch.Delete([]byte(d.findingKey(old.Finding.ID)))
	}
	w.then = append(w.then, func() {
		for _, old := range evicted {
			d.hide(old)
		}
		d.show(e)
	})
	return nil
}

func (s *Store) fresh(d *Detector, seen *Sighting, at, now time.Time) *entry {
	id := newID()
	f := Finding{
		SchemaVersion: "2.0", AccountID: d.Account, Region: s.config.Region, Partition: "aws", ID: id, ARN: s.ARN(d.Account, d.ID, "finding", id),
		Type: seen.Type, Resource: seen.Resource, Severity: seen.Severity, CreatedAt: Stamp{now}, UpdatedAt: Stamp{now},
		Title: seen.Title, Description: seen.Description,
		Service: Service{
			ServiceName: "guardduty", DetectorID: d.ID, ResourceRole: "TARGET", AdditionalInfo: seen.Info, Evidence: seen.Evidence,
			EventFirstSeen: Stamp{at}, EventLastSeen: Stamp{at}, Count: max(1, seen.Count), FeatureName: seen.Feature,
		},
	}
	if seen.Call != nil {
		f.Service.Action = &Action{"AWS_API_CALL", seen.Call}
	}
	return &entry{Format: format, Subject: seen.subject(), Told: now, Finding: f}
}

// again is e with one more sighting in it. Severity only rises.
func (e *entry) again(seen *Sighting, at, now time.Time) *entry {
	next := *e
	f := &next.Finding
	f.Service.Count += max(1, seen.Count)
	if at.After(f.Service.EventLastSeen.Time) {
		f.Service.EventLastSeen = Stamp{at}
	}
	f.UpdatedAt = Stamp{now}
	f.Resource, f.Description = seen.Resource, seen.Description
	f.Severity = max(f.Severity, seen.Severity)
	if seen.Info != nil {
		f.Service.AdditionalInfo = seen.Info
	}
	if seen.Call != nil {
		f.Service.Action = &Action{"AWS_API_CALL", seen.Call}
	}
	next.dirty, next.Untold = true, true
	return &next
}

// tell puts the event of a finding into w.
func (s *Store) tell(ctx context.Context, w *work, e *entry) error {
	done, err := s.config.Publish(ctx, &w.batch, Event{
		Source: Source, DetailType: DetailType, Account: e.Finding.AccountID, Time: e.Finding.UpdatedAt.Time, Detail: &e.Finding,
	})
	if err != nil {
		return err
	}
	w.after = append(w.after, done)
	return nil
}

// surplus are the findings that have to go so that at most most are left: archived ones first, then those
// that were longest not seen.
func (d *Detector) surplus(most int) []*entry {
	n := len(d.entries) - most
	if n <= 0 {
		return nil
	}
	all := make([]*entry, 0, len(d.entries))
	for _, e := range d.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int {
		x, y := &a.Finding, &b.Finding
		if x.Service.Archived != y.Service.Archived {
			if x.Service.Archived {
				return -1
			}
			return 1
		}
		return cmp.Or(x.UpdatedAt.Compare(y.UpdatedAt.Time), cmp.Compare(x.ID, y.ID))
	})
	return all[:n]
}

// Work stores what was only counted, tells what is due, and forgets what is old, until ctx ends.
func (s *Store) Work(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.last()
			return
		case <-tick.C:
		}
		if err := s.Keep(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Error("findings", "err", err)
		}
	}
}

const flushEvery = 5 * time.Second

// last stores what is counted before the end.
func (s *Store) last() {
	ctx, cancel := context.WithTimeout(context.Background(), flushEvery)
	defer cancel()
	if err := s.Keep(ctx); err != nil {
		s.config.Log.Error("findings", "err", err)
	}
}

// Keep is one round of Work.
func (s *Store) Keep(ctx context.Context) error {
	s.working.Lock()
	defer s.working.Unlock()
	now := s.now().UTC()
	w := &work{}
	for _, d := range s.detectors {
		if err := s.keep(ctx, w, d, now); err != nil {
			return err
		}
	}
	return s.commit(ctx, w, nil)
}

func (s *Store) keep(ctx context.Context, w *work, d *Detector, now time.Time) error {
	for _, e := range d.entries {
		f := &e.Finding
		if now.Sub(f.UpdatedAt.Time) > retention {
			w.batch.Delete([]byte(d.findingKey(f.ID)))
			w.then = append(w.then, func() { d.hide(e) })
			continue
		}
		due := e.Untold && !f.Service.Archived && now.Sub(e.Told) >= frequencies[d.Frequency] && d.Enabled
		if !e.dirty && !due {
			continue
		}
		next := *e
		next.dirty = false
		if due {
			next.Told, next.Untold = now, false
			if err := s.tell(ctx, w, &next); err != nil {
				return err
			}
		}
		if err := w.set(d.findingKey(f.ID), &next); err != nil {
			return err
		}
		w.then = append(w.then, func() { d.show(&next) })
	}
	return s.sweep(w, d, now)
}

// sweep forgets lists that were deleted a while ago.
func (s *Store) sweep(w *work, d *Detector, now time.Time) error {
	next := d.copy()
	for id, l := range next.Lists {
		if !l.Deleted.IsZero() && now.Sub(l.Deleted) > remembered {
			delete(next.Lists, id)
		}
	}
	if len(next.Lists) == len(d.Lists) {
		return nil
	}
	w.then = append(w.then, func() { d.Lists = next.Lists })
	return w.set(d.key(), next)
}
