package s3

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/object"
)

func (s *Service) attributesOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[attributesInput, s3wire.GetObjectAttributesOutput]{
			Wire: &s3wire.GetObjectAttributes, Class: audit.Data, Access: api.Read, Unsigned: true,
			Decode: decodeAttributes,
			Demands: func(c *api.Call, _ *attributesInput) ([]authz.Demand, error) {
				if _, err := s.needKey(c, versioned(c, "s3:GetObject", "s3:GetObjectVersion")); err != nil {
					return nil, err
				}
				return s.needKey(c, versioned(c, "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"))
			},
			Do: s.getAttributes,
		}),
	}
}

// attributesInput is a decoded GetObjectAttributes. The list of wanted attributes travels in one
// header or in several.
type attributesInput struct {
	object.GetInput
	wanted     map[string]bool
	after, max int
	unsealer   unsealer
}

var knownAttributes = map[string]bool{
	"ETag": true, "Checksum": true, "ObjectParts": true, "StorageClass": true, "ObjectSize": true,
}

func decodeAttributes(c *api.Call, in *attributesInput) error {
	in.GetInput = *addressed(c)
	in.wanted = map[string]bool{}
	h := c.R.Header
	var err error
	if in.unsealer.customer, err = sse.ParseCustomer(h, c.Peer.Secure); err != nil {
		return err
	}
	for _, value := range h["X-Amz-Object-Attributes"] {
		for _, name := range strings.Split(value, ",") {
			if name = strings.TrimSpace(name); !knownAttributes[name] {
				return badArgument("Invalid attribute name specified.", "x-amz-object-attributes", name)
			}
			in.wanted[name] = true
		}
	}
	if len(in.wanted) == 0 {
		return badArgument("The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty", "x-amz-object-attributes", "")
	}
	if in.after, err = boundedHeader(h, "X-Amz-Part-Number-Marker", 0); err != nil {
		return err
	}
	in.max, err = boundedHeader(h, "X-Amz-Max-Parts", object.MaxList)
	return err
}

func boundedHeader(h http.Header, name string, otherwise int) (int, error) {
	text := first(h, name)
	if text == "" {
		return otherwise, nil
	}
	return count(strings.ToLower(name), text)
}

// count reads a page size or a marker that must not be negative.
func count(name, text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil:
		return 0, badArgument("Provided "+name+" not an integer or within integer range", name, text)
	case n < 0:
		return 0, badArgument("Argument "+name+" must be an integer between 0 and 2147483647", name, text)
	}
	return int(n), nil
}

func (s *Service) getAttributes(ctx context.Context, g authz.Grant, c *api.Call, in *attributesInput) (*s3wire.GetObjectAttributesOutput, error) {
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	in.Unsealer = in.unsealer.begin(s, g, c, at(c).found, in.Key)
	in.Checksum = in.wanted["Checksum"] || in.wanted["ObjectParts"]
	found, err := s.config.Objects.Stat(ctx, g, &in.GetInput)
	if err != nil {
		return nil, s.hide(g, at(c).found, in.Key, err)
	}
	if err := in.unsealer.admit(&found.Info); err != nil {
		return nil, err
	}
	info := &found.Info
	modified := info.Modified
	out := &s3wire.GetObjectAttributesOutput{LastModified: &modified, VersionId: versionOf(info)}
	if in.wanted["ETag"] {
		out.ETag = &info.ETag
	}
	if in.wanted["ObjectSize"] {
		out.ObjectSize = &info.Size
	}
	if in.wanted["StorageClass"] {
		out.StorageClass = s3wire.StorageClass(storageClass(info))
	}
	if in.wanted["Checksum"] && info.Checksum.Value != nil {
		out.Checksum = wireChecksum(info.Checksum, info.Parts)
	}
	if in.wanted["ObjectParts"] && info.Parts > 0 {
		if out.ObjectParts, err = s.objectParts(ctx, g, in, info); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func storageClass(info *object.Info) string {
	if info.Attributes.StorageClass == "" {
		return "STANDARD"
	}
	return info.Attributes.StorageClass
}

// wireChecksum is a checksum as an element.
func wireChecksum(sum object.Checksum, parts int) *s3wire.Checksum {
	text := checksumText(sum, parts)
	out := &s3wire.Checksum{ChecksumType: s3wire.ChecksumType(checksumType(sum))}
	*checksumField(sum.Algorithm, checksumFields{
		&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256,
	}) = &text
	return out
}

// checksumFields are the five members that carry a checksum in many shapes.
type checksumFields struct{ crc32, crc32c, crc64nvme, sha1, sha256 **string }

func checksumField(a object.Algorithm, f checksumFields) **string {
	switch a {
	case object.CRC32:
		return f.crc32
	case object.CRC32C:
		return f.crc32c
	case object.SHA1:
		return f.sha1
	case object.SHA256:
		return f.sha256
	}
	return f.crc64nvme
}

func (s *Service) objectParts(ctx context.Context, g authz.Grant, in *attributesInput, info *object.Info) (*s3wire.GetObjectAttributesParts, error) {
	limit := min(in.max, object.MaxList)
	parts, truncated, err := s.config.Objects.Parts(ctx, g, &in.GetInput, in.after, limit)
	if err != nil {
		return nil, err
	}
	total, maximum, marker := int32(info.Parts), int32(limit), int32(in.after)
	out := &s3wire.GetObjectAttributesParts{
		TotalPartsCount: &total, MaxParts: &maximum, PartNumberMarker: &marker, IsTruncated: &truncated,
	}
	next := marker
	for i := range parts {
		next = int32(parts[i].Number)
		out.Parts = append(out.Parts, attributesPart(&parts[i], info.Checksum.Composite))
	}
	out.NextPartNumberMarker = &next
	return out, nil
}

// attributesPart tells a part's checksum where the object's is made of them.
func attributesPart(p *object.Part, composite bool) s3wire.ObjectPart {
	number, text := int32(p.Number), base64.StdEncoding.EncodeToString(p.Checksum.Value)
	out := s3wire.ObjectPart{PartNumber: &number, Size: &p.Size}
	if composite && p.Checksum.Value != nil {
		*checksumField(p.Checksum.Algorithm, checksumFields{
			&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256,
		}) = &text
	}
	return out
}
