package kms

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
)

// The specs that Kura has. ECC_SECG_P256K1, SM2 and ML_DSA_* are not in Go's standard library.
const (
	SymmetricDefault Spec = "SYMMETRIC_DEFAULT"
	RSA2048          Spec = "RSA_2048"
	RSA3072          Spec = "RSA_3072"
	RSA4096          Spec = "RSA_4096"
	P256             Spec = "ECC_NIST_P256"
	P384             Spec = "ECC_NIST_P384"
	P521             Spec = "ECC_NIST_P521"
	Edwards25519     Spec = "ECC_NIST_EDWARDS25519"
	HMAC224          Spec = "HMAC_224"
	HMAC256          Spec = "HMAC_256"
	HMAC384          Spec = "HMAC_384"
	HMAC512          Spec = "HMAC_512"
)

// specRules are what keys of a spec can do.
type specRules struct {
	// algorithms by usage; a spec has only the usages that stand here.
	algorithms map[Usage][]string
	// make makes new material in the form that is stored: raw bytes, or a private key in PKCS #8.
	make func() ([]byte, error)
	// size of raw material; 0 for private keys.
	size int
}

var (
	rsaEncryption = []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
	rsaSigning    = []string{
		"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
		"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
	}
	agreement = []string{"ECDH"}
)

var specs = map[Spec]specRules{
	SymmetricDefault: {algorithms: map[Usage][]string{EncryptDecrypt: {string(SymmetricDefault)}}, make: random(32), size: 32},
	RSA2048:          {algorithms: map[Usage][]string{EncryptDecrypt: rsaEncryption, SignVerify: rsaSigning}, make: makeRSA(2048)},
	RSA3072:          {algorithms: map[Usage][]string{EncryptDecrypt: rsaEncryption, SignVerify: rsaSigning}, make: makeRSA(3072)},
	RSA4096:          {algorithms: map[Usage][]string{EncryptDecrypt: rsaEncryption, SignVerify: rsaSigning}, make: makeRSA(4096)},
	P256:             {algorithms: map[Usage][]string{SignVerify: {"ECDSA_SHA_256"}, KeyAgreement: agreement}, make: makeEC(elliptic.P256())},
	P384:             {algorithms: map[Usage][]string{SignVerify: {"ECDSA_SHA_384"}, KeyAgreement: agreement}, make: makeEC(elliptic.P384())},
	P521:             {algorithms: map[Usage][]string{SignVerify: {"ECDSA_SHA_512"}, KeyAgreement: agreement}, make: makeEC(elliptic.P521())},
	Edwards25519:     {algorithms: map[Usage][]string{SignVerify: {"ED25519_SHA_512", "ED25519_PH_SHA_512"}}, make: makeEd25519},
	HMAC224:          {algorithms: map[Usage][]string{GenerateVerifyMAC: {"HMAC_SHA_224"}}, make: random(28), size: 28},
	HMAC256:          {algorithms: map[Usage][]string{GenerateVerifyMAC: {"HMAC_SHA_256"}}, make: random(32), size: 32},
	HMAC384:          {algorithms: map[Usage][]string{GenerateVerifyMAC: {"HMAC_SHA_384"}}, make: random(48), size: 48},
	HMAC512:          {algorithms: map[Usage][]string{GenerateVerifyMAC: {"HMAC_SHA_512"}}, make: random(64), size: 64},
}

// Algorithms are those that the key can be used with.
func (k *Key) Algorithms() []string { return specs[k.Spec].algorithms[k.Usage] }

// asymmetric tells the specs with a public key.
func (s Spec) asymmetric() bool { return specs[s].make != nil && specs[s].size == 0 }

// checkSpec holds what CreateKey asks for to what there is, and fills in what it leaves out.
func checkSpec(spec Spec, usage Usage) (Spec, Usage, error) {
	if spec == "" {
		spec = SymmetricDefault
	}
	rules, ok := specs[spec]
	if !ok {
		return "", "", refuse(Unsupported, "KeySpec %s is not supported.", spec)
	}
	if usage == "" {
		if spec != SymmetricDefault {
			return "", "", refuse(Invalid, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
		}
		usage = EncryptDecrypt
	}
	if rules.algorithms[usage] == nil {
		return "", "", refuse(Invalid, "KeyUsage %s is not compatible with KeySpec %s", usage, spec)
	}
	return spec, usage, nil
}

// serves refuses a key whose usage is not the one that operation needs.
func (k *Key) serves(usage Usage, operation string) error {
	if k.Usage != usage {
		return refuse(InvalidKeyUsage, "%s key usage is %s which is not valid for %s.", k.ARN, k.Usage, operation)
	}
	return nil
}

// knows refuses an algorithm that is not of the key's spec.
func (k *Key) knows(algorithm string) error {
	if !slices.Contains(k.Algorithms(), algorithm) {
		return refuse(InvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", algorithm, k.Spec)
	}
	return nil
}

// newMaterial makes material of a spec.
func (s *Store) newMaterial(ctx context.Context, spec Spec) ([]byte, error) {
	if spec.asymmetric() {
		select {
		case s.making <- struct{}{}:
			defer func() { <-s.making }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return specs[spec].make()
}

func random(n int) func() ([]byte, error) {
	return func() ([]byte, error) {
		b := make([]byte, n)
		rand.Read(b)
		return b, nil
	}
}

func makeRSA(bits int) func() ([]byte, error) {
	return func() ([]byte, error) {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(k)
	}
}

func makeEC(curve elliptic.Curve) func() ([]byte, error) {
	return func() ([]byte, error) {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(k)
	}
}

func makeEd25519() ([]byte, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(k)
}
