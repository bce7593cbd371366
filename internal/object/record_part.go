package object

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"time"

	"github.com/kura-s3/kura/internal/engine"
)

// partRecord is a part of an upload, or of a finished multipart object.
type partRecord struct {
	number   int
	size     int64
	md5      digest
	modified int64
	checksum Checksum
	sum      []byte // as in record
	body     body
}

// part shows p to a caller, without aliasing the record that it was read from.
func (p *partRecord) part() Part {
	sum := p.checksum
	sum.Value = append([]byte(nil), sum.Value...)
	return Part{Number: p.number, Size: p.size, ETag: etagOf(&p.md5, 0), Modified: time.UnixMilli(p.modified).UTC(), Checksum: sum}
}

func (p *partRecord) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.number))
	dst = binary.AppendUvarint(dst, uint64(p.size))
	dst = append(dst, p.md5[:]...)
	dst = binary.AppendUvarint(dst, uint64(p.modified))
	dst = appendChecksum(dst, &p.checksum, p.sum)
	return p.body.append(dst)
}

func (d *decoder) part() (p partRecord) {
	p.number = int(d.size() & 0xffff)
	p.size = d.size()
	copy(p.md5[:], d.fixed(md5.Size))
	p.modified = d.size()
	p.checksum, p.sum = d.checksum()
	p.body = d.body()
	if p.body.kind == bodyManifest {
		d.fail()
	}
	return p
}

func encodePart(p *partRecord, bucket uint64) []byte {
	return p.append(binary.AppendUvarint([]byte{formatPart}, bucket))
}

// decodePart reads the record of an upload's part, which names the bucket for whose sake its body is
// sealed.
func decodePart(raw []byte) (p partRecord, bucket uint64, err error) {
	d := decoder{b: raw}
	d.format(formatPart)
	bucket = d.uvarint()
	p = d.part()
	return p, bucket, d.end()
}

func encodePage(parts []partRecord) []byte {
	dst := binary.AppendUvarint([]byte{formatPage}, uint64(len(parts)))
	for i := range parts {
		dst = parts[i].append(dst)
	}
	return dst
}

func decodePage(raw []byte) ([]partRecord, error) {
	d := decoder{b: raw}
	d.format(formatPage)
	n := d.count()
	if n == 0 || n > partsPerPage {
		return nil, errRecord
	}
	parts := make([]partRecord, 0, n)
	for range n {
		parts = append(parts, d.part())
	}
	return parts, d.end()
}

// uploadRecord is an upload under way.
type uploadRecord struct {
	nonce      [nonceSize]byte
	initiated  int64
	checksum   Algorithm
	asked      bool // the client named the algorithm
	fullObject bool
	owner      Owner
	initiator  Initiator
	class      string
	attrs      Attributes
	tags       []Tag
	acl        []byte
	lock       Lock
	sealed     *Sealed // nil: SSE-S3
}

func (u *uploadRecord) encode() []byte {
	format := byte(formatUpload)
	if len(u.acl) > 0 {
		format = formatUploadACL
	}
	rare := record{lock: u.lock, sealed: u.sealed}
	if rare.hasFields() {
		format = formatUploadFields
	}
	dst := append([]byte{format}, u.nonce[:]...)
	dst = binary.AppendUvarint(dst, uint64(u.initiated))
	dst = append(dst, byte(u.checksum), boolByte(u.asked), boolByte(u.fullObject))
	dst = appendOwner(dst, &u.owner)
	dst = appendString(dst, u.initiator.ID)
	dst = appendString(dst, u.initiator.DisplayName)
	dst = appendString(dst, u.class)
	dst = u.attrs.append(dst)
	dst = appendTags(dst, u.tags)
	if format != formatUpload {
		dst = appendBytes(dst, u.acl)
	}
	if format == formatUploadFields {
		dst = rare.appendFields(dst)
	}
	return dst
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func decodeUpload(raw []byte) (*uploadRecord, error) {
	u := &uploadRecord{}
	d := decoder{b: raw}
	format := d.byte()
	if format < formatUpload || format > formatUploadFields {
		d.fail()
	}
	copy(u.nonce[:], d.fixed(nonceSize))
	u.initiated = d.size()
	u.checksum = Algorithm(d.byte())
	u.asked = d.byte() == 1
	u.fullObject = d.byte() == 1
	u.owner = d.owner()
	u.initiator = Initiator{ID: d.string(), DisplayName: d.string()}
	u.class = d.class()
	u.attrs = d.attributes()
	u.attrs.StorageClass = u.class
	u.tags = d.tags()
	if format != formatUpload {
		u.acl = bytes.Clone(d.bytes())
	}
	if format == formatUploadFields {
		var rare record
		rare.decodeFields(&d)
		u.lock = rare.lock
		if len(rare.rawSealed) > 0 {
			var err error
			if u.sealed, err = decodeSealed(rare.rawSealed); err != nil {
				d.fail()
			}
		}
	}
	if int(u.checksum) >= len(algorithms) || u.checksum == NoChecksum {
		d.fail()
	}
	return u, d.end()
}

// finishedRecord remembers what completing an upload gave.
type finishedRecord struct {
	nonce     [nonceSize]byte
	completed int64
	bucket    uint64
	key       string
	version   []byte // the record of the version that was made
}

func (f *finishedRecord) encode() []byte {
	dst := append([]byte{formatFinished}, f.nonce[:]...)
	dst = binary.AppendUvarint(dst, uint64(f.completed))
	dst = binary.AppendUvarint(dst, f.bucket)
	dst = appendString(dst, f.key)
	return appendBytes(dst, f.version)
}

func decodeFinished(raw []byte) (*finishedRecord, error) {
	f := &finishedRecord{}
	d := decoder{b: raw}
	d.format(formatFinished)
	copy(f.nonce[:], d.fixed(nonceSize))
	f.completed = d.size()
	f.bucket = d.uvarint()
	f.key = d.string()
	f.version = d.bytes()
	return f, d.end()
}

// trashKind says what a trash record names.
type trashKind byte

const (
	trashBlob     trashKind = 1 + iota // one blob, by ref
	trashManifest                      // a manifest with its parts
	trashUpload                        // the parts of an upload that was aborted
	trashBucket                        // the uploads of a bucket that was deleted
)

// trash is something that nothing names any more and whose space is to come back.
type trash struct {
	id    uint64 // of the trash record
	kind  trashKind
	about uint64 // body id, manifest id, upload number, bucket id
	ref   engine.Ref
	pages int
}

func (t *trash) encode() []byte {
	dst := binary.AppendUvarint([]byte{formatTrash, byte(t.kind)}, t.about)
	switch t.kind {
	case trashBlob:
		dst = appendString(dst, string(t.ref))
	case trashManifest:
		dst = binary.AppendUvarint(dst, uint64(t.pages))
	}
	return dst
}

func decodeTrash(id uint64, raw []byte) (trash, error) {
	t := trash{id: id}
	d := decoder{b: raw}
	d.format(formatTrash)
	t.kind = trashKind(d.byte())
	t.about = d.uvarint()
	switch t.kind {
	case trashBlob:
		t.ref = engine.Ref(d.string())
	case trashManifest:
		t.pages = int(d.size() & 0xffff)
	case trashUpload, trashBucket:
	default:
		d.fail()
	}
	return t, d.end()
}

func encodeIntent(ref engine.Ref) []byte { return appendString([]byte{formatIntent}, string(ref)) }

func decodeIntent(raw []byte) (engine.Ref, error) {
	d := decoder{b: raw}
	d.format(formatIntent)
	ref := engine.Ref(d.string())
	return ref, d.end()
}
