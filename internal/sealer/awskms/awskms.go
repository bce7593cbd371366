// Package awskms keeps the root key in AWS KMS, or in whatever speaks its protocol (another Kura): the
// key encrypts and decrypts there and never leaves it.
package awskms

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/sealer"
)

// Credentials sign the calls.
type Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }

// Config of a Service.
type Config struct {
	// KeyARN is the key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID. Required: an alias could be moved to
	// another key, and then the store would not open.
	KeyARN string
	// Endpoint is the service's URL. Default: AWS's for the key's region.
	Endpoint string
	// Credentials are asked for at each call. Required.
	Credentials func(ctx context.Context) (Credentials, error)
	// Client makes the calls. Required.
	Client *http.Client
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Service is one KMS key. Safe for concurrent use.
type Service struct {
	config   Config
	region   string
	endpoint string
}

// New checks the configuration. It makes no call.
func New(c Config) (*Service, error) {
	f := strings.SplitN(c.KeyARN, ":", 6)
	if len(f) != 6 || f[0] != "arn" || f[2] != "kms" || f[3] == "" || !strings.HasPrefix(f[5], "key/") {
		return nil, fmt.Errorf("awskms: %q is not the ARN of a KMS key (aliases can be moved, so they are not taken)", c.KeyARN)
	}
	if c.Credentials == nil || c.Client == nil {
		return nil, errors.New("awskms: a Service needs credentials and a client")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{config: c, region: f[3], endpoint: c.Endpoint}
	if s.endpoint == "" {
		s.endpoint = "https://kms." + s.region + ".amazonaws.com"
	}
	u, err := sealer.Address(s.endpoint)
	if err != nil {
		return nil, fmt.Errorf("awskms: endpoint: %w", err)
	}
	s.endpoint = u.Scheme + "://" + u.Host + "/"
	return s, nil
}

// CredentialsFrom reads the environment as the AWS SDKs do: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN.
func CredentialsFrom(getenv func(string) string) func(context.Context) (Credentials, error) {
	return func(context.Context) (Credentials, error) {
		c := Credentials{getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")}
		if c.AccessKeyID == "" || c.SecretAccessKey == "" {
			return c, errors.New("awskms: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
		}
		return c, nil
	}
}

// Kind implements keys.KeyService.
func (s *Service) Kind() string { return "awskms" }

// Name implements keys.KeyService.
func (s *Service) Name() string { return "KMS key " + s.config.KeyARN }

// purpose is the encryption context: it tells an administrator of the key, and its policy, what for.
var purpose = map[string]string{"kura:purpose": "root-key"}

// Encrypt implements keys.KeyService (KMS API, Encrypt).
func (s *Service) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	var answer struct{ CiphertextBlob []byte }
	err := s.call(ctx, "Encrypt", map[string]any{"KeyId": s.config.KeyARN, "Plaintext": plain, "EncryptionContext": purpose}, &answer)
	return answer.CiphertextBlob, err
}

// Decrypt implements keys.KeyService (KMS API, Decrypt).
func (s *Service) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	var answer struct{ Plaintext []byte }
	err := s.call(ctx, "Decrypt", map[string]any{"KeyId": s.config.KeyARN, "CiphertextBlob": ciphertext, "EncryptionContext": purpose}, &answer)
	return answer.Plaintext, err
}

func (s *Service) call(ctx context.Context, operation string, in map[string]any, into any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService."+operation)
	creds, err := s.config.Credentials(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	if _, err := authn.Sign(r, authn.Signing{
		AccessKeyID: creds.AccessKeyID, Secret: creds.SecretAccessKey, SessionToken: creds.SessionToken,
		Region: s.region, Service: "kms", Time: s.config.Now(), PayloadHash: hex.EncodeToString(sum[:]),
	}); err != nil {
		return err
	}
	status, text, err := sealer.Call(s.config.Client, r)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var said struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(text, &said) // without a message the status says it
		return fmt.Errorf("awskms: %s: %d %s %s", operation, status, said.Type, said.Message)
	}
	return json.Unmarshal(text, into)
}
