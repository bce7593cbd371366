package authn

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

const testConditions = `{"bucket":"b"},["starts-with","$key","p/"],["eq","$acl","private"],["content-length-range",1,10],` +
	`{"x-amz-algorithm":"AWS4-HMAC-SHA256"},["starts-with","$x-amz-credential",""],{"x-amz-date":"20130524T000000Z"}`

func policyText(expiration, conditions string) string {
	return `{"expiration":"` + expiration + `","conditions":[` + conditions + `]}`
}

// signedForm is a right form with the given policy document.
func signedForm(document string) []FormField {
	text := base64.StdEncoding.EncodeToString([]byte(document))
	key := deriveKey(testSecret, "20130524", "us-east-1", "s3")
	return []FormField{
		{"key", "p/file.txt"}, {"acl", "private"},
		{"X-Amz-Algorithm", Algorithm}, {"X-Amz-Credential", testKey + "/20130524/us-east-1/s3/aws4_request"},
		{"X-Amz-Date", "20130524T000000Z"}, {"policy", text}, {"X-Amz-Signature", string(key.sign(nil, []byte(text)))},
	}
}

func with(fields []FormField, name, value string) []FormField {
	out := make([]FormField, 0, len(fields)+1)
	found := false
	for _, f := range fields {
		if f.Name == name {
			f.Value, found = value, true
		}
		out = append(out, f)
	}
	if !found {
		out = append(out, FormField{name, value})
	}
	return out
}

func without(fields []FormField, name string) []FormField {
	var out []FormField
	for _, f := range fields {
		if f.Name != name {
			out = append(out, f)
		}
	}
	return out
}

func sendForm(t testing.TB, fields []FormField, bucket string) (*Caller, *PostPolicy, error) {
	t.Helper()
	return testAuthenticator().Form(request(t, "POST", "/", ""), fields, bucket)
}

func TestForm(t *testing.T) {
	c, p, err := sendForm(t, signedForm(policyText("2013-05-24T01:00:00.000Z", testConditions)), "b")
	if err != nil {
		t.Fatal(err)
	}
	if c.AuthType != Form || c.Subject.AccessKey != testKey || !c.Expires.Equal(testTime.Add(time.Hour)) || c.Service != "s3" {
		t.Errorf("caller %+v", c)
	}
	if low, high, ok := p.LengthRange(); low != 1 || high != 10 || !ok {
		t.Errorf("range %d %d %v", low, high, ok)
	}
	e := wantKind(t, p.CheckLength(11), EntityTooLarge)
	if fieldOf(e, "ProposedSize") != "11" || fieldOf(e, "MaxSizeAllowed") != "10" {
		t.Errorf("fields %v", e.Fields)
	}
	e = wantKind(t, p.CheckLength(0), EntityTooSmall)
	if fieldOf(e, "ProposedSize") != "0" || fieldOf(e, "MinSizeAllowed") != "1" {
		t.Errorf("fields %v", e.Fields)
	}
	for size, kind := range map[int]fault.Kind{0: EntityTooSmall, 1: "", 10: "", 11: EntityTooLarge, 5000: EntityTooLarge} {
		got, err := io.ReadAll(p.Limit(strings.NewReader(strings.Repeat("x", size))))
		if fault.Of(err) != kind || len(got) > 10 || kind == "" && len(got) != size {
			t.Errorf("size %d: %d bytes, %v", size, len(got), err)
		}
	}
}

func TestFormAnonymous(t *testing.T) {
	c, p, err := sendForm(t, []FormField{{"key", "k"}, {"acl", "public-read"}}, "b")
	if err != nil || c.AuthType != Anonymous || c.Subject.Principal.Type != policy.Anonymous || p.CheckLength(1<<40) != nil {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestFormRefused(t *testing.T) {
	good := func(extra string) string { return policyText("2013-05-24T01:00:00Z", testConditions+extra) }
	fields := func(document string) []FormField { return signedForm(document) }
	for _, tc := range []struct {
		name   string
		fields []FormField
		kind   fault.Kind
		text   string
	}{
		{"condition", with(fields(good("")), "acl", "public-read"), PolicyDenied, `Invalid according to Policy: Policy Condition failed: ["eq", "$acl", "private"]`},
		{"prefix", with(fields(good("")), "key", "q/file"), PolicyDenied, `Invalid according to Policy: Policy Condition failed: ["starts-with", "$key", "p/"]`},
		{"missing field", without(fields(good("")), "acl"), PolicyDenied, `Policy Condition failed: ["eq", "$acl", "private"]`},
		{"extra field", with(fields(good("")), "x-amz-meta-A", "1"), PolicyDenied, "Invalid according to Policy: Extra input fields: x-amz-meta-a"},
		{"expired", fields(policyText("2013-05-24T00:00:00Z", testConditions)), PolicyDenied, "Invalid according to Policy: Policy expired."},
		{"no dollar", fields(good(`,["eq","acl","private"]`)), PolicyDenied, `Policy Condition failed: ["eq", "acl", "private"]`},
		{"range of words", fields(good(`,["content-length-range","test","10"]`)), PolicyDenied, `Invalid according to Policy: Policy Condition failed: ["content-length-range", "test", "10"]`},
		{"content type list", with(fields(good(`,["starts-with","$Content-Type","image/"]`)), "Content-Type", "image/png,text/html"), PolicyDenied, `["starts-with", "$Content-Type", "image/"]`},
		{"field bucket", with(fields(good("")), "bucket", "other"), PolicyDenied, ""},
		{"field twice", append(fields(good("")), FormField{"KEY", "q/other"}), InvalidFormField, ""},
		{"two properties", fields(good(`,{"a":"b","c":"d"}`)), InvalidPolicyDocument, "Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."},
		{"no property", fields(good(`,{}`)), InvalidPolicyDocument, "exactly one property"},
		{"number", fields(good(`,{"success_action_status":201}`)), InvalidPolicyDocument, "Invalid Policy: Invalid Simple-Condition: value must be a string."},
		{"range of one", fields(good(`,["content-length-range",1]`)), InvalidPolicyDocument, ""},
		{"negative range", fields(good(`,["content-length-range",-1,0]`)), InvalidPolicyDocument, ""},
		{"fraction", fields(good(`,["content-length-range",1.5,2]`)), InvalidPolicyDocument, ""},
		{"operation", fields(good(`,["ends-with","$key","x"]`)), InvalidPolicyDocument, ""},
		{"string as condition", fields(good(`,"x"`)), InvalidPolicyDocument, ""},
		{"no JSON", fields(`{`), InvalidPolicyDocument, "Invalid Policy: Invalid JSON."},
		{"two documents", fields(good("") + "{}"), InvalidPolicyDocument, ""},
		{"null", fields("null"), InvalidPolicyDocument, ""},
		{"case of expiration", fields(`{"EXPIRATION":"2013-05-24T01:00:00Z","conditions":[]}`), InvalidPolicyDocument, ""},
		{"case of conditions", fields(`{"expiration":"2013-05-24T01:00:00Z","CONDITIONS":[]}`), InvalidPolicyDocument, ""},
		{"no expiration", fields(`{"conditions":[]}`), InvalidPolicyDocument, "missing expiration"},
		{"no conditions", fields(`{"expiration":"2013-05-24T01:00:00Z"}`), InvalidPolicyDocument, "missing conditions"},
		{"date", fields(policyText("2013-05-24 01:00:00", testConditions)), InvalidPolicyDocument, "Invalid 'expiration' value: '2013-05-24 01:00:00'"},
		{"no base64", with(fields(good("")), "policy", "%%%"), SignatureDoesNotMatch, ""},
		{"another policy", with(fields(good("")), "policy", base64.StdEncoding.EncodeToString([]byte(good(`,["starts-with","$a",""]`)))), SignatureDoesNotMatch, ""},
		{"no algorithm", without(fields(good("")), "X-Amz-Algorithm"), InvalidFormField, "Bucket POST must contain a field named 'X-Amz-Algorithm'.  If it is specified, please check the order of the fields."},
		{"no signature", without(fields(good("")), "X-Amz-Signature"), InvalidFormField, "Bucket POST must contain a field named 'X-Amz-Signature'.  If"},
		{"no policy", without(fields(good("")), "policy"), InvalidFormField, "Bucket POST must contain a field named 'policy'."},
		{"signature v2", []FormField{{"AWSAccessKeyId", testKey}, {"policy", "e30="}, {"signature", "x"}}, UnsupportedMechanism, "Please use AWS4-HMAC-SHA256."},
		{"ecdsa", with(fields(good("")), "X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), NotImplemented, ""},
		{"algorithm", with(fields(good("")), "X-Amz-Algorithm", "AWS4-HMAC-SHA1"), UnsupportedMechanism, ""},
		{"date form", with(fields(good("")), "X-Amz-Date", "2013"), InvalidFormField, "ISO8601"},
		{"region", with(fields(good("")), "X-Amz-Credential", testKey+"/20130524/eu-west-1/s3/aws4_request"), QueryMalformed, "expecting 'us-east-1'"},
		{"service", with(fields(good("")), "X-Amz-Credential", testKey+"/20130524/us-east-1/iam/aws4_request"), QueryMalformed, `incorrect service "iam"`},
		{"unknown key", with(fields(good("")), "X-Amz-Credential", "AKIANOBODY/20130524/us-east-1/s3/aws4_request"), UnknownKey, ""},
		{"token", with(fields(good("")), "x-amz-security-token", "t"), BadToken, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, p, err := sendForm(t, tc.fields, "b")
			e := wantKind(t, err, tc.kind)
			if c != nil || p != nil {
				t.Error("a caller beside an error")
			}
			if !strings.Contains(e.Message, tc.text) {
				t.Errorf("message %q, want %q in it", e.Message, tc.text)
			}
		})
	}
}

// TestFormNamesIgnoreCase: names of fields and operations are compared without case, values are not.
func TestFormNamesIgnoreCase(t *testing.T) {
	document := policyText("2013-05-24T01:00:00Z", strings.NewReplacer(`"bucket"`, `"bUcKeT"`, `"starts-with","$key"`, `"StArTs-WiTh","$KeY"`).Replace(testConditions))
	if _, _, err := sendForm(t, append(with(signedForm(document), "x-ignore-this", "x"), FormField{"pOlIcY2", ""})[:8], "b"); err != nil {
		t.Fatal(err)
	}
}

// TestCVE_2023_43040: the bucket of the policy must be that of the request, and must be named.
func TestCVE_2023_43040_FormBucket(t *testing.T) {
	_, _, err := sendForm(t, signedForm(policyText("2013-05-24T01:00:00Z", testConditions)), "other")
	if e := wantKind(t, err, PolicyDenied); !strings.Contains(e.Message, `["eq", "$bucket", "b"]`) {
		t.Error(e.Message)
	}
	_, _, err = sendForm(t, signedForm(policyText("2013-05-24T01:00:00Z", strings.Replace(testConditions, `{"bucket":"b"},`, "", 1))), "b")
	if e := wantKind(t, err, PolicyDenied); !strings.Contains(e.Message, "Extra input fields: bucket") {
		t.Error(e.Message)
	}
}

// TestFormAlone: a form must not come with a second way of authentication.
func TestFormAlone(t *testing.T) {
	fields := signedForm(policyText("2013-05-24T01:00:00Z", testConditions))
	for _, r := range []func() (string, []string){
		func() (string, []string) { return "/?X-Amz-Signature=x", nil },
		func() (string, []string) { return "/?Signature=x", nil },
		func() (string, []string) { return "/", []string{"Authorization", "AWS a:b"} },
	} {
		target, headers := r()
		_, _, err := testAuthenticator().Form(request(t, "POST", target, "", headers...), fields, "b")
		wantKind(t, err, SeveralMechanisms)
	}
}
