package fileblob

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/engine"
)

// Format is the number of the layout that this package writes.
const Format = 1

const (
	// page is the unit of extents: headers and data begin on one, and holes are whole pages.
	page = 4096

	segmentMagic = "KURASEG1"
	extentMagic  = "KURAEXT1"
	headerSize   = 64
	nameSuffix   = ".seg"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// state of an extent.
type state uint32

const (
	// stateOpen is being written, or was when a crash came.
	stateOpen state = 1
	// stateLive is whole.
	stateLive state = 2
	// stateDead was deleted; its data is a hole, or will be.
	stateDead state = 3
)

// extent is the header of a blob's place in a segment. It lies in one sector, which a device writes
// whole or not at all.
type extent struct {
	segment  uint64
	offset   int64 // of the header in the segment
	capacity int64 // bytes reserved for data, whole pages
	length   int64 // bytes of data, once live
	nonce    uint64
	state    state
}

func (e *extent) data() int64 { return e.offset + page }
func (e *extent) end() int64  { return e.data() + e.capacity }

// sum ends a header, which lies in b's first headerSize bytes.
func sum(b []byte) {
	binary.LittleEndian.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
}

func summed(b []byte) bool {
	return binary.LittleEndian.Uint32(b[headerSize-4:headerSize]) == crc32.Checksum(b[:headerSize-4], castagnoli)
}

func (e *extent) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, extentMagic)
	for i, v := range []uint64{e.segment, uint64(e.offset), uint64(e.capacity), uint64(e.length), e.nonce, uint64(e.state)} {
		binary.LittleEndian.PutUint64(b[8+8*i:], v)
	}
	sum(b)
	return b
}

// decodeExtent reads the header that lies at offset of a segment. A nil extent without an error:
// nothing was written there.
func decodeExtent(b []byte, segment uint64, offset int64) (*extent, error) {
	if len(b) < headerSize || bytes.Equal(b[:headerSize], make([]byte, headerSize)) {
		return nil, nil
	}
	damaged := func(what string) error {
		return fmt.Errorf("%w: %s at %d: %s", engine.ErrDamaged, segmentName(segment), offset, what)
	}
	if string(b[:8]) != extentMagic || !summed(b) {
		return nil, damaged("not the header of an extent")
	}
	field := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8+8*i:]) }
	e := &extent{field(0), int64(field(1)), int64(field(2)), int64(field(3)), field(4), state(field(5))}
	if e.segment != segment || e.offset != offset {
		return nil, damaged("header of another extent")
	}
	if e.capacity < 0 || e.capacity%page != 0 || e.capacity > maxBlob+page || e.length < 0 || e.length > e.capacity ||
		e.state < stateOpen || e.state > stateDead {
		return nil, damaged("impossible header")
	}
	return e, nil
}

func encodeSegment(id uint64) []byte {
	b := make([]byte, page)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint64(b[8:], Format)
	binary.LittleEndian.PutUint64(b[16:], id)
	sum(b)
	return b
}

// checkSegment tells whether b begins segment id in a format that is known.
func checkSegment(b []byte, id uint64) error {
	if len(b) < headerSize || string(b[:8]) != segmentMagic || !summed(b) {
		return fmt.Errorf("%w: %s is not a segment file", engine.ErrDamaged, segmentName(id))
	}
	if f := binary.LittleEndian.Uint64(b[8:]); f != Format {
		return fmt.Errorf("fileblob: %s has format %d, and this program knows %d", segmentName(id), f, Format)
	}
	if binary.LittleEndian.Uint64(b[16:]) != id {
		return fmt.Errorf("%w: %s is another segment", engine.ErrDamaged, segmentName(id))
	}
	return nil
}

func segmentName(id uint64) string { return fmt.Sprintf("%016x%s", id, nameSuffix) }

func parseName(name string) (id uint64, ok bool) {
	hex, ok := strings.CutSuffix(name, nameSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(hex, 16, 64)
	return id, err == nil && segmentName(id) == name
}

// place is what a Ref says: where the extent is, and its nonce, so that a Ref never comes to name
// another blob when a segment's number is used again.
type place struct {
	segment uint64
	offset  int64
	nonce   uint64
}

func (p place) ref() engine.Ref {
	return engine.Ref(fmt.Sprintf("%x.%x.%016x", p.segment, p.offset/page, p.nonce))
}

func parseRef(r engine.Ref) (place, error) {
	bad := fmt.Errorf("fileblob: malformed reference %.80q", string(r))
	parts := strings.Split(string(r), ".")
	if len(r) > 64 || len(parts) != 3 {
		return place{}, bad
	}
	var n [3]uint64
	for i, s := range parts {
		v, err := strconv.ParseUint(s, 16, 64)
		if err != nil {
			return place{}, bad
		}
		n[i] = v
	}
	p := place{n[0], int64(n[1]) * page, n[2]}
	if n[1] == 0 || n[1] > (1<<62)/page || p.ref() != r {
		return place{}, bad
	}
	return p, nil
}
