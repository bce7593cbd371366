package addresses

import (
	"net/netip"
	"testing"
)

func FuzzSet(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 8, 10, 1, 0, 0, 16}, []byte{10, 1, 2, 3})
	f.Fuzz(func(t *testing.T, raw, probe []byte) {
		var networks []netip.Prefix
		for ; len(raw) >= 5; raw = raw[5:] {
			a := netip.AddrFrom4([4]byte(raw[:4]))
			if raw[4]&64 != 0 {
				b := [16]byte{0x20, 1}
				copy(b[2:], raw[:4])
				a = netip.AddrFrom16(b)
			}
			p, _ := a.Prefix(int(raw[4]&63) % (a.BitLen() + 1))
			networks = append(networks, p)
		}
		if len(probe) < 4 {
			return
		}
		s := Of(networks)
		b := [16]byte{0x20, 1}
		copy(b[2:], probe[:4])
		for _, a := range []netip.Addr{netip.AddrFrom4([4]byte(probe[:4])), netip.AddrFrom16(b)} {
			want := false
			for _, n := range networks {
				want = want || n.Contains(a)
			}
			if s.Contains(a) != want {
				t.Errorf("%v in %v: %v", a, networks, !want)
			}
		}
	})
}
