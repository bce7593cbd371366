package analyzer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// analyze brings the findings of a resource to what is. now is the resource as it is, nil when it is
// gone. Under working.
func (s *Store) analyze(ctx context.Context, w *work, a *Analyzer, r, now *posture.Resource) error {
	at := s.now().UTC()
	wanted := map[string]*Finding{}
	if now != nil {
		openings, err := s.openings(a, now)
		if err != nil {
			// What cannot be read lets nobody in: S3 refuses everybody.
			s.config.Log.Warn("analyzer: a resource cannot be read", "resource", now.ARN, "err", err)
		}
		for _, o := range openings {
			f := s.finding(now, &o)
			wanted[f.tuple()] = f
		}
	}
	for tuple, f := range wanted {
		if err := s.found(ctx, w, a, a.tuples[r.ARN][tuple], f, at); err != nil {
			return err
		}
	}
	for tuple, old := range a.tuples[r.ARN] {
		if wanted[tuple] == nil && old.Status != Resolved {
			next := *old
			next.Status, next.Updated, next.Analyzed = Resolved, at, at
			if err := s.change(ctx, w, a, &next); err != nil {
				return err
			}
		}
	}
	w.then = append(w.then, func() { a.Last, a.LastAt = r.ARN, at })
	return nil
}

func (s *Store) openings(a *Analyzer, r *posture.Resource) ([]posture.Opening, error) {
	return posture.Openings(r, s.config.Source.Block(r.Account), func(uniqueIDs, canonicalIDs []string) policy.Zone {
		return s.config.Source.Zone(r.Account, a.Type == TypeOrganization, uniqueIDs, canonicalIDs)
	})
}

// found settles a finding that there is, old being the one of the same tuple, if any.
func (s *Store) found(ctx context.Context, w *work, a *Analyzer, old, f *Finding, at time.Time) error {
	if old != nil && old.Status != Resolved {
		return nil // nothing new; when it was last looked at is told by the analyzer
	}
	next := *f
	next.Format, next.Created, next.Updated, next.Analyzed, next.Status = format, at, at, at, Active
	if old != nil {
		next.ID, next.Created = old.ID, old.Created
	} else {
		next.ID = uuid.NewString()
	}
	for _, rule := range a.Rules {
		if rule.Filter.Matches(&next) {
			next.Status = Archived
		}
	}
	return s.change(ctx, w, a, &next)
}

// change writes a finding and tells of it.
func (s *Store) change(ctx context.Context, w *work, a *Analyzer, f *Finding) error {
	if err := w.set(a.findingKey(f.ID), f); err != nil {
		return err
	}
	w.then = append(w.then, func() { a.show(f) })
	return s.tell(ctx, w, a, f, false)
}

// finding makes a finding of an opening.
func (s *Store) finding(r *posture.Resource, o *posture.Opening) *Finding {
	f := &Finding{
		Resource: r.ARN, ResourceType: r.Type, Owner: r.Account, Principal: s.principal(o), Actions: o.Actions, Condition: conditions(o.Conditions),
		Public: o.Principal == "*", ACL: o.ACL, Proven: o.Proven, Witness: o.Witness,
	}
	if f.Public && !o.ACL {
		f.Public = r.Public()
	}
	if o.ACL {
		f.Condition = nil // the list has none; the statement that stands for it says who is a principal of AWS
	}
	return f
}

var (
	canonicalID = regexp.MustCompile(`^[0-9a-f]{64}$`)
	rootARN     = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}):root$`)
)

func (s *Store) principal(o *posture.Opening) map[string]string {
	name := o.Principal
	if m := rootARN.FindStringSubmatch(name); m != nil {
		return map[string]string{"AWS": m[1]}
	}
	switch {
	case canonicalID.MatchString(name):
		return map[string]string{"CanonicalUser": name}
	case o.Type == policy.CallerIdentity:
		return map[string]string{"Federated": name}
	case o.Type == policy.CallerService:
		return map[string]string{"Service": name}
	}
	if arn, ok := s.config.NameOf(name); ok {
		name = arn
	}
	return map[string]string{"AWS": name}
}

// conditions are those of a statement, by key.
func conditions(written []string) map[string]string {
	if len(written) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, c := range written {
		_, rest, _ := strings.Cut(c, " ")
		key, values, _ := strings.Cut(rest, " ")
		if earlier, ok := m[key]; ok {
			values = earlier + ", " + values
		}
		m[key] = values
	}
	return m
}

// tuple is what tells findings of a resource apart.
func (f *Finding) tuple() string {
	raw, err := json.Marshal([]any{f.Principal, f.Actions, f.Condition, f.ACL})
	if err != nil {
		return f.ID // cannot be: plain values
	}
	return string(raw)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// tell sends the event of a finding.
func (s *Store) tell(ctx context.Context, w *work, a *Analyzer, f *Finding, deleted bool) error {
	if s.config.Publish == nil {
		return nil
	}
	detail := map[string]any{
		"version": "1.0", "id": f.ID, "status": f.Status, "resourceType": f.ResourceType, "resource": f.Resource,
		"createdAt": stamp(f.Created), "analyzedAt": stamp(f.Analyzed), "updatedAt": stamp(f.Updated), "accountId": f.Owner, "region": s.config.Region,
		"principal": f.Principal, "action": f.Actions, "condition": f.Condition, "isPublic": f.Public, "isDeleted": deleted,
	}
	if f.Condition == nil {
		detail["condition"] = map[string]string{}
	}
	if f.Witness != nil {
		detail["witness"] = f.Witness.String()
	}
	committed, err := s.config.Publish(ctx, &w.batch, posture.Event{
		Source: "aws.access-analyzer", DetailType: "Access Analyzer Finding", Account: a.Account, Region: s.config.Region, Time: s.now().UTC(),
		Resources: []string{a.ARN}, Detail: detail,
	})
	if err == nil {
		w.after = append(w.after, committed)
	}
	return err
}

// Filter is a set of criteria, by the name of what they are about; all must be met.
type Filter map[string]Criterion

// Criterion is met when all that it says holds.
type Criterion struct {
	Eq, Neq, Contains []string `json:",omitempty"`
	Exists            *bool    `json:",omitempty"`
}

// attributes are what findings can be filtered by. Those that end in "." take the rest of the name as
// their key.
var attributes = map[string]func(f *Finding, key string) []string{
	"id":                   func(f *Finding, _ string) []string { return []string{f.ID} },
	"resource":             func(f *Finding, _ string) []string { return []string{f.Resource} },
	"resourceType":         func(f *Finding, _ string) []string { return []string{f.ResourceType} },
	"resourceOwnerAccount": func(f *Finding, _ string) []string { return []string{f.Owner} },
	"status":               func(f *Finding, _ string) []string { return []string{f.Status} },
	"isPublic":             func(f *Finding, _ string) []string { return []string{fmt.Sprint(f.Public)} },
	"findingType":          func(*Finding, string) []string { return []string{"ExternalAccess"} },
	"action":               func(f *Finding, _ string) []string { return f.Actions },
	"error":                func(*Finding, string) []string { return nil },
	"createdAt":            func(f *Finding, _ string) []string { return []string{stamp(f.Created)} },
	"analyzedAt":           func(f *Finding, _ string) []string { return []string{stamp(f.Analyzed)} },
	"updatedAt":            func(f *Finding, _ string) []string { return []string{stamp(f.Updated)} },
	"sources.":             (*Finding).sources,
	"principal.":           func(f *Finding, key string) []string { return only(f.Principal[key] != "", f.Principal[key]) },
	"condition.":           func(f *Finding, key string) []string { return only(f.Condition[key] != "", f.Condition[key]) },
}

func (f *Finding) sources(key string) []string {
	if key != "type" {
		return nil
	}
	return f.Sources()
}

func only(is bool, s string) []string {
	if is {
		return []string{s}
	}
	return nil
}

// Sources are where the access to a bucket comes from, in AWS's words; of other resources AWS tells none.
func (f *Finding) Sources() []string {
	switch {
	case f.ResourceType != posture.TypeBucket:
		return nil
	case f.ACL:
		return []string{"BUCKET_ACL"}
	}
	return []string{"POLICY"}
}

func attribute(name string) (get func(*Finding, string) []string, key string) {
	if get := attributes[name]; get != nil && !strings.HasSuffix(name, ".") {
		return get, ""
	}
	head, rest, ok := strings.Cut(name, ".")
	if !ok || rest == "" {
		return nil, ""
	}
	return attributes[head+"."], rest
}

// Matches tells whether the finding meets all criteria.
func (f Filter) Matches(of *Finding) bool {
	for name, c := range f {
		get, key := attribute(name)
		if get == nil || !c.met(get(of, key)) {
			return false
		}
	}
	return true
}

func (c *Criterion) met(values []string) bool {
	any := func(list []string, same func(a, b string) bool) bool {
		return slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(list, func(want string) bool { return same(v, want) })
		})
	}
	equal := func(a, b string) bool { return a == b }
	switch {
	case c.Exists != nil && *c.Exists != (len(values) > 0),
		len(c.Eq) > 0 && !any(c.Eq, equal),
		len(c.Neq) > 0 && any(c.Neq, equal),
		len(c.Contains) > 0 && !any(c.Contains, strings.Contains):
		return false
	}
	return true
}

// check says what is wrong with a filter.
func (f Filter) check() error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		c := f[name]
		if get, _ := attribute(name); get == nil {
			return invalid("Unknown filter key: %s", name)
		}
		if len(c.Eq)+len(c.Neq)+len(c.Contains) == 0 && c.Exists == nil {
			return invalid("The filter %s has no criterion.", name)
		}
	}
	return nil
}
