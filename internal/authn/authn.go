package authn

import (
	"context"
	"crypto/subtle"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// MaxSkew is how far the clock of a client may be off.
const MaxSkew = 15 * time.Minute

// MaxExpires is the longest life of a presigned URL.
const MaxExpires = 7 * 24 * time.Hour

// Algorithm is the one signature algorithm that is spoken.
const Algorithm = "AWS4-HMAC-SHA256"

// Credential is what a key id stands for.
type Credential struct {
	AccessKeyID, Secret string
	// SessionToken is the token that must come with a temporary key; "" for long-term keys.
	SessionToken string
	// Expires is the end of a temporary key; zero: never.
	Expires time.Time
	Active  bool
	Subject authz.Subject
}

// Credentials finds what a key id stands for. A key that is not there is an error of kind
// UnknownKey; InactiveKey, BadToken and ExpiredToken are its other answers. Safe for concurrent use.
type Credentials interface {
	Lookup(ctx context.Context, accessKeyID, sessionToken string) (*Credential, error)
}

// Config of an Authenticator.
type Config struct {
	// Credentials is asked once per signed request. Required.
	Credentials Credentials
	// Anonymous is the subject of a request without any sign of authentication. Its zero value is
	// nobody, who is allowed nothing.
	Anonymous authz.Subject
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Region that credential scopes must name. Empty: us-east-1.
	Region string
	// MoreRegions are accepted in scopes beside Region.
	MoreRegions []string
	// Services whose name a scope may carry. Nil: all that Kura speaks.
	Services []string
	// MaxPayload is how many bytes of a body are read to verify a signature that covers them
	// (services other than S3). 0: 8 MiB.
	MaxPayload int64
}

// Authenticator verifies requests. Safe for concurrent use.
type Authenticator struct {
	cfg      Config
	services map[string]bool // true: also signs for us-east-1 wherever Kura is
	regions  map[string]bool
	keys     keyCache
}

// defaultServices are the signing names that Kura speaks.
var defaultServices = []string{
	"s3", "iam", "sts", "organizations", "kms", "config", "events", "cloudtrail", "lambda",
	"guardduty", "access-analyzer", "sns", "sqs", "logs",
}

// globalServices have one endpoint, whose scope says us-east-1 in every region (STS: may say).
var globalServices = map[string]bool{"iam": true, "sts": true, "organizations": true}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Services == nil {
		cfg.Services = defaultServices
	}
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = 8 << 20
	}
	a := &Authenticator{cfg: cfg, services: map[string]bool{}, regions: map[string]bool{cfg.Region: true}}
	for _, s := range cfg.Services {
		a.services[s] = globalServices[s]
	}
	for _, r := range cfg.MoreRegions {
		a.regions[r] = true
	}
	return a
}

// Info is what the front knows of a request.
type Info struct {
	// Host as sent, the same that virtual-host routing used. Empty: the request's own.
	Host string
	// RawPath is the escaped path as received. Empty: the request's own.
	RawPath string
	// Payload is the whole body where it was already read (services other than S3); else nil.
	Payload  []byte
	Secure   bool
	RemoteIP netip.Addr
}

// Type is where the authentication of a request was found.
type Type uint8

// The types. The zero Type is invalid.
const (
	_ Type = iota
	Header
	Query
	Form
	Anonymous
	// Inside is a request that Kura itself makes on somebody's behalf.
	Inside
)

var typeNames = [...]string{"", "header", "query", "form", "anonymous", "inside"}

// String is the name in the audit record.
func (t Type) String() string { return typeNames[t] }

var typeS3Names = [...]string{"", "REST-HEADER", "REST-QUERY-STRING", "POST", "", ""}

// S3 is the value of the condition key s3:authType, "" where nobody signed.
func (t Type) S3() string { return typeS3Names[t] }

// Caller is who made a request, and the request's body.
type Caller struct {
	Subject  authz.Subject
	AuthType Type
	// Service and Region of the credential scope; "" for anonymous callers.
	Service, Region string
	SignedAt        time.Time
	// Expires is the end of a presigned URL or a form policy, no later than that of the key.
	Expires time.Time
	// SignatureVersion is the value of s3:signatureversion, "" for anonymous callers.
	SignatureVersion string
	// PayloadHash is the value of x-amz-content-sha256 as it was signed.
	PayloadHash string
	// Body replaces the request's body. Reading it to io.EOF is the proof that it is what the
	// client signed; its errors are *fault.Error where the client is at fault. Never nil.
	Body io.Reader
	// DecodedLength is how many bytes Body gives, -1 when that is unknown.
	DecodedLength int64
	// TrailerName is the checksum header that comes after the body, in lower case; "" for none.
	TrailerName string

	trailer *chunkReader
}

// Trailer is what came after the body. It is there only once Body has given io.EOF.
func (c *Caller) Trailer() (name, value string, ok bool) {
	if c.trailer == nil || c.trailer.err != io.EOF || c.TrailerName == "" {
		return "", "", false
	}
	return c.TrailerName, c.trailer.trailerValue, true
}

// Request verifies a request with header, query or no authentication. Use Form for POST forms.
func (a *Authenticator) Request(r *http.Request, info Info) (*Caller, error) {
	if info.Host == "" {
		info.Host = r.Host
	}
	if info.RawPath == "" {
		info.RawPath = r.URL.EscapedPath()
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if err := checkSingle(r.Header); err != nil {
		return nil, err
	}
	auth, header := r.Header["Authorization"]
	switch {
	case header && (q.v4() || q.v2 || len(auth) != 1):
		return nil, errSeveralMechanisms(scheme(auth[0]))
	case header:
		return a.header(r, info, auth[0])
	case q.v4():
		return a.query(r, info, &q)
	case q.v2:
		return nil, errUnsupportedMechanism()
	}
	return a.anonymous(r, info)
}

// Scope tells which service and region a request claims to be signed for, verifying nothing: it is
// for choosing the service that will read the request. ok is false without a credential.
func Scope(r *http.Request) (service, region string, ok bool) {
	var credential string
	if auth := r.Header.Get("Authorization"); auth != "" {
		fields, err := parseAuthorization(auth)
		if err != nil {
			return "", "", false
		}
		credential = fields.credential
	} else if q, err := parseQuery(r.URL.RawQuery); err == nil {
		credential = q.credential
	}
	s, err := parseScope(credential)
	if err != nil {
		return "", "", false
	}
	return s.service, s.region, true
}

func (a *Authenticator) anonymous(r *http.Request, info Info) (*Caller, error) {
	c := &Caller{Subject: a.cfg.Anonymous, AuthType: Anonymous}
	if err := openBody(c, r, info.Payload, r.Header.Get("X-Amz-Content-Sha256"), nil); err != nil {
		return nil, err
	}
	return c, nil
}

// lookup finds the credential and checks it again: a Credentials that forgets to look at the token or
// at the clock must not open anything.
func (a *Authenticator) lookup(ctx context.Context, accessKeyID, token string, now time.Time) (*Credential, error) {
	cred, err := a.cfg.Credentials.Lookup(ctx, accessKeyID, token)
	switch {
	case err != nil:
		return nil, err
	case cred == nil || cred.Secret == "" || cred.AccessKeyID != accessKeyID:
		return nil, fault.New(UnknownKey, "", "AWSAccessKeyId", accessKeyID)
	case !cred.Active:
		return nil, fault.New(InactiveKey, "", "AWSAccessKeyId", accessKeyID)
	case subtle.ConstantTimeCompare([]byte(cred.SessionToken), []byte(token)) != 1:
		return nil, fault.New(BadToken, "", "Token-0", token)
	case !cred.Expires.IsZero() && !now.Before(cred.Expires):
		return nil, fault.New(ExpiredToken, "", "Token-0", token)
	}
	return cred, nil
}

func errSeveralMechanisms(value string) error {
	return fault.New(SeveralMechanisms, "Only one auth mechanism allowed; only the X-Amz-Algorithm query "+
		"parameter, Signature query string parameter or the Authorization header should be specified",
		"ArgumentName", "Authorization", "ArgumentValue", value)
}

func errUnsupportedMechanism() error {
	return fault.New(UnsupportedMechanism,
		"The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
}

// scheme is the first word of an Authorization header.
func scheme(auth string) string {
	s, _, _ := strings.Cut(auth, " ")
	if len(s) > 64 {
		s = s[:64]
	}
	return s
}
