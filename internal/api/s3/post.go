package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// PostObject is the upload by an HTML form. It is in no API model: its binding stands here.
var postObject = &wire.Operation{
	Service: "s3", Name: "PostObject", Protocol: wire.RestXML, Method: http.MethodPost, URI: "/{Bucket}",
	Status: http.StatusNoContent, StreamingInput: true,
}

const (
	maxFormFields = 20 << 10 // bytes of fields before the file (S3 API Reference, "POST Object")
	maxFieldCount = 100
)

// form is a form upload, read up to its file.
type form struct {
	fields   []authn.FormField
	values   map[string]string // by lower-case name
	fileName string
	file     io.Reader
	policy   *authn.PostPolicy
	most     int64
}

func isFormUpload(r *http.Request, t *target) bool {
	if r.Method != http.MethodPost || t.level != levelBucket || r.URL.RawQuery != "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "multipart/form-data"
}

// authenticateForm reads the form up to its file and verifies its signature and policy.
func (s *Service) authenticateForm(c *api.Call, _ authn.Info) (*authn.Caller, error) {
	if c.R.ContentLength < 0 {
		return nil, fault.New(missingLength, "")
	}
	f, err := readForm(c.R)
	if err != nil {
		return nil, err
	}
	t := at(c)
	t.form = f
	caller, policy, err := s.config.Authn.Form(c.R, f.fields, t.bucket)
	if err != nil {
		return nil, err
	}
	f.policy = policy
	return caller, nil
}

func readForm(r *http.Request) (*form, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, fault.New(malformedPost, "")
	}
	f := &form{values: map[string]string{}, most: r.ContentLength}
	budget := int64(maxFormFields)
	for len(f.fields) <= maxFieldCount {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil, badArgument("POST requires exactly one file upload per request.", "file", "0")
		}
		if err != nil {
			return nil, &fault.Error{Kind: malformedPost, Cause: err}
		}
		if strings.EqualFold(part.FormName(), "file") {
			f.open(part)
			return f, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, budget+1))
		if err != nil {
			return nil, &fault.Error{Kind: malformedPost, Cause: err}
		}
		if budget -= int64(len(value) + len(part.FormName())); budget < 0 {
			return nil, fault.New(api.BodyTooLarge, "Your POST request fields preceding the upload file were too large.", "MaxPostPreDataLengthBytes", fmt.Sprint(maxFormFields))
		}
		f.fields = append(f.fields, authn.FormField{Name: part.FormName(), Value: string(value)})
	}
	return nil, fault.New(malformedPost, "")
}

// open takes the part that is the file; fields behind it are ignored, as in S3.
func (f *form) open(part *multipart.Part) {
	f.file, f.fileName = part, path.Base(strings.ReplaceAll(part.FileName(), `\`, "/"))
	if part.FileName() == "" {
		f.fileName = ""
	}
	for i := range f.fields {
		field := &f.fields[i]
		field.Value = strings.ReplaceAll(field.Value, "${filename}", f.fileName)
		f.values[strings.ToLower(field.Name)] = field.Value
	}
}

// headers gives the fields that stand for headers of PutObject, by the headers' names.
func (f *form) headers() http.Header {
	h := http.Header{}
	for name, value := range f.values {
		switch {
		case name == "acl":
			h.Set("X-Amz-Acl", value)
		case name == "tagging":
			continue
		case strings.HasPrefix(name, "x-amz-") && !signatureFields[name], formHeaders[name]:
			h.Set(name, value)
		}
	}
	return h
}

var formHeaders = map[string]bool{
	"cache-control": true, "content-type": true, "content-disposition": true, "content-encoding": true,
	"content-language": true, "content-md5": true, "expires": true,
}

var signatureFields = map[string]bool{
	"x-amz-algorithm": true, "x-amz-credential": true, "x-amz-date": true, "x-amz-signature": true,
	"x-amz-security-token": true,
}

func (s *Service) postObject() *api.Op {
	return api.Declare(api.Decl[object.PutInput, postOutput]{
		Wire: postObject, Class: audit.Data, Access: api.Write, Unsigned: true,
		Decode: s.decodePost, Demands: s.postDemands, Do: s.postPut,
	})
}

func (s *Service) decodePost(c *api.Call, in *object.PutInput) error {
	t := at(c)
	f := t.form
	key, ok := f.values["key"]
	if !ok || key == "" {
		return fault.New(fieldMissing, "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.", "ArgumentName", "key", "ArgumentValue", "")
	}
	t.key = key
	c.Event.Key = key
	in.Bucket, in.Key = t.bucket, key
	h := f.headers()
	var err error
	if err = readAttributes(h, &in.Attributes); err != nil {
		return err
	}
	if in.Expect.MD5, err = expectedMD5(h); err != nil {
		return err
	}
	sum, err := checksumHeader(h)
	if err != nil {
		return err
	}
	if sum.Value != nil {
		in.Expect.Algorithm = sum.Algorithm
		in.Expect.Value = func() ([]byte, error) { return sum.Value, nil }
	}
	if in.Tags, err = formTags(f.values["tagging"]); err != nil {
		return err
	}
	if in.Lock, err = headerLock(h); err != nil {
		return err
	}
	in.Size, in.MaxSize = -1, min(f.most, object.MaxSingle)
	in.Body = s.screened(c, formBody{f.policy.Limit(f.file)})
	s.readEncryption(c)
	return refuseUploadHeaders(h)
}

// formBody names a broken form while the file is read.
type formBody struct{ r io.Reader }

func (b formBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	switch {
	case err == nil || err == io.EOF || fault.Of(err) != "":
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, &fault.Error{Kind: malformedPost, Cause: err}
	}
	return n, &fault.Error{Kind: api.ClientGone, Cause: err}
}

// formTags reads the field "tagging": the XML of PutObjectTagging.
func formTags(text string) ([]object.Tag, error) {
	if text == "" {
		return nil, nil
	}
	in := &s3wire.PutObjectTaggingInput{}
	err := wire.Decode(&s3wire.PutObjectTagging, &wire.Request{
		Path: func(string) string { return "-" }, Query: url.Values{}, Header: http.Header{}, Body: []byte(text),
	}, in)
	if err != nil || in.Tagging == nil {
		return nil, fault.New(malformedXML, "")
	}
	tags := plainTags(in.Tagging.TagSet)
	return tags, checkObjectTags(tags)
}

func (s *Service) postDemands(c *api.Call, in *object.PutInput) ([]authz.Demand, error) {
	return s.createDemands(c, at(c).form.headers(), in.Tags)
}

func (s *Service) postPut(ctx context.Context, g authz.Grant, c *api.Call, in *object.PutInput) (*postOutput, error) {
	t := at(c)
	var err error
	if in.Owner, in.ACL, err = s.newACL(caller(c), t.found, in.Key, t.form.headers(), "s3:PutObject"); err != nil {
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
	c.Event.ObjectSize, c.Event.BytesIn = info.Size, info.Size
	return &postOutput{writeOutput{info}}, nil
}

// postOutput answers a form: a redirect, a document, or nothing, as the form wished.
type postOutput struct{ writeOutput }

// Respond sends it.
func (o *postOutput) Respond(c *api.Call) error {
	t := at(c)
	o.headers(c)
	where := location(c, t)
	c.W.Header().Set("Location", where)
	if next := t.form.redirect(); next != nil {
		told := "bucket=" + url.QueryEscape(t.bucket) + "&key=" + url.QueryEscape(t.key) + "&etag=" + url.QueryEscape(quote(o.info.ETag))
		next.RawQuery = strings.TrimPrefix(next.RawQuery+"&"+told, "&")
		c.W.Header().Set("Location", next.String())
		return c.W.Send(http.StatusSeeOther, "", nil)
	}
	switch t.form.values["success_action_status"] {
	case "200":
		return c.W.Send(http.StatusOK, "", nil)
	case "201":
		x := xmlPage{}
		x.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<PostResponse>")
		x.text("Location", where)
		x.text("Bucket", t.bucket)
		x.text("Key", t.key)
		x.text("ETag", quote(o.info.ETag))
		x.raw("</PostResponse>")
		return c.W.Send(http.StatusCreated, "application/xml", x.b)
	}
	return c.W.Send(http.StatusNoContent, "", nil)
}

// redirect is where the form wants the browser to go, nil when nowhere that is a web address.
func (f *form) redirect() *url.URL {
	text := f.values["success_action_redirect"]
	if text == "" {
		text = f.values["redirect"]
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return u
}
