package export

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// kind of a target, by the scheme of its URL.
type kind struct {
	local bool // a path of this machine, else a host
	tls   bool
	port  string // when the URL names none
	auth  bool   // may have credentials
	open  func(c *Config, u *url.URL, k *kind) (func(stream string, rejected *atomic.Int64) sink, error)
}

// kinds is a function, because openers and table would refer to each other.
func kinds() map[string]*kind {
	return map[string]*kind{
		"file":        {local: true, open: openFile},
		"syslog":      {port: "601", open: openSyslog},
		"syslog+tls":  {port: "6514", tls: true, open: openSyslog},
		"syslog+udp":  {port: "514", open: openSyslog},
		"syslog+unix": {local: true, open: openSyslog},
		"otlp+http":   {port: "4318", auth: true, open: openOTLP},
		"otlp+https":  {port: "4318", auth: true, tls: true, open: openOTLP},
	}
}

var errTarget = errors.New("not file:///PATH, syslog://HOST, syslog+tls://HOST, syslog+udp://HOST, syslog+unix:///PATH, otlp+http://HOST or otlp+https://HOST")

// parse checks the URL of a target. Parameters are ca (a PEM file of authorities, for TLS) and token (a
// file with a bearer token, for OTLP).
func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errTarget // err would repeat a password
	}
	k := kinds()[u.Scheme]
	switch {
	case k == nil || u.Opaque != "" || u.Fragment != "":
		return nil, errTarget
	case k.local && (u.Host != "" || len(u.Path) < 2 || strings.HasSuffix(u.Path, "/")), !k.local && u.Hostname() == "":
		return nil, errTarget
	case u.User != nil && !k.auth:
		return nil, fmt.Errorf("%s takes no credentials", u.Scheme)
	case !k.local && !k.auth && u.Path != "" && u.Path != "/":
		return nil, fmt.Errorf("%s takes no path", u.Scheme)
	}
	for name, values := range u.Query() {
		if name == "ca" && k.tls && len(values) == 1 || name == "token" && k.auth && u.User == nil && len(values) == 1 {
			continue
		}
		return nil, fmt.Errorf("%s takes no parameter %q", u.Scheme, name)
	}
	return u, nil
}

func opener(c *Config, u *url.URL) (func(string, *atomic.Int64) sink, error) {
	k := kinds()[u.Scheme]
	return k.open(c, u, k)
}

// address is where u's host listens.
func (k *kind) address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = k.port
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// security is how u's host has to prove itself; nil without TLS.
func (k *kind) security(u *url.URL) (*tls.Config, error) {
	if !k.tls {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if name := u.Query().Get("ca"); name != "" {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", name)
		}
	}
	return t, nil
}

// later is a failure whose target said when to come again.
type later struct {
	error
	after time.Duration
}

// maxLater bounds what a target may ask for.
const maxLater = 5 * time.Minute

func askedFor(err error) time.Duration {
	var l *later
	if errors.As(err, &l) {
		return min(l.after, maxLater)
	}
	return 0
}

// deadline is when a try ends.
func deadline(ctx context.Context) time.Time {
	if at, ok := ctx.Deadline(); ok {
		return at
	}
	return time.Now().Add(tryTime)
}
