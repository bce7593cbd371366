// Package addresses has sets of IP addresses. It promises that IPv4 and IPv6 stay apart: a network of IPv6
// contains no IPv4 address, and an IPv4 address in IPv6's clothes is the IPv4 address.
package addresses

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Span is the addresses from First to Last, both of one family.
type Span struct{ First, Last netip.Addr }

// Set is spans in order, IPv4 before IPv6, that neither overlap nor touch. Nil is empty.
type Set []Span

// Of makes the set of what networks contain.
func Of(networks []netip.Prefix) Set {
	spans := make([]Span, 0, len(networks))
	for _, n := range networks {
		spans = append(spans, Span{n.Masked().Addr(), last(n)})
	}
	return Join(spans)
}

// Join makes the set of what spans contain. It keeps spans.
func Join(spans []Span) Set {
	slices.SortFunc(spans, func(a, b Span) int { return a.First.Compare(b.First) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && merged[n-1].meets(s) {
			if merged[n-1].Last.Less(s.Last) {
				merged[n-1].Last = s.Last
			}
			continue
		}
		merged = append(merged, s)
	}
	return slices.Clip(merged)
}

// meets tells whether s begins within a, or right after it.
func (a Span) meets(s Span) bool {
	if a.Last.BitLen() != s.First.BitLen() {
		return false
	}
	return s.First.Compare(a.Last) <= 0 || a.Last.Next() == s.First
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

// Contains allocates nothing. No set contains the zero Addr.
func (s Set) Contains(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	lo, hi := 0, len(s)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s[mid].Last.Less(a) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(s) && s[lo].First.Compare(a) <= 0
}

// Everyone tells whether the set has all addresses of a family.
func (s Set) Everyone() bool {
	for _, one := range s {
		if one.First.IsUnspecified() && one.Last == last(netip.PrefixFrom(one.First, 0)) {
			return true
		}
	}
	return false
}

// Parse reads a CIDR block, or one address. A block may have bits outside its mask.
func Parse(text string) (netip.Prefix, error) {
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
	return p, nil
}

// Lines calls take for what stands in each line of a list, without comments, which begin with one of the
// characters of comment. An error names the line.
func Lines(list []byte, comment string, take func(entry string) error) error {
	lines, n := bufio.NewScanner(bytes.NewReader(list)), 1
	for ; lines.Scan(); n++ {
		entry := lines.Text()
		if i := strings.IndexAny(entry, comment); i >= 0 {
			entry = entry[:i]
		}
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		if err := take(entry); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if lines.Err() != nil {
		return fmt.Errorf("line %d: is too long", n)
	}
	return nil
}
