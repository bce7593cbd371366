package identity

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// AccessKey as the API shows it. Secret is there once, in the answer to CreateAccessKey.
type AccessKey struct {
	UserName, AccessKeyID, Secret string
	Active                        bool
	CreateDate                    time.Time
}

// keyOwner is who keys of a user belong to. The name "" stands for the account's root user.
type keyOwner struct{ id, name, arn string }

func (s *State) keyOwner(account, name string) (keyOwner, error) {
	if name == "" {
		if _, ok := s.account(account); !ok {
			return keyOwner{}, refuse(NoSuchEntity, "The account with id %s cannot be found.", account)
		}
		return keyOwner{account, "", RootARN(account)}, nil
	}
	u, err := find[*user](s, account, KindUser, name)
	if err != nil {
		return keyOwner{}, err
	}
	return keyOwner{u.ID, u.Name, arnOf(u)}, nil
}

// ownerARN is what an operation on the keys of a user is about; root's for "".
func (s *State) ownerARN(account, name string) string {
	if name == "" {
		return RootARN(account)
	}
	return s.arn(Ref{KindUser, account, name})
}

func (s *State) showKey(k *accessKey) *AccessKey {
	shown := &AccessKey{AccessKeyID: k.ID, Active: k.Active, CreateDate: k.Created}
	if u, ok := byID[*user](s, KindUser, k.Owner); ok {
		shown.UserName = u.Name
	}
	return shown
}

// CreateAccessKey gives a user (or, for the name "", the account's root user) a further key. The
// secret is told here and never again.
func (s *Store) CreateAccessKey(ctx context.Context, g authz.Grant, account, userName string) (*AccessKey, error) {
	pair := AccessKeyPair{ID: newID("AKIA", 16), Secret: newSecret()}
	return s.addKey(ctx, g, account, userName, pair)
}

// ImportAccessKey gives a user a key that it had elsewhere.
func (s *Store) ImportAccessKey(ctx context.Context, g authz.Grant, account, userName string, pair AccessKeyPair) (*AccessKey, error) {
	if _, err := givenKey(&pair, "user"); err != nil {
		return nil, refuse(InvalidInput, "%s", err.Error())
	}
	return s.addKey(ctx, g, account, userName, pair)
}

func (s *Store) addKey(ctx context.Context, g authz.Grant, account, userName string, pair AccessKeyPair) (*AccessKey, error) {
	var made *AccessKey
	err := s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:CreateAccessKey", tx.ownerARN(account, userName)); err != nil {
			return err
		}
		owner, err := tx.keyOwner(account, userName)
		if err != nil {
			return err
		}
		if tx.count(ownedIndex(owner.id), maxKeys) >= maxKeys {
			return refuse(LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
		}
		if _, taken := tx.keys.get(pair.ID); taken {
			return refuse(EntityAlreadyExists, "Access Key with id %s already exists.", pair.ID)
		}
		k := s.sealKey(pair, account, owner.id, s.moment())
		tx.set(k)
		made = tx.showKey(k)
		made.Secret = pair.Secret
		return nil
	})
	return made, err
}

// ListAccessKeys lists the keys of a user, or of root for the name "", oldest first.
func (s *Store) ListAccessKeys(_ context.Context, g authz.Grant, account, userName string, p Page) (*Listed[*AccessKey], error) {
	state := s.state.Load()
	if err := g.Require("iam:ListAccessKeys", state.ownerARN(account, userName)); err != nil {
		return nil, err
	}
	owner, err := state.keyOwner(account, userName)
	if err != nil {
		return nil, err
	}
	return page(state, ownedIndex(owner.id), p, nil, state.showKey)
}

// key is the key of that user, or NoSuchEntity.
func (s *State) key(account, userName, id string) (*accessKey, error) {
	owner, err := s.keyOwner(account, userName)
	if err != nil {
		return nil, err
	}
	k, ok := s.keys.get(id)
	if !ok || k.Owner != owner.id {
		return nil, notFound(kindKey, id)
	}
	return k, nil
}

// UpdateAccessKey makes a key active or inactive.
func (s *Store) UpdateAccessKey(ctx context.Context, g authz.Grant, account, userName, id string, active bool) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:UpdateAccessKey", tx.ownerARN(account, userName)); err != nil {
			return err
		}
		k, err := tx.key(account, userName, id)
		if err != nil {
			return err
		}
		next := *k
		next.Active = active
		tx.set(&next)
		return nil
	})
}

// DeleteAccessKey removes a key for good.
func (s *Store) DeleteAccessKey(ctx context.Context, g authz.Grant, account, userName, id string) error {
	return s.change(ctx, g, func(tx *change) error {
		if err := g.Require("iam:DeleteAccessKey", tx.ownerARN(account, userName)); err != nil {
			return err
		}
		k, err := tx.key(account, userName, id)
		if err != nil {
			return err
		}
		tx.remove(k)
		return nil
	})
}

// KeyOwner tells which account and user (name "" for root) a long-term key belongs to. STS's
// GetAccessKeyInfo and the edge's demands need it; it reveals no more than the key id does.
func (s *Store) KeyOwner(accessKeyID string) (account, userName string, ok bool) {
	state := s.state.Load()
	k, ok := state.keys.get(accessKeyID)
	if !ok {
		return "", "", false
	}
	return k.Account, state.showKey(k).UserName, true
}
