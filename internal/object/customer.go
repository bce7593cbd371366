package object

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
)

// SSE-C: an object's key follows from the customer's key and a random salt, which is stored with a
// second value that follows from both and tells nothing of either.

const (
	saltSize      = 16
	customerKey   = "kura sse-c key"
	customerCheck = "kura sse-c check"
)

// SealForCustomer makes a fresh sealing under a customer's key, which is kept nowhere.
func SealForCustomer(key []byte) (*Sealing, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	k, check, err := fromCustomer(key, salt)
	if err != nil {
		return nil, err
	}
	return &Sealing{Key: k, Sealed: Sealed{Encryption: SSEC, Wrapped: salt, Check: check}}, nil
}

// ErrOtherKey says that a customer's key is not the one that an object was sealed under.
var ErrOtherKey = errors.New("object: another customer key")

// OpenForCustomer gives the key of what was sealed under a customer's key.
func (s *Sealed) OpenForCustomer(key []byte) (*Key, error) {
	k, check, err := fromCustomer(key, s.Wrapped)
	if err != nil {
		return nil, err
	}
	if s.Encryption != SSEC || subtle.ConstantTimeCompare(check, s.Check) != 1 {
		return nil, ErrOtherKey
	}
	return k, nil
}

func fromCustomer(key, salt []byte) (k *Key, check []byte, err error) {
	secret, err := hkdf.Extract(sha256.New, key, salt)
	if err != nil {
		return nil, nil, err
	}
	raw, err := hkdf.Expand(sha256.New, secret, customerKey, KeySize)
	if err != nil {
		return nil, nil, err
	}
	check, err = hkdf.Expand(sha256.New, secret, customerCheck, sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	k, err = NewKey(raw)
	return k, check, err
}
