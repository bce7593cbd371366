package function

import (
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/policy"
)

// Policy is a resource policy: who else may do what with a function, a version or an alias.
type Policy struct {
	Revision   string
	Statements []Statement

	document *policy.Document
}

// Statement is one permission.
type Statement struct {
	Shown
	// Pinned is the principal by its unique id, so that one made later under the same name gets nothing.
	Pinned json.RawMessage
}

// Shown is a statement in the form in which GetPolicy shows it.
type Shown struct {
	Sid       string
	Effect    string
	Principal json.RawMessage
	Action    string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

// Permission is a statement to be added.
type Permission struct {
	ID, Action, Principal                       string
	SourceARN, SourceAccount, EventToken, OrgID string
	Revision                                    *string
}

// maxPolicy bounds a policy in bytes (Lambda quotas).
const maxPolicy = 20 << 10

var (
	statementID  = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,100}$`)
	servicePart  = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com$`)
	actionNamed  = regexp.MustCompile(`^lambda:(\*|[a-zA-Z]+)$`)
	accountsRoot = "arn:aws:iam::"
)

// compile makes the document that decides.
func (p *Policy) compile() (err error) {
	p.document, err = policy.ParseString(p.text(func(s *Statement) Shown {
		pinned := s.Shown
		pinned.Principal = s.Pinned
		return pinned
	}), policy.Resource)
	return err
}

func (p *Policy) text(of func(*Statement) Shown) string {
	all := make([]Shown, 0, len(p.Statements))
	for i := range p.Statements {
		all = append(all, of(&p.Statements[i]))
	}
	raw, _ := json.Marshal(struct { // of plain values
		Version   string
		ID        string `json:"Id"`
		Statement []Shown
	}{"2012-10-17", "default", all})
	return string(raw)
}

// Text is the policy as GetPolicy shows it.
func (p *Policy) Text() string { return p.text(func(s *Statement) Shown { return s.Shown }) }

// statement is in on what r names.
func (s *Store) statement(r Ref, in Permission) (Statement, error) {
	st := Statement{Shown: Shown{Sid: in.ID, Effect: "Allow", Action: in.Action, Resource: s.ARN(r)}}
	if !statementID.MatchString(in.ID) {
		return st, invalid("1 validation error detected: Value '%s' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)", in.ID)
	}
	if !actionNamed.MatchString(in.Action) {
		return st, invalid("1 validation error detected: Value '%s' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])", in.Action)
	}
	principal, conditions, err := in.Allows()
	if err != nil {
		return st, err
	}
	if st.Principal, err = json.Marshal(principal); err != nil {
		return st, err
	}
	if st.Pinned, err = s.pin(&st); err != nil {
		return st, err
	}
	st.Condition = conditions
	return st, nil
}

// Allows tells whom a permission lets in, and on which conditions, as a policy has both.
func (in *Permission) Allows() (principal any, conditions map[string]map[string]string, err error) {
	if principal, err = principalOf(in.Principal); err != nil {
		return nil, nil, err
	}
	condition := func(operator, key, value string) {
		if value == "" {
			return
		}
		if conditions == nil {
			conditions = map[string]map[string]string{}
		}
		if conditions[operator] == nil {
			conditions[operator] = map[string]string{}
		}
		conditions[operator][key] = value
	}
	condition("ArnLike", "AWS:SourceArn", in.SourceARN)
	condition("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	condition("StringEquals", "lambda:EventSourceToken", in.EventToken)
	condition("StringEquals", "aws:PrincipalOrgID", in.OrgID)
	return principal, conditions, nil
}

// principalOf is a principal as it is written in a policy.
func principalOf(name string) (any, error) {
	switch {
	case name == "*":
		return "*", nil
	case servicePart.MatchString(name):
		return map[string]string{"Service": name}, nil
	case accountNumber.MatchString(name):
		return map[string]string{"AWS": accountsRoot + name + ":root"}, nil
	case strings.HasPrefix(name, "arn:aws:iam::") || strings.HasPrefix(name, "arn:aws:sts::"):
		return map[string]string{"AWS": name}, nil
	}
	return nil, invalid("The provided principal was invalid. Please check the principal and try again.")
}

// AddPermission lets somebody do something with what r names, and needs lambda:AddPermission.
func (s *Store) AddPermission(ctx context.Context, g authz.Grant, r Ref, in Permission) (*Shown, error) {
	st, err := s.statement(r, in)
	if err != nil {
		return nil, err
	}
	_, err = s.edit(ctx, g, "lambda:AddPermission", r, func(f *Function, _ *engine.Batch) error {
		if r.Qualifier == latest {
			return invalid("We currently do not support adding policies for $LATEST.")
		}
		if !f.has(r.Qualifier) {
			return s.missing(r)
		}
		var next Policy
		if old := f.Policies[r.Qualifier]; old != nil {
			if err := matches(in.Revision, old.Revision); err != nil {
				return err
			}
			if slices.ContainsFunc(old.Statements, func(o Statement) bool { return o.Sid == in.ID }) {
				return refuse(Conflict, "The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.ID)
			}
			next.Statements = slices.Clone(old.Statements)
		} else if in.Revision != nil && *in.Revision != "" {
			return matches(in.Revision, "")
		}
		next.Statements = append(next.Statements, st)
		return s.setPolicy(f, r.Qualifier, next)
	})
	return &st.Shown, err
}

// pin gives the principal of a statement by its unique id.
func (s *Store) pin(st *Statement) (json.RawMessage, error) {
	nobody := invalid("The provided principal was invalid. Please check the principal and try again.")
	one := Policy{Statements: []Statement{*st}}
	doc, err := policy.ParseString(one.Text(), policy.Resource)
	if err != nil {
		return nil, nobody
	}
	named := doc.Principals()
	if len(named) == 0 {
		return st.Principal, nil
	}
	id, ok := s.config.Principals.UniqueID(named[0])
	if !ok {
		return nil, nobody
	}
	return json.Marshal(map[string]string{"AWS": id})
}

// setPolicy puts a policy of statements into f.
func (s *Store) setPolicy(f *Function, qualifier string, p Policy) error {
	if len(p.Statements) == 0 {
		delete(f.Policies, qualifier)
		return nil
	}
	if n := len(p.Text()); n > maxPolicy {
		return refuse(PolicyTooLong, "The final policy size (%d) is bigger than the limit (%d).", n, maxPolicy)
	}
	if err := p.compile(); err != nil {
		return invalid("The policy is not valid: %s", err)
	}
	p.Revision = uuid.NewString()
	if f.Policies == nil {
		f.Policies = map[string]*Policy{}
	}
	f.Policies[qualifier] = &p
	return nil
}

// tell has the change feed tell of the policies in which a function differs from what it was. Either may be nil.
func (s *Store) tell(b *engine.Batch, g authz.Grant, was, is *Function) (done func(), err error) {
	f := cmp.Or(is, was)
	qualifiers := map[string]bool{}
	for _, side := range []*Function{was, is} {
		if side != nil {
			for q := range side.Policies {
				qualifiers[q] = true
			}
		}
	}
	var ends []func()
	done = func() {
		for _, end := range ends {
			end()
		}
	}
	for q := range qualifiers {
		end, err := s.config.Feed.AddPolicy(b, g.Event(), f.Account, s.ARN(f.ref(q)), was.revision(q), is.revision(q))
		if err != nil {
			done()
			return nil, err
		}
		ends = append(ends, end)
	}
	return done, nil
}

// revision of the policy of what a qualifier names, "" for none.
func (f *Function) revision(qualifier string) string {
	if f == nil || f.Policies[qualifier] == nil {
		return ""
	}
	return f.Policies[qualifier].Revision
}

// ref is f, or what of it a qualifier names.
func (f *Function) ref(qualifier string) Ref { return Ref{f.Account, f.Name, qualifier} }

// RemovePermission needs lambda:RemovePermission.
func (s *Store) RemovePermission(ctx context.Context, g authz.Grant, r Ref, id string, revision *string) error {
	_, err := s.edit(ctx, g, "lambda:RemovePermission", r, func(f *Function, _ *engine.Batch) error {
		old := f.Policies[r.Qualifier]
		if old == nil {
			return refuse(NotFound, "No policy is associated with the given resource.")
		}
		if err := matches(revision, old.Revision); err != nil {
			return err
		}
		next := Policy{Statements: slices.DeleteFunc(slices.Clone(old.Statements), func(o Statement) bool { return o.Sid == id })}
		if len(next.Statements) == len(old.Statements) {
			return refuse(NotFound, "Statement %s is not found in resource policy.", id)
		}
		return s.setPolicy(f, r.Qualifier, next)
	})
	return err
}

// PolicyOf what r names. It needs lambda:GetPolicy.
func (s *Store) PolicyOf(g authz.Grant, r Ref) (*Policy, error) {
	if err := g.Require("lambda:GetPolicy", s.ARN(r)); err != nil {
		return nil, err
	}
	f, err := s.Function(r)
	if err != nil {
		return nil, err
	}
	if p := f.Policies[r.Qualifier]; p != nil {
		return p, nil
	}
	return nil, refuse(NotFound, "The resource you requested does not exist.")
}
