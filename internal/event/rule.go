package event

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/event/schedule"
)

// States of a rule.
const (
	Enabled           = "ENABLED"
	Disabled          = "DISABLED"
	EnabledWithEvents = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
)

// Rule says which events of a bus, or at which times, go to which targets.
type Rule struct {
	Account, Bus, Name, ARN, Description, Role string
	// Pattern and Schedule are as they were put; at least one is not empty.
	Pattern, Schedule, State string
	Targets                  []RuleTarget      `json:",omitempty"`
	Tags                     map[string]string `json:",omitempty"`
	CreatedBy                string
	Created                  time.Time
	// Since is what a rate counts from.
	Since time.Time

	pattern  *pattern.Pattern
	schedule schedule.Schedule
}

// RuleARN is the ARN of a rule.
func (s *Store) RuleARN(account, bus, name string) string {
	if bus == DefaultBus {
		return s.arn(account, "rule/"+name)
	}
	return s.arn(account, "rule/"+bus+"/"+name)
}

func rulePath(account, bus, name string) string { return account + "/" + bus + "/" + name }

// compile reads what the rule says.
func (r *Rule) compile() error {
	var err error
	if r.Pattern != "" {
		if r.pattern, err = pattern.Compile([]byte(r.Pattern)); err != nil {
			return err
		}
	}
	if r.Schedule != "" {
		if r.schedule, err = schedule.Parse(r.Schedule); err != nil {
			return refuse(Invalid, "Parameter ScheduleExpression is not valid.")
		}
	}
	return nil
}

// Rule looks a rule up. It decides nothing.
func (s *Store) Rule(account, bus, name string) (*Rule, error) {
	if _, err := s.bus(account, bus); err != nil {
		return nil, err
	}
	r, ok := get(s, &s.rules, rulePath(account, bus, name))
	if !ok {
		return nil, refuse(NotFound, "Rule %s does not exist on EventBus %s.", name, bus)
	}
	return r, nil
}

// RuleSpec is what PutRule says.
type RuleSpec struct {
	Account, Bus, Name                          string
	Pattern, Schedule, State, Description, Role string
	Tags                                        []Tag
}

// maxPatternLength bounds a rule's pattern.
const maxPatternLength = 4096

func (in *RuleSpec) check() error {
	switch {
	case in.Pattern == "" && in.Schedule == "":
		return refuse(Invalid, "Parameter(s) EventPattern or ScheduleExpression must be specified.")
	case in.Schedule != "" && in.Bus != DefaultBus:
		return refuse(Invalid, "ScheduleExpression is supported only on the default event bus.")
	case len(in.Pattern) > maxPatternLength:
		return refuse(Invalid, "1 validation error detected: Value at 'eventPattern' failed to satisfy constraint: Member must have length less than or equal to %d", maxPatternLength)
	}
	return nil
}

// PutRule makes or replaces a rule; its targets and, of an existing one, its tags stay. It needs
// events:PutRule.
func (s *Store) PutRule(ctx context.Context, g authz.Grant, in RuleSpec) (*Rule, error) {
	arn := s.RuleARN(in.Account, in.Bus, in.Name)
	if err := g.Require("events:PutRule", arn); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	next := &Rule{
		Account: in.Account, Bus: in.Bus, Name: in.Name, ARN: arn, Description: in.Description, Role: in.Role,
		Pattern: in.Pattern, Schedule: in.Schedule, State: in.State, CreatedBy: g.Principal().Account, Created: s.moment(), Since: s.moment(),
	}
	if next.State == "" {
		next.State = Enabled
	}
	if err := next.compile(); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, err := s.bus(in.Account, in.Bus); err != nil {
		return nil, err
	}
	path := rulePath(in.Account, in.Bus, in.Name)
	old, exists := get(s, &s.rules, path)
	switch {
	case exists:
		next.Targets, next.Tags, next.Created, next.CreatedBy = old.Targets, old.Tags, old.Created, old.CreatedBy
		if old.Schedule == next.Schedule {
			next.Since = old.Since
		}
	case count(s, &s.rules, in.Account+"/"+in.Bus+"/") >= maxRules:
		return nil, refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
	default:
		var err error
		if next.Tags, err = mergeTags(nil, in.Tags, nil); err != nil {
			return nil, err
		}
	}
	return next, s.putRule(ctx, next)
}

// putRule stores a compiled rule. Under changes.
func (s *Store) putRule(ctx context.Context, r *Rule) error {
	var e edit
	put(&e, &s.rules, rulePath(r.Account, r.Bus, r.Name), r)
	if err := s.commit(ctx, &e); err != nil {
		return err
	}
	if r.Schedule != "" {
		notify(s.schedules)
	}
	return nil
}

// editRule changes a copy of a rule and needs action on it.
func (s *Store) editRule(ctx context.Context, g authz.Grant, action, account, bus, name string, change func(*Rule) error) error {
	if err := g.Require(action, s.RuleARN(account, bus, name)); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	old, err := s.Rule(account, bus, name)
	if err != nil {
		return err
	}
	next := *old
	next.Targets = slices.Clone(old.Targets)
	if err := change(&next); err != nil {
		return err
	}
	return s.putRule(ctx, &next)
}

// EnableRule needs events:EnableRule.
func (s *Store) EnableRule(ctx context.Context, g authz.Grant, account, bus, name string) error {
	return s.editRule(ctx, g, "events:EnableRule", account, bus, name, func(r *Rule) error {
		if r.State == Disabled {
			r.State, r.Since = Enabled, s.moment()
		}
		return nil
	})
}

// DisableRule needs events:DisableRule.
func (s *Store) DisableRule(ctx context.Context, g authz.Grant, account, bus, name string) error {
	return s.editRule(ctx, g, "events:DisableRule", account, bus, name, func(r *Rule) error {
		r.State = Disabled
		return nil
	})
}

// DeleteRule needs events:DeleteRule. Deleting what is not there is no error; a rule with targets stays.
func (s *Store) DeleteRule(ctx context.Context, g authz.Grant, account, bus, name string) error {
	if err := g.Require("events:DeleteRule", s.RuleARN(account, bus, name)); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, err := s.bus(account, bus); err != nil {
		return err
	}
	path := rulePath(account, bus, name)
	old, ok := get(s, &s.rules, path)
	if !ok {
		return nil
	}
	if len(old.Targets) > 0 {
		return refuse(Invalid, "Rule can't be deleted since it has targets.")
	}
	var e edit
	put(&e, &s.rules, path, nil)
	e.batch.Delete(firedKey(path))
	return s.commit(ctx, &e)
}

// DescribeRule needs events:DescribeRule.
func (s *Store) DescribeRule(_ context.Context, g authz.Grant, account, bus, name string) (*Rule, error) {
	if err := g.Require("events:DescribeRule", s.RuleARN(account, bus, name)); err != nil {
		return nil, err
	}
	return s.Rule(account, bus, name)
}

// ListRules needs events:ListRules on "*".
func (s *Store) ListRules(_ context.Context, g authz.Grant, account, bus string, p Page) (Listed[*Rule], error) {
	return s.listRules(g, "events:ListRules", account, bus, p, nil)
}

// ListRuleNamesByTarget gives the rules that send to an ARN. It needs events:ListRuleNamesByTarget on "*".
func (s *Store) ListRuleNamesByTarget(_ context.Context, g authz.Grant, account, bus, targetARN string, p Page) (Listed[*Rule], error) {
	return s.listRules(g, "events:ListRuleNamesByTarget", account, bus, p, func(r *Rule) bool {
		return slices.ContainsFunc(r.Targets, func(t RuleTarget) bool { return t.ARN == targetARN })
	})
}

func (s *Store) listRules(g authz.Grant, action, account, bus string, p Page, keep func(*Rule) bool) (Listed[*Rule], error) {
	if err := g.Require(action, "*"); err != nil {
		return Listed[*Rule]{}, err
	}
	if _, err := s.bus(account, bus); err != nil {
		return Listed[*Rule]{}, err
	}
	return list(s, &s.rules, account+"/"+bus+"/", p, keep)
}

// Tagged is what can have tags: a bus or a rule, by ARN.
func (s *Store) tagged(arn string) (account, bus, rule string, err error) {
	account, kind, name, ok := s.splitARN(arn)
	switch {
	case ok && kind == "event-bus":
		return account, name, "", nil
	case ok && kind == "rule":
		if bus, rule, custom := strings.Cut(name, "/"); custom {
			return account, bus, rule, nil
		}
		return account, DefaultBus, name, nil
	}
	return "", "", "", refuse(Invalid, "Parameter %s is not valid. Reason: Provided Arn is not in correct format.", arn)
}

// Tags of a bus or rule, by ARN. They are also condition keys; reading them decides nothing.
func (s *Store) Tags(arn string) ([]Tag, error) {
	account, bus, rule, err := s.tagged(arn)
	if err != nil {
		return nil, err
	}
	if rule == "" {
		b, err := s.bus(account, bus)
		if err != nil {
			return nil, err
		}
		return sortedTags(b.Tags), nil
	}
	r, err := s.Rule(account, bus, rule)
	if err != nil {
		return nil, err
	}
	return sortedTags(r.Tags), nil
}

// ListTagsForResource needs events:ListTagsForResource.
func (s *Store) ListTagsForResource(_ context.Context, g authz.Grant, arn string) ([]Tag, error) {
	if err := g.Require("events:ListTagsForResource", arn); err != nil {
		return nil, err
	}
	return s.Tags(arn)
}

// Tag needs events:TagResource.
func (s *Store) Tag(ctx context.Context, g authz.Grant, arn string, tags []Tag) error {
	return s.retag(ctx, g, "events:TagResource", arn, tags, nil)
}

// Untag needs events:UntagResource.
func (s *Store) Untag(ctx context.Context, g authz.Grant, arn string, keys []string) error {
	return s.retag(ctx, g, "events:UntagResource", arn, nil, keys)
}

func (s *Store) retag(ctx context.Context, g authz.Grant, action, arn string, add []Tag, remove []string) error {
	if err := g.Require(action, arn); err != nil {
		return err
	}
	account, bus, rule, err := s.tagged(arn)
	if err != nil {
		return err
	}
	if rule == "" {
		_, err := s.editBus(ctx, account, bus, func(b *BusInfo) (err error) {
			b.Tags, err = mergeTags(b.Tags, add, remove)
			return err
		})
		return err
	}
	return s.editRule(ctx, g, action, account, bus, rule, func(r *Rule) (err error) {
		r.Tags, err = mergeTags(r.Tags, add, remove)
		return err
	})
}
