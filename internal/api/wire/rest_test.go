package wire_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
)

func ptr[T any](x T) *T { return &x }

func TestBindings(t *testing.T) {
	req := &wire.Request{
		Path:  labels("Bucket", "b", "Key", "a/é"),
		Query: url.Values{"max-parts": {"7"}, "versionId": {""}},
		Header: http.Header{
			"X-Amz-Object-Attributes":     {"ETag, Checksum", "ObjectSize"},
			"X-Amz-Max-Parts":             {"12"},
			"X-Amz-Expected-Bucket-Owner": {"123456789012"},
		},
	}
	var in s3wire.GetObjectAttributesInput
	if err := wire.Decode(&s3wire.GetObjectAttributes, req, &in); err != nil {
		t.Fatal(err)
	}
	want := s3wire.GetObjectAttributesInput{
		Bucket: ptr("b"), Key: ptr("a/é"), VersionId: ptr(""), MaxParts: ptr(int32(12)), ExpectedBucketOwner: ptr("123456789012"),
		ObjectAttributes: []s3wire.ObjectAttributes{s3wire.ObjectAttributesETag, s3wire.ObjectAttributesChecksum, s3wire.ObjectAttributesObjectSize},
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Error(diff)
	}
}

func TestPutObjectHeaders(t *testing.T) {
	req := bucketRequest("the body is a stream and not looked at")
	for name, value := range map[string]string{
		"x-amz-meta-Owner": "Me", "x-amz-meta-x": "", "x-amz-meta-": "no name", "Expires": "0",
		"x-amz-object-lock-retain-until-date": "2030-01-02T03:04:05.678Z", "x-amz-storage-class": "NEW_CLASS",
		"x-amz-server-side-encryption-bucket-key-enabled": "True",
	} {
		req.Header[http.CanonicalHeaderKey(name)] = []string{value}
	}
	var in s3wire.PutObjectInput
	if err := wire.Decode(&s3wire.PutObject, req, &in); err != nil {
		t.Fatal(err)
	}
	want := s3wire.PutObjectInput{
		Bucket: ptr("b"), Key: ptr("a/b"), Expires: ptr("0"), StorageClass: "NEW_CLASS", BucketKeyEnabled: ptr(true),
		Metadata:                  map[string]string{"owner": "Me", "x": ""},
		ObjectLockRetainUntilDate: ptr(time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)),
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Error(diff)
	}
	if in.StorageClass.Valid() {
		t.Error("NEW_CLASS passes for a storage class")
	}
}

func TestBindingsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		op     *wire.Operation
		change func(*wire.Request)
		kind   wire.ErrorKind
		member string
	}{
		"header twice":       {&s3wire.PutObject, func(r *wire.Request) { r.Header["X-Amz-Acl"] = []string{"private", "public-read"} }, wire.Duplicate, "X-Amz-Acl"},
		"query twice":        {&s3wire.GetObject, func(r *wire.Request) { r.Query["versionId"] = []string{"a", "b"} }, wire.Duplicate, "versionId"},
		"number":             {&s3wire.ListObjectsV2, func(r *wire.Request) { r.Query.Set("max-keys", "ten") }, wire.BadValue, "max-keys"},
		"number too large":   {&s3wire.ListObjectsV2, func(r *wire.Request) { r.Query.Set("max-keys", "2147483648") }, wire.BadValue, "max-keys"},
		"boolean":            {&s3wire.DeleteObject, func(r *wire.Request) { r.Header.Set("X-Amz-Bypass-Governance-Retention", "1") }, wire.BadValue, "X-Amz-Bypass-Governance-Retention"},
		"date":               {&s3wire.GetObject, func(r *wire.Request) { r.Header.Set("If-Modified-Since", "yesterday") }, wire.BadValue, "If-Modified-Since"},
		"required header":    {&s3wire.CopyObject, func(*wire.Request) {}, wire.MissingHeader, "X-Amz-Copy-Source"},
		"required parameter": {&s3wire.UploadPart, func(r *wire.Request) { r.Query.Set("partNumber", "1") }, wire.MissingMember, "uploadId"},
		"required label":     {&s3wire.GetObject, func(r *wire.Request) { r.Path = labels("Bucket", "b") }, wire.MissingMember, "Key"},
	} {
		t.Run(name, func(t *testing.T) {
			req := bucketRequest("")
			c.change(req)
			err := wire.Decode(c.op, req, c.op.NewInput())
			e, ok := err.(*wire.Error)
			if !ok || e.Kind != c.kind || e.Member != c.member {
				t.Errorf("got %v, want %s %s", err, c.kind, c.member)
			}
		})
	}
}

func TestXMLElementsRequired(t *testing.T) {
	for body, member := range map[string]string{
		`<CORSConfiguration/>`: "CORSRule",
		`<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>`: "CORSRule.AllowedOrigin",
	} {
		err := wire.Decode(&s3wire.PutBucketCors, bucketRequest(body), &s3wire.PutBucketCorsInput{})
		if e, ok := err.(*wire.Error); !ok || e.Kind != wire.MissingElement || e.Member != member {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestEmptyListsKeepTheirMeaning(t *testing.T) {
	var in s3wire.PutBucketTaggingInput
	if err := wire.Decode(&s3wire.PutBucketTagging, bucketRequest(`<Tagging><TagSet/></Tagging>`), &in); err != nil {
		t.Fatal(err)
	}
	if in.Tagging.TagSet == nil || len(in.Tagging.TagSet) != 0 {
		t.Errorf("TagSet is %#v", in.Tagging.TagSet)
	}
	body, err := wire.Encode(&s3wire.GetBucketTagging, &s3wire.GetBucketTaggingOutput{TagSet: []s3wire.Tag{}}, http.Header{})
	if want := `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet></TagSet></Tagging>`; err != nil || !strings.HasSuffix(string(body), want) {
		t.Errorf("%v %s", err, body)
	}
}

func TestLimitsOfXML(t *testing.T) {
	for name, body := range map[string]string{
		"elements":   "<Delete>" + strings.Repeat("<Object><Key>a</Key></Object>", 100_001) + "</Delete>",
		"attributes": "<Delete" + attributes(17) + "/>",
	} {
		err := wire.Decode(&s3wire.DeleteObjects, bucketRequest(body), &s3wire.DeleteObjectsInput{})
		if e, ok := err.(*wire.Error); !ok || e.Kind != wire.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" xmlns:" + strings.Repeat("a", i+1) + `="u"`)
	}
	return b.String()
}

// TestTextInManyPieces: splitting a value with comments must not cost the square of its length.
func TestTextInManyPieces(t *testing.T) {
	const n = 200_000
	body := "<Tagging><TagSet><Tag><Key>" + strings.Repeat("a<!---->", n) + "</Key><Value/></Tag></TagSet></Tagging>"
	var in s3wire.PutBucketTaggingInput
	if err := wire.Decode(&s3wire.PutBucketTagging, bucketRequest(body), &in); err != nil {
		t.Fatal(err)
	}
	if *in.Tagging.TagSet[0].Key != strings.Repeat("a", n) {
		t.Error("pieces lost")
	}
	allocs := testing.AllocsPerRun(1, func() {
		_ = wire.Decode(&s3wire.PutBucketTagging, bucketRequest(body), &s3wire.PutBucketTaggingInput{})
	})
	if allocs > 200 {
		t.Errorf("%.0f allocations", allocs)
	}
}

func TestPayloads(t *testing.T) {
	const policy = "{\n \"Version\": \"2012-10-17\"}"
	var in s3wire.PutBucketPolicyInput
	if err := wire.Decode(&s3wire.PutBucketPolicy, bucketRequest(policy), &in); err != nil || *in.Policy != policy {
		t.Errorf("%v %v", err, in.Policy)
	}
	header := http.Header{}
	body, err := wire.Encode(&s3wire.GetBucketPolicy, &s3wire.GetBucketPolicyOutput{Policy: ptr(policy)}, header)
	if err != nil || string(body) != policy || header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s %v", err, body, header)
	}
	body, err = wire.Encode(&s3wire.GetBucketLocation, &s3wire.GetBucketLocationOutput{LocationConstraint: "eu-west-1"}, header)
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>`
	if err != nil || string(body) != want {
		t.Errorf("%v %s", err, body)
	}
	body, err = wire.Encode(&s3wire.DeleteBucket, nil, http.Header{})
	if err != nil || len(body) != 0 {
		t.Errorf("%v %q", err, body)
	}
}

func TestHeadersCannotBeSplit(t *testing.T) {
	for name, out := range map[string]*s3wire.GetObjectOutput{
		"value":         {ContentDisposition: ptr("a\r\nSet-Cookie: b")},
		"metadata":      {Metadata: map[string]string{"a": "b\nc: d"}},
		"metadata name": {Metadata: map[string]string{"a: b\r\nc": "d"}},
		"empty name":    {Metadata: map[string]string{"": "d"}},
	} {
		if _, err := wire.Encode(&s3wire.GetObject, out, http.Header{}); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	header := http.Header{}
	if _, err := wire.Encode(&s3wire.GetObject, &s3wire.GetObjectOutput{Metadata: map[string]string{"owner": "me"}}, header); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"x-amz-meta-owner": {"me"}}, header); diff != "" {
		t.Error(diff)
	}
}

func TestForeignStructsAreRefused(t *testing.T) {
	for _, x := range []any{nil, 1, s3wire.GetObjectInput{}, (*s3wire.GetObjectInput)(nil), &s3wire.PutObjectInput{}, new(int)} {
		if err := wire.Decode(&s3wire.GetObject, bucketRequest(""), x); err == nil {
			t.Errorf("%T was filled", x)
		}
	}
}

func TestTakesQuery(t *testing.T) {
	for name, want := range map[string]bool{"list-type": true, "prefix": true, "policy": false, "": false} {
		if got := s3wire.ListObjectsV2.TakesQuery(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// restJSON is a small operation of a service that does not exist, with a member in every place.
type (
	PutThingInput struct {
		Name  *string
		When  *time.Time
		Tags  map[string]string
		Parts []Part
	}
	Part struct {
		Size *float64
		Data []byte
	}
	PutThingOutput struct {
		Code *int32
		Etag *string
		At   *time.Time
		Part *Part
	}
)

const (
	idIn wire.ShapeID = iota
	idOut
	idText
	idTime
	idTags
	idParts
	idPart
	idNumber
	idBytes
	idCode
)

var thing = wire.Operation{
	Service: "things", Name: "PutThing", Protocol: wire.RestJSON, Method: "PUT", URI: "/things/{name}", Status: 201,
	Input: idIn, Output: idOut, NewInput: func() any { return new(PutThingInput) }, NewOutput: func() any { return new(PutThingOutput) },
	Model: &wire.Model{Package: "/wire_test", Shapes: []wire.Shape{
		idIn: {GoType: "PutThingInput", Kind: wire.Structure, Members: []wire.Member{
			{Name: "Name", Wire: "name", In: wire.InPath, Shape: idText, Required: true},
			{Name: "When", Wire: "when", Shape: idTime, Format: wire.ISO8601},
			{Name: "Tags", Wire: "tags", Shape: idTags}, {Name: "Parts", Wire: "parts", Shape: idParts},
		}},
		idOut: {GoType: "PutThingOutput", Kind: wire.Structure, Members: []wire.Member{
			{Name: "Code", In: wire.InStatus, Shape: idCode}, {Name: "Etag", Wire: "Etag", In: wire.InHeader, Shape: idText},
			{Name: "At", Wire: "at", Shape: idTime}, {Name: "Part", Wire: "part", Shape: idPart},
		}},
		idText: {Kind: wire.String}, idTime: {Kind: wire.Timestamp}, idNumber: {Kind: wire.Double}, idBytes: {Kind: wire.Blob},
		idCode: {Kind: wire.Integer}, idTags: {Kind: wire.Map, Key: idText, Elem: idText}, idParts: {Kind: wire.List, Elem: idPart},
		idPart: {GoType: "Part", Kind: wire.Structure, Members: []wire.Member{
			{Name: "Size", Wire: "size", Shape: idNumber}, {Name: "Data", Wire: "data", Shape: idBytes},
		}},
	}},
}

func TestRestJSON(t *testing.T) {
	req := &wire.Request{Path: labels("name", "n"), Body: []byte(`{"parts":[{"size":1.5,"data":"AAE="},{}],"when":"2024-01-02T03:04:05Z","tags":{"a":"b"}}`)}
	var in PutThingInput
	if err := wire.Decode(&thing, req, &in); err != nil {
		t.Fatal(err)
	}
	want := PutThingInput{
		Name: ptr("n"), When: ptr(time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)), Tags: map[string]string{"a": "b"},
		Parts: []Part{{Size: ptr(1.5), Data: []byte{0, 1}}, {}},
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Error(diff)
	}
	out := PutThingOutput{Code: ptr(int32(202)), Etag: ptr("e"), At: ptr(time.UnixMilli(1700000000250)), Part: &Part{Size: ptr(2.0), Data: []byte{255}}}
	header := http.Header{}
	body, err := wire.Encode(&thing, &out, header)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(body); got != `{"at":1700000000.25,"part":{"size":2,"data":"/w=="}}` {
		t.Error(got)
	}
	if diff := cmp.Diff(http.Header{"Content-Type": {"application/json"}, "Etag": {"e"}}, header); diff != "" {
		t.Error(diff)
	}
	if got := wire.StatusOf(&thing, &out); got != 202 {
		t.Errorf("status %d", got)
	}
	if got := wire.StatusOf(&thing, nil); got != 201 {
		t.Errorf("status %d", got)
	}
}
