package event

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// DefaultBus is the bus that every account has, and that the events of the services go to.
const DefaultBus = "default"

// BusInfo is an event bus.
type BusInfo struct {
	Account, Name, ARN, Description string
	// Policy is the resource policy as it was put, "" for none; Pinned the same with whom it names by their unique ids,
	// "" in records of a time when it was as it was put.
	Policy            string
	Pinned            string `json:",omitempty"`
	DeadLetter        string
	Tags              map[string]string `json:",omitempty"`
	Created, Modified time.Time

	document *policy.Document
}

// compile reads the policy.
func (b *BusInfo) compile() (err error) {
	if b.document = nil; b.Policy != "" {
		b.document, err = policy.ParseString(cmp.Or(b.Pinned, b.Policy), policy.Resource)
	}
	return err
}

// Limits of an account, as AWS has them by default.
const (
	maxBuses  = 100
	maxRules  = 300
	maxPolicy = 10240
)

// BusARN is the ARN of a bus.
func (s *Store) BusARN(account, name string) string { return s.arn(account, "event-bus/"+name) }

// BusName is the name of the bus that a parameter means: a name, or an ARN. Account is the caller's
// unless an ARN says otherwise.
func (s *Store) BusName(caller, nameOrARN string) (account, name string, err error) {
	if nameOrARN == "" {
		return caller, DefaultBus, nil
	}
	if !strings.HasPrefix(nameOrARN, "arn:") {
		return caller, nameOrARN, nil
	}
	account, kind, name, ok := s.splitARN(nameOrARN)
	if !ok || kind != "event-bus" || strings.Contains(name, "/") && !strings.HasPrefix(name, "aws.partner/") {
		return "", "", refuse(Invalid, "Parameter %s is not valid. Reason: Provided Arn is not in correct format.", nameOrARN)
	}
	return account, name, nil
}

// splitARN takes an ARN of this service and region apart.
func (s *Store) splitARN(arn string) (account, kind, name string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] != "aws" || parts[2] != "events" || parts[3] != s.config.Region || len(parts[4]) != 12 {
		return "", "", "", false
	}
	kind, name, ok = strings.Cut(parts[5], "/")
	return parts[4], kind, name, ok && name != ""
}

// bus looks a bus up; the default one exists in every account, whether or not it has a record.
func (s *Store) bus(account, name string) (*BusInfo, error) {
	if b, ok := get(s, &s.buses, account+"/"+name); ok {
		return b, nil
	}
	if name == DefaultBus {
		return &BusInfo{Account: account, Name: name, ARN: s.BusARN(account, name)}, nil
	}
	return nil, refuse(NotFound, "Event bus %s does not exist.", name)
}

// BusExists tells whether there is a bus of that name or ARN.
func (s *Store) BusExists(account, nameOrARN string) error {
	account, name, err := s.BusName(account, nameOrARN)
	if err != nil {
		return err
	}
	_, err = s.bus(account, name)
	return err
}

// Owner is the account in an ARN of this service.
func (s *Store) Owner(arn string) (string, error) {
	account, _, _, err := s.tagged(arn)
	return account, err
}

// BusResource is a bus as what a demand is about, with its policy.
func (s *Store) BusResource(account, name string) authz.Resource {
	r := authz.Resource{ARN: s.BusARN(account, name), Account: account}
	if b, err := s.bus(account, name); err == nil {
		r.Policy = b.document
	}
	return r
}

// BusSpec is what is set of a bus.
type BusSpec struct {
	Description, DeadLetter *string
	Tags                    []Tag
}

// CreateEventBus needs events:CreateEventBus.
func (s *Store) CreateEventBus(ctx context.Context, g authz.Grant, account, name string, in BusSpec) (*BusInfo, error) {
	if err := g.Require("events:CreateEventBus", s.BusARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, exists := get(s, &s.buses, account+"/"+name); exists || name == DefaultBus {
		return nil, refuse(AlreadyExists, "Event bus %s already exists.", name)
	}
	if strings.Contains(name, "/") {
		return nil, refuse(Invalid, "Event bus name must not contain '/'.")
	}
	if count(s, &s.buses, account+"/") >= maxBuses {
		return nil, refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
	}
	tags, err := mergeTags(nil, in.Tags, nil)
	if err != nil {
		return nil, err
	}
	b := &BusInfo{Account: account, Name: name, ARN: s.BusARN(account, name), Tags: tags, Created: s.moment(), Modified: s.moment()}
	b.apply(in)
	var e edit
	put(&e, &s.buses, account+"/"+name, b)
	return b, s.commit(ctx, &e)
}

func (b *BusInfo) apply(in BusSpec) {
	if in.Description != nil {
		b.Description = *in.Description
	}
	if in.DeadLetter != nil {
		b.DeadLetter = *in.DeadLetter
	}
}

// editBus changes a bus; the default one gets its record so.
func (s *Store) editBus(ctx context.Context, account, name string, change func(*BusInfo) error) (*BusInfo, error) {
	s.changes.Lock()
	defer s.changes.Unlock()
	old, err := s.bus(account, name)
	if err != nil {
		return nil, err
	}
	next := *old
	if next.Created.IsZero() {
		next.Created = s.moment()
	}
	next.Modified = s.moment()
	if err := change(&next); err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.buses, account+"/"+name, &next)
	return &next, s.commit(ctx, &e)
}

// UpdateEventBus needs events:UpdateEventBus.
func (s *Store) UpdateEventBus(ctx context.Context, g authz.Grant, account, name string, in BusSpec) (*BusInfo, error) {
	if err := g.Require("events:UpdateEventBus", s.BusARN(account, name)); err != nil {
		return nil, err
	}
	return s.editBus(ctx, account, name, func(b *BusInfo) error { b.apply(in); return nil })
}

// DeleteEventBus needs events:DeleteEventBus. Deleting what is not there is no error.
func (s *Store) DeleteEventBus(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("events:DeleteEventBus", s.BusARN(account, name)); err != nil {
		return err
	}
	if name == DefaultBus {
		return refuse(Invalid, "Cannot delete event bus default.")
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if count(s, &s.rules, account+"/"+name+"/") > 0 {
		return refuse(Invalid, "Event bus can't be deleted since it has rules.")
	}
	var e edit
	put(&e, &s.buses, account+"/"+name, nil)
	return s.commit(ctx, &e)
}

// DescribeEventBus needs events:DescribeEventBus.
func (s *Store) DescribeEventBus(_ context.Context, g authz.Grant, account, name string) (*BusInfo, error) {
	if err := g.Require("events:DescribeEventBus", s.BusARN(account, name)); err != nil {
		return nil, err
	}
	return s.bus(account, name)
}

// ListEventBuses needs events:ListEventBuses on "*".
func (s *Store) ListEventBuses(_ context.Context, g authz.Grant, account string, p Page) (Listed[*BusInfo], error) {
	if err := g.Require("events:ListEventBuses", "*"); err != nil {
		return Listed[*BusInfo]{}, err
	}
	l, err := list(s, &s.buses, account+"/", p, func(b *BusInfo) bool { return b.Name != DefaultBus })
	if err == nil && p.Token == "" && strings.HasPrefix(DefaultBus, p.Prefix) {
		b, _ := s.bus(account, DefaultBus)
		l.Items = append([]*BusInfo{b}, l.Items...)
	}
	return l, err
}

// Permission is one statement of a bus policy, as PutPermission tells it.
type Permission struct {
	StatementID, Action, Principal string
	// ConditionType, ConditionKey and ConditionValue are given together, or not at all.
	ConditionType, ConditionKey, ConditionValue string
	// Policy replaces the whole policy when it is not empty.
	Policy string
}

// PutPermission needs events:PutPermission on "*".
func (s *Store) PutPermission(ctx context.Context, g authz.Grant, account, name string, in Permission) error {
	_, err := s.editBus(ctx, account, name, func(b *BusInfo) error {
		if err := g.RequireStill("events:PutPermission", "*", b.document); err != nil {
			return err
		}
		return s.permit(b, in)
	})
	return err
}

// permit does to b what PutPermission says.
func (s *Store) permit(b *BusInfo, in Permission) error {
	written, pinned := in.Policy, ""
	if written == "" {
		statement, err := in.statement(b.ARN)
		if err != nil {
			return err
		}
		return b.replace(in.StatementID, statement)
	}
	if len(written) > maxPolicy {
		return refuse(PolicyTooLong, "Event bus policy exceeds the maximum length allowed.")
	}
	doc, err := policy.ParseString(written, policy.Resource)
	if err == nil {
		if doc, err = doc.Resolve(s.config.Principals.UniqueID); err == nil {
			pinned = doc.Normalized()
		}
	}
	if err != nil {
		return refuse(Invalid, "The policy is not valid: %s", err)
	}
	b.Policy, b.Pinned = written, pinned
	return b.compile()
}

// replace puts a statement in place of the one with the same Sid; nil takes it away. Whom the others name stays pinned.
func (b *BusInfo) replace(sid string, statement map[string]any) error {
	written, err := withStatement(b.Policy, sid, statement)
	if err != nil {
		return err
	}
	pinned, err := withStatement(cmp.Or(b.Pinned, b.Policy), sid, statement)
	if err != nil {
		return err
	}
	if len(written) > maxPolicy {
		return refuse(PolicyTooLong, "Event bus policy exceeds the maximum length allowed.")
	}
	b.Policy, b.Pinned = written, pinned
	if err := b.compile(); err != nil {
		return refuse(Invalid, "The policy is not valid: %s", err)
	}
	return nil
}

// Permitted is the policy of a bus as it is, and as PutPermission would leave it.
func (s *Store) Permitted(account, name string, in Permission) (before, after *policy.Document, err error) {
	return s.would(account, name, func(b *BusInfo) error { return s.permit(b, in) })
}

// Unpermitted is Permitted for RemovePermission.
func (s *Store) Unpermitted(account, name, statementID string, all bool) (before, after *policy.Document, err error) {
	return s.would(account, name, func(b *BusInfo) error { return b.unpermit(statementID, all) })
}

func (s *Store) would(account, name string, change func(*BusInfo) error) (before, after *policy.Document, err error) {
	old, err := s.bus(account, name)
	if err != nil {
		return nil, nil, err
	}
	next := *old
	err = change(&next)
	return old.document, next.document, err
}

// statement is the JSON of a permission.
func (p *Permission) statement(busARN string) (map[string]any, error) {
	if p.StatementID == "" || p.Action == "" || p.Principal == "" {
		return nil, refuse(Invalid, "Parameters StatementId, Action and Principal are required unless Policy is given.")
	}
	if p.Action != "events:PutEvents" {
		return nil, refuse(Invalid, "Provided value in parameter 'action' is not supported.")
	}
	principal := any("*")
	if p.Principal != "*" {
		principal = map[string]string{"AWS": "arn:aws:iam::" + p.Principal + ":root"}
	}
	st := map[string]any{"Sid": p.StatementID, "Effect": "Allow", "Principal": principal, "Action": p.Action, "Resource": busARN}
	if p.ConditionType != "" {
		st["Condition"] = map[string]any{p.ConditionType: map[string]string{p.ConditionKey: p.ConditionValue}}
	}
	return st, nil
}

// busPolicy is a policy document whose statements are left as they are.
type busPolicy struct {
	Version    string            `json:"Version"`
	Statements []json.RawMessage `json:"Statement"`
}

// withStatement puts a statement in place of the one with the same Sid, or adds it; nil takes it away.
func withStatement(source, sid string, statement map[string]any) (string, error) {
	doc := busPolicy{Version: "2012-10-17"}
	if source != "" {
		if err := json.Unmarshal([]byte(source), &doc); err != nil {
			// One statement may stand without a list.
			var single struct{ Statement json.RawMessage }
			if err := json.Unmarshal([]byte(source), &single); err != nil {
				return "", err
			}
			doc.Statements = []json.RawMessage{single.Statement}
		}
	}
	var kept []json.RawMessage
	found := false
	for _, raw := range doc.Statements {
		var st struct{ Sid string }
		if json.Unmarshal(raw, &st) == nil && st.Sid == sid {
			found = true
			continue
		}
		kept = append(kept, raw)
	}
	if statement == nil && !found {
		return "", refuse(NotFound, "Statement with the provided id does not exist.")
	}
	if statement != nil {
		raw, err := json.Marshal(statement)
		if err != nil {
			return "", err
		}
		kept = append(kept, raw)
	}
	if len(kept) == 0 {
		return "", nil
	}
	doc.Statements = kept
	raw, err := json.Marshal(doc)
	return string(raw), err
}

// RemovePermission needs events:RemovePermission on "*".
func (s *Store) RemovePermission(ctx context.Context, g authz.Grant, account, name, statementID string, all bool) error {
	_, err := s.editBus(ctx, account, name, func(b *BusInfo) error {
		if err := g.RequireStill("events:RemovePermission", "*", b.document); err != nil {
			return err
		}
		return b.unpermit(statementID, all)
	})
	return err
}

func (b *BusInfo) unpermit(statementID string, all bool) error {
	switch {
	case all:
		b.Policy, b.Pinned, b.document = "", "", nil
		return nil
	case b.Policy == "":
		return refuse(NotFound, "EventBus does not have a policy.")
	}
	return b.replace(statementID, nil)
}

// BusARNResource is BusResource of the bus that has an ARN.
func (s *Store) BusARNResource(arn string) authz.Resource {
	account, _, name, ok := s.splitARN(arn)
	if !ok {
		return authz.Resource{ARN: arn}
	}
	return s.BusResource(account, name)
}
