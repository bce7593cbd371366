package object

import (
	"bytes"
	"context"
	"slices"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// ListUploads gives a page of uploads under way, by key and then in the order in which they were
// begun, and needs s3:ListBucketMultipartUploads.
func (s *Store) ListUploads(ctx context.Context, g authz.Grant, in *ListUploadsInput) (*UploadsPage, error) {
	if err := g.Require("s3:ListBucketMultipartUploads", "arn:aws:s3:::"+in.Bucket); err != nil {
		return nil, err
	}
	b, err := s.Bucket(in.Bucket)
	if err != nil {
		return nil, err
	}
	page := &UploadsPage{}
	limit := clampPage(in.Max)
	lo, hi, err := in.bounds(b)
	if err != nil || limit == 0 || lo == nil || hi != nil && bytes.Compare(lo, hi) >= 0 {
		return page, err
	}
	it, err := s.meta.Scan(ctx, lo, hi)
	if err != nil {
		return nil, stored(err)
	}
	defer it.Close()
	if err := in.fill(it, page, limit); err != nil {
		return nil, s.noticeDamage(err)
	}
	return page, nil
}

// bounds of the scan; lo nil: nothing follows the markers.
func (in *ListUploadsInput) bounds(b *Bucket) (lo, hi []byte, err error) {
	space := spaceKey(spaceUpload, b.ID)
	lo, hi = prefixRange(appendEscaped(slices.Clone(space), in.Prefix))
	from, none := rollup{in.Prefix, in.Delimiter}.start(in.KeyMarker)
	switch {
	case none:
		return nil, nil, nil
	case from == "":
		return lo, hi, nil
	case in.UploadIDMarker != "" && from == in.KeyMarker+"\x00":
		number, _, err := parseVersionID(in.UploadIDMarker)
		if err != nil {
			return nil, nil, invalidRequest("Invalid uploadId marker")
		}
		return uploadKey(b.ID, in.KeyMarker, number+1), hi, nil
	}
	return appendEscaped(space, from), hi, nil
}

func (in *ListUploadsInput) fill(it engine.Iterator, page *UploadsPage, limit int) error {
	roll := rollup{in.Prefix, in.Delimiter}
	ok := it.Next()
	for ok {
		key, number, valid := cutNumbered(it.Key()[rowPrefix:])
		if !valid {
			return errRecord
		}
		if len(page.Uploads)+len(page.Prefixes) == limit {
			page.Truncated = true
			break
		}
		if n := roll.length(key); n > 0 {
			common := string(key[:n])
			page.Prefixes = append(page.Prefixes, common)
			page.NextKeyMarker, page.NextUploadIDMarker = common, ""
			end := engine.PrefixEnd(appendEscaped(slices.Clone(it.Key()[:rowPrefix]), common))
			ok = end != nil && it.SeekGE(end)
			continue
		}
		r, err := decodeUpload(it.Value())
		if err != nil {
			return err
		}
		up := r.upload(in.Bucket, string(key), number)
		page.Uploads = append(page.Uploads, *up)
		page.NextKeyMarker, page.NextUploadIDMarker = up.Key, up.UploadID
		ok = it.Next()
	}
	return it.Err()
}
