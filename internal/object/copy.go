package object

import (
	"context"

	"github.com/kura-s3/kura/internal/authz"
)

// Copy makes an object of another one's bytes and needs s3:PutObject and what reading the source
// needs. The copy is sealed anew, has its own ETag, and a checksum of the whole.
func (s *Store) Copy(ctx context.Context, g authz.Grant, in *CopyInput) (made, source *Info, err error) {
	if _, err := s.writable(g, in.Dest.Bucket, in.Dest.Key); err != nil {
		return nil, nil, err
	}
	src, err := s.openSource(ctx, g, &in.Source, in.Check)
	if err != nil {
		return nil, nil, err
	}
	defer src.Body.Close()
	dest := in.Dest
	dest.Body, dest.Size = src.Body, src.Length
	dest.Expect = Expected{Algorithm: in.Dest.Expect.Algorithm}
	if dest.Expect.Algorithm == NoChecksum {
		dest.Expect.Algorithm = src.Checksum.Algorithm
	}
	if !in.ReplaceAttributes {
		dest.Attributes = src.Attributes
		// S3 copies neither.
		dest.Attributes.StorageClass = in.Dest.Attributes.StorageClass
		dest.Attributes.WebsiteRedirect = in.Dest.Attributes.WebsiteRedirect
	}
	if !in.ReplaceTags {
		dest.Tags = src.Tags
	}
	made, err = s.Put(ctx, g, &dest)
	if err != nil {
		return nil, nil, err
	}
	return made, &src.Info, nil
}
