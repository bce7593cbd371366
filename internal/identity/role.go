package identity

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// Role as the API shows it.
type Role struct {
	Path, RoleName, RoleID, ARN string
	AssumeRolePolicyDocument    string
	Description                 string
	MaxSessionDuration          int // seconds
	PermissionsBoundary         string
	CreateDate                  time.Time
	Tags                        []Tag
	LastUsed                    Use
}

// Bounds of MaxSessionDuration, and its default.
const (
	minMaxSession     = 3600
	maxMaxSession     = 43200
	defaultMaxSession = 3600
)

// CreateRoleInput describes a new role.
type CreateRoleInput struct {
	RoleName, Path, AssumeRolePolicyDocument, Description, PermissionsBoundary string
	MaxSessionDuration                                                         int
	Tags                                                                       []Tag
}

func (s *State) showRole(r *role) *Role {
	return &Role{
		Path: r.Path, RoleName: r.Name, RoleID: r.ID, ARN: arnOf(r), AssumeRolePolicyDocument: s.trustText(r),
		Description: r.Description, MaxSessionDuration: r.MaxSession, PermissionsBoundary: s.policyARN(r.Boundary),
		CreateDate: r.Created, Tags: slices.Clone(r.Tags),
	}
}

// trustText is the trust policy to show: as it was written while its principals still go by the
// names written there, else with their names of now, and with bare ids for those that are gone.
func (s *State) trustText(r *role) string {
	doc, err := r.trust.document()
	if err != nil {
		return r.Trust
	}
	arns, same := map[string]string{}, true
	for _, id := range doc.UniqueIDs() {
		arn := s.principalARN(id)
		arns[id] = arn
		same = same && (arn != "" && strings.Contains(r.Trust, `"`+arn+`"`) || strings.Contains(r.Trust, `"`+id+`"`))
	}
	if same {
		return r.Trust
	}
	return doc.Render(arns)
}

// uniqueID is the unique id of the user or role that bears an ARN now.
func (s *State) uniqueID(arn string) (id string, ok bool) {
	e, ok := byARN[resource](s, arn)
	if !ok || e.kind() != KindUser && e.kind() != KindRole {
		return "", false
	}
	return e.id(), true
}

// principalARN is the ARN of the user or role with a unique id, "" when it is gone.
func (s *State) principalARN(id string) string {
	for _, kind := range [...]Kind{KindUser, KindRole} {
		if e, ok := byID[resource](s, kind, id); ok {
			return arnOf(e)
		}
	}
	return ""
}

// setTrust gives r a trust policy whose users and roles exist, pinned to their unique ids.
func (s *State) setTrust(r *role, text string) error {
	doc, err := parsePolicy(text, policy.Trust)
	if err != nil {
		return err
	}
	if doc.Size() > policy.MaxTrustPolicyHard {
		return refuse(LimitExceeded, "Cannot exceed quota for ACLSizePerRole: %d", policy.MaxTrustPolicyHard)
	}
	pinned, err := doc.Resolve(s.uniqueID)
	if err != nil {
		return asMalformed(err)
	}
	r.Trust, r.Pinned = text, pinned.Source()
	return nil
}

// checkMaxSession gives the MaxSessionDuration to store.
func checkMaxSession(seconds int) (int, error) {
	switch {
	case seconds == 0:
		return defaultMaxSession, nil
	case seconds < minMaxSession:
		return 0, violates(decimal(seconds), "maxSessionDuration", "Member must have value greater than or equal to "+decimal(minMaxSession))
	case seconds > maxMaxSession:
		return 0, violates(decimal(seconds), "maxSessionDuration", "Member must have value less than or equal to "+decimal(maxMaxSession))
	}
	return seconds, nil
}

// CreateRole makes a role that the principals of its trust policy may assume.
func (s *Store) CreateRole(ctx context.Context, g authz.Grant, account string, in CreateRoleInput) (*Role, error) {
	path, err := checkNew(KindRole, in.RoleName, in.Path, in.Tags)
	if err != nil {
		return nil, err
	}
	seconds, err := checkMaxSession(in.MaxSessionDuration)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	if err := g.Require("iam:CreateRole", ARN(account, KindRole, path, in.RoleName)); err != nil {
		return nil, err
	}
	var made *Role
	err = s.change(ctx, g, func(tx *change) error {
		if strings.HasPrefix(path, serviceRolePath) {
			return refuse(ValidationError, "Path %s is reserved for service-linked roles.", serviceRolePath)
		}
		if err := tx.vacant(account, KindRole, in.RoleName); err != nil {
			return err
		}
		r := &role{header: newHeader(KindRole, account, path, in.RoleName, s.moment()), Description: in.Description, MaxSession: seconds}
		r.Tags = slices.Clone(in.Tags)
		if err := tx.setTrust(r, in.AssumeRolePolicyDocument); err != nil {
			return err
		}
		if r.Boundary, err = tx.boundaryID(account, in.PermissionsBoundary); err != nil {
			return err
		}
		tx.set(r)
		made = tx.showRole(r)
		return nil
	})
	return made, err
}

// GetRole shows one role.
func (s *Store) GetRole(ctx context.Context, g authz.Grant, account, name string) (*Role, error) {
	state := s.state.Load()
	if err := g.Require("iam:GetRole", state.arn(Ref{KindRole, account, name})); err != nil {
		return nil, err
	}
	r, err := find[*role](state, account, KindRole, name)
	if err != nil {
		return nil, err
	}
	shown := state.showRole(r)
	shown.LastUsed, err = s.lastUse(ctx, r.ID)
	return shown, err
}

// ListRoles lists the roles whose path begins with pathPrefix, without tags and boundary.
func (s *Store) ListRoles(_ context.Context, g authz.Grant, account, pathPrefix string, p Page) (*Listed[*Role], error) {
	if err := g.Require("iam:ListRoles", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	return page(state, nameIndex(account, KindRole, ""), p,
		func(r *role) bool { return strings.HasPrefix(r.Path, pathPrefix) },
		func(r *role) *Role {
			shown := state.showRole(r)
			shown.Tags, shown.PermissionsBoundary = nil, ""
			return shown
		})
}

// UpdateRole changes description and maximum session duration, each when given.
func (s *Store) UpdateRole(ctx context.Context, g authz.Grant, account, name string, description *string, maxSessionDuration int) error {
	return s.editHolder(ctx, g, "iam:UpdateRole", Ref{KindRole, account, name}, func(_ *change, h holder) error {
		r := h.(*role)
		if description != nil {
			if err := checkDescription(*description); err != nil {
				return err
			}
			r.Description = *description
		}
		if maxSessionDuration == 0 {
			return nil
		}
		seconds, err := checkMaxSession(maxSessionDuration)
		r.MaxSession = seconds
		return err
	})
}

// UpdateAssumeRolePolicy replaces the trust policy.
func (s *Store) UpdateAssumeRolePolicy(ctx context.Context, g authz.Grant, account, name, document string) error {
	const action = "iam:UpdateAssumeRolePolicy"
	return s.editHolder(ctx, g, action, Ref{KindRole, account, name}, func(tx *change, h holder) error {
		r := h.(*role)
		if err := g.RequireStill(action, tx.arn(Ref{KindRole, account, name}), r.Pinned); err != nil {
			return err
		}
		return tx.setTrust(r, document)
	})
}

// DeleteRole removes a role without policies that is in no instance profile. Its sessions end with it.
func (s *Store) DeleteRole(ctx context.Context, g authz.Grant, account, name string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:DeleteRole", tx.arn(Ref{KindRole, account, name})); err != nil {
			return err
		}
		r, err := find[*role](tx.State, account, KindRole, name)
		if err != nil {
			return err
		}
		if err := modifiable(r); err != nil {
			return err
		}
		switch {
		case tx.count(profileIndex(r.ID), 1) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must remove roles from instance profile first.")
		case len(r.Attached) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must detach all policies first.")
		case len(r.Inline) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must delete policies first.")
		}
		tx.remove(r)
		return nil
	})
}
