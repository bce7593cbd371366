package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
)

// PolicyEntity is one entity that a managed policy is attached to.
type PolicyEntity struct {
	Kind     Kind
	Name, ID string
}

// EntitiesForPolicyInput narrows ListEntitiesForPolicy.
type EntitiesForPolicyInput struct {
	PolicyARN    string
	EntityFilter string // User, Role, Group or ""
	PathPrefix   string
	UsageFilter  string // PermissionsPolicy, PermissionsBoundary or ""
	Page         Page
}

// ListEntitiesForPolicy lists what a managed policy is attached to or bounds, in the account.
func (s *Store) ListEntitiesForPolicy(_ context.Context, g authz.Grant, account string, in EntitiesForPolicyInput) (*Listed[PolicyEntity], error) {
	state, p, err := s.readPolicy(g, "iam:ListEntitiesForPolicy", account, in.PolicyARN)
	if err != nil {
		return nil, err
	}
	var all []PolicyEntity
	seen := map[string]bool{}
	for _, boundary := range [...]bool{false, true} {
		if (boundary && in.UsageFilter == "PermissionsPolicy") || (!boundary && in.UsageFilter == "PermissionsBoundary") {
			continue
		}
		each(state, attachIndex(p.ID, boundary), "", func(_ string, h holder) bool {
			if in.accepts(h, account) && !seen[h.id()] {
				seen[h.id()] = true
				all = append(all, PolicyEntity{h.kind(), h.head().Name, h.id()})
			}
			return true
		})
	}
	return pageOf(all, in.Page, func(e PolicyEntity) PolicyEntity { return e })
}

func (in *EntitiesForPolicyInput) accepts(h holder, account string) bool {
	return h.head().Account == account && strings.HasPrefix(h.head().Path, in.PathPrefix) &&
		(in.EntityFilter == "" || titles[h.kind()] == in.EntityFilter)
}

// UserDetail is one user in GetAccountAuthorizationDetails.
type UserDetail struct {
	User
	Inline   []InlinePolicy
	Attached []AttachedPolicy
	Groups   []string
}

// GroupDetail is one group in GetAccountAuthorizationDetails.
type GroupDetail struct {
	Group
	Inline   []InlinePolicy
	Attached []AttachedPolicy
}

// RoleDetail is one role in GetAccountAuthorizationDetails.
type RoleDetail struct {
	Role
	Inline   []InlinePolicy
	Attached []AttachedPolicy
	Profiles []*InstanceProfile
}

// PolicyDetail is one managed policy in GetAccountAuthorizationDetails.
type PolicyDetail struct {
	ManagedPolicy
	Versions []*PolicyVersion
}

// Detail is one entity of GetAccountAuthorizationDetails: exactly one member is set.
type Detail struct {
	User   *UserDetail
	Group  *GroupDetail
	Role   *RoleDetail
	Policy *PolicyDetail
}

// detailOrder is the order of kinds in GetAccountAuthorizationDetails, with the filter's words.
var detailOrder = [...]struct {
	filter  string
	kind    Kind
	account string // "" for the caller's own
}{
	{"User", KindUser, ""}, {"Group", KindGroup, ""}, {"Role", KindRole, ""},
	{"LocalManagedPolicy", KindPolicy, ""}, {"AWSManagedPolicy", KindPolicy, awsAccount},
}

// GetAccountAuthorizationDetails lists everything that permissions in the account depend on. filter
// holds User, Group, Role, LocalManagedPolicy and AWSManagedPolicy; empty: all. Policies of AWS
// appear when something in the account uses them.
func (s *Store) GetAccountAuthorizationDetails(_ context.Context, g authz.Grant, account string, filter []string, p Page) (*Listed[Detail], error) {
	if err := g.Require("iam:GetAccountAuthorizationDetails", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	limit, err := p.limit()
	if err != nil {
		return nil, err
	}
	from, err := positionOf(p.Marker)
	if err != nil {
		return nil, err
	}
	out := &Listed[Detail]{Items: []Detail{}}
	for i, o := range detailOrder {
		if len(filter) > 0 && !slices.Contains(filter, o.filter) {
			continue
		}
		section, rest, _ := strings.Cut(from, "/")
		start := ""
		if from != "" {
			if section > decimal(i) {
				continue
			}
			if section == decimal(i) {
				start = rest
			}
		}
		owner := o.account
		if owner == "" {
			owner = account
		}
		full := false
		each(state, nameIndex(owner, o.kind, ""), start, func(key string, e resource) bool {
			if owner == awsAccount && !state.used(e.(*managed), ListPoliciesInput{OnlyAttached: true}) {
				return true
			}
			if len(out.Items) == limit {
				out.IsTruncated, out.Marker, full = true, markerOf(decimal(i)+"/"+key), true
				return false
			}
			out.Items = append(out.Items, state.detail(e))
			return true
		})
		if full {
			break
		}
	}
	return out, nil
}

func (s *State) detail(e resource) Detail {
	switch e := e.(type) {
	case *user:
		d := &UserDetail{User: *s.showUser(e), Inline: e.shown(), Attached: s.attached(&e.bindings, "")}
		for _, g := range s.groupsOf(e) {
			d.Groups = append(d.Groups, g.Name)
		}
		return Detail{User: d}
	case *group:
		return Detail{Group: &GroupDetail{*showGroup(e), e.shown(), s.attached(&e.bindings, "")}}
	case *role:
		d := &RoleDetail{Role: *s.showRole(e), Inline: e.shown(), Attached: s.attached(&e.bindings, "")}
		each(s, profileIndex(e.ID), "", func(_ string, p *profile) bool {
			d.Profiles = append(d.Profiles, s.showProfile(p))
			return true
		})
		return Detail{Role: d}
	case *managed:
		d := &PolicyDetail{ManagedPolicy: *s.showPolicy(e)}
		for _, v := range e.Versions {
			d.Versions = append(d.Versions, v.show(e))
		}
		return Detail{Policy: d}
	}
	return Detail{}
}

// shown are the inline policies as the API shows them.
func (b *bindings) shown() []InlinePolicy {
	list := make([]InlinePolicy, 0, len(b.Inline))
	for _, p := range b.Inline {
		list = append(list, InlinePolicy{p.Name, p.Document})
	}
	return list
}
