package trail

import (
	"context"
	"crypto"
	"crypto/md5" //nolint:gosec // a name, as AWS makes it; it proves nothing
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// The keys that sign digests: RSA pairs, each for a year, the private half sealed.

const (
	keyPrefix   = "t/k/"
	keyContext  = "kura trail digest key"
	keyBits     = 2048
	keyLifetime = 365 * 24 * time.Hour
)

// PublicKey of a pair, as ListPublicKeys tells it.
type PublicKey struct {
	DER         []byte // PKCS #1
	From, Until time.Time
	Fingerprint string
}

type keyRecord struct {
	Format      int
	From, Until time.Time
	Public      []byte
	Sealed      []byte
}

type keyPair struct {
	PublicKey
	private *rsa.PrivateKey
}

// keyRing makes pairs when they are needed.
type keyRing struct {
	meta    engine.Meta
	secrets audit.Secrets
	now     func() time.Time

	mu     sync.Mutex
	loaded bool
	pairs  []keyPair
}

func (r *keyRing) load(ctx context.Context) error {
	if r.loaded {
		return nil
	}
	var pairs []keyPair
	err := scan(ctx, r.meta, keyPrefix, func(_ string, raw []byte) error {
		var k keyRecord
		if err := json.Unmarshal(raw, &k); err != nil || k.Format != format {
			return fmt.Errorf("trail: a key's record does not decode: %w", err)
		}
		der, err := r.secrets.OpenSecret(ctx, []byte(keyContext), k.Sealed)
		if err != nil {
			return fmt.Errorf("trail: a key does not open: %w", err)
		}
		private, err := x509.ParsePKCS1PrivateKey(der)
		if err != nil {
			return fmt.Errorf("trail: a key does not open: %w", err)
		}
		pairs = append(pairs, pairOf(private, k.From, k.Until))
		return nil
	})
	if err != nil {
		return err
	}
	r.pairs, r.loaded = pairs, true
	return nil
}

func pairOf(private *rsa.PrivateKey, from, until time.Time) keyPair {
	der := x509.MarshalPKCS1PublicKey(&private.PublicKey)
	sum := md5.Sum(der) //nolint:gosec // see above
	return keyPair{PublicKey{DER: der, From: from, Until: until, Fingerprint: hex.EncodeToString(sum[:])}, private}
}

// current is the pair that signs now.
func (r *keyRing) current(ctx context.Context) (*keyPair, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	now := r.now().UTC()
	for i := len(r.pairs) - 1; i >= 0; i-- {
		if now.Before(r.pairs[i].Until) {
			return &r.pairs[i], nil
		}
	}
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("trail: %w", err)
	}
	pair := pairOf(private, now.Add(-time.Hour).Truncate(time.Second), now.Add(keyLifetime).Truncate(time.Second))
	raw, err := json.Marshal(keyRecord{
		Format: format, From: pair.From, Until: pair.Until, Public: pair.DER,
		Sealed: r.secrets.SealSecret([]byte(keyContext), x509.MarshalPKCS1PrivateKey(private)),
	})
	if err != nil {
		return nil, fmt.Errorf("trail: %w", err)
	}
	var b engine.Batch
	b.Set(binary.BigEndian.AppendUint64([]byte(keyPrefix), uint64(now.UnixNano())), raw)
	if err := r.meta.Commit(ctx, &b); err != nil {
		return nil, fmt.Errorf("trail: %w", err)
	}
	r.pairs = append(r.pairs, pair)
	return &r.pairs[len(r.pairs)-1], nil
}

func (k *keyPair) sign(text string) (string, error) {
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, sum[:])
	return hex.EncodeToString(signature), err
}

// PublicKeys are the keys that were valid at some time from since until until. They need
// cloudtrail:ListPublicKeys.
func (s *Store) PublicKeys(ctx context.Context, g authz.Grant, since, until time.Time) ([]PublicKey, error) {
	if err := g.Require("cloudtrail:ListPublicKeys", "*"); err != nil {
		return nil, err
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	if err := s.keys.load(ctx); err != nil {
		return nil, err
	}
	var found []PublicKey
	for i := range s.keys.pairs {
		if k := &s.keys.pairs[i]; k.From.Before(until) && since.Before(k.Until) {
			found = append(found, k.PublicKey)
		}
	}
	return found, nil
}
