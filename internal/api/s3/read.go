package s3

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/s3/sse"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// GetObject and HeadObject are hot: they read the request's headers themselves and write their
// answers without the generated codec. read_test.go holds both ways to the same bytes.

func (s *Service) readOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[readInput, readOutput]{
			Wire: &s3wire.GetObject, Class: audit.Data, Access: api.Read, Unsigned: true,
			Decode: decodeRead, Demands: s.readDemands,
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *readInput) (*readOutput, error) {
				return s.read(ctx, g, c, in, s.config.Objects.Get)
			},
		}),
		api.Declare(api.Decl[readInput, readOutput]{
			Wire: &s3wire.HeadObject, Class: audit.Data, Access: api.Read, Unsigned: true,
			Decode: decodeRead, Demands: s.readDemands,
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *readInput) (*readOutput, error) {
				return s.read(ctx, g, c, in, s.config.Objects.Stat)
			},
		}),
	}
}

// readInput is a decoded GetObject or HeadObject.
type readInput struct {
	object.GetInput
	conditions readConditions
	checksums  bool // x-amz-checksum-mode: ENABLED
	unsealer   unsealer
}

// readOutput is an opened object on its way out.
type readOutput struct {
	object    *object.Object
	in        *readInput
	tagsShown bool
	part      object.Checksum // of the part that was asked for
}

func decodeRead(c *api.Call, in *readInput) error {
	t, h := at(c), c.R.Header
	in.Bucket, in.Key = t.bucket, t.key
	var err error
	if in.unsealer.customer, err = sse.ParseCustomer(h, c.Peer.Secure); err != nil {
		return err
	}
	if err := sse.ForbidOn(h); err != nil {
		return err
	}
	if len(t.query) > 0 {
		if err := decodeReadQuery(c, in); err != nil {
			return err
		}
	}
	if r := h["Range"]; len(r) > 0 {
		if in.PartNumber != 0 {
			return fault.New(invalidRequest, "Cannot specify both Range header and partNumber query parameter")
		}
		in.Range = parseRange(r[0])
	}
	in.checksums = strings.EqualFold(h.Get("X-Amz-Checksum-Mode"), "ENABLED")
	in.conditions.read(h, &plainConditions)
	return nil
}

func decodeReadQuery(c *api.Call, in *readInput) error {
	t := at(c)
	version, named := t.query.lookup("versionId")
	if named && version == "" {
		return badArgument("Version id cannot be the empty string", "versionId", "")
	}
	in.VersionID = version
	if text, ok := t.query.lookup("partNumber"); ok {
		n, err := partNumber(text)
		if err != nil {
			return err
		}
		in.PartNumber = n
	}
	if c.Caller.AuthType != authn.Anonymous {
		return nil
	}
	for _, p := range t.query {
		if overrides[p.name] != "" {
			return fault.New(invalidRequest, "Request specific response headers cannot be used for anonymous GET requests.")
		}
	}
	return nil
}

// partNumber reads a part's number.
func partNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > object.MaxPartNumber {
		return 0, badArgument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", text)
	}
	return n, nil
}

// parseRange reads a Range header. What is not one valid byte range is ignored, as RFC 9110 and
// S3 have it: the whole object is the answer.
func parseRange(header string) *object.Range {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return nil
	}
	r := &object.Range{Last: -1, Header: header}
	if first == "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return nil
		}
		r.First, r.Suffix = -1, int64(n)
		return r
	}
	from, err := strconv.ParseUint(first, 10, 63)
	if err != nil {
		return nil
	}
	r.First = int64(from)
	if last == "" {
		return r
	}
	to, err := strconv.ParseUint(last, 10, 63)
	if err != nil || to < from {
		return nil
	}
	r.Last = int64(to)
	return r
}

func (s *Service) readDemands(c *api.Call, _ *readInput) ([]authz.Demand, error) {
	return s.needKey(c, versioned(c, "s3:GetObject", "s3:GetObjectVersion"))
}

type openFunc func(context.Context, authz.Grant, *object.GetInput) (*object.Object, error)

func (s *Service) read(ctx context.Context, g authz.Grant, c *api.Call, in *readInput, open openFunc) (*readOutput, error) {
	if err := at(c).undecided(); err != nil {
		return nil, err
	}
	in.Unsealer, in.Checksum = in.unsealer.begin(s, g, c, at(c).found, in.Key), in.checksums
	// A failed condition is told before an unsatisfiable range.
	if in.conditions.any && (in.Range != nil || in.PartNumber != 0) {
		whole := in.GetInput
		whole.Range, whole.PartNumber, whole.Checksum = nil, 0, false
		found, err := s.config.Objects.Stat(ctx, g, &whole)
		if err != nil {
			return nil, s.hide(g, at(c).found, in.Key, err)
		}
		if err := in.unsealer.admit(&found.Info); err != nil {
			return nil, err
		}
		if err := in.conditions.check(&found.Info, notModified); err != nil {
			return nil, withValidators(c, &found.Info, err)
		}
	}
	found, err := open(ctx, g, &in.GetInput)
	if err != nil {
		if err = s.hide(g, at(c).found, in.Key, err); missing(err) && found != nil {
			tellMarker(c.W.Header(), &found.Info)
		}
		return nil, err
	}
	out := &readOutput{object: found, in: in}
	if err := in.unsealer.admit(&found.Info); err != nil {
		out.close()
		return nil, err
	}
	if err := in.conditions.check(&found.Info, notModified); err != nil {
		out.close()
		return nil, withValidators(c, &found.Info, err)
	}
	if len(found.Tags) > 0 {
		d, err := s.keyDemand(c, at(c).found, addressed(c), versioned(c, "s3:GetObjectTagging", "s3:GetObjectVersionTagging"), nil)
		out.tagsShown = err == nil && g.May(d)
	}
	s.tellExpiration(c, &found.Info)
	if object.Archived(found.Attributes.StorageClass) {
		tellRestore(c.W.Header(), &found.Info)
	}
	if found.Lock != (object.Lock{}) {
		s.tellLock(g, c, &found.Lock, c.W.Header())
	}
	c.Event.ObjectSize = found.Size
	return out, s.partChecksum(ctx, g, out)
}

// partChecksum looks the checksum of a single part up, where the request asks for both.
func (s *Service) partChecksum(ctx context.Context, g authz.Grant, out *readOutput) error {
	if !out.in.checksums || out.in.PartNumber == 0 || out.object.Parts == 0 {
		return nil
	}
	parts, _, err := s.config.Objects.Parts(ctx, g, &out.in.GetInput, out.in.PartNumber-1, 1)
	if err != nil {
		out.close()
		return err
	}
	if len(parts) == 1 && parts[0].Number == out.in.PartNumber {
		out.part = parts[0].Checksum
	}
	return nil
}

// tellMarker says on a 404 or 405 that a delete marker is the reason.
func tellMarker(h http.Header, marker *object.Info) {
	h.Set("X-Amz-Delete-Marker", "true")
	h.Set("X-Amz-Version-Id", marker.VersionID)
	h.Set("Last-Modified", marker.Modified.UTC().Format(http.TimeFormat))
}

// withValidators puts ETag and Last-Modified on a 304.
func withValidators(c *api.Call, info *object.Info, err error) error {
	if fault.Is(err, notModified) {
		h := c.W.Header()
		h.Set("ETag", quote(info.ETag))
		h.Set("Last-Modified", info.Modified.UTC().Format(http.TimeFormat))
	}
	return err
}

func (o *readOutput) close() {
	if o.object.Body != nil {
		_ = o.object.Body.Close()
	}
}

// Respond streams the object.
func (o *readOutput) Respond(c *api.Call) error {
	defer o.close()
	status := http.StatusOK
	if o.object.Partial {
		status = http.StatusPartialContent
	}
	o.headers(c)
	c.W.WriteHeader(status)
	if o.object.Body == nil {
		return nil
	}
	_, err := io.Copy(&c.W, o.object.Body)
	return err
}

// headers sets everything that GET and HEAD tell. Values share one allocation.
func (o *readOutput) headers(c *api.Call) {
	info, h := &o.object.Info, c.W.Header()
	set := setter{h: h, values: make([]string, 0, 12+len(info.Attributes.User))}
	set.put("Accept-Ranges", "bytes")
	set.put("ETag", quote(info.ETag))
	set.put("Last-Modified", info.Modified.UTC().Format(http.TimeFormat))
	set.put("Content-Length", strconv.FormatInt(o.object.Length, 10))
	set.attributes(&info.Attributes)
	set.encryption(info.Encryption, info.Sealed, o.in.unsealer.customer)
	if info.Versioned {
		set.put("X-Amz-Version-Id", info.VersionID)
	}
	if info.Replication != object.NotReplicated {
		set.put("X-Amz-Replication-Status", info.Replication.String())
	}
	if o.object.Partial {
		set.put("Content-Range", contentRange(o.object))
	}
	if o.in.PartNumber != 0 && info.Parts > 0 {
		set.put("X-Amz-Mp-Parts-Count", strconv.Itoa(info.Parts))
	}
	if o.tagsShown {
		set.put("X-Amz-Tagging-Count", strconv.Itoa(len(info.Tags)))
	}
	switch {
	case !o.in.checksums:
	case o.part.Value != nil:
		set.partChecksum(o.part, info.Checksum)
	case !o.object.Partial:
		set.checksum(info.Checksum, info.Parts)
	}
	for _, p := range at(c).query {
		if name := overrides[p.name]; name != "" && safeHeader(p.value) {
			h[name] = []string{p.value}
		}
	}
}

// overrides are the query parameters that replace headers of the answer.
var overrides = map[string]string{
	"response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition",
	"response-content-encoding": "Content-Encoding", "response-content-language": "Content-Language",
	"response-content-type": "Content-Type", "response-expires": "Expires",
}

func contentRange(o *object.Object) string {
	b := make([]byte, 0, 48)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, o.Offset, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, o.Offset+o.Length-1, 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, o.Size, 10)
	return string(b)
}

func quote(etag string) string { return `"` + etag + `"` }

// setter writes headers whose names are already in their final form.
type setter struct {
	h      http.Header
	values []string
}

func (s *setter) put(name, value string) {
	s.values = append(s.values, value)
	n := len(s.values)
	s.h[name] = s.values[n-1 : n : n]
}

func (s *setter) optional(name, value string) {
	if value != "" {
		s.put(name, value)
	}
}

func (s *setter) attributes(a *object.Attributes) {
	contentType := a.ContentType
	if contentType == "" {
		contentType = "binary/octet-stream"
	}
	s.put("Content-Type", contentType)
	s.optional("Content-Encoding", a.ContentEncoding)
	s.optional("Content-Disposition", a.ContentDisposition)
	s.optional("Content-Language", a.ContentLanguage)
	s.optional("Cache-Control", a.CacheControl)
	s.optional("Expires", a.Expires)
	s.optional("X-Amz-Website-Redirect-Location", a.WebsiteRedirect)
	if a.StorageClass != "" && a.StorageClass != "STANDARD" {
		s.put("X-Amz-Storage-Class", a.StorageClass)
	}
	for _, m := range a.User {
		s.put("x-amz-meta-"+m.Key, headerText(m.Value))
	}
}

func (s *setter) checksum(sum object.Checksum, parts int) {
	for _, a := range algorithmHeaders {
		if a.algorithm != sum.Algorithm || sum.Value == nil {
			continue
		}
		s.put(a.header, checksumText(sum, parts))
		s.put("X-Amz-Checksum-Type", checksumType(sum))
	}
}

// partChecksum writes the checksum of one part; the type stays that of the object.
func (s *setter) partChecksum(part, whole object.Checksum) {
	s.checksum(part, 0)
	if part.Algorithm == whole.Algorithm {
		s.h["X-Amz-Checksum-Type"] = []string{checksumType(whole)}
	}
}

// headerText is a metadata value as a header can carry it: RFC 2047 when it is not printable ASCII.
func headerText(v string) string {
	for i := 0; i < len(v); i++ {
		if (v[i] < ' ' && v[i] != '\t') || v[i] > '~' {
			return mime.QEncoding.Encode("UTF-8", v)
		}
	}
	return v
}

// safeHeader refuses values that could break out of their header.
func safeHeader(v string) bool { return !strings.ContainsAny(v, "\r\n\x00") }

// readConditions are the conditional headers of a read, or of a copy's source.
type readConditions struct {
	names                          *conditionNames
	match, noneMatch               string
	modifiedSince, unmodifiedSince time.Time
	any                            bool
}

// conditionNames are the four headers, and how the error document spells them.
type conditionNames struct {
	match, noneMatch, modifiedSince, unmodifiedSince string
	told                                             func(string) string
}

var (
	plainConditions = conditionNames{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
		func(name string) string { return name }}
	sourceConditions = conditionNames{"X-Amz-Copy-Source-If-Match", "X-Amz-Copy-Source-If-None-Match",
		"X-Amz-Copy-Source-If-Modified-Since", "X-Amz-Copy-Source-If-Unmodified-Since", strings.ToLower}
)

func (r *readConditions) read(h http.Header, names *conditionNames) {
	r.names = names
	r.match, r.noneMatch = first(h, names.match), first(h, names.noneMatch)
	r.modifiedSince = httpTime(first(h, names.modifiedSince))
	r.unmodifiedSince = httpTime(first(h, names.unmodifiedSince))
	r.any = r.match != "" || r.noneMatch != "" || !r.modifiedSince.IsZero() || !r.unmodifiedSince.IsZero()
}

func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func httpTime(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := http.ParseTime(text)
	if err != nil {
		return time.Time{} // an unreadable date is no condition (RFC 9110, 13.1.3)
	}
	return t
}

// check applies the conditions in the order of RFC 9110, 13.2.2. unchanged is the failure of
// If-None-Match and If-Modified-Since: 304 for reads, 412 for copies.
func (r *readConditions) check(info *object.Info, unchanged fault.Kind) error {
	if !r.any {
		return nil
	}
	kind, name := r.failed(info, unchanged)
	if name == "" {
		return nil
	}
	return fault.New(kind, "", "Condition", r.names.told(name))
}

// failed names the first condition that does not hold, "" when all do.
func (r *readConditions) failed(info *object.Info, unchanged fault.Kind) (fault.Kind, string) {
	modified := info.Modified.Truncate(time.Second)
	switch {
	case r.match != "":
		if !etagMatches(r.match, info.ETag) {
			return object.PreconditionFailed, r.names.match
		}
	case !r.unmodifiedSince.IsZero() && modified.After(r.unmodifiedSince):
		return object.PreconditionFailed, r.names.unmodifiedSince
	}
	switch {
	case r.noneMatch != "":
		if etagMatches(r.noneMatch, info.ETag) {
			return unchanged, r.names.noneMatch
		}
	case !r.modifiedSince.IsZero() && !modified.After(r.modifiedSince):
		return unchanged, r.names.modifiedSince
	}
	return "", ""
}

// etagMatches compares a list of ETags, with or without quotes, or "*".
func etagMatches(list, etag string) bool {
	for list != "" {
		var one string
		one, list, _ = strings.Cut(list, ",")
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || strings.Trim(one, `"`) == etag {
			return true
		}
	}
	return false
}
