package kms

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/policy"
)

// Grant lets a principal use a key for some operations, whatever the key policy says.
type Grant struct {
	ID   string
	Name string `json:",omitempty"`
	// Grantee and Retiring are ARNs as they were given; GranteeID and RetiringID the unique ids of
	// users and roles, so that an entity made later under the same name gains nothing.
	Grantee, GranteeID   string
	Retiring, RetiringID string `json:",omitempty"`
	// Issuer is the account that made the grant.
	Issuer     string
	Operations []string
	// Equals and Subset constrain the encryption context. At most one of them is set.
	Equals  map[string]string `json:",omitempty"`
	Subset  map[string]string `json:",omitempty"`
	Created time.Time
}

// grantSet is the grants of a key. It is never changed.
type grantSet struct {
	list []*Grant // by id
	// to are the grants by whom they name: a unique id, else an ARN.
	to map[string][]*Grant
}

func newGrantSet(list []*Grant) *grantSet {
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b *Grant) int { return cmp.Compare(a.ID, b.ID) })
	set := &grantSet{list: list, to: make(map[string][]*Grant, len(list))}
	for _, g := range list {
		who := cmp.Or(g.GranteeID, g.Grantee)
		set.to[who] = append(set.to[who], g)
	}
	return set
}

// all are the grants, by id.
func (s *grantSet) all() []*Grant {
	if s == nil {
		return nil
	}
	return s.list
}

func (s *grantSet) find(id string) *Grant {
	list := s.all()
	if i, ok := slices.BinarySearchFunc(list, id, func(g *Grant, id string) int { return cmp.Compare(g.ID, id) }); ok {
		return list[i]
	}
	return nil
}

func (s *grantSet) with(g *Grant) *grantSet {
	return newGrantSet(append(slices.Clone(s.all()), g))
}

func (s *grantSet) without(id string) *grantSet {
	return newGrantSet(slices.DeleteFunc(slices.Clone(s.all()), func(g *Grant) bool { return g.ID == id }))
}

// identities are the names by which a grant can mean the caller: the unique id of a user or of a
// session's role, the ARN itself, and for callers of another account than the key's the account.
func identities(p *policy.Principal, owner string) (names [3]string) {
	switch p.Type {
	case policy.IAMUser, policy.AssumedRole:
		names[0], names[1] = p.UniqueID, p.ARN
	case policy.RootUser, policy.FederatedUser:
		names[1] = p.ARN
	default:
		return names
	}
	// A grant to an account lets the account's own policies decide, as crossing accounts always does.
	if p.Account != owner {
		names[2] = "arn:aws:iam::" + p.Account + ":root"
	}
	return names
}

// each calls fn with the grants that name the caller until it returns true, and tells whether it did.
func (s *grantSet) each(p *policy.Principal, owner string, fn func(*Grant) bool) bool {
	if s == nil {
		return false
	}
	for i, name := range identities(p, owner) {
		if name == "" || i == 2 && p.Type == policy.RootUser {
			continue
		}
		if slices.ContainsFunc(s.to[name], fn) {
			return true
		}
	}
	return false
}

// granted tells whether a grant lets the caller make this use. What RetireGrant among the operations
// allows is about that grant alone: see RetiredBy.
func (u *Use) granted() bool {
	operation, ok := strings.CutPrefix(u.Action, "kms:")
	if !ok || operation == retireGrant || operation == createGrant && u.Passing == nil {
		return false
	}
	return u.Key.grants.each(u.By, u.Key.Account, func(g *Grant) bool {
		return slices.Contains(g.Operations, operation) && g.admits(operation, u.Context) &&
			(operation != createGrant || g.contains(u.Passing))
	})
}

// The operations on grants that a grant can allow.
const (
	createGrant = "CreateGrant"
	retireGrant = "RetireGrant"
)

// contains tells whether what g allows includes all that n allows: no operation more, and the
// encryption context constrained at least as much.
func (g *Grant) contains(n *NewGrant) bool {
	for _, operation := range n.Operations {
		if !slices.Contains(g.Operations, operation) {
			return false
		}
	}
	switch {
	case len(g.Equals) > 0:
		return maps.Equal(g.Equals, n.Equals)
	case len(g.Subset) > 0:
		return includes(n.Equals, g.Subset) || includes(n.Subset, g.Subset)
	}
	return true
}

// includes tells whether all pairs of part are in whole.
func includes(whole, part map[string]string) bool {
	for name, value := range part {
		if got, ok := whole[name]; !ok || got != value {
			return false
		}
	}
	return true
}

// constrained are the operations that take an encryption context, which constraints speak of.
var constrained = map[string]bool{
	"Decrypt": true, "Encrypt": true, "GenerateDataKey": true, "GenerateDataKeyWithoutPlaintext": true, "GenerateDataKeyPair": true,
	"GenerateDataKeyPairWithoutPlaintext": true, "ReEncryptFrom": true, "ReEncryptTo": true,
}

// admits tells whether the constraints hold.
func (g *Grant) admits(operation string, context map[string]string) bool {
	if !constrained[operation] {
		return true
	}
	if len(g.Equals) > 0 && len(context) != len(g.Equals) {
		return false
	}
	return includes(context, g.Equals) && includes(context, g.Subset)
}
