package app

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/kura-s3/kura/internal/config"
)

func TestMayReach(t *testing.T) {
	open := &config.Config{Listen: "0.0.0.0:9000"}
	local := &config.Config{Listen: "127.0.0.1:9000", ListenTLS: "127.0.0.1:9443"}
	allowed := &config.Config{Listen: "0.0.0.0:9000", AllowTargets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for _, c := range []struct {
		config  *config.Config
		address string
		want    bool
	}{
		{open, "8.8.8.8", true}, {open, "2606:4700::1", true},
		{open, "127.0.0.1", false}, {open, "::1", false}, {open, "::ffff:127.0.0.1", false}, {local, "127.0.0.1", true},
		{open, "10.1.2.3", false}, {allowed, "10.1.2.3", true}, {allowed, "10.2.0.1", false}, {allowed, "::ffff:10.1.2.3", true},
		{open, "169.254.169.254", false}, {open, "fe80::1", false}, {open, "fd00::1", false}, {open, "100.64.0.1", false},
		{open, "0.0.0.0", false}, {open, "::", false}, {open, "224.0.0.1", false}, {open, "255.255.255.255", false},
		{open, "64:ff9b::7f00:1", false}, {open, "2002:7f00:1::", false}, {local, "192.168.1.1", false},
		{local, "::127.0.0.1", false}, {open, "fec0::1", false}, {open, "168.63.129.16", false}, {open, "168.63.129.17", true},
	} {
		if got := mayReach(c.config, netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%s: %v", c.address, got)
		}
	}
}

// TestOutboundRefusesWhenDialling: a name that leads to this machine is refused as its address is.
func TestOutboundRefusesWhenDialling(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if c, err := outbound(&config.Config{Listen: "0.0.0.0:9000"})(context.Background(), "tcp", "localhost:"+port); err == nil {
		c.Close()
		t.Error("a loopback address was dialled")
	}
	c, err := outbound(&config.Config{Listen: "127.0.0.1:9000"})(context.Background(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
