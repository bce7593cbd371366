// Package cors is S3's cross-origin resource sharing: the rules of a bucket, what they may say, and
// which of them answers a browser. It promises that no answer names an origin, a method or a header
// that a rule does not allow, and that nothing of it can break out of its header. It knows no bucket
// and decides no permission: what a script may read is decided as for everybody.
package cors

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// MaxRules is how many rules a bucket may have.
const MaxRules = 100

const maxID = 255

// Config is a bucket's rules, in the order in which they are tried. Its JSON is the stored form: the
// members of AWS's shape CORSConfiguration.
type Config struct {
	CORSRules []Rule
}

// Rule allows origins some methods.
type Rule struct {
	ID             *string
	AllowedHeaders []string
	AllowedMethods []string
	AllowedOrigins []string
	ExposeHeaders  []string
	MaxAgeSeconds  *int32
}

// methods that a rule can allow.
var methods = []string{"GET", "PUT", "POST", "DELETE", "HEAD"}

// Check says in S3's words what is wrong with the rules, "" when nothing is.
func (c *Config) Check() string {
	if len(c.CORSRules) > MaxRules {
		return "The number of CORS rules should not exceed allowed limit of 100 rules."
	}
	for i := range c.CORSRules {
		if wrong := c.CORSRules[i].check(); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (r *Rule) check() string {
	if r.ID != nil && len(*r.ID) > maxID {
		return "The ID length should not exceed allowed limit of 255"
	}
	for _, m := range r.AllowedMethods {
		if !slices.Contains(methods, m) {
			return "Found unsupported HTTP method in CORS config. Unsupported method is " + m
		}
	}
	for _, origin := range r.AllowedOrigins {
		switch {
		case strings.Count(origin, "*") > 1:
			return `AllowedOrigin "` + origin + `" can not have more than one wildcard.`
		case !plain(origin):
			return `AllowedOrigin "` + origin + `" contains invalid character.`
		}
	}
	for _, header := range r.AllowedHeaders {
		switch {
		case strings.Count(header, "*") > 1:
			return `AllowedHeader "` + header + `" can not have more than one wildcard.`
		case !token(strings.Replace(header, "*", "x", 1)):
			return `AllowedHeader "` + header + `" contains invalid character.`
		}
	}
	for _, header := range r.ExposeHeaders {
		switch {
		case strings.Contains(header, "*"):
			return `ExposeHeader "` + header + `" contains wildcard. We currently do not support wildcard for ExposeHeader.`
		case !token(header):
			return `ExposeHeader "` + header + `" contains invalid character.`
		}
	}
	if r.MaxAgeSeconds != nil && *r.MaxAgeSeconds < 0 {
		return "MaxAgeSeconds must not be negative."
	}
	return ""
}

// plain tells whether a text is visible ASCII.
func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// token tells whether a text can name a header (RFC 9110, 5.6.2).
func token(s string) bool {
	return plain(s) && !strings.ContainsAny(s, `"(),/:;<=>?@[\]{}`)
}

// Asked is what a browser asks: a preflight, or a request of a page of another origin.
type Asked struct {
	Origin  string
	Method  string
	Headers []string // that the page wants to send; of a preflight
}

// Ask reads the headers of a request. Origin is "" where none was sent.
func Ask(method string, h http.Header) Asked {
	a := Asked{Origin: h.Get("Origin"), Method: method}
	if wanted := h.Get("Access-Control-Request-Method"); wanted != "" || method == http.MethodOptions {
		a.Method = wanted
	}
	for _, list := range h.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				a.Headers = append(a.Headers, name)
			}
		}
	}
	return a
}

// maxHeaders is how many headers a page may ask for. Everybody may ask, and each is compared with every
// header of every rule.
const maxHeaders = 256

// Match is the first rule that allows what is asked, nil when none does.
func (c *Config) Match(a *Asked) *Rule {
	if c == nil || !plain(a.Origin) || len(a.Headers) > maxHeaders {
		return nil
	}
	for i := range c.CORSRules {
		if r := &c.CORSRules[i]; r.allows(a) {
			return r
		}
	}
	return nil
}

func (r *Rule) allows(a *Asked) bool {
	if !slices.Contains(r.AllowedMethods, a.Method) || r.origin(a.Origin) == "" {
		return false
	}
	for _, header := range a.Headers {
		if !token(header) || !slices.ContainsFunc(r.AllowedHeaders, func(p string) bool { return wild(strings.ToLower(p), header) }) {
			return false
		}
	}
	return true
}

// origin is the pattern that allows an origin, "" when none does.
func (r *Rule) origin(origin string) string {
	for _, p := range r.AllowedOrigins {
		if wild(p, origin) {
			return p
		}
	}
	return ""
}

// wild compares with a pattern of at most one "*".
func wild(pattern, s string) bool {
	before, after, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}

// Answer writes what the rule allows into the headers of an answer to a, which it matched. Credentials
// go only to origins that the rule names more closely than "*".
func (r *Rule) Answer(h http.Header, a *Asked) {
	if r.origin(a.Origin) == "*" {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", a.Origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(r.AllowedMethods, ", "))
	if len(a.Headers) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(a.Headers, ", "))
	}
	if len(r.ExposeHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(r.ExposeHeaders, ", "))
	}
	if r.MaxAgeSeconds != nil {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(*r.MaxAgeSeconds)))
	}
	h.Set("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
}
