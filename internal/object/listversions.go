package object

import (
	"bytes"
	"context"
	"math"
	"slices"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// ListVersions gives a page of versions and delete markers, newest first within a key, and needs
// s3:ListBucketVersions. A version-id marker stays good when its version is deleted meanwhile.
func (s *Store) ListVersions(ctx context.Context, g authz.Grant, in *ListVersionsInput) (*VersionsPage, error) {
	if err := g.Require("s3:ListBucketVersions", "arn:aws:s3:::"+in.Bucket); err != nil {
		return nil, err
	}
	b, err := s.Bucket(in.Bucket)
	if err != nil {
		return nil, err
	}
	if err := checkVersionID(in.VersionIDMarker); err != nil {
		return nil, err
	}
	l := versionLister{in: in, bucket: b, page: &VersionsPage{}, limit: clampPage(in.Max), roll: rollup{in.Prefix, in.Delimiter}}
	if l.limit == 0 {
		return l.page, nil
	}
	if err := l.begin(ctx, s); err != nil {
		return nil, stored(err)
	}
	err = l.open(ctx, s)
	defer l.close()
	if err == nil {
		err = l.walk()
	}
	if err != nil {
		return nil, s.noticeDamage(err)
	}
	return l.page, nil
}

// versionLister merges the current versions, the current markers and the older versions.
type versionLister struct {
	in     *ListVersionsInput
	bucket *Bucket
	page   *VersionsPage
	limit  int
	roll   rollup

	from    string // the first key wanted
	none    bool
	before  uint64 // within key from.. of the marker: only sequence numbers below
	within  bool   // the marker names a version of KeyMarker
	sources []*versionSource
	key     []byte
}

// versionSource is one of the three keyspaces.
type versionSource struct {
	it      engine.Iterator
	escaped bool
	ok      bool
	key     []byte
}

func (l *versionLister) begin(ctx context.Context, s *Store) error {
	l.from, l.none = l.roll.start(l.in.KeyMarker)
	if l.in.VersionIDMarker == "" || l.in.KeyMarker == "" || l.from != l.in.KeyMarker+"\x00" {
		return nil
	}
	before, err := s.markerSequence(ctx, l.bucket, l.in)
	l.from, l.before, l.within = l.in.KeyMarker, before, true
	return err
}

// markerSequence is the sequence number of the version that the marker names. Ids carry it; the null
// version is looked up, and where it is gone its key is listed once more rather than cut short.
func (s *Store) markerSequence(ctx context.Context, b *Bucket, in *ListVersionsInput) (uint64, error) {
	if in.VersionIDMarker != NullVersion {
		seq, nonce, err := parseVersionID(in.VersionIDMarker)
		if err != nil {
			return 0, err
		}
		if place, err := s.placeOfReplica(ctx, b, in.KeyMarker, seq, &nonce); err != nil || place != 0 {
			return place, err
		}
		return seq, nil
	}
	f, err := s.findVersion(ctx, b, &GetInput{Bucket: in.Bucket, Key: in.KeyMarker, VersionID: NullVersion})
	if f != nil {
		return f.seq, nil
	}
	if fault.Is(err, NoSuchVersion) {
		return math.MaxUint64, nil
	}
	return 0, err
}

// open takes the three snapshots. In a bucket with versions no commit runs meanwhile, so that
// together they are one.
func (l *versionLister) open(ctx context.Context, s *Store) error {
	if l.none {
		return nil
	}
	spaces := []string{spaceHead}
	if l.bucket.Versioning != Unversioned {
		l.bucket.gate.Lock()
		defer l.bucket.gate.Unlock()
		spaces = []string{spaceHead, spaceMarker, spaceVersion}
	}
	for _, space := range spaces {
		lo, hi := l.bounds(space)
		if hi != nil && bytes.Compare(lo, hi) >= 0 {
			continue
		}
		it, err := s.meta.Scan(ctx, lo, hi)
		if err != nil {
			return err
		}
		l.sources = append(l.sources, &versionSource{it: it, escaped: space == spaceVersion})
	}
	return nil
}

func (l *versionLister) bounds(space string) (lo, hi []byte) {
	lo, hi = prefixRange(l.at(space == spaceVersion, space, l.in.Prefix))
	if l.from == "" {
		return lo, hi
	}
	if l.within && space == spaceVersion {
		return versionKey(l.bucket.ID, l.from, l.before-1), hi
	}
	return l.at(space == spaceVersion, space, l.from), hi
}

// at is where keys that begin with text begin in a keyspace.
func (l *versionLister) at(escaped bool, space, text string) []byte {
	if !escaped {
		return plainKey(space, l.bucket.ID, text)
	}
	return appendEscaped(spaceKey(space, l.bucket.ID), text)
}

func (l *versionLister) close() {
	for _, src := range l.sources {
		src.it.Close()
	}
}

func (src *versionSource) settle(ok bool) error {
	src.ok = ok
	if !ok {
		return src.it.Err()
	}
	row := src.it.Key()[rowPrefix:]
	if !src.escaped {
		src.key = row
		return nil
	}
	key, _, valid := cutNumbered(row)
	if !valid {
		return errRecord
	}
	src.key = key
	return nil
}

func (l *versionLister) walk() error {
	for _, src := range l.sources {
		if err := src.settle(src.it.Next()); err != nil {
			return err
		}
	}
	for l.nextKey() {
		if n := l.roll.length(l.key); n > 0 {
			if err := l.fold(n); err != nil || l.page.Truncated {
				return err
			}
			continue
		}
		for _, src := range l.sources {
			if err := l.versions(src); err != nil || l.page.Truncated {
				return err
			}
		}
	}
	return nil
}

// nextKey is the smallest key at which a source stands.
func (l *versionLister) nextKey() bool {
	var least *versionSource
	for _, src := range l.sources {
		if src.ok && (least == nil || bytes.Compare(src.key, least.key) < 0) {
			least = src
		}
	}
	if least == nil {
		return false
	}
	l.key = append(l.key[:0], least.key...)
	return true
}

func (l *versionLister) full() bool {
	if len(l.page.Versions)+len(l.page.Prefixes) < l.limit {
		return false
	}
	l.page.Truncated = true
	return true
}

// fold adds a common prefix and moves every source past it.
func (l *versionLister) fold(n int) error {
	if l.full() {
		return nil
	}
	common := string(l.key[:n])
	l.page.Prefixes = append(l.page.Prefixes, common)
	l.page.NextKeyMarker, l.page.NextVersionIDMarker = common, ""
	for _, src := range l.sources {
		if !src.ok || !bytes.HasPrefix(src.key, []byte(common)) {
			continue
		}
		row := src.it.Key()[:rowPrefix]
		end := slices.Concat(row, []byte(common))
		if src.escaped {
			end = appendEscaped(slices.Clone(row), common)
		}
		end = engine.PrefixEnd(end)
		if err := src.settle(end != nil && src.it.SeekGE(end)); err != nil {
			return err
		}
	}
	return nil
}

// versions adds what a source has of the current key.
func (l *versionLister) versions(src *versionSource) error {
	for src.ok && bytes.Equal(src.key, l.key) {
		var r record
		if err := r.decode(src.it.Value()); err != nil {
			return err
		}
		passed := l.within && string(l.key) == l.in.KeyMarker && r.seq >= l.before
		if !passed {
			if l.full() {
				return nil
			}
			info := infoOf(l.bucket, string(l.key), &r)
			info.Latest = !src.escaped
			if !l.in.Whole {
				info.Attributes, info.Tags = Attributes{StorageClass: r.class}, nil
			}
			l.page.Versions = append(l.page.Versions, *info)
			// The null version's name tells no place; an id of the same form does.
			l.page.NextKeyMarker, l.page.NextVersionIDMarker = info.Key, versionID(r.seq, &r.nonce)
		}
		if err := src.settle(src.it.Next()); err != nil {
			return err
		}
	}
	return nil
}
