package identity

import (
	"crypto/rand"
	"time"
)

// tokenKey seals session tokens. It is random, stored sealed, and has nothing to do with any access
// key's secret.
type tokenKey struct {
	Format  int
	ID      string // eight digits
	Created time.Time
	Sealed  []byte
}

const tokenKeyIndex = "y\x00"

func (k *tokenKey) kind() Kind { return kindTokenKey }
func (k *tokenKey) id() string { return k.ID }
func (k *tokenKey) prepare()   {}
func (k *tokenKey) indexes(yield func(string)) {
	yield(tokenKeyIndex + k.Created.UTC().Format(time.RFC3339) + k.ID)
}

func (s *Store) newTokenKey(now time.Time) *tokenKey {
	raw := make([]byte, 32)
	rand.Read(raw)
	k := &tokenKey{Format: recordFormat, ID: newID("", 8), Created: now}
	k.Sealed = s.secrets.SealSecret(tokenKeyContext(k.ID), raw)
	return k
}

func tokenKeyContext(id string) []byte { return []byte("identity token key " + id) }
