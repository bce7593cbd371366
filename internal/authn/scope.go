package authn

import (
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/fault"
)

const (
	timeLayout = "20060102T150405Z" // ISO 8601 basic, as in x-amz-date
	dateLayout = "20060102"
	terminal   = "aws4_request"
	maxKeyID   = 128
)

// scope is a credential: key id and the scope of its signing key.
type scope struct {
	accessKeyID, date, region, service string
	// text is date/region/service/aws4_request.
	text string
}

// malformed makes the error of a place where a credential was found: the texts are the same in the
// header and in the query but for their beginning.
type malformed func(text string, pairs ...string) error

func headerMalformed(text string, pairs ...string) error {
	return fault.New(HeaderMalformed, "The authorization header is malformed; "+text, pairs...)
}

func queryMalformed(text string, pairs ...string) error {
	return fault.New(QueryMalformed, "Error parsing the X-Amz-Credential parameter; "+text, pairs...)
}

type scopeError string

func (e scopeError) Error() string { return string(e) }

const errCredential scopeError = `the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`

// parseScope takes a credential apart. Its errors are scopeErrors.
func parseScope(credential string) (scope, error) {
	var s scope
	rest, ok := "", false
	if s.accessKeyID, rest, ok = strings.Cut(credential, "/"); !ok {
		return s, errCredential
	}
	s.text = rest
	end := ""
	if s.date, rest, ok = strings.Cut(rest, "/"); !ok {
		return s, errCredential
	}
	if s.region, rest, ok = strings.Cut(rest, "/"); !ok {
		return s, errCredential
	}
	if s.service, end, ok = strings.Cut(rest, "/"); !ok || strings.Contains(end, "/") {
		return s, errCredential
	}
	switch {
	case s.accessKeyID == "":
		return s, scopeError("a non-empty Access Key (AKID) must be provided in the credential.")
	case len(s.accessKeyID) > maxKeyID || s.region == "" || s.service == "":
		return s, errCredential
	case !isDate(s.date):
		return s, scopeError(`incorrect date format "` + s.date + `". This date in the credential must be in the format "yyyyMMdd".`)
	case end != terminal:
		return s, scopeError(`incorrect terminal "` + end + `". This endpoint uses "aws4_request".`)
	}
	return s, nil
}

func isDate(s string) bool {
	if len(s) != len(dateLayout) {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// check parses a credential and holds its scope to the time of the request and to what is served here.
func (a *Authenticator) scope(credential, amzDate string, fail malformed) (scope, error) {
	s, err := parseScope(credential)
	if err != nil {
		return s, fail(err.Error())
	}
	if s.date != amzDate[:len(dateLayout)] {
		return s, fail(`Invalid credential date "` + s.date + `". This date is not the same as X-Amz-Date: "` +
			amzDate[:len(dateLayout)] + `".`)
	}
	global, known := a.services[s.service]
	if !known {
		return s, fail(`incorrect service "` + s.service + `". This endpoint belongs to "s3".`)
	}
	if !a.regions[s.region] && (!global || s.region != "us-east-1") {
		return s, fail("the region '"+s.region+"' is wrong; expecting '"+a.cfg.Region+"'", "Region", a.cfg.Region)
	}
	return s, nil
}

// parseTime reads the form of x-amz-date, and no other.
func parseTime(s string) (time.Time, bool) {
	if len(s) != len(timeLayout) {
		return time.Time{}, false
	}
	t, err := time.Parse(timeLayout, s)
	return t, err == nil
}

// requestTime is the time at which a request with header authentication was signed, and its text
// in the string to sign.
func requestTime(amzDate, date string) (time.Time, string, bool) {
	if amzDate != "" {
		t, ok := parseTime(amzDate)
		return t, amzDate, ok
	}
	if t, ok := parseTime(date); ok {
		return t, date, true
	}
	for _, layout := range [...]string{time.RFC1123, time.RFC1123Z, time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, date); err == nil {
			t = t.UTC()
			return t, t.Format(timeLayout), true
		}
	}
	return time.Time{}, "", false
}

// iso is how error answers print a time.
func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
