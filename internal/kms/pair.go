package kms

import (
	"context"
	"crypto"
	"crypto/x509"

	"github.com/kura-s3/kura/internal/authz"
)

// DataKeyPair is a key pair for use outside, its private key in PKCS #8 and its public key as a
// SubjectPublicKeyInfo, both in DER.
type DataKeyPair struct {
	Private, Public []byte
	// Sealed is the private key under the KMS key.
	Sealed []byte
}

// GenerateDataKeyPair makes a key pair of a spec of asymmetric keys. Operation is GenerateDataKeyPair or
// GenerateDataKeyPairWithoutPlaintext; it needs the action of that name on k.
func (s *Store) GenerateDataKeyPair(ctx context.Context, g authz.Grant, operation string, k *Key, context map[string]string, spec Spec) (*DataKeyPair, error) {
	k, err := s.ready(g, "kms:"+operation, k, context)
	if err != nil {
		return nil, err
	}
	if !spec.asymmetric() {
		return nil, refuse(Unsupported, "KeyPairSpec %s is not supported.", spec)
	}
	private, err := s.newMaterial(ctx, spec)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(parsed.(crypto.Signer).Public())
	if err != nil {
		return nil, err
	}
	sealed, err := s.wrap(ctx, k, private, context)
	if err != nil {
		return nil, err
	}
	s.used(g, operation, k, context)
	return &DataKeyPair{Private: private, Public: public, Sealed: sealed}, nil
}
