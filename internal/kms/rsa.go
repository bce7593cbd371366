package kms

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"hash"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

var oaep = map[string]func() hash.Hash{"RSAES_OAEP_SHA_1": sha1.New, "RSAES_OAEP_SHA_256": sha256.New}

// encryptRSA encrypts by the public key of an RSA key.
func (s *Store) encryptRSA(ctx context.Context, g authz.Grant, operation string, k *Key, plain []byte, algorithm string) ([]byte, error) {
	private, err := s.rsa(ctx, g, operation, k, algorithm)
	if err != nil {
		return nil, err
	}
	h := oaep[algorithm]()
	if most := private.Size() - 2*h.Size() - 2; len(plain) > most {
		return nil, refuse(Invalid, "Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", algorithm, k.Spec, most)
	}
	sealed, err := rsa.EncryptOAEP(h, rand.Reader, &private.PublicKey, plain, nil)
	if err != nil {
		return nil, err
	}
	s.used(g, operation, k, nil)
	return sealed, nil
}

// decryptRSA opens what encryptRSA made.
func (s *Store) decryptRSA(ctx context.Context, g authz.Grant, operation string, k *Key, sealed []byte, algorithm string) ([]byte, error) {
	private, err := s.rsa(ctx, g, operation, k, algorithm)
	if err != nil {
		return nil, err
	}
	plain, err := rsa.DecryptOAEP(oaep[algorithm](), nil, private, sealed, nil)
	if err != nil {
		return nil, fault.New(InvalidCiphertext, "")
	}
	s.used(g, operation, k, nil)
	return plain, nil
}

func (s *Store) rsa(ctx context.Context, g authz.Grant, operation string, k *Key, algorithm string) (*rsa.PrivateKey, error) {
	work, err := s.work(ctx, g, operation, k, EncryptDecrypt)
	if err != nil {
		return nil, err
	}
	private, ok := work.private.(*rsa.PrivateKey)
	if err := k.knows(algorithm); err != nil {
		return nil, err
	}
	if !ok {
		return nil, refuse(InvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", algorithm, k.Spec)
	}
	return private, nil
}
