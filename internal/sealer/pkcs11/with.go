//go:build pkcs11

package pkcs11

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"
)

// Service is one AES key in a token. Safe for concurrent use.
type Service struct {
	config Config

	mu      sync.Mutex // a session does one thing at a time
	module  *pkcs11.Ctx
	session pkcs11.SessionHandle
	key     pkcs11.ObjectHandle
}

const (
	nonceSize = 12
	tagBits   = 128
)

// New loads the library, logs in and finds the key.
func New(c Config) (*Service, error) {
	if c.PIN == nil {
		return nil, errors.New("pkcs11: a Service needs a PIN")
	}
	s := &Service{config: c, module: pkcs11.New(c.Module)}
	if s.module == nil {
		return nil, fmt.Errorf("pkcs11: library %s cannot be loaded", c.Module)
	}
	if err := s.module.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return nil, fmt.Errorf("pkcs11: %s: %w", c.Module, err)
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Service) open() error {
	slot, err := s.slot()
	if err != nil {
		return err
	}
	if s.session, err = s.module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION); err != nil {
		return fmt.Errorf("pkcs11: session: %w", err)
	}
	pin, err := s.config.PIN()
	if err != nil {
		return err
	}
	if err := s.module.Login(s.session, pkcs11.CKU_USER, pin); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		return fmt.Errorf("pkcs11: login: %w", err)
	}
	return s.find()
}

func (s *Service) slot() (uint, error) {
	slots, err := s.module.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("pkcs11: slots: %w", err)
	}
	for _, slot := range slots {
		info, err := s.module.GetTokenInfo(slot)
		if err == nil && strings.TrimRight(info.Label, " \x00") == s.config.Token {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("pkcs11: there is no token %q", s.config.Token)
}

// find takes the one key with the label: two would be a riddle.
func (s *Service) find() error {
	if err := s.module.FindObjectsInit(s.session, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, s.config.Object),
	}); err != nil {
		return fmt.Errorf("pkcs11: looking for the key: %w", err)
	}
	found, _, err := s.module.FindObjects(s.session, 2)
	err = errors.Join(err, s.module.FindObjectsFinal(s.session))
	if err != nil {
		return fmt.Errorf("pkcs11: looking for the key: %w", err)
	}
	if len(found) != 1 {
		return fmt.Errorf("pkcs11: %d AES keys are labelled %q in token %q, not one", len(found), s.config.Object, s.config.Token)
	}
	s.key = found[0]
	return nil
}

// Encrypt implements keys.KeyService: AES-GCM, the nonce before the ciphertext.
func (s *Service) Encrypt(_ context.Context, plain []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	params := pkcs11.NewGCMParams(nonce, nil, tagBits)
	defer params.Free()
	if err := s.module.EncryptInit(s.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, s.key); err != nil {
		return nil, fmt.Errorf("pkcs11: encrypt: %w", err)
	}
	ciphertext, err := s.module.Encrypt(s.session, plain)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: encrypt: %w", err)
	}
	// Some tokens choose the nonce themselves.
	if used := params.IV(); len(used) == nonceSize {
		nonce = used
	}
	return append(nonce, ciphertext...), nil
}

// Decrypt implements keys.KeyService.
func (s *Service) Decrypt(_ context.Context, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < nonceSize {
		return nil, errors.New("pkcs11: not a ciphertext")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	params := pkcs11.NewGCMParams(ciphertext[:nonceSize], nil, tagBits)
	defer params.Free()
	if err := s.module.DecryptInit(s.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, s.key); err != nil {
		return nil, fmt.Errorf("pkcs11: decrypt: %w", err)
	}
	plain, err := s.module.Decrypt(s.session, ciphertext[nonceSize:])
	if err != nil {
		return nil, fmt.Errorf("pkcs11: decrypt: %w", err)
	}
	return plain, nil
}

// Close logs out.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != 0 {
		_ = s.module.CloseSession(s.session)
		s.session = 0
	}
	err := s.module.Finalize()
	s.module.Destroy()
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		return nil
	}
	return err
}
