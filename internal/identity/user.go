package identity

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// Quotas that Kura keeps (IAM User Guide, "IAM and AWS STS quotas"). The numbers of users, groups,
// roles and policies of an account are not limited: AWS raises those on request, and a store that
// is moved here may have more.
const (
	maxUserGroups = 10
	maxKeys       = 2
	maxVersions   = 5
	maxMFA        = 8
	maxProviders  = 100
)

// User as the API shows it.
type User struct {
	Path, UserName, UserID, ARN string
	CreateDate                  time.Time
	PasswordLastUsed            time.Time
	PermissionsBoundary         string // ARN
	Tags                        []Tag
}

// CreateUserInput names a new user.
type CreateUserInput struct {
	UserName, Path, PermissionsBoundary string
	Tags                                []Tag
}

func (s *State) showUser(u *user) *User {
	return &User{
		Path: u.Path, UserName: u.Name, UserID: u.ID, ARN: arnOf(u), CreateDate: u.Created,
		PermissionsBoundary: s.policyARN(u.Boundary), Tags: slices.Clone(u.Tags),
	}
}

// CreateUser makes a user without any credential.
func (s *Store) CreateUser(ctx context.Context, g authz.Grant, account string, in CreateUserInput) (*User, error) {
	path, err := checkNew(KindUser, in.UserName, in.Path, in.Tags)
	if err != nil {
		return nil, err
	}
	if err := g.Require("iam:CreateUser", ARN(account, KindUser, path, in.UserName)); err != nil {
		return nil, err
	}
	var made *User
	err = s.change(ctx, g, func(tx *change) error {
		if err := tx.vacant(account, KindUser, in.UserName); err != nil {
			return err
		}
		u := &user{header: newHeader(KindUser, account, path, in.UserName, s.moment())}
		u.Tags = slices.Clone(in.Tags)
		if u.Boundary, err = tx.boundaryID(account, in.PermissionsBoundary); err != nil {
			return err
		}
		tx.set(u)
		made = tx.showUser(u)
		return nil
	})
	return made, err
}

// checkNew holds name, path and tags of a new entity against the rules and gives the path to store.
func checkNew(kind Kind, name, path string, tags []Tag) (string, error) {
	if err := checkName(kind, name); err != nil {
		return "", err
	}
	if err := checkTags(tags); err != nil {
		return "", err
	}
	return checkPath(path)
}

// vacant errs unless another entity of the kind may take the name.
func (s *State) vacant(account string, kind Kind, name string) error {
	if _, ok := s.account(account); !ok {
		return refuse(NoSuchEntity, "The account with id %s cannot be found.", account)
	}
	if _, taken := s.index.get(nameIndex(account, kind, name)); taken {
		return exists(kind, name)
	}
	return nil
}

// find is an entity by name, or NoSuchEntity in IAM's words.
func find[E entity](s *State, account string, kind Kind, name string) (e E, err error) {
	e, ok := byName[E](s, account, kind, name)
	if !ok {
		return e, notFound(kind, name)
	}
	return e, nil
}

// GetUser shows one user.
func (s *Store) GetUser(ctx context.Context, g authz.Grant, account, name string) (*User, error) {
	state := s.state.Load()
	if err := g.Require("iam:GetUser", state.arn(Ref{KindUser, account, name})); err != nil {
		return nil, err
	}
	u, err := find[*user](state, account, KindUser, name)
	if err != nil {
		return nil, err
	}
	shown := state.showUser(u)
	if u.Login != nil {
		use, err := s.lastUse(ctx, u.ID)
		if err != nil {
			return nil, err
		}
		shown.PasswordLastUsed = use.At
	}
	return shown, nil
}

// ListUsers lists the users whose path begins with pathPrefix, without tags and boundary.
func (s *Store) ListUsers(_ context.Context, g authz.Grant, account, pathPrefix string, p Page) (*Listed[*User], error) {
	if err := g.Require("iam:ListUsers", "*"); err != nil {
		return nil, err
	}
	state := s.state.Load()
	return page(state, nameIndex(account, KindUser, ""), p,
		func(u *user) bool { return strings.HasPrefix(u.Path, pathPrefix) },
		func(u *user) *User {
			shown := state.showUser(u)
			shown.Tags, shown.PermissionsBoundary = nil, ""
			return shown
		})
}

// UpdateUser renames or moves a user. Its ARN changes; its id and all that names it by id do not.
func (s *Store) UpdateUser(ctx context.Context, g authz.Grant, account, name, newName, newPath string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:UpdateUser", tx.arn(Ref{KindUser, account, name})); err != nil {
			return err
		}
		u, err := find[*user](tx.State, account, KindUser, name)
		if err != nil {
			return err
		}
		next := *u
		if err := tx.rename(KindUser, &next.header, newName, newPath); err != nil {
			return err
		}
		if arnOf(&next) != arnOf(u) {
			if err := g.Require("iam:UpdateUser", arnOf(&next)); err != nil {
				return err
			}
		}
		tx.set(&next)
		return nil
	})
}

// rename gives h a new name and path, each only when it is not empty.
func (s *State) rename(kind Kind, h *header, name, path string) error {
	if path != "" {
		checked, err := checkPath(path)
		if err != nil {
			return err
		}
		h.Path = checked
	}
	if name == "" || name == h.Name {
		return nil
	}
	if err := checkName(kind, name); err != nil {
		return err
	}
	if other, taken := s.index.get(nameIndex(h.Account, kind, name)); taken && other.id() != h.ID {
		return exists(kind, name)
	}
	h.Name = name
	return nil
}

// DeleteUser removes a user that nothing is attached to any more.
func (s *Store) DeleteUser(ctx context.Context, g authz.Grant, account, name string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:DeleteUser", tx.arn(Ref{KindUser, account, name})); err != nil {
			return err
		}
		u, err := find[*user](tx.State, account, KindUser, name)
		if err != nil {
			return err
		}
		switch {
		case len(u.Attached) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must detach all policies first.")
		case len(u.Inline) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must delete policies first.")
		case len(u.Groups) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must remove users from group first.")
		case u.Login != nil:
			return refuse(DeleteConflict, "Cannot delete entity, must delete login profile first.")
		case tx.count(deviceIndex(u.ID), 1) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must delete MFA device first.")
		case tx.count(ownedIndex(u.ID), 1) > 0:
			return refuse(DeleteConflict, "Cannot delete entity, must remove referenced objects first.")
		}
		tx.remove(u)
		return nil
	})
}
