//go:build !pkcs11

package pkcs11

import (
	"context"
	"errors"
)

// Service cannot be made without the build tag.
type Service struct{ config Config }

var errWithout = errors.New("pkcs11: this binary was built without PKCS#11; build it with -tags pkcs11")

// New fails.
func New(Config) (*Service, error) { return nil, errWithout }

// Encrypt fails.
func (s *Service) Encrypt(context.Context, []byte) ([]byte, error) { return nil, errWithout }

// Decrypt fails.
func (s *Service) Decrypt(context.Context, []byte) ([]byte, error) { return nil, errWithout }

// Close does nothing.
func (s *Service) Close() error { return nil }
