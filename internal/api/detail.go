package api

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
)

// detail fills in what only those need who keep the event. Its error says what of it is missing.
func detail(c *Call) error {
	ev := &c.Event
	ev.HostID, ev.Referer = c.Peer.HostID, c.R.Referer()
	if c.R.TLS != nil {
		ev.Cipher = tls.CipherSuiteName(c.R.TLS.CipherSuite)
	}
	if !c.W.first.IsZero() {
		ev.TurnAround = c.W.first.Sub(c.Started)
	} else {
		ev.TurnAround = ev.Duration
	}
	if c.Caller != nil {
		if ev.AuthType != "anonymous" {
			ev.SignatureVersion = signatureVersions[c.Caller.SignatureVersion]
		}
		ev.Session = sessionOf(c)
	}
	if c.Op == nil || c.input == nil {
		return nil
	}
	if ev.Service == "s3" && ev.Class == audit.Data {
		ev.Bare, ev.Members = true, string(members(nil, c))
		return nil
	}
	var err, other error
	ev.Parameters, err = parameters(c)
	if ev.Class == audit.Management && !ev.ReadOnly && ev.Service != "s3" && c.output != nil {
		if _, own := c.output.(Responder); !own {
			ev.Response, other = wire.Elements(c.Op.wire, c.output)
		}
	}
	return errors.Join(err, other)
}

var signatureVersions = map[string]string{"AWS4-HMAC-SHA256": "SigV4", "AWS": "SigV2"}

// sessionOf reads what the keys of the caller's session say.
func sessionOf(c *Call) audit.Session {
	var s audit.Session
	keys := c.Caller.Subject.Keys
	if keys == nil {
		return s
	}
	issued, ok := keys.Lookup("aws:tokenissuetime")
	if !ok {
		return s
	}
	s.Issued, _ = time.Parse(time.RFC3339, issued.One)
	mfa, _ := keys.Lookup("aws:multifactorauthpresent")
	s.MFA = mfa.One == "true"
	source, _ := keys.Lookup("aws:sourceidentity")
	provider, _ := keys.Lookup("aws:federatedprovider")
	s.SourceIdentity, s.Provider = source.One, provider.One
	return s
}

// parameters are those of the request in CloudTrail's form. Operations that decode themselves, and
// data operations, are told by their request line and headers, which is all that CloudTrail has of
// them too.
func parameters(c *Call) (json.RawMessage, error) {
	if c.Event.Service != "s3" {
		return wire.Parameters(c.Op.wire, c.input)
	}
	b := make([]byte, 0, 256)
	b = append(append(b, '{'), `"Host":`...)
	b = audit.AppendQuoted(b, c.R.Host)
	member := func(name, value string) {
		b = append(audit.AppendQuoted(append(b, ','), name), ':')
		b = audit.AppendQuoted(b, value)
	}
	if c.Event.Bucket != "" {
		member("bucketName", c.Event.Bucket)
	}
	if c.Event.Key != "" {
		member("key", c.Event.Key)
	}
	b = members(b, c)
	if name, body, err := wire.Payload(c.Op.wire, c.input); err == nil && body != nil {
		if other := payloadNames[name]; other != "" {
			name = other
		}
		b = append(append(audit.AppendQuoted(append(b, ','), name), ':'), body...)
	}
	return append(b, '}'), nil
}

// members adds what the query and the headers say.
func members(b []byte, c *Call) []byte {
	member := func(name, value string) {
		b = append(audit.AppendQuoted(append(b, ','), name), ':')
		b = audit.AppendQuoted(b, value)
	}
	seen := 0
	for query := c.R.URL.RawQuery; query != "" && seen < maxMembers; seen++ {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || plain == "" || ownMembers[plain] || hidden(strings.ToLower(plain)) {
			continue
		}
		if value, err = url.QueryUnescape(value); err == nil {
			member(plain, value)
		}
	}
	for name, values := range c.R.Header {
		if !strings.HasPrefix(name, "X-Amz-") || len(values) == 0 || usual[name] {
			continue
		}
		if name = strings.ToLower(name); !hidden(name) {
			member(name, strings.Join(values, ","))
		}
	}
	return b
}

// maxMembers bounds the query parameters that are shown; ownMembers are names of members that a query
// parameter must not take.
const maxMembers = 64

var ownMembers = map[string]bool{"Host": true, "bucketName": true, "key": true}

// payloadNames are the bodies that CloudTrail calls otherwise.
var payloadNames = map[string]string{"Policy": "bucketPolicy"}

// hidden are parameters and headers that prove who somebody is, or are a customer's key.
func hidden(name string) bool {
	return strings.Contains(name, "customer-key") || secretHeaders[name]
}

// usual are the hidden headers that nearly every request has, as net/http spells them.
var usual = map[string]bool{"X-Amz-Date": true, "X-Amz-Content-Sha256": true, "X-Amz-Security-Token": true}

var secretHeaders = map[string]bool{
	"x-amz-signature": true, "x-amz-security-token": true, "signature": true, "x-amz-credential": true, "x-amz-mfa": true,
	"x-amz-date": true, "x-amz-content-sha256": true, "x-amz-algorithm": true, "x-amz-signedheaders": true,
	"awsaccesskeyid": true, "x-amz-decoded-content-length": true, "x-amz-sdk-checksum-algorithm": true,
	"x-amz-trailer": true, "x-id": true,
}
