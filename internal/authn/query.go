package authn

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/fault"
)

// queryAuth is what a query says about authentication.
type queryAuth struct {
	algorithm, credential, date, expires, signedHeaders, signature, token, payloadHash string
	seen                                                                               uint8 // bits of queryFields
	repeated, v2                                                                       bool
}

// queryFields are the parameters of signature version 4. Their order gives their bits in seen.
var queryFields = [...]string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
	"X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256",
}

const (
	seenAlgorithm  = 1 << 0
	seenCredential = 1 << 1
	seenSignature  = 1 << 5
	seenRequired   = 1<<6 - 1
)

func (q *queryAuth) field(i int) *string {
	return [...]*string{
		&q.algorithm, &q.credential, &q.date, &q.expires,
		&q.signedHeaders, &q.signature, &q.token, &q.payloadHash,
	}[i]
}

// v4 tells whether the query claims to be signed. X-Amz-Date and the like alone do not: some
// clients send them beside a header.
func (q *queryAuth) v4() bool { return q.seen&(seenAlgorithm|seenCredential|seenSignature) != 0 }

// parseQuery finds the parameters of authentication, however their names are escaped. A query that
// two readers could understand differently is refused here, once for all who read it later.
func parseQuery(raw string) (queryAuth, error) {
	var q queryAuth
	for rest := raw; rest != ""; {
		var name, value string
		name, value, rest = cutPair(rest)
		name, value, err := unescapePair(name, value)
		if err != nil {
			return q, err
		}
		if name == "Signature" || name == "AWSAccessKeyId" {
			q.v2 = true
			continue
		}
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		for i, field := range queryFields {
			if name != field {
				continue
			}
			q.repeated = q.repeated || q.seen&(1<<i) != 0
			q.seen |= 1 << i
			*q.field(i) = value
		}
	}
	return q, nil
}

// unescapePair decodes a parameter. A bare semicolon separates parameters for some readers (net/url
// drops such a pair), so it is allowed only where clients send it: in the list of signed headers.
func unescapePair(rawName, rawValue string) (name, value string, err error) {
	if name, err = unescape(rawName); err != nil {
		return "", "", err
	}
	if value, err = unescape(rawValue); err != nil {
		return "", "", err
	}
	if strings.Contains(rawName, ";") || name != "X-Amz-SignedHeaders" && strings.Contains(rawValue, ";") {
		return "", "", errInvalidURI(rawName)
	}
	return name, value, nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	u, err := url.QueryUnescape(s)
	if err != nil {
		return "", errInvalidURI(s)
	}
	return u, nil
}

// query verifies a presigned URL.
func (a *Authenticator) query(r *http.Request, info Info, q *queryAuth) (*Caller, error) {
	signedAt, life, err := q.check()
	if err != nil {
		return nil, err
	}
	scope, err := a.scope(q.credential, q.date, queryMalformed)
	if err != nil {
		return nil, err
	}
	now := a.cfg.Now()
	expires := signedAt.Add(life)
	if signedAt.Sub(now) > MaxSkew {
		return nil, fault.New(NotYetValid, "Request is not yet valid", "X-Amz-Date", q.date, "ServerTime", iso(now))
	}
	if life == 0 || now.After(expires) {
		return nil, fault.New(RequestExpired, "Request has expired",
			"X-Amz-Expires", q.expires, "Expires", iso(expires), "ServerTime", iso(now))
	}
	s := signed{
		r: r, info: info, scope: scope, amzDate: q.date, presigned: true,
		signedHeaders: q.signedHeaders, signature: q.signature, token: q.token,
		payloadHash: q.payloadHash,
		caller:      &Caller{AuthType: Query, SignedAt: signedAt, Expires: expires},
	}
	if err := s.fromHeaders(); err != nil {
		return nil, err
	}
	return a.verify(&s, now)
}

// check validates all but the credential.
func (q *queryAuth) check() (signedAt time.Time, life time.Duration, err error) {
	if strings.HasPrefix(q.algorithm, "AWS4-ECDSA-") {
		return signedAt, 0, errECDSA("X-Amz-Algorithm")
	}
	if q.seen&seenRequired != seenRequired || q.repeated || q.signature == "" || q.signedHeaders == "" {
		return signedAt, 0, errQuery("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, " +
			"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
	}
	if q.algorithm != Algorithm {
		return signedAt, 0, errQuery(`X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"`)
	}
	signedAt, ok := parseTime(q.date)
	if !ok {
		return signedAt, 0, errQuery(`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`)
	}
	seconds, err := strconv.ParseInt(q.expires, 10, 64)
	switch {
	case err != nil:
		return signedAt, 0, errQuery("X-Amz-Expires should be a number")
	case seconds < 0:
		return signedAt, 0, errQuery("X-Amz-Expires must be non-negative")
	case seconds > int64(MaxExpires/time.Second):
		return signedAt, 0, errQuery("X-Amz-Expires must be less than a week (in seconds) that is 604800")
	}
	return signedAt, time.Duration(seconds) * time.Second, nil
}

func errQuery(text string) error { return fault.New(QueryMalformed, text) }

// fromHeaders takes what a presigned request may say in a (signed) header instead of the query. Where
// both speak they must agree.
func (s *signed) fromHeaders() error {
	for _, p := range [...]struct {
		field       *string
		header, arg string
	}{
		{&s.token, "X-Amz-Security-Token", "x-amz-security-token"},
		{&s.payloadHash, "X-Amz-Content-Sha256", "x-amz-content-sha256"},
	} {
		h := s.r.Header.Get(p.header)
		if h == "" {
			continue
		}
		if *p.field != "" && *p.field != h {
			return errQuery("The query and the header " + p.arg + " must be the same.")
		}
		*p.field = h
	}
	return nil
}
