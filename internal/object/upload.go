package object

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// CreateUpload starts a multipart upload and needs s3:PutObject.
func (s *Store) CreateUpload(ctx context.Context, g authz.Grant, in *UploadInput) (*Upload, error) {
	b, err := s.writable(g, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	if err := s.checkWanted(b, in.Lock); err != nil {
		return nil, err
	}
	r := &uploadRecord{
		initiated: s.millis(), checksum: in.Checksum, asked: in.Checksum != NoChecksum, fullObject: in.FullObject,
		owner: in.Owner, initiator: in.Initiator, class: in.Attributes.StorageClass, attrs: in.Attributes, tags: in.Tags, acl: in.ACL,
	}
	if in.Seal != nil {
		r.sealed = &in.Seal.Sealed
	}
	if err := r.settleChecksum(); err != nil {
		return nil, err
	}
	if in.Lock != nil {
		r.lock = *in.Lock
	}
	if r.owner == (Owner{}) {
		r.owner = b.Owner
	}
	rand.Read(r.nonce[:])
	number := s.ids.next()
	err = s.changeUpload(ctx, in.Bucket, b.ID, number, shared, func(_ context.Context, t *txn, to target) error {
		t.set(uploadKey(to.bucket.ID, in.Key, number), r.encode())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.upload(in.Bucket, in.Key, number), nil
}

// settleChecksum applies S3's rules on which algorithm goes with which type.
func (u *uploadRecord) settleChecksum() error {
	switch {
	case !u.checksum.known():
		return invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	case u.checksum == NoChecksum:
		u.checksum, u.fullObject = CRC64NVME, true
	case u.checksum == CRC64NVME:
		u.fullObject = true
	case u.fullObject && !u.checksum.Combinable():
		return invalidRequest("The FULL_OBJECT checksum type cannot be used with the " + lower(u.checksum) + " checksum algorithm.")
	}
	return nil
}

func (u *uploadRecord) upload(bucket, key string, number uint64) *Upload {
	up := &Upload{
		Bucket: bucket, Key: key, UploadID: versionID(number, &u.nonce), Initiated: time.UnixMilli(u.initiated).UTC(),
		StorageClass: u.class, Owner: u.owner, Initiator: u.initiator,
		Sealed: u.sealed,
	}
	if u.asked {
		up.Checksum, up.FullObject = u.checksum, u.fullObject
	}
	return up
}

// Upload describes an upload under way. It needs s3:PutObject, s3:ListMultipartUploadParts or
// s3:AbortMultipartUpload.
func (s *Store) Upload(ctx context.Context, g authz.Grant, bucket, key, id string) (*Upload, error) {
	var err error
	for _, action := range [...]string{"s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"} {
		if err = g.Require(action, keyARN(bucket, key)); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	_, number, r, err := s.findUpload(ctx, bucket, key, id)
	if err != nil {
		return nil, err
	}
	return r.upload(bucket, key, number), nil
}

func (s *Store) findUpload(ctx context.Context, bucket, key, id string) (*Bucket, uint64, *uploadRecord, error) {
	b, err := s.Bucket(bucket)
	if err != nil {
		return nil, 0, nil, err
	}
	number, nonce, err := parseUploadID(id)
	if err != nil {
		return nil, 0, nil, err
	}
	raw, version, err := s.meta.Get(ctx, uploadKey(b.ID, key, number), nil)
	if err != nil {
		return nil, 0, nil, stored(err)
	}
	if version == 0 {
		raw = nil
	}
	r, err := openUpload(raw, id, nonce)
	if err != nil {
		return nil, 0, nil, stored(err)
	}
	return b, number, r, nil
}

func parseUploadID(id string) (number uint64, nonce [nonceSize]byte, err error) {
	number, nonce, err = parseVersionID(id)
	if err != nil {
		err = noSuchUpload(id)
	}
	return number, nonce, err
}

func openUpload(raw []byte, id string, nonce [nonceSize]byte) (*uploadRecord, error) {
	if raw == nil {
		return nil, noSuchUpload(id)
	}
	r, err := decodeUpload(raw)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(r.nonce[:], nonce[:]) != 1 {
		return nil, noSuchUpload(id)
	}
	return r, nil
}

// sharing says how an upload is locked: its parts may come together, its end comes alone.
type sharing bool

const (
	shared sharing = true
	alone  sharing = false
)

func (s *Store) lockUpload(number uint64, how sharing) (unlock func()) {
	lock := &s.uploads[number%lockStripes]
	if how == shared {
		lock.RLock()
		return lock.RUnlock
	}
	lock.Lock()
	return lock.Unlock
}

// changeUpload is changeKey for the records of an upload.
func (s *Store) changeUpload(ctx context.Context, bucket string, bucketID, number uint64, how sharing, fn func(ctx context.Context, t *txn, to target) error) error {
	ctx = context.WithoutCancel(ctx)
	for range commitAttempts {
		err := s.changeUploadOnce(ctx, bucket, bucketID, number, how, fn)
		if !errors.Is(err, engine.ErrConflict) {
			return stored(err)
		}
		if err := s.refreshBucket(ctx, bucket); err != nil {
			return err
		}
	}
	return fault.New(Busy, "")
}

func (s *Store) changeUploadOnce(ctx context.Context, bucket string, bucketID, number uint64, how sharing, fn func(ctx context.Context, t *txn, to target) error) error {
	defer s.lockUpload(number, how)()
	b, release, err := s.enter(bucket, bucketID)
	if err != nil {
		return err
	}
	defer release()
	t := s.begin()
	if err := fn(ctx, t, target{bucket: b}); err != nil {
		return err
	}
	if len(t.batch.Writes) == 0 {
		return nil
	}
	t.batch.Require(bucketKey(bucket), b.Revision)
	return t.commit(ctx)
}

// enter holds the bucket's gate: until release the bucket stays what it is.
func (s *Store) enter(name string, id uint64) (b *Bucket, release func(), err error) {
	b = s.buckets.get(name)
	if b == nil {
		return nil, nil, noSuchBucket(name)
	}
	gate := b.gate
	gate.RLock()
	if b = s.buckets.get(name); b == nil || b.gate != gate || id != 0 && b.ID != id {
		gate.RUnlock()
		return nil, nil, noSuchBucket(name)
	}
	return b, gate.RUnlock, nil
}

// PutPart stores one part and needs s3:PutObject; with Source set it reads the part's bytes from an
// object and needs what reading that needs, too.
func (s *Store) PutPart(ctx context.Context, g authz.Grant, in *PartInput) (*Part, error) {
	b, err := s.writable(g, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	if in.Number < 1 || in.Number > MaxPartNumber {
		return nil, invalidRequest("Part number must be an integer between 1 and 10000, inclusive")
	}
	_, number, up, err := s.findUpload(ctx, in.Bucket, in.Key, in.UploadID)
	if err != nil {
		return nil, err
	}
	input := &bodyInput{bucket: b.ID, r: in.Body, size: in.Size, max: MaxSingle, keep: up.checksum, expect: &in.Expect}
	if err := up.checkPartAlgorithm(in.Expect.Algorithm); err != nil {
		return nil, err
	}
	if input.seal, err = sealingOf(ctx, in.Unsealer, up.sealed); err != nil {
		return nil, err
	}
	input.part = true
	if in.Source != nil {
		src, err := s.openSource(ctx, g, in.Source, in.Check)
		if err != nil {
			return nil, err
		}
		defer src.Body.Close()
		input.r, input.size = src.Body, src.Length
	}
	data, err := s.ingest(ctx, input)
	if err != nil {
		return nil, err
	}
	p := &partRecord{number: in.Number, size: data.size, md5: data.md5, modified: s.millis(), checksum: data.checksum, sum: data.sum, body: data.body}
	err = s.namePart(ctx, in, b.ID, number, p, data)
	data.release(ctx, err)
	if err != nil {
		return nil, err
	}
	part := p.part()
	part.Sealed = up.sealed
	return &part, nil
}

func (u *uploadRecord) checkPartAlgorithm(a Algorithm) error {
	switch {
	case !a.known():
		return invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	case a != NoChecksum && u.asked && a != u.checksum:
		return invalidRequest("Checksum Type mismatch occurred, expected checksum Type: " + lower(u.checksum) + ", actual checksum Type: " + lower(a))
	}
	return nil
}

// openSource opens what a copy reads.
func (s *Store) openSource(ctx context.Context, g authz.Grant, in *GetInput, check func(*Info) error) (*Object, error) {
	src, err := s.Get(ctx, g, in)
	if fault.Is(err, IsDeleteMarker) {
		return nil, invalidRequest("The source of a copy request may not specifically refer to a delete marker by version id.")
	}
	if err != nil {
		return nil, err
	}
	if check != nil {
		err = check(&src.Info)
	}
	if err == nil && src.Length > MaxSingle {
		err = invalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: " + strconv.FormatInt(MaxSingle, 10))
	}
	if err != nil {
		src.Body.Close()
		return nil, err
	}
	return src, nil
}

// namePart commits a part. The part of that number that was there before becomes trash.
func (s *Store) namePart(ctx context.Context, in *PartInput, bucketID, number uint64, p *partRecord, data *ingested) error {
	_, nonce, err := parseUploadID(in.UploadID)
	if err != nil {
		return err
	}
	return s.changeUpload(ctx, in.Bucket, bucketID, number, shared, func(ctx context.Context, t *txn, to target) error {
		raw, err := t.get(ctx, uploadKey(to.bucket.ID, in.Key, number))
		if err != nil {
			return err
		}
		if _, err := openUpload(raw, in.UploadID, nonce); err != nil {
			return err
		}
		old, err := t.get(ctx, partKey(number, in.Number))
		if err != nil {
			return err
		}
		if old != nil {
			was, _, err := decodePart(old)
			if err != nil {
				return err
			}
			t.discardBody(&was.body)
		}
		t.set(partKey(number, in.Number), encodePart(p, bucketID))
		data.name(t)
		return nil
	})
}

// AbortUpload gives an upload up and needs s3:AbortMultipartUpload. The space of its parts comes back
// in the background.
func (s *Store) AbortUpload(ctx context.Context, g authz.Grant, bucket, key, id string) error {
	if err := g.Require("s3:AbortMultipartUpload", keyARN(bucket, key)); err != nil {
		return err
	}
	b, err := s.Bucket(bucket)
	if err != nil {
		return err
	}
	number, nonce, err := parseUploadID(id)
	if err != nil {
		return err
	}
	return s.changeUpload(ctx, bucket, b.ID, number, alone, func(ctx context.Context, t *txn, to target) error {
		place := uploadKey(to.bucket.ID, key, number)
		raw, err := t.get(ctx, place)
		if err != nil {
			return err
		}
		if _, err := openUpload(raw, id, nonce); err != nil {
			return err
		}
		t.delete(place)
		t.discard(trash{kind: trashUpload, about: number})
		return nil
	})
}

// ListParts gives the parts of an upload behind part number after and needs
// s3:ListMultipartUploadParts. The parts of an upload that is not sealed by the store alone show their
// checksums where u gives the key; an SSE-C upload is listed without, too.
func (s *Store) ListParts(ctx context.Context, g authz.Grant, u Unsealer, bucket, key, id string, after, limit int) (*PartsPage, error) {
	if err := g.Require("s3:ListMultipartUploadParts", keyARN(bucket, key)); err != nil {
		return nil, err
	}
	b, number, r, err := s.findUpload(ctx, bucket, key, id)
	if err != nil {
		return nil, err
	}
	opened, err := unseal(ctx, u, r.sealed)
	if err != nil && !(fault.Is(err, KeyRequired) && r.sealed.Encryption == SSEC) {
		return nil, err
	}
	page := &PartsPage{Upload: *r.upload(bucket, key, number)}
	limit = clampPage(limit)
	if limit == 0 || after >= MaxPartNumber {
		return page, nil
	}
	_, hi := prefixRange(spaceKey(spacePart, number))
	it, err := s.meta.Scan(ctx, partKey(number, max(after, 0)+1), hi)
	if err != nil {
		return nil, stored(err)
	}
	defer it.Close()
	for it.Next() {
		if len(page.Parts) == limit {
			page.Truncated = true
			break
		}
		p, _, err := decodePart(it.Value())
		if err != nil {
			return nil, s.noticeDamage(err)
		}
		part, err := s.showPart(b.ID, &p, opened)
		if err != nil {
			return nil, err
		}
		page.Parts = append(page.Parts, part)
		page.Next = p.number
	}
	return page, stored(it.Err())
}

// clampPage bounds the size of a page.
func clampPage(n int) int { return max(0, min(n, MaxList)) }

// allParts reads the parts of an upload and expects the listed ones to stay.
func (t *txn) allParts(ctx context.Context, number uint64) ([]partRecord, error) {
	lo, hi := prefixRange(spaceKey(spacePart, number))
	it, err := t.s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var parts []partRecord
	for it.Next() {
		p, _, err := decodePart(slices.Clone(it.Value()))
		if err != nil {
			return nil, err
		}
		if len(it.Key()) != len(spacePart)+10 || p.number != int(binary.BigEndian.Uint16(it.Key()[len(spacePart)+8:])) {
			return nil, errRecord
		}
		t.batch.Require(slices.Clone(it.Key()), it.Version())
		parts = append(parts, p)
	}
	return parts, it.Err()
}
