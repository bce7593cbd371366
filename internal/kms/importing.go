package kms

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"hash"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// importLife is how long what GetParametersForImport gave can be used.
const importLife = 24 * time.Hour

// maxExpiry is how far ahead imported material may expire.
const maxExpiry = 365 * 24 * time.Hour

// wrapping is one way to wrap material for import.
type wrapping struct {
	hash func() hash.Hash
	// twice: RSA wraps an AES key, and that wraps the material (RFC 5649).
	twice bool
}

var wrappings = map[string]wrapping{
	"RSAES_OAEP_SHA_1": {hash: sha1.New}, "RSAES_OAEP_SHA_256": {hash: sha256.New},
	"RSA_AES_KEY_WRAP_SHA_1": {hash: sha1.New, twice: true}, "RSA_AES_KEY_WRAP_SHA_256": {hash: sha256.New, twice: true},
}

var wrappingSpecs = map[string]bool{"RSA_2048": true, "RSA_3072": true, "RSA_4096": true}

// ImportParameters are what material is wrapped with for one import.
type ImportParameters struct {
	// Token says it all, sealed: nothing is kept here.
	Token, Public []byte
	ValidTo       time.Time
}

// importToken is what stands in a token.
type importToken struct {
	Key, Algorithm string
	ValidTo        time.Time
	Private        []byte // PKCS #8
}

const importLabel = "kura kms import token"

// importable refuses keys whose material does not come from outside.
func importable(k *Key) error {
	if k.Origin != OriginExternal {
		return refuse(Unsupported, "%s origin is %s which is not valid for this operation.", k.ARN, k.Origin)
	}
	return notPending(k)
}

// ParametersForImport makes the key pair that material is wrapped with. It needs kms:GetParametersForImport.
func (s *Store) ParametersForImport(ctx context.Context, g authz.Grant, k *Key, algorithm, spec string) (*ImportParameters, error) {
	if err := g.Require("kms:GetParametersForImport", k.ARN); err != nil {
		return nil, err
	}
	if err := importable(k); err != nil {
		return nil, err
	}
	if _, known := wrappings[algorithm]; !known || !wrappingSpecs[spec] {
		return nil, refuse(Unsupported, "Wrapping algorithm %s with wrapping key spec %s is not supported.", algorithm, spec)
	}
	raw, err := s.newMaterial(ctx, Spec(spec)) // as few at a time as other key pairs
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	private, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, err
	}
	p := &ImportParameters{ValidTo: s.now().UTC().Truncate(time.Second).Add(importLife)}
	if p.Public, err = x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public()); err != nil {
		return nil, err
	}
	text, err := json.Marshal(importToken{Key: k.ID, Algorithm: algorithm, ValidTo: p.ValidTo, Private: raw})
	if err != nil {
		return nil, err
	}
	p.Token = s.secrets.SealSecret([]byte(importLabel), text)
	return p, nil
}

// Import describes one import.
type Import struct {
	Token, Wrapped []byte
	// Expires is when the material is deleted; zero: never.
	Expires time.Time
}

// unpack opens what was imported.
func (s *Store) unpack(ctx context.Context, k *Key, in *Import) ([]byte, error) {
	text, err := s.secrets.OpenSecret(ctx, []byte(importLabel), in.Token)
	var token importToken
	if err != nil || json.Unmarshal(text, &token) != nil || token.Key != k.ID {
		return nil, refuse(InvalidImportToken, "")
	}
	if !s.now().Before(token.ValidTo) {
		return nil, refuse(ExpiredImportToken, "")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(token.Private)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, refuse(InvalidImportToken, "")
	}
	way := wrappings[token.Algorithm]
	wrapped, rest := in.Wrapped, []byte(nil)
	if way.twice {
		if len(wrapped) < private.Size() {
			return nil, refuse(InvalidCiphertext, "")
		}
		wrapped, rest = wrapped[:private.Size()], wrapped[private.Size():]
	}
	raw, err := rsa.DecryptOAEP(way.hash(), nil, private, wrapped, nil)
	if err == nil && way.twice {
		raw, err = unwrapPadded(raw, rest)
	}
	if err != nil || len(raw) != specs[k.Spec].size {
		return nil, refuse(InvalidCiphertext, "")
	}
	return raw, nil
}

// ImportMaterial gives a key its material, or back the one that it had: a key has only ever one. It
// needs kms:ImportKeyMaterial. The id of the material comes back.
func (s *Store) ImportMaterial(ctx context.Context, g authz.Grant, k *Key, in Import) (string, error) {
	if err := g.Require("kms:ImportKeyMaterial", k.ARN); err != nil {
		return "", err
	}
	if err := importable(k); err != nil {
		return "", err
	}
	if !in.Expires.IsZero() && (!in.Expires.After(s.now()) || in.Expires.After(s.now().Add(maxExpiry))) {
		return "", refuse(Invalid, "ValidTo must be in the future and within 365 days.")
	}
	raw, err := s.unpack(ctx, k, &in)
	if err != nil {
		return "", err
	}
	id := materialID(k.ID, raw)
	return id, s.edit(ctx, g, "kms:ImportKeyMaterial", k.ID, func(c *change, k *Key) error {
		if err := importable(k); err != nil {
			return err
		}
		m := MaterialInfo{Number: 1, ID: id, Created: s.now().UTC().Truncate(time.Millisecond), Expires: in.Expires}
		if len(k.Materials) > 0 {
			if !hmac.Equal([]byte(k.Materials[0].ID), []byte(id)) {
				return refuse(IncorrectKeyMaterial, "")
			}
			m.Created = k.Materials[0].Created
		}
		k.Materials = []MaterialInfo{m}
		if k.State == PendingImport || k.State == "" {
			k.State = Enabled
		}
		s.putMaterial(&c.batch, k.ID, m.Number, raw)
		return nil
	})
}

// DeleteMaterial erases imported material; the key waits for it to be imported again. It needs
// kms:DeleteImportedKeyMaterial.
func (s *Store) DeleteMaterial(ctx context.Context, g authz.Grant, id string) (material string, err error) {
	err = s.edit(ctx, g, "kms:DeleteImportedKeyMaterial", id, func(c *change, k *Key) error {
		if err := importable(k); err != nil {
			return err
		}
		material = k.CurrentMaterial()
		c.erase(k)
		return nil
	})
	return material, err
}

// erase takes the imported material out of k and of the store.
func (c *change) erase(k *Key) {
	for i := range k.Materials {
		k.Materials[i].Gone, k.Materials[i].Expires = true, time.Time{}
		c.batch.Delete(materialRecordKey(k.ID, k.Materials[i].Number))
	}
	if k.State != PendingDeletion {
		k.State = PendingImport
	}
	c.publish = append(c.publish, func() {
		for i := range k.Materials {
			c.s.opened.Delete(materialName{k.ID, k.Materials[i].Number})
		}
	})
}
