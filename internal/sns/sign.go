package sns

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// Signer signs what is sent, so that receivers can tell it from what others send them (SNS Developer Guide,
// "Verifying the signatures of Amazon SNS messages").
type Signer struct {
	key         *rsa.PrivateKey
	certificate []byte
	name        string
}

// identityRecord is what is kept of a Signer.
type identityRecord struct{ Key, Certificate []byte }

const (
	signerBits = 2048
	signerLife = 20 * 365 * 24 * time.Hour
)

// Signer gives the server's, made on first use and kept for good.
func (s *Store) Signer(ctx context.Context) (*Signer, error) {
	key := []byte(identityKey)
	for range 2 {
		value, version, err := s.meta.Get(ctx, key, nil)
		if err != nil {
			return nil, fmt.Errorf("sns: %w", err)
		}
		if version != 0 {
			var r identityRecord
			if err := s.unsealed(ctx, key, value, &r); err != nil {
				return nil, fmt.Errorf("sns: the signing key: %w", err)
			}
			return newSigner(&r)
		}
		r, err := s.newIdentity()
		if err != nil {
			return nil, err
		}
		if value, err = s.sealed(key, r); err != nil {
			return nil, err
		}
		var b engine.Batch
		b.Require(key, 0)
		b.Set(key, value)
		if err := s.meta.Commit(ctx, &b); err != nil && !errors.Is(err, engine.ErrConflict) {
			return nil, fmt.Errorf("sns: %w", err)
		}
	}
	return nil, errors.New("sns: the signing key cannot be kept")
}

func (s *Store) newIdentity() (*identityRecord, error) {
	key, err := rsa.GenerateKey(rand.Reader, signerBits)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := s.now()
	name := "sns." + s.region + ".amazonaws.com"
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Kura"}}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(signerLife), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	return &identityRecord{raw, certificate}, err
}

func newSigner(r *identityRecord) (*Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(r.Key)
	if err != nil {
		return nil, fmt.Errorf("sns: the signing key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("sns: the signing key is no RSA key")
	}
	sum := sha256.Sum256(r.Certificate)
	return &Signer{
		key: key, certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate}),
		name: "SimpleNotificationService-" + hex.EncodeToString(sum[:16]) + ".pem",
	}, nil
}

// Certificate is what receivers check signatures with, and the name of its file.
func (s *Signer) Certificate() (name string, pem []byte) { return s.name, s.certificate }

// Sign signs by SignatureVersion 1 (SHA-1) or 2 (SHA-256) the fields of a message, names and values in turn.
func (s *Signer) Sign(version string, fields ...string) (string, error) {
	text := []byte(strings.Join(fields, "\n") + "\n")
	hash, sum := crypto.SHA1, []byte(nil)
	if version == "2" {
		full := sha256.Sum256(text)
		hash, sum = crypto.SHA256, full[:]
	} else {
		short := sha1.Sum(text)
		sum = short[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, hash, sum)
	if err != nil {
		return "", fmt.Errorf("sns: signing: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}
