package object

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/seal"
)

// Get opens a version of an object and needs s3:GetObject, or s3:GetObjectVersion when a version id
// is given. Where the version is a delete marker (NoSuchKey, IsDeleteMarker) the Object tells about it
// beside the error; its Body is nil.
func (s *Store) Get(ctx context.Context, g authz.Grant, in *GetInput) (*Object, error) {
	if err := in.allowed(g); err != nil {
		return nil, err
	}
	var last engine.Version
	for range commitAttempts {
		f, err := s.find(ctx, in)
		if err != nil {
			return f.markerObject(in), err
		}
		if err := f.readable(s.now()); err != nil {
			return nil, err
		}
		o, err := s.open(ctx, in, f)
		if !errors.Is(err, errGone) {
			return o, err
		}
		if f.version == last {
			s.damagedReads.Add(1)
			return nil, damaged("the body of an object is not there", nil)
		}
		last = f.version
	}
	return nil, fault.New(Busy, "")
}

// Stat is Get without opening the body.
func (s *Store) Stat(ctx context.Context, g authz.Grant, in *GetInput) (*Object, error) {
	if err := in.allowed(g); err != nil {
		return nil, err
	}
	f, err := s.find(ctx, in)
	if err != nil {
		return f.markerObject(in), err
	}
	o, _, err := s.describe(ctx, in, f)
	if err != nil || f.sealed == nil || !in.Checksum {
		return o, err
	}
	key, err := unseal(ctx, in.Unsealer, f.sealed)
	if err != nil {
		return nil, err
	}
	return o, s.openChecksum(key, f.bucket.ID, &f.body, f.sum, &o.Checksum)
}

func (in *GetInput) allowed(g authz.Grant) error {
	if err := g.Require(in.action("s3:GetObject", "s3:GetObjectVersion"), keyARN(in.Bucket, in.Key)); err != nil {
		return err
	}
	return in.check()
}

func (in *GetInput) action(current, version string) string {
	if in.VersionID != "" {
		return version
	}
	return current
}

func (in *GetInput) check() error {
	if err := checkKey(in.Key); err != nil {
		return err
	}
	return checkVersionID(in.VersionID)
}

// found is a record with where it was found.
type found struct {
	record
	bucket  *Bucket
	latest  bool
	version engine.Version
	place   []byte // its key
	raw     []byte
}

// find reads the version that in names. Delete markers are an error, beside which found tells of
// them.
func (s *Store) find(ctx context.Context, in *GetInput) (*found, error) {
	b, err := s.Bucket(in.Bucket)
	if err != nil {
		return nil, err
	}
	if in.VersionID != "" {
		return s.findVersion(ctx, b, in)
	}
	f, err := s.load(ctx, b, headKey(b.ID, in.Key))
	if err != nil {
		return nil, err
	}
	if f != nil {
		f.latest = true
		return f, nil
	}
	if b.Versioning != Unversioned {
		if f, err = s.load(ctx, b, markerKey(b.ID, in.Key)); err != nil {
			return nil, err
		}
		if f != nil {
			f.latest = true
		}
	}
	return f, noSuchKey(in.Key)
}

func (s *Store) load(ctx context.Context, b *Bucket, place []byte) (*found, error) {
	raw, version, err := s.meta.Get(ctx, place, nil)
	if err != nil {
		return nil, stored(err)
	}
	if version == 0 {
		return nil, nil
	}
	f := &found{bucket: b, version: version, place: place, raw: raw}
	if err := f.decode(raw); err != nil {
		return nil, s.noticeDamage(err)
	}
	return f, nil
}

func (s *Store) findVersion(ctx context.Context, b *Bucket, in *GetInput) (*found, error) {
	// A version may move from current to older between two reads, never back in between: the third
	// place looks at the head again.
	places := [...]func() (*found, error){
		func() (*found, error) { return s.load(ctx, b, headKey(b.ID, in.Key)) },
		func() (*found, error) { return s.load(ctx, b, markerKey(b.ID, in.Key)) },
		func() (*found, error) { return s.loadOlder(ctx, b, in) },
		func() (*found, error) { return s.load(ctx, b, headKey(b.ID, in.Key)) },
		func() (*found, error) { return s.load(ctx, b, markerKey(b.ID, in.Key)) },
	}
	for i, look := range places {
		f, err := look()
		if err != nil {
			return nil, err
		}
		if f == nil || !f.matches(in.VersionID) {
			continue
		}
		f.latest = i != 2
		if f.marker {
			return f, fault.New(IsDeleteMarker, "", "Key", in.Key, "VersionId", in.VersionID)
		}
		return f, nil
	}
	return nil, noSuchVersion(in.Key, in.VersionID)
}

func (s *Store) loadOlder(ctx context.Context, b *Bucket, in *GetInput) (*found, error) {
	if in.VersionID != NullVersion {
		seq, nonce, err := parseVersionID(in.VersionID)
		if err != nil {
			return nil, err
		}
		f, err := s.load(ctx, b, versionKey(b.ID, in.Key, seq))
		if err != nil || f != nil && f.matches(in.VersionID) {
			return f, err
		}
		if seq, err = s.placeOfReplica(ctx, b, in.Key, seq, &nonce); err != nil || seq == 0 {
			return nil, err
		}
		return s.load(ctx, b, versionKey(b.ID, in.Key, seq))
	}
	pointer, version, err := s.meta.Get(ctx, nullKey(b.ID, in.Key), nil)
	if err != nil || version == 0 {
		return nil, stored(err)
	}
	if len(pointer) != 8 {
		return nil, s.noticeDamage(errRecord)
	}
	return s.load(ctx, b, versionKey(b.ID, in.Key, binary.BigEndian.Uint64(pointer)))
}

// markerObject is what Get gives beside its error.
func (f *found) markerObject(in *GetInput) *Object {
	if f == nil {
		return nil
	}
	return &Object{Info: f.info(in)}
}

func (f *found) info(in *GetInput) Info {
	info := infoOf(f.bucket, in.Key, &f.record)
	info.Latest = f.latest
	return *info
}

// describe works out which bytes are wanted.
func (s *Store) describe(ctx context.Context, in *GetInput, f *found) (*Object, int64, error) {
	o := &Object{Info: f.info(in), Length: f.size}
	switch {
	case in.Range != nil && in.PartNumber != 0:
		return nil, 0, invalidRequest("Cannot specify both Range header and partNumber query parameter")
	case in.Range != nil:
		off, n, ok := in.Range.resolve(f.size)
		if !ok {
			return nil, 0, fault.New(InvalidRange, "", "RangeRequested", in.Range.Header, "ActualObjectSize", strconv.FormatInt(f.size, 10))
		}
		o.Offset, o.Length, o.Partial = off, n, true
	case in.PartNumber != 0:
		off, n, err := s.locatePart(ctx, f, in.PartNumber)
		if err != nil {
			return nil, 0, err
		}
		o.Offset, o.Length, o.Partial = off, n, f.size > 0
	}
	return o, f.size, nil
}

func (s *Store) open(ctx context.Context, in *GetInput, f *found) (*Object, error) {
	o, size, err := s.describe(ctx, in, f)
	if err != nil {
		return nil, err
	}
	key, err := unseal(ctx, in.Unsealer, f.sealed)
	if err != nil {
		return nil, err
	}
	if in.Checksum {
		if err := s.openChecksum(key, f.bucket.ID, &f.body, f.sum, &o.Checksum); err != nil {
			return nil, err
		}
	}
	r, err := s.openBody(ctx, f.bucket.ID, &f.body, key, size, o.Offset, o.Length)
	if err != nil {
		return nil, err
	}
	o.Body = r
	return o, nil
}

// resolve gives the bytes of an object of that size that r asks for.
func (r *Range) resolve(size int64) (off, n int64, ok bool) {
	if r.Suffix > 0 {
		n = min(r.Suffix, size)
		return size - n, n, size > 0
	}
	if r.First < 0 || r.First >= size || r.Last >= 0 && r.Last < r.First {
		return 0, 0, false
	}
	last := size - 1
	if r.Last >= 0 {
		last = min(last, r.Last)
	}
	return r.First, last - r.First + 1, true
}

// locatePart gives the bytes of a part. An object that was put whole has one part, number 1.
func (s *Store) locatePart(ctx context.Context, f *found, number int) (off, n int64, err error) {
	if f.body.kind != bodyManifest {
		if number != 1 {
			return 0, 0, fault.New(InvalidPartNumber, "")
		}
		return 0, f.size, nil
	}
	i := slices.IndexFunc(f.body.pages, func(p page) bool { return number <= p.last })
	if i < 0 || number < 1 {
		return 0, 0, fault.New(InvalidPartNumber, "")
	}
	parts, err := s.readPage(ctx, &f.body, i)
	if err != nil {
		return 0, 0, err
	}
	off = f.body.pageStart(i)
	for j := range parts {
		if parts[j].number == number {
			return off, parts[j].size, nil
		}
		off += parts[j].size
	}
	return 0, 0, fault.New(InvalidPartNumber, "")
}

// Parts lists the parts of a finished multipart object behind part number after; none for an object
// that was put whole. It needs what Get needs. Checksums of a sealed object are told where
// in.Checksum asks for them.
func (s *Store) Parts(ctx context.Context, g authz.Grant, in *GetInput, after, limit int) (parts []Part, truncated bool, err error) {
	if err := in.allowed(g); err != nil {
		return nil, false, err
	}
	f, err := s.find(ctx, in)
	if err != nil {
		return nil, false, err
	}
	var key *seal.Wrapper
	if in.Checksum {
		if key, err = unseal(ctx, in.Unsealer, f.sealed); err != nil {
			return nil, false, err
		}
	}
	for i, p := range f.body.pages {
		if p.last <= after {
			continue
		}
		page, err := s.readPage(ctx, &f.body, i)
		if errors.Is(err, errGone) {
			return nil, false, fault.New(Busy, "")
		}
		if err != nil {
			return nil, false, err
		}
		for j := range page {
			if page[j].number <= after {
				continue
			}
			if len(parts) >= limit {
				return parts, true, nil
			}
			part, err := s.showPart(f.bucket.ID, &page[j], key)
			if err != nil {
				return nil, false, err
			}
			parts = append(parts, part)
		}
	}
	return parts, false, nil
}

// showPart is part with its checksum, where the key is at hand.
func (s *Store) showPart(bucket uint64, p *partRecord, key *seal.Wrapper) (Part, error) {
	part := p.part()
	if key == nil {
		return part, nil
	}
	return part, s.openChecksum(key, bucket, &p.body, p.sum, &part.Checksum)
}
