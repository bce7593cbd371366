package identity

import (
	"strings"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// keySet is condition keys by lower-case name.
type keySet map[string]policy.Values

// Lookup implements authz.Keys.
func (k keySet) Lookup(key string) (policy.Values, bool) {
	v, ok := k[key]
	return v, ok
}

// subjectCache keeps the Subject of a principal until something that it depends on changes. The
// principal's own change makes a new entity, and with it a new cache.
type subjectCache struct{ built atomic.Pointer[builtSubject] }

type builtSubject struct {
	shared  uint64
	subject authz.Subject
	tags    []Tag
}

// Anonymous is the subject of a request without any sign of authentication.
func Anonymous() authz.Subject {
	return authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}}
}

// Service is the subject of an AWS service that acts by itself, as resource policies name it:
// "logging.s3.amazonaws.com". No policy of its own binds it.
func Service(name string) authz.Subject {
	return authz.Subject{Principal: policy.Principal{Type: policy.Service, ARN: name}}
}

// cached gives the subject in c, made by build when it is not there or out of date.
func (c *subjectCache) cached(s *State, build func() (*builtSubject, error)) (*builtSubject, error) {
	if b := c.built.Load(); b != nil && b.shared == s.shared {
		return b, nil
	}
	b, err := build()
	if err != nil {
		return nil, err
	}
	b.shared = s.shared
	c.built.Store(b)
	return b, nil
}

func (s *State) userSubject(u *user) (*builtSubject, error) {
	return u.subjects.cached(s, func() (*builtSubject, error) {
		in, err := s.inputs(&u.bindings, u.Account)
		if err != nil {
			return nil, err
		}
		for _, id := range u.Groups {
			g, ok := byID[*group](s, KindGroup, id)
			if !ok {
				continue
			}
			if in.Identity, err = s.documents(in.Identity, &g.bindings); err != nil {
				return nil, err
			}
		}
		keys := s.accountKeys(u.Account)
		keys.tag(u.Tags)
		p := policy.Principal{
			Type: policy.IAMUser, Account: u.Account, ARN: arnOf(u), UserID: u.ID, UniqueID: u.ID, Name: u.Name,
			CanonicalID: s.canonicalID(u.Account),
		}
		return &builtSubject{subject: authz.Subject{Principal: p, Policies: in, Keys: keys}, tags: u.Tags}, nil
	})
}

func (s *State) rootSubject(a *account) (*builtSubject, error) {
	return a.roots.cached(s, func() (*builtSubject, error) {
		in := policy.Inputs{}
		var err error
		if in.SCPs, err = s.controls(a.ID); err != nil {
			return nil, err
		}
		p := policy.Principal{
			Type: policy.RootUser, Account: a.ID, ARN: RootARN(a.ID), UserID: a.ID, CanonicalID: a.CanonicalID,
		}
		return &builtSubject{subject: authz.Subject{Principal: p, Policies: in, Keys: s.accountKeys(a.ID)}}, nil
	})
}

// roleSubject is what all sessions of a role have in common. Principal is that of the role itself.
func (s *State) roleSubject(r *role) (*builtSubject, error) {
	return r.subjects.cached(s, func() (*builtSubject, error) {
		in, err := s.inputs(&r.bindings, r.Account)
		if err != nil {
			return nil, err
		}
		if r.Service != "" {
			in.SCPs = nil // SCPs do not bind service-linked roles
		}
		p := policy.Principal{
			Type: policy.AssumedRole, Account: r.Account, UniqueID: r.ID, IssuerARN: arnOf(r),
			CanonicalID: s.canonicalID(r.Account),
		}
		return &builtSubject{subject: authz.Subject{Principal: p, Policies: in, Keys: s.accountKeys(r.Account)}, tags: r.Tags}, nil
	})
}

// inputs are the documents that bind a user or role by itself and through its account.
func (s *State) inputs(b *bindings, account string) (in policy.Inputs, err error) {
	if in.Identity, err = s.documents(nil, b); err != nil {
		return in, err
	}
	if in.SCPs, err = s.controls(account); err != nil {
		return in, err
	}
	if b.Boundary != "" {
		in.Boundary, err = s.boundary(b.Boundary)
	}
	return in, err
}

// nothing is a document that allows nothing.
const nothing = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`

// boundary is the document of a permissions boundary. A boundary whose policy is gone allows nothing.
func (s *State) boundary(id string) (*policy.Document, error) {
	p, ok := byID[*managed](s, KindPolicy, id)
	if !ok {
		return policy.Parse([]byte(nothing), policy.Boundary)
	}
	return p.bounds.document()
}

// documents appends the compiled inline and attached policies of b.
func (s *State) documents(to []*policy.Document, b *bindings) ([]*policy.Document, error) {
	for i := range b.Inline {
		doc, err := b.Inline[i].compiled.document()
		if err != nil {
			return nil, err
		}
		to = append(to, doc)
	}
	for _, id := range b.Attached {
		p, ok := byID[*managed](s, KindPolicy, id)
		if !ok {
			continue
		}
		doc, err := p.compiled.document()
		if err != nil {
			return nil, err
		}
		to = append(to, doc)
	}
	return to, nil
}

// accountKeys are the condition keys that follow from the principal's account.
func (s *State) accountKeys(account string) keySet {
	keys := keySet{}
	if org, path, ok := s.organizationOf(account); ok {
		keys["aws:principalorgid"] = policy.Values{One: org}
		keys["aws:principalorgpaths"] = policy.Values{Many: []string{path}, Multi: true}
	}
	return keys
}

// tag adds aws:PrincipalTag/…; later tags win.
func (k keySet) tag(tags []Tag) {
	for _, t := range tags {
		k["aws:principaltag/"+strings.ToLower(t.Key)] = policy.Values{One: t.Value}
	}
}

func (s *State) canonicalID(account string) string {
	if a, ok := s.account(account); ok {
		return a.CanonicalID
	}
	return ""
}
