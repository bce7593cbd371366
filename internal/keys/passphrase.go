package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/kura-s3/kura/internal/seal"
)

// The cost of trying one passphrase: the second recommendation of RFC 9106, section 4.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	argonSalt    = 16

	// argonParams is the stored form: time, memory, threads, salt.
	argonParams = 4 + 4 + 1 + argonSalt

	// What a stored form may ask for at most, so that a damaged one costs no more than that.
	maxArgonTime   = 16
	maxArgonMemory = 1 << 20 // KiB
)

// Passphrase is a Sealer whose root key is made of a passphrase by Argon2id (RFC 9106). The
// passphrase is stored nowhere; what it is combined with (salt and cost) stands before each sealed
// form.
type Passphrase struct {
	source func(ctx context.Context) ([]byte, error)

	mu     sync.Mutex
	secret []byte
	made   map[string]*rootKey // by parameters
	newest []byte              // parameters that Wrap uses
}

// NewPassphrase asks source for the passphrase when it is first needed.
func NewPassphrase(source func(ctx context.Context) ([]byte, error)) *Passphrase {
	return &Passphrase{source: source, made: map[string]*rootKey{}}
}

// Name implements Sealer.
func (p *Passphrase) Name() string { return "passphrase" }

// Wrap implements Sealer.
func (p *Passphrase) Wrap(ctx context.Context, context, plain []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest == nil {
		p.newest = binary.BigEndian.AppendUint32(nil, argonTime)
		p.newest = binary.BigEndian.AppendUint32(p.newest, argonMemory)
		p.newest = append(p.newest, argonThreads)
		salt := make([]byte, argonSalt)
		rand.Read(salt)
		p.newest = append(p.newest, salt...)
	}
	k, err := p.derive(ctx, p.newest)
	if err != nil {
		return nil, err
	}
	return k.wrap(append([]byte{byPassphrase}, p.newest...), context, plain), nil
}

// Unwrap implements Sealer.
func (p *Passphrase) Unwrap(ctx context.Context, context, wrapped []byte) ([]byte, error) {
	wrapped, err := opened(byPassphrase, p.Name(), wrapped)
	if err != nil {
		return nil, err
	}
	if len(wrapped) < argonParams+rootIDSize {
		return nil, seal.ErrDamaged
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	params := wrapped[:argonParams]
	k, err := p.derive(ctx, params)
	if err != nil {
		return nil, err
	}
	if id := wrapped[argonParams:][:rootIDSize]; !bytes.Equal(id, k.id[:]) {
		return nil, fmt.Errorf("%w: another passphrase sealed it (it made key %s)", ErrWrongRootKey, hex.EncodeToString(id))
	}
	p.newest = bytes.Clone(params)
	return k.wrapper.Unwrap(nil, context, wrapped[argonParams+rootIDSize:])
}

// derive makes the root key of these parameters, once. Under mu.
func (p *Passphrase) derive(ctx context.Context, params []byte) (*rootKey, error) {
	if k := p.made[string(params)]; k != nil {
		return k, nil
	}
	if p.secret == nil {
		secret, err := p.source(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoPassphrase, err)
		}
		if len(secret) == 0 {
			return nil, fmt.Errorf("%w: it is empty", ErrNoPassphrase)
		}
		p.secret = secret
	}
	time, memory, threads := binary.BigEndian.Uint32(params), binary.BigEndian.Uint32(params[4:]), params[8]
	if time == 0 || time > maxArgonTime || memory > maxArgonMemory || threads == 0 {
		return nil, seal.ErrDamaged
	}
	raw := argon2.IDKey(p.secret, params[9:], time, memory, threads, uint32(len(seal.Key{})))
	k := newRootKey(seal.Key(raw))
	p.made[string(params)] = k
	return k, nil
}
