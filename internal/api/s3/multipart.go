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
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

func (s *Service) multipartOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[object.UploadInput, s3wire.CreateMultipartUploadOutput]{
			Wire: &s3wire.CreateMultipartUpload, Class: audit.Data, Access: api.Write, Unsigned: true,
			Decode: s.decodeUpload,
			Demands: func(c *api.Call, in *object.UploadInput) ([]authz.Demand, error) {
				return s.createDemands(c, c.R.Header, in.Tags)
			},
			Do: s.createUpload,
		}),
		api.Declare(api.Decl[partInput, partOutput]{
			Wire: &s3wire.UploadPart, Class: audit.Data, Access: api.Write, Unsigned: true,
			Decode: s.decodePart,
			Demands: func(c *api.Call, _ *partInput) ([]authz.Demand, error) {
				return s.partDemands(c)
			},
			Do: s.putPart,
		}),
		s.uploadPartCopy(),
		api.Declare(api.Decl[s3wire.CompleteMultipartUploadInput, s3wire.CompleteMultipartUploadOutput]{
			Wire: &s3wire.CompleteMultipartUpload, Class: audit.Data, Access: api.Write, Unsigned: true,
			MaxBody: 8 << 20,
			Demands: func(c *api.Call, _ *s3wire.CompleteMultipartUploadInput) ([]authz.Demand, error) {
				return s.createDemands(c, c.R.Header, nil)
			},
			Do: s.completeUpload,
		}),
		api.Declare(api.Decl[s3wire.AbortMultipartUploadInput, empty]{
			Wire: &s3wire.AbortMultipartUpload, Class: audit.Data, Access: api.Write, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.AbortMultipartUploadInput) ([]authz.Demand, error) {
				return s.needKey(c, "s3:AbortMultipartUpload")
			},
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.AbortMultipartUploadInput) (*empty, error) {
				if first(c.R.Header, "X-Amz-If-Match-Initiated-Time") != "" {
					return nil, unsupported("x-amz-if-match-initiated-time")
				}
				t := at(c)
				return &empty{}, s.config.Objects.AbortUpload(ctx, g, t.bucket, t.key, t.query.get("uploadId"))
			},
		}),
		api.Declare(api.Decl[s3wire.ListPartsInput, s3wire.ListPartsOutput]{
			Wire: &s3wire.ListParts, Class: audit.Data, Access: api.Read, Unsigned: true,
			Demands: func(c *api.Call, _ *s3wire.ListPartsInput) ([]authz.Demand, error) {
				return s.needKey(c, "s3:ListMultipartUploadParts")
			},
			Do: s.listParts,
		}),
	}
}

func (s *Service) decodeUpload(c *api.Call, in *object.UploadInput) error {
	t, h := at(c), c.R.Header
	in.Bucket, in.Key = t.bucket, t.key
	var err error
	if err = readAttributes(h, &in.Attributes); err != nil {
		return err
	}
	if in.Tags, err = headerTags(h); err != nil {
		return err
	}
	if in.Checksum, in.FullObject, err = uploadChecksum(h); err != nil {
		return err
	}
	if in.Lock, err = headerLock(h); err != nil {
		return err
	}
	s.readEncryption(c)
	return refuseUploadHeaders(h)
}

// uploadChecksum reads the algorithm and the type of checksum of a multipart upload.
func uploadChecksum(h http.Header) (object.Algorithm, bool, error) {
	name, kind := first(h, "X-Amz-Checksum-Algorithm"), first(h, "X-Amz-Checksum-Type")
	if name == "" {
		if kind != "" {
			return 0, false, fault.New(invalidRequest, "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return object.NoChecksum, false, nil
	}
	algorithm, err := parseAlgorithm(name)
	if err != nil {
		return 0, false, err
	}
	switch {
	case kind == "":
		return algorithm, algorithm == object.CRC64NVME, nil
	case kind == "COMPOSITE" && algorithm == object.CRC64NVME, kind == "FULL_OBJECT" && !algorithm.Combinable():
		return 0, false, fault.New(invalidRequest, "The "+kind+" checksum type cannot be used with the "+strings.ToLower(algorithm.String())+" checksum algorithm.")
	case kind == "COMPOSITE" || kind == "FULL_OBJECT":
		return algorithm, kind == "FULL_OBJECT", nil
	}
	return 0, false, fault.New(invalidRequest, "Value for x-amz-checksum-type header is invalid.")
}

func (s *Service) createUpload(ctx context.Context, g authz.Grant, c *api.Call, in *object.UploadInput) (*s3wire.CreateMultipartUploadOutput, error) {
	who := g.Principal()
	if who.Type == policy.Anonymous {
		return nil, fault.New(authz.Denied, "Anonymous users cannot initiate multipart uploads.  Please authenticate.")
	}
	var err error
	if in.Owner, in.ACL, err = s.newACL(caller(c), at(c).found, in.Key, c.R.Header, "s3:PutObject"); err != nil {
		return nil, err
	}
	in.Initiator = object.Initiator{ID: who.ARN, DisplayName: who.Name}
	if in.Seal, err = s.seal(ctx, g, c, in.Key); err != nil {
		return nil, err
	}
	up, err := s.config.Objects.CreateUpload(ctx, g, in)
	if err != nil {
		return nil, err
	}
	out := &s3wire.CreateMultipartUploadOutput{
		Bucket: &up.Bucket, Key: &up.Key, UploadId: &up.UploadID, ServerSideEncryption: encryptionName(up.Sealed),
	}
	sealedFields{&out.SSEKMSKeyId, &out.SSECustomerAlgorithm, &out.SSECustomerKeyMD5, &out.BucketKeyEnabled}.tell(up.Sealed, at(c).sse.CustomerKey())
	if up.Checksum != object.NoChecksum && first(c.R.Header, "X-Amz-Checksum-Algorithm") != "" {
		out.ChecksumAlgorithm = s3wire.ChecksumAlgorithm(up.Checksum.String())
		out.ChecksumType = s3wire.ChecksumType(checksumType(object.Checksum{Composite: !up.FullObject}))
	}
	return out, nil
}

// partKeys tell a policy that this request creates no object yet.
type partKeys struct{}

func (partKeys) Lookup(key string) (policy.Values, bool) {
	return policy.Values{One: "false"}, key == "s3:objectcreationoperation"
}

func (s *Service) partDemands(c *api.Call) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if err := checkKey(at(c).key); err != nil {
		return nil, err
	}
	return c.Need("s3:PutObject", s.newKeyResource(caller(c), b, at(c).key), partKeys{}), nil
}

// partInput is a decoded UploadPart.
type partInput struct {
	object.PartInput
	unsealer unsealer
}

// encryptionName is the value of x-amz-server-side-encryption.
func encryptionName(sealed *object.Sealed) s3wire.ServerSideEncryption {
	if sealed == nil {
		return s3wire.ServerSideEncryption(object.SSES3.String())
	}
	return s3wire.ServerSideEncryption(sealed.Encryption.String())
}

// uploadUnsealer is how the requests of an upload under way come to its key.
func (s *Service) uploadUnsealer(ctx context.Context, g authz.Grant, c *api.Call, u *unsealer) (object.Unsealer, error) {
	t := at(c)
	u.begin(s, g, c, t.found, t.key).upload = true
	if u.customer == nil {
		return u, nil
	}
	up, err := s.config.Objects.Upload(ctx, g, t.bucket, t.key, t.query.get("uploadId"))
	if err != nil {
		return nil, err
	}
	if up.Sealed == nil || up.Sealed.Encryption != object.SSEC {
		return nil, u.notApplicable()
	}
	return u, nil
}

func (s *Service) putPart(ctx context.Context, g authz.Grant, c *api.Call, in *partInput) (*partOutput, error) {
	var err error
	if in.Unsealer, err = s.uploadUnsealer(ctx, g, c, &in.unsealer); err != nil {
		return nil, err
	}
	part, err := s.config.Objects.PutPart(ctx, g, &in.PartInput)
	return &partOutput{part, in.unsealer.customer}, err
}

func (s *Service) decodePart(c *api.Call, in *partInput) error {
	if err := addressPart(c, &in.PartInput); err != nil {
		return err
	}
	var err error
	if in.Size, err = bodyLength(c, object.MaxSingle); err != nil {
		return err
	}
	if in.Expect, err = expected(c); err != nil {
		return err
	}
	if in.Body = c.Caller.Body; in.Number == 1 {
		in.Body = s.screened(c, in.Body)
	}
	if err := sse.ForbidOn(c.R.Header); err != nil {
		return err
	}
	in.unsealer.customer, err = sse.ParseCustomer(c.R.Header, c.Peer.Secure)
	return err
}

func addressPart(c *api.Call, in *object.PartInput) error {
	t := at(c)
	in.Bucket, in.Key, in.UploadID = t.bucket, t.key, t.query.get("uploadId")
	var err error
	in.Number, err = partNumber(t.query.get("partNumber"))
	return err
}

// partOutput is the answer of UploadPart: headers only.
type partOutput struct {
	part     *object.Part
	customer *sse.Customer
}

// Respond sends ETag and checksum.
func (o *partOutput) Respond(c *api.Call) error {
	set := setter{h: c.W.Header(), values: make([]string, 0, 3)}
	set.put("ETag", quote(o.part.ETag))
	set.encryption(string(encryptionName(o.part.Sealed)), o.part.Sealed, o.customer)
	for _, a := range algorithmHeaders {
		if o.part.Checksum.Value != nil && a.algorithm == o.part.Checksum.Algorithm {
			set.put(a.header, base64.StdEncoding.EncodeToString(o.part.Checksum.Value))
		}
	}
	return c.W.Send(http.StatusOK, "", nil)
}

// partCopyInput is a decoded UploadPartCopy.
type partCopyInput struct {
	object.PartInput
	conditions   readConditions
	source       *object.Bucket
	unsealer     unsealer // of the upload
	fromUnsealer unsealer // of the source
}

func (s *Service) uploadPartCopy() *api.Op {
	return api.Declare(api.Decl[partCopyInput, s3wire.UploadPartCopyOutput]{
		Wire: &s3wire.UploadPartCopy, Class: audit.Data, Access: api.Write, Unsigned: true,
		Decode: decodePartCopy, Demands: s.partCopyDemands, Do: s.copyPart,
	})
}

func decodePartCopy(c *api.Call, in *partCopyInput) error {
	h := c.R.Header
	if err := addressPart(c, &in.PartInput); err != nil {
		return err
	}
	source, err := parseCopySource(first(h, "X-Amz-Copy-Source"))
	if err != nil {
		return err
	}
	if text := first(h, "X-Amz-Copy-Source-Range"); text != "" {
		r := parseRange(text)
		if r == nil || r.Suffix > 0 || r.First < 0 || r.Last < 0 {
			return badArgument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy", "x-amz-copy-source-range", text)
		}
		source.Range = r
	}
	in.Source = &source
	in.conditions.read(h, &sourceConditions)
	if err := sse.ForbidOn(h); err != nil {
		return err
	}
	if in.unsealer.customer, err = sse.ParseCustomer(h, c.Peer.Secure); err != nil {
		return err
	}
	in.fromUnsealer.customer, err = sse.ParseSource(h, c.Peer.Secure)
	return err
}

func (s *Service) partCopyDemands(c *api.Call, in *partCopyInput) ([]authz.Demand, error) {
	demands, err := s.partDemands(c)
	if err != nil {
		return nil, err
	}
	source, read, err := s.sourceDemand(c, in.Source)
	in.source = source
	return append(demands, read), err
}

func (s *Service) copyPart(ctx context.Context, g authz.Grant, c *api.Call, in *partCopyInput) (*s3wire.UploadPartCopyOutput, error) {
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	var err error
	if in.Unsealer, err = s.uploadUnsealer(ctx, g, c, &in.unsealer); err != nil {
		return nil, err
	}
	in.Source.Unsealer = in.fromUnsealer.begin(s, g, c, in.source, in.Source.Key)
	var size int64
	in.Check = func(info *object.Info) error {
		if err := in.fromUnsealer.admit(info); err != nil {
			return err
		}
		size = info.Size
		if r := in.Source.Range; r != nil && r.Last >= info.Size {
			return badArgument("Range specified is not valid for source object of size: "+strconv.FormatInt(size, 10), "x-amz-copy-source-range", r.Header)
		}
		return in.conditions.check(info, object.PreconditionFailed)
	}
	part, err := s.config.Objects.PutPart(ctx, g, &in.PartInput)
	switch {
	case fault.Is(err, object.InvalidRange):
		return nil, badArgument("Range specified is not valid for source object of size: "+strconv.FormatInt(size, 10), "x-amz-copy-source-range", in.Source.Range.Header)
	case err != nil:
		return nil, s.sourceError(g, in.source, in.Source, err)
	}
	etag := quote(part.ETag)
	out := &s3wire.UploadPartCopyOutput{
		CopyPartResult:       &s3wire.CopyPartResult{ETag: &etag, LastModified: wholeSecond(part.Modified)},
		ServerSideEncryption: encryptionName(part.Sealed),
	}
	sealedFields{&out.SSEKMSKeyId, &out.SSECustomerAlgorithm, &out.SSECustomerKeyMD5, &out.BucketKeyEnabled}.tell(part.Sealed, in.unsealer.customer)
	if part.Checksum.Value != nil {
		r, text := out.CopyPartResult, base64.StdEncoding.EncodeToString(part.Checksum.Value)
		*checksumField(part.Checksum.Algorithm, checksumFields{
			&r.ChecksumCRC32, &r.ChecksumCRC32C, &r.ChecksumCRC64NVME, &r.ChecksumSHA1, &r.ChecksumSHA256,
		}) = &text
	}
	return out, nil
}

func (s *Service) completeUpload(ctx context.Context, g authz.Grant, c *api.Call, in *s3wire.CompleteMultipartUploadInput) (*s3wire.CompleteMultipartUploadOutput, error) {
	t, h := at(c), c.R.Header
	if in.MultipartUpload == nil || len(in.MultipartUpload.Parts) == 0 {
		return nil, fault.New(malformedXML, "")
	}
	complete := &object.CompleteInput{Bucket: t.bucket, Key: t.key, UploadID: t.query.get("uploadId"), Size: in.MpuObjectSize}
	var err error
	if complete.If, err = writeCondition(h); err != nil {
		return nil, err
	}
	if complete.Parts, err = completedParts(in.MultipartUpload.Parts); err != nil {
		return nil, err
	}
	if complete.Expect, err = completeChecksum(h); err != nil {
		return nil, err
	}
	u := &unsealer{}
	if u.customer, err = sse.ParseCustomer(h, c.Peer.Secure); err != nil {
		return nil, err
	}
	if g, err = s.mayComplete(ctx, g, c); err != nil {
		return nil, err
	}
	complete.Unsealer = u.begin(s, g, c, t.found, t.key)
	u.upload = true
	info, err := s.config.Objects.CompleteUpload(ctx, g, complete)
	if err != nil {
		return nil, err
	}
	c.Event.ObjectSize = info.Size
	location, etag := location(c, t), quote(info.ETag)
	out := &s3wire.CompleteMultipartUploadOutput{
		Location: &location, Bucket: &t.bucket, Key: &t.key, ETag: &etag,
		ServerSideEncryption: s3wire.ServerSideEncryption(info.Encryption), VersionId: newVersionOf(info),
	}
	if info.Sealed != nil && info.Sealed.Encryption.KMS() {
		out.SSEKMSKeyId, out.BucketKeyEnabled = &info.Sealed.KeyARN, &info.Sealed.BucketKey
	}
	s.tellExpiration(c, info)
	if info.Checksum.Value != nil {
		text := checksumText(info.Checksum, info.Parts)
		out.ChecksumType = s3wire.ChecksumType(checksumType(info.Checksum))
		*checksumField(info.Checksum.Algorithm, checksumFields{
			&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256,
		}) = &text
	}
	return out, nil
}

// location is the URL of an object, as the client addressed it.
func location(c *api.Call, t *target) string {
	scheme := "http"
	if c.Peer.Secure {
		scheme = "https"
	}
	path := "/" + escapePath(t.key)
	if !t.virtual {
		path = "/" + t.bucket + path
	}
	return scheme + "://" + c.R.Host + path
}

func completedParts(parts []s3wire.CompletedPart) ([]object.Part, error) {
	out := make([]object.Part, len(parts))
	for i := range parts {
		p := &parts[i]
		if p.PartNumber == nil || p.ETag == nil {
			return nil, fault.New(malformedXML, "")
		}
		if *p.PartNumber < 1 || *p.PartNumber > object.MaxPartNumber {
			return nil, badArgument("PartNumber must be >= 1", "PartNumber", strconv.Itoa(int(*p.PartNumber)))
		}
		out[i] = object.Part{Number: int(*p.PartNumber), ETag: strings.Trim(*p.ETag, `"`)}
		for header, text := range map[string]*string{
			"X-Amz-Checksum-Crc32": p.ChecksumCRC32, "X-Amz-Checksum-Crc32c": p.ChecksumCRC32C,
			"X-Amz-Checksum-Crc64nvme": p.ChecksumCRC64NVME, "X-Amz-Checksum-Sha1": p.ChecksumSHA1,
			"X-Amz-Checksum-Sha256": p.ChecksumSHA256,
		} {
			if text == nil {
				continue
			}
			algorithm, size, _ := checksumOf(header)
			value, err := decodeChecksum(header, *text, size)
			if err != nil {
				return nil, err
			}
			out[i].Checksum = object.Checksum{Algorithm: algorithm, Value: value}
		}
	}
	return out, nil
}

// completeChecksum reads the checksum that the client states of the whole object. A composite one
// ends in the number of parts.
func completeChecksum(h http.Header) (*object.Checksum, error) {
	for _, a := range algorithmHeaders {
		text := first(h, a.header)
		if text == "" {
			continue
		}
		text, _, composite := strings.Cut(text, "-")
		value, err := decodeChecksum(a.header, text, a.size)
		if err != nil {
			return nil, err
		}
		composite = composite || first(h, "X-Amz-Checksum-Type") == "COMPOSITE"
		return &object.Checksum{Algorithm: a.algorithm, Composite: composite, Value: value}, nil
	}
	if kind := first(h, "X-Amz-Checksum-Type"); kind != "" {
		return &object.Checksum{Composite: kind == "COMPOSITE"}, nil
	}
	return nil, nil
}

func (s *Service) listParts(ctx context.Context, g authz.Grant, c *api.Call, _ *s3wire.ListPartsInput) (*s3wire.ListPartsOutput, error) {
	t := at(c)
	limit, err := pageSize(t.query, "max-parts")
	if err != nil {
		return nil, err
	}
	after := 0
	if text := t.query.get("part-number-marker"); text != "" {
		if after, err = count("part-number-marker", text); err != nil {
			return nil, err
		}
	}
	id := t.query.get("uploadId")
	u := &unsealer{upload: true}
	if u.customer, err = sse.ParseCustomer(c.R.Header, c.Peer.Secure); err != nil {
		return nil, err
	}
	page, err := s.config.Objects.ListParts(ctx, g, u.begin(s, g, c, t.found, t.key), t.bucket, t.key, id, after, min(limit, object.MaxList))
	if err != nil {
		return nil, err
	}
	up := &page.Upload
	maximum, marker, next := int32(limit), int32(after), int32(page.Next)
	out := &s3wire.ListPartsOutput{
		Bucket: &t.bucket, Key: &t.key, UploadId: &id, MaxParts: &maximum, IsTruncated: &page.Truncated,
		PartNumberMarker: &marker, NextPartNumberMarker: &next, StorageClass: s3wire.StorageClass(orStandard(up.StorageClass)),
		Owner: s.wireOwner(up.Owner), Initiator: wireInitiator(up.Initiator),
	}
	if up.Checksum != object.NoChecksum {
		out.ChecksumAlgorithm = s3wire.ChecksumAlgorithm(up.Checksum.String())
		out.ChecksumType = s3wire.ChecksumType(checksumType(object.Checksum{Composite: !up.FullObject}))
	}
	for i := range page.Parts {
		out.Parts = append(out.Parts, wirePart(&page.Parts[i]))
	}
	return out, nil
}

func orStandard(class string) string {
	if class == "" {
		return "STANDARD"
	}
	return class
}

func wireInitiator(i object.Initiator) *s3wire.Initiator {
	out := &s3wire.Initiator{ID: &i.ID}
	if i.DisplayName != "" {
		out.DisplayName = &i.DisplayName
	}
	return out
}

func wirePart(p *object.Part) s3wire.Part {
	number, etag := int32(p.Number), quote(p.ETag)
	out := s3wire.Part{PartNumber: &number, ETag: &etag, Size: &p.Size, LastModified: wholeSecond(p.Modified)}
	if p.Checksum.Value != nil {
		text := base64.StdEncoding.EncodeToString(p.Checksum.Value)
		*checksumField(p.Checksum.Algorithm, checksumFields{
			&out.ChecksumCRC32, &out.ChecksumCRC32C, &out.ChecksumCRC64NVME, &out.ChecksumSHA1, &out.ChecksumSHA256,
		}) = &text
	}
	return out
}
