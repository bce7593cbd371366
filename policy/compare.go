package policy

import (
	"cmp"
	"net/netip"
	"strings"
)

// Values of conditions are compared as numbers, dates and addresses without allocating: request
// values are read anew for every decision.

// decimal is an exact number; the digits have no superfluous zeros, so zero has none at all.
type decimal struct {
	negative    bool
	whole, frac string
}

// parseDecimal reads an integer or a decimal: 10, -0.5, +3.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	whole, frac, point := strings.Cut(s, ".")
	if whole == "" || !allDigits(whole) || point && (frac == "" || !allDigits(frac)) {
		return decimal{}, false
	}
	d.whole, d.frac = strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0")
	if d.whole == "" && d.frac == "" {
		d.negative = false
	}
	return d, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func (d decimal) compare(e decimal) int {
	switch {
	case d.negative != e.negative && d.negative:
		return -1
	case d.negative != e.negative:
		return 1
	case d.negative:
		d, e = e, d
	}
	return cmp.Or(cmp.Compare(len(d.whole), len(e.whole)), strings.Compare(d.whole, e.whole), strings.Compare(d.frac, e.frac))
}

// instant is a date and time in UTC.
type instant struct {
	seconds     int64 // since 1970
	nanoseconds int32
}

func (t instant) compare(u instant) int {
	return cmp.Or(cmp.Compare(t.seconds, u.seconds), cmp.Compare(t.nanoseconds, u.nanoseconds))
}

// parseInstant reads the W3C profile of ISO 8601 (YYYY, YYYY-MM, YYYY-MM-DD, with Thh:mm, seconds,
// a fraction, and Z or ±hh:mm) or seconds since 1970. Four digits are a year.
func parseInstant(s string) (instant, bool) {
	if epoch := strings.TrimPrefix(s, "-"); len(epoch) != 4 && len(epoch) < 18 && epoch != "" && allDigits(epoch) {
		n, _ := number(epoch, len(epoch))
		if len(epoch) < len(s) {
			n = -n
		}
		return instant{seconds: n}, true
	}
	r := dateReader{rest: s, ok: true}
	t, year, month, day := instant{}, r.digits(4), int64(1), int64(1)
	if r.skip('-') {
		month = r.digits(2)
		if r.skip('-') {
			day = r.digits(2)
			if r.skip('T') {
				t = r.clock()
			}
		}
	}
	if !r.ok || r.rest != "" || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return instant{}, false
	}
	t.seconds += civilDay(year, month, day) * 86400
	return t, true
}

type dateReader struct {
	rest string
	ok   bool
}

func (r *dateReader) skip(c byte) bool {
	if r.rest != "" && r.rest[0] == c {
		r.rest = r.rest[1:]
		return true
	}
	return false
}

func number(s string, n int) (int64, bool) {
	if len(s) < n || !allDigits(s[:n]) {
		return 0, false
	}
	v := int64(0)
	for i := range n {
		v = v*10 + int64(s[i]-'0')
	}
	return v, true
}

func (r *dateReader) digits(n int) int64 {
	v, ok := number(r.rest, n)
	if !ok {
		r.ok = false
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// clock reads hh:mm(:ss(.s))?(Z|±hh:mm) as the distance from midnight UTC.
func (r *dateReader) clock() instant {
	var t instant
	hour := r.digits(2)
	r.ok = r.skip(':') && r.ok
	minute, second := r.digits(2), int64(0)
	if r.skip(':') {
		second = r.digits(2)
		if r.skip('.') {
			t.nanoseconds = r.fraction()
		}
	}
	if hour > 23 || minute > 59 || second > 59 {
		r.ok = false
	}
	t.seconds = hour*3600 + minute*60 + second - r.offset()
	return t
}

func (r *dateReader) fraction() int32 {
	v, unit, n := int32(0), int32(100_000_000), 0
	for ; n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9'; n++ {
		v += int32(r.rest[n]-'0') * unit
		unit /= 10
	}
	r.ok = r.ok && n > 0
	r.rest = r.rest[n:]
	return v
}

func (r *dateReader) offset() int64 {
	if r.skip('Z') {
		return 0
	}
	sign := int64(1)
	if !r.skip('+') {
		sign = -1
		r.ok = r.skip('-') && r.ok
	}
	hour := r.digits(2)
	r.ok = r.skip(':') && r.ok
	minute := r.digits(2)
	if hour > 23 || minute > 59 {
		r.ok = false
	}
	return sign * (hour*3600 + minute*60)
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// civilDay counts the days from 1970-01-01 in the Gregorian calendar; the year begins in March so
// that the leap day is its last.
func civilDay(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := (year + 400) / 400
	yearOfEra := year + 400 - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return (era-1)*146097 + dayOfEra - 719468
}

// parsePrefix reads an address or a CIDR range: without a prefix it is that one address, host bits
// are ignored, and an IPv4 address written as IPv6 is the IPv4 address.
func parsePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, ok := parseAddress(s)
		return netip.PrefixFrom(a, a.BitLen()), ok
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}
