package s3

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

func (s *Service) writeOps() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[object.PutInput, writeOutput]{
			Wire: &s3wire.PutObject, Class: audit.Data, Access: api.Write, Unsigned: true,
			Decode: s.decodePut, Demands: s.putDemands, Do: s.put,
		}),
		s.copyObject(),
	}
}

func (s *Service) decodePut(c *api.Call, in *object.PutInput) error {
	t, h := at(c), c.R.Header
	in.Bucket, in.Key = t.bucket, t.key
	var err error
	if in.Size, err = bodyLength(c, object.MaxSingle); err != nil {
		return err
	}
	if in.Expect, err = expected(c); err != nil {
		return err
	}
	if err := readAttributes(h, &in.Attributes); err != nil {
		return err
	}
	if in.Tags, err = headerTags(h); err != nil {
		return err
	}
	if in.If, err = writeCondition(h); err != nil {
		return err
	}
	if in.Lock, err = bodyLock(h, &in.Expect); err != nil {
		return err
	}
	in.Body = s.screened(c, c.Caller.Body)
	s.readEncryption(c)
	return refuseUploadHeaders(h)
}

// screened is an upload's body, looked at while it is read. What Kura itself writes is not.
func (s *Service) screened(c *api.Call, body io.Reader) io.Reader {
	if s.config.Screen == nil || body == nil || c.Inside() {
		return body
	}
	return s.config.Screen(&c.Event, body)
}

// bodyLength is the announced size of an upload's body; S3 takes no body without one.
func bodyLength(c *api.Call, most int64) (int64, error) {
	n := c.Caller.DecodedLength
	switch {
	case n < 0:
		return 0, fault.New(missingLength, "")
	case n > most:
		return 0, fault.New(object.EntityTooLarge, "", "ProposedSize", strconv.FormatInt(n, 10),
			"MaxSizeAllowed", strconv.FormatInt(most, 10))
	}
	c.Event.BytesIn = n
	return n, nil
}

// writeKeys are the condition keys of a request that creates an object.
type writeKeys struct {
	tags []object.Tag
	h    http.Header
}

func (k writeKeys) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "s3:if-match":
		v := first(k.h, "If-Match")
		return policy.Values{One: v}, v != ""
	case "s3:if-none-match":
		v := first(k.h, "If-None-Match")
		return policy.Values{One: v}, v != ""
	case "s3:objectcreationoperation":
		return policy.Values{One: "true"}, true
	}
	if strings.HasPrefix(key, "s3:object-lock-") {
		return headerLockKeys(k.h).Lookup(key)
	}
	return tagKeys{k.tags}.Lookup(key)
}

func (s *Service) putDemands(c *api.Call, in *object.PutInput) ([]authz.Demand, error) {
	return s.createDemands(c, c.R.Header, in.Tags)
}

// createDemands are the permissions of everything that creates an object under the addressed key; h
// holds the request's headers, or the form fields that stand for them.
func (s *Service) createDemands(c *api.Call, h http.Header, tags []object.Tag) ([]authz.Demand, error) {
	b, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if err := checkKey(at(c).key); err != nil {
		return nil, err
	}
	resource, keys := s.newKeyResource(caller(c), b, at(c).key), writeKeys{tags, h}
	demands := c.Need("s3:PutObject", resource, keys)
	if asksACL(h) && !delivers(caller(c), h) {
		demands = c.Need("s3:PutObjectAcl", resource, s.exposingObject(c, keys, func() (acl, error) {
			r := readACLRequest(h)
			return r.list(s, objectCanned, b.Owner.Canonical, b.Owner.Canonical)
		}))
	}
	if len(tags) > 0 {
		resource.Granted = false // ACLs say nothing about tags
		demands = c.Need("s3:PutObjectTagging", resource, keys)
	}
	demands = needLock(c, resource, h, keys, demands)
	return s.needMatch(c, h, demands)
}

// delivers tells of a service that gives the bucket's owner what it delivers. The policies that AWS
// documents for such deliveries allow s3:PutObject alone.
func delivers(p *policy.Principal, h http.Header) bool {
	r := readACLRequest(h)
	return p.Type == policy.Service && r.canned == "bucket-owner-full-control" && !r.explicit()
}

// needMatch adds what If-Match needs: its answer tells what is stored, so the caller must be allowed
// to read it (S3 User Guide, "How to prevent object overwrites with conditional writes").
func (s *Service) needMatch(c *api.Call, h http.Header, demands []authz.Demand) ([]authz.Demand, error) {
	for _, name := range matchHeaders {
		if len(h[name]) > 0 {
			return s.needKey(c, "s3:GetObject")
		}
	}
	return demands, nil
}

var matchHeaders = []string{"If-Match", "X-Amz-If-Match-Size", "X-Amz-If-Match-Last-Modified-Time"}

func (s *Service) put(ctx context.Context, g authz.Grant, c *api.Call, in *object.PutInput) (*writeOutput, error) {
	var err error
	if in.Owner, in.ACL, err = s.newACL(caller(c), at(c).found, in.Key, c.R.Header, "s3:PutObject"); err != nil {
		return nil, err
	}
	if in.Seal, err = s.seal(ctx, g, c, in.Key); err != nil {
		return nil, err
	}
	info, err := s.config.Objects.Put(ctx, g, in)
	if err != nil {
		return nil, err
	}
	s.tellExpiration(c, info)
	c.Event.ObjectSize = info.Size
	return &writeOutput{info}, nil
}

// writeOutput is the answer of PutObject: headers only.
type writeOutput struct{ info *object.Info }

// Respond sends ETag, version and checksum.
func (o *writeOutput) Respond(c *api.Call) error {
	o.headers(c)
	return c.W.Send(http.StatusOK, "", nil)
}

func (o *writeOutput) headers(c *api.Call) {
	h := c.W.Header()
	set := setter{h: h, values: make([]string, 0, 6)}
	set.put("ETag", quote(o.info.ETag))
	set.encryption(o.info.Encryption, o.info.Sealed, at(c).sse.CustomerKey())
	if id := newVersionOf(o.info); id != nil {
		set.put("X-Amz-Version-Id", *id)
	}
	set.checksum(o.info.Checksum, o.info.Parts)
}

// checksumText is a checksum as clients read it: base64, and the number of parts when composite.
func checksumText(sum object.Checksum, parts int) string {
	text := base64.StdEncoding.EncodeToString(sum.Value)
	if sum.Composite && parts > 0 {
		text += "-" + strconv.Itoa(parts)
	}
	return text
}

func checksumType(sum object.Checksum) string {
	if sum.Composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// maxMetadata bounds the names and values of user metadata together.
const maxMetadata = 2048

// readAttributes takes what the client says about its object from the request's headers.
func readAttributes(h http.Header, a *object.Attributes) error {
	size := 0
	for name, values := range h {
		if set, ok := attributeHeaders[name]; ok {
			set(a, values[0])
			continue
		}
		if len(name) > len(metaPrefix) && strings.HasPrefix(name, metaPrefix) {
			m := object.Tag{Key: strings.ToLower(name[len(metaPrefix):]), Value: strings.Join(values, ",")}
			size += len(m.Key) + len(m.Value)
			a.User = append(a.User, m)
		}
	}
	return finishAttributes(a, size)
}

const metaPrefix = "X-Amz-Meta-"

func finishAttributes(a *object.Attributes, size int) error {
	if size > maxMetadata {
		return fault.New(metadataTooLarge, "", "Size", strconv.Itoa(size), "MaxSizeAllowed", strconv.Itoa(maxMetadata))
	}
	if len(a.User) > 1 {
		sort.Slice(a.User, func(i, j int) bool { return a.User[i].Key < a.User[j].Key })
	}
	a.ContentEncoding = withoutChunked(a.ContentEncoding)
	if a.StorageClass != "" && !storageClasses[a.StorageClass] {
		if elsewhereClasses[a.StorageClass] {
			return unsupported("x-amz-storage-class")
		}
		return fault.New(invalidStorageClass, "", "StorageClassRequested", a.StorageClass)
	}
	if r := a.WebsiteRedirect; r != "" && !strings.HasPrefix(r, "/") && !strings.HasPrefix(r, "http://") && !strings.HasPrefix(r, "https://") {
		return badArgument("The website redirect location must have a prefix of 'http://' or 'https://' or '/'.", "x-amz-website-redirect-location", r)
	}
	return nil
}

var attributeHeaders = map[string]func(*object.Attributes, string){
	"Content-Type":                    func(a *object.Attributes, v string) { a.ContentType = v },
	"Content-Encoding":                func(a *object.Attributes, v string) { a.ContentEncoding = v },
	"Content-Disposition":             func(a *object.Attributes, v string) { a.ContentDisposition = v },
	"Content-Language":                func(a *object.Attributes, v string) { a.ContentLanguage = v },
	"Cache-Control":                   func(a *object.Attributes, v string) { a.CacheControl = v },
	"Expires":                         func(a *object.Attributes, v string) { a.Expires = v },
	"X-Amz-Storage-Class":             func(a *object.Attributes, v string) { a.StorageClass = v },
	"X-Amz-Website-Redirect-Location": func(a *object.Attributes, v string) { a.WebsiteRedirect = v },
}

// storageClasses are accepted and reported; all lie on the same media (docs/architecture.md).
var storageClasses = map[string]bool{
	"STANDARD": true, "REDUCED_REDUNDANCY": true, "STANDARD_IA": true, "ONEZONE_IA": true,
	"INTELLIGENT_TIERING": true, "GLACIER_IR": true, "GLACIER": true, "DEEP_ARCHIVE": true,
}

// elsewhereClasses are of services and devices that Kura does not have.
var elsewhereClasses = map[string]bool{
	"OUTPOSTS": true, "SNOW": true, "EXPRESS_ONEZONE": true,
	"FSX_OPENZFS": true, "FSX_ONTAP": true,
}

// withoutChunked cuts the transfer coding "aws-chunked" out of a Content-Encoding.
func withoutChunked(encoding string) string {
	if !strings.Contains(encoding, "aws-chunked") {
		return encoding
	}
	kept := make([]string, 0, 2)
	for _, coding := range strings.Split(encoding, ",") {
		if coding = strings.TrimSpace(coding); coding != "aws-chunked" && coding != "" {
			kept = append(kept, coding)
		}
	}
	return strings.Join(kept, ",")
}

// writeCondition reads the conditional headers of a write.
func writeCondition(h http.Header) (object.Precondition, error) {
	var p object.Precondition
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if len(h[name]) > 0 {
			return p, fault.New(unsupportedHeader, "", "Header", name, "additionalMessage", "We don't accept the provided value of "+name+" header for this API")
		}
	}
	match, noneMatch := first(h, "If-Match"), first(h, "If-None-Match")
	switch {
	case match != "" && noneMatch != "":
		return p, fault.New(unsupportedHeader, "", "Header", "If-Match,If-None-Match", "additionalMessage", "Multiple conditional request headers present in the request")
	case noneMatch != "" && strings.Trim(noneMatch, `"`) != "*":
		return p, fault.New(unsupportedHeader, "", "Header", "If-None-Match", "additionalMessage", "We don't accept the provided value of If-None-Match header for this API")
	case match == "*":
		return p, fault.New(unsupportedHeader, "", "Header", "If-Match", "additionalMessage", "We don't accept the provided value of If-Match header for this API")
	}
	p.IfNoneMatch, p.IfMatch = noneMatch != "", strings.Trim(match, `"`)
	return p, nil
}

// refuseUploadHeaders names what Kura does not do yet, instead of storing less than was asked for.
func refuseUploadHeaders(h http.Header) error {
	for _, name := range notYet {
		if len(h[name]) > 0 {
			return unsupported(strings.ToLower(name))
		}
	}
	return nil
}

var notYet = []string{
	"X-Amz-Write-Offset-Bytes",
}

// headerTags reads x-amz-tagging, a URL-encoded query.
func headerTags(h http.Header) ([]object.Tag, error) {
	text := first(h, "X-Amz-Tagging")
	if text == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, badTagHeader(text)
	}
	tags := make([]object.Tag, 0, len(values))
	for key, v := range values {
		if len(v) != 1 {
			return nil, badTagHeader(text)
		}
		tags = append(tags, object.Tag{Key: key, Value: v[0]})
	}
	sort.Slice(tags, func(i, j int) bool { return tags[i].Key < tags[j].Key })
	return tags, checkObjectTags(tags)
}

func badTagHeader(text string) error {
	return badArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.", "x-amz-tagging", text)
}

// checkKey refuses keys that are too long before anything is done with them.
func checkKey(key string) error {
	if len(key) > object.MaxKey {
		return fault.New(object.KeyTooLong, "", "Size", strconv.Itoa(len(key)), "MaxSizeAllowed", strconv.Itoa(object.MaxKey))
	}
	return nil
}
