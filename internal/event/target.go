package event

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// RuleTarget is where a rule sends, and what.
type RuleTarget struct {
	ID, ARN string
	Role    string `json:",omitempty"`
	// At most one of Input, InputPath and Transformer.
	Input       *string      `json:",omitempty"`
	InputPath   *string      `json:",omitempty"`
	Transformer *Transformer `json:",omitempty"`
	HTTP        *HTTP        `json:",omitempty"`
	// MessageGroup is of SQS FIFO queues.
	MessageGroup string `json:",omitempty"`
	DeadLetter   string `json:",omitempty"`
	// MaxAge in seconds and MaxRetries; nil: AWS's defaults, 24 hours and 185.
	MaxAge, MaxRetries *int32 `json:",omitempty"`
}

// HTTP is what a target adds to the request to an API destination.
type HTTP struct {
	Path    []string          `json:",omitempty"`
	Headers map[string]string `json:",omitempty"`
	Query   map[string]string `json:",omitempty"`
}

// Kinds of targets that this package has itself.
const (
	KindDestination = "events/api-destination"
	KindBus         = "events/event-bus"
)

// Limits and defaults of deliveries.
const (
	maxTargets        = 5
	defaultMaxAge     = 86400
	defaultMaxRetries = 185
)

// KindOf is the kind of target that an ARN names: of an ARN of EventBridge service and type, of others
// the service.
func KindOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return ""
	}
	if parts[2] == "events" {
		kind, _, _ := strings.Cut(parts[5], "/")
		return "events/" + kind
	}
	return parts[2]
}

// FailedTarget is a target that PutTargets or RemoveTargets refused alone.
type FailedTarget struct{ ID, Code, Message string }

// PutTargets adds targets to a rule or replaces those with the same id. It needs events:PutTargets.
func (s *Store) PutTargets(ctx context.Context, g authz.Grant, account, bus, rule string, targets []RuleTarget) ([]FailedTarget, error) {
	var failed []FailedTarget
	err := s.editRule(ctx, g, "events:PutTargets", account, bus, rule, func(r *Rule) error {
		for i := range targets {
			t := &targets[i]
			if err := s.checkTarget(ctx, account, t); err != nil {
				return err
			}
			at := slices.IndexFunc(r.Targets, func(old RuleTarget) bool { return old.ID == t.ID })
			if at >= 0 {
				r.Targets[at] = *t
				continue
			}
			if len(r.Targets) >= maxTargets {
				return refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
			}
			r.Targets = append(r.Targets, *t)
		}
		return nil
	})
	return failed, err
}

func (s *Store) checkTarget(ctx context.Context, account string, t *RuleTarget) error {
	given := 0
	for _, is := range []bool{t.Input != nil, t.InputPath != nil, t.Transformer != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		return refuse(Invalid, "Only one of Input, InputPath, or InputTransformer must be provided for target %s.", t.ID)
	}
	if t.Input != nil && !json.Valid([]byte(*t.Input)) {
		return refuse(Invalid, "JSON syntax error in input for target %s", t.ID)
	}
	if t.InputPath != nil && *t.InputPath != "" {
		if _, err := parsePath(*t.InputPath); err != nil {
			return refuse(Invalid, "InputPath for target %s is invalid.", t.ID)
		}
	}
	if t.Transformer != nil {
		if err := t.Transformer.check(t.ID); err != nil {
			return err
		}
	}
	return s.checkKind(ctx, account, t)
}

func (s *Store) checkKind(ctx context.Context, account string, t *RuleTarget) error {
	if t.DeadLetter != "" && KindOf(t.DeadLetter) != "sqs" {
		return refuse(Invalid, "Invalid parameter: DeadLetterConfig.Arn must be the ARN of an Amazon SQS queue.")
	}
	switch kind := KindOf(t.ARN); kind {
	case KindDestination:
		return s.checkDestinationTarget(account, t)
	case KindBus:
		owner, _, name, ok := s.splitARN(t.ARN)
		if !ok {
			return refuse(Invalid, "Parameter %s is not valid. Reason: Provided Arn is not in correct format.", t.ARN)
		}
		if owner != account {
			return nil // the other account's policy decides when an event is sent
		}
		_, err := s.bus(owner, name)
		return err
	default:
		known, ok := s.config.Targets[kind]
		if !ok {
			return refuse(Invalid, "Parameter %s is not valid. Reason: Provided Arn is not in correct format, or names a service that this server does not have (%s).", t.ARN, kind)
		}
		return known.Check(ctx, account, t)
	}
}

func (s *Store) checkDestinationTarget(account string, t *RuleTarget) error {
	owner, _, name, ok := s.splitARN(t.ARN)
	if !ok || owner != account {
		return refuse(Invalid, "Parameter %s is not valid. Reason: Provided Arn is not in correct format.", t.ARN)
	}
	d, err := s.destinationByARN(t.ARN)
	if err != nil {
		plain, _, _ := strings.Cut(name, "/")
		return refuse(NotFound, "Failed to describe the api-destination(s). An api-destination '%s' does not exist.", plain)
	}
	var path []string
	if t.HTTP != nil {
		path = t.HTTP.Path
	}
	if n := strings.Count(d.Endpoint, "*"); n != len(path) {
		return refuse(Invalid, "The number of PathParameterValues of target %s (%d) differs from the number of wildcards in the endpoint (%d).", t.ID, len(path), n)
	}
	return nil
}

// RemoveTargets needs events:RemoveTargets. Ids that the rule does not have are told.
func (s *Store) RemoveTargets(ctx context.Context, g authz.Grant, account, bus, rule string, ids []string) ([]FailedTarget, error) {
	var failed []FailedTarget
	err := s.editRule(ctx, g, "events:RemoveTargets", account, bus, rule, func(r *Rule) error {
		for _, id := range ids {
			n := len(r.Targets)
			r.Targets = slices.DeleteFunc(r.Targets, func(t RuleTarget) bool { return t.ID == id })
			if len(r.Targets) == n {
				failed = append(failed, FailedTarget{id, "ResourceNotFoundException", "Rule " + rule + " does not have target " + id + "."})
			}
		}
		return nil
	})
	return failed, err
}

// ListTargetsByRule needs events:ListTargetsByRule.
func (s *Store) ListTargetsByRule(_ context.Context, g authz.Grant, account, bus, rule string, p Page) (Listed[RuleTarget], error) {
	if err := g.Require("events:ListTargetsByRule", s.RuleARN(account, bus, rule)); err != nil {
		return Listed[RuleTarget]{}, err
	}
	r, err := s.Rule(account, bus, rule)
	if err != nil {
		return Listed[RuleTarget]{}, err
	}
	var out Listed[RuleTarget]
	byID := slices.SortedFunc(slices.Values(r.Targets), func(a, b RuleTarget) int { return strings.Compare(a.ID, b.ID) })
	for _, t := range byID {
		switch {
		case t.ID <= p.Token && p.Token != "":
		case p.Limit > 0 && len(out.Items) == p.Limit:
			out.Next = out.Items[len(out.Items)-1].ID
			return out, nil
		default:
			out.Items = append(out.Items, t)
		}
	}
	return out, nil
}

// httpsOnly is the endpoint check of a server that may not speak plain HTTP to anybody.
func httpsOnly(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return fault.New(Invalid, "Parameter InvocationEndpoint is not valid. Reason: it must be an HTTPS URL.")
	}
	return nil
}
