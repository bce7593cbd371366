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
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
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
	return append(append(b, s[start:]...), '"')
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
