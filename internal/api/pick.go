package api

import (
	"net/http"
	"net/url"
	"strings"
)

// service tells which AWS service a request is for: the one named in the credential scope, else
// the one of X-Amz-Target, else the one that claims the form's Action, else S3. A name that Kura
// does not have ends at S3 too, where the signature check refuses the foreign scope.
func (s *Server) service(c *Call) Service {
	r := c.R
	if c.subject != nil {
		if service, ok := s.services[strings.TrimSuffix(r.Host, InsideSuffix)]; ok && strings.HasSuffix(r.Host, InsideSuffix) {
			return service
		}
	}
	if name := scopeService(r); name != "" {
		if service, ok := s.services[name]; ok {
			return service
		}
		return s.s3
	}
	for _, service := range s.services {
		if claimer, ok := service.(Claimer); ok && claimer.Claims(r) {
			return service
		}
	}
	return s.s3
}

// InsideSuffix follows a service's name in the host of a request made inside: "sts.inside".
const InsideSuffix = ".inside"

// Claimer is a service that has unsigned calls and recognises them.
type Claimer interface {
	Claims(*http.Request) bool
}

// scopeService cuts the service out of "Credential=AKID/20260101/region/service/aws4_request",
// from the Authorization header or the X-Amz-Credential parameter.
func scopeService(r *http.Request) string {
	scope := ""
	if auth := r.Header.Get("Authorization"); auth != "" {
		_, rest, found := strings.Cut(auth, "Credential=")
		if !found {
			return ""
		}
		scope, _, _ = strings.Cut(rest, ",")
	} else if _, rest, found := strings.Cut(r.URL.RawQuery, "X-Amz-Credential="); found {
		escaped, _, _ := strings.Cut(rest, "&")
		scope, _ = url.QueryUnescape(escaped)
	}
	end := strings.LastIndexByte(strings.TrimSpace(scope), '/')
	if end < 0 {
		return ""
	}
	scope = scope[:end]
	return scope[strings.LastIndexByte(scope, '/')+1:]
}

// auditURI is the request's path and query as sent, without signatures and tokens. Of services that
// take passwords and codes as parameters it is the path alone.
func auditURI(r *http.Request, service string) string {
	path := r.URL.EscapedPath()
	if r.URL.RawQuery == "" || service != "s3" {
		return path
	}
	kept := make([]string, 0, 4)
	for _, pair := range strings.Split(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			continue // no parameter of anybody
		}
		if secretParameters[strings.ToLower(plain)] {
			pair = plain + "=HIDDEN"
		}
		kept = append(kept, pair)
	}
	return path + "?" + strings.Join(kept, "&")
}

var secretParameters = map[string]bool{
	"x-amz-signature": true, "x-amz-security-token": true, "signature": true,
	"x-amz-server-side-encryption-customer-key": true, "x-amz-copy-source-server-side-encryption-customer-key": true,
}
