package finding

import (
	"context"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
)

// Find gives the account's findings that meet the criteria, in an order that stays the same while nothing
// changes. It needs action on the detector.
func (s *Store) Find(g authz.Grant, action, account, detector string, c Criteria, o Order) ([]*Finding, error) {
	if err := g.Require(action, s.ARN(account, detector)); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	d, err := s.owned(account, detector)
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	var list []*Finding
	for _, e := range d.entries { // an entry that is shown does not change any more
		if c.Matches(&e.Finding) {
			list = append(list, &e.Finding)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b *Finding) int { return strings.Compare(a.ID, b.ID) })
	if o.Attribute != "" {
		slices.SortStableFunc(list, o.compare)
	}
	return list, nil
}

// Get gives findings by id; ids of none are left out. It needs guardduty:GetFindings on the detector.
func (s *Store) Get(g authz.Grant, account, detector string, ids []string, o Order) ([]*Finding, error) {
	if err := g.Require("guardduty:GetFindings", s.ARN(account, detector)); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, err := s.owned(account, detector)
	if err != nil {
		return nil, err
	}
	var list []*Finding
	for _, id := range ids {
		if e := d.entries[id]; e != nil {
			list = append(list, &e.Finding)
		}
	}
	if o.Attribute != "" {
		slices.SortStableFunc(list, o.compare)
	}
	return list, nil
}

// Archive archives findings, or takes them out again. It needs action on the detector.
func (s *Store) Archive(ctx context.Context, g authz.Grant, action, account, detector string, ids []string, archived bool) error {
	return s.mark(ctx, g, action, account, detector, ids, func(e *entry) {
		e.Finding.Service.Archived = archived
		e.Suppressed = false
	})
}

// Feedback notes what people think of findings: USEFUL, NOT_USEFUL. It needs guardduty:UpdateFindingsFeedback
// on the detector.
func (s *Store) Feedback(ctx context.Context, g authz.Grant, account, detector string, ids []string, feedback string) error {
	return s.mark(ctx, g, "guardduty:UpdateFindingsFeedback", account, detector, ids, func(e *entry) { e.Finding.Service.UserFeedback = feedback })
}

func (s *Store) mark(ctx context.Context, g authz.Grant, action, account, detector string, ids []string, change func(*entry)) error {
	if err := g.Require(action, s.ARN(account, detector)); err != nil {
		return err
	}
	s.working.Lock()
	defer s.working.Unlock()
	d, err := s.owned(account, detector)
	if err != nil {
		return err
	}
	w := &work{}
	for _, id := range ids {
		e := d.entries[id]
		if e == nil {
			return badRequest("the input findingId %s does not exist.", Clean(id))
		}
		next := *e
		change(&next)
		next.dirty = false
		if err := w.set(d.findingKey(id), &next); err != nil {
			return err
		}
		w.then = append(w.then, func() { d.show(&next) })
	}
	return s.commit(ctx, w, nil)
}

// Sample makes sample findings of the types. It needs guardduty:CreateSampleFindings on the detector.
func (s *Store) Sample(ctx context.Context, g authz.Grant, account, detector string, samples []Sighting) error {
	if err := g.Require("guardduty:CreateSampleFindings", s.ARN(account, detector)); err != nil {
		return err
	}
	s.mu.RLock()
	_, err := s.owned(account, detector)
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	return s.Report(ctx, nil, samples...)
}
