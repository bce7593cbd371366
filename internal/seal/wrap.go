package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
)

// WrapOverhead is what wrapping adds: a random nonce of 24 bytes and a tag of 16.
const WrapOverhead = wrapNonce + Overhead

const wrapNonce = 24

// Wrapper seals short messages (keys, secrets) under one long-lived key with XAES-256-GCM
// (c2sp.org/XAES-256-GCM): half of the random nonce derives a key for the message by CMAC as in
// NIST SP 800-108, so that 2^80 messages are safe where plain AES-GCM stops at 2^32. It is safe for
// concurrent use.
type Wrapper struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // CMAC's subkey for whole blocks
}

// NewWrapper prepares wrapping under kek.
func NewWrapper(kek Key) *Wrapper {
	block, err := aes.NewCipher(kek[:])
	if err != nil {
		panic("seal: " + err.Error()) // only a wrong key length, which the type excludes
	}
	w := &Wrapper{block: block}
	block.Encrypt(w.k1[:], w.k1[:])
	var carry byte
	for i := len(w.k1) - 1; i >= 0; i-- {
		next := w.k1[i] >> 7
		w.k1[i] = w.k1[i]<<1 | carry
		carry = next
	}
	w.k1[len(w.k1)-1] ^= carry * 0x87
	return w
}

// derive is CMAC in counter mode over the label "X" and the nonce's first half.
func (w *Wrapper) derive(half []byte) Key {
	var k Key
	for i := range 2 {
		b := k[i*aes.BlockSize:][:aes.BlockSize]
		copy(b, []byte{0, byte(i + 1), 'X', 0})
		copy(b[4:], half)
		subtle.XORBytes(b, b, w.k1[:])
		w.block.Encrypt(b, b)
	}
	return k
}

// Wrap appends to dst the sealed plain: nonce, ciphertext, tag.
func (w *Wrapper) Wrap(dst, context, plain []byte) []byte {
	dst = grow(dst, len(plain)+WrapOverhead)
	at := len(dst)
	dst = dst[:at+wrapNonce]
	nonce := dst[at:]
	rand.Read(nonce)
	return w.seal(dst, nonce, context, plain)
}

func (w *Wrapper) seal(dst, nonce, context, plain []byte) []byte {
	k := w.derive(nonce[:nonceSize])
	return k.aead().Seal(dst, nonce[nonceSize:], plain, context)
}

// Unwrap appends to dst what Wrap sealed under the same key and context, or fails with ErrDamaged.
func (w *Wrapper) Unwrap(dst, context, wrapped []byte) ([]byte, error) {
	if len(wrapped) < WrapOverhead {
		return nil, ErrDamaged
	}
	k := w.derive(wrapped[:nonceSize])
	out, err := k.aead().Open(dst, wrapped[nonceSize:wrapNonce], wrapped[wrapNonce:], context)
	if err != nil {
		return nil, ErrDamaged
	}
	return out, nil
}

// Wrap seals plain under kek. Who wraps often keeps a Wrapper.
func Wrap(kek Key, context, plain []byte) []byte {
	return NewWrapper(kek).Wrap(nil, context, plain)
}

// Unwrap opens what Wrap sealed, or fails with ErrDamaged.
func Unwrap(kek Key, context, wrapped []byte) ([]byte, error) {
	return NewWrapper(kek).Unwrap(nil, context, wrapped)
}
