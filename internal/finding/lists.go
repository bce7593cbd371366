package finding

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// Kinds of lists, as their ARNs name them.
const (
	KindTrusted = "ipset"
	KindThreat  = "threatintelset"
)

// maxLists of a kind, as at AWS.
var maxLists = map[string]int{KindTrusted: 1, KindThreat: 6}

// parameters are what requests call the id of a list.
var parameters = map[string]string{KindTrusted: "ipSetId", KindThreat: "threatIntelSetId"}

// remembered is how long a deleted list can still be asked for, and answers that it is deleted.
const remembered = time.Hour

// List is a list of addresses that an account gave: of trusted ones, or of dangerous ones. What counts is
// the object's content at the time when the list was activated or its location set.
type List struct {
	ID, Kind, Name, Format, Location, Owner string
	Active                                  bool
	Tags                                    map[string]string
	Created, Deleted                        time.Time

	table *Table
}

// Status in GuardDuty's words.
func (l *List) Status() string {
	switch {
	case !l.Deleted.IsZero():
		return "DELETED"
	case l.Active:
		return "ACTIVE"
	}
	return "INACTIVE"
}

func (l *List) check() error {
	switch {
	case l.Name == "" || len(l.Name) > 300:
		return badRequest("the parameter name has an invalid value.")
	case l.Format != "TXT":
		return badRequest("the format %s is not one that this Kura reads: TXT.", Clean(l.Format))
	case len(l.Location) == 0 || len(l.Location) > 2000:
		return badRequest("the parameter location has an invalid value.")
	}
	return nil
}

func tableKey(account, id string) string { return tablePrefix + account + "/" + id }

// CreateList makes a list of what text says. It needs action on the detector. To trust everybody is to switch
// detection off, which is found: by is the call.
func (s *Store) CreateList(ctx context.Context, g authz.Grant, action, account, detector string, in List, text []byte, by *Sighting) (id string, err error) {
	in.ID, in.Created = newID(), s.now().UTC()
	return in.ID, s.edit(ctx, g, action, account, detector, func(w *work, d *Detector) error {
		if err := in.check(); err != nil {
			return err
		}
		if err := checkTags(nil, in.Tags); err != nil {
			return err
		}
		n := 0
		for _, l := range d.Lists {
			if l.Kind == in.Kind && l.Deleted.IsZero() {
				n++
				if l.Name == in.Name {
					return badRequest("a list with the given name already exists.")
				}
			}
		}
		if n >= maxLists[in.Kind] {
			return badRequest("the maximum number of lists of this kind has been reached.")
		}
		if err := in.fill(w, d, text); err != nil {
			return err
		}
		return s.trusting(ctx, w, &in, by)
	})
}

// trusting tells of a list that trusts everybody.
func (s *Store) trusting(ctx context.Context, w *work, l *List, by *Sighting) error {
	d := s.detectors[by.Account]
	if l.Kind != KindTrusted || !l.Active || l.table == nil || !l.table.Wide() || !d.Enabled {
		return nil
	}
	return s.sight(ctx, w, d, by)
}

// fill reads the list's addresses and puts it into d.
func (l *List) fill(w *work, d *Detector, text []byte) error {
	t, err := ParseTable(text)
	if err != nil {
		return badRequest("the list cannot be read: %v.", err)
	}
	l.table = t
	d.Lists[l.ID] = l
	w.batch.Set([]byte(tableKey(d.Account, l.ID)), t.pack())
	return nil
}

// ListChange is what a request changes of a list.
type ListChange struct {
	Name, Location, Owner string
	Active                *bool
	// Text is the content of the object, where it was read.
	Text []byte
}

// UpdateList needs action on the list.
func (s *Store) UpdateList(ctx context.Context, g authz.Grant, action, account, detector, kind, id string, in ListChange, by *Sighting) error {
	return s.editOn(ctx, g, action, s.ARN(account, detector, kind, id), account, detector, func(w *work, d *Detector) error {
		old, err := d.list(kind, id)
		if err != nil {
			return err
		}
		l := *old
		if in.Name != "" {
			l.Name = in.Name
		}
		if in.Location != "" {
			l.Location, l.Owner = in.Location, in.Owner
		}
		if in.Active != nil {
			l.Active = *in.Active
		}
		if err := l.check(); err != nil {
			return err
		}
		d.Lists[id] = &l
		if in.Text != nil {
			if err := l.fill(w, d, in.Text); err != nil {
				return err
			}
		}
		return s.trusting(ctx, w, &l, by)
	})
}

func (d *Detector) list(kind, id string) (*List, error) {
	if l := d.Lists[id]; l != nil && l.Kind == kind && l.Deleted.IsZero() {
		return l, nil
	}
	return nil, notOwned(parameters[kind])
}

// DeleteList needs action on the list.
func (s *Store) DeleteList(ctx context.Context, g authz.Grant, action, account, detector, kind, id string) error {
	return s.editOn(ctx, g, action, s.ARN(account, detector, kind, id), account, detector, func(w *work, d *Detector) error {
		old, err := d.list(kind, id)
		if err != nil {
			return err
		}
		l := *old
		l.Active, l.Deleted, l.table = false, s.now().UTC(), nil
		d.Lists[id] = &l
		w.batch.Delete([]byte(tableKey(account, id)))
		return nil
	})
}

// List gives a list, also one that was deleted a short while ago. It needs action on it.
func (s *Store) List(g authz.Grant, action, account, detector, kind, id string) (*List, error) {
	d, err := s.Detector(g, action, s.ARN(account, detector, kind, id), account, detector)
	if err != nil {
		return nil, err
	}
	l := d.Lists[id]
	if l == nil || l.Kind != kind {
		return nil, notOwned(parameters[kind])
	}
	return l, nil
}
