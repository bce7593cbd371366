package object

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/kura-s3/kura/internal/engine"
)

// The keyspaces of this package in the metadata engine. docs/formats.md ("Records") describes them.
const (
	spaceBucket   = "o/B" // name: a bucket
	spaceAccount  = "o/a" // account id: what is configured for all its buckets
	spaceHead     = "o/h" // bucket, key: the current version, an object
	spaceMarker   = "o/t" // bucket, key: the current version, a delete marker
	spaceVersion  = "o/v" // bucket, escaped key, inverted sequence: an older version or marker
	spaceNull     = "o/n" // bucket, escaped key: sequence of the null version that is not current
	spaceReplica  = "o/r" // bucket, escaped key, id: sequence of a replica whose id names another
	spaceBody     = "o/b" // body id: a small sealed body
	spaceManifest = "o/m" // body id, page: the parts of a multipart body
	spaceUpload   = "o/u" // bucket, escaped key, upload number: an upload under way
	spacePart     = "o/q" // upload number, part number: a part of it
	spaceFinished = "o/f" // upload number: the result of a finished upload
	spaceIntent   = "o/i" // body id: a blob that is being written
	spaceTrash    = "o/g" // trash id: what nothing names any more
	spaceCounter  = "o/c" // name: a counter

	counterBucket = spaceCounter + "bucket"
	counterEpoch  = spaceCounter + "epoch"
	counterClock  = spaceCounter + "clock"
)

func spaceKey(space string, ids ...uint64) []byte {
	k := make([]byte, 0, len(space)+8*len(ids)+2)
	k = append(k, space...)
	for _, id := range ids {
		k = binary.BigEndian.AppendUint64(k, id)
	}
	return k
}

func bucketKey(name string) []byte { return append([]byte(spaceBucket), name...) }

// plainKey is the place of a key where keys stand as they are.
func plainKey(space string, bucket uint64, key string) []byte {
	k := make([]byte, 0, len(space)+8+len(key)+1)
	k = append(k, space...)
	k = binary.BigEndian.AppendUint64(k, bucket)
	return append(k, key...)
}

func headKey(bucket uint64, key string) []byte   { return plainKey(spaceHead, bucket, key) }
func markerKey(bucket uint64, key string) []byte { return plainKey(spaceMarker, bucket, key) }

// An escaped key is followed by more, so its end must sort below every continuation: 0x00 inside is
// written 0x00 0xff, and 0x00 0x01 ends it.
const (
	escape     = 0x00
	escapedNUL = 0xff
	escapedEnd = 0x01
)

func appendEscaped(dst []byte, key string) []byte {
	for {
		i := strings.IndexByte(key, escape)
		if i < 0 {
			return append(dst, key...)
		}
		dst = append(dst, key[:i]...)
		dst = append(dst, escape, escapedNUL)
		key = key[i+1:]
	}
}

// cutEscaped takes an escaped key off b.
func cutEscaped(b []byte) (key, rest []byte, ok bool) {
	i := bytes.IndexByte(b, escape)
	if i >= 0 && i+1 < len(b) && b[i+1] == escapedEnd {
		return b[:i], b[i+2:], true
	}
	var out []byte
	for i >= 0 && i+1 < len(b) {
		out = append(out, b[:i]...)
		kind := b[i+1]
		b = b[i+2:]
		if kind == escapedEnd {
			return out, b, true
		}
		if kind != escapedNUL {
			return nil, nil, false
		}
		out = append(out, escape)
		i = bytes.IndexByte(b, escape)
	}
	return nil, nil, false
}

func escapedKey(space string, bucket uint64, key string) []byte {
	k := make([]byte, 0, len(space)+8+len(key)+2+8+8)
	k = append(k, space...)
	k = binary.BigEndian.AppendUint64(k, bucket)
	k = appendEscaped(k, key)
	return append(k, escape, escapedEnd)
}

// versionKey puts newer versions first.
func versionKey(bucket uint64, key string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(escapedKey(spaceVersion, bucket, key), ^seq)
}

func nullKey(bucket uint64, key string) []byte { return escapedKey(spaceNull, bucket, key) }

func uploadKey(bucket uint64, key string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(escapedKey(spaceUpload, bucket, key), number)
}

func partKey(upload uint64, number int) []byte {
	return binary.BigEndian.AppendUint16(spaceKey(spacePart, upload), uint16(number))
}

func pageKey(manifest uint64, page int) []byte {
	return binary.BigEndian.AppendUint16(spaceKey(spaceManifest, manifest), uint16(page))
}

// cutNumbered splits what follows space and bucket in keys that end in eight bytes.
func cutNumbered(row []byte) (key []byte, number uint64, ok bool) {
	key, rest, ok := cutEscaped(row)
	if !ok || len(rest) != 8 {
		return nil, 0, false
	}
	return key, binary.BigEndian.Uint64(rest), true
}

// idAfter is the id that follows a space of three bytes.
func idAfter(row []byte) (uint64, bool) {
	if len(row) < len(spaceBody)+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(row[len(spaceBody):]), true
}

// rowPrefix is the length of space and bucket.
const rowPrefix = len(spaceHead) + 8

func prefixRange(prefix []byte) (lo, hi []byte) { return prefix, engine.PrefixEnd(prefix) }
