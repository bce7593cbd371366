package api

import (
	"strconv"
	"time"

	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/policy"
)

// RequestKeys are the global condition keys that every request has (IAM User Guide, "AWS global
// condition context keys"). They come from the socket and the clock; of the client's headers only
// User-Agent and Referer count, and only for the keys of that name.
type RequestKeys struct{ *Call }

// Lookup implements authz.Keys.
func (k RequestKeys) Lookup(key string) (policy.Values, bool) {
	get, ok := requestKeys[key]
	if !ok {
		return policy.Values{}, false
	}
	one, ok := get(k.Call)
	return policy.Values{One: one}, ok
}

var requestKeys = map[string]func(*Call) (string, bool){
	// As at AWS, a request through an endpoint has aws:VpcSourceIp in place of aws:SourceIp.
	"aws:sourceip": func(c *Call) (string, bool) {
		return c.Peer.IP.Unmap().String(), c.Peer.IP.IsValid() && c.Peer.Endpoint == ""
	},
	"aws:vpcsourceip": func(c *Call) (string, bool) {
		return c.Peer.IP.Unmap().String(), c.Peer.IP.IsValid() && c.Peer.Endpoint != ""
	},
	"aws:sourcevpce":      func(c *Call) (string, bool) { return c.Peer.Endpoint, c.Peer.Endpoint != "" },
	"aws:sourcevpc":       func(c *Call) (string, bool) { return c.Peer.VPC, c.Peer.VPC != "" },
	"aws:securetransport": func(c *Call) (string, bool) { return strconv.FormatBool(c.Peer.Secure), true },
	"aws:currenttime":     func(c *Call) (string, bool) { return c.Started.UTC().Format(time.RFC3339), true },
	"aws:epochtime":       func(c *Call) (string, bool) { return strconv.FormatInt(c.Started.Unix(), 10), true },
	"aws:useragent":       func(c *Call) (string, bool) { return c.R.UserAgent(), true },
	"aws:referer":         func(c *Call) (string, bool) { v := c.R.Referer(); return v, v != "" },
	"aws:requestedregion": func(c *Call) (string, bool) { return c.Event.Region, true },
	"aws:viaawsservice":   func(c *Call) (string, bool) { return "false", true },
	"s3:tlsversion":       func(c *Call) (string, bool) { return c.Peer.TLSVersion, c.Peer.TLSVersion != "" },
	"s3:authtype": func(c *Call) (string, bool) {
		switch c.Caller.AuthType {
		case authn.Header:
			return "REST-HEADER", true
		case authn.Query:
			return "REST-QUERY-STRING", true
		case authn.Form:
			return "POST", true
		}
		return "", false
	},
	"s3:signatureversion": func(c *Call) (string, bool) { return c.Caller.SignatureVersion, c.Caller.SignatureVersion != "" },
	"s3:signatureage": func(c *Call) (string, bool) {
		if c.Caller.SignedAt.IsZero() {
			return "", false
		}
		return strconv.FormatInt(c.Started.Sub(c.Caller.SignedAt).Milliseconds(), 10), true
	},
}
