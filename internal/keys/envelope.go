package keys

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/kura-s3/kura/internal/seal"
)

// KeyService encrypts short secrets under a key that never leaves it: Vault's Transit engine, AWS
// KMS, a token behind PKCS#11. Drivers are in internal/sealer. Safe for concurrent use.
type KeyService interface {
	// Kind is stored: "vault", "awskms", "pkcs11".
	Kind() string
	// Name says which key and where, for people, without secrets.
	Name() string
	Encrypt(ctx context.Context, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error)
}

// Rotator is a KeyService that can make a new version of its key by itself.
type Rotator interface {
	Rotate(ctx context.Context) error
}

// maxCiphertext bounds what a service may answer for a key of 32 bytes.
const maxCiphertext = 16 << 10

// Envelope is a Sealer around a KeyService. Each sealed form has a key of its own, which the service
// encrypts; so the service sees random keys and nothing of the store, and what the form is for is
// bound to it here, whatever the service can do.
type Envelope struct{ service KeyService }

// NewEnvelope seals by means of service.
func NewEnvelope(service KeyService) *Envelope { return &Envelope{service} }

// Name implements Sealer.
func (e *Envelope) Name() string { return e.service.Name() }

// Service is what keeps the key.
func (e *Envelope) Service() KeyService { return e.service }

// Wrap implements Sealer.
func (e *Envelope) Wrap(ctx context.Context, context, plain []byte) ([]byte, error) {
	k := seal.NewKey()
	ciphertext, err := e.service.Encrypt(ctx, k[:])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name(), err)
	}
	if len(ciphertext) == 0 || len(ciphertext) > maxCiphertext {
		return nil, fmt.Errorf("%s: an answer of %d bytes", e.Name(), len(ciphertext))
	}
	kind := e.service.Kind()
	out := append([]byte{byEnvelope, byte(len(kind))}, kind...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(ciphertext)))
	out = append(out, ciphertext...)
	return seal.NewWrapper(k).Wrap(out, context, plain), nil
}

// Unwrap implements Sealer.
func (e *Envelope) Unwrap(ctx context.Context, context, wrapped []byte) ([]byte, error) {
	rest, err := opened(byEnvelope, e.Name(), wrapped)
	if err != nil {
		return nil, err
	}
	kind, rest, ok := cut(rest, 1)
	if !ok {
		return nil, seal.ErrDamaged
	}
	if string(kind) != e.service.Kind() {
		return nil, fmt.Errorf("%w: it was sealed by %q, not by %s", ErrWrongRootKey, kind, e.Name())
	}
	ciphertext, rest, ok := cut(rest, 2)
	if !ok {
		return nil, seal.ErrDamaged
	}
	raw, err := e.service.Decrypt(ctx, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name(), err)
	}
	if len(raw) != len(seal.Key{}) {
		return nil, seal.ErrDamaged
	}
	return seal.NewWrapper(seal.Key(raw)).Unwrap(nil, context, rest)
}

// cut takes a field whose length stands before it in size bytes.
func cut(b []byte, size int) (field, rest []byte, ok bool) {
	if len(b) < size {
		return nil, nil, false
	}
	n := 0
	for _, c := range b[:size] {
		n = n<<8 | int(c)
	}
	if len(b)-size < n {
		return nil, nil, false
	}
	return b[size:][:n], b[size+n:], true
}
