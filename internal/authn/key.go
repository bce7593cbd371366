package authn

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"strings"
	"sync"
)

// signatureLen is the length of a signature in hex.
const signatureLen = 2 * sha256.Size

// signingKey signs for one secret, day, region and service. Safe for concurrent use.
type signingKey struct{ macs sync.Pool }

// keyedMAC is an HMAC that already holds its key, and room for its result.
type keyedMAC struct {
	hash.Hash
	sum [sha256.Size]byte
}

func deriveKey(secret, date, region, service string) *signingKey {
	key := []byte("AWS4" + secret)
	for _, part := range [...]string{date, region, service, terminal} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	k := &signingKey{}
	k.macs.New = func() any { return &keyedMAC{Hash: hmac.New(sha256.New, key)} }
	return k
}

// sign appends the signature of msg in hex.
func (k *signingKey) sign(dst, msg []byte) []byte {
	mac := k.macs.Get().(*keyedMAC)
	mac.Reset()
	mac.Write(msg)
	dst = hex.AppendEncode(dst, mac.Sum(mac.sum[:0]))
	k.macs.Put(mac)
	return dst
}

// verify compares in constant time.
func (k *signingKey) verify(msg []byte, signature string) bool {
	var buf, given [signatureLen]byte
	if len(signature) != signatureLen {
		return false
	}
	copy(given[:], signature)
	return subtle.ConstantTimeCompare(k.sign(buf[:0], msg), given[:]) == 1
}

// maxKeys bounds the cache of signing keys: one for each secret, day, region and service in use.
const maxKeys = 4096

// keyID names a signing key by all that it is made of, so that a changed secret is another key.
type keyID struct{ secret, date, region, service string }

// keyCache remembers signing keys. Only keys that made a right signature come in, so a stranger
// cannot push others out.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyID]*signingKey
}

// get finds or derives the key; known tells whether it was remembered.
func (c *keyCache) get(id keyID) (key *signingKey, known bool) {
	c.mu.RLock()
	key, known = c.keys[id]
	c.mu.RUnlock()
	if known {
		return key, true
	}
	return deriveKey(id.secret, id.date, id.region, id.service), false
}

func (c *keyCache) put(id keyID, key *signingKey) {
	id = keyID{
		strings.Clone(id.secret), strings.Clone(id.date), strings.Clone(id.region), strings.Clone(id.service),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = make(map[keyID]*signingKey)
	}
	if len(c.keys) >= maxKeys {
		for old := range c.keys { // other days first, then whatever comes
			if old.date != id.date || len(c.keys) >= maxKeys {
				delete(c.keys, old)
			}
		}
	}
	c.keys[id] = key
}
