package recorder

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture/rule"
)

// maxRules of an account.
const maxRules = 1000

// ruleID makes an id of AWS's form.
func ruleID(prefix string) string {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	var b [6]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = digits[int(b[i])%len(digits)]
	}
	return prefix + string(b[:])
}

// RuleARN is the ARN of the account's rule of that name, or of no rule in particular when there is none.
func (s *Store) RuleARN(account, name string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.find(account).rules[name]; r != nil {
		return r.ARN
	}
	return s.ruleARN(account, "*")
}

func (s *Store) ruleARN(account, id string) string {
	return "arn:aws:config:" + s.region + ":" + account + ":config-rule/" + id
}

func invalid(format string, args ...any) error {
	return fault.New(InvalidParameter, fmt.Sprintf(format, args...))
}

func noSuchRule(name string) error {
	return fault.New(NoSuchRule, "The ConfigRule '"+name+"' provided in the request is invalid. Please check the configRule name")
}

// PutRule makes or changes a rule and needs config:PutConfigRule. A rule is found again by its name, or
// by its id or ARN where the request gives these.
func (s *Store) PutRule(ctx context.Context, g authz.Grant, account string, in Rule) error {
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if a == nil || a.recorder == nil {
		// Before the Grant: there is no rule to ask about. The answer tells nothing that is anybody's.
		return fault.New(NoRecorder, "Configuration recorder is not available to put config rule.")
	}
	old := a.rules[in.Name]
	if in.ID != "" || in.ARN != "" {
		old = nil
		for _, r := range a.rules {
			if r.ID == in.ID || r.ARN == in.ARN {
				old, in.Name = r, r.Name
			}
		}
		if old == nil {
			return noSuchRule(in.ID)
		}
	}
	arn := s.ruleARN(account, "*")
	if old != nil {
		arn = old.ARN
	}
	if err := g.Require("config:PutConfigRule", arn); err != nil {
		return err
	}
	if old != nil && old.Pack != "" {
		return invalid("The rule %s belongs to a conformance pack and is changed through it.", in.Name)
	}
	if err := s.check(&in); err != nil {
		return err
	}
	if old == nil && len(a.rules) >= maxRules {
		return fault.New(MaxRules, "Failed to put config rule because the maximum number of config rules: 1000 is reached.")
	}
	w := s.begin()
	if err := s.putRule(w, a, account, old, in); err != nil {
		return err
	}
	return s.commit(ctx, w)
}

// putRule adds the writes of a new or changed rule to w. Under judging.
func (s *Store) putRule(w *work, a *accountState, account string, old *Rule, in Rule) error {
	next := in
	next.Format, next.Account, next.results = format, account, map[ref]*Result{}
	if old == nil {
		next.ID, next.Created = ruleID("config-rule-"), w.invoked
		next.ARN = s.ruleARN(account, next.ID)
	} else {
		next.ID, next.ARN, next.Created, next.Tags, next.Status = old.ID, old.ARN, old.Created, old.Tags, old.Status
		if old.Identifier == next.Identifier {
			next.results = old.results
		} else {
			lo, hi := old.resultRange()
			w.batch.DeleteRange(lo, hi)
			next.Status = Status{}
		}
		if a.recording() {
			if err := s.request(w, &next, w.invoked); err != nil {
				return err
			}
		}
	}
	raw, err := encode(&next)
	if err != nil {
		return err
	}
	w.batch.Set(next.key(), raw)
	w.then = append(w.then, func() { a.rules[next.Name] = &next })
	w.poke = true
	return nil
}

// check holds a rule against AWS's rules and against what Kura has, and fills in its parameters.
func (s *Store) check(r *Rule) error {
	m := rule.All[r.Identifier]
	switch {
	case strings.TrimSpace(r.Name) == "" || len(r.Name) > 128:
		return invalid("A rule needs a name of 1 to 128 characters.")
	case m == nil:
		return invalid("The sourceIdentifier %s is invalid. Please refer to the documentation for a list of valid sourceIdentifiers that can be used when AWS is the Owner.", r.Identifier)
	case m.Needs != "" && !s.source.Has(m.Needs):
		return invalid("The rule %s judges %s, of which this Kura has none.", r.Identifier, m.Needs)
	case r.Frequency != "" && frequencies[r.Frequency] == 0:
		return invalid("The maximumExecutionFrequency '%s' is not one of %s.", r.Frequency, "One_Hour, Three_Hours, Six_Hours, Twelve_Hours, TwentyFour_Hours")
	case r.Frequency != "" && !m.Periodic:
		return invalid("MaximumExecutionFrequency is not applicable to the rule %s, which is triggered by configuration changes only.", r.Identifier)
	case len(r.Input) > 1024:
		return invalid("InputParameters are longer than 1024 characters.")
	}
	if sc := r.Scope; sc != nil {
		switch {
		case sc.TagKey == "" && sc.TagValue != "":
			return invalid("A scope with a TagValue needs a TagKey.")
		case sc.ResourceID != "" && len(sc.Types) != 1:
			return invalid("A scope with a ComplianceResourceId needs exactly one ComplianceResourceType.")
		case sc.TagKey != "" && (len(sc.Types) > 0 || sc.ResourceID != ""):
			return invalid("A scope is either of tags or of resource types.")
		}
		if len(sc.Types) > 0 && !slices.ContainsFunc(sc.Types, func(t string) bool { return contains(m.Types, t) }) {
			return invalid("The rule %s judges none of the resource types in its scope; it judges %s.", r.Identifier, strings.Join(m.Types, ", "))
		}
	}
	given, err := parameters(r.Input)
	if err != nil {
		return err
	}
	if r.Parameters, err = m.Fill(given); err != nil {
		return invalid("%s", upper(err.Error()))
	}
	return nil
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// parameters reads InputParameters: a JSON object of scalars.
func parameters(text string) (map[string]string, error) {
	given := map[string]string{}
	if strings.TrimSpace(text) == "" {
		return given, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return nil, invalid("Blank spaces are not acceptable for input parameter, or the value is no JSON object: %s", text)
	}
	for name, raw := range object {
		var value string
		if json.Unmarshal(raw, &value) != nil {
			value = string(raw)
			if strings.ContainsAny(value[:1], "{[n") {
				return nil, invalid("The value of the parameter %s is not a string.", name)
			}
		}
		given[name] = value
	}
	return given, nil
}

// DeleteRule needs config:DeleteConfigRule.
func (s *Store) DeleteRule(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("config:DeleteConfigRule", s.RuleARN(account, name)); err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if a == nil || a.rules[name] == nil {
		return noSuchRule(name)
	}
	r := a.rules[name]
	if r.Pack != "" {
		return invalid("The rule %s belongs to a conformance pack and goes with it.", name)
	}
	w := s.begin()
	w.drop(a, r)
	return s.commit(ctx, w)
}

// drop takes a rule away with all that it found.
func (w *work) drop(a *accountState, r *Rule) {
	lo, hi := r.resultRange()
	w.batch.DeleteRange(lo, hi)
	w.batch.Delete(r.key())
	w.batch.Delete(r.statusKey())
	w.then = append(w.then, func() { delete(a.rules, r.Name) })
}

// DeleteResults forgets what a rule found. It needs config:DeleteEvaluationResults.
func (s *Store) DeleteResults(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("config:DeleteEvaluationResults", s.RuleARN(account, name)); err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	a := s.accounts[account]
	if a == nil || a.rules[name] == nil {
		return noSuchRule(name)
	}
	r := a.rules[name]
	w := s.begin()
	lo, hi := r.resultRange()
	w.batch.DeleteRange(lo, hi)
	w.then = append(w.then, func() { clear(r.results) })
	return s.commit(ctx, w)
}

// Rules gives the account's rules by name, without what they found; all when names is empty. It needs
// action on every one of them.
func (s *Store) Rules(g authz.Grant, action, account string, names []string) ([]*Rule, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rules := s.find(account).rules
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(rules))
		if err := g.Require(action, "*"); err != nil {
			return nil, err
		}
	}
	shown := make([]*Rule, 0, len(names))
	for _, name := range names {
		r := rules[name]
		if r == nil {
			return nil, noSuchRule(name)
		}
		if g.Require(action, r.ARN) != nil {
			if err := g.Require(action, "*"); err != nil {
				return nil, err
			}
		}
		shown = append(shown, r.copy())
	}
	return shown, nil
}

func (r *Rule) copy() *Rule {
	c := *r
	c.results = nil
	return &c
}

// evaluationGap is how long after a StartConfigRulesEvaluation the next one is refused.
const evaluationGap = time.Minute

// StartEvaluation asks for a full pass of rules and needs config:StartConfigRulesEvaluation on each.
func (s *Store) StartEvaluation(ctx context.Context, g authz.Grant, account string, names []string) error {
	rules, err := s.Rules(g, "config:StartConfigRulesEvaluation", account, names)
	if err != nil {
		return err
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	now := s.now()
	a := s.accounts[account]
	if !a.recording() {
		return fault.New(NoRecorder, "Configuration recorder is not available to evaluate config rules.")
	}
	if now.Sub(a.asked) < evaluationGap {
		return fault.New(LimitExceeded, "You have reached the limit of the number of evaluations that can be started: one per minute.")
	}
	w := s.begin()
	for _, shown := range rules {
		r := a.rules[shown.Name]
		if r == nil {
			continue
		}
		if err := s.request(w, r, now.UTC()); err != nil {
			return err
		}
	}
	w.then = append(w.then, func() { a.asked = now })
	return s.commit(ctx, w)
}
