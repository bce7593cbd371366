package kms

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

var errKeyWrap = errors.New("kms: the wrapped key is damaged")

// unwrapPadded is AES Key Wrap with Padding (RFC 5649) in reverse, which those use who import material by
// RSA_AES_KEY_WRAP.
func unwrapPadded(kek, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	n := len(wrapped)/8 - 1
	if err != nil || len(wrapped)%8 != 0 || n < 1 {
		return nil, errKeyWrap
	}
	a, r := make([]byte, aes.BlockSize), make([]byte, 8*n)
	if n == 1 {
		block.Decrypt(a, wrapped)
		copy(r, a[8:])
	} else {
		copy(a, wrapped[:8])
		copy(r, wrapped[8:])
		for j := 5; j >= 0; j-- {
			for i := n; i >= 1; i-- {
				t := binary.BigEndian.AppendUint64(nil, uint64(n*j+i))
				subtle.XORBytes(a[:8], a[:8], t)
				copy(a[8:], r[8*(i-1):8*i])
				block.Decrypt(a, a)
				copy(r[8*(i-1):8*i], a[8:])
			}
		}
	}
	return unpad(a[:8], r)
}

// unpad checks the integrity block: A65959A6, then the length without padding, which is zeros.
func unpad(a, r []byte) ([]byte, error) {
	size := int(binary.BigEndian.Uint32(a[4:]))
	good := subtle.ConstantTimeCompare(a[:4], []byte{0xA6, 0x59, 0x59, 0xA6})
	if size <= len(r)-8 || size > len(r) {
		return nil, errKeyWrap
	}
	if subtle.ConstantTimeCompare(r[size:], make([]byte, len(r)-size))&good != 1 {
		return nil, errKeyWrap
	}
	return r[:size], nil
}
