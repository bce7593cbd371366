package app

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/kura-s3/kura/internal/config"
)

// dialTimeout bounds the making of an outbound connection.
const dialTimeout = 10 * time.Second

// outbound dials for everything that Kura itself fetches: public addresses only, and what
// --allow-target adds. The address is judged when it is dialled, after every look-up, so that no name
// server's second answer gets around it.
func outbound(c *config.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !mayReach(c, at.Addr()) {
			return fmt.Errorf("%s is not a public address and no --allow-target holds it", at.Addr())
		}
		return nil
	}}
	return d.DialContext
}

func mayReach(c *config.Config, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, network := range c.AllowTargets {
		if network.Contains(a) {
			return true
		}
	}
	if a.IsLoopback() {
		return c.AllowLoopbackTargets()
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, network := range special {
		if network.Contains(a) {
			return false
		}
	}
	return true
}

// special are the blocks of the IANA special-purpose registries that netip counts as global unicast:
// shared address space, protocol assignments, documentation, benchmarks, reserved, and IPv6 forms
// that carry an IPv4 address.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
	// Not special in any registry: Azure's agent, which gives every machine there its configuration.
	netip.MustParsePrefix("168.63.129.16/32"),
}
