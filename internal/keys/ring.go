// Package keys keeps the keys that wrap other keys. A Sealer holds the root key; the Ring holds the
// store's keys, which are stored only wrapped by the root key and wrap the data keys of objects
// (SSE-S3) and the secrets of identities.
//
// Promises: no key is stored in the clear; every wrapped form names its format and the key that
// wrapped it, so that a new store key can be made while old forms still open; an existing store is
// never opened under a missing or another root key, and nothing is made anew in that case.
package keys

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/seal"
)

var (
	// ErrUnknownKey says that a wrapped form names a store key that the ring does not have.
	ErrUnknownKey = errors.New("keys: wrapped by a key that this store does not have")
	// ErrDamaged says that a wrapped form is not one, or belongs to another context.
	ErrDamaged = seal.ErrDamaged
)

const (
	wrappedFormat = 1
	idSize        = 4
	wrappedHeader = 1 + idSize

	// WrappedKeySize is the length of a data key's wrapped form.
	WrappedKeySize = wrappedHeader + seal.WrapOverhead + len(seal.Key{})
	// SecretOverhead is what SealSecret adds.
	SecretOverhead = wrappedHeader + seal.WrapOverhead
)

// The records: the number of the current store key, and each store key by its number.
const (
	storeFormat   = 1
	storePrefix   = "k/store/"
	currentRecord = "k/current"
)

// storeKey is one store key at work. Data keys and secrets are wrapped under separate keys derived
// from it, so that the one's wrapped form never opens as the other's.
type storeKey struct {
	id      uint32
	data    *seal.Wrapper
	secrets *seal.Wrapper
}

// Ring wraps with the newest store key and opens with all. Safe for concurrent use.
type Ring struct {
	meta   engine.Meta
	sealer Sealer

	current atomic.Pointer[storeKey]
	mu      sync.RWMutex
	byID    map[uint32]*storeKey
}

// Open loads the store's keys, or makes the first one in a store that has none.
func Open(ctx context.Context, meta engine.Meta, sealer Sealer) (*Ring, error) {
	r := &Ring{meta: meta, sealer: sealer, byID: map[uint32]*storeKey{}}
	current, version, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	if version != 0 {
		return r, r.use(current)
	}
	if len(r.byID) > 0 {
		return nil, fmt.Errorf("%w: record %s is missing", ErrDamaged, currentRecord)
	}
	err = r.add(ctx, 1, 0)
	if errors.Is(err, engine.ErrConflict) { // another node made the first key
		if current, _, err = r.load(ctx); err == nil {
			err = r.use(current)
		}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Rotate makes a new store key and wraps with it from now on. What older keys wrapped still opens.
func (r *Ring) Rotate(ctx context.Context) error {
	current, version, err := r.load(ctx)
	if err != nil {
		return err
	}
	return r.add(ctx, current+1, version)
}

// Keys is the number of store keys.
func (r *Ring) Keys() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byID)
}

// Reseal wraps every store key by another sealer, or again by its own after its key was rotated: all
// in one commit, after each has been read back. Data is not touched. A crash leaves the store sealed
// by the old one or by the new one, whole.
func (r *Ring) Reseal(ctx context.Context, to Sealer) error {
	var b engine.Batch
	if err := engine.Each(ctx, r.meta, storePrefix, func(key, value []byte, version engine.Version) error {
		wrapped, err := r.reseal(ctx, to, key, value)
		if err != nil {
			return err
		}
		key = bytes.Clone(key)
		b.Require(key, version)
		b.Set(key, wrapped)
		return nil
	}); err != nil {
		return err
	}
	if err := r.meta.Commit(ctx, &b); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealer = to
	return nil
}

func (r *Ring) reseal(ctx context.Context, to Sealer, key, value []byte) ([]byte, error) {
	if len(key) != len(storePrefix)+idSize || len(value) < 1 || value[0] != storeFormat {
		return nil, ErrDamaged
	}
	about := storeContext(binary.BigEndian.Uint32(key[len(storePrefix):]))
	raw, err := r.Sealer().Unwrap(ctx, about, value[1:])
	if err != nil {
		return nil, err
	}
	wrapped, err := to.Wrap(ctx, about, raw)
	if err != nil {
		return nil, err
	}
	again, err := to.Unwrap(ctx, about, wrapped)
	if err != nil {
		return nil, fmt.Errorf("reading back what %s sealed: %w", to.Name(), err)
	}
	if subtle.ConstantTimeCompare(raw, again) != 1 {
		return nil, fmt.Errorf("%s gives back something else than it was given", to.Name())
	}
	return append([]byte{storeFormat}, wrapped...), nil
}

// Sealer is what seals the store keys.
func (r *Ring) Sealer() Sealer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.sealer
}

func storeRecord(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte(storePrefix), id) }

// load reads every store key that the ring does not have yet, and which one is current.
func (r *Ring) load(ctx context.Context) (current uint32, version engine.Version, err error) {
	it, err := r.meta.Scan(ctx, []byte(storePrefix), engine.PrefixEnd([]byte(storePrefix)))
	if err != nil {
		return 0, 0, err
	}
	defer it.Close()
	for it.Next() {
		if len(it.Key()) != len(storePrefix)+idSize {
			return 0, 0, fmt.Errorf("%w: record %q", ErrDamaged, it.Key())
		}
		id := binary.BigEndian.Uint32(it.Key()[len(storePrefix):])
		if err := r.open(ctx, id, it.Value()); err != nil {
			return 0, 0, fmt.Errorf("store key %d, sealed by %s: %w", id, r.Sealer().Name(), err)
		}
	}
	if err := it.Err(); err != nil {
		return 0, 0, err
	}
	value, version, err := r.meta.Get(ctx, []byte(currentRecord), nil)
	if err != nil || version == 0 {
		return 0, 0, err
	}
	if len(value) != 1+idSize || value[0] != storeFormat {
		return 0, 0, fmt.Errorf("%w: record %s", ErrDamaged, currentRecord)
	}
	return binary.BigEndian.Uint32(value[1:]), version, nil
}

func storeContext(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte("kura store key\x00"), id)
}

func (r *Ring) open(ctx context.Context, id uint32, value []byte) error {
	if r.find(id) != nil {
		return nil
	}
	if len(value) < 1 || value[0] != storeFormat {
		return ErrDamaged
	}
	raw, err := r.Sealer().Unwrap(ctx, storeContext(id), value[1:])
	if err != nil {
		return err
	}
	return r.keep(id, raw)
}

func (r *Ring) keep(id uint32, raw []byte) error {
	if len(raw) != len(seal.Key{}) {
		return ErrDamaged
	}
	data, err := subkey(raw, "kura data keys")
	if err != nil {
		return err
	}
	secrets, err := subkey(raw, "kura secrets")
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[id] = &storeKey{id: id, data: data, secrets: secrets}
	return nil
}

func subkey(raw []byte, use string) (*seal.Wrapper, error) {
	b, err := hkdf.Key(sha256.New, raw, nil, use, len(seal.Key{}))
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return seal.NewWrapper(seal.Key(b)), nil
}

// add makes store key id the current one, if the record of the current one has that version.
func (r *Ring) add(ctx context.Context, id uint32, version engine.Version) error {
	k := seal.NewKey()
	wrapped, err := r.Sealer().Wrap(ctx, storeContext(id), k[:])
	if err != nil {
		return fmt.Errorf("%s: %w", r.Sealer().Name(), err)
	}
	var b engine.Batch
	b.Require([]byte(currentRecord), version)
	b.Require(storeRecord(id), 0)
	b.Set([]byte(currentRecord), binary.BigEndian.AppendUint32([]byte{storeFormat}, id))
	b.Set(storeRecord(id), append([]byte{storeFormat}, wrapped...))
	if err := r.meta.Commit(ctx, &b); err != nil {
		return err
	}
	if err := r.keep(id, k[:]); err != nil {
		return err
	}
	return r.use(id)
}

func (r *Ring) find(id uint32) *storeKey {
	if k := r.current.Load(); k != nil && k.id == id {
		return k
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

func (r *Ring) use(id uint32) error {
	k := r.find(id)
	if k == nil {
		return fmt.Errorf("%w: store key %d", ErrUnknownKey, id)
	}
	r.current.Store(k)
	return nil
}

// NewDataKey makes a data key and its wrapped form, which opens only under the same context.
func (r *Ring) NewDataKey(_ context.Context, context []byte) (seal.Key, []byte, error) {
	k := seal.NewKey()
	current := r.current.Load()
	return k, current.data.Wrap(header(current.id, WrappedKeySize), context, k[:]), nil
}

// OpenDataKey opens what NewDataKey made.
func (r *Ring) OpenDataKey(ctx context.Context, wrapped, context []byte) (seal.Key, error) {
	var k seal.Key
	if len(wrapped) != WrappedKeySize {
		return k, fmt.Errorf("%w: wrapped data key of %d bytes", ErrDamaged, len(wrapped))
	}
	store, err := r.wrappedBy(ctx, wrapped)
	if err != nil {
		return k, err
	}
	if _, err := store.data.Unwrap(k[:0], context, wrapped[wrappedHeader:]); err != nil {
		return seal.Key{}, fmt.Errorf("data key: %w", err)
	}
	return k, nil
}

// SealSecret seals a short secret for storing. It opens only under the same context.
func (r *Ring) SealSecret(context, plain []byte) []byte {
	current := r.current.Load()
	return current.secrets.Wrap(header(current.id, len(plain)+SecretOverhead), context, plain)
}

// OpenSecret opens what SealSecret sealed.
func (r *Ring) OpenSecret(ctx context.Context, context, sealed []byte) ([]byte, error) {
	store, err := r.wrappedBy(ctx, sealed)
	if err != nil {
		return nil, err
	}
	plain, err := store.secrets.Unwrap(nil, context, sealed[wrappedHeader:])
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return plain, nil
}

func header(id uint32, size int) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, size), wrappedFormat), id)
}

// wrappedBy finds the store key that a wrapped form names, which another node may have made since.
func (r *Ring) wrappedBy(ctx context.Context, wrapped []byte) (*storeKey, error) {
	if len(wrapped) < wrappedHeader || wrapped[0] != wrappedFormat {
		return nil, fmt.Errorf("%w: wrapped form of unknown format", ErrDamaged)
	}
	id := binary.BigEndian.Uint32(wrapped[1:])
	if k := r.find(id); k != nil {
		return k, nil
	}
	if _, _, err := r.load(ctx); err != nil {
		return nil, err
	}
	if k := r.find(id); k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("%w: store key %d", ErrUnknownKey, id)
}
