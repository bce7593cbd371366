package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/policy"
)

// ResourcePolicies are those of one account, immutable once published. Together they are the resource policy
// of every group of the account.
type ResourcePolicies struct {
	Account string
	ByName  map[string]ResourcePolicy

	version engine.Version
	whole   *policy.Document
}

// ResourcePolicy is one of them.
type ResourcePolicy struct {
	Written string // as it was put
	Pinned  string // the same with users and roles by their unique ids
	Updated time.Time
}

// maxPolicies of an account.
const maxPolicies = 10

func policyKey(account string) []byte { return []byte(policyPrefix + account) }

func decodePolicies(raw []byte, v engine.Version) (*ResourcePolicies, error) {
	p, err := decode[ResourcePolicies](raw)
	if err != nil {
		return nil, err
	}
	if p.Account == "" {
		return nil, errors.New("policies without an account")
	}
	p.version = v
	return p, p.join()
}

// join makes one document of all.
func (p *ResourcePolicies) join() error {
	type document struct {
		Version   string
		Statement []map[string]json.RawMessage
	}
	all := document{Version: "2012-10-17"}
	for _, name := range slices.Sorted(maps.Keys(p.ByName)) {
		var one struct{ Statement json.RawMessage }
		if err := json.Unmarshal([]byte(p.ByName[name].Pinned), &one); err != nil {
			return err
		}
		if !bytes.HasPrefix(bytes.TrimSpace(one.Statement), []byte("[")) {
			one.Statement = slices.Concat([]byte("["), one.Statement, []byte("]"))
		}
		var statements []map[string]json.RawMessage
		if err := json.Unmarshal(one.Statement, &statements); err != nil {
			return err
		}
		for _, s := range statements {
			delete(s, "Sid") // two policies may have the same
			all.Statement = append(all.Statement, s)
		}
	}
	p.whole = nil
	if len(all.Statement) == 0 {
		return nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	p.whole, err = policy.ParseString(string(text), policy.Resource)
	return err
}

func (s *Store) policyText(text string) (ResourcePolicy, error) {
	doc, err := policy.ParseString(text, policy.Resource)
	if err != nil {
		return ResourcePolicy{}, refuse(Invalid, "Invalid policy document: %s", err)
	}
	// In one document with policies of 2012 its variables would mean something.
	if doc.Version() != "2012-10-17" && strings.Contains(text, "${") {
		return ResourcePolicy{}, refuse(Invalid, "Invalid policy document: a policy with variables needs the Version 2012-10-17.")
	}
	pinned, err := doc.Resolve(s.principals.UniqueID)
	if err != nil {
		return ResourcePolicy{}, refuse(Invalid, "Invalid policy document: %s", err)
	}
	return ResourcePolicy{Written: text, Pinned: pinned.Normalized(), Updated: s.now().UTC().Truncate(time.Millisecond)}, nil
}

// Changed tells what all policies of an account are together, nil for nothing, and what they would be, "" for
// nothing, with text in the place of the one with that name; text "" takes it away. It decides nothing.
func (s *Store) Changed(account, name, text string) (before *policy.Document, after string, err error) {
	next := &ResourcePolicies{Account: account, ByName: map[string]ResourcePolicy{}}
	if now := (*s.policies.Load())[account]; now != nil {
		before = now.whole
		maps.Copy(next.ByName, now.ByName)
	}
	if text == "" {
		delete(next.ByName, name)
	} else if next.ByName[name], err = s.policyText(text); err != nil {
		return nil, "", err
	}
	if err := next.join(); err != nil || next.whole == nil {
		return before, "", err
	}
	return before, next.whole.Normalized(), nil
}

// PutPolicy adds a policy or replaces the one of its name, and needs logs:PutResourcePolicy.
func (s *Store) PutPolicy(ctx context.Context, g authz.Grant, account, name, text string) (p ResourcePolicy, err error) {
	if name == "" || text == "" {
		return p, refuse(Invalid, "policyName and policyDocument are required.")
	}
	if p, err = s.policyText(text); err != nil {
		return p, err
	}
	return p, s.editPolicies(ctx, account, func(all *ResourcePolicies) error {
		if err := g.RequireStill("logs:PutResourcePolicy", "*", all.whole); err != nil {
			return err
		}
		all.ByName[name] = p
		if len(all.ByName) > maxPolicies {
			return refuse(Limit, "Resource limit exceeded.")
		}
		return nil
	})
}

// DeletePolicy needs logs:DeleteResourcePolicy.
func (s *Store) DeletePolicy(ctx context.Context, g authz.Grant, account, name string) error {
	return s.editPolicies(ctx, account, func(all *ResourcePolicies) error {
		if err := g.RequireStill("logs:DeleteResourcePolicy", "*", all.whole); err != nil {
			return err
		}
		if _, ok := all.ByName[name]; !ok {
			return refuse(NotFound, "Policy with name [%s] does not exist.", name)
		}
		delete(all.ByName, name)
		return nil
	})
}

func (s *Store) editPolicies(ctx context.Context, account string, change func(*ResourcePolicies) error) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	next := &ResourcePolicies{Account: account}
	if now := (*s.policies.Load())[account]; now != nil {
		*next = *now
	}
	next.ByName = maps.Clone(next.ByName)
	if next.ByName == nil {
		next.ByName = map[string]ResourcePolicy{}
	}
	if err := change(next); err != nil {
		return err
	}
	if err := next.join(); err != nil {
		return err
	}
	raw, err := encode(next)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require(policyKey(account), next.version)
	b.Set(policyKey(account), raw)
	if err := s.commit(ctx, &b); err != nil {
		return err
	}
	next.version = b.Version
	all := maps.Clone(*s.policies.Load())
	all[account] = next
	s.policies.Store(&all)
	return nil
}

// Policies of an account by name. It needs logs:DescribeResourcePolicies.
func (s *Store) Policies(g authz.Grant, account string) (map[string]ResourcePolicy, error) {
	if err := g.Require("logs:DescribeResourcePolicies", "*"); err != nil {
		return nil, err
	}
	if p := (*s.policies.Load())[account]; p != nil {
		return maps.Clone(p.ByName), nil
	}
	return nil, nil
}
