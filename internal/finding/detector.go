package finding

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// The publishing frequencies.
var frequencies = map[string]time.Duration{"FIFTEEN_MINUTES": 15 * time.Minute, "ONE_HOUR": time.Hour, "SIX_HOURS": 6 * time.Hour}

// Detector is an account's detector, with its filters and lists. There is one in an account.
type Detector struct {
	Format      int
	Account, ID string
	Enabled     bool
	// S3 says that requests for objects are looked at.
	S3                         bool
	Frequency                  string
	Created, Updated, S3Change time.Time
	Tags                       map[string]string
	Filters                    map[string]*Filter
	Lists                      map[string]*List

	entries map[string]*entry // by finding id
	// open are those that a further sighting counts in.
	open map[string]*entry
}

func (d *Detector) key() string { return detectorPrefix + d.Account }

func (d *Detector) findingKey(id string) string { return findingPrefix + d.Account + "/" + id }

func (d *Detector) show(e *entry) {
	if old := d.entries[e.Finding.ID]; old != nil && d.open[old.Subject] == old {
		delete(d.open, old.Subject)
	}
	d.entries[e.Finding.ID] = e
	if !e.Finding.Service.Archived || e.Suppressed {
		d.open[e.Subject] = e
	}
}

func (d *Detector) hide(e *entry) {
	delete(d.entries, e.Finding.ID)
	if d.open[e.Subject] == e {
		delete(d.open, e.Subject)
	}
}

// copy is a detector that can be changed, without its findings.
func (d *Detector) copy() *Detector {
	c := *d
	c.entries, c.open = nil, nil
	c.Tags, c.Filters, c.Lists = maps.Clone(d.Tags), maps.Clone(d.Filters), maps.Clone(d.Lists)
	return &c
}

// Settings are what a request sets of a detector; nil leaves as it is.
type Settings struct {
	Enabled, S3 *bool
	Frequency   string
}

func (s *Settings) apply(d *Detector, now time.Time) error {
	if s.Frequency != "" {
		if frequencies[s.Frequency] == 0 {
			return badRequest("the parameter findingPublishingFrequency has an invalid value.")
		}
		d.Frequency = s.Frequency
	}
	if s.Enabled != nil {
		d.Enabled = *s.Enabled
	}
	if s.S3 != nil && *s.S3 != d.S3 {
		d.S3, d.S3Change = *s.S3, now
	}
	d.Updated = now
	return nil
}

// ARN of a detector, or of what belongs to one: "filter/NAME".
func (s *Store) ARN(account, id string, part ...string) string {
	return strings.Join(append([]string{"arn:aws:guardduty:" + s.config.Region + ":" + account + ":detector/" + id}, part...), "/")
}

// CreateDetector needs guardduty:CreateDetector.
func (s *Store) CreateDetector(ctx context.Context, g authz.Grant, account string, in Settings, tags map[string]string) (id string, err error) {
	if err := g.Require("guardduty:CreateDetector", "*"); err != nil {
		return "", err
	}
	if in.Enabled == nil {
		return "", badRequest("the required parameter enable is missing.")
	}
	if err := checkTags(nil, tags); err != nil {
		return "", err
	}
	s.working.Lock()
	defer s.working.Unlock()
	if s.detectors[account] != nil {
		return "", badRequest("a detector already exists for the current account.")
	}
	now := s.now().UTC()
	d := &Detector{
		Format: format, Account: account, ID: newID(), S3: true, Frequency: "SIX_HOURS", Created: now, S3Change: now, Tags: tags,
		Filters: map[string]*Filter{}, Lists: map[string]*List{}, entries: map[string]*entry{}, open: map[string]*entry{},
	}
	if err := in.apply(d, now); err != nil {
		return "", err
	}
	w := &work{}
	if err := w.set(d.key(), d); err != nil {
		return "", err
	}
	w.then = append(w.then, func() { s.detectors[account] = d; s.rewatch() })
	return d.ID, s.commit(ctx, w, nil)
}

// Detector gives a detector. It needs action on resource, which is the detector's ARN, or the ARN of
// something that belongs to it.
func (s *Store) Detector(g authz.Grant, action, resource, account, id string) (*Detector, error) {
	if err := g.Require(action, resource); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, err := s.owned(account, id)
	if err != nil {
		return nil, err
	}
	return d.copy(), nil
}

// owned finds a detector, under working or mu.
func (s *Store) owned(account, id string) (*Detector, error) {
	d := s.detectors[account]
	if d == nil || d.ID != id {
		return nil, notOwned("detectorId")
	}
	return d, nil
}

// Detectors are the ids of the account's detectors. It needs guardduty:ListDetectors.
func (s *Store) Detectors(g authz.Grant, account string) ([]string, error) {
	if err := g.Require("guardduty:ListDetectors", "*"); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if d := s.detectors[account]; d != nil {
		return []string{d.ID}, nil
	}
	return nil, nil
}

// UpdateDetector needs guardduty:UpdateDetector. That detection was switched off is itself found, by is the
// call that did it.
func (s *Store) UpdateDetector(ctx context.Context, g authz.Grant, account, id string, in Settings, by *Sighting) error {
	return s.edit(ctx, g, "guardduty:UpdateDetector", account, id, func(w *work, d *Detector) error {
		was, wasS3 := d.Enabled, d.S3
		if err := in.apply(d, s.now().UTC()); err != nil {
			return err
		}
		if by == nil || (!was || d.Enabled) && (!wasS3 || d.S3) {
			return nil
		}
		return s.sight(ctx, w, s.detectors[account], by)
	})
}

// DeleteDetector needs guardduty:DeleteDetector. Its findings go with it; that it went is told by an event.
func (s *Store) DeleteDetector(ctx context.Context, g authz.Grant, account, id string, by *Sighting) error {
	if err := g.Require("guardduty:DeleteDetector", s.ARN(account, id)); err != nil {
		return err
	}
	s.working.Lock()
	defer s.working.Unlock()
	d, err := s.owned(account, id)
	if err != nil {
		return err
	}
	w := &work{}
	if by != nil {
		if err := s.sight(ctx, w, d, by); err != nil {
			return err
		}
	}
	w.batch.Delete([]byte(d.key()))
	for _, prefix := range []string{findingPrefix, tablePrefix} {
		prefix += account + "/"
		w.batch.DeleteRange([]byte(prefix), engine.PrefixEnd([]byte(prefix)))
	}
	w.then = append(w.then, func() { delete(s.detectors, account); s.rewatch() })
	return s.commit(ctx, w, nil)
}

// edit changes a detector's own record, and needs action on it. Change gets a copy.
func (s *Store) edit(ctx context.Context, g authz.Grant, action, account, id string, change func(*work, *Detector) error) error {
	return s.editOn(ctx, g, action, s.ARN(account, id), account, id, change)
}

func (s *Store) editOn(ctx context.Context, g authz.Grant, action, resource, account, id string, change func(*work, *Detector) error) error {
	if err := g.Require(action, resource); err != nil {
		return err
	}
	s.working.Lock()
	defer s.working.Unlock()
	d, err := s.owned(account, id)
	if err != nil {
		return err
	}
	w, next := &work{}, d.copy()
	if err := change(w, next); err != nil {
		return err
	}
	if err := w.set(next.key(), next); err != nil {
		return err
	}
	w.then = append(w.then, func() {
		next.entries, next.open = d.entries, d.open
		s.detectors[account] = next
		s.rewatch()
	})
	return s.commit(ctx, w, nil)
}

const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

func checkTags(have, more map[string]string) error {
	all := maps.Clone(have)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, more)
	if len(all) > maxTags {
		return badRequest("a resource has at most %d tags.", maxTags)
	}
	for key, value := range more {
		if key == "" || len(key) > maxTagKey || len(value) > maxTagValue || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return badRequest("a tag is not valid.")
		}
	}
	return nil
}

// resource takes apart the ARN of a detector or of what belongs to it.
func (s *Store) resource(account, arn string) (d *Detector, kind, name string, err error) {
	rest, ok := strings.CutPrefix(arn, s.ARN(account, ""))
	parts := strings.SplitN(rest, "/", 3)
	if d = s.detectors[account]; !ok || d == nil || d.ID != parts[0] || len(parts) == 2 {
		return nil, "", "", badRequest("the input resource does not exist.")
	}
	if len(parts) == 3 {
		kind, name = parts[1], parts[2]
	}
	found := kind == ""
	switch kind {
	case "filter":
		found = d.Filters[name] != nil
	case KindTrusted, KindThreat:
		l := d.Lists[name]
		found = l != nil && l.Kind == kind && l.Deleted.IsZero()
	}
	if !found {
		return nil, "", "", badRequest("the input resource does not exist.")
	}
	return d, kind, name, nil
}

func (d *Detector) tagsOf(kind, name string) map[string]string {
	switch kind {
	case "filter":
		return d.Filters[name].Tags
	case "":
		return d.Tags
	}
	return d.Lists[name].Tags
}

// ResourceTags are the tags of a detector, filter or list as condition keys; none for anything else.
func (s *Store) ResourceTags(account, arn string) authz.ResourceTags {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, kind, name, err := s.resource(account, arn)
	if err != nil {
		return nil
	}
	return maps.Clone(d.tagsOf(kind, name))
}

// Tags of a detector, filter or list. It needs guardduty:ListTagsForResource on it.
func (s *Store) Tags(g authz.Grant, account, arn string) (map[string]string, error) {
	if err := g.Require("guardduty:ListTagsForResource", arn); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, kind, name, err := s.resource(account, arn)
	if err != nil {
		return nil, err
	}
	return maps.Clone(d.tagsOf(kind, name)), nil
}

// Tag adds and removes tags. It needs action on the resource.
func (s *Store) Tag(ctx context.Context, g authz.Grant, action, account, arn string, add map[string]string, remove []string) error {
	id, kind, name, err := s.place(account, arn)
	if err != nil {
		if err := g.Require(action, arn); err != nil {
			return err
		}
		return err
	}
	return s.editOn(ctx, g, action, arn, account, id, func(_ *work, d *Detector) error {
		if _, _, _, err := s.resource(account, arn); err != nil { // it may have gone meanwhile
			return err
		}
		tags := maps.Clone(d.tagsOf(kind, name))
		if err := checkTags(tags, add); err != nil {
			return err
		}
		if tags == nil {
			tags = map[string]string{}
		}
		maps.Copy(tags, add)
		for _, key := range remove {
			delete(tags, key)
		}
		switch kind {
		case "":
			d.Tags = tags
		case "filter":
			f := *d.Filters[name]
			f.Tags = tags
			d.Filters[name] = &f
		default:
			l := *d.Lists[name]
			l.Tags = tags
			d.Lists[name] = &l
		}
		return nil
	})
}

func (s *Store) place(account, arn string) (id, kind, name string, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, kind, name, err := s.resource(account, arn)
	if err != nil {
		return "", "", "", err
	}
	return d.ID, kind, name, nil
}
