package recorder

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/posture/rule"
)

// RuleCompliance is what a rule found, as a whole.
type RuleCompliance struct {
	Name, ARN, Pack string
	Compliance      rule.Compliance
	// Compliant and NonCompliant count resources.
	Compliant, NonCompliant int
}

func (r *Rule) compliance() RuleCompliance {
	c := RuleCompliance{Name: r.Name, ARN: r.ARN, Pack: r.Pack, Compliance: rule.InsufficientData}
	for _, v := range r.results {
		if v.Compliance == rule.NonCompliant {
			c.NonCompliant++
		} else {
			c.Compliant++
		}
	}
	switch {
	case c.NonCompliant > 0:
		c.Compliance = rule.NonCompliant
	case c.Compliant > 0:
		c.Compliance = rule.Compliant
	}
	return c
}

// Compliance tells what rules found; all rules when names is empty. It needs action as Rules does.
func (s *Store) Compliance(g authz.Grant, action, account string, names []string) ([]RuleCompliance, error) {
	rules, err := s.Rules(g, action, account, names)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.find(account)
	out := make([]RuleCompliance, 0, len(rules))
	for _, shown := range rules {
		if r := a.rules[shown.Name]; r != nil {
			out = append(out, r.compliance())
		}
	}
	return out, nil
}

// Evaluation is one rule's answer about one resource.
type Evaluation struct {
	Rule, Type, ID string
	Result
}

// seen is the answer as of the rule's latest full pass, which found it again.
func (r *Rule) seen(v *Result) Result {
	c := *v
	if r.Status.LastPass.After(c.Invoked) {
		c.Invoked = r.Status.LastPass
		c.Ordering = r.Status.LastPass
		c.Recorded = later(c.Recorded, r.Status.LastPass)
	}
	return c
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func byResource(a, b Evaluation) int {
	return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID), strings.Compare(a.Rule, b.Rule))
}

// RuleDetails are the answers of one rule, by resource. It needs action on the rule.
func (s *Store) RuleDetails(g authz.Grant, action, account, name string) ([]Evaluation, error) {
	if _, err := s.Rules(g, action, account, []string{name}); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.find(account).details(func(r *Rule, _ ref) bool { return r.Name == name }), nil
}

// PackDetails are the answers of the rules of one pack. It needs action on the pack.
func (s *Store) PackDetails(g authz.Grant, action, account, name string) ([]Evaluation, error) {
	if _, err := s.PackCompliance(g, action, account, []string{name}); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.find(account).details(func(r *Rule, _ ref) bool { return r.Pack == name }), nil
}

// ResourceDetails are the answers about resources; empty typ or id: of all. It needs action on "*".
func (s *Store) ResourceDetails(g authz.Grant, action, account, typ, id string) ([]Evaluation, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.find(account).details(func(_ *Rule, at ref) bool {
		return (typ == "" || at.typ == typ) && (id == "" || at.id == id)
	}), nil
}

// details under mu.
func (a *accountState) details(wanted func(*Rule, ref) bool) []Evaluation {
	var out []Evaluation
	for _, name := range slices.Sorted(maps.Keys(a.rules)) {
		r := a.rules[name]
		for at, v := range r.results {
			if wanted(r, at) {
				out = append(out, Evaluation{name, at.typ, at.id, r.seen(v)})
			}
		}
	}
	slices.SortFunc(out, byResource)
	return out
}

// ResourceTags are the tags of a rule, pack or recorder as condition keys; none for anything else.
func (s *Store) ResourceTags(account, arn string) authz.ResourceTags {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tagged(account, arn)
	if err != nil {
		return nil
	}
	return maps.Clone(t.tags)
}

// TagsOf gives the tags of a rule, pack or recorder. It needs config:ListTagsForResource on it.
func (s *Store) TagsOf(g authz.Grant, account, arn string) (map[string]string, error) {
	if err := g.Require("config:ListTagsForResource", arn); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.tagged(account, arn)
	if err != nil {
		return nil, err
	}
	return maps.Clone(t.tags), nil
}
