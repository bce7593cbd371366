package identity

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/fault"
)

// credentialCache keeps the answer to Lookup for one access key.
type credentialCache struct {
	built atomic.Pointer[builtCredential]
}

// builtCredential is good for the State with the serial, and for later ones in which neither its owner
// nor anything shared changed.
type builtCredential struct {
	serial  atomic.Uint64
	subject *builtSubject
	authn.Credential
}

// isTemporary tells keys of sessions from long-term ones. The two name spaces never meet.
func isTemporary(accessKeyID string) bool { return strings.HasPrefix(accessKeyID, "ASIA") }

// Lookup implements authn.Credentials: what an access key stands for at this moment. The answer is
// shared between requests and must not be changed.
func (s *Store) Lookup(ctx context.Context, accessKeyID, sessionToken string) (*authn.Credential, error) {
	state, err := s.current()
	if err != nil {
		return nil, err
	}
	if isTemporary(accessKeyID) {
		return s.lookupSession(ctx, state, accessKeyID, sessionToken)
	}
	k, ok := state.keys.get(accessKeyID)
	if !ok {
		return nil, fault.New(authn.UnknownKey, "", "AWSAccessKeyId", accessKeyID)
	}
	if b := k.cache.built.Load(); b != nil && b.serial.Load() == state.serial {
		return &b.Credential, nil
	}
	return s.buildCredential(ctx, state, k)
}

func (s *Store) buildCredential(ctx context.Context, state *State, k *accessKey) (*authn.Credential, error) {
	if !k.Active {
		return nil, fault.New(authn.InactiveKey, "", "AWSAccessKeyId", k.ID)
	}
	subject, err := state.ownerSubject(k)
	if err != nil {
		return nil, err
	}
	old := k.cache.built.Load()
	if old != nil && old.subject == subject {
		old.serial.Store(state.serial)
		return &old.Credential, nil
	}
	b := &builtCredential{subject: subject}
	if old != nil {
		b.Secret = old.Secret
	} else {
		secret, err := s.secrets.OpenSecret(ctx, keyContext(k.ID), k.Sealed)
		if err != nil {
			return nil, err
		}
		b.Secret = string(secret)
	}
	b.AccessKeyID, b.Active, b.Subject = k.ID, true, subject.subject
	b.Subject.AccessKey = k.ID
	b.serial.Store(state.serial)
	k.cache.built.Store(b)
	return &b.Credential, nil
}

// ownerSubject is the subject that a long-term key acts as.
func (s *State) ownerSubject(k *accessKey) (*builtSubject, error) {
	if k.Owner == k.Account {
		if a, ok := s.account(k.Account); ok && a.open() {
			return s.rootSubject(a)
		}
		return nil, fault.New(authn.UnknownKey, "", "AWSAccessKeyId", k.ID)
	}
	u, ok := byID[*user](s, KindUser, k.Owner)
	a, found := s.account(k.Account)
	if !ok || !found || !a.open() {
		return nil, fault.New(authn.UnknownKey, "", "AWSAccessKeyId", k.ID)
	}
	return s.userSubject(u)
}

// open tells whether the account's credentials are of use; those of a closed account are not.
func (a *account) open() bool { return a.Org == nil || a.Org.Closed.IsZero() }
