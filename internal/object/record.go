package object

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// Format numbers of the records, each the record's first byte.
const (
	formatVersion = 1
	// formatVersionFields is formatVersion with fields that few versions have.
	formatVersionFields = 2

	formatPart   = 1
	formatPage   = 1
	formatUpload = 1
	// formatUploadACL is formatUpload with an access control list at the end.
	formatUploadACL = 2
	// formatUploadFields is formatUploadACL, whose list may be empty, with a version's rare fields.
	formatUploadFields = 3
	formatFinished     = 1
	formatTrash        = 1
	formatIntent       = 1
)

const (
	flagMarker = 1 << iota
	flagNull
	flagOwner
	flagAttributes
	flagTags
	flagACL
)

const nonceSize = 12

type digest [md5.Size]byte

// record is one version of an object, or a delete marker.
type record struct {
	seq      uint64
	nonce    [nonceSize]byte // of the version id; the null version has none
	null     bool
	marker   bool
	modified int64 // Unix milliseconds
	size     int64
	md5      digest
	parts    int
	checksum Checksum
	// sum is the checksum's value as the object's key seals it; then checksum has a value only while
	// the object is being written, or once somebody opened it.
	sum   []byte
	class string
	owner *Owner // nil: the bucket's
	body  body
	attrs Attributes
	tags  []Tag
	acl   []byte
	// What few versions have: see fields.go.
	replication replication
	lock        Lock
	restored    time.Time
	sealed      *Sealed // nil: SSE-S3
	rawSealed   []byte  // as it was read
}

// bodyKind says where a body lies.
type bodyKind byte

const (
	bodyNone     bodyKind = iota // of zero bytes
	bodyInline                   // a record in spaceBody
	bodyBlob                     // in the Blob engine
	bodyManifest                 // in parts
)

// body says where the bytes are, and under which key.
type body struct {
	kind    bodyKind
	id      uint64
	sealing encryption
	wrapped []byte
	outer   []byte // the outer key's wrapped form, of what is sealed twice
	ref     string
	pages   []page
}

// page is the head's entry for one page of a manifest.
type page struct {
	last int   // number of its last part
	end  int64 // offset behind it
}

func (r *record) etag() string { return etagOf(&r.md5, r.parts) }

func etagOf(sum *digest, parts int) string {
	var b [2*md5.Size + 8]byte
	n := hex.Encode(b[:], sum[:])
	if parts == 0 {
		return string(b[:n])
	}
	return string(strconv.AppendInt(append(b[:n], '-'), int64(parts), 10))
}

func (r *record) append(dst []byte) []byte {
	flags, format := r.flags(), byte(formatVersion)
	if r.hasFields() {
		format = formatVersionFields
	}
	dst = append(dst, format, flags)
	dst = binary.AppendUvarint(dst, r.seq)
	if !r.null {
		dst = append(dst, r.nonce[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(r.modified))
	if r.owner != nil {
		dst = appendOwner(dst, r.owner)
	}
	if format == formatVersionFields {
		dst = r.appendFields(dst)
	}
	if r.marker {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(r.size))
	dst = append(dst, r.md5[:]...)
	dst = binary.AppendUvarint(dst, uint64(r.parts))
	dst = appendChecksum(dst, &r.checksum, r.sum)
	dst = appendString(dst, r.class)
	dst = r.body.append(dst)
	if r.attrs.set() {
		dst = r.attrs.append(dst)
	}
	if len(r.tags) > 0 {
		dst = appendTags(dst, r.tags)
	}
	if len(r.acl) > 0 {
		dst = appendBytes(dst, r.acl)
	}
	return dst
}

func (r *record) flags() (f byte) {
	if r.marker {
		f |= flagMarker
	}
	if r.null {
		f |= flagNull
	}
	if r.owner != nil {
		f |= flagOwner
	}
	if r.attrs.set() {
		f |= flagAttributes
	}
	if len(r.tags) > 0 {
		f |= flagTags
	}
	if len(r.acl) > 0 {
		f |= flagACL
	}
	return f
}

// decodeSummary reads what a listing shows and returns a decoder at the rest. The checksum aliases
// raw.
func (r *record) decodeSummary(raw []byte) (d decoder, flags byte) {
	d.b = raw
	format := d.byte()
	if format != formatVersion && format != formatVersionFields {
		d.fail()
	}
	flags = d.byte()
	r.seq = d.uvarint()
	r.marker, r.null = flags&flagMarker != 0, flags&flagNull != 0
	if !r.null {
		copy(r.nonce[:], d.fixed(nonceSize))
	}
	r.modified = d.size()
	if flags&flagOwner != 0 {
		owner := d.owner()
		r.owner = &owner
	}
	if format == formatVersionFields {
		r.decodeFields(&d)
	}
	if r.marker {
		return d, flags
	}
	r.size = d.size()
	copy(r.md5[:], d.fixed(md5.Size))
	r.parts = int(d.size() & 0xffff)
	r.checksum, r.sum = d.checksum()
	r.class = d.class()
	return d, flags
}

// decode reads a whole record. Keys and checksum alias raw.
func (r *record) decode(raw []byte) error {
	d, flags := r.decodeSummary(raw)
	if r.marker {
		return d.end()
	}
	r.body = d.body()
	if flags&flagAttributes != 0 {
		r.attrs = d.attributes()
	}
	r.attrs.StorageClass = r.class
	if flags&flagTags != 0 {
		r.tags = d.tags()
	}
	if flags&flagACL != 0 {
		r.acl = d.bytes()
	}
	if len(r.rawSealed) > 0 {
		var err error
		if r.sealed, err = decodeSealed(r.rawSealed); err != nil {
			return err
		}
	}
	return d.end()
}

func (r *record) time() time.Time { return time.UnixMilli(r.modified).UTC() }

func (b *body) append(dst []byte) []byte {
	dst = append(dst, byte(b.kind))
	if b.kind == bodyNone {
		return dst
	}
	dst = binary.AppendUvarint(dst, b.id)
	if b.kind == bodyManifest {
		dst = binary.AppendUvarint(dst, uint64(len(b.pages)))
		for _, p := range b.pages {
			dst = binary.AppendUvarint(dst, uint64(p.last))
			dst = binary.AppendUvarint(dst, uint64(p.end))
		}
		return dst
	}
	dst = append(dst, byte(b.sealing))
	dst = appendBytes(dst, b.wrapped)
	if b.sealing == sealedTwice {
		dst = appendBytes(dst, b.outer)
	}
	if b.kind == bodyBlob {
		dst = appendString(dst, b.ref)
	}
	return dst
}

func (d *decoder) body() body {
	b := body{kind: bodyKind(d.byte())}
	switch b.kind {
	case bodyNone:
	case bodyManifest:
		b.id = d.uvarint()
		b.pages = make([]page, d.count())
		for i := range b.pages {
			b.pages[i] = page{last: int(d.size() & 0xffff), end: d.size()}
		}
	case bodyInline, bodyBlob:
		b.id = d.uvarint()
		b.sealing = encryption(d.byte())
		if !b.sealing.valid() {
			d.fail()
		}
		b.wrapped = d.bytes()
		if b.sealing == sealedTwice {
			b.outer = d.bytes()
		}
		if b.kind == bodyBlob {
			b.ref = d.string()
		}
	default:
		d.fail()
	}
	return b
}

// appendChecksum writes a checksum, or in place of its value what the object's key made of it.
func appendChecksum(dst []byte, c *Checksum, sealed []byte) []byte {
	kind := byte(c.Algorithm)
	if c.Composite {
		kind |= compositeBit
	}
	if len(sealed) > 0 {
		return appendBytes(append(dst, kind|sealedBit), sealed)
	}
	return append(append(dst, kind), c.Value...)
}

const (
	compositeBit = 0x80
	sealedBit    = 0x40
)

func (d *decoder) checksum() (c Checksum, sealed []byte) {
	kind := d.byte()
	c = Checksum{Algorithm: Algorithm(kind &^ (compositeBit | sealedBit)), Composite: kind&compositeBit != 0}
	if int(c.Algorithm) >= len(algorithms) {
		d.fail()
		return Checksum{}, nil
	}
	if kind&sealedBit != 0 {
		if sealed = d.bytes(); len(sealed) == 0 {
			d.fail()
		}
		return c, sealed
	}
	if n := algorithms[c.Algorithm].size; n > 0 {
		c.Value = d.fixed(n)
	}
	return c, nil
}

// storageClasses spares an allocation for the names that occur.
var storageClasses = []string{
	"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY",
	"GLACIER", "GLACIER_IR", "DEEP_ARCHIVE", "EXPRESS_ONEZONE", "OUTPOSTS", "SNOW",
}

func (d *decoder) class() string {
	p := d.bytes()
	if len(p) == 0 {
		return ""
	}
	for _, s := range storageClasses {
		if s == string(p) {
			return s
		}
	}
	return string(p)
}

// set tells whether there is anything beside the storage class, which stands in the summary.
func (a *Attributes) set() bool {
	for _, p := range a.fields() {
		if *p != "" {
			return true
		}
	}
	return len(a.User) > 0
}

// fields are the texts in the order in which they are stored.
func (a *Attributes) fields() [7]*string {
	return [...]*string{
		&a.ContentType, &a.ContentEncoding, &a.ContentDisposition, &a.ContentLanguage,
		&a.CacheControl, &a.Expires, &a.WebsiteRedirect,
	}
}

func (a *Attributes) append(dst []byte) []byte {
	for _, p := range a.fields() {
		dst = appendString(dst, *p)
	}
	return appendTags(dst, a.User)
}

func (d *decoder) attributes() (a Attributes) {
	for _, p := range a.fields() {
		*p = d.string()
	}
	a.User = d.tags()
	return a
}

func appendTags(dst []byte, tags []Tag) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(tags)))
	for _, t := range tags {
		dst = appendString(dst, t.Key)
		dst = appendString(dst, t.Value)
	}
	return dst
}

func (d *decoder) tags() []Tag {
	n := d.count()
	if n == 0 {
		return nil
	}
	tags := make([]Tag, 0, n)
	for range n {
		tags = append(tags, Tag{Key: d.string(), Value: d.string()})
	}
	return tags
}

func appendOwner(dst []byte, o *Owner) []byte {
	return appendString(appendString(dst, o.Account), o.Canonical)
}

func (d *decoder) owner() Owner { return Owner{Account: d.string(), Canonical: d.string()} }
