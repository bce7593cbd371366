package finding

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// Bounds of a list.
const (
	MaxListBytes     = 8 << 20
	maxListAddresses = 250_000
)

// Table is a set of addresses. It answers in a handful of comparisons, without an allocation.
type Table struct {
	ranges []span // sorted, apart from each other
}

// span is a range of addresses, v4 in the form of v6.
type span struct{ from, to [16]byte }

// Contains tells whether the address is in the table. A nil table is empty.
func (t *Table) Contains(a netip.Addr) bool {
	if t == nil || len(t.ranges) == 0 || !a.IsValid() {
		return false
	}
	x := a.As16()
	i := sort.Search(len(t.ranges), func(i int) bool { return bytes.Compare(t.ranges[i].from[:], x[:]) > 0 })
	return i > 0 && bytes.Compare(x[:], t.ranges[i-1].to[:]) <= 0
}

// Wide tells whether the table covers so much that trusting it is trusting everybody: more than 2^24 IPv4
// addresses together, or an IPv6 range larger than a /32.
func (t *Table) Wide() bool {
	var v4 uint64
	for i := range t.ranges {
		from, to := &t.ranges[i].from, &t.ranges[i].to
		if netip.AddrFrom16(*from).Is4In6() && netip.AddrFrom16(*to).Is4In6() {
			v4 += uint64(binary.BigEndian.Uint32(to[12:])) - uint64(binary.BigEndian.Uint32(from[12:])) + 1
		} else if !bytes.Equal(from[:4], to[:4]) {
			return true
		}
	}
	return v4 > 1<<24
}

// Len is the number of ranges.
func (t *Table) Len() int { return len(t.ranges) }

// ParseTable reads a list of addresses and CIDR blocks, one a line; what follows # or ; is a comment. A
// line that is neither is refused with its number.
func ParseTable(text []byte) (*Table, error) {
	t := &Table{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		p, err := prefixOf(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is neither an address nor a CIDR block", n)
		}
		if len(t.ranges) == maxListAddresses {
			return nil, fmt.Errorf("there are more than %d lines with addresses", maxListAddresses)
		}
		t.ranges = append(t.ranges, spanOf(p))
	}
	if err := lines.Err(); err != nil {
		return nil, errors.New("a line is too long")
	}
	t.merge()
	return t, nil
}

func prefixOf(line string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(line); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(line)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, errors.New("not an address")
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func spanOf(p netip.Prefix) span {
	s := span{from: p.Addr().As16()}
	s.to = s.from
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		s.to[i/8] |= 0x80 >> (i % 8)
	}
	return s
}

func (t *Table) merge() {
	slices.SortFunc(t.ranges, func(a, b span) int { return bytes.Compare(a.from[:], b.from[:]) })
	merged := t.ranges[:0]
	for _, r := range t.ranges {
		if n := len(merged); n > 0 && bytes.Compare(r.from[:], merged[n-1].to[:]) <= 0 {
			if bytes.Compare(r.to[:], merged[n-1].to[:]) > 0 {
				merged[n-1].to = r.to
			}
			continue
		}
		merged = append(merged, r)
	}
	t.ranges = slices.Clip(merged)
}

// pack is the table as it is stored: a format byte, the number of ranges, their bounds.
func (t *Table) pack() []byte {
	b := make([]byte, 0, 5+32*len(t.ranges))
	b = binary.BigEndian.AppendUint32(append(b, format), uint32(len(t.ranges)))
	for i := range t.ranges {
		b = append(append(b, t.ranges[i].from[:]...), t.ranges[i].to[:]...)
	}
	return b
}

func unpackTable(b []byte) (*Table, error) {
	if len(b) < 5 || b[0] != format || len(b) != 5+32*int(binary.BigEndian.Uint32(b[1:])) {
		return nil, errors.New("a list of addresses does not decode")
	}
	t := &Table{ranges: make([]span, (len(b)-5)/32)}
	for i := range t.ranges {
		copy(t.ranges[i].from[:], b[5+32*i:])
		copy(t.ranges[i].to[:], b[5+32*i+16:])
	}
	return t, nil
}
