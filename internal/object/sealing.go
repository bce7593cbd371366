package object

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/seal"
)

// Encryption says who keeps the key of an object.
type Encryption uint8

// The ways of S3. The zero value is what every object gets that asks for nothing else.
const (
	SSES3   Encryption = iota // the store
	SSEKMS                    // a KMS key
	DSSEKMS                   // a KMS key and the store, each a layer of its own
	SSEC                      // the customer, who sends it with every request
)

var encryptionNames = [...]string{SSES3: "AES256", SSEKMS: "aws:kms", DSSEKMS: "aws:kms:dsse", SSEC: ""}

// String is the value of x-amz-server-side-encryption; SSE-C has none.
func (e Encryption) String() string {
	if int(e) < len(encryptionNames) {
		return encryptionNames[e]
	}
	return "unknown"
}

// KMS tells whether a KMS key wraps the object's key.
func (e Encryption) KMS() bool { return e == SSEKMS || e == DSSEKMS }

// Sealed tells how the key of one object, or of a multipart upload, is kept. It holds no key in the
// clear and opens nothing by itself.
type Sealed struct {
	Encryption Encryption
	KeyARN     string // of the KMS key
	// Wrapped is the object's key as KMS wrapped it; with SSE-C the salt under which it follows from
	// the customer's key.
	Wrapped []byte
	Check   []byte // SSE-C: tells the customer's key from others
	// Context holds the pairs of the encryption context that the writer named, sorted by key; S3's own
	// pair is not among them.
	Context   []Tag
	BucketKey bool // Wrapped is a key that the bucket uses for many objects
}

// KeySize is the length of an object's key.
const KeySize = len(seal.Key{})

// Key is the key of one object, or one that a bucket uses for many. It never shows itself.
type Key struct {
	wrapper *seal.Wrapper
	raw     seal.Key
}

// NewKey makes a Key of KeySize bytes, which the caller forgets.
func NewKey(raw []byte) (*Key, error) {
	if len(raw) != KeySize {
		return nil, fmt.Errorf("object: a key of %d bytes", len(raw))
	}
	k := seal.Key(raw)
	return &Key{seal.NewWrapper(k), k}, nil
}

// Format writes a placeholder for every verb.
func (*Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "object.Key(hidden)") }

// tag is the ETag of a part: the same for the same bytes sent again, which is what clients expect who try
// again, and nothing that tells of the bytes without the key.
func (k *Key) tag(size int64, sum *Checksum) (d digest) {
	mac := hmac.New(sha256.New, k.raw[:])
	mac.Write(about(tagPrefix, uint64(sum.Algorithm), uint64(size)))
	mac.Write(sum.Value)
	copy(d[:], mac.Sum(nil))
	return d
}

// Sealing is what a write that is not SSE-S3 seals with.
type Sealing struct {
	Sealed
	// Key wraps the data keys of the object's bodies. It is never stored.
	Key *Key
}

// Unsealer gives the key of an object that the store alone cannot open. It asks whoever has to
// allow that; its errors come back unchanged.
type Unsealer interface {
	Unseal(ctx context.Context, s *Sealed) (*Key, error)
}

// unseal gives the key of what s tells of; nil is SSE-S3's.
func unseal(ctx context.Context, u Unsealer, s *Sealed) (*seal.Wrapper, error) {
	if s == nil {
		return nil, nil
	}
	if u == nil {
		return nil, fault.New(KeyRequired, "")
	}
	k, err := u.Unseal(ctx, s)
	if err != nil {
		return nil, err
	}
	return k.wrapper, nil
}

// sealingOf is the sealing of an upload's parts; nil for SSE-S3.
func sealingOf(ctx context.Context, u Unsealer, s *Sealed) (*Sealing, error) {
	if s == nil {
		return nil, nil
	}
	if u == nil {
		return nil, fault.New(KeyRequired, "")
	}
	k, err := u.Unseal(ctx, s)
	if err != nil {
		return nil, err
	}
	return &Sealing{Sealed: *s, Key: k}, nil
}

// errLocked says that a body is sealed under a key that was not given.
var errLocked = fault.New(KeyRequired, "")

// How the data key of a body is kept.
type encryption byte

const (
	// sealedByStore: it stands beside the body, wrapped by the store's key.
	sealedByStore encryption = 1
	// sealedByObject: it stands beside the body, wrapped by the object's key, of which the version's
	// Sealed tells.
	sealedByObject encryption = 2
	// sealedTwice: what is sealed as sealedByObject is sealed once more, as sealedByStore.
	sealedTwice encryption = 3
)

func (e encryption) valid() bool { return e >= sealedByStore && e <= sealedTwice }

// sealedSize is the size of n bytes once they are sealed.
func (e encryption) sealedSize(n int64) int64 {
	if e == sealedTwice {
		n = seal.Size(n)
	}
	return seal.Size(n)
}

// encryption is how a sealing keeps data keys; nil is SSE-S3.
func (s *Sealing) encryption() encryption {
	switch {
	case s == nil:
		return sealedByStore
	case s.Encryption == DSSEKMS:
		return sealedTwice
	}
	return sealedByObject
}

const (
	outerPrefix    = "kura outer\x00\x01"
	checksumPrefix = "kura checksum\x00\x01"
	tagPrefix      = "kura etag\x00\x01"
)

func about(prefix string, bucket, id uint64) []byte {
	b := make([]byte, 0, len(prefix)+16)
	b = append(b, prefix...)
	b = binary.BigEndian.AppendUint64(b, bucket)
	return binary.BigEndian.AppendUint64(b, id)
}

// bodyKeys are the keys of a body that is being sealed. Outer counts for sealedTwice alone.
type bodyKeys struct{ inner, outer seal.Key }

// newKeys makes the keys of a body and writes down, into b, how they are kept.
func (s *Store) newKeys(ctx context.Context, bucket uint64, with *Sealing, b *body) (k bodyKeys, err error) {
	b.sealing = with.encryption()
	if b.sealing == sealedByStore {
		k.inner, b.wrapped, err = s.keys.NewDataKey(ctx, aboutBody(bucket, b.id))
		return k, err
	}
	k.inner = seal.NewKey()
	b.wrapped = with.Key.wrapper.Wrap(nil, aboutBody(bucket, b.id), k.inner[:])
	if b.sealing == sealedTwice {
		k.outer, b.outer, err = s.keys.NewDataKey(ctx, about(outerPrefix, bucket, b.id))
	}
	return k, err
}

// dataKey opens the key of a body. Key is the object's; nil for SSE-S3.
func (s *Store) dataKey(ctx context.Context, bucket uint64, b *body, key *seal.Wrapper) (seal.Key, error) {
	var k seal.Key
	if b.sealing == sealedByStore {
		k, err := s.keys.OpenDataKey(ctx, b.wrapped, aboutBody(bucket, b.id))
		if err != nil {
			return k, s.keyError(ctx, err)
		}
		return k, nil
	}
	if key == nil {
		return k, errLocked
	}
	raw, err := key.Unwrap(k[:0], aboutBody(bucket, b.id), b.wrapped)
	if err == nil && len(raw) != len(k) {
		err = seal.ErrDamaged
	}
	if err != nil {
		return seal.Key{}, s.noticeDamage(err)
	}
	return k, nil
}

func (s *Store) outerKey(ctx context.Context, bucket uint64, b *body) (seal.Key, error) {
	k, err := s.keys.OpenDataKey(ctx, b.outer, about(outerPrefix, bucket, b.id))
	if err != nil {
		return k, s.keyError(ctx, err)
	}
	return k, nil
}

// streamSealer is a seal.Writer, or two of them.
type streamSealer interface {
	io.Writer
	Close() error
	Discard()
}

// newSealer seals a large body to w.
func newSealer(w io.Writer, bucket uint64, b *body, k *bodyKeys) streamSealer {
	if b.sealing != sealedTwice {
		return seal.NewWriter(w, k.inner, aboutBody(bucket, b.id))
	}
	outer := seal.NewWriter(w, k.outer, about(outerPrefix, bucket, b.id))
	return &twoLayers{Writer: seal.NewWriter(outer, k.inner, aboutBody(bucket, b.id)), outer: outer}
}

// twoLayers seals what the inner Writer sealed.
type twoLayers struct {
	*seal.Writer
	outer *seal.Writer
}

func (t *twoLayers) Close() error {
	if err := t.Writer.Close(); err != nil {
		return err
	}
	return t.outer.Close()
}

func (t *twoLayers) Discard() {
	t.Writer.Discard()
	t.outer.Discard()
}

// sealSmall appends the sealed plain to dst.
func sealSmall(dst []byte, bucket uint64, b *body, k *bodyKeys, plain []byte) []byte {
	if b.sealing != sealedTwice {
		return seal.Bytes(dst, k.inner, aboutBody(bucket, b.id), plain)
	}
	buf := smalls.Get().(*[]byte)
	defer smalls.Put(buf)
	inner := seal.Bytes((*buf)[:0], k.inner, aboutBody(bucket, b.id), plain)
	return seal.Bytes(dst, k.outer, about(outerPrefix, bucket, b.id), inner)
}

// openOuter takes the outer layer off a small body, if it has one.
func (s *Store) openOuter(ctx context.Context, bucket uint64, b *body, sealed []byte) ([]byte, error) {
	if b.sealing != sealedTwice {
		return sealed, nil
	}
	k, err := s.outerKey(ctx, bucket, b)
	if err != nil {
		return nil, err
	}
	out, err := seal.OpenBytes(nil, k, about(outerPrefix, bucket, b.id), sealed)
	if err != nil {
		return nil, s.noticeDamage(err)
	}
	return out, nil
}

// source is the sealed stream of a large body, without its outer layer.
func (s *Store) source(ctx context.Context, bucket uint64, b *body, src engine.BlobReader) (io.ReaderAt, int64, error) {
	if b.sealing != sealedTwice {
		return src, src.Size(), nil
	}
	k, err := s.outerKey(ctx, bucket, b)
	if err != nil {
		return nil, 0, err
	}
	size, err := seal.PlainSize(src.Size())
	if err != nil {
		return nil, 0, s.noticeDamage(err)
	}
	return &outerLayer{src: src, key: k, about: about(outerPrefix, bucket, b.id)}, size, nil
}

// outerLayer reads through the outer of two layers.
type outerLayer struct {
	src   engine.BlobReader
	key   seal.Key
	about []byte
}

// ReadAt implements io.ReaderAt.
func (o *outerLayer) ReadAt(p []byte, off int64) (int, error) {
	size, err := seal.PlainSize(o.src.Size())
	if err != nil {
		return 0, err
	}
	if off >= size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), size-off)
	r, err := seal.NewReader(o.src, o.src.Size(), o.key, o.about, off, n)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	got, err := io.ReadFull(r, p[:n])
	if err == nil && got < len(p) {
		err = io.EOF
	}
	return got, err
}

// sealChecksum hides the checksum of what key seals: it tells too much of a short plaintext. What has
// no bytes has nothing to hide.
func sealChecksum(key *seal.Wrapper, bucket uint64, b *body, sum *Checksum) []byte {
	if b.kind == bodyNone || len(sum.Value) == 0 {
		return nil
	}
	return key.Wrap(nil, about(checksumPrefix, bucket, b.id), sum.Value)
}

// openChecksum is the inverse; a checksum that was not sealed stays as it is.
func (s *Store) openChecksum(key *seal.Wrapper, bucket uint64, b *body, sealed []byte, sum *Checksum) error {
	if len(sealed) == 0 {
		return nil
	}
	value, err := key.Unwrap(nil, about(checksumPrefix, bucket, b.id), sealed)
	if err == nil && len(value) != algorithms[sum.Algorithm].size {
		err = seal.ErrDamaged
	}
	if err != nil {
		return s.noticeDamage(err)
	}
	sum.Value = value
	return nil
}

// formatSealed is the form in which records keep a Sealed.
const formatSealed = 1

func (s *Sealed) encode() []byte {
	dst := append(make([]byte, 0, 64+len(s.KeyARN)+len(s.Wrapped)+len(s.Check)), formatSealed, byte(s.Encryption), boolByte(s.BucketKey))
	dst = appendString(dst, s.KeyARN)
	dst = appendBytes(dst, s.Wrapped)
	dst = appendBytes(dst, s.Check)
	return appendTags(dst, s.Context)
}

// decodeSealed reads a Sealed that shares nothing with the record.
func decodeSealed(raw []byte) (*Sealed, error) {
	d := decoder{b: raw}
	d.format(formatSealed)
	s := &Sealed{Encryption: Encryption(d.byte())}
	flag := d.byte()
	s.BucketKey = flag == 1
	s.KeyARN = d.string()
	s.Wrapped = bytes.Clone(d.bytes())
	s.Check = bytes.Clone(d.bytes())
	s.Context = d.tags()
	if flag > 1 || s.Encryption == SSES3 || s.Encryption > SSEC {
		d.fail()
	}
	return s, d.end()
}

// A version's Sealed is one of its fields. A listing reads past it, so that it is taken apart only when
// the whole record is read.

func (r *record) isSealed() bool { return r.sealed != nil || len(r.rawSealed) > 0 }

func (r *record) appendSealed(dst []byte) []byte {
	if r.sealed == nil {
		return append(dst, r.rawSealed...)
	}
	return append(dst, r.sealed.encode()...)
}

func (r *record) decodeSealed(d *decoder) {
	r.rawSealed = d.fixed(len(d.b))
	if r.marker {
		d.fail()
	}
}
