package object

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"

	"github.com/minio/crc64nvme"
)

// algorithms by Algorithm. The polynomials are reflected; those with one can be combined.
var algorithms = [...]struct {
	name string
	size int
	make func() hash.Hash
	poly uint64
}{
	NoChecksum: {},
	CRC32:      {"CRC32", 4, func() hash.Hash { return crc32.NewIEEE() }, crc32.IEEE},
	CRC32C:     {"CRC32C", 4, func() hash.Hash { return crc32.New(castagnoli) }, crc32.Castagnoli},
	CRC64NVME:  {"CRC64NVME", 8, func() hash.Hash { return crc64nvme.New() }, crc64nvme.NVME},
	SHA1:       {"SHA1", sha1.Size, sha1.New, 0},
	SHA256:     {"SHA256", sha256.Size, sha256.New, 0},
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// String is the name that S3 uses.
func (a Algorithm) String() string {
	if int(a) < len(algorithms) {
		return algorithms[a].name
	}
	return ""
}

// Combinable tells whether the checksum of a whole follows from those of its parts.
func (a Algorithm) Combinable() bool { return int(a) < len(algorithms) && algorithms[a].poly != 0 }

// sum is the checksum of p.
func (a Algorithm) sum(p []byte) []byte {
	switch a {
	case CRC64NVME:
		return binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(p))
	case CRC32:
		return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(p))
	case CRC32C:
		return binary.BigEndian.AppendUint32(nil, crc32.Checksum(p, castagnoli))
	case SHA1:
		h := sha1.Sum(p)
		return h[:]
	case SHA256:
		h := sha256.Sum256(p)
		return h[:]
	}
	return nil
}

// combineCRC is the CRC of two byte strings after each other, from the CRC of each and the length of
// the second: crc(a)·x^(8·len) + crc(b), modulo the polynomial.
func combineCRC(a Algorithm, first, second []byte, secondLen int64) []byte {
	if secondLen == 0 {
		return first
	}
	width := uint(8 * algorithms[a].size)
	poly := algorithms[a].poly
	shifted := multiply(power(uint64(secondLen), width, poly), fromBytes(first), width, poly)
	return toBytes(shifted^fromBytes(second), len(first))
}

// multiply multiplies polynomials over GF(2) modulo poly. All are reflected: the highest of
// width bits stands for x^0.
func multiply(a, b uint64, width uint, poly uint64) uint64 {
	var product uint64
	for bit := uint64(1) << (width - 1); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= poly
		}
	}
	return product
}

// power is x^(8·n) modulo poly.
func power(n uint64, width uint, poly uint64) uint64 {
	result := uint64(1) << (width - 1)
	base := uint64(1) << (width - 1 - 8)
	for ; n != 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, base, width, poly)
		}
		base = multiply(base, base, width, poly)
	}
	return result
}

func fromBytes(p []byte) uint64 {
	var v uint64
	for _, c := range p {
		v = v<<8 | uint64(c)
	}
	return v
}

func toBytes(v uint64, n int) []byte {
	out := make([]byte, n)
	for i := n - 1; i >= 0; i-- {
		out[i] = byte(v)
		v >>= 8
	}
	return out
}
