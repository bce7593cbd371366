package authn

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/fault"
)

// FormField is one field of a POST form, in the order of the form. The field "file" is not among
// them, and ${filename} has been replaced by the file's name already.
type FormField struct{ Name, Value string }

// form holds fields by lower-case name.
type form map[string]string

// maxPolicy bounds the base64 text of a POST policy; S3 allows 20 KB for the whole form.
const maxPolicy = 64 << 10

// formAuthentication are the fields of a signed form that are not conditions' business, in the order
// in which S3 misses them.
var formAuthentication = [...]string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "policy", "X-Amz-Signature"}

// Form verifies a POST form for bucket: the signature over its policy, and every field against
// the policy. What only the file's size can violate is left to the PostPolicy, which is never nil
// when the error is. A form without any sign of authentication is the anonymous caller's. The
// request itself must carry no other authentication: Form refuses it.
func (a *Authenticator) Form(r *http.Request, fields []FormField, bucket string) (*Caller, *PostPolicy, error) {
	if err := onlyForm(r); err != nil {
		return nil, nil, err
	}
	f, err := readForm(fields, bucket)
	if err != nil {
		return nil, nil, err
	}
	if !f.signed() {
		c := &Caller{Subject: a.cfg.Anonymous, AuthType: Anonymous, Body: http.NoBody, DecodedLength: -1}
		return c, &PostPolicy{}, nil
	}
	signedAt, err := f.check()
	if err != nil {
		return nil, nil, err
	}
	c, err := a.form(r.Context(), f, signedAt)
	if err != nil {
		return nil, nil, err
	}
	policy, err := parsePostPolicy(f["policy"])
	if err != nil {
		return nil, nil, err
	}
	if err := policy.check(f, a.cfg.Now()); err != nil {
		return nil, nil, err
	}
	if c.Expires.IsZero() || policy.expires.Before(c.Expires) {
		c.Expires = policy.expires
	}
	return c, policy, nil
}

// onlyForm refuses a form that comes with a second way of authentication.
func onlyForm(r *http.Request) error {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if _, header := r.Header["Authorization"]; header || q.v4() || q.v2 {
		return errSeveralMechanisms("POST")
	}
	return nil
}

// readForm indexes the fields. A field that comes twice is refused: the policy could look at one and
// the operation at the other.
func readForm(fields []FormField, bucket string) (form, error) {
	f := make(form, len(fields)+1)
	for _, field := range fields {
		name := strings.ToLower(field.Name)
		if _, twice := f[name]; twice {
			return nil, fault.New(InvalidFormField, "POST requires that every field comes at most once.",
				"ArgumentName", field.Name, "ArgumentValue", "")
		}
		f[name] = field.Value
	}
	if named, ok := f["bucket"]; ok && named != bucket {
		return nil, fault.New(PolicyDenied, "Invalid according to Policy: the field bucket is not the bucket of the request.")
	}
	f["bucket"] = bucket
	return f, nil
}

// signed tells whether the form shows any sign of authentication.
func (f form) signed() bool {
	for _, name := range [...]string{"awsaccesskeyid", "signature"} {
		if _, ok := f[name]; ok {
			return true
		}
	}
	for _, name := range formAuthentication {
		if _, ok := f[strings.ToLower(name)]; ok {
			return true
		}
	}
	return false
}

// check validates the fields of authentication but the credential.
func (f form) check() (signedAt time.Time, err error) {
	_, v2key := f["awsaccesskeyid"]
	_, v2signature := f["signature"]
	if v2key || v2signature {
		return signedAt, errUnsupportedMechanism()
	}
	for _, name := range formAuthentication {
		if f[strings.ToLower(name)] == "" {
			return signedAt, fault.New(InvalidFormField, "Bucket POST must contain a field named '"+name+
				"'.  If it is specified, please check the order of the fields.", "ArgumentName", name, "ArgumentValue", "")
		}
	}
	switch algorithm := f["x-amz-algorithm"]; {
	case strings.HasPrefix(algorithm, "AWS4-ECDSA-"):
		return signedAt, errECDSA("X-Amz-Algorithm")
	case algorithm != Algorithm:
		return signedAt, errUnsupportedMechanism()
	}
	signedAt, ok := parseTime(f["x-amz-date"])
	if !ok {
		return signedAt, fault.New(InvalidFormField, `X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`,
			"ArgumentName", "X-Amz-Date", "ArgumentValue", f["x-amz-date"])
	}
	if len(f["policy"]) > maxPolicy {
		return signedAt, errPolicy("the policy is too long.")
	}
	return signedAt, nil
}

// form verifies the signature over the policy.
func (a *Authenticator) form(ctx context.Context, f form, signedAt time.Time) (*Caller, error) {
	scope, err := a.scope(f["x-amz-credential"], f["x-amz-date"], queryMalformed)
	if err != nil {
		return nil, err
	}
	if scope.service != "s3" {
		return nil, queryMalformed(`incorrect service "` + scope.service + `". This endpoint belongs to "s3".`)
	}
	cred, err := a.lookup(ctx, scope.accessKeyID, f["x-amz-security-token"], a.cfg.Now())
	if err != nil {
		return nil, err
	}
	id := keyID{cred.Secret, scope.date, scope.region, scope.service}
	key, known := a.keys.get(id)
	policy, signature := f["policy"], f["x-amz-signature"]
	if !key.verify([]byte(policy), signature) {
		return nil, fault.New(SignatureDoesNotMatch, mismatchText, "AWSAccessKeyId", scope.accessKeyID,
			"StringToSign", policy, "SignatureProvided", signature, "StringToSignBytes", spacedHex([]byte(policy)))
	}
	if !known {
		a.keys.put(id, key)
	}
	return &Caller{
		Subject: cred.Subject, AuthType: Form, Service: scope.service, Region: scope.region,
		SignedAt: signedAt, Expires: cred.Expires, SignatureVersion: Algorithm,
		Body: http.NoBody, DecodedLength: -1,
	}, nil
}
