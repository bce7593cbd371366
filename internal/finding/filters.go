package finding

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// What filters do.
const (
	actionNoop    = "NOOP"
	actionArchive = "ARCHIVE"
)

const maxFilters = 100

// Filter selects findings; one that archives them suppresses those to come.
type Filter struct {
	Name, Description, Action string
	Rank                      int
	Criteria                  Criteria
	Tags                      map[string]string
	Created                   time.Time
}

var filterName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,64}$`)

func (f *Filter) check() error {
	switch {
	case !filterName.MatchString(f.Name):
		return badRequest("the parameter name has an invalid value.")
	case f.Action != actionNoop && f.Action != actionArchive:
		return badRequest("the parameter action has an invalid value.")
	case f.Rank < 1 || f.Rank > maxFilters:
		return badRequest("the parameter rank has an invalid value.")
	case len(f.Description) > 512:
		return badRequest("the parameter description has an invalid value.")
	case len(f.Criteria) == 0:
		return badRequest("the parameter findingCriteria is empty.")
	}
	return f.Criteria.Check()
}

// ranked are the filters in the order in which they are tried.
func (d *Detector) ranked() []*Filter {
	return slices.SortedFunc(maps.Values(d.Filters), func(a, b *Filter) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Name, b.Name))
	})
}

// CreateFilter needs guardduty:CreateFilter on the detector.
func (s *Store) CreateFilter(ctx context.Context, g authz.Grant, account, detector string, in Filter) error {
	if in.Action == "" {
		in.Action = actionNoop
	}
	if in.Rank == 0 {
		in.Rank = 1
	}
	return s.edit(ctx, g, "guardduty:CreateFilter", account, detector, func(_ *work, d *Detector) error {
		if err := in.check(); err != nil {
			return err
		}
		if err := checkTags(nil, in.Tags); err != nil {
			return err
		}
		if d.Filters[in.Name] != nil {
			return badRequest("a filter with the given name already exists.")
		}
		if len(d.Filters) >= maxFilters {
			return badRequest("the maximum number of filters has been reached.")
		}
		in.Created = s.now().UTC()
		d.Filters[in.Name] = &in
		return nil
	})
}

// FilterChange is what a request changes of a filter; nil and empty leave as it is.
type FilterChange struct {
	Description *string
	Action      string
	Rank        int
	Criteria    Criteria
}

// UpdateFilter needs guardduty:UpdateFilter on the filter.
func (s *Store) UpdateFilter(ctx context.Context, g authz.Grant, account, detector, name string, in FilterChange) error {
	return s.editOn(ctx, g, "guardduty:UpdateFilter", s.ARN(account, detector, "filter", name), account, detector, func(_ *work, d *Detector) error {
		old := d.Filters[name]
		if old == nil {
			return errNoFilter()
		}
		f := *old
		if in.Description != nil {
			f.Description = *in.Description
		}
		f.Action, f.Rank = cmp.Or(in.Action, f.Action), cmp.Or(in.Rank, f.Rank)
		if in.Criteria != nil {
			f.Criteria = in.Criteria
		}
		if err := f.check(); err != nil {
			return err
		}
		d.Filters[name] = &f
		return nil
	})
}

// DeleteFilter needs guardduty:DeleteFilter on the filter.
func (s *Store) DeleteFilter(ctx context.Context, g authz.Grant, account, detector, name string) error {
	return s.editOn(ctx, g, "guardduty:DeleteFilter", s.ARN(account, detector, "filter", name), account, detector, func(_ *work, d *Detector) error {
		if d.Filters[name] == nil {
			return errNoFilter()
		}
		delete(d.Filters, name)
		return nil
	})
}

// Filter gives a filter. It needs guardduty:GetFilter on it.
func (s *Store) Filter(g authz.Grant, account, detector, name string) (*Filter, error) {
	d, err := s.Detector(g, "guardduty:GetFilter", s.ARN(account, detector, "filter", name), account, detector)
	if err != nil {
		return nil, err
	}
	if d.Filters[name] == nil {
		return nil, errNoFilter()
	}
	return d.Filters[name], nil
}
