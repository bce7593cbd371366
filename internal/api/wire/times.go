package wire

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// TimeFormat is the way a timestamp is written.
type TimeFormat uint8

// The formats. The zero value is the default of the place where the timestamp travels.
const (
	DefaultTime   TimeFormat = iota
	ISO8601                  // 2006-01-02T15:04:05Z
	ISO8601Millis            // 2006-01-02T15:04:05.000Z, as S3 writes it
	RFC822                   // Mon, 02 Jan 2006 15:04:05 GMT
	UnixSeconds              // a number
)

// formatOf is the format of a timestamp: the member's, else the shape's, else the place's.
func formatOf(m *Member, sh *Shape, place TimeFormat) TimeFormat {
	if m != nil && m.Format != DefaultTime {
		return m.Format
	}
	if sh.Format != DefaultTime {
		return sh.Format
	}
	return place
}

// parseTime reads a timestamp. Clients are free in the fraction and the offset of ISO 8601, and a
// header may hold either notation; numbers are read only where the format is UnixSeconds.
func parseTime(s string, f TimeFormat) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if f == UnixSeconds {
		return parseUnix(s)
	}
	if f == RFC822 {
		if t, err := http.ParseTime(s); err == nil {
			return t.UTC(), true
		}
	}
	for _, layout := range [...]string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// parseUnix reads seconds since 1970 with an optional fraction, between the years 0 and 9999.
func parseUnix(s string) (time.Time, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), inCalendar(float64(n))
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(x) || !inCalendar(x) {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(math.Round(x * 1000))).UTC(), true
}

func inCalendar(seconds float64) bool {
	const year0, year10000 = -62167219200, 253402300800
	return seconds >= year0 && seconds < year10000
}

// appendTime writes t. It exists beside time.AppendFormat because a list of 1,000 keys has 1,000
// timestamps.
func appendTime(b []byte, t time.Time, f TimeFormat) []byte {
	t = t.UTC()
	switch f {
	case RFC822:
		return t.AppendFormat(b, http.TimeFormat)
	case UnixSeconds:
		return appendUnix(b, t)
	}
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, "2006-01-02T15:04:05Z")
	}
	hour, minute, second := t.Clock()
	b = append2(append2(b, year/100), year%100)
	b = append2(append(b, '-'), int(month))
	b = append2(append(b, '-'), day)
	b = append2(append(b, 'T'), hour)
	b = append2(append(b, ':'), minute)
	b = append2(append(b, ':'), second)
	if f == ISO8601Millis {
		ms := t.Nanosecond() / int(time.Millisecond)
		b = append(b, '.', '0'+byte(ms/100))
		b = append2(b, ms%100)
	}
	return append(b, 'Z')
}

func append2(b []byte, n int) []byte { return append(b, '0'+byte(n/10), '0'+byte(n%10)) }

// appendUnix writes seconds with at most three places, the way the json services do.
func appendUnix(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	ms %= 1000
	if ms == 0 {
		return b
	}
	b = append(b, '.', '0'+byte(ms/100))
	ms %= 100
	for scale := int64(10); ms > 0; scale /= 10 {
		b = append(b, '0'+byte(ms/scale))
		ms %= scale
	}
	return b
}
