package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// span is the addresses from lo to hi, both of one family.
type span struct{ lo, hi netip.Addr }

// set is a set of addresses: spans in order that neither overlap nor touch. IPv4 comes before IPv6, and
// an IPv4 address in IPv6's clothes is the IPv4 address.
type set []span

// newSet makes the set of what networks contain.
func newSet(networks []netip.Prefix) set {
	spans := make([]span, 0, len(networks))
	for _, n := range networks {
		spans = append(spans, span{n.Addr(), last(n)})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.lo.Compare(b.lo) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && merged[n-1].meets(s) {
			if merged[n-1].hi.Less(s.hi) {
				merged[n-1].hi = s.hi
			}
			continue
		}
		merged = append(merged, s)
	}
	return slices.Clip(merged)
}

// meets tells whether s begins within a, or right after it.
func (a span) meets(s span) bool {
	if a.hi.BitLen() != s.lo.BitLen() {
		return false
	}
	return s.lo.Compare(a.hi) <= 0 || a.hi.Next() == s.lo
}

// last is the highest address of a network.
func last(n netip.Prefix) netip.Addr {
	a := n.Addr()
	b := a.As16()
	for i := 128 - a.BitLen() + n.Bits(); i < 128; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	if a.Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// contains allocates nothing. No set contains the zero Addr.
func (s set) contains(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	lo, hi := 0, len(s)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s[mid].hi.Less(a) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(s) && s[lo].lo.Compare(a) <= 0
}

// everyone tells whether the set has all addresses of a family.
func (s set) everyone() bool {
	for _, one := range s {
		if one.lo.IsUnspecified() && one.hi == last(netip.PrefixFrom(one.lo, 0)) {
			return true
		}
	}
	return false
}

// parseNetwork reads a CIDR block without host bits, or one address. IPv4 in IPv6's clothes is IPv4.
func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return p, fmt.Errorf("%.60q is neither an address nor a CIDR block", text)
		}
		if a.Zone() != "" {
			return p, fmt.Errorf("%.60q has a zone, which no client's address has", text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, errors.New(text + " mixes IPv4 and IPv6 addresses")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%.60q has bits outside its mask; did you mean %s?", text, p.Masked())
	}
	return p, nil
}
