package wire_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
)

// labels gives a Request's Path from pairs.
func labels(pairs ...string) func(string) string {
	return func(label string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == label {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func bucketRequest(body string) *wire.Request {
	return &wire.Request{Path: labels("Bucket", "b", "Key", "a/b"), Query: url.Values{}, Header: http.Header{}, Body: []byte(body)}
}

func TestPutBucketVersioningBodies(t *testing.T) {
	want := s3wire.VersioningConfiguration{Status: s3wire.BucketVersioningStatusEnabled, MFADelete: s3wire.MFADeleteDisabled}
	for name, body := range map[string]string{
		"plain":     `<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>`,
		"namespace": `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>`,
		"prefix":    `<?xml version='1.0' encoding='utf-8'?><x:VersioningConfiguration xmlns:x="http://s3.amazonaws.com/doc/2006-03-01/"><x:MfaDelete>Disabled</x:MfaDelete><x:Status>Enabled</x:Status></x:VersioningConfiguration>`,
		"comments":  "<!-- a --><VersioningConfiguration>\n <Status>En<!-- b --><![CDATA[abl]]>ed\n</Status><?pi?><MfaDelete>Dis&#97;bled</MfaDelete></VersioningConfiguration>\n",
	} {
		t.Run(name, func(t *testing.T) {
			var in s3wire.PutBucketVersioningInput
			if err := wire.Decode(&s3wire.PutBucketVersioning, bucketRequest(body), &in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, in.VersioningConfiguration); diff != "" {
				t.Error(diff)
			}
			if *in.Bucket != "b" {
				t.Errorf("bucket %q", *in.Bucket)
			}
		})
	}
}

func TestXMLBodiesRefused(t *testing.T) {
	const open, end = `<VersioningConfiguration>`, `</VersioningConfiguration>`
	for name, c := range map[string]struct {
		body   string
		kind   wire.ErrorKind
		member string
		line   int
	}{
		"empty":              {"", wire.MissingBody, "VersioningConfiguration", 0},
		"not XML":            {"{}", wire.Malformed, "", 1},
		"other root":         {"<Tagging/>", wire.Malformed, "", 1},
		"unknown element":    {open + "\n<Status>Enabled</Status>\n<Frozen>yes</Frozen>" + end, wire.UnknownField, "Frozen", 3},
		"unknown attribute":  {`<VersioningConfiguration a="b"/>`, wire.UnknownField, "a", 1},
		"twice":              {open + "<Status>Enabled</Status><Status>Suspended</Status>" + end, wire.Duplicate, "Status", 1},
		"unknown value":      {open + "<Status>enabled</Status>" + end, wire.BadEnum, "Status", 1},
		"empty value":        {open + "<Status/>" + end, wire.BadValue, "Status", 1},
		"element in value":   {open + "<Status><b/></Status>" + end, wire.UnknownField, "Status.b", 1},
		"text":               {open + "Enabled" + end, wire.Malformed, "", 1},
		"DTD":                {`<!DOCTYPE a [<!ENTITY b "Enabled">]>` + open + "<Status>&b;</Status>" + end, wire.Malformed, "", 1},
		"unknown entity":     {open + "<Status>&b;</Status>" + end, wire.Malformed, "Status", 1},
		"not closed":         {open + "<Status>Enabled</Status>", wire.Malformed, "", 1},
		"crossed":            {open + "<Status>Enabled" + end + "</Status>", wire.Malformed, "Status", 1},
		"second root":        {open + end + open + end, wire.Malformed, "", 1},
		"trailing text":      {open + end + "x", wire.Malformed, "", 1},
		"encoding":           {`<?xml version="1.0" encoding="UTF-16"?>` + open + end, wire.Malformed, "", 1},
		"not UTF-8":          {open + "<Status>\xff</Status>" + end, wire.Malformed, "", 1},
		"control character":  {open + "<Status>Enabled\x01</Status>" + end, wire.Malformed, "Status", 1},
		"reference to NUL":   {open + "<Status>&#0;</Status>" + end, wire.Malformed, "Status", 1},
		"attribute twice":    {`<VersioningConfiguration xmlns="a" xmlns="b"/>`, wire.Malformed, "", 1},
		"repeated xml decl.": {`<?xml version="1.0"?><?xml version="1.0"?>` + open + end, wire.Malformed, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var in s3wire.PutBucketVersioningInput
			err := wire.Decode(&s3wire.PutBucketVersioning, bucketRequest(c.body), &in)
			e, ok := err.(*wire.Error)
			if !ok {
				t.Fatalf("got %v, want an error of kind %s", err, c.kind)
			}
			if e.Kind != c.kind || e.Member != c.member || e.Line != c.line {
				t.Errorf("got %s %q line %d (%v)", e.Kind, e.Member, e.Line, e)
			}
		})
	}
}

func TestEncodeListObjectsV2(t *testing.T) {
	str := func(s string) *string { return &s }
	n, size, no := int32(1), int64(11), false
	at := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	out := s3wire.ListObjectsV2Output{
		Name: str("b"), Prefix: str(""), KeyCount: &n, IsTruncated: &no, RequestCharged: s3wire.RequestChargedRequester,
		Contents: []s3wire.Object{{Key: str("a<&>\"\r\x01é"), ETag: str(`"e"`), Size: &size, LastModified: &at, StorageClass: s3wire.ObjectStorageClassStandard}},
	}
	header := http.Header{}
	body, err := wire.Encode(&s3wire.ListObjectsV2, &out, header)
	if err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>` +
		`<Contents><Key>a&lt;&amp;&gt;&quot;&#xD;&#x1;é</Key><LastModified>2024-05-06T07:08:09.123Z</LastModified>` +
		`<ETag>&quot;e&quot;</ETag><Size>11</Size><StorageClass>STANDARD</StorageClass></Contents>` +
		`<Name>b</Name><Prefix></Prefix><KeyCount>1</KeyCount></ListBucketResult>`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(http.Header{"Content-Type": {"application/xml"}, "X-Amz-Request-Charged": {"requester"}}, header); diff != "" {
		t.Error(diff)
	}
}
