package keys

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/kura-s3/kura/internal/seal"
)

var (
	// ErrNoRootKey says that the store was sealed with a root key that cannot be found.
	ErrNoRootKey = errors.New("keys: the root key of this store is missing")
	// ErrWrongRootKey says that the root key found is not the one that sealed the store.
	ErrWrongRootKey = errors.New("keys: this is not the root key of this store")
	// ErrNoPassphrase says that nobody gave the passphrase.
	ErrNoPassphrase = errors.New("keys: no passphrase")
	// ErrRootKeyFile says that the root key's file cannot be trusted or read.
	ErrRootKeyFile = errors.New("keys: root key file is refused")
)

// Sealer supplies the root key, or the service that keeps it, and never shows it. Drivers: KeyFile,
// Passphrase, and Envelope, around a service that keeps keys. Safe for concurrent use.
type Sealer interface {
	// Name says what and where, for people: "file /var/lib/kura/root.key".
	Name() string
	// Wrap seals plain for context. It may make the root key when there is none yet.
	Wrap(ctx context.Context, context, plain []byte) ([]byte, error)
	// Unwrap opens what Wrap sealed under the same context. It never makes a root key: it fails with
	// ErrNoRootKey or ErrWrongRootKey, or with seal.ErrDamaged.
	Unwrap(ctx context.Context, context, wrapped []byte) ([]byte, error)
}

// The first byte of what a Sealer made says which kind made it.
const (
	byRootKey    = 1 // KeyFile: id of the root key, wrapped bytes
	byPassphrase = 2 // Passphrase: parameters, id of the root key, wrapped bytes
	byEnvelope   = 3 // Envelope: the service's kind and ciphertext, wrapped bytes
)

var sealedBy = map[byte]string{byRootKey: "a key file", byPassphrase: "a passphrase", byEnvelope: "a key service"}

// opened checks that wrapped was made by a Sealer of this kind, and cuts the first byte off.
func opened(kind byte, name string, wrapped []byte) ([]byte, error) {
	if len(wrapped) == 0 || sealedBy[wrapped[0]] == "" {
		return nil, seal.ErrDamaged
	}
	if wrapped[0] != kind {
		return nil, fmt.Errorf("%w: the store was sealed by %s, not by %s", ErrWrongRootKey, sealedBy[wrapped[0]], name)
	}
	return wrapped[1:], nil
}

const rootIDSize = 8

// rootKey is a root key at work.
type rootKey struct {
	id      [rootIDSize]byte
	wrapper *seal.Wrapper
}

// newRootKey names a root key without telling anything about it.
func newRootKey(k seal.Key) *rootKey {
	r := &rootKey{wrapper: seal.NewWrapper(k)}
	h := sha256.New()
	h.Write([]byte("kura root key id\x00"))
	h.Write(k[:])
	copy(r.id[:], h.Sum(nil))
	return r
}

// name of the key, for people.
func (r *rootKey) name() string { return hex.EncodeToString(r.id[:]) }

// wrap appends the key's id and the sealed plain.
func (r *rootKey) wrap(dst, context, plain []byte) []byte {
	return r.wrapper.Wrap(append(dst, r.id[:]...), context, plain)
}
