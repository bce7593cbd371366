// Package website is S3's static website hosting: the configuration of a bucket and what it may say,
// which object a path means, where a request is redirected to, and the pages that tell of errors. It
// knows no bucket and reads nothing: the service does, as the anonymous caller that it is.
package website

import (
	"net/url"
	"strconv"
	"strings"
)

// MaxRules is how many routing rules a website may have.
const MaxRules = 50

// Config is a bucket's website. Its JSON is the stored form: the members of AWS's shape
// WebsiteConfiguration.
type Config struct {
	IndexDocument         *IndexDocument
	ErrorDocument         *ErrorDocument
	RedirectAllRequestsTo *RedirectAll
	RoutingRules          []Rule
}

// IndexDocument is what stands for a folder.
type IndexDocument struct{ Suffix *string }

// ErrorDocument is the object that tells of errors.
type ErrorDocument struct{ Key *string }

// RedirectAll sends every request elsewhere.
type RedirectAll struct {
	HostName *string
	Protocol string
}

// Rule redirects where its condition holds.
type Rule struct {
	Condition *Condition
	Redirect  *Redirect
}

// Condition of a rule: both members hold where both are given.
type Condition struct {
	HTTPErrorCodeReturnedEquals *string `json:"HttpErrorCodeReturnedEquals"`
	KeyPrefixEquals             *string
}

// Redirect says what changes in the address.
type Redirect struct {
	HostName             *string
	HTTPRedirectCode     *string `json:"HttpRedirectCode"`
	Protocol             string
	ReplaceKeyPrefixWith *string
	ReplaceKeyWith       *string
}

// Flaw is what is wrong with a configuration, in S3's words. Argument names the offending one of an
// InvalidArgument; where it is "" the request as a whole is invalid.
type Flaw struct{ Message, Argument, Value string }

// Check gives the first flaw, nil when there is none.
func (c *Config) Check() *Flaw {
	if c.RedirectAllRequestsTo != nil {
		return c.checkRedirectAll()
	}
	if c.IndexDocument == nil || c.IndexDocument.Suffix == nil {
		return &Flaw{"A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty", "IndexDocument", "null"}
	}
	if s := *c.IndexDocument.Suffix; s == "" || strings.Contains(s, "/") || !header(s) {
		return &Flaw{"The IndexDocument Suffix is not well formed", "IndexDocument", s}
	}
	if c.ErrorDocument != nil && (c.ErrorDocument.Key == nil || *c.ErrorDocument.Key == "") {
		return &Flaw{"The ErrorDocument Key is not well formed", "ErrorDocument", ""}
	}
	if n := len(c.RoutingRules); n > MaxRules {
		return &Flaw{Message: strconv.Itoa(n) + " routing rules provided, the number of routing rules in a website configuration is limited to 50."}
	}
	for i := range c.RoutingRules {
		if flaw := c.RoutingRules[i].check(); flaw != nil {
			return flaw
		}
	}
	return nil
}

func (c *Config) checkRedirectAll() *Flaw {
	r := c.RedirectAllRequestsTo
	switch {
	case c.IndexDocument != nil || c.ErrorDocument != nil || len(c.RoutingRules) > 0:
		return &Flaw{"RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.", "RedirectAllRequestsTo", "not null"}
	case r.HostName == nil || !host(*r.HostName):
		return &Flaw{"The HostName of RedirectAllRequestsTo is not well formed", "HostName", value(r.HostName)}
	}
	return checkProtocol(r.Protocol)
}

func (r *Rule) check() *Flaw {
	to := r.Redirect
	if to == nil || to.HostName == nil && to.HTTPRedirectCode == nil && to.Protocol == "" && to.ReplaceKeyPrefixWith == nil && to.ReplaceKeyWith == nil {
		return &Flaw{Message: "Redirect cannot be empty. It must name at least one of Protocol, HostName, ReplaceKeyPrefixWith, ReplaceKeyWith and HttpRedirectCode."}
	}
	switch {
	case to.ReplaceKeyPrefixWith != nil && to.ReplaceKeyWith != nil:
		return &Flaw{Message: "You can only define ReplaceKeyPrefix or ReplaceKey but not both."}
	case to.HTTPRedirectCode != nil && !code(*to.HTTPRedirectCode, 301, 399):
		return &Flaw{Message: "The provided HTTP redirect code (" + *to.HTTPRedirectCode + ") is not valid. Valid codes are 3XX except 300."}
	case to.HostName != nil && !host(*to.HostName):
		return &Flaw{"The HostName of a Redirect is not well formed", "HostName", *to.HostName}
	}
	if flaw := checkProtocol(to.Protocol); flaw != nil || r.Condition == nil {
		return flaw
	}
	when := r.Condition
	switch {
	case when.HTTPErrorCodeReturnedEquals == nil && when.KeyPrefixEquals == nil:
		return &Flaw{Message: "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present."}
	case when.HTTPErrorCodeReturnedEquals != nil && !code(*when.HTTPErrorCodeReturnedEquals, 400, 599):
		return &Flaw{Message: "The provided HTTP error code (" + *when.HTTPErrorCodeReturnedEquals + ") is not valid. Valid codes are 4XX or 5XX."}
	}
	return nil
}

func checkProtocol(p string) *Flaw {
	if p == "" || p == "http" || p == "https" {
		return nil
	}
	return &Flaw{Message: "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically."}
}

func code(text string, least, most int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && len(text) == 3 && least <= n && n <= most
}

// host tells whether a text can be a host name with a port: nothing that ends it or its header.
func host(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_:[]", r))
	})
}

// header tells whether a text can stand in a header.
func header(s string) bool { return !strings.ContainsAny(s, "\r\n\x00") }

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Key is the object that a path, without its first slash, means: that of a folder is its index.
func (c *Config) Key(path string) string {
	if path == "" || strings.HasSuffix(path, "/") {
		return path + c.suffix()
	}
	return path
}

// Folder is the index of what would be a folder, if path named one without its slash; "" where it
// cannot.
func (c *Config) Folder(path string) string {
	if path == "" || strings.HasSuffix(path, "/") {
		return ""
	}
	return path + "/" + c.suffix()
}

func (c *Config) suffix() string {
	if c.IndexDocument == nil {
		return "" // everything is redirected
	}
	return value(c.IndexDocument.Suffix)
}

// ErrorKey is the object that tells of errors, "" when there is none.
func (c *Config) ErrorKey() string {
	if c.ErrorDocument == nil {
		return ""
	}
	return value(c.ErrorDocument.Key)
}

// Place is where a request came to: its scheme and host, its path without the first slash, decoded,
// and its query as sent.
type Place struct{ Scheme, Host, Path, Query string }

// Move is a redirect: a status and a Location.
type Move struct {
	Status   int
	Location string
}

// All is the redirect of every request, nil when the website has none. Path and query stay.
func (c *Config) All(at Place) *Move {
	r := c.RedirectAllRequestsTo
	if r == nil {
		return nil
	}
	at.Host = *r.HostName
	if r.Protocol != "" {
		at.Scheme = r.Protocol
	}
	to := at.url()
	if at.Query != "" {
		to += "?" + at.Query
	}
	return &Move{301, to}
}

// Before is the redirect of the rules that ask for no error, nil when none applies.
func (c *Config) Before(at Place) *Move { return c.first(at, 0) }

// After is the redirect of the rules for an error, nil when none applies.
func (c *Config) After(at Place, status int) *Move { return c.first(at, status) }

func (c *Config) first(at Place, status int) *Move {
	for i := range c.RoutingRules {
		r := &c.RoutingRules[i]
		if prefix, ok := r.Condition.holds(at.Path, status); ok {
			return r.Redirect.move(at, prefix)
		}
	}
	return nil
}

// holds tells whether the condition is for this status (0: no error yet) and path, and what prefix of
// the path it names.
func (c *Condition) holds(path string, status int) (prefix string, ok bool) {
	if c == nil {
		return "", status == 0
	}
	if wanted := c.HTTPErrorCodeReturnedEquals; (wanted == nil) != (status == 0) || wanted != nil && *wanted != strconv.Itoa(status) {
		return "", false
	}
	prefix = value(c.KeyPrefixEquals)
	return prefix, strings.HasPrefix(path, prefix)
}

func (r *Redirect) move(at Place, prefix string) *Move {
	m := &Move{Status: 301}
	if r.HTTPRedirectCode != nil {
		m.Status, _ = strconv.Atoi(*r.HTTPRedirectCode) // Check saw to it
	}
	if r.HostName != nil {
		at.Host = *r.HostName
	}
	if r.Protocol != "" {
		at.Scheme = r.Protocol
	}
	switch {
	case r.ReplaceKeyWith != nil:
		at.Path = *r.ReplaceKeyWith
	case r.ReplaceKeyPrefixWith != nil:
		at.Path = *r.ReplaceKeyPrefixWith + strings.TrimPrefix(at.Path, prefix)
	}
	m.Location = at.url()
	return m
}

// Slash is the redirect to the folder that the path names without its slash. A path that begins with a
// slash of its own gets the whole address: what two slashes begin is a host.
func (c *Config) Slash(at Place) *Move {
	at.Path += "/"
	if strings.HasPrefix(at.Path, "/") {
		return &Move{302, at.url()}
	}
	return &Move{302, (&url.URL{Path: "/" + at.Path}).EscapedPath()}
}

// url is the place as an absolute address. Nothing in it is outside of visible ASCII, whatever the path
// holds.
func (p Place) url() string {
	u := url.URL{Scheme: p.Scheme, Host: p.Host, Path: "/" + p.Path}
	return u.String()
}
