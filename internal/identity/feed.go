package identity

import (
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/feed"
)

// Entity is a user, group, role, customer managed policy or root user with all that it depends on: what
// the change feed tells (kind feed.Identity, Before and After) and what those read who watch over
// identities. No secret is in it.
type Entity struct {
	Kind    Kind // "root" for an account's root user
	ID      string
	Account string
	Path    string `json:",omitempty"`
	Name    string
	ARN     string
	Created time.Time
	Tags    []Tag `json:",omitempty"`

	// Of users, groups and roles.
	Inline   []InlinePolicy   `json:",omitempty"`
	Attached []AttachedPolicy `json:",omitempty"`
	Boundary string           `json:",omitempty"` // ARN
	// Of users.
	Groups []AttachedGroup `json:",omitempty"`
	// Password says that the user may sign in to the console; Changed when it last was.
	Password        bool      `json:",omitempty"`
	PasswordChanged time.Time `json:",omitzero"`
	// MFA are the serial numbers of the devices, of users and root; Keys their access keys.
	MFA  []string    `json:",omitempty"`
	Keys []EntityKey `json:",omitempty"`
	// Of roles: the trust policy as written, and what it means, pinned to unique ids.
	Trust       string `json:",omitempty"`
	Pinned      string `json:",omitempty"`
	Description string `json:",omitempty"` // and of policies
	MaxSession  int    `json:",omitempty"`
	Service     string `json:",omitempty"` // of a service-linked role
	// Of policies.
	Versions []EntityVersion `json:",omitempty"`
	Default  string          `json:",omitempty"`
	Updated  time.Time       `json:",omitzero"`
	// Bounds says that the policy is the permissions boundary of some user or role.
	Bounds bool `json:",omitempty"`
	// Policy of the account's passwords, of root users; nil: never set.
	PasswordPolicy *PasswordPolicy `json:",omitempty"`
}

// AttachedGroup is a group that a user is in.
type AttachedGroup struct{ Name, ARN string }

// EntityKey is an access key without its secret.
type EntityKey struct {
	ID      string
	Active  bool
	Created time.Time
}

// EntityVersion is one version of a managed policy.
type EntityVersion struct {
	ID       string
	Created  time.Time
	Document string
}

// KindRoot is the kind of Entity that an account's root user is.
const KindRoot Kind = "root"

// Entities gives the entities of one kind that the account has, by name, from memory, as of the moment
// of the call. It decides nothing: what it tells is for Kura's own watch, not for an answer.
func (s *Store) Entities(account string, kind Kind) iter.Seq[*Entity] {
	state := s.state.Load()
	return func(yield func(*Entity) bool) {
		if kind == KindRoot {
			if a, ok := state.account(account); ok {
				yield(state.entity(a))
			}
			return
		}
		each(state, nameIndex(account, kind, ""), "", func(_ string, e resource) bool { return yield(state.entity(e)) })
	}
}

// Entity finds one entity by its kind and unique id, as Entities does.
func (s *Store) Entity(kind Kind, id string) (*Entity, bool) {
	state := s.state.Load()
	if kind == KindRoot {
		kind = kindAccount
	}
	found, ok := state.records.get(recordID(kind, id))
	if !ok {
		return nil, false
	}
	e := state.entity(found)
	return e, e != nil
}

// entity describes e; nil for what is no Entity.
func (s *State) entity(e entity) *Entity {
	switch e := e.(type) {
	case *user:
		d := s.described(e, &e.bindings)
		for _, g := range s.groupsOf(e) {
			d.Groups = append(d.Groups, AttachedGroup{g.Name, arnOf(g)})
		}
		if e.Login != nil {
			d.Password, d.PasswordChanged = true, e.Login.Changed
		}
		s.credentials(d)
		return d
	case *group:
		return s.described(e, &e.bindings)
	case *role:
		d := s.described(e, &e.bindings)
		d.Trust, d.Pinned, d.Description, d.MaxSession, d.Service = e.Trust, e.Pinned, e.Description, e.MaxSession, e.Service
		return d
	case *managed:
		d := s.described(e, &bindings{})
		d.Description, d.Default, d.Updated = e.Description, e.Default, e.Updated
		d.Bounds = s.count(attachIndex(e.ID, true), 1) > 0
		for i := range e.Versions {
			v := &e.Versions[i]
			d.Versions = append(d.Versions, EntityVersion{v.ID, v.Created, v.Document})
		}
		return d
	case *account:
		d := &Entity{Kind: KindRoot, ID: e.ID, Account: e.ID, Name: "root", ARN: RootARN(e.ID), Created: e.Created, PasswordPolicy: e.Password}
		s.credentials(d)
		return d
	}
	return nil
}

func (s *State) described(e resource, b *bindings) *Entity {
	h := e.head()
	d := &Entity{
		Kind: e.kind(), ID: h.ID, Account: h.Account, Path: h.Path, Name: h.Name, ARN: arnOf(e), Created: h.Created, Tags: h.Tags,
		Attached: s.attached(b, ""), Boundary: s.policyARN(b.Boundary),
	}
	for _, p := range b.Inline {
		d.Inline = append(d.Inline, InlinePolicy{p.Name, p.Document})
	}
	return d
}

// credentials adds devices and access keys.
func (s *State) credentials(d *Entity) {
	each(s, deviceIndex(d.ID), "", func(_ string, m *mfaDevice) bool {
		d.MFA = append(d.MFA, arnOf(m))
		return true
	})
	each(s, ownedIndex(d.ID), "", func(_ string, k *accessKey) bool {
		d.Keys = append(d.Keys, EntityKey{k.ID, k.Active, k.Created})
		return true
	})
}

// told is which Entity a change to e is a change of, by kind and id; "" for none.
func told(e entity) (Kind, string) {
	switch e := e.(type) {
	case *user, *group, *role, *account:
		return e.kind(), e.id()
	case *managed:
		if e.Account == awsAccount {
			return "", ""
		}
		return e.kind(), e.id()
	case *accessKey:
		return ownerKind(e.Owner, e.Account), e.Owner
	case *mfaDevice:
		if e.Owner == "" {
			return "", ""
		}
		return ownerKind(e.Owner, e.Account), e.Owner
	}
	return "", ""
}

// concerned are the entities, besides e's own, whose Entity e has a part in: the policy that is its permissions boundary.
func (s *State) concerned(e entity) []entity {
	if h, ok := e.(holder); ok {
		if p, ok := byID[*managed](s, KindPolicy, h.bound().Boundary); ok {
			return []entity{e, p}
		}
	}
	return []entity{e}
}

func ownerKind(owner, account string) Kind {
	if owner == account {
		return kindAccount
	}
	return KindUser
}

// tell adds the entities that c changes to the feed, each once, with the batch that changes them.
func (s *Store) tell(b *engine.Batch, g authz.Grant, c *change) (done func(), err error) {
	if s.feed == nil {
		return func() {}, nil
	}
	old := s.state.Load()
	var ends []func()
	done = func() {
		for _, end := range ends {
			end()
		}
	}
	seen := map[string]bool{}
	for _, t := range c.touched {
		for _, state := range []*State{old, c.State} {
			e, ok := state.records.get(recordID(t.kind, t.id))
			if !ok {
				continue
			}
			for _, e := range state.concerned(e) {
				kind, id := told(e)
				if id == "" || seen[recordID(kind, id)] {
					continue
				}
				seen[recordID(kind, id)] = true
				end, err := s.tellOne(b, g, old, c.State, recordID(kind, id))
				if err != nil {
					done()
					return nil, err
				}
				ends = append(ends, end)
			}
		}
	}
	return done, nil
}

func (s *Store) tellOne(b *engine.Batch, g authz.Grant, old, next *State, record string) (func(), error) {
	entry := feed.Made(feed.Identity, g.Event())
	for _, side := range []struct {
		state *State
		to    *json.RawMessage
	}{{old, &entry.Before}, {next, &entry.After}} {
		e, ok := side.state.records.get(record)
		if !ok {
			continue
		}
		d := side.state.entity(e)
		raw, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		*side.to, entry.Account, entry.Resource = raw, d.Account, d.ARN
	}
	if entry.Resource == "" || string(entry.Before) == string(entry.After) {
		return func() {}, nil // a device's counter, a membership of the organization, one boundary more
	}
	entry.Gone = entry.After == nil
	return s.feed.Add(b, entry)
}
