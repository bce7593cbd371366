package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Problem is one thing that is not as it should be.
type Problem struct {
	Where string // "bucket/key (version …)", or a record or blob
	What  string
}

// Summary counts what Check saw.
type Summary struct {
	Buckets, Objects, Versions, Markers, Uploads, Parts int64
	Bodies, Blobs                                       int64
	Bytes                                               int64 // plaintext of all bodies
	// Locked bodies have their key at a KMS key or a customer: they were measured, not authenticated.
	Locked   int64
	Problems int64
}

// Check reads everything: every record must decode, every body authenticate and be named exactly
// once, every blob be named. It needs memory for a bounded number of names and walks the records
// again for more. Meant for a store at rest: what changes meanwhile may be reported.
func (s *Store) Check(ctx context.Context, report func(Problem)) (Summary, error) {
	c := &checker{s: s, report: report, seed: maphash.MakeSeed(), owners: map[uint64]*Bucket{}}
	s.buckets.all(func(b *Bucket) { c.owners[b.ID] = b })
	c.sum.Buckets = int64(len(c.owners))
	c.visit = c.readBody
	if err := c.walk(ctx); err != nil {
		return c.sum, stored(err)
	}
	shares := int(c.names/namesAtOnce) + 1
	for share := range shares {
		if err := c.orphans(ctx, uint64(share), uint64(shares)); err != nil {
			return c.sum, stored(err)
		}
	}
	return c.sum, nil
}

// namesAtOnce bounds the memory of the search for orphans.
const namesAtOnce = 2 << 20

type checker struct {
	s      *Store
	report func(Problem)
	seed   maphash.Seed
	owners map[uint64]*Bucket
	sum    Summary
	names  int64
	quiet  bool // a further walk: what is wrong was told in the first one
	// visit is called for every body that a record names.
	visit func(ctx context.Context, where string, bucket uint64, b *body, size int64) error
}

func (c *checker) problem(where, format string, args ...any) {
	if c.quiet {
		return
	}
	c.sum.Problems++
	c.report(Problem{Where: where, What: fmt.Sprintf(format, args...)})
}

// walk visits every record.
func (c *checker) walk(ctx context.Context) error {
	for _, step := range []struct {
		space string
		check func(ctx context.Context, key, value []byte) error
	}{
		{spaceBucket, c.bucket}, {spaceAccount, c.account}, {spaceHead, c.current}, {spaceMarker, c.current}, {spaceVersion, c.older},
		{spaceNull, c.nullPointer}, {spaceReplica, c.replica}, {spaceManifest, c.page}, {spaceUpload, c.upload}, {spacePart, c.part},
		{spaceFinished, c.finished}, {spaceIntent, c.intent}, {spaceTrash, c.trash}, {spaceCounter, c.counter},
	} {
		if err := c.each(ctx, step.space, step.check); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) each(ctx context.Context, space string, check func(ctx context.Context, key, value []byte) error) error {
	lo, hi := prefixRange([]byte(space))
	it, err := c.s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		if err := check(ctx, it.Key(), it.Value()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return it.Err()
}

func rowName(key []byte) string { return fmt.Sprintf("record %q", key) }

func (c *checker) bucket(_ context.Context, key, value []byte) error {
	b, err := decodeBucket(value, 1)
	switch {
	case err != nil || b.Name != string(key[len(spaceBucket):]):
		c.problem(rowName(key), "is not a bucket's record")
	case b.lock.broken != nil:
		c.problem(rowName(key), "its Object Lock configuration cannot be read: no version of it can be deleted or made")
	}
	return nil
}

func (c *checker) account(_ context.Context, key, value []byte) error {
	if a, err := decodeAccount(value, 1); err != nil || a.ID != string(key[len(spaceAccount):]) {
		c.problem(rowName(key), "is not an account's record")
	}
	return nil
}

// owner gives the bucket of a row.
func (c *checker) owner(key []byte) (*Bucket, bool) {
	id, ok := idAfter(key)
	if !ok {
		c.problem(rowName(key), "has no bucket")
		return nil, false
	}
	b := c.owners[id]
	if b == nil {
		c.problem(rowName(key), "belongs to bucket %d, which does not exist", id)
	}
	return b, b != nil
}

func (c *checker) current(ctx context.Context, key, value []byte) error {
	b, ok := c.owner(key)
	if !ok {
		return nil
	}
	name := key[rowPrefix:]
	if bytes.HasPrefix(key, []byte(spaceMarker)) {
		if _, version, err := c.s.meta.Get(ctx, headKey(b.ID, string(name)), nil); err != nil || version != 0 {
			c.problem(rowName(key), "a key has both an object and a delete marker (%v)", err)
		}
	}
	return c.version(ctx, b, string(name), value, bytes.HasPrefix(key, []byte(spaceMarker)), 0)
}

func (c *checker) older(ctx context.Context, key, value []byte) error {
	b, ok := c.owner(key)
	if !ok {
		return nil
	}
	name, inverted, ok := cutNumbered(key[rowPrefix:])
	if !ok {
		c.problem(rowName(key), "is no version's place")
		return nil
	}
	return c.version(ctx, b, string(name), value, false, ^inverted)
}

// version checks one record; seq 0: a current one.
func (c *checker) version(ctx context.Context, b *Bucket, key string, value []byte, marker bool, seq uint64) error {
	where := b.Name + "/" + key
	var r record
	if err := r.decode(value); err != nil {
		c.problem(where, "its record does not decode")
		return nil
	}
	where += " (version " + r.versionID() + ")"
	switch {
	case seq == 0 && r.marker != marker:
		c.problem(where, "stands among the wrong kind")
	case seq != 0 && seq != r.seq:
		c.problem(where, "stands at sequence %d instead of %d", seq, r.seq)
	}
	if r.marker {
		c.sum.Markers++
		return nil
	}
	if seq == 0 {
		c.sum.Objects++
	} else {
		c.sum.Versions++
	}
	return c.visit(ctx, where, b.ID, &r.body, r.size)
}

func (c *checker) nullPointer(ctx context.Context, key, value []byte) error {
	b, ok := c.owner(key)
	if !ok {
		return nil
	}
	name, rest, ok := cutEscaped(key[rowPrefix:])
	if !ok || len(rest) != 0 || len(value) != 8 {
		c.problem(rowName(key), "is no pointer to a null version")
		return nil
	}
	raw, _, err := c.s.meta.Get(ctx, versionKey(b.ID, string(name), binary.BigEndian.Uint64(value)), nil)
	if err != nil {
		return err
	}
	var r record
	if raw == nil || r.decode(raw) != nil || !r.null {
		c.problem(rowName(key), "points at no null version")
	}
	return nil
}

// replica checks that a pointer leads to the replica that it is about.
func (c *checker) replica(ctx context.Context, key, value []byte) error {
	b, ok := c.owner(key)
	if !ok {
		return nil
	}
	name, rest, ok := cutEscaped(key[rowPrefix:])
	if !ok || len(rest) != 8+nonceSize || len(value) != 8 {
		c.problem(rowName(key), "is no pointer to a replica")
		return nil
	}
	id := versionID(binary.BigEndian.Uint64(rest), (*[nonceSize]byte)(rest[8:]))
	if f, err := c.s.findVersion(ctx, b, &GetInput{Bucket: b.Name, Key: string(name), VersionID: id}); f == nil {
		c.problem(rowName(key), "points at no replica (%v)", err)
	}
	return nil
}

// page checks nothing but the form: the object that names a manifest reads its pages.
func (c *checker) page(_ context.Context, key, value []byte) error {
	if _, err := decodePage(value); err != nil || len(key) != len(spaceManifest)+10 {
		c.problem(rowName(key), "is no page of a manifest")
	}
	return nil
}

func (c *checker) upload(_ context.Context, key, value []byte) error {
	if id, ok := idAfter(key); ok && c.owners[id] == nil {
		return nil // of a deleted bucket: trash names it
	}
	if _, err := decodeUpload(value); err != nil {
		c.problem(rowName(key), "is no upload")
		return nil
	}
	c.sum.Uploads++
	return nil
}

func (c *checker) part(ctx context.Context, key, value []byte) error {
	p, bucket, err := decodePart(value)
	if err != nil {
		c.problem(rowName(key), "is no part of an upload")
		return nil
	}
	c.sum.Parts++
	return c.visit(ctx, rowName(key), bucket, &p.body, p.size)
}

func (c *checker) finished(_ context.Context, key, value []byte) error {
	f, err := decodeFinished(value)
	var r record
	if err != nil || r.decode(f.version) != nil {
		c.problem(rowName(key), "is no finished upload")
	}
	return nil
}

func (c *checker) intent(ctx context.Context, key, value []byte) error {
	ref, err := decodeIntent(value)
	id, ok := idAfter(key)
	if err != nil || !ok {
		c.problem(rowName(key), "is no intent")
		return nil
	}
	return c.visit(ctx, rowName(key), 0, &body{kind: bodyBlob, id: id, ref: string(ref)}, -1)
}

func (c *checker) trash(ctx context.Context, key, value []byte) error {
	id, ok := idAfter(key)
	t, err := decodeTrash(id, value)
	switch {
	case err != nil || !ok:
		c.problem(rowName(key), "is no trash")
	case t.kind == trashBlob:
		return c.visit(ctx, rowName(key), 0, &body{kind: bodyBlob, id: t.about, ref: string(t.ref)}, -1)
	case t.kind == trashManifest:
		return c.trashPages(ctx, &t)
	}
	return nil
}

// trashPages visits what is left of a manifest that the drain works on.
func (c *checker) trashPages(ctx context.Context, t *trash) error {
	for i := range t.pages {
		raw, version, err := c.s.meta.Get(ctx, pageKey(t.about, i), nil)
		if err != nil {
			return err
		}
		parts, decodeErr := decodePage(raw)
		if version == 0 || decodeErr != nil {
			continue
		}
		for j := range parts {
			if err := c.visit(ctx, "trash", 0, &parts[j].body, -1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) counter(_ context.Context, key, value []byte) error {
	if len(value) != 8 {
		c.problem(rowName(key), "is no counter")
	}
	return nil
}

// readBody reads a body to its end. Size -1: nobody promises that it is there.
func (c *checker) readBody(ctx context.Context, where string, bucket uint64, b *body, size int64) error {
	c.names++
	c.names += int64(len(b.pages) * partsPerPage)
	if size < 0 || b.kind == bodyNone {
		return nil
	}
	c.sum.Bodies++
	c.sum.Bytes += size
	locked, err := c.s.readThrough(ctx, bucket, b, size, nil)
	if locked {
		c.sum.Locked++
	}
	switch {
	case err == nil:
	case errors.Is(err, errGone):
		c.problem(where, "its body is not there")
	case fault.Of(err) != "":
		c.problem(where, "its body does not read: %v", err)
	default:
		return err
	}
	return nil
}

// orphans looks for bodies and blobs that nothing names, among those whose name falls to a share.
func (c *checker) orphans(ctx context.Context, share, shares uint64) error {
	named := map[uint64]struct{}{}
	mine := func(h uint64) bool { return h%shares == share }
	c.quiet = true
	c.visit = func(ctx context.Context, _ string, _ uint64, b *body, _ int64) error {
		return c.namesOf(ctx, b, func(h uint64) {
			if mine(h) {
				named[h] = struct{}{}
			}
		})
	}
	counted := c.sum
	if err := c.walk(ctx); err != nil {
		return err
	}
	c.sum, c.quiet = counted, false
	if err := c.each(ctx, spaceBody, func(_ context.Context, key, _ []byte) error {
		id, _ := idAfter(key)
		h := c.nameOf(&body{kind: bodyInline, id: id})
		if _, ok := named[h]; mine(h) && !ok {
			c.problem(rowName(key), "a body that nothing names")
		}
		return nil
	}); err != nil {
		return err
	}
	return c.s.blob.List(ctx, func(info engine.BlobInfo) error {
		h := c.nameOf(&body{kind: bodyBlob, ref: string(info.Ref)})
		if !mine(h) {
			return nil
		}
		c.sum.Blobs++
		if _, ok := named[h]; !ok {
			c.problem(fmt.Sprintf("blob %q", string(info.Ref)), "%d bytes that nothing names", info.Size)
		}
		return nil
	})
}

func (c *checker) nameOf(b *body) uint64 {
	if b.kind == bodyInline {
		return maphash.Bytes(c.seed, binary.BigEndian.AppendUint64(nil, b.id))
	}
	return maphash.String(c.seed, "blob "+b.ref)
}

// namesOf gives the names of a body and of its parts.
func (c *checker) namesOf(ctx context.Context, b *body, fn func(uint64)) error {
	switch b.kind {
	case bodyInline, bodyBlob:
		fn(c.nameOf(b))
	case bodyManifest:
		for i := range b.pages {
			parts, err := c.s.readPage(ctx, b, i)
			if err != nil {
				if errors.Is(err, errGone) || fault.Of(err) != "" {
					continue // told in the first walk
				}
				return err
			}
			for j := range parts {
				fn(c.nameOf(&parts[j].body))
			}
		}
	}
	return nil
}
