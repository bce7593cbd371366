package identity

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// tokenKey seals session tokens. It is random, stored sealed, and has nothing to do with any access
// key's secret.
type tokenKey struct {
	Format  int
	ID      string // tokenKeyID digits
	Created time.Time
	Sealed  []byte
}

const (
	tokenKeyIndex = "y\x00"
	tokenKeyID    = 8
	// A token key makes tokens for tokenKeyAge and is kept until the last of them has ended.
	tokenKeyAge  = 30 * 24 * time.Hour
	maxTokenLife = 36 * time.Hour
)

func (k *tokenKey) kind() Kind { return kindTokenKey }
func (k *tokenKey) id() string { return k.ID }
func (k *tokenKey) prepare()   {}
func (k *tokenKey) indexes(yield func(string)) {
	yield(tokenKeyIndex + k.Created.UTC().Format(time.RFC3339) + k.ID)
}

func (s *Store) newTokenKey(now time.Time) *tokenKey {
	raw := make([]byte, 32)
	rand.Read(raw)
	k := &tokenKey{Format: recordFormat, ID: newID("", tokenKeyID), Created: now}
	k.Sealed = s.secrets.SealSecret(tokenKeyContext(k.ID), raw)
	return k
}

func tokenKeyContext(id string) []byte { return []byte("identity token key " + id) }

// tokenKeys are all keys that tokens may be sealed with, oldest first.
func (s *State) tokenKeys() []*tokenKey {
	var list []*tokenKey
	each(s, tokenKeyIndex, "", func(_ string, k *tokenKey) bool {
		list = append(list, k)
		return true
	})
	return list
}

// The token's format: version, key id, salt, and what AES-256-GCM made of the session under a key of
// its own, with all before it as additional data.
const (
	tokenVersion = 1
	tokenSalt    = 16
	tokenHeader  = 1 + tokenKeyID + tokenSalt
	// maxToken bounds what is decoded at all; maxSession what a token may unpack to.
	maxToken   = 16 << 10
	maxSession = 64 << 10
)

var errToken = errors.New("identity: not a session token of this store")

// seal makes the token of a session.
func (s *Store) sealToken(ctx context.Context, state *State, c *session) (string, error) {
	keys := state.tokenKeys()
	if len(keys) == 0 {
		return "", errors.New("identity: no token key")
	}
	newest := keys[len(keys)-1]
	plain, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	packed, err := pack(plain)
	if err != nil {
		return "", err
	}
	head := make([]byte, tokenHeader, tokenHeader+len(packed)+16)
	head[0] = tokenVersion
	copy(head[1:], newest.ID)
	rand.Read(head[1+tokenKeyID:])
	aead, err := s.tokenCipher(ctx, newest, head)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(aead.Seal(head, make([]byte, aead.NonceSize()), packed, head)), nil
}

// openToken reads a token back. The error says nothing of why it is none.
func (s *Store) openToken(ctx context.Context, state *State, token string) (*session, error) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // which base64 would skip
		return nil, errToken
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < tokenHeader || raw[0] != tokenVersion {
		return nil, errToken
	}
	head := raw[:tokenHeader]
	k, ok := byID[*tokenKey](state, kindTokenKey, string(head[1:1+tokenKeyID]))
	if !ok {
		return nil, errToken
	}
	aead, err := s.tokenCipher(ctx, k, head)
	if err != nil {
		return nil, err
	}
	packed, err := aead.Open(nil, make([]byte, aead.NonceSize()), raw[tokenHeader:], head)
	if err != nil {
		return nil, errToken
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxSession))
	if err != nil {
		return nil, errToken
	}
	c := new(session)
	if err := json.Unmarshal(plain, c); err != nil || c.Format != tokenVersion || c.Expires.IsZero() {
		return nil, errToken
	}
	return c, nil
}

// tokenCipher is AES-256-GCM under a key that only this token has, so that its nonce may be zero.
func (s *Store) tokenCipher(ctx context.Context, k *tokenKey, head []byte) (cipher.AEAD, error) {
	master, err := s.secrets.OpenSecret(ctx, tokenKeyContext(k.ID), k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("identity: token key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, master, head[1+tokenKeyID:], "kura session token", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// packers are kept: making one costs more than a megabyte.
var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant that flate knows
	}
	return w
}}

func pack(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	w := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	w.Reset(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

// rotateTokenKey makes a new token key when the newest is old enough, and forgets those whose last
// token has ended.
func (s *Store) rotateTokenKey(ctx context.Context) error {
	now := s.moment()
	keys := s.state.Load().tokenKeys()
	if len(keys) > 0 && now.Sub(keys[len(keys)-1].Created) < tokenKeyAge {
		return nil
	}
	return s.change(ctx, authz.Grant{}, func(tx *change) error {
		keys := tx.tokenKeys()
		if len(keys) > 0 && now.Sub(keys[len(keys)-1].Created) < tokenKeyAge {
			return nil // another node did
		}
		for i, k := range keys {
			if i+1 < len(keys) && now.Sub(keys[i+1].Created) > maxTokenLife {
				tx.remove(k)
			}
		}
		tx.set(s.newTokenKey(now))
		return nil
	})
}
