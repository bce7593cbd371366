package identity

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// AdministratorAccess and FullAWSAccess are the policies that Kura itself attaches.
const (
	AdministratorAccess = "arn:aws:iam::aws:policy/AdministratorAccess"
	fullAWSAccess       = "p-FullAWSAccess"
)

var (
	accessKeyPattern = regexp.MustCompile(`^[A-Za-z0-9_]{3,128}$`)
	// secretPattern is wider than what Kura makes, so that keys of other stores can be brought along.
	secretPattern = regexp.MustCompile(`^[!-~]{8,128}$`)
)

// bootstrap makes the first account, its administrator and the organization that it manages.
func (s *Store) bootstrap(ctx context.Context, c Config) error {
	id := c.AccountID
	if id == "" {
		id = newAccountID()
	}
	if !isAccountID(id) {
		return fmt.Errorf("identity: account id %q is not 12 digits", id)
	}
	admin, err := givenKey(c.Admin, "administrator")
	if err != nil {
		return err
	}
	return s.found(ctx, c, id, admin)
}

func givenKey(given *AccessKeyPair, whose string) (AccessKeyPair, error) {
	if given == nil {
		return AccessKeyPair{ID: newID("AKIA", 16), Secret: newSecret()}, nil
	}
	if !accessKeyPattern.MatchString(given.ID) || isTemporary(given.ID) {
		return AccessKeyPair{}, fmt.Errorf("identity: the %s's access key id must be 3 to 128 of A-Z, a-z, 0-9 and _, and not begin with ASIA", whose)
	}
	if !secretPattern.MatchString(given.Secret) {
		return AccessKeyPair{}, fmt.Errorf("identity: the %s's secret access key must be 8 to 128 printable characters", whose)
	}
	return *given, nil
}

func (s *Store) found(ctx context.Context, c Config, id string, admin AccessKeyPair) error {
	err := s.change(ctx, authz.Grant{}, func(tx *change) error {
		if tx.organization() != nil {
			return engine.ErrConflict // another node was quicker; its account is the first
		}
		now := s.moment()
		owner := newAccount(id, firstAccountName, "", now)
		everything, ok := byARN[*managed](tx.State, AdministratorAccess)
		if !ok {
			return fmt.Errorf("identity: %s is missing", AdministratorAccess)
		}
		u := &user{header: newHeader(KindUser, id, "/", "admin", now)}
		u.Attached = []string{everything.ID}
		foundOrganization(tx, owner, now)
		tx.set(owner)
		tx.set(u)
		tx.set(s.sealKey(admin, id, u.ID, now))
		if c.Root != nil {
			root, err := givenKey(c.Root, "root user")
			if err != nil {
				return err
			}
			if root.ID == admin.ID {
				return fmt.Errorf("identity: the root user and the administrator cannot share the access key id %s", root.ID)
			}
			tx.set(s.sealKey(root, id, id, now))
		}
		tx.set(s.newTokenKey(now))
		return nil
	})
	if err == nil {
		s.first = &FirstRun{AccountID: id, Admin: admin}
	}
	return err
}

// firstAccountName is what the first account calls itself until somebody names it.
const firstAccountName = "kura"

func newAccount(id, name, email string, now time.Time) *account {
	return &account{Format: recordFormat, ID: id, Name: name, Email: email, CanonicalID: newCanonicalID(), Created: now}
}

func newHeader(kind Kind, account, path, name string, now time.Time) header {
	return header{Format: recordFormat, ID: newEntityID(kind), Account: account, Path: path, Name: name, Created: now}
}

// moment is the clock as IAM records it: UTC, to the second.
func (s *Store) moment() time.Time { return s.now().UTC().Truncate(time.Second) }

// sealKey makes the record of an access key. The secret is bound to the key's id.
func (s *Store) sealKey(pair AccessKeyPair, account, owner string, now time.Time) *accessKey {
	return &accessKey{
		Format: recordFormat, ID: pair.ID, Account: account, Owner: owner, Created: now, Active: true,
		Sealed: s.secrets.SealSecret(keyContext(pair.ID), []byte(pair.Secret)),
	}
}

func keyContext(id string) []byte { return []byte("identity access key " + id) }
