package keys

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/seal"
)

// Sealed tells how one store key is sealed, as far as that shows without opening it.
type Sealed struct {
	StoreKey uint32 `json:"storeKey"`
	Current  bool   `json:"current"`
	// By is "a key file", "a passphrase" or the kind of the key service.
	By string `json:"sealedBy"`
	// RootKey is the id of the root key, "" where a service keeps it.
	RootKey string `json:"rootKey,omitempty"`
}

// Inspect tells how the store keys in meta are sealed. It opens nothing.
func Inspect(ctx context.Context, meta engine.Meta) ([]Sealed, error) {
	value, version, err := meta.Get(ctx, []byte(currentRecord), nil)
	if err != nil || version == 0 {
		return nil, err
	}
	if len(value) != 1+idSize {
		return nil, fmt.Errorf("%w: record %s", ErrDamaged, currentRecord)
	}
	current := binary.BigEndian.Uint32(value[1:])
	it, err := meta.Scan(ctx, []byte(storePrefix), engine.PrefixEnd([]byte(storePrefix)))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var all []Sealed
	for it.Next() {
		if len(it.Key()) != len(storePrefix)+idSize || len(it.Value()) < 2 || it.Value()[0] != storeFormat {
			return nil, fmt.Errorf("%w: record %q", ErrDamaged, it.Key())
		}
		one := Sealed{StoreKey: binary.BigEndian.Uint32(it.Key()[len(storePrefix):])}
		one.Current = one.StoreKey == current
		if err := one.look(bytes.Clone(it.Value()[1:])); err != nil {
			return nil, fmt.Errorf("record %q: %w", it.Key(), err)
		}
		all = append(all, one)
	}
	return all, it.Err()
}

func (s *Sealed) look(wrapped []byte) error {
	s.By = sealedBy[wrapped[0]]
	rest := wrapped[1:]
	switch wrapped[0] {
	case byPassphrase:
		rest = rest[min(argonParams, len(rest)):]
	case byEnvelope:
		kind, _, ok := cut(rest, 1)
		if !ok {
			return seal.ErrDamaged
		}
		s.By = string(kind)
		return nil
	case byRootKey:
	default:
		return seal.ErrDamaged
	}
	if len(rest) < rootIDSize {
		return seal.ErrDamaged
	}
	s.RootKey = hex.EncodeToString(rest[:rootIDSize])
	return nil
}
