package wire_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/api/wire/organizationswire"
	"github.com/kura-s3/kura/internal/api/wire/s3wire"
)

// xmlOperations cover lists flat and wrapped, attributes, nesting and every scalar.
var xmlOperations = []*wire.Operation{
	&s3wire.PutBucketAcl, &s3wire.DeleteObjects, &s3wire.PutBucketLifecycleConfiguration,
	&s3wire.PutBucketReplication, &s3wire.CompleteMultipartUpload, &s3wire.PutBucketTagging,
}

// FuzzXML: no input makes a panic; what is accepted, the standard library reads as well-formed,
// with the same root and the same amount of text.
func FuzzXML(f *testing.F) {
	for i := range xmlOperations {
		for _, seed := range []string{
			`<Tagging><TagSet><Tag><Key>a</Key><Value>&amp;&#65;<![CDATA[<]]></Value></Tag></TagSet></Tagging>`,
			`<Delete xmlns="u"><Object><Key>&#x1;</Key></Object><Quiet>true</Quiet></Delete>`,
			`<AccessControlPolicy><Owner/><AccessControlList><Grant><Grantee xmlns:xsi="x" xsi:type="Group"><URI>u</URI></Grantee></Grant></AccessControlList></AccessControlPolicy>`,
			`<?xml version="1.0" encoding="UTF-8" standalone='yes'?><!-- c --><a:CompleteMultipartUpload xmlns:a="b"><a:Part><a:PartNumber>1</a:PartNumber></a:Part></a:CompleteMultipartUpload>`,
			`<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter/><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration></Rule></LifecycleConfiguration>`,
			`<!DOCTYPE a><a/>`, `<a b="c"d='e'/>`, "<a>\r\n</a>", `<a><?b c?></a>`,
		} {
			f.Add(i, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which int, body []byte) {
		op := xmlOperations[abs(which)%len(xmlOperations)]
		in := op.NewInput()
		err := wire.Decode(op, bucketRequest(string(body)), in)
		if !isWireError(err) {
			t.Fatalf("%T: %v", err, err)
		}
		if err != nil || len(body) == 0 {
			return
		}
		d := xml.NewDecoder(bytes.NewReader(body))
		d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil && !bytes.Contains(body, []byte("&#")) {
				t.Fatalf("encoding/xml refuses what we took: %v", err)
			} else if err != nil {
				break
			}
		}
	})
}

// FuzzXMLText: the text of an element is what the standard library makes of it.
func FuzzXMLText(f *testing.F) {
	for _, seed := range []string{"a", "&lt;&#10;&#x41;", "<![CDATA[&amp;]]>x", "a\r\nb\rc", "<!-- -->", "]]", "\uFFFD\xEF\xBB\xBF"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body := "<Tagging><TagSet><Tag><Key>" + text + "</Key><Value/></Tag></TagSet></Tagging>"
		var in s3wire.PutBucketTaggingInput
		if err := wire.Decode(&s3wire.PutBucketTagging, bucketRequest(body), &in); err != nil {
			return
		}
		var want struct {
			Key []string `xml:"TagSet>Tag>Key"`
		}
		if err := xml.Unmarshal([]byte(body), &want); err != nil {
			return // control characters by number, which S3 needs and XML does not have
		}
		got := make([]string, 0, 1)
		for _, tag := range in.Tagging.TagSet {
			got = append(got, *tag.Key)
		}
		if diff := cmp.Diff(want.Key, got); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzXMLEscape: whatever string is written comes back, as far as it is UTF-8.
func FuzzXMLEscape(f *testing.F) {
	for _, seed := range []string{"", "a&b", "\x00\x01\x1f", "\ufffe\uffff", "\xff", "]]>", "\r\n\t"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		out := s3wire.GetBucketTaggingOutput{TagSet: []s3wire.Tag{{Key: &key, Value: &key}}}
		body, err := wire.Encode(&s3wire.GetBucketTagging, &out, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(bytes.TrimPrefix(body, []byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")), "\x00\x01\x0b\x1f\r") {
			t.Errorf("control character in %q", body)
		}
		var in s3wire.PutBucketTaggingInput
		err = wire.Decode(&s3wire.PutBucketTagging, bucketRequest(string(body)), &in)
		refused := bytes.Contains(body, []byte("&#x0;"))
		if (err != nil) != refused {
			t.Fatalf("%v: %s", err, body)
		}
		if err == nil && *in.Tagging.TagSet[0].Key != string([]rune(key)) {
			t.Errorf("%q came back as %q", key, *in.Tagging.TagSet[0].Key)
		}
	})
}

// FuzzQuery: no form makes a panic, and none is understood in part.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"Action=CreateUser&Version=2010-05-08&UserName=a&Tags.member.1.Key=k&Tags.member.1.Value=v",
		"UserName=a&Tags.member.2.Key=k", "Tags=", "Tags.member.1=", "Tags.member.01.Key=k", "UserName.a=b", "a.b.c.d.e.f.g=1",
		"UserName=a&UserName=b", "%zz", "Tags.member.99999999999999999999.Key=k", "UserName=a;b", "Tags.member=1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in iamwire.CreateUserInput
		err := wire.Decode(&iamwire.CreateUser, &wire.Request{Body: body}, &in)
		if !isWireError(err) {
			t.Fatalf("%T: %v", err, err)
		}
		if err != nil || len(body) == 0 {
			return
		}
		form, perr := url.ParseQuery(string(body))
		if perr != nil {
			t.Fatal(perr)
		}
		if u := form.Get("UserName"); form.Has("UserName") && *in.UserName != u {
			t.Errorf("user %q became %q", u, *in.UserName)
		}
		for _, v := range wire.Validate(&iamwire.CreateUser, &in) {
			if v.Path == "" || v.Constraint == "" {
				t.Errorf("empty violation %+v", v)
			}
		}
	})
}

// FuzzJSON: no body makes a panic, and what is accepted is written and read again the same.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"AccountName":"a","Email":"e","Tags":[{"Key":"k","Value":"v"}]}`, `{"Tags":null}`, `{"Tags":[null]}`, `{"a":1}`,
		`{"Email":"a","Email":"b"}`, `[]`, `{`, `{"Email":1}`, `{"Email":"\ud800"}`, `{} {}`, "{\"Email\":\"\xff\"}", "null",
	} {
		f.Add([]byte(seed))
	}
	op := organizationswire.CreateAccount
	f.Fuzz(func(t *testing.T, body []byte) {
		var in, again organizationswire.CreateAccountInput
		err := wire.Decode(&op, &wire.Request{Body: body}, &in)
		if !isWireError(err) {
			t.Fatalf("%T: %v", err, err)
		}
		if err != nil {
			return
		}
		mirror := op
		mirror.Output = op.Input
		written, err := wire.Encode(&mirror, &in, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.Decode(&op, &wire.Request{Body: written}, &again); err != nil {
			t.Fatalf("%v: %s", err, written)
		}
		if !reflect.DeepEqual(in, again) {
			t.Errorf("%s came back as %s", body, written)
		}
	})
}

func isWireError(err error) bool {
	var e *wire.Error
	return err == nil || errors.As(err, &e)
}

func abs(n int) int { return max(n, -(n + 1)) }
