package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/front/localca"
)

// bound is a socket that listens, with what is to be spoken on it.
type bound struct {
	net.Listener
	name string // "http", "https"
	id   string // of an endpoint, else ""
	tls  *tls.Config
	host string // that clients should use, a name of the certificate
	ca   string // path of the local CA's certificate, "" for a certificate from outside
}

// endpoint is the URL that clients use.
func (b *bound) endpoint() string {
	_, port, err := net.SplitHostPort(b.Addr().String())
	if err != nil {
		return b.name + "://" + b.Addr().String()
	}
	return b.name + "://" + net.JoinHostPort(b.host, port)
}

func endpoints(all []*bound) string {
	urls := make([]string, len(all))
	for i, b := range all {
		urls[i] = b.endpoint()
	}
	return strings.Join(urls, " ")
}

// openListeners takes the addresses, so that a port in use is told before anything is opened.
func (s *server) openListeners(ctx context.Context) error {
	if s.config.Listen != "" {
		l, err := listen(ctx, "--listen", s.config.Listen)
		if err != nil {
			return err
		}
		s.onClose(func() error { l.Close(); return nil })
		s.listeners = append(s.listeners, &bound{Listener: l, name: "http", host: reachable(l.Addr())})
	}
	if s.config.ListenTLS != "" {
		b, err := s.openTLS(ctx, "--listen-tls", s.config.ListenTLS)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, b)
	}
	for _, e := range s.config.Endpoints {
		if err := s.openEndpoint(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) openTLS(ctx context.Context, setting, address string) (*bound, error) {
	l, err := listen(ctx, setting, address)
	if err != nil {
		return nil, err
	}
	s.onClose(func() error { l.Close(); return nil })
	b := &bound{Listener: l, name: "https", host: reachable(l.Addr())}
	return b, b.identify(s.config)
}

// openEndpoint opens a named listener: with TLS where the server has it.
func (s *server) openEndpoint(ctx context.Context, e config.Endpoint) error {
	setting := "--endpoint " + e.ID
	if s.config.ListenTLS != "" {
		b, err := s.openTLS(ctx, setting, e.Address)
		if err != nil {
			return err
		}
		b.id = e.ID
		s.listeners = append(s.listeners, b)
		return nil
	}
	l, err := listen(ctx, setting, e.Address)
	if err != nil {
		return err
	}
	s.onClose(func() error { l.Close(); return nil })
	s.listeners = append(s.listeners, &bound{Listener: l, name: "http", id: e.ID, host: reachable(l.Addr())})
	return nil
}

// label is the listener's name for the requests that come through it.
func (b *bound) label() string {
	if b.id != "" {
		return b.id
	}
	return b.name
}

func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return l, nil
}

// reachable is an address by which this machine reaches a listener.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok || t.IP.IsUnspecified() && t.IP.To4() == nil || t.IP == nil {
		return "127.0.0.1" // every address, of both families
	}
	if t.IP.IsUnspecified() {
		return "127.0.0.1"
	}
	return t.IP.String()
}

// identify gives the listener its certificate: the one that was configured, or the local CA's.
func (b *bound) identify(c *config.Config) error {
	if c.TLSCert != "" {
		f := &certificateFiles{cert: c.TLSCert, key: c.TLSKey}
		leaf, err := f.Certificate(nil)
		if err != nil {
			return err
		}
		b.tls = &tls.Config{GetCertificate: f.Certificate}
		for _, name := range leaf.Leaf.DNSNames {
			if !strings.HasPrefix(name, "*") {
				b.host = name
				break
			}
		}
		return nil
	}
	ca, err := localca.Open(localca.Config{Dir: filepath.Join(c.Data, "tls"), Hosts: certificateHosts(c, b.host)})
	if err != nil {
		return err
	}
	b.tls = &tls.Config{GetCertificate: ca.Certificate}
	b.ca = ca.Path()
	return nil
}

// certificateHosts are the names by which clients may call this server.
func certificateHosts(c *config.Config, address string) []string {
	hosts := []string{"localhost", "*.localhost", "127.0.0.1", "::1"}
	add := func(name string) {
		for _, h := range hosts {
			if h == name {
				return
			}
		}
		hosts = append(hosts, name)
	}
	for _, d := range c.Domains {
		add(d)
		add("*." + d)
		add("*.s3-website." + d)
	}
	if a, err := netip.ParseAddr(address); err == nil {
		add(a.Unmap().WithZone("").String())
	}
	if name, err := os.Hostname(); err == nil && validDNSName(name) {
		add(strings.ToLower(name))
	}
	return hosts
}

// validDNSName keeps a hostname that no certificate can carry out of it.
func validDNSName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for _, c := range name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// recheck is how often certificate files are looked at for a new certificate.
const recheck = time.Minute

// certificateFiles is a certificate from outside. What replaces the files is in use within a
// minute; a pair that cannot be used is not, and the old one goes on.
type certificateFiles struct {
	cert, key string

	mu      sync.Mutex
	current *tls.Certificate
	checked time.Time
	changed time.Time // modification time of what is in use
}

// Certificate is for tls.Config.GetCertificate.
func (f *certificateFiles) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil && time.Since(f.checked) < recheck {
		return f.current, nil
	}
	f.checked = time.Now()
	changed := f.modified()
	if f.current != nil && changed.Equal(f.changed) {
		return f.current, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		if f.current != nil {
			return f.current, nil
		}
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	f.current, f.changed = &pair, changed
	return f.current, nil
}

// modified is the later modification time of the two files.
func (f *certificateFiles) modified() (last time.Time) {
	for _, path := range []string{f.cert, f.key} {
		if fi, err := os.Stat(path); err == nil && fi.ModTime().After(last) {
			last = fi.ModTime()
		}
	}
	return last
}
