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
	var all []Sealed
	err = engine.Each(ctx, meta, storePrefix, func(key, value []byte, _ engine.Version) error {
		if len(key) != len(storePrefix)+idSize || len(value) < 2 || value[0] != storeFormat {
			return ErrDamaged
		}
		one := Sealed{StoreKey: binary.BigEndian.Uint32(key[len(storePrefix):])}
		one.Current = one.StoreKey == current
		all = append(all, one)
		return all[len(all)-1].look(bytes.Clone(value[1:]))
	})
	return all, err
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
