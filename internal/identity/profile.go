package identity

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// profile is an instance profile: a name under which a machine gets a role.
type profile struct {
	header
	Role string `json:",omitempty"` // unique id
}

func (p *profile) kind() Kind { return KindInstanceProfile }
func (p *profile) prepare()   {}
func (p *profile) twin() resource {
	c := *p
	c.header = p.header.twin()
	return &c
}

func (p *profile) indexes(yield func(string)) {
	yield(p.named(KindInstanceProfile))
	if p.Role != "" {
		yield(profileIndex(p.Role) + strings.ToLower(p.Name))
	}
}

// profileIndex is the prefix of the instance profiles that a role is in.
func profileIndex(roleID string) string { return "i\x00" + roleID + "\x00" }

// InstanceProfile as the API shows it.
type InstanceProfile struct {
	Path, InstanceProfileName, InstanceProfileID, ARN string
	CreateDate                                        time.Time
	Roles                                             []*Role
	Tags                                              []Tag
}

func (s *State) showProfile(p *profile) *InstanceProfile {
	shown := &InstanceProfile{
		Path: p.Path, InstanceProfileName: p.Name, InstanceProfileID: p.ID, ARN: arnOf(p), CreateDate: p.Created, Tags: slices.Clone(p.Tags),
	}
	if r, ok := byID[*role](s, KindRole, p.Role); ok {
		shown.Roles = []*Role{s.showRole(r)}
	}
	return shown
}

// CreateInstanceProfile makes an instance profile without a role.
func (s *Store) CreateInstanceProfile(ctx context.Context, g authz.Grant, account, name, path string, tags []Tag) (*InstanceProfile, error) {
	path, err := checkNew(KindInstanceProfile, name, path, tags)
	if err != nil {
		return nil, err
	}
	if err := g.Require("iam:CreateInstanceProfile", ARN(account, KindInstanceProfile, path, name)); err != nil {
		return nil, err
	}
	var made *InstanceProfile
	err = s.change(ctx, g, func(tx *change) error {
		if err := tx.vacant(account, KindInstanceProfile, name); err != nil {
			return err
		}
		p := &profile{header: newHeader(KindInstanceProfile, account, path, name, s.moment())}
		p.Tags = slices.Clone(tags)
		tx.set(p)
		made = tx.showProfile(p)
		return nil
	})
	return made, err
}

// GetInstanceProfile shows one instance profile with its role.
func (s *Store) GetInstanceProfile(_ context.Context, g authz.Grant, account, name string) (*InstanceProfile, error) {
	state := s.state.Load()
	if err := g.Require("iam:GetInstanceProfile", state.arn(Ref{KindInstanceProfile, account, name})); err != nil {
		return nil, err
	}
	p, err := find[*profile](state, account, KindInstanceProfile, name)
	if err != nil {
		return nil, err
	}
	return state.showProfile(p), nil
}

// ListInstanceProfiles lists the instance profiles whose path begins with pathPrefix.
func (s *Store) ListInstanceProfiles(_ context.Context, g authz.Grant, account, pathPrefix string, p Page) (*Listed[*InstanceProfile], error) {
	if err := g.Require("iam:ListInstanceProfiles", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	return page(state, nameIndex(account, KindInstanceProfile, ""), p,
		func(e *profile) bool { return strings.HasPrefix(e.Path, pathPrefix) }, state.showListedProfile)
}

// ListInstanceProfilesForRole lists the instance profiles that a role is in.
func (s *Store) ListInstanceProfilesForRole(_ context.Context, g authz.Grant, account, roleName string, p Page) (*Listed[*InstanceProfile], error) {
	state := s.state.Load()
	if err := g.Require("iam:ListInstanceProfilesForRole", state.arn(Ref{KindRole, account, roleName})); err != nil {
		return nil, err
	}
	r, err := find[*role](state, account, KindRole, roleName)
	if err != nil {
		return nil, err
	}
	return page(state, profileIndex(r.ID), p, nil, state.showListedProfile)
}

// showListedProfile leaves out what lists do.
func (s *State) showListedProfile(p *profile) *InstanceProfile {
	shown := s.showProfile(p)
	shown.Tags = nil
	return shown
}

func (s *Store) editProfile(ctx context.Context, g authz.Grant, action, account, name string, fn func(*change, *profile) error) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require(action, tx.arn(Ref{KindInstanceProfile, account, name})); err != nil {
			return err
		}
		p, err := find[*profile](tx.State, account, KindInstanceProfile, name)
		if err != nil {
			return err
		}
		return fn(tx, p.twin().(*profile))
	})
}

// AddRoleToInstanceProfile puts a role into a profile that has none. The edge asks for iam:PassRole
// on the role too.
func (s *Store) AddRoleToInstanceProfile(ctx context.Context, g authz.Grant, account, name, roleName string) error {
	return s.editProfile(ctx, g, "iam:AddRoleToInstanceProfile", account, name, func(tx *change, p *profile) error {
		r, err := find[*role](tx.State, account, KindRole, roleName)
		if err != nil {
			return err
		}
		if err := modifiable(r); err != nil {
			return err
		}
		if _, taken := byID[*role](tx.State, KindRole, p.Role); taken {
			return refuse(LimitExceeded, "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
		}
		p.Role = r.ID
		tx.set(p)
		return nil
	})
}

// RemoveRoleFromInstanceProfile takes the role out.
func (s *Store) RemoveRoleFromInstanceProfile(ctx context.Context, g authz.Grant, account, name, roleName string) error {
	return s.editProfile(ctx, g, "iam:RemoveRoleFromInstanceProfile", account, name, func(tx *change, p *profile) error {
		r, err := find[*role](tx.State, account, KindRole, roleName)
		if err != nil {
			return err
		}
		if p.Role != r.ID {
			return refuse(NoSuchEntity, "The role with name %s cannot be found in the instance profile %s.", roleName, name)
		}
		p.Role = ""
		tx.set(p)
		return nil
	})
}

// DeleteInstanceProfile removes a profile without a role.
func (s *Store) DeleteInstanceProfile(ctx context.Context, g authz.Grant, account, name string) error {
	return s.editProfile(ctx, g, "iam:DeleteInstanceProfile", account, name, func(tx *change, p *profile) error {
		if _, taken := byID[*role](tx.State, KindRole, p.Role); taken {
			return refuse(DeleteConflict, "Cannot delete entity, must remove roles from instance profile first.")
		}
		tx.remove(p)
		return nil
	})
}
