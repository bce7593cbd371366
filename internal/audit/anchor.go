package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kura-s3/kura/internal/engine"
)

// Secrets seals the key that signs checkpoints.
type Secrets interface {
	SealSecret(context, plain []byte) []byte
	OpenSecret(ctx context.Context, context, sealed []byte) ([]byte, error)
}

// The records of an Anchor.
const (
	anchorKey     = "au/key"
	anchorHead    = "au/head/"
	anchorFormat  = 1
	anchorContext = "kura audit key"
)

// Anchor keeps, apart from the journals' files, the key that signs their checkpoints and the newest
// checkpoint of each: files that were shortened, or put back from an old copy, are found out when the
// journal is opened.
type Anchor struct {
	meta engine.Meta
	key  ed25519.PrivateKey
}

// OpenAnchor reads the key from meta, or makes it.
func OpenAnchor(ctx context.Context, meta engine.Meta, secrets Secrets) (*Anchor, error) {
	for {
		raw, version, err := meta.Get(ctx, []byte(anchorKey), nil)
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		if version != 0 {
			if len(raw) < 1 || raw[0] != anchorFormat {
				return nil, errors.New("audit: the key's record is of an unknown format")
			}
			seed, err := secrets.OpenSecret(ctx, []byte(anchorContext), raw[1:])
			if err != nil || len(seed) != ed25519.SeedSize {
				return nil, fmt.Errorf("audit: the key does not open: %w", err)
			}
			return &Anchor{meta: meta, key: ed25519.NewKeyFromSeed(seed)}, nil
		}
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		var b engine.Batch
		b.Require([]byte(anchorKey), 0)
		b.Set([]byte(anchorKey), append([]byte{anchorFormat}, secrets.SealSecret([]byte(anchorContext), key.Seed())...))
		if err := meta.Commit(ctx, &b); err != nil && !errors.Is(err, engine.ErrConflict) {
			return nil, fmt.Errorf("audit: %w", err)
		}
	}
}

// Key signs checkpoints.
func (a *Anchor) Key() ed25519.PrivateKey { return a.key }

// Head is the newest checkpoint of a stream, zero for none.
func (a *Anchor) Head(ctx context.Context, stream string) (Checkpoint, error) {
	var c Checkpoint
	raw, version, err := a.meta.Get(ctx, []byte(anchorHead+stream), nil)
	if err != nil || version == 0 {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("audit: checkpoint of %s: %w", stream, err)
	}
	return c, nil
}

// Keep stores the newest checkpoint of its stream.
func (a *Anchor) Keep(ctx context.Context, c Checkpoint) error {
	b := engine.Batch{Lazy: true}
	b.Set([]byte(anchorHead+c.Stream), mustJSON(c))
	return a.meta.Commit(ctx, &b)
}

// publicFile holds the public key of the checkpoints.
const publicFile = "public.pem"

// Export writes the public key into dir, for those who verify a copy.
func (a *Anchor) Export(dir string) error {
	der, err := x509.MarshalPKIXPublicKey(a.key.Public())
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return writeFile(filepath.Join(dir, publicFile), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// PublicKey reads a public key in PEM from a file; of a directory, what Export wrote.
func PublicKey(name string) (ed25519.PublicKey, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, publicFile)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, _ := pem.Decode(raw)
	if p == nil {
		return nil, fmt.Errorf("%s holds no PEM block", name)
	}
	key, err := x509.ParsePKIXPublicKey(p.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", name)
	}
	return public, nil
}
