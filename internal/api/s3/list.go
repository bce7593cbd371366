package s3

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// Listings of keys are hot: their XML is appended by hand. list_test.go holds it to the generated
// encoder's.

func (s *Service) listOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[listInput, listOutput]{
			Wire: &s3wire.ListObjectsV2, Class: audit.Data, Access: api.List, Unsigned: true,
			Decode: decodeListV2, Demands: s.listDemands, Do: s.list,
		}),
		api.Declare(api.Decl[listInput, listOutput]{
			Wire: &s3wire.ListObjects, Class: audit.Data, Access: api.List, Unsigned: true,
			Decode: decodeListV1, Demands: s.listDemands, Do: s.list,
		}),
		api.Declare(api.Decl[versionsInput, s3wire.ListObjectVersionsOutput]{
			Wire: &s3wire.ListObjectVersions, Class: audit.Data, Access: api.List, Unsigned: true,
			Decode: decodeListVersions,
			Demands: func(c *api.Call, in *versionsInput) ([]authz.Demand, error) {
				return s.listing(c, "s3:ListBucketVersions", in.Prefix, in.Delimiter, in.shown)
			},
			Do: s.listVersions,
		}),
		api.Declare(api.Decl[uploadsInput, s3wire.ListMultipartUploadsOutput]{
			Wire: &s3wire.ListMultipartUploads, Class: audit.Data, Access: api.List, Unsigned: true,
			Decode: decodeListUploads,
			Demands: func(c *api.Call, in *uploadsInput) ([]authz.Demand, error) {
				return s.listing(c, "s3:ListBucketMultipartUploads", in.Prefix, in.Delimiter, in.shown)
			},
			Do: s.listUploads,
		}),
	}
}

// listKeys are the condition keys of listings. An absent prefix counts as the empty one and an
// absent max-keys as the default, so that a policy that bounds them holds for plain requests.
type listKeys struct {
	prefix, delimiter string
	max               int
}

func (k listKeys) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "s3:prefix":
		return policy.Values{One: k.prefix}, true
	case "s3:delimiter":
		return policy.Values{One: k.delimiter}, k.delimiter != ""
	case "s3:max-keys":
		return policy.Values{One: strconv.Itoa(k.max)}, true
	}
	return policy.Values{}, false
}

func (s *Service) listing(c *api.Call, action, prefix, delimiter string, limit int) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	return c.Need(action, s.bucketResource(caller(c), b, action), listKeys{prefix, delimiter, limit}), nil
}

// listInput is a decoded ListObjects or ListObjectsV2.
type listInput struct {
	object.ListInput
	v2         bool
	shown      int    // max-keys as asked for
	marker     string // V1
	startAfter string // V2
	token      string // V2, as sent
	hasToken   bool
	fetchOwner bool
	url        bool // encoding-type=url
	restores   bool // RestoreStatus is wanted
	// displayName of the bucket's owner, who owns all objects where ACLs are disabled.
	displayName string
}

// pageSize reads a page size; the default is 1,000.
func pageSize(q query, name string) (int, error) {
	text := q.get(name)
	if text == "" {
		return object.MaxList, nil
	}
	return count(name, text)
}

func encodingType(q query) (bool, error) {
	text, ok := q.lookup("encoding-type")
	if !ok || text == "" {
		return false, nil
	}
	if text != "url" {
		return false, badArgument("Invalid Encoding Method specified in Request", "encoding-type", text)
	}
	return true, nil
}

// wantsRestores reads x-amz-optional-object-attributes.
func wantsRestores(c *api.Call) (wanted bool, err error) {
	for _, value := range c.R.Header["X-Amz-Optional-Object-Attributes"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name != "RestoreStatus" {
				return false, badArgument("Invalid attribute name specified.", "x-amz-optional-object-attributes", name)
			}
			wanted = true
		}
	}
	return wanted, nil
}

func decodeList(c *api.Call, in *listInput) error {
	t := at(c)
	in.Bucket, in.Prefix, in.Delimiter = t.bucket, t.query.get("prefix"), t.query.get("delimiter")
	var err error
	if in.shown, err = pageSize(t.query, "max-keys"); err != nil {
		return err
	}
	in.Max = min(in.shown, object.MaxList)
	if in.restores, err = wantsRestores(c); err != nil {
		return err
	}
	in.url, err = encodingType(t.query)
	return err
}

func decodeListV1(c *api.Call, in *listInput) error {
	in.marker = at(c).query.get("marker")
	in.After = in.marker
	return decodeList(c, in)
}

func decodeListV2(c *api.Call, in *listInput) error {
	q := at(c).query
	in.v2 = true
	in.startAfter, in.fetchOwner = q.get("start-after"), q.get("fetch-owner") == "true"
	in.After = in.startAfter
	if in.token, in.hasToken = q.lookup("continuation-token"); in.token != "" {
		after, err := decodeToken(&in.token)
		if err != nil {
			return err
		}
		in.After = after
	}
	return decodeList(c, in)
}

func badToken() error {
	return badArgument("The continuation token provided is incorrect", "continuation-token", "")
}

const tokenMark = "1"

// encodeToken makes an opaque continuation token of the last key of a page.
func encodeToken(after string) string {
	return tokenMark + base64.RawURLEncoding.EncodeToString([]byte(after))
}

func decodeToken(token *string) (string, error) {
	if token == nil || *token == "" {
		return "", nil
	}
	text, ok := strings.CutPrefix(*token, tokenMark)
	after, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil {
		return "", badToken()
	}
	return string(after), nil
}

func hasPrefix(s string, prefix *string) bool { return prefix == nil || strings.HasPrefix(s, *prefix) }

func (s *Service) listDemands(c *api.Call, in *listInput) ([]authz.Demand, error) {
	return s.listing(c, "s3:ListBucket", in.Prefix, in.Delimiter, in.shown)
}

// listOutput is a page on its way out.
type listOutput struct {
	in   *listInput
	page *object.ListPage
}

func (s *Service) list(ctx context.Context, g authz.Grant, c *api.Call, in *listInput) (*listOutput, error) {
	if !in.v2 || in.fetchOwner {
		in.displayName = s.config.DisplayName(at(c).found.Owner.Account)
	}
	page, err := s.config.Objects.List(ctx, g, &in.ListInput)
	if err != nil {
		return nil, err
	}
	showOwners(at(c).found, page.Objects)
	return &listOutput{in, page}, nil
}

// Respond writes the page.
func (o *listOutput) Respond(c *api.Call) error {
	x := xmlPage{b: make([]byte, 0, 512+len(o.page.Objects)*320), url: o.in.url}
	x.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	o.head(&x)
	for i := range o.page.Objects {
		x.object(&o.page.Objects[i], o.in)
	}
	x.prefixes(o.page.Prefixes)
	x.raw(`</ListBucketResult>`)
	return c.W.Send(200, "application/xml", x.b)
}

func (o *listOutput) head(x *xmlPage) {
	in, page := o.in, o.page
	x.text("Name", in.Bucket)
	x.key("Prefix", in.Prefix)
	if in.v2 {
		if in.startAfter != "" {
			x.key("StartAfter", in.startAfter)
		}
		if in.hasToken {
			x.text("ContinuationToken", in.token)
		}
		if page.Truncated {
			x.text("NextContinuationToken", encodeToken(page.Next))
		}
		x.number("KeyCount", len(page.Objects)+len(page.Prefixes))
	} else {
		x.key("Marker", in.marker)
		if page.Truncated && in.Delimiter != "" {
			x.key("NextMarker", page.Next)
		}
	}
	x.number("MaxKeys", in.Max)
	if in.Delimiter != "" {
		x.key("Delimiter", in.Delimiter)
	}
	if in.url {
		x.text("EncodingType", "url")
	}
	x.text("IsTruncated", strconv.FormatBool(page.Truncated))
}

// xmlPage appends a listing.
type xmlPage struct {
	b   []byte
	url bool
}

func (x *xmlPage) raw(s string) { x.b = append(x.b, s...) }

func (x *xmlPage) open(name string) { x.b = append(append(append(x.b, '<'), name...), '>') }

func (x *xmlPage) end(name string) { x.b = append(append(append(x.b, '<', '/'), name...), '>') }

func (x *xmlPage) text(name, value string) {
	x.open(name)
	x.b = wire.AppendText(x.b, value)
	x.end(name)
}

func (x *xmlPage) number(name string, n int) {
	x.open(name)
	x.b = strconv.AppendInt(x.b, int64(n), 10)
	x.end(name)
}

// key writes a key or a part of one, URL-encoded where the client asked for that.
func (x *xmlPage) key(name, value string) {
	x.open(name)
	if x.url {
		x.b = appendEscaped(x.b, value)
	} else {
		x.b = wire.AppendText(x.b, value)
	}
	x.end(name)
}

func (x *xmlPage) object(o *object.Info, in *listInput) {
	x.raw("<Contents>")
	x.key("Key", o.Key)
	x.raw("<LastModified>")
	x.b = appendTime(x.b, o.Modified)
	x.raw("</LastModified><ETag>&quot;")
	x.raw(o.ETag)
	x.raw("&quot;</ETag>")
	if o.Checksum.Algorithm != object.NoChecksum {
		x.raw("<ChecksumAlgorithm>")
		x.raw(o.Checksum.Algorithm.String())
		x.raw("</ChecksumAlgorithm><ChecksumType>")
		x.raw(checksumType(o.Checksum))
		x.raw("</ChecksumType>")
	}
	x.raw("<Size>")
	x.b = strconv.AppendInt(x.b, o.Size, 10)
	x.raw("</Size>")
	if !in.v2 || in.fetchOwner {
		x.raw("<Owner>")
		if in.displayName != "" {
			x.text("DisplayName", in.displayName)
		}
		x.raw("<ID>")
		x.raw(o.Owner.Canonical)
		x.raw("</ID></Owner>")
	}
	x.raw("<StorageClass>")
	x.raw(storageClass(o))
	x.raw("</StorageClass>")
	if in.restores && readable(o) {
		x.raw("<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>")
		x.b = appendTime(x.b, o.Restored)
		x.raw("</RestoreExpiryDate></RestoreStatus>")
	}
	x.raw("</Contents>")
}

func (x *xmlPage) prefixes(prefixes []string) {
	for _, p := range prefixes {
		x.raw("<CommonPrefixes>")
		x.key("Prefix", p)
		x.raw("</CommonPrefixes>")
	}
}

// appendTime writes 2006-01-02T15:04:05.000Z: S3 keeps whole seconds.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(b, byte('0'+year/1000%10), byte('0'+year/100%10))
	b = append(appendTwo(b, year%100), '-')
	b = append(appendTwo(b, int(month)), '-')
	b = append(appendTwo(b, day), 'T')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	return append(appendTwo(b, second), ".000Z"...)
}

func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// appendEscaped encodes a key for encoding-type=url: like a query value, "/" kept. A space becomes
// %20, which clients that decode "+" and clients that do not both read as a space.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	plain := 0
	for i := 0; i < len(s); i++ {
		if unescaped[s[i]] {
			continue
		}
		b = append(b, s[plain:i]...)
		plain = i + 1
		b = append(b, '%', hex[s[i]>>4], hex[s[i]&15])
	}
	return append(b, s[plain:]...)
}

// unescaped are the bytes that stand for themselves in an encoded key.
var unescaped = func() (table [256]bool) {
	for c := range table {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		table[c] = letter || strings.IndexByte("-_.*/", byte(c)) >= 0
	}
	return table
}()

func escapePath(s string) string {
	return string(appendEscaped(nil, s))
}

// shownKey is a key as an element of an answer made by the generated encoder.
func shownKey(s string, url bool) *string {
	if url {
		s = string(appendEscaped(nil, s))
	}
	return &s
}

// optionalKey leaves an empty one out.
func optionalKey(s string, url bool) *string {
	if s == "" {
		return nil
	}
	return shownKey(s, url)
}

func wirePrefixes(prefixes []string, url bool) []s3wire.CommonPrefix {
	out := make([]s3wire.CommonPrefix, len(prefixes))
	for i := range prefixes {
		out[i].Prefix = shownKey(prefixes[i], url)
	}
	return out
}

// versionsInput is a decoded ListObjectVersions.
type versionsInput struct {
	object.ListVersionsInput
	shown    int
	url      bool
	restores bool // RestoreStatus is wanted
}

func decodeListVersions(c *api.Call, in *versionsInput) error {
	q := at(c).query
	in.Bucket, in.Prefix, in.Delimiter = at(c).bucket, q.get("prefix"), q.get("delimiter")
	in.KeyMarker, in.VersionIDMarker = q.get("key-marker"), q.get("version-id-marker")
	if _, sent := q.lookup("version-id-marker"); sent {
		if in.KeyMarker == "" {
			return badArgument("A version-id marker cannot be specified without a key marker.", "version-id-marker", in.VersionIDMarker)
		}
		if in.VersionIDMarker == "" {
			return badArgument("A version-id marker cannot be empty.", "version-id-marker", "")
		}
	}
	var err error
	if in.shown, err = pageSize(q, "max-keys"); err != nil {
		return err
	}
	in.Max = min(in.shown, object.MaxList)
	if in.restores, err = wantsRestores(c); err != nil {
		return err
	}
	in.url, err = encodingType(q)
	return err
}

func (s *Service) listVersions(ctx context.Context, g authz.Grant, c *api.Call, in *versionsInput) (*s3wire.ListObjectVersionsOutput, error) {
	page, err := s.config.Objects.ListVersions(ctx, g, &in.ListVersionsInput)
	if err != nil {
		return nil, err
	}
	showOwners(at(c).found, page.Versions)
	maximum := int32(in.Max)
	out := &s3wire.ListObjectVersionsOutput{
		Name: &at(c).bucket, Prefix: shownKey(in.Prefix, in.url), KeyMarker: shownKey(in.KeyMarker, in.url),
		VersionIdMarker: &in.VersionIDMarker, MaxKeys: &maximum, Delimiter: optionalKey(in.Delimiter, in.url),
		IsTruncated: &page.Truncated, CommonPrefixes: wirePrefixes(page.Prefixes, in.url),
	}
	if in.url {
		out.EncodingType = "url"
	}
	if page.Truncated {
		out.NextKeyMarker = shownKey(page.NextKeyMarker, in.url)
		if page.NextVersionIDMarker != "" {
			out.NextVersionIdMarker = &page.NextVersionIDMarker
		}
	}
	for i := range page.Versions {
		v := &page.Versions[i]
		if v.DeleteMarker {
			out.DeleteMarkers = append(out.DeleteMarkers, s3wire.DeleteMarkerEntry{
				Key: shownKey(v.Key, in.url), VersionId: &v.VersionID, IsLatest: &v.Latest,
				LastModified: wholeSecond(v.Modified), Owner: s.wireOwner(v.Owner),
			})
			continue
		}
		out.Versions = append(out.Versions, s.wireVersion(v, in.url))
		if in.restores && readable(v) {
			done := false
			out.Versions[len(out.Versions)-1].RestoreStatus = &s3wire.RestoreStatus{IsRestoreInProgress: &done, RestoreExpiryDate: wholeSecond(v.Restored)}
		}
	}
	return out, nil
}

// wholeSecond is a time as S3 keeps it.
func wholeSecond(t time.Time) *time.Time {
	t = t.Truncate(time.Second)
	return &t
}

func (s *Service) wireVersion(v *object.Info, url bool) s3wire.ObjectVersion {
	etag := quote(v.ETag)
	out := s3wire.ObjectVersion{
		Key: shownKey(v.Key, url), VersionId: &v.VersionID, IsLatest: &v.Latest, LastModified: wholeSecond(v.Modified),
		ETag: &etag, Size: &v.Size, Owner: s.wireOwner(v.Owner),
		StorageClass: s3wire.ObjectVersionStorageClass(storageClass(v)),
	}
	if v.Checksum.Algorithm != object.NoChecksum {
		out.ChecksumAlgorithm = []s3wire.ChecksumAlgorithm{s3wire.ChecksumAlgorithm(v.Checksum.Algorithm.String())}
		out.ChecksumType = s3wire.ChecksumType(checksumType(v.Checksum))
	}
	return out
}

// uploadsInput is a decoded ListMultipartUploads.
type uploadsInput struct {
	object.ListUploadsInput
	shown int
	url   bool
}

func decodeListUploads(c *api.Call, in *uploadsInput) error {
	q := at(c).query
	in.Bucket, in.Prefix, in.Delimiter = at(c).bucket, q.get("prefix"), q.get("delimiter")
	in.KeyMarker, in.UploadIDMarker = q.get("key-marker"), q.get("upload-id-marker")
	if in.KeyMarker == "" {
		in.UploadIDMarker = ""
	}
	var err error
	if in.shown, err = pageSize(q, "max-uploads"); err != nil {
		return err
	}
	in.Max = min(in.shown, object.MaxList)
	in.url, err = encodingType(q)
	return err
}

func (s *Service) listUploads(ctx context.Context, g authz.Grant, c *api.Call, in *uploadsInput) (*s3wire.ListMultipartUploadsOutput, error) {
	page, err := s.config.Objects.ListUploads(ctx, g, &in.ListUploadsInput)
	if fault.Is(err, object.NoSuchUpload) {
		return nil, badArgument("Invalid uploadId marker", "upload-id-marker", in.UploadIDMarker)
	}
	if err != nil {
		return nil, err
	}
	maximum := int32(in.Max)
	out := &s3wire.ListMultipartUploadsOutput{
		Bucket: &at(c).bucket, KeyMarker: shownKey(in.KeyMarker, in.url), UploadIdMarker: &in.UploadIDMarker,
		Prefix: shownKey(in.Prefix, in.url), Delimiter: optionalKey(in.Delimiter, in.url), MaxUploads: &maximum,
		IsTruncated: &page.Truncated, CommonPrefixes: wirePrefixes(page.Prefixes, in.url),
		NextKeyMarker: shownKey(page.NextKeyMarker, in.url), NextUploadIdMarker: &page.NextUploadIDMarker,
	}
	if in.url {
		out.EncodingType = "url"
	}
	for i := range page.Uploads {
		out.Uploads = append(out.Uploads, s.wireUpload(&page.Uploads[i], in.url))
	}
	return out, nil
}

func (s *Service) wireUpload(u *object.Upload, url bool) s3wire.MultipartUpload {
	out := s3wire.MultipartUpload{
		Key: shownKey(u.Key, url), UploadId: &u.UploadID, Initiated: wholeSecond(u.Initiated),
		StorageClass: s3wire.StorageClass(orStandard(u.StorageClass)),
		Owner:        s.wireOwner(u.Owner), Initiator: wireInitiator(u.Initiator),
	}
	if u.Checksum != object.NoChecksum {
		out.ChecksumAlgorithm = s3wire.ChecksumAlgorithm(u.Checksum.String())
		out.ChecksumType = s3wire.ChecksumType(checksumType(object.Checksum{Composite: !u.FullObject}))
	}
	return out
}
