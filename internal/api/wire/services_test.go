package wire_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/api/wire/stswire"
	"github.com/kura-s3/kura/internal/fault"
)

func TestQueryInOut(t *testing.T) {
	form := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {"arn:aws:iam::123456789012:role/r"},
		"RoleSessionName": {"s"}, "DurationSeconds": {"900"}, "PolicyArns.member.1.arn": {"p1"}, "PolicyArns.member.2.arn": {"p2"},
		"TransitiveTagKeys": {""}, "X-Amz-Date": {"20240101T000000Z"},
	}
	want := stswire.AssumeRoleInput{
		RoleArn: ptr("arn:aws:iam::123456789012:role/r"), RoleSessionName: ptr("s"), DurationSeconds: ptr(int32(900)),
		PolicyArns: []stswire.PolicyDescriptorType{{Arn: ptr("p1")}, {Arn: ptr("p2")}}, TransitiveTagKeys: []string{},
	}
	for name, req := range map[string]*wire.Request{"body": {Body: []byte(form.Encode())}, "URL": {Query: form}} {
		var in stswire.AssumeRoleInput
		if err := wire.Decode(&stswire.AssumeRole, req, &in); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, in); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	header := http.Header{"X-Amzn-Requestid": {"r<1"}}
	at := time.Date(2024, 1, 2, 3, 4, 5, 6e8, time.UTC)
	out := stswire.GetSessionTokenOutput{Credentials: &stswire.Credentials{AccessKeyId: ptr("A"), SecretAccessKey: ptr("S"), SessionToken: ptr("T"), Expiration: &at}}
	body, err := wire.Encode(&stswire.GetSessionToken, &out, header)
	wantBody := `<GetSessionTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetSessionTokenResult><Credentials>` +
		`<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>2024-01-02T03:04:05Z</Expiration>` +
		`</Credentials></GetSessionTokenResult><ResponseMetadata><RequestId>r&lt;1</RequestId></ResponseMetadata></GetSessionTokenResponse>`
	if diff := cmp.Diff(wantBody, string(body)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	body, err = wire.Encode(&iamwire.DeleteUser, nil, header)
	wantBody = `<DeleteUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>r&lt;1</RequestId></ResponseMetadata></DeleteUserResponse>`
	if diff := cmp.Diff(wantBody, string(body)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestQueryRefused(t *testing.T) {
	for form, want := range map[string]struct {
		kind   wire.ErrorKind
		member string
	}{
		"UserName=a&IsAdmin=true":                   {wire.UnknownField, "IsAdmin"},
		"UserName=a&UserName=b":                     {wire.Duplicate, "UserName"},
		"UserName.x=a":                              {wire.UnknownField, "UserName.x"},
		"Tags.member.2.Key=a":                       {wire.Malformed, "Tags.2"},
		"Tags.member.01.Key=a":                      {wire.Malformed, "Tags.01"},
		"Tags.member.0.Key=a":                       {wire.Malformed, "Tags.0"},
		"Tags.1.Key=a":                              {wire.UnknownField, "Tags.1"},
		"Tags.member.1=a":                           {wire.Malformed, "Tags.1"},
		"Tags.member.1.Key=a&Tags.member.1.Color=b": {wire.UnknownField, "Tags.1.Color"},
		"UserName=%zz":                              {wire.Malformed, ""},
		strings.Repeat("a=b&", 10_001):              {wire.TooLarge, ""},
		strings.Repeat("a.", 40) + "=b":             {wire.TooLarge, strings.Repeat("a.", 40)},
	} {
		err := wire.Decode(&iamwire.CreateUser, &wire.Request{Body: []byte(form)}, &iamwire.CreateUserInput{})
		if e, ok := err.(*wire.Error); !ok || e.Kind != want.kind || e.Member != want.member {
			t.Errorf("%.60s: %v", form, err)
		}
	}
}

func TestJSONInOut(t *testing.T) {
	var in kmswire.EncryptInput
	body := `{"KeyId":"k","Plaintext":"aGk=","EncryptionContext":{"a":"\u00e9\ud83d\ude00"},"GrantTokens":null,"DryRun":false}`
	if err := wire.Decode(&kmswire.Encrypt, &wire.Request{Body: []byte(body)}, &in); err != nil {
		t.Fatal(err)
	}
	want := kmswire.EncryptInput{KeyId: ptr("k"), Plaintext: []byte("hi"), EncryptionContext: map[string]string{"a": "é😀"}, DryRun: ptr(false)}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Error(diff)
	}
	header := http.Header{}
	at := time.UnixMilli(1700000000120)
	out := kmswire.CreateKeyOutput{KeyMetadata: &kmswire.KeyMetadata{KeyId: ptr("k\"\\\n\x01\xff"), CreationDate: &at, Enabled: ptr(true), KeyState: kmswire.KeyStateEnabled}}
	got, err := wire.Encode(&kmswire.CreateKey, &out, header)
	if diff := cmp.Diff(`{"KeyMetadata":{"KeyId":"k\"\\\n\u0001`+"\uFFFD"+`","CreationDate":1700000000.12,"Enabled":true,"KeyState":"Enabled"}}`, string(got)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if header.Get("Content-Type") != "application/x-amz-json-1.1" {
		t.Error(header)
	}
	if got, err := wire.Encode(&kmswire.EnableKey, nil, header); err != nil || string(got) != "{}" {
		t.Errorf("%v %s", err, got)
	}
	if kmswire.Encrypt.Target != "TrentService.Encrypt" {
		t.Error(kmswire.Encrypt.Target)
	}
}

func TestJSONRefused(t *testing.T) {
	for body, want := range map[string]struct {
		kind   wire.ErrorKind
		member string
	}{
		`{"KeyId":"k","Admin":1}`:                     {wire.UnknownField, "Admin"},
		`{"KeyId":"a","KeyId":"b"}`:                   {wire.Duplicate, "KeyId"},
		`{"EncryptionContext":{"a":"b","a":"c"}}`:     {wire.Duplicate, "EncryptionContext.a"},
		`{"keyId":"a"}`:                               {wire.UnknownField, "keyId"},
		`{"KeyId":1}`:                                 {wire.BadValue, "KeyId"},
		`{"DryRun":"true"}`:                           {wire.BadValue, "DryRun"},
		`{"Plaintext":"%"}`:                           {wire.BadValue, "Plaintext"},
		`{"GrantTokens":["a",null]}`:                  {wire.BadValue, "GrantTokens.2"},
		`{"GrantTokens":"a"}`:                         {wire.BadValue, "GrantTokens"},
		`{"KeyId":"a"} {}`:                            {wire.Malformed, ""},
		`["KeyId"]`:                                   {wire.Malformed, ""},
		"{\"KeyId\":\"\xff\"}":                        {wire.Malformed, ""},
		`{"KeyId":` + strings.Repeat("[", 9999) + `}`: {wire.Malformed, ""},
		`{"EncryptionContext":{"a":{"b":{"c":"d"}}}}`: {wire.BadValue, "EncryptionContext.a"},
		`{"GrantTokens":[` + strings.Repeat(`"",`, 100_000) + `""]}`: {wire.TooLarge, "GrantTokens"},
		`{"EncryptionAlgorithm":""}`:                                 {wire.BadValue, "EncryptionAlgorithm"},
	} {
		err := wire.Decode(&kmswire.Encrypt, &wire.Request{Body: []byte(body)}, &kmswire.EncryptInput{})
		if e, ok := err.(*wire.Error); !ok || e.Kind != want.kind || e.Member != want.member {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("a", 65)
	for name, c := range map[string]struct {
		in   stswire.AssumeRoleInput
		want string
	}{
		"good": {stswire.AssumeRoleInput{RoleArn: ptr("arn:aws:iam::123456789012:role/r"), RoleSessionName: ptr("s@x")}, ""},
		"pattern": {stswire.AssumeRoleInput{RoleArn: ptr("arn:aws:iam::123456789012:role/r"), RoleSessionName: ptr("Session1:2")},
			`1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		"missing and long": {stswire.AssumeRoleInput{RoleSessionName: &long, DurationSeconds: ptr(int32(899))},
			`3 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; ` +
				`Value '` + long + `' at 'roleSessionName' failed to satisfy constraint: Member must have length less than or equal to 64; ` +
				`Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900`},
		"nested": {stswire.AssumeRoleInput{RoleArn: ptr("arn:aws:iam::123456789012:role/r"), RoleSessionName: ptr("ss"), Tags: []stswire.Tag{{Key: ptr("k"), Value: ptr("v")}, {Key: ptr("")}}},
			`3 validation errors detected: Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; ` +
				`Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+; ` +
				`Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not be null`},
	} {
		t.Run(name, func(t *testing.T) {
			vs := wire.Validate(&stswire.AssumeRole, &c.in)
			got := ""
			if len(vs) > 0 {
				got = wire.ValidationMessage(vs)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	vs := wire.Validate(&iamwire.CreateLoginProfile, &iamwire.CreateLoginProfileInput{Password: ptr(strings.Repeat("secret", 99))})
	if s := wire.ValidationMessage(vs); len(vs) == 0 || strings.Contains(s, "secret") {
		t.Errorf("told a password: %s", s)
	}
}

// TestPatternsCompile: every expression of every model is one that Go has.
func TestPatternsCompile(t *testing.T) {
	models := map[*wire.Model]bool{}
	for _, ops := range services {
		for _, op := range ops {
			models[op.Model] = true
		}
	}
	n := 0
	for m := range models {
		for _, sh := range m.Shapes {
			if sh.Limits != nil && sh.Limits.Regexp != "" {
				wire.MatchPattern(sh.Limits.Regexp, "") // panics where it does not compile
				n++
			}
		}
	}
	if len(models) != len(services) || n < 100 {
		t.Errorf("%d models with %d patterns", len(models), n)
	}
}

func TestErrorBodies(t *testing.T) {
	fields := []fault.Field{{Name: "Key", Value: "a<b"}, {Name: "no name", Value: "x"}}
	for _, c := range []struct {
		protocol    wire.Protocol
		body, media string
	}{
		{wire.RestXML, `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<Error><Code>C</Code><Message>M &amp; m</Message><Key>a&lt;b</Key><Resource>/b</Resource><RequestId>R</RequestId><HostId>H</HostId></Error>`, "application/xml"},
		{wire.Query, `<ErrorResponse><Error><Type>Sender</Type><Code>C</Code><Message>M &amp; m</Message><Key>a&lt;b</Key></Error><RequestId>R</RequestId></ErrorResponse>`, "text/xml"},
		{wire.JSON10, `{"__type":"C","message":"M & m","Key":"a<b","no name":"x"}`, "application/x-amz-json-1.0"},
		{wire.JSON11, `{"__type":"C","message":"M & m","Key":"a<b","no name":"x"}`, "application/x-amz-json-1.1"},
		{wire.RestJSON, `{"__type":"C","message":"M & m","Key":"a<b","no name":"x"}`, "application/json"},
	} {
		body, media := wire.EncodeError(c.protocol, "C", "M & m", fields, "/b", "R", "H")
		if diff := cmp.Diff(c.body, string(body)); diff != "" || media != c.media {
			t.Errorf("%s %s", media, diff)
		}
	}
	wrapped := wire.ErrorBody{Protocol: wire.RestXML, Wrapped: true, Code: "C", Message: "M", RequestID: "R", HostID: "H"}
	body, _ := wrapped.Encode()
	if want := `<ErrorResponse><Error><Code>C</Code><Message>M</Message></Error><RequestId>R</RequestId><HostId>H</HostId></ErrorResponse>`; !strings.HasSuffix(string(body), want) {
		t.Errorf("%s", body)
	}
	if e := iamwire.Errors["NoSuchEntityException"]; e.Code != "NoSuchEntity" || e.Status != 404 || !e.Sender {
		t.Errorf("%+v", e)
	}
}

// TestOperationsHoldTogether: what the tables of the services must keep for the codecs to work.
func TestOperationsHoldTogether(t *testing.T) {
	for service, ops := range services {
		for name, op := range ops {
			if op.Service != service || op.Name != name || op.Status < 200 || op.Status > 299 || op.Method == "" || op.URI == "" {
				t.Errorf("%s.%s: %s %s %s %s %d", service, name, op.Service, op.Name, op.Method, op.URI, op.Status)
			}
			if _, err := wire.Encode(op, op.NewOutput(), http.Header{}); err != nil {
				t.Errorf("%s.%s: output: %v", service, name, err)
			}
			for _, v := range wire.Validate(op, op.NewInput()) {
				if !v.Null {
					t.Errorf("%s.%s: empty input: %s", service, name, v)
				}
			}
			for _, m := range op.Model.Shapes[op.Input].Members {
				if m.In == wire.InPath && !strings.Contains(op.URI, "{"+m.Wire+"}") && !strings.Contains(op.URI, "{"+m.Wire+"+}") {
					t.Errorf("%s.%s: label %s is not in %s", service, name, m.Wire, op.URI)
				}
			}
		}
	}
}
