package analyzer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Bounds of AWS.
const (
	maxAnalyzers = 10 // of an account and type; AWS has 1, and more on request
	maxRules     = 100
)

var names = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,254}$`)

func invalid(format string, args ...any) error {
	return fault.New(Invalid, fmt.Sprintf(format, args...))
}

func notFound(what string) error { return fault.New(NotFound, what+" does not exist.") }

// ARN of an analyzer.
func (s *Store) ARN(account, name string) string {
	return "arn:aws:access-analyzer:" + s.config.Region + ":" + account + ":analyzer/" + name
}

// RuleARN is the ARN of an archive rule.
func (s *Store) RuleARN(account, analyzer, rule string) string {
	return s.ARN(account, analyzer) + "/archive-rule/" + rule
}

// nameOf is the name in an analyzer's ARN.
func (s *Store) nameOf(account, arn string) (string, error) {
	name, ok := strings.CutPrefix(arn, s.ARN(account, ""))
	if !ok || name == "" {
		return "", notFound("Analyzer " + arn)
	}
	return name, nil
}

// Create makes an analyzer and needs access-analyzer:CreateAnalyzer. What it covers is scanned at once.
func (s *Store) Create(ctx context.Context, g authz.Grant, account string, in Analyzer) (arn string, err error) {
	in.ARN = s.ARN(account, in.Name)
	if err := g.Require("access-analyzer:CreateAnalyzer", in.ARN); err != nil {
		return "", err
	}
	switch {
	case !names.MatchString(in.Name):
		return "", invalid("The analyzer name %s is not valid.", in.Name)
	case in.Type != TypeAccount && in.Type != TypeOrganization:
		return "", invalid("The analyzer type %s is not one that this Kura has: ACCOUNT, ORGANIZATION.", in.Type)
	case in.Type == TypeOrganization && (s.config.Organization == nil || s.config.Organization() != account):
		return "", invalid("An analyzer of the type ORGANIZATION belongs to the organization's management account.")
	case len(in.Rules) > maxRules:
		return "", fault.New(QuotaExceeded, "An analyzer has at most 100 archive rules.")
	}
	for name, r := range in.Rules {
		if !names.MatchString(name) {
			return "", invalid("The archive rule name %s is not valid.", name)
		}
		if err := r.Filter.check(); err != nil {
			return "", err
		}
	}
	s.working.Lock()
	defer s.working.Unlock()
	mine := s.accounts[account]
	if mine[in.Name] != nil {
		return "", fault.New(Conflict, "An analyzer with the name "+in.Name+" already exists.")
	}
	if n := len(slices.DeleteFunc(slices.Collect(maps.Values(mine)), func(a *Analyzer) bool { return a.Type != in.Type })); n >= maxAnalyzers {
		return "", fault.New(QuotaExceeded, "The account has the maximum number of analyzers of this type.")
	}
	next := in
	next.Format, next.Account, next.Created, next.Scan = format, account, s.now().UTC(), true
	next.findings, next.tuples = map[string]*Finding{}, map[string]map[string]*Finding{}
	w := &work{poke: true}
	if err := w.set(next.key(), &next); err != nil {
		return "", err
	}
	w.then = append(w.then, func() { s.put(&next) })
	return next.ARN, s.commit(ctx, w)
}

// Analyzer gives an analyzer, without its findings. It needs action on it.
func (s *Store) Analyzer(g authz.Grant, action, account, name string) (*Analyzer, error) {
	if err := g.Require(action, s.ARN(account, name)); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts[account][name]
	if a == nil {
		return nil, notFound("Analyzer " + s.ARN(account, name))
	}
	return a.copy(), nil
}

func (a *Analyzer) copy() *Analyzer {
	c := *a
	c.findings, c.tuples = nil, nil
	c.Tags, c.Rules = maps.Clone(a.Tags), maps.Clone(a.Rules)
	return &c
}

// Analyzers gives the account's analyzers by name. It needs access-analyzer:ListAnalyzers.
func (s *Store) Analyzers(g authz.Grant, account, typ string) ([]*Analyzer, error) {
	if err := g.Require("access-analyzer:ListAnalyzers", "*"); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*Analyzer
	for _, name := range slices.Sorted(maps.Keys(s.accounts[account])) {
		if a := s.accounts[account][name]; typ == "" || a.Type == typ {
			list = append(list, a.copy())
		}
	}
	return list, nil
}

// Delete needs access-analyzer:DeleteAnalyzer.
func (s *Store) Delete(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("access-analyzer:DeleteAnalyzer", s.ARN(account, name)); err != nil {
		return err
	}
	s.working.Lock()
	defer s.working.Unlock()
	a := s.accounts[account][name]
	if a == nil {
		return notFound("Analyzer " + s.ARN(account, name))
	}
	w := &work{}
	w.batch.Delete(a.key())
	prefix := a.findingKey("")
	w.batch.DeleteRange(prefix, engine.PrefixEnd(prefix))
	w.then = append(w.then, func() { delete(s.accounts[account], name) })
	return s.commit(ctx, w)
}

// edit changes an analyzer's own record. Under working is not needed; change may not touch findings.
func (s *Store) edit(ctx context.Context, account, name string, change func(*Analyzer) error) error {
	s.working.Lock()
	defer s.working.Unlock()
	a := s.accounts[account][name]
	if a == nil {
		return notFound("Analyzer " + s.ARN(account, name))
	}
	next := a.copy()
	if err := change(next); err != nil {
		return err
	}
	next.Scan = a.Scan || a.scanning
	w := &work{}
	if err := w.set(a.key(), next); err != nil {
		return err
	}
	w.then = append(w.then, func() { a.Tags, a.Rules = next.Tags, next.Rules })
	return s.commit(ctx, w)
}

// PutRule makes (fresh) or changes an archive rule, and needs action on it. Findings that exist are
// archived by ApplyRule.
func (s *Store) PutRule(ctx context.Context, g authz.Grant, action, account, analyzer string, in ArchiveRule, fresh bool) error {
	if err := g.Require(action, s.RuleARN(account, analyzer, in.Name)); err != nil {
		return err
	}
	if !names.MatchString(in.Name) {
		return invalid("The archive rule name %s is not valid.", in.Name)
	}
	if len(in.Filter) == 0 {
		return invalid("An archive rule needs a filter.")
	}
	if err := in.Filter.check(); err != nil {
		return err
	}
	return s.edit(ctx, account, analyzer, func(a *Analyzer) error {
		old, exists := a.Rules[in.Name]
		switch {
		case fresh && exists:
			return fault.New(Conflict, "The archive rule "+in.Name+" already exists.")
		case !fresh && !exists:
			return notFound("Archive rule " + in.Name)
		case fresh && len(a.Rules) >= maxRules:
			return fault.New(QuotaExceeded, "An analyzer has at most 100 archive rules.")
		}
		next := in
		next.Created, next.Updated = s.now().UTC(), s.now().UTC()
		if exists {
			next.Created = old.Created
		}
		if a.Rules == nil {
			a.Rules = map[string]ArchiveRule{}
		}
		a.Rules[in.Name] = next
		return nil
	})
}

// DeleteRule needs access-analyzer:DeleteArchiveRule.
func (s *Store) DeleteRule(ctx context.Context, g authz.Grant, account, analyzer, rule string) error {
	if err := g.Require("access-analyzer:DeleteArchiveRule", s.RuleARN(account, analyzer, rule)); err != nil {
		return err
	}
	return s.edit(ctx, account, analyzer, func(a *Analyzer) error {
		if _, ok := a.Rules[rule]; !ok {
			return notFound("Archive rule " + rule)
		}
		delete(a.Rules, rule)
		return nil
	})
}

// Rules gives the archive rules of an analyzer by name. It needs action on resource, which is the
// analyzer's ARN or an archive rule's.
func (s *Store) Rules(g authz.Grant, action, resource, account, analyzer string) ([]ArchiveRule, error) {
	if err := g.Require(action, resource); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts[account][analyzer]
	if a == nil {
		return nil, notFound("Analyzer " + s.ARN(account, analyzer))
	}
	var list []ArchiveRule
	for _, name := range slices.Sorted(maps.Keys(a.Rules)) {
		list = append(list, a.Rules[name])
	}
	return list, nil
}

// ApplyRule archives the active findings that meet a rule. It needs access-analyzer:ApplyArchiveRule.
func (s *Store) ApplyRule(ctx context.Context, g authz.Grant, account, arn, rule string) error {
	return s.update(ctx, g, "access-analyzer:ApplyArchiveRule", account, arn, func(a *Analyzer) (func(*Finding) string, error) {
		r, ok := a.Rules[rule]
		if !ok {
			return nil, notFound("Archive rule " + rule)
		}
		return func(f *Finding) string {
			if f.Status == Active && r.Filter.Matches(f) {
				return Archived
			}
			return f.Status
		}, nil
	})
}

// UpdateFindings makes findings active or archived: those with the ids, or those of the resource. It
// needs access-analyzer:UpdateFindings. Resolved findings stay resolved.
func (s *Store) UpdateFindings(ctx context.Context, g authz.Grant, account, arn, status string, ids []string, resource string) error {
	return s.update(ctx, g, "access-analyzer:UpdateFindings", account, arn, func(a *Analyzer) (func(*Finding) string, error) {
		if status != Active && status != Archived || (len(ids) == 0) == (resource == "") {
			return nil, invalid("A status of ACTIVE or ARCHIVED is required, and either ids or a resource.")
		}
		for _, id := range ids {
			if a.findings[id] == nil {
				return nil, notFound("Finding " + id)
			}
		}
		return func(f *Finding) string {
			if f.Status != Resolved && (contains(ids, f.ID) || f.Resource == resource) {
				return status
			}
			return f.Status
		}, nil
	})
}

// update gives findings another status.
func (s *Store) update(ctx context.Context, g authz.Grant, action, account, arn string, plan func(*Analyzer) (func(*Finding) string, error)) error {
	if err := g.Require(action, arn); err != nil {
		return err
	}
	name, err := s.nameOf(account, arn)
	if err != nil {
		return err
	}
	s.working.Lock()
	defer s.working.Unlock()
	a := s.accounts[account][name]
	if a == nil {
		return notFound("Analyzer " + arn)
	}
	status, err := plan(a)
	if err != nil {
		return err
	}
	w := &work{}
	for _, f := range a.findings {
		if to := status(f); to != f.Status {
			next := *f
			next.Status, next.Updated = to, s.now().UTC()
			if err := s.change(ctx, w, a, &next); err != nil {
				return err
			}
		}
	}
	return s.commit(ctx, w)
}

// Findings gives the findings of an analyzer that meet a filter, newest change first. It needs action on
// the analyzer.
func (s *Store) Findings(g authz.Grant, action, account, arn string, filter Filter) ([]*Finding, error) {
	if err := g.Require(action, arn); err != nil {
		return nil, err
	}
	if err := filter.check(); err != nil {
		return nil, err
	}
	name, err := s.nameOf(account, arn)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts[account][name]
	if a == nil {
		return nil, notFound("Analyzer " + arn)
	}
	var list []*Finding
	for _, f := range a.findings {
		if filter.Matches(f) {
			list = append(list, f) // findings are replaced, never changed
		}
	}
	slices.SortFunc(list, func(x, y *Finding) int { return cmp.Or(y.Updated.Compare(x.Updated), cmp.Compare(x.ID, y.ID)) })
	return list, nil
}

// Finding gives one finding. It needs action on the analyzer.
func (s *Store) Finding(g authz.Grant, action, account, arn, id string) (*Finding, error) {
	list, err := s.Findings(g, action, account, arn, Filter{"id": {Eq: []string{id}}})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, notFound("Finding " + id)
	}
	return list[0], nil
}

// StartScan analyzes one resource at once and needs access-analyzer:StartResourceScan on the analyzer.
func (s *Store) StartScan(ctx context.Context, g authz.Grant, account, arn, resource string) error {
	if err := g.Require("access-analyzer:StartResourceScan", arn); err != nil {
		return err
	}
	name, err := s.nameOf(account, arn)
	if err != nil {
		return err
	}
	s.working.Lock()
	defer s.working.Unlock()
	a := s.accounts[account][name]
	if a == nil {
		return notFound("Analyzer " + arn)
	}
	for _, covered := range s.covers(a) {
		for _, typ := range Analyzed {
			r, err := s.byARN(ctx, covered, typ, resource)
			if err != nil {
				return err
			}
			if r != nil {
				w := &work{}
				if err := s.analyze(ctx, w, a, r, r); err != nil {
					return err
				}
				return s.commit(ctx, w)
			}
		}
	}
	return notFound("Resource " + resource)
}

// Tag changes an analyzer's tags and needs action on it.
func (s *Store) Tag(ctx context.Context, g authz.Grant, action, account, arn string, set map[string]string, remove []string) error {
	if err := g.Require(action, arn); err != nil {
		return err
	}
	name, err := s.nameOf(account, arn)
	if err != nil {
		return err
	}
	return s.edit(ctx, account, name, func(a *Analyzer) error {
		if a.Tags == nil {
			a.Tags = map[string]string{}
		}
		maps.Copy(a.Tags, set)
		for _, key := range remove {
			delete(a.Tags, key)
		}
		if len(a.Tags) > 50 {
			return fault.New(QuotaExceeded, "An analyzer has at most 50 tags.")
		}
		return nil
	})
}

// ResourceTags are an analyzer's tags as condition keys; none for anything else.
func (s *Store) ResourceTags(account, arn string) authz.ResourceTags {
	name, err := s.nameOf(account, arn)
	if err != nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.accounts[account][name]; a != nil {
		return maps.Clone(a.Tags)
	}
	return nil
}

// Tags gives an analyzer's tags. It needs access-analyzer:ListTagsForResource on it.
func (s *Store) Tags(g authz.Grant, account, arn string) (map[string]string, error) {
	name, err := s.nameOf(account, arn)
	if err != nil {
		return nil, err
	}
	a, err := s.Analyzer(g, "access-analyzer:ListTagsForResource", account, name)
	if err != nil {
		return nil, err
	}
	if a.Tags == nil {
		a.Tags = map[string]string{}
	}
	return a.Tags, nil
}
