package authn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

const (
	testKey    = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	testHost   = "examplebucket.s3.amazonaws.com"
)

var testTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

// people is a fixed set of credentials.
type people map[string]*Credential

func (p people) Lookup(_ context.Context, id, _ string) (*Credential, error) {
	if c, ok := p[id]; ok {
		return c, nil
	}
	return nil, fault.New(UnknownKey, "", "AWSAccessKeyId", id)
}

func person(id, secret string) *Credential {
	return &Credential{AccessKeyID: id, Secret: secret, Active: true, Subject: authz.Subject{
		Principal: policy.Principal{Type: policy.IAMUser, ARN: "arn:aws:iam::123456789012:user/" + id}, AccessKey: id,
	}}
}

func testPeople() people {
	temporary := person("ASIATEMPORARYEXAMPLE", testSecret)
	temporary.SessionToken = "session//token+of=temporary"
	temporary.Expires = testTime.Add(time.Hour)
	inactive := person("AKIAINACTIVEEXAMPLE0", testSecret)
	inactive.Active = false
	p := people{testKey: person(testKey, testSecret)}
	p[temporary.AccessKeyID], p[inactive.AccessKeyID] = temporary, inactive
	return p
}

func testConfig() Config {
	return Config{
		Credentials: testPeople(),
		Now:         func() time.Time { return testTime },
		Anonymous:   authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}},
	}
}

func testAuthenticator() *Authenticator { return New(testConfig()) }

func testSigning() Signing {
	return Signing{AccessKeyID: testKey, Secret: testSecret, Region: "us-east-1", Service: "s3", Time: testTime}
}

// request makes a server's request: what a client sent, as net/http hands it on.
func request(t testing.TB, method, target, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+testHost+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func sign(t testing.TB, r *http.Request, s Signing) string {
	t.Helper()
	signature, err := Sign(r, s)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func presigned(t testing.TB, r *http.Request, s Signing, life time.Duration) *http.Request {
	t.Helper()
	u, err := Presign(r, s, life)
	if err != nil {
		t.Fatal(err)
	}
	out, err := http.NewRequest(r.Method, u, r.Body)
	if err != nil {
		t.Fatal(err)
	}
	out.Header, out.ContentLength = r.Header.Clone(), r.ContentLength
	return out
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func wantKind(t testing.TB, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	if fault.Of(err) != kind {
		t.Fatalf("error %v, want kind %s", err, kind)
	}
	if err == nil {
		return nil
	}
	return err.(*fault.Error)
}

func fieldOf(e *fault.Error, name string) string {
	for _, f := range e.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func readAll(t testing.TB, c *Caller) string {
	t.Helper()
	b, err := io.ReadAll(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHeaderSigned(t *testing.T) {
	r := request(t, "PUT", "/test%24file.text?b=2&a=1", "Welcome", "Content-Type", "text/plain", "X-Amz-Meta-A", " two   blanks ")
	s := testSigning()
	s.PayloadHash = sha("Welcome")
	sign(t, r, s)
	c, err := testAuthenticator().Request(r, Info{})
	if err != nil {
		t.Fatal(err)
	}
	if c.AuthType != Header || c.Service != "s3" || c.Region != "us-east-1" || !c.SignedAt.Equal(testTime) ||
		c.SignatureVersion != Algorithm || c.DecodedLength != 7 || c.Subject.AccessKey != testKey || c.PayloadHash != sha("Welcome") {
		t.Errorf("caller %+v", c)
	}
	if got := readAll(t, c); got != "Welcome" {
		t.Errorf("body %q", got)
	}
	if service, region, ok := Scope(r); service != "s3" || region != "us-east-1" || !ok {
		t.Errorf("scope %s %s %v", service, region, ok)
	}
}

func TestPresigned(t *testing.T) {
	for _, life := range []time.Duration{time.Second, time.Hour, MaxExpires} {
		r := presigned(t, request(t, "GET", "/a//b/../c%2Fd%20e?versionId=x%2By&empty=&flag", ""), testSigning(), life)
		c, err := testAuthenticator().Request(r, Info{})
		if err != nil {
			t.Fatal(err)
		}
		if c.AuthType != Query || c.PayloadHash != UnsignedPayload || !c.Expires.Equal(testTime.Add(life)) {
			t.Errorf("caller %+v", c)
		}
	}
}

func TestPresignedLivesNoLongerThanItsKey(t *testing.T) {
	s := testSigning()
	s.AccessKeyID, s.SessionToken = "ASIATEMPORARYEXAMPLE", "session//token+of=temporary"
	cfg := testConfig()
	c, err := New(cfg).Request(presigned(t, request(t, "GET", "/k", ""), s, 24*time.Hour), Info{})
	if err != nil || !c.Expires.Equal(testTime.Add(time.Hour)) {
		t.Fatalf("%v, %+v", err, c)
	}
	cfg.Now = func() time.Time { return testTime.Add(time.Hour) }
	_, err = New(cfg).Request(presigned(t, request(t, "GET", "/k", ""), s, 24*time.Hour), Info{})
	wantKind(t, err, ExpiredToken)
}

func TestAnonymous(t *testing.T) {
	for _, hash := range []string{"", UnsignedPayload, sha("body")} {
		r := request(t, "PUT", "/k?acl", "body")
		if hash != "" {
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		c, err := testAuthenticator().Request(r, Info{})
		if err != nil {
			t.Fatal(err)
		}
		if c.AuthType != Anonymous || c.Subject.Principal.Type != policy.Anonymous || c.SignatureVersion != "" {
			t.Errorf("caller %+v", c)
		}
		if got := readAll(t, c); got != "body" {
			t.Errorf("body %q", got)
		}
	}
}

// TestRefused goes through all that a request can get wrong. Each case edits a request that is right.
func TestRefused(t *testing.T) {
	const anyAuth = Algorithm + " Credential=" + testKey + "/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature="
	zeros := strings.Repeat("0", 64)
	cases := []struct {
		name  string
		edit  func(r *http.Request)
		kind  fault.Kind
		text  string // in the message
		field [2]string
	}{
		{"signature v2", setHeader("Authorization", "AWS AKID:c2ln"), UnsupportedMechanism,
			"The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", [2]string{}},
		{"sha512", setHeader("Authorization", "AWS4-HMAC-SHA512 Credential=x"), UnsupportedMechanism, "", [2]string{}},
		{"ecdsa", setHeader("Authorization", "AWS4-ECDSA-P256-SHA256 Credential=x"), NotImplemented, "", [2]string{"Header", "Authorization"}},
		{"bearer", setHeader("Authorization", "Bearer secret"), UnknownScheme, "Unsupported Authorization Type", [2]string{"ArgumentValue", "Bearer"}},
		{"empty header", setHeader("Authorization", ""), UnknownScheme, "", [2]string{}},
		{"two headers", func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, SeveralMechanisms, "Only one auth", [2]string{}},
		{"header and query", addQuery("X-Amz-Signature=" + zeros), SeveralMechanisms, "Only one auth", [2]string{}},
		{"header and escaped query", addQuery("%58-Amz-Algorithm=x"), SeveralMechanisms, "Only one auth", [2]string{}},
		{"header and v2 query", addQuery("Signature=x"), SeveralMechanisms, "", [2]string{}},
		{"no components", setHeader("Authorization", Algorithm), HeaderMalformed, "three components", [2]string{}},
		{"component twice", setHeader("Authorization", anyAuth+zeros+", Signature="+zeros), HeaderMalformed, "three components", [2]string{}},
		{"strange component", setHeader("Authorization", anyAuth+zeros+", X=y"), HeaderMalformed, "three components", [2]string{}},
		{"credential", credential(testKey + "/20130524/us-east-1/s3"), HeaderMalformed, "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".", [2]string{}},
		{"long credential", credential("a/b/20130524/us-east-1/s3/aws4_request"), HeaderMalformed, "", [2]string{}},
		{"no key", credential("/20130524/us-east-1/s3/aws4_request"), HeaderMalformed, "non-empty Access Key", [2]string{}},
		{"date form", credential(testKey + "/2013052/us-east-1/s3/aws4_request"), HeaderMalformed, "incorrect date format", [2]string{}},
		{"other day", credential(testKey + "/20130523/us-east-1/s3/aws4_request"), HeaderMalformed, "This date is not the same as X-Amz-Date", [2]string{}},
		{"region", credential(testKey + "/20130524/eu-west-1/s3/aws4_request"), HeaderMalformed,
			"The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'", [2]string{"Region", "us-east-1"}},
		{"service", credential(testKey + "/20130524/us-east-1/ec2/aws4_request"), HeaderMalformed, `incorrect service "ec2"`, [2]string{}},
		{"terminal", credential(testKey + "/20130524/us-east-1/s3/aws5_request"), HeaderMalformed, "incorrect terminal", [2]string{}},
		{"no date", delHeader("X-Amz-Date"), MissingDate, "AWS authentication requires a valid Date or x-amz-date header", [2]string{}},
		{"bad date", setHeader("X-Amz-Date", "2013-05-24T00:00:00Z"), MissingDate, "", [2]string{}},
		{"two dates", func(r *http.Request) { r.Header.Add("X-Amz-Date", "20130524T000001Z") }, InvalidHeader, "", [2]string{"ArgumentName", "x-amz-date"}},
		{"no hash", delHeader("X-Amz-Content-Sha256"), MissingContentSHA256, "Missing required header for this request: x-amz-content-sha256", [2]string{}},
		{"header not signed", setHeader("X-Amz-Copy-Source", "/other/key"), HeadersNotSigned,
			"There were headers present in the request which were not signed", [2]string{"HeadersNotSigned", "x-amz-copy-source"}},
		{"host not signed", setHeader("Authorization", strings.Replace(anyAuth, "=host,", "=x-amz-content-sha256;x-amz-date,", 1)+zeros), HeadersNotSigned, "", [2]string{"HeadersNotSigned", "host"}},
		{"unknown key", credential("AKIANOBODY/20130524/us-east-1/s3/aws4_request"), UnknownKey, "", [2]string{"AWSAccessKeyId", "AKIANOBODY"}},
		{"inactive key", credential("AKIAINACTIVEEXAMPLE0/20130524/us-east-1/s3/aws4_request"), InactiveKey, "", [2]string{}},
		{"temporary key without token", credential("ASIATEMPORARYEXAMPLE/20130524/us-east-1/s3/aws4_request"), BadToken, "", [2]string{}},
		{"method", func(r *http.Request) { r.Method = "DELETE" }, SignatureDoesNotMatch, "The request signature we calculated does not match", [2]string{"AWSAccessKeyId", testKey}},
		{"path", func(r *http.Request) { r.URL.Path = "/other" }, SignatureDoesNotMatch, "", [2]string{}},
		{"query", addQuery("acl"), SignatureDoesNotMatch, "", [2]string{}},
		{"bad escape", addQuery("a=%zz"), InvalidURI, "Couldn't parse the specified URI.", [2]string{}},
		{"semicolon", addQuery("a=b;c=d"), InvalidURI, "", [2]string{}},
		{"host", func(r *http.Request) { r.Host = "otherbucket.s3.amazonaws.com" }, SignatureDoesNotMatch, "", [2]string{}},
		{"signed header changed", setHeader("Content-Type", "text/html"), SignatureDoesNotMatch, "", [2]string{}},
		{"signed header twice", func(r *http.Request) { r.Header.Add("Content-Type", "text/html") }, SignatureDoesNotMatch, "", [2]string{}},
		{"signed header gone", delHeader("Content-Type"), SignatureDoesNotMatch, "", [2]string{}},
		{"upper case signature", func(r *http.Request) {
			before, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", before+"Signature="+strings.ToUpper(signature))
		}, SignatureDoesNotMatch, "", [2]string{}},
		{"short signature", setHeader("Authorization", strings.Replace(anyAuth, "=host,", "=content-type;host;x-amz-content-sha256;x-amz-date,", 1)+"00"), SignatureDoesNotMatch, "", [2]string{"SignatureProvided", "00"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, "PUT", "/key?a=1", "body", "Content-Type", "text/plain")
			sign(t, r, testSigning())
			a := testAuthenticator()
			if _, err := a.Request(r, Info{}); err != nil {
				t.Fatalf("before the edit: %v", err)
			}
			tc.edit(r)
			r.Body = untouched{t}
			c, err := a.Request(r, Info{})
			e := wantKind(t, err, tc.kind)
			if c != nil {
				t.Error("a caller beside an error")
			}
			if !strings.Contains(e.Message, tc.text) {
				t.Errorf("message %q, want %q in it", e.Message, tc.text)
			}
			if tc.field[0] != "" && fieldOf(e, tc.field[0]) != tc.field[1] {
				t.Errorf("fields %v, want %v", e.Fields, tc.field)
			}
		})
	}
}

// untouched is a body that must not be read before the headers were verified.
type untouched struct{ t testing.TB }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read before the headers were verified")
	return 0, io.EOF
}

func (untouched) Close() error { return nil }

func setHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func delHeader(name string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Del(name) }
}

func addQuery(q string) func(*http.Request) {
	return func(r *http.Request) { r.URL.RawQuery += "&" + q }
}

func credential(c string) func(*http.Request) {
	return func(r *http.Request) {
		_, rest, _ := strings.Cut(r.Header.Get("Authorization"), ",")
		r.Header.Set("Authorization", Algorithm+" Credential="+c+","+rest)
	}
}

func TestSkew(t *testing.T) {
	for skew, kind := range map[time.Duration]fault.Kind{
		-MaxSkew: "", MaxSkew: "", -MaxSkew - time.Second: TimeTooSkewed, MaxSkew + time.Second: TimeTooSkewed,
	} {
		r := request(t, "GET", "/k", "")
		sign(t, r, testSigning())
		cfg := testConfig()
		cfg.Now = func() time.Time { return testTime.Add(skew) }
		_, err := New(cfg).Request(r, Info{})
		e := wantKind(t, err, kind)
		if e != nil && (fieldOf(e, "RequestTime") != "20130524T000000Z" || fieldOf(e, "MaxAllowedSkewMilliseconds") != "900000" ||
			fieldOf(e, "ServerTime") == "") {
			t.Errorf("fields %v", e.Fields)
		}
	}
}

func TestPresignedRefused(t *testing.T) {
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			if !strings.Contains(r.URL.RawQuery, old) {
				panic("no " + old + " in " + r.URL.RawQuery)
			}
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, old, new, 1)
		}
	}
	required := "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
	cases := []struct {
		name string
		edit func(*http.Request)
		kind fault.Kind
		text string
	}{
		{"v2", func(r *http.Request) { r.URL.RawQuery = "AWSAccessKeyId=A&Signature=x&Expires=1" }, UnsupportedMechanism, "Please use AWS4-HMAC-SHA256."},
		{"ecdsa", replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), NotImplemented, ""},
		{"algorithm", replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), QueryMalformed, "X-Amz-Algorithm only supports"},
		{"no algorithm", replace("X-Amz-Algorithm", "X-Amz-Algorithn"), QueryMalformed, required},
		{"no credential", replace("X-Amz-Credential", "x-amz-credential"), QueryMalformed, required},
		{"no date", replace("X-Amz-Date", "Date"), QueryMalformed, required},
		{"no expires", replace("X-Amz-Expires", "Expires"), QueryMalformed, required},
		{"no signed headers", replace("X-Amz-SignedHeaders", "SignedHeaders"), QueryMalformed, required},
		{"no signature", replace("X-Amz-Signature", "Sig"), QueryMalformed, required},
		{"twice", addQuery("X-Amz-Expires=604800"), QueryMalformed, required},
		{"double encoded credential", replace("%2F", "%252F"), QueryMalformed, "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."},
		{"region", replace("us-east-1", "eu-west-1"), QueryMalformed, "Error parsing the X-Amz-Credential parameter; the region 'eu-west-1' is wrong; expecting 'us-east-1'"},
		{"date", replace("T000000Z", "T000000"), QueryMalformed, "ISO8601"},
		{"word", replace("Expires=60", "Expires=x"), QueryMalformed, "should be a number"},
		{"negative", replace("Expires=60", "Expires=-1"), QueryMalformed, "X-Amz-Expires must be non-negative"},
		{"over a week", replace("Expires=60", "Expires=604801"), QueryMalformed, "X-Amz-Expires must be less than a week (in seconds) that is 604800"},
		{"overflow", replace("Expires=60", "Expires=9999999999999999999999"), QueryMalformed, ""},
		{"zero", replace("Expires=60", "Expires=0"), RequestExpired, "Request has expired"},
		{"longer life", replace("Expires=60", "Expires=600"), SignatureDoesNotMatch, ""},
		{"method", func(r *http.Request) { r.Method = "PUT" }, SignatureDoesNotMatch, ""},
		{"signed header missing", delHeader("X-Amz-Acl"), SignatureDoesNotMatch, ""},
		{"unsigned header", setHeader("X-Amz-Copy-Source", "/b/k"), HeadersNotSigned, "which were not signed"},
		{"unsigned hash header", setHeader("X-Amz-Content-Sha256", UnsignedPayload), HeadersNotSigned, ""},
		{"token in a header not signed", setHeader("X-Amz-Security-Token", "t"), HeadersNotSigned, ""},
		{"token of nobody", addQuery("X-Amz-Security-Token=t"), BadToken, ""},
		{"unknown key", replace(testKey, "AKIANOBODY"), UnknownKey, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := presigned(t, request(t, "GET", "/k", "", "X-Amz-Acl", "private"), testSigning(), time.Minute)
			a := testAuthenticator()
			if _, err := a.Request(r, Info{}); err != nil {
				t.Fatalf("before the edit: %v", err)
			}
			tc.edit(r)
			_, err := a.Request(r, Info{})
			if e := wantKind(t, err, tc.kind); !strings.Contains(e.Message, tc.text) {
				t.Errorf("message %q, want %q in it", e.Message, tc.text)
			}
		})
	}
}

func TestPresignedTimes(t *testing.T) {
	for _, tc := range []struct {
		after time.Duration
		kind  fault.Kind
	}{
		{-MaxSkew - time.Second, NotYetValid}, {-MaxSkew, ""}, {time.Minute, ""}, {time.Minute + time.Second, RequestExpired},
	} {
		r := presigned(t, request(t, "GET", "/k", ""), testSigning(), time.Minute)
		cfg := testConfig()
		cfg.Now = func() time.Time { return testTime.Add(tc.after) }
		_, err := New(cfg).Request(r, Info{})
		e := wantKind(t, err, tc.kind)
		if tc.kind == RequestExpired && (fieldOf(e, "X-Amz-Expires") != "60" || fieldOf(e, "Expires") != "2013-05-24T00:01:00Z" ||
			fieldOf(e, "ServerTime") != "2013-05-24T00:01:01Z") {
			t.Errorf("fields %v", e.Fields)
		}
	}
}

func TestTemporaryKeys(t *testing.T) {
	s := testSigning()
	s.AccessKeyID = "ASIATEMPORARYEXAMPLE"
	for token, kind := range map[string]fault.Kind{"session//token+of=temporary": "", "another": BadToken, "": BadToken} {
		s.SessionToken = token
		r := request(t, "GET", "/k", "")
		sign(t, r, s)
		_, err := testAuthenticator().Request(r, Info{})
		wantKind(t, err, kind)
		_, err = testAuthenticator().Request(presigned(t, request(t, "GET", "/k", ""), s, time.Minute), Info{})
		wantKind(t, err, kind)
	}
	s = testSigning()
	s.SessionToken = "a long-term key has none"
	r := request(t, "GET", "/k", "")
	sign(t, r, s)
	_, err := testAuthenticator().Request(r, Info{})
	wantKind(t, err, BadToken)
}

func TestRegions(t *testing.T) {
	cfg := testConfig()
	cfg.Region, cfg.MoreRegions = "eu-west-1", []string{"eu-central-1"}
	a := New(cfg)
	for _, tc := range []struct {
		service, region string
		kind            fault.Kind
	}{
		{"s3", "eu-west-1", ""}, {"s3", "eu-central-1", ""}, {"s3", "us-east-1", HeaderMalformed}, {"s3", "aws-global", HeaderMalformed},
		{"iam", "us-east-1", ""}, {"sts", "us-east-1", ""}, {"sts", "eu-west-1", ""}, {"kms", "us-east-1", HeaderMalformed}, {"kms", "eu-west-1", ""},
	} {
		s := testSigning()
		s.Service, s.Region = tc.service, tc.region
		r := request(t, "GET", "/", "")
		sign(t, r, s)
		c, err := a.Request(r, Info{})
		wantKind(t, err, tc.kind)
		if err == nil && (c.Service != tc.service || c.Region != tc.region) {
			t.Errorf("caller %+v", c)
		}
	}
}

// TestServicePayload: the services other than S3 sign the hash of the body without saying it.
func TestServicePayload(t *testing.T) {
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	build := func(hash string) *http.Request {
		r := request(t, "POST", "/", body)
		s := testSigning()
		s.Service, s.PayloadHash = "sts", sha(body)
		if hash != "" {
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		sign(t, r, s)
		return r
	}
	for _, hash := range []string{"", sha(body)} {
		for _, payload := range [][]byte{nil, []byte(body)} {
			c, err := testAuthenticator().Request(build(hash), Info{Payload: payload})
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, c); got != body || c.PayloadHash != sha(body) || c.DecodedLength != int64(len(body)) {
				t.Errorf("body %q, caller %+v", got, c)
			}
		}
		_, err := testAuthenticator().Request(build(hash), Info{Payload: []byte(body + "x")})
		if hash == "" {
			wantKind(t, err, SignatureDoesNotMatch)
		} else {
			wantKind(t, err, ContentSHA256Mismatch)
		}
	}
	r := build("")
	r.Body = io.NopCloser(strings.NewReader(strings.Replace(body, "Get", "Put", 1)))
	_, err := testAuthenticator().Request(r, Info{})
	wantKind(t, err, SignatureDoesNotMatch)

	cfg := testConfig()
	cfg.MaxPayload = 10
	_, err = New(cfg).Request(build(""), Info{})
	wantKind(t, err, PayloadTooLarge)
	r = build("")
	r.ContentLength = -1
	_, err = New(cfg).Request(r, Info{})
	wantKind(t, err, PayloadTooLarge)
}

// TestAnonymousPayload: an unsigned call whose body the pipeline has read keeps its body.
func TestAnonymousPayload(t *testing.T) {
	r := request(t, "POST", "/", "Action=AssumeRoleWithWebIdentity")
	if _, err := io.ReadAll(r.Body); err != nil {
		t.Fatal(err)
	}
	c, err := testAuthenticator().Request(r, Info{Payload: []byte("Action=AssumeRoleWithWebIdentity")})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "Action=AssumeRoleWithWebIdentity" {
		t.Errorf("body %q", got)
	}
}

// TestOldBoto: boto 2 writes no blank after the commas and sends no x-amz-date but a Date.
func TestOldBoto(t *testing.T) {
	r := request(t, "GET", "/k?prefix=a%20b", "", "Date", "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Content-Sha256", emptySHA256)
	s := testSigning()
	s.PayloadHash = emptySHA256
	signature, err := s.sign(r, "20130524T000000Z", "date;host;x-amz-content-sha256", false)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", Algorithm+" Credential="+testKey+"/20130524/us-east-1/s3/aws4_request,"+
		"SignedHeaders=date;host;x-amz-content-sha256,Signature="+signature)
	if _, err := testAuthenticator().Request(r, Info{}); err != nil {
		t.Fatal(err)
	}
}

func TestSecretChange(t *testing.T) {
	p := testPeople()
	cfg := testConfig()
	cfg.Credentials = p
	a := New(cfg)
	r := request(t, "GET", "/k", "")
	sign(t, r, testSigning())
	if _, err := a.Request(r, Info{}); err != nil {
		t.Fatal(err)
	}
	p[testKey] = person(testKey, "another secret")
	_, err := a.Request(r, Info{})
	wantKind(t, err, SignatureDoesNotMatch)
}

func TestKeyCacheIsBounded(t *testing.T) {
	var c keyCache
	for i := range maxKeys + 50 {
		day := testTime.AddDate(0, 0, i/1000).Format(dateLayout)
		c.put(keyID{"secret" + string(rune(i)), day, "us-east-1", "s3"}, nil)
	}
	if n := len(c.keys); n > maxKeys || n < 40 {
		t.Errorf("%d keys", n)
	}
	for i := range 2 * maxKeys {
		c.put(keyID{"secret" + string(rune(i)), "20300101", "us-east-1", "s3"}, nil)
	}
	if n := len(c.keys); n != maxKeys {
		t.Errorf("%d keys of one day, want %d", n, maxKeys)
	}
}
