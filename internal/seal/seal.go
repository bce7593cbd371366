// Package seal is the encrypted block format in which every stored byte lies.
//
// Plaintext is cut into blocks of 64 KiB, and each is sealed with AES-256-GCM in a STREAM
// construction (Hoang, Reyhanitabar, Rogaway, Vizár, 2015): the nonce is a fixed prefix, the
// block's number and a flag that marks the last block; the caller's context (what the bytes are,
// and whose) is additional data of every block. A key seals one stream and never a second one.
//
// Promises: what is read is what was written, or the error is ErrDamaged. Cutting, extending,
// reordering, exchanging or flipping a bit of sealed bytes, or presenting them under another
// context, never yields a wrong byte. A range read touches the range's blocks only, so it
// authenticates those and the stream's length only when it reaches the last block; who stores a
// sealed size keeps it under authentication too.
//
// Short secrets and keys are sealed under a long-lived key by Wrapper, which derives a key for each
// message and so has no practical limit on their number.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// Block is the plaintext of every block but the last, which has 0 to Block bytes and is empty
	// only in an empty stream.
	Block = 64 << 10
	// Overhead is what sealing adds to each block.
	Overhead = 16

	sealedBlock = Block + Overhead
	// maxBlocks keeps block numbers in their four bytes of the nonce: 256 TiB of plaintext.
	maxBlocks = 1 << 32
	// MaxPlain is the longest stream.
	MaxPlain = Block * maxBlocks

	nonceSize  = 12
	prefixSize = 7
	finalFlag  = 1
)

// prefix begins each nonce: the name and the number of this format.
const prefix = "KuraS\x00\x01"

// ErrDamaged says that sealed bytes are not those that were written under this key and context.
var ErrDamaged = errors.New("seal: stored bytes do not authenticate")

// Key is an AES-256 key. It never shows itself in formatted output.
type Key [32]byte

// NewKey makes a random key.
func NewKey() Key {
	var k Key
	rand.Read(k[:])
	return k
}

// Format writes a placeholder for every verb, so that no log line can hold a key.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "seal.Key(hidden)") }

// MarshalText refuses: keys are stored wrapped or not at all.
func (Key) MarshalText() ([]byte, error) { return nil, errors.New("seal: a key has no text form") }

func (k *Key) aead() cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic("seal: " + err.Error()) // only a wrong key length, which the type excludes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("seal: " + err.Error()) // only a wrong block size
	}
	return gcm
}

// blocks is the number of blocks of a stream of plain bytes.
func blocks(plain int64) int64 {
	if plain <= Block {
		return 1
	}
	return (plain + Block - 1) / Block
}

// Size is the sealed size of plain bytes.
func Size(plain int64) int64 { return plain + Overhead*blocks(plain) }

// PlainSize is the inverse of Size. It fails with ErrDamaged for a size that no stream has.
func PlainSize(sealed int64) (int64, error) {
	if sealed >= Overhead && sealed <= maxBlocks*sealedBlock {
		plain := sealed - Overhead*((sealed+sealedBlock-1)/sealedBlock)
		if Size(plain) == sealed {
			return plain, nil
		}
	}
	return 0, fmt.Errorf("%w: no stream is %d bytes long", ErrDamaged, sealed)
}

// cryptor seals and opens the blocks of one stream.
type cryptor struct {
	aead    cipher.AEAD
	context []byte
	nonce   [nonceSize]byte
}

func newCryptor(k *Key, context []byte) cryptor {
	c := cryptor{aead: k.aead(), context: context}
	copy(c.nonce[:], prefix)
	return c
}

func (c *cryptor) setNonce(block int64, final bool) {
	binary.BigEndian.PutUint32(c.nonce[prefixSize:], uint32(block))
	c.nonce[nonceSize-1] = 0
	if final {
		c.nonce[nonceSize-1] = finalFlag
	}
}

// seal appends the sealed block to dst.
func (c *cryptor) seal(dst, plain []byte, block int64, final bool) []byte {
	c.setNonce(block, final)
	return c.aead.Seal(dst, c.nonce[:], plain, c.context)
}

// open appends the plaintext of a sealed block to dst, which may be sealed[:0].
func (c *cryptor) open(dst, sealed []byte, block int64, final bool) ([]byte, error) {
	c.setNonce(block, final)
	out, err := c.aead.Open(dst, c.nonce[:], sealed, c.context)
	if err != nil {
		return nil, fmt.Errorf("%w: block %d", ErrDamaged, block)
	}
	return out, nil
}

// Bytes appends to dst the stream of plain: what a Writer would have written.
func Bytes(dst []byte, k Key, context, plain []byte) []byte {
	c := newCryptor(&k, context)
	dst = grow(dst, int(Size(int64(len(plain)))))
	for n := int64(0); ; n++ {
		final := len(plain) <= Block
		part := plain[:min(Block, len(plain))]
		dst = c.seal(dst, part, n, final)
		if final {
			return dst
		}
		plain = plain[Block:]
	}
}

// OpenBytes appends to dst the plaintext of a whole stream. On an error it returns nil, having
// cleared what it wrote.
func OpenBytes(dst []byte, k Key, context, sealed []byte) ([]byte, error) {
	plain, err := PlainSize(int64(len(sealed)))
	if err != nil {
		return nil, err
	}
	c := newCryptor(&k, context)
	dst = grow(dst, int(plain))
	start := len(dst)
	for n := int64(0); len(sealed) > 0; n++ {
		part := sealed[:min(sealedBlock, len(sealed))]
		sealed = sealed[len(part):]
		dst, err = appendOpened(&c, dst, part, n, len(sealed) == 0)
		if err != nil {
			clear(dst[start:])
			return nil, err
		}
	}
	return dst, nil
}

// appendOpened is open, but keeps dst on an error.
func appendOpened(c *cryptor, dst, part []byte, n int64, final bool) ([]byte, error) {
	out, err := c.open(dst, part, n, final)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// grow makes room for n more bytes behind dst.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	out := make([]byte, len(dst), len(dst)+n)
	copy(out, dst)
	return out
}
