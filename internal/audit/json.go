package audit

import (
	"strconv"
	"unicode/utf8"
)

// writer appends JSON. It is written by hand because every recorded request pays for it.
type writer struct {
	b    []byte
	more bool // a comma comes before the next member
}

func (w *writer) name(name string) {
	if w.more {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
	w.more = true
}

func (w *writer) open(c byte) { w.b = append(w.b, c); w.more = false }

func (w *writer) close(c byte) { w.b = append(w.b, c); w.more = true }

// object writes a member that is an object.
func (w *writer) object(name string, fill func()) {
	w.name(name)
	w.open('{')
	fill()
	w.close('}')
}

// text writes a member, some leaves it out when it is empty.
func (w *writer) text(name, value string) { w.name(name); w.b = appendQuoted(w.b, value) }

// joined writes a text that is put together of parts.
func (w *writer) joined(name string, parts ...string) {
	w.name(name)
	w.b = append(w.b, '"')
	for _, part := range parts {
		w.b = appendEscaped(w.b, part)
	}
	w.b = append(w.b, '"')
}

func (w *writer) some(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) number(name string, n int64) { w.name(name); w.b = strconv.AppendInt(w.b, n, 10) }

func (w *writer) truth(name string, v bool) { w.name(name); w.b = strconv.AppendBool(w.b, v) }

func (w *writer) raw(name string, value []byte) {
	w.name(name)
	if len(value) == 0 {
		value = null
	}
	w.b = append(w.b, value...)
}

var null = []byte("null")

// AppendQuoted writes s as a JSON string that is one line of printable text, whatever s holds.
func AppendQuoted(b []byte, s string) []byte { return appendQuoted(b, s) }

const hexDigits = "0123456789abcdef"

// appendQuoted writes s as a JSON string: no byte below space, no raw quote and nothing that is not
// UTF-8 comes out of it, so a record is one line whatever a client sent.
func appendQuoted(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s), '"')
}

// plain is how many bytes at the start of s stand for themselves, or up to seven fewer.
func plain(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		c := s[i : i+8]
		x := uint64(c[0]) | uint64(c[1])<<8 | uint64(c[2])<<16 | uint64(c[3])<<24 | uint64(c[4])<<32 | uint64(c[5])<<40 | uint64(c[6])<<48 | uint64(c[7])<<56
		// The top bit of a byte is set in: below space, a quote, a backslash, 0x7f, not ASCII. A borrow
		// may set it in a byte above one of those too, never where there is none.
		quote, slash, del := x^'"'*ones, x^'\\'*ones, x^0x7f*ones
		if ((x-' '*ones)|(quote-ones)|(slash-ones)|(del-ones)|x)&tops != 0 {
			break
		}
	}
	return i
}

func appendEscaped(b []byte, s string) []byte {
	start := 0
	for i := plain(s); i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf && c != 0x7f {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				b = append(append(b, s[start:i]...), `\ufffd`...)
				start = i + 1
			case r == '\u2028' || r == '\u2029' || r < 0xa0:
				b = append(append(b, s[start:i]...), '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
				start = i + n
			}
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(b, s[start:]...)
}

// clip bounds a text that a client chose, at the border of a character.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
