package identity

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// Group as the API shows it.
type Group struct {
	Path, GroupName, GroupID, ARN string
	CreateDate                    time.Time
}

func showGroup(g *group) *Group {
	return &Group{Path: g.Path, GroupName: g.Name, GroupID: g.ID, ARN: arnOf(g), CreateDate: g.Created}
}

// CreateGroup makes an empty group.
func (s *Store) CreateGroup(ctx context.Context, g authz.Grant, account, name, path string) (*Group, error) {
	path, err := checkNew(KindGroup, name, path, nil)
	if err != nil {
		return nil, err
	}
	if err := g.Require("iam:CreateGroup", ARN(account, KindGroup, path, name)); err != nil {
		return nil, err
	}
	var made *Group
	err = s.change(ctx, g, func(tx *change) error {
		if err := tx.vacant(account, KindGroup, name); err != nil {
			return err
		}
		e := &group{header: newHeader(KindGroup, account, path, name, s.moment())}
		tx.set(e)
		made = showGroup(e)
		return nil
	})
	return made, err
}

// GetGroup shows a group and one page of its users.
func (s *Store) GetGroup(_ context.Context, g authz.Grant, account, name string, p Page) (*Group, *Listed[*User], error) {
	state := s.state.Load()
	if err := g.Require("iam:GetGroup", state.arn(Ref{KindGroup, account, name})); err != nil {
		return nil, nil, err
	}
	e, err := find[*group](state, account, KindGroup, name)
	if err != nil {
		return nil, nil, err
	}
	users, err := page(state, memberIndex(e.ID), p, nil, func(u *user) *User {
		shown := state.showUser(u)
		shown.Tags, shown.PermissionsBoundary = nil, ""
		return shown
	})
	return showGroup(e), users, err
}

// ListGroups lists the groups whose path begins with pathPrefix.
func (s *Store) ListGroups(_ context.Context, g authz.Grant, account, pathPrefix string, p Page) (*Listed[*Group], error) {
	if err := g.Require("iam:ListGroups", "*"); err != nil {
		return nil, err
	}
	return page(s.state.Load(), nameIndex(account, KindGroup, ""), p,
		func(e *group) bool { return strings.HasPrefix(e.Path, pathPrefix) }, showGroup)
}

// UpdateGroup renames or moves a group.
func (s *Store) UpdateGroup(ctx context.Context, g authz.Grant, account, name, newName, newPath string) error {
	return s.editHolder(ctx, g, "iam:UpdateGroup", Ref{KindGroup, account, name}, func(tx *change, h holder) error {
		was := arnOf(h)
		if err := tx.rename(KindGroup, h.head(), newName, newPath); err != nil {
			return err
		}
		if now := arnOf(h); now != was {
			return g.Require("iam:UpdateGroup", now)
		}
		return nil
	})
}

// DeleteGroup removes a group without users and policies.
func (s *Store) DeleteGroup(ctx context.Context, g authz.Grant, account, name string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:DeleteGroup", tx.arn(Ref{KindGroup, account, name})); err != nil {
			return err
		}
		e, err := find[*group](tx.State, account, KindGroup, name)
		if err != nil {
			return err
		}
		switch {
		case tx.count(memberIndex(e.ID), 1) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must remove users from group first.")
		case len(e.Attached) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must detach all policies first.")
		case len(e.Inline) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must delete policies first.")
		}
		tx.remove(e)
		return nil
	})
}

// AddUserToGroup makes a user a member. Adding again changes nothing.
func (s *Store) AddUserToGroup(ctx context.Context, g authz.Grant, account, groupName, userName string) error {
	return s.editMembership(ctx, g, "iam:AddUserToGroup", account, groupName, userName, func(u *user, groupID string) error {
		if slices.Contains(u.Groups, groupID) {
			return nil
		}
		if len(u.Groups) >= maxUserGroups {
			return refuse(LimitExceeded, "Cannot exceed quota for GroupsPerUser: %d", maxUserGroups)
		}
		u.Groups = append(u.Groups, groupID)
		return nil
	})
}

// RemoveUserFromGroup ends a membership.
func (s *Store) RemoveUserFromGroup(ctx context.Context, g authz.Grant, account, groupName, userName string) error {
	return s.editMembership(ctx, g, "iam:RemoveUserFromGroup", account, groupName, userName, func(u *user, groupID string) error {
		if !slices.Contains(u.Groups, groupID) {
			return refuse(NoSuchEntity, "User %s is not in group %s.", userName, groupName)
		}
		u.Groups = slices.DeleteFunc(u.Groups, func(id string) bool { return id == groupID })
		return nil
	})
}

func (s *Store) editMembership(ctx context.Context, g authz.Grant, action, account, groupName, userName string, fn func(*user, string) error) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require(action, tx.arn(Ref{KindGroup, account, groupName})); err != nil {
			return err
		}
		e, err := find[*group](tx.State, account, KindGroup, groupName)
		if err != nil {
			return err
		}
		u, err := find[*user](tx.State, account, KindUser, userName)
		if err != nil {
			return err
		}
		u = u.twin().(*user)
		if err := fn(u, e.ID); err != nil {
			return err
		}
		tx.set(u)
		return nil
	})
}

// ListGroupsForUser lists the groups that a user is in, in the order of joining.
func (s *Store) ListGroupsForUser(_ context.Context, g authz.Grant, account, userName string, p Page) (*Listed[*Group], error) {
	state := s.state.Load()
	if err := g.Require("iam:ListGroupsForUser", state.arn(Ref{KindUser, account, userName})); err != nil {
		return nil, err
	}
	u, err := find[*user](state, account, KindUser, userName)
	if err != nil {
		return nil, err
	}
	return pageOf(state.groupsOf(u), p, showGroup)
}

func (s *State) groupsOf(u *user) []*group {
	var groups []*group
	for _, id := range u.Groups {
		if e, ok := byID[*group](s, KindGroup, id); ok {
			groups = append(groups, e)
		}
	}
	return groups
}
