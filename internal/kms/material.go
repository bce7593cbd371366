package kms

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/seal"
)

// material is a key's material at work, in memory.
type material struct {
	wrapper *seal.Wrapper // symmetric keys
	raw     []byte        // HMAC keys
	private crypto.Signer // asymmetric keys
}

const materialFormat = 1

// materialContext binds sealed material to its key and number.
func materialContext(id string, number uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte("kura kms material\x00"+id), number)
}

// materialID tells materials of a key apart, and nothing of what they are.
func materialID(id string, raw []byte) string {
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte("kura kms material id\x00" + id))
	return hex.EncodeToString(mac.Sum(nil))
}

// putMaterial writes material of a key into a commit, sealed.
func (s *Store) putMaterial(b *engine.Batch, id string, number uint32, raw []byte) {
	sealed := s.secrets.SealSecret(materialContext(id, number), raw)
	b.Set(materialRecordKey(id, number), append([]byte{materialFormat}, sealed...))
}

// material opens the key's material of that number. What was erased is not found.
func (s *Store) material(ctx context.Context, k *Key, number uint32) (*material, error) {
	name := materialName{k.ID, number}
	if m, ok := s.opened.Load(name); ok {
		return m.(*material), nil
	}
	record, version, err := s.meta.Get(ctx, materialRecordKey(k.ID, number), nil)
	if err != nil {
		return nil, fmt.Errorf("kms: material of %s: %w", k.ID, err)
	}
	if version == 0 || len(record) < 1 || record[0] != materialFormat {
		return nil, fmt.Errorf("%w: material %d of %s", errRecord, number, k.ID)
	}
	raw, err := s.secrets.OpenSecret(ctx, materialContext(k.ID, number), record[1:])
	if err != nil {
		return nil, fmt.Errorf("kms: material of %s: %w", k.ID, err)
	}
	m, err := openMaterial(k.Spec, raw)
	if err != nil {
		return nil, fmt.Errorf("kms: material of %s: %w", k.ID, err)
	}
	// Not kept when the key was erased meanwhile.
	if now := s.key(k.ID); now != nil && now.has(number) {
		s.opened.Store(name, m)
		if now := s.key(k.ID); now == nil || !now.has(number) {
			s.opened.Delete(name)
		}
	}
	return m, nil
}

// has tells whether the material of that number is there.
func (k *Key) has(number uint32) bool {
	for i := range k.Materials {
		if k.Materials[i].Number == number {
			return !k.Materials[i].Gone
		}
	}
	return false
}

func openMaterial(spec Spec, raw []byte) (*material, error) {
	switch rules := specs[spec]; {
	case rules.size > 0 && len(raw) != rules.size:
		return nil, errRecord
	case spec == SymmetricDefault:
		return &material{wrapper: seal.NewWrapper(seal.Key(raw))}, nil
	case rules.size > 0:
		return &material{raw: raw}, nil
	}
	private, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errRecord
	}
	return &material{private: signer}, nil
}
