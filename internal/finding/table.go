package finding

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/kura-s3/kura/internal/addresses"
)

// Bounds of a list.
const (
	MaxListBytes     = 8 << 20
	maxListAddresses = 250_000
)

// Table is a list's addresses.
type Table struct{ set addresses.Set }

// Contains tells whether the address is in the table. A nil table is empty.
func (t *Table) Contains(a netip.Addr) bool { return t != nil && t.set.Contains(a) }

// Wide tells whether the table covers so much that trusting it is trusting everybody: more than 2^24 IPv4
// addresses together, or an IPv6 range larger than a /32.
func (t *Table) Wide() bool {
	var v4 uint64
	for i := range t.set {
		from, to := t.set[i].First.As16(), t.set[i].Last.As16()
		if t.set[i].First.Is4() {
			v4 += uint64(binary.BigEndian.Uint32(to[12:])) - uint64(binary.BigEndian.Uint32(from[12:])) + 1
		} else if !bytes.Equal(from[:4], to[:4]) {
			return true
		}
	}
	return v4 > 1<<24
}

// ParseTable reads a list of addresses and CIDR blocks, one a line; what follows # or ; is a comment. A
// line that is neither is refused with its number.
func ParseTable(text []byte) (*Table, error) {
	var networks []netip.Prefix
	err := addresses.Lines(text, "#;", func(entry string) error {
		p, err := addresses.Parse(entry)
		if err != nil {
			return err
		}
		if len(networks) == maxListAddresses {
			return fmt.Errorf("there are more than %d lines with addresses", maxListAddresses)
		}
		networks = append(networks, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Table{addresses.Of(networks)}, nil
}

// pack is the table as it is stored: a format byte, the number of ranges, their bounds.
func (t *Table) pack() []byte {
	b := make([]byte, 0, 5+32*len(t.set))
	b = binary.BigEndian.AppendUint32(append(b, format), uint32(len(t.set)))
	for i := range t.set {
		from, to := t.set[i].First.As16(), t.set[i].Last.As16()
		b = append(append(b, from[:]...), to[:]...)
	}
	return b
}

func unpackTable(b []byte) (*Table, error) {
	if len(b) < 5 || b[0] != format || len(b) != 5+32*int(binary.BigEndian.Uint32(b[1:])) {
		return nil, errors.New("a list of addresses does not decode")
	}
	spans := make([]addresses.Span, 0, (len(b)-5)/32)
	for b = b[5:]; len(b) > 0; b = b[32:] {
		s := addresses.Span{First: netip.AddrFrom16([16]byte(b[:16])), Last: netip.AddrFrom16([16]byte(b[16:32]))}
		if s.First.Is4In6() && s.Last.Is4In6() {
			s.First, s.Last = s.First.Unmap(), s.Last.Unmap()
		}
		spans = append(spans, s)
	}
	return &Table{addresses.Join(spans)}, nil
}
