// Package vault keeps the root key in the Transit engine of HashiCorp Vault or OpenBao: it encrypts
// and decrypts there, and never learns the key.
package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/kura-s3/kura/internal/sealer"
)

// Config of a Service.
type Config struct {
	// Address is the key's URL: "https://vault.example.com:8200/transit/keys/kura", in which "transit"
	// is where the engine is mounted. Required.
	Address string
	// Token gives the token, at each call, so that an agent may renew it. Required.
	Token func() (string, error)
	// Namespace of Vault Enterprise or OpenBao, "" for none.
	Namespace string
	// Client makes the calls. Required.
	Client *http.Client
}

// Service is a key of a Transit engine. Safe for concurrent use.
type Service struct {
	config Config
	base   string // URL of the mount
	key    string
}

// New checks the address. It makes no call.
func New(c Config) (*Service, error) {
	// The token and the keys to wrap travel there.
	u, err := sealer.Address(c.Address)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	mount, key, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/keys/")
	if !ok || mount == "" || key == "" || strings.Contains(key, "/") || u.RawQuery != "" {
		return nil, fmt.Errorf("vault: %q is not https://HOST/MOUNT/keys/NAME", u.Redacted())
	}
	if c.Token == nil || c.Client == nil {
		return nil, errors.New("vault: a Service needs a token and a client")
	}
	return &Service{config: c, base: u.Scheme + "://" + u.Host + "/v1/" + mount, key: key}, nil
}

// TokenFrom reads the token where Vault's own tools look for it: VAULT_TOKEN or BAO_TOKEN, or the file
// that VAULT_TOKEN_FILE names.
func TokenFrom(getenv func(string) string) func() (string, error) {
	return func() (string, error) {
		for _, name := range []string{"VAULT_TOKEN", "BAO_TOKEN"} {
			if t := getenv(name); t != "" {
				return t, nil
			}
		}
		if path := getenv("VAULT_TOKEN_FILE"); path != "" {
			raw, err := os.ReadFile(path)
			return strings.TrimSpace(string(raw)), err
		}
		return "", errors.New("vault: none of VAULT_TOKEN, BAO_TOKEN and VAULT_TOKEN_FILE is set")
	}
}

// Kind implements keys.KeyService.
func (s *Service) Kind() string { return "vault" }

// Name implements keys.KeyService.
func (s *Service) Name() string { return "vault key " + s.base + "/keys/" + s.key }

// Encrypt implements keys.KeyService (Transit API, "Encrypt data").
func (s *Service) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	var answer struct{ Ciphertext string }
	err := s.call(ctx, "/encrypt/"+s.key, map[string]string{"plaintext": base64.StdEncoding.EncodeToString(plain)}, &answer)
	return []byte(answer.Ciphertext), err
}

// Decrypt implements keys.KeyService (Transit API, "Decrypt data").
func (s *Service) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	var answer struct{ Plaintext string }
	if err := s.call(ctx, "/decrypt/"+s.key, map[string]string{"ciphertext": string(ciphertext)}, &answer); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(answer.Plaintext)
}

// Rotate implements keys.Rotator (Transit API, "Rotate key"): what is encrypted from now on is
// encrypted under a new version.
func (s *Service) Rotate(ctx context.Context) error {
	return s.call(ctx, "/keys/"+s.key+"/rotate", map[string]string{}, nil)
}

func (s *Service) call(ctx context.Context, path string, body map[string]string, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	token, err := s.config.Token()
	if err != nil {
		return err
	}
	r.Header.Set("X-Vault-Token", token)
	r.Header.Set("X-Vault-Request", "true")
	r.Header.Set("Content-Type", "application/json")
	if s.config.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", s.config.Namespace)
	}
	status, text, err := sealer.Call(s.config.Client, r)
	if err != nil {
		return err
	}
	if status >= 300 {
		return refusal(status, text)
	}
	if into == nil {
		return nil
	}
	var outer struct{ Data json.RawMessage }
	if err := json.Unmarshal(text, &outer); err != nil {
		return fmt.Errorf("vault: an answer that is no JSON: %w", err)
	}
	return json.Unmarshal(outer.Data, into)
}

// refusal tells what Vault says is wrong.
func refusal(status int, text []byte) error {
	var said struct{ Errors []string }
	_ = json.Unmarshal(text, &said) // without a message the status says it
	return fmt.Errorf("vault: %d %s: %s", status, http.StatusText(status), strings.Join(said.Errors, "; "))
}
