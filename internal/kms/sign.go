package kms

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"hash"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// signing is one signing algorithm.
type signing struct {
	hash crypto.Hash
	// options for signing a digest.
	options crypto.SignerOpts
	// whole: the algorithm signs the message, not a digest of it (Ed25519).
	whole bool
}

var signings = map[string]signing{
	"RSASSA_PKCS1_V1_5_SHA_256": {hash: crypto.SHA256, options: crypto.SHA256},
	"RSASSA_PKCS1_V1_5_SHA_384": {hash: crypto.SHA384, options: crypto.SHA384},
	"RSASSA_PKCS1_V1_5_SHA_512": {hash: crypto.SHA512, options: crypto.SHA512},
	"RSASSA_PSS_SHA_256":        {hash: crypto.SHA256, options: pss(crypto.SHA256)},
	"RSASSA_PSS_SHA_384":        {hash: crypto.SHA384, options: pss(crypto.SHA384)},
	"RSASSA_PSS_SHA_512":        {hash: crypto.SHA512, options: pss(crypto.SHA512)},
	"ECDSA_SHA_256":             {hash: crypto.SHA256, options: crypto.SHA256},
	"ECDSA_SHA_384":             {hash: crypto.SHA384, options: crypto.SHA384},
	"ECDSA_SHA_512":             {hash: crypto.SHA512, options: crypto.SHA512},
	"ED25519_SHA_512":           {options: &ed25519.Options{}, whole: true},
	"ED25519_PH_SHA_512":        {hash: crypto.SHA512, options: &ed25519.Options{Hash: crypto.SHA512}},
}

func pss(h crypto.Hash) crypto.SignerOpts {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
}

// Message is what is signed.
type Message struct {
	Bytes []byte
	// Digest: Bytes are the message's digest already.
	Digest    bool
	Algorithm string
}

// maxMessage bounds what is signed or authenticated directly.
const maxMessage = 4096

// digest is what the algorithm works on.
func (m *Message) digest(k *Key) ([]byte, signing, error) {
	a, ok := signings[m.Algorithm]
	if err := k.knows(m.Algorithm); err != nil || !ok {
		return nil, a, err
	}
	switch {
	case len(m.Bytes) == 0 || len(m.Bytes) > maxMessage:
		return nil, a, refuse(Invalid, "1 validation error detected: Value at 'Message' failed to satisfy constraint: Member must have length less than or equal to 4096")
	case a.whole && m.Digest:
		return nil, a, refuse(Invalid, "MessageType DIGEST is not valid for algorithm %s.", m.Algorithm)
	case a.whole:
		return m.Bytes, a, nil
	case m.Digest:
		if len(m.Bytes) != a.hash.Size() {
			return nil, a, refuse(Invalid, "Digest is invalid length for algorithm %s.", m.Algorithm)
		}
		return m.Bytes, a, nil
	}
	h := a.hash.New()
	h.Write(m.Bytes)
	return h.Sum(nil), a, nil
}

// work checks an operation of keys that do not encrypt, and opens the material.
func (s *Store) work(ctx context.Context, g authz.Grant, operation string, k *Key, usage Usage) (*material, error) {
	if err := g.Require("kms:"+operation, k.ARN); err != nil {
		return nil, err
	}
	k, err := s.present(k)
	if err != nil {
		return nil, err
	}
	if err := k.serves(usage, operation); err != nil {
		return nil, err
	}
	if err := s.usable(k); err != nil {
		return nil, err
	}
	now := k.current()
	if now == nil {
		return nil, refuse(InvalidState, "%s is pending import.", k.ARN)
	}
	return s.material(ctx, k, now.Number)
}

// Sign needs kms:Sign.
func (s *Store) Sign(ctx context.Context, g authz.Grant, k *Key, m Message) ([]byte, error) {
	work, err := s.work(ctx, g, "Sign", k, SignVerify)
	if err != nil {
		return nil, err
	}
	digest, a, err := m.digest(k)
	if err != nil {
		return nil, err
	}
	signature, err := work.private.Sign(rand.Reader, digest, a.options)
	if err != nil {
		return nil, err
	}
	s.used(g, "Sign", k, nil)
	return signature, nil
}

// Verify fails unless the signature is good. It needs kms:Verify.
func (s *Store) Verify(ctx context.Context, g authz.Grant, k *Key, m Message, signature []byte) error {
	work, err := s.work(ctx, g, "Verify", k, SignVerify)
	if err != nil {
		return err
	}
	digest, a, err := m.digest(k)
	if err != nil {
		return err
	}
	if !verified(work.private.Public(), digest, a, signature) {
		return fault.New(InvalidSignature, "")
	}
	s.used(g, "Verify", k, nil)
	return nil
}

func verified(public crypto.PublicKey, digest []byte, a signing, signature []byte) bool {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if o, ok := a.options.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(public, a.hash, digest, signature, o) == nil
		}
		return rsa.VerifyPKCS1v15(public, a.hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, digest, signature)
	case ed25519.PublicKey:
		return ed25519.VerifyWithOptions(public, digest, signature, a.options.(*ed25519.Options)) == nil
	}
	return false
}

// PublicKey is the public key of an asymmetric key as a SubjectPublicKeyInfo in DER. It needs
// kms:GetPublicKey.
func (s *Store) PublicKey(ctx context.Context, g authz.Grant, k *Key) ([]byte, error) {
	if !k.Spec.asymmetric() {
		if err := g.Require("kms:GetPublicKey", k.ARN); err != nil {
			return nil, err
		}
		return nil, refuse(Unsupported, "%s key spec is %s which is not valid for GetPublicKey.", k.ARN, k.Spec)
	}
	work, err := s.work(ctx, g, "GetPublicKey", k, k.Usage)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(work.private.Public())
}

var macs = map[string]func() hash.Hash{
	"HMAC_SHA_224": sha256.New224, "HMAC_SHA_256": sha256.New, "HMAC_SHA_384": sha512.New384, "HMAC_SHA_512": sha512.New,
}

// GenerateMAC needs kms:GenerateMac.
func (s *Store) GenerateMAC(ctx context.Context, g authz.Grant, k *Key, message []byte, algorithm string) ([]byte, error) {
	code, err := s.mac(ctx, g, "GenerateMac", k, message, algorithm)
	if err != nil {
		return nil, err
	}
	s.used(g, "GenerateMac", k, nil)
	return code, nil
}

// VerifyMAC fails unless the code is the message's. It needs kms:VerifyMac.
func (s *Store) VerifyMAC(ctx context.Context, g authz.Grant, k *Key, message []byte, algorithm string, code []byte) error {
	good, err := s.mac(ctx, g, "VerifyMac", k, message, algorithm)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(good, code) != 1 {
		return fault.New(InvalidMAC, "")
	}
	s.used(g, "VerifyMac", k, nil)
	return nil
}

func (s *Store) mac(ctx context.Context, g authz.Grant, operation string, k *Key, message []byte, algorithm string) ([]byte, error) {
	work, err := s.work(ctx, g, operation, k, GenerateVerifyMAC)
	if err != nil {
		return nil, err
	}
	if err := k.knows(algorithm); err != nil {
		return nil, err
	}
	if len(message) == 0 || len(message) > maxMessage {
		return nil, refuse(Invalid, "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096")
	}
	mac := hmac.New(macs[algorithm], work.raw)
	mac.Write(message)
	return mac.Sum(nil), nil
}

// DeriveSharedSecret agrees with the other side's public key (SubjectPublicKeyInfo in DER) by ECDH. It
// needs kms:DeriveSharedSecret.
func (s *Store) DeriveSharedSecret(ctx context.Context, g authz.Grant, k *Key, public []byte) ([]byte, error) {
	work, err := s.work(ctx, g, "DeriveSharedSecret", k, KeyAgreement)
	if err != nil {
		return nil, err
	}
	bad := refuse(Invalid, "PublicKey is not a valid public key of the key's curve.")
	parsed, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, bad
	}
	theirs, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, bad
	}
	other, err := theirs.ECDH()
	if err != nil {
		return nil, bad
	}
	own, err := agreementKey(work)
	if err != nil {
		return nil, err
	}
	secret, err := own.ECDH(other)
	if err != nil {
		return nil, bad
	}
	s.used(g, "DeriveSharedSecret", k, nil)
	return secret, nil
}

func agreementKey(m *material) (*ecdh.PrivateKey, error) {
	private, ok := m.private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errRecord
	}
	return private.ECDH()
}
