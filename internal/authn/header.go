package authn

import (
	"net/http"
	"strings"

	"github.com/kura-s3/kura/internal/fault"
)

// authorization is an Authorization header of AWS4-HMAC-SHA256.
type authorization struct{ credential, signedHeaders, signature string }

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…"; the blanks
// after the commas are optional, each part comes once.
func parseAuthorization(v string) (authorization, error) {
	var a authorization
	algorithm, rest, _ := strings.Cut(strings.TrimLeft(v, " "), " ")
	switch {
	case algorithm == Algorithm:
	case algorithm == "AWS":
		return a, errUnsupportedMechanism()
	case strings.HasPrefix(algorithm, "AWS4-ECDSA-"):
		return a, errECDSA("Authorization")
	case strings.HasPrefix(algorithm, "AWS4-"):
		return a, errUnsupportedMechanism()
	default:
		return a, fault.New(UnknownScheme, "Unsupported Authorization Type",
			"ArgumentName", "Authorization", "ArgumentValue", scheme(algorithm))
	}
	for part := ""; rest != ""; {
		part, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
		var field *string
		switch name {
		case "Credential":
			field = &a.credential
		case "SignedHeaders":
			field = &a.signedHeaders
		case "Signature":
			field = &a.signature
		}
		if field == nil || *field != "" || value == "" {
			return a, errThreeComponents()
		}
		*field = value
	}
	if a.credential == "" || a.signedHeaders == "" || a.signature == "" {
		return a, errThreeComponents()
	}
	return a, nil
}

func errThreeComponents() error {
	return headerMalformed("the authorization header requires three components: Credential, SignedHeaders, and Signature.")
}

func errECDSA(header string) error {
	return fault.New(NotImplemented, "A header you provided implies functionality that is not implemented", "Header", header)
}

// header verifies a request with an Authorization header.
func (a *Authenticator) header(r *http.Request, info Info, value string) (*Caller, error) {
	auth, err := parseAuthorization(value)
	if err != nil {
		return nil, err
	}
	signedAt, amzDate, ok := requestTime(r.Header.Get("X-Amz-Date"), r.Header.Get("Date"))
	if !ok {
		return nil, fault.New(MissingDate, "AWS authentication requires a valid Date or x-amz-date header")
	}
	scope, err := a.scope(auth.credential, amzDate, headerMalformed)
	if err != nil {
		return nil, err
	}
	now := a.cfg.Now()
	if skew := now.Sub(signedAt); skew > MaxSkew || skew < -MaxSkew {
		return nil, fault.New(TimeTooSkewed, "The difference between the request time and the current time is too large.",
			"RequestTime", amzDate, "ServerTime", iso(now), "MaxAllowedSkewMilliseconds", "900000")
	}
	s := signed{
		r: r, info: info, scope: scope, amzDate: amzDate,
		signedHeaders: auth.signedHeaders, signature: auth.signature,
		token:       r.Header.Get("X-Amz-Security-Token"),
		payloadHash: r.Header.Get("X-Amz-Content-Sha256"),
		caller:      &Caller{AuthType: Header, SignedAt: signedAt},
	}
	if scope.service == "s3" && s.payloadHash == "" {
		return nil, fault.New(MissingContentSHA256, "Missing required header for this request: x-amz-content-sha256")
	}
	return a.verify(&s, now)
}
