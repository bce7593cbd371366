package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"slices"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/seal"
)

// partsPerPage parts stand in one record of a manifest, so that a range read decodes little.
const partsPerPage = 256

func lower(a Algorithm) string { return strings.ToLower(a.String()) }

// CompleteUpload makes an object of the parts and needs s3:PutObject. It is one commit, whatever the
// number of parts. Completing an upload again gives the same answer for a while.
func (s *Store) CompleteUpload(ctx context.Context, g authz.Grant, in *CompleteInput) (*Info, error) {
	b, err := s.writable(g, in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	if err := in.checkOrder(); err != nil {
		return nil, err
	}
	number, nonce, err := parseUploadID(in.UploadID)
	if err != nil {
		return nil, err
	}
	defer s.lockUpload(number, alone)()
	var info *Info
	fresh := false
	err = s.changeKey(ctx, in.Bucket, in.Key, b.ID, in.If.set(), func(ctx context.Context, t *txn, to target) error {
		fresh = false
		raw, err := t.get(ctx, uploadKey(to.bucket.ID, in.Key, number))
		if err != nil {
			return err
		}
		if raw == nil {
			info, err = s.finished(ctx, to, in.UploadID, number, nonce)
			return err
		}
		up, err := openUpload(raw, in.UploadID, nonce)
		if err != nil {
			return err
		}
		fresh = true
		info, err = t.complete(ctx, g, to, in, up, number)
		return err
	})
	if err != nil {
		return nil, err
	}
	if fresh && s.finishedKept.Add(1) > 2*finishedMax {
		s.tidyFinished(ctx)
	}
	return info, nil
}

func (in *CompleteInput) checkOrder() error {
	if len(in.Parts) == 0 {
		return invalidRequest("You must specify at least one part")
	}
	for i := range in.Parts[1:] {
		if in.Parts[i+1].Number <= in.Parts[i].Number {
			return fault.New(InvalidPartOrder, "")
		}
	}
	return nil
}

// finished is the answer of an upload that was completed a while ago.
func (s *Store) finished(ctx context.Context, to target, id string, number uint64, nonce [nonceSize]byte) (*Info, error) {
	raw, version, err := s.meta.Get(ctx, spaceKey(spaceFinished, number), nil)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return nil, noSuchUpload(id)
	}
	f, err := decodeFinished(raw)
	if err != nil {
		return nil, err
	}
	if f.nonce != nonce || f.bucket != to.bucket.ID || f.key != to.key {
		return nil, noSuchUpload(id)
	}
	var r record
	if err := r.decode(f.version); err != nil {
		return nil, err
	}
	return infoOf(to.bucket, to.key, &r), nil
}

func (t *txn) complete(ctx context.Context, g authz.Grant, to target, in *CompleteInput, up *uploadRecord, number uint64) (*Info, error) {
	c, err := t.readCurrent(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := in.If.check(in.Key, &c); err != nil {
		return nil, err
	}
	have, err := t.allParts(ctx, number)
	if err != nil {
		return nil, err
	}
	key, err := t.s.openParts(ctx, in, up, to.bucket.ID, have)
	if err != nil {
		return nil, err
	}
	used, unused, err := in.choose(have, up)
	if err != nil {
		return nil, err
	}
	next, err := in.assemble(used, up)
	if err != nil {
		return nil, err
	}
	next.modified = t.s.millis()
	if up.owner != to.bucket.Owner {
		next.owner = &up.owner
	}
	if next.lock, err = t.s.newLock(to.bucket, &up.lock); err != nil {
		return nil, err
	}
	next.body = t.writeManifest(used)
	if next.sealed = up.sealed; key != nil {
		next.sum = sealChecksum(key, to.bucket.ID, &next.body, &next.checksum)
	}
	t.wantReplicas(g, to, next)
	if err := t.supersede(ctx, to, &c, next); err != nil {
		return nil, err
	}
	for i := range unused {
		t.discardBody(&unused[i].body)
	}
	t.delete(uploadKey(to.bucket.ID, in.Key, number))
	t.batch.DeleteRange(prefixRange(spaceKey(spacePart, number)))
	done := finishedRecord{nonce: up.nonce, completed: next.modified, bucket: to.bucket.ID, key: in.Key, version: next.append(nil)}
	t.set(spaceKey(spaceFinished, number), done.encode())
	t.tell(g, to, wasCreated, next)
	info := infoOf(to.bucket, in.Key, next)
	info.Latest = true
	return info, nil
}

// openParts opens the checksums of an upload's parts, and gives the key that does. Without an SSE-C
// upload's key they stay closed, which is an error only where somebody named a checksum.
func (s *Store) openParts(ctx context.Context, in *CompleteInput, up *uploadRecord, bucket uint64, parts []partRecord) (*seal.Wrapper, error) {
	key, err := unseal(ctx, in.Unsealer, up.sealed)
	if fault.Is(err, KeyRequired) && up.sealed.Encryption == SSEC && !up.asked && !in.statesChecksum() {
		return nil, nil
	}
	if err != nil || key == nil {
		return nil, err
	}
	for i := range parts {
		p := &parts[i]
		if err := s.openChecksum(key, bucket, &p.body, p.sum, &p.checksum); err != nil {
			return nil, err
		}
	}
	return key, nil
}

func (in *CompleteInput) statesChecksum() bool {
	if in.Expect != nil {
		return true
	}
	return slices.ContainsFunc(in.Parts, func(p Part) bool { return p.Checksum.Algorithm != NoChecksum })
}

// choose matches what the client lists with what is there.
func (in *CompleteInput) choose(have []partRecord, up *uploadRecord) (used, unused []partRecord, err error) {
	for _, want := range in.Parts {
		i, ok := slices.BinarySearchFunc(have, want.Number, func(p partRecord, n int) int { return p.number - n })
		if !ok {
			return nil, nil, in.invalidPart(&want)
		}
		unused = append(unused, have[:i]...)
		p := have[i]
		have = have[i+1:]
		if err := in.matchPart(&want, &p, up); err != nil {
			return nil, nil, err
		}
		used = append(used, p)
	}
	unused = append(unused, have...)
	for i := range used[:len(used)-1] {
		if p := &used[i]; p.size < MinPart {
			return nil, nil, fault.New(EntityTooSmall, "",
				"ProposedSize", strconv.FormatInt(p.size, 10), "MinSizeAllowed", strconv.Itoa(MinPart),
				"PartNumber", strconv.Itoa(p.number), "ETag", etagOf(&p.md5, 0))
		}
	}
	return used, unused, nil
}

func (in *CompleteInput) invalidPart(want *Part) error {
	return fault.New(InvalidPart, "", "UploadId", in.UploadID, "PartNumber", strconv.Itoa(want.Number), "ETag", want.ETag)
}

func (in *CompleteInput) matchPart(want *Part, p *partRecord, up *uploadRecord) error {
	if !strings.EqualFold(want.ETag, etagOf(&p.md5, 0)) {
		return in.invalidPart(want)
	}
	stated := want.Checksum.Algorithm
	switch {
	case stated == NoChecksum && up.asked && !up.fullObject:
		return invalidRequest("The upload was created using a " + lower(up.checksum) + " checksum. The complete request must include the checksum for each part. It was missing for part " + strconv.Itoa(p.number) + " in the request.")
	case stated == p.checksum.Algorithm && stated != NoChecksum && !bytes.Equal(want.Checksum.Value, p.checksum.Value):
		return in.invalidPart(want)
	case stated != NoChecksum && stated != p.checksum.Algorithm && up.asked:
		return invalidRequest("Checksum Type mismatch occurred, expected checksum Type: " + lower(up.checksum) + ", actual checksum Type: " + lower(stated))
	}
	return nil
}

// assemble computes what the whole object says about itself.
func (in *CompleteInput) assemble(used []partRecord, up *uploadRecord) (*record, error) {
	next := &record{parts: len(used), class: up.class, attrs: up.attrs, tags: up.tags, acl: up.acl}
	sums := make([]byte, 0, len(used)*md5.Size)
	for i := range used {
		sums = append(sums, used[i].md5[:]...)
		next.size += used[i].size
	}
	next.md5 = md5.Sum(sums)
	if next.size > MaxObject {
		return nil, tooLarge(next.size, MaxObject)
	}
	if in.Size != nil && *in.Size != next.size {
		return nil, invalidRequest("The provided 'x-amz-mp-object-size' header value " + strconv.FormatInt(*in.Size, 10) +
			" does not match what was computed: " + strconv.FormatInt(next.size, 10))
	}
	next.checksum = wholeChecksum(used, up)
	if want := in.Expect; want != nil && want.Algorithm != NoChecksum {
		if want.Algorithm != next.checksum.Algorithm || want.Composite != next.checksum.Composite {
			return nil, invalidRequest("The upload was created using the " + checksumType(&next.checksum) + " checksum mode. The complete request must use the same checksum mode.")
		}
		if !bytes.Equal(want.Value, next.checksum.Value) {
			return nil, fault.New(BadChecksum, "The "+want.Algorithm.String()+" you specified did not match the calculated checksum.")
		}
	}
	return next, nil
}

func checksumType(c *Checksum) string {
	if c.Composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

func wholeChecksum(used []partRecord, up *uploadRecord) Checksum {
	if slices.ContainsFunc(used, func(p partRecord) bool { return p.checksum.Value == nil }) {
		return Checksum{} // their key was not at hand
	}
	sum := Checksum{Algorithm: up.checksum, Composite: !up.fullObject}
	if sum.Composite {
		var all []byte
		for i := range used {
			all = append(all, used[i].checksum.Value...)
		}
		sum.Value = up.checksum.sum(all)
		return sum
	}
	sum.Value = used[0].checksum.Value
	for i := 1; i < len(used); i++ {
		sum.Value = combineCRC(up.checksum, sum.Value, used[i].checksum.Value, used[i].size)
	}
	return sum
}

func (t *txn) writeManifest(used []partRecord) body {
	b := body{kind: bodyManifest, id: t.s.ids.next()}
	var end int64
	for parts := range slices.Chunk(used, partsPerPage) {
		for i := range parts {
			end += parts[i].size
		}
		t.set(pageKey(b.id, len(b.pages)), encodePage(parts))
		b.pages = append(b.pages, page{last: parts[len(parts)-1].number, end: end})
	}
	return b
}
