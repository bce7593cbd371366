package front

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

// Peer is who is at the other end of a request, as far as the connection tells.
type Peer struct {
	// IP of the client: of the connection, or what a trusted proxy says.
	IP netip.Addr
	// Secure: the client spoke TLS, to Kura or to a trusted proxy that says so.
	Secure bool
	// TLSVersion of the connection to Kura, "1.2" or "1.3"; "" without TLS.
	TLSVersion string
	// Listener is the name that Serve was given.
	Listener string
	// Forwarded: the request came through a proxy, trusted or not.
	Forwarded bool
	// Unvouched: it came through one that is not trusted, so IP is the proxy's.
	Unvouched bool
	// RequestID is 16 upper-case hex digits, HostID 76 characters of base64.
	RequestID, HostID string
}

// PeerOf returns the Peer of the request that ctx belongs to; the zero Peer outside of requests.
func PeerOf(ctx context.Context) Peer {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.peer
	}
	return Peer{}
}

// Authenticated notes that somebody proved who they are on the connection of the request that ctx
// belongs to. The connection leaves the budget of those that never did.
func Authenticated(ctx context.Context) {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		x.authenticated()
	}
}

// identify tells who sent r on a connection from addr.
func (s *Server) identify(p *Peer, addr netip.Addr, r *http.Request) {
	p.IP, p.Secure = addr, r.TLS != nil
	h := r.Header
	p.Forwarded = h["X-Forwarded-For"] != nil || h["X-Forwarded-Proto"] != nil || h["Forwarded"] != nil || h["Via"] != nil || h["X-Real-Ip"] != nil
	if !p.Forwarded {
		return
	}
	if p.Unvouched = !trusted(s.config.TrustedProxies, addr); p.Unvouched {
		return
	}
	p.IP = clientOf(h["X-Forwarded-For"], addr, s.config.TrustedProxies)
	if proto := h["X-Forwarded-Proto"]; proto != nil {
		p.Secure = allHTTPS(proto)
	}
}

// admitsClient judges who is behind a trusted proxy as if the connection were its own.
func (s *Server) admitsClient(p *Peer, addr netip.Addr) bool {
	return s.config.Admit == nil || !trusted(s.config.TrustedProxies, addr) || s.config.Admit(p.Listener, p.IP, false)
}

func trusted(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// clientOf walks X-Forwarded-For from its right end, where the nearest proxy wrote, and stops at
// the first hop that is no trusted proxy: what stands left of it is that hop's own word. A hop
// that is no address ends the walk too; then the last proxy that was named is the client.
func clientOf(headers []string, from netip.Addr, networks []netip.Prefix) netip.Addr {
	client := from
	for i := len(headers) - 1; i >= 0; i-- {
		rest, more := headers[i], true
		for more {
			hop := rest
			if j := strings.LastIndexByte(rest, ','); j >= 0 {
				hop, rest = rest[j+1:], rest[:j]
			} else {
				more = false
			}
			a, err := parseHop(strings.TrimSpace(hop))
			if err != nil {
				return client
			}
			client = a
			if !trusted(networks, a) {
				return client
			}
		}
	}
	return client
}

// parseHop accepts an address, with a port as some proxies write it.
func parseHop(s string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), nil
	}
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr().Unmap().WithZone(""), nil
	}
	return netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
}

// allHTTPS is careful: of a chain of proxies, every one must have been spoken to over TLS.
func allHTTPS(values []string) bool {
	for _, v := range values {
		for _, proto := range strings.Split(v, ",") {
			if !strings.EqualFold(strings.TrimSpace(proto), "https") {
				return false
			}
		}
	}
	return true
}
