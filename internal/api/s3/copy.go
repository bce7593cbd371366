package s3

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// copyInput is a decoded CopyObject.
type copyInput struct {
	object.CopyInput
	conditions readConditions
	source     *object.Bucket
	redirect   bool         // the request itself names attributes
	tags       []object.Tag // of the source, which the caller may take along
	unsealer   unsealer
}

func (s *Service) copyObject() *api.Op {
	return api.Declare(api.Decl[copyInput, s3wire.CopyObjectOutput]{
		Wire: &s3wire.CopyObject, Class: audit.Data, Access: api.Write, Unsigned: true,
		Decode: s.decodeCopy, Demands: s.copyDemands, Do: s.copy,
	})
}

// parseCopySource reads x-amz-copy-source: [/]bucket/key[?versionId=id], URL-encoded.
func parseCopySource(text string) (object.GetInput, error) {
	var in object.GetInput
	path, query, hasQuery := strings.Cut(text, "?")
	if hasQuery {
		q, err := parseQuery(query)
		if err != nil || len(q) != 1 || q[0].name != "versionId" || q[0].value == "" {
			return in, badCopySource(text)
		}
		in.VersionID = q[0].value
	}
	path, err := url.PathUnescape(path)
	if err != nil || !utf8.ValidString(path) {
		return in, badCopySource(text)
	}
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || bucket == "" || key == "" {
		return in, badCopySource(text)
	}
	in.Bucket, in.Key = bucket, key
	return in, checkKey(key)
}

func badCopySource(text string) error {
	return badArgument("Invalid copy source object key", "x-amz-copy-source", text)
}

func (s *Service) decodeCopy(c *api.Call, in *copyInput) error {
	t, h := at(c), c.R.Header
	var err error
	if in.Source, err = parseCopySource(first(h, "X-Amz-Copy-Source")); err != nil {
		return err
	}
	if c.Caller.DecodedLength > 0 {
		return fault.New(invalidRequest, "The request included a body. Requests of this type must not include a non-empty body.")
	}
	in.conditions.read(h, &sourceConditions)
	dest := &in.Dest
	dest.Bucket, dest.Key = t.bucket, t.key
	if in.ReplaceAttributes, err = directive(h, "X-Amz-Metadata-Directive"); err != nil {
		return err
	}
	if in.ReplaceTags, err = directive(h, "X-Amz-Tagging-Directive"); err != nil {
		return err
	}
	if err := readAttributes(h, &dest.Attributes); err != nil {
		return err
	}
	if dest.Tags, err = headerTags(h); err != nil {
		return err
	}
	if dest.If, err = writeCondition(h); err != nil {
		return err
	}
	if dest.Lock, err = headerLock(h); err != nil {
		return err
	}
	if name := first(h, "X-Amz-Checksum-Algorithm"); name != "" {
		if dest.Expect.Algorithm, err = parseAlgorithm(name); err != nil {
			return err
		}
	}
	in.redirect = dest.Attributes.WebsiteRedirect != "" || dest.Attributes.StorageClass != ""
	s.readEncryption(c)
	in.redirect = in.redirect || t.sse != nil || t.badSSE != nil
	if in.unsealer.customer, err = sse.ParseSource(h, c.Peer.Secure); err != nil {
		return err
	}
	return refuseUploadHeaders(h)
}

// directive reads COPY (the default) or REPLACE.
func directive(h http.Header, name string) (bool, error) {
	switch v := first(h, name); v {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, badArgument("Unknown "+strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "X-Amz-")), "-", " ")+".", strings.ToLower(name), v)
	}
}

// sourceDemand is the permission to read what is copied.
func (s *Service) sourceDemand(c *api.Call, in *object.GetInput) (*object.Bucket, authz.Demand, error) {
	c.Event.Parts = []audit.Part{{Operation: "GetObject", Bucket: in.Bucket, Key: in.Key, VersionID: in.VersionID}}
	b, err := s.config.Objects.Bucket(in.Bucket)
	if err != nil {
		return nil, authz.Demand{}, err
	}
	if err := checkExpectedOwner(first(c.R.Header, "X-Amz-Source-Expected-Bucket-Owner"), b); err != nil {
		return nil, authz.Demand{}, err
	}
	if err := checkPayer(c, b); err != nil {
		return nil, authz.Demand{}, err
	}
	action := "s3:GetObject"
	if in.VersionID != "" {
		action = "s3:GetObjectVersion"
	}
	read, err := s.keyDemand(c, b, &object.GetInput{Bucket: in.Bucket, Key: in.Key, VersionID: in.VersionID}, action, nil)
	return b, read, err
}

func (s *Service) copyDemands(c *api.Call, in *copyInput) ([]authz.Demand, error) {
	if _, err := s.bucket(c); err != nil {
		return nil, err
	}
	source, read, err := s.sourceDemand(c, &in.Source)
	if err != nil {
		return nil, err
	}
	in.source = source
	var tags []object.Tag
	if in.ReplaceTags {
		tags = in.Dest.Tags
	}
	demands, err := s.createDemands(c, c.R.Header, tags)
	return append(demands, read), err
}

func (s *Service) copy(ctx context.Context, g authz.Grant, c *api.Call, in *copyInput) (*s3wire.CopyObjectOutput, error) {
	t := at(c)
	if err := t.undecided(); err != nil {
		return nil, err
	}
	if in.Source.Bucket == t.bucket && in.Source.Key == t.key && in.Source.VersionID == "" && !in.ReplaceAttributes && !in.redirect {
		return nil, fault.New(invalidRequest, "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	if !in.ReplaceTags {
		var err error
		if g, err = s.askCopyTags(ctx, g, c, in); err != nil {
			return nil, err
		}
	}
	var err error
	if in.Dest.Owner, in.Dest.ACL, err = s.newACL(caller(c), t.found, t.key, c.R.Header, "s3:PutObject"); err != nil {
		return nil, err
	}
	in.Source.Unsealer = in.unsealer.begin(s, g, c, in.source, in.Source.Key)
	if in.Dest.Seal, err = s.seal(ctx, g, c, t.key); err != nil {
		return nil, err
	}
	in.Check = func(info *object.Info) error {
		if err := in.unsealer.admit(info); err != nil {
			return err
		}
		if !in.ReplaceTags && !slices.Equal(in.tags, info.Tags) {
			return fault.New(changedMeanwhile, "") // others than those that were asked about
		}
		return in.conditions.check(info, object.PreconditionFailed)
	}
	info, source, err := s.config.Objects.Copy(ctx, g, &in.CopyInput)
	if err != nil {
		return nil, s.sourceError(g, in.source, &in.Source, err)
	}
	h := c.W.Header()
	if source.Versioned && source.VersionID != "" {
		h.Set("X-Amz-Copy-Source-Version-Id", source.VersionID)
	}
	out := &s3wire.CopyObjectOutput{VersionId: newVersionOf(info), ServerSideEncryption: s3wire.ServerSideEncryption(info.Encryption)}
	sealedFields{&out.SSEKMSKeyId, &out.SSECustomerAlgorithm, &out.SSECustomerKeyMD5, &out.BucketKeyEnabled}.tell(info.Sealed, t.sse.CustomerKey())
	s.tellExpiration(c, info)
	etag, modified := quote(info.ETag), info.Modified.Truncate(time.Second)
	out.CopyObjectResult = &s3wire.CopyObjectResult{ETag: &etag, LastModified: &modified}
	if info.Checksum.Value != nil {
		r, text := out.CopyObjectResult, base64.StdEncoding.EncodeToString(info.Checksum.Value)
		r.ChecksumType = s3wire.ChecksumType(checksumType(info.Checksum))
		*checksumField(info.Checksum.Algorithm, checksumFields{
			&r.ChecksumCRC32, &r.ChecksumCRC32C, &r.ChecksumCRC64NVME, &r.ChecksumSHA1, &r.ChecksumSHA256,
		}) = &text
	}
	return out, nil
}

// askCopyTags: tags that travel with the copy need their own permissions on both sides.
func (s *Service) askCopyTags(ctx context.Context, g authz.Grant, c *api.Call, in *copyInput) (authz.Grant, error) {
	found, err := s.config.Objects.Stat(ctx, g, &in.Source)
	if err != nil {
		return g, s.sourceError(g, in.source, &in.Source, err)
	}
	if in.tags = found.Tags; len(found.Tags) == 0 {
		return g, nil
	}
	read := "s3:GetObjectTagging"
	if in.Source.VersionID != "" {
		read = "s3:GetObjectVersionTagging"
	}
	from, err := s.keyDemand(c, in.source, &object.GetInput{Bucket: in.Source.Bucket, Key: in.Source.Key, VersionID: in.Source.VersionID}, read, nil)
	if err != nil {
		return g, err
	}
	to := s.newKeyResource(caller(c), at(c).found, at(c).key)
	to.Granted = false // ACLs say nothing about tags
	g, err = g.Ask(ctx, from, authz.Demand{Action: "s3:PutObjectTagging", Resource: to, Keys: tagKeys{found.Tags}})
	if err != nil {
		return g, err
	}
	return g, at(c).undecided()
}

// sourceError tells what is wrong with a copy's source.
func (s *Service) sourceError(g authz.Grant, b *object.Bucket, in *object.GetInput, err error) error {
	if fault.Is(err, object.IsDeleteMarker) {
		return fault.New(invalidRequest, "The source of a copy request may not specifically refer to a delete marker by version id.")
	}
	return s.hide(g, b, in.Key, err)
}
