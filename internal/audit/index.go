package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
)

// A sealed segment has an index beside it: for each block of lines its place, its times, and a Bloom
// filter of what its events can be looked up by. It proves nothing and can be made anew.

const (
	blockBytes = 256 << 10
	bloomBytes = 2 << 10
	bloomBits  = bloomBytes * 8
	bloomTries = 4
)

type bloom [bloomBytes]byte

func (f *bloom) add(token uint64) {
	for range bloomTries {
		bit := token % bloomBits
		f[bit/8] |= 1 << (bit % 8)
		token = token>>13 | token<<51
	}
}

func (f *bloom) has(token uint64) bool {
	for range bloomTries {
		bit := token % bloomBits
		if f[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
		token = token>>13 | token<<51
	}
	return true
}

// tokenOf is FNV-1a over a field and its value, mixed.
func tokenOf[T string | []byte](field byte, value T) uint64 {
	return mixed(hashOn(hashOf(field), value))
}

func hashOf(field byte) uint64 { return (14695981039346656037 ^ uint64(field)) * fnvPrime }

const fnvPrime = 1099511628211

func hashOn[T string | []byte](h uint64, value T) uint64 {
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * fnvPrime
	}
	return h
}

func mixed(h uint64) uint64 {
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15
}

// Fields of a Note that are in the filters.
const (
	fieldAccount  = 'a'
	fieldCategory = 'c'
	fieldSource   = 's'
	fieldName     = 'n'
	fieldUser     = 'u'
	fieldUserName = 'w'
	fieldKeyID    = 'k'
	fieldIP       = 'i'
	fieldBucket   = 'b'
	fieldKey      = 'o'
	fieldARN      = 'r'
	fieldError    = 'e'
	fieldID       = 'd'
	fieldEvent    = 'v'
	fieldRead     = 'x'
	fieldType     = 't'
	fieldResource = 'm'
)

// otherResource is Resource, or nothing where it is the ARN: who asks for a resource asks for both.
func (n *Note) otherResource() string {
	if r := n.Resource(); r != n.ARN {
		return r
	}
	return ""
}

// noteField is a field of a Note that is in the filters.
type noteField struct {
	field byte
	value string
}

const noteFields = 17

func (n *Note) fields() [noteFields]noteField {
	return [noteFields]noteField{
		{fieldAccount, n.Account}, {fieldCategory, n.Category}, {fieldSource, n.Source}, {fieldName, n.Name}, {fieldUser, n.User},
		{fieldUserName, n.UserName}, {fieldKeyID, n.KeyID}, {fieldIP, n.IP}, {fieldBucket, n.Bucket}, {fieldKey, n.Key},
		{fieldARN, n.ARN}, {fieldResource, n.otherResource()}, {fieldType, n.Type}, {fieldError, n.Error}, {fieldID, n.ID}, {fieldEvent, n.Event}, {fieldRead, readText(n.ReadOnly)},
	}
}

func readText(read bool) string {
	if read {
		return "true"
	}
	return "false"
}

// block is a run of whole lines in a segment.
type block struct {
	offset, size   int64 // in the file
	raw            int64 // bytes of the lines
	first          uint64
	lines          uint32
	oldest, newest int64 // milliseconds of its events; oldest > newest: it has none
	filter         bloom
	last           []uint64 // tokens of the line that was added last
}

func newBlock(offset int64, first uint64) *block {
	return &block{offset: offset, first: first, oldest: 1<<63 - 1}
}

// blockLines bounds the lines of a block, so that its filter says something.
const blockLines = 128

// full tells whether the next line begins another block.
func (b *block) full() bool { return b.raw >= blockBytes || b.lines >= blockLines }

// add notes a line of the block.
func (b *block) add(size int, millis int64, tokens []uint64) {
	b.raw += int64(size)
	b.lines++
	if millis == 0 {
		return
	}
	b.oldest, b.newest = min(b.oldest, millis), max(b.newest, millis)
	for i, t := range tokens {
		if i >= len(b.last) || b.last[i] != t {
			b.filter.add(t)
		}
	}
	b.last = append(b.last[:0], tokens...)
}

var indexMagic = []byte("kura audit index 1\n")

const indexEntry = 8*3 + 8 + 4 + 8*2 + bloomBytes

var errIndex = errors.New("audit: an index is damaged")

func encodeIndex(blocks []*block) []byte {
	out := make([]byte, 0, len(indexMagic)+len(blocks)*indexEntry+4)
	out = append(out, indexMagic...)
	for _, b := range blocks {
		for _, n := range [...]uint64{uint64(b.offset), uint64(b.size), uint64(b.raw), b.first} {
			out = binary.BigEndian.AppendUint64(out, n)
		}
		out = binary.BigEndian.AppendUint32(out, b.lines)
		out = binary.BigEndian.AppendUint64(out, uint64(b.oldest))
		out = binary.BigEndian.AppendUint64(out, uint64(b.newest))
		out = append(out, b.filter[:]...)
	}
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}

func decodeIndex(raw []byte) ([]*block, error) {
	n := len(raw) - len(indexMagic) - 4
	if n < 0 || n%indexEntry != 0 || !bytes.HasPrefix(raw, indexMagic) || crc32.ChecksumIEEE(raw[:len(raw)-4]) != binary.BigEndian.Uint32(raw[len(raw)-4:]) {
		return nil, errIndex
	}
	blocks := make([]*block, n/indexEntry)
	for i := range blocks {
		e := raw[len(indexMagic)+i*indexEntry:]
		u := func(at int) uint64 { return binary.BigEndian.Uint64(e[at:]) }
		b := &block{
			offset: int64(u(0)), size: int64(u(8)), raw: int64(u(16)), first: u(24), lines: binary.BigEndian.Uint32(e[32:]),
			oldest: int64(u(36)), newest: int64(u(44)),
		}
		copy(b.filter[:], e[52:])
		blocks[i] = b
	}
	return blocks, nil
}

// noteLine reads what an index needs from a line's note.
func noteLine(note []byte) (millis int64, tokens []uint64) {
	var n Note
	if json.Unmarshal(note, &n) != nil || n.Event == "" {
		return 0, nil
	}
	return n.Millis, new(encoder).appendTokens(nil, &n)
}
