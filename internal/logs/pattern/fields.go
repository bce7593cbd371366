package pattern

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fields is a pattern of messages whose fields are delimited by blanks, brackets and quotation marks.
type fields struct {
	before, after []field // an ellipsis stands between them, if open
	open          bool
}

// field is one of them. Without tests it may be anything.
type field struct {
	name string // "": by its number
	// tests: any of the lists must hold whole.
	tests [][]*comparison
}

const ellipsis = "..."

func (p *parser) fields() (matcher, error) {
	p.at++
	f := &fields{}
	to := &f.before
	for {
		p.blanks()
		if p.eat(ellipsis) {
			if f.open {
				return nil, p.fail("a second ellipsis")
			}
			f.open, to = true, &f.after
		} else {
			one, err := p.field()
			if err != nil {
				return nil, err
			}
			*to = append(*to, one)
		}
		p.blanks()
		if p.eat(",") {
			continue
		}
		if !p.eat("]") {
			return nil, p.fail("a closing bracket is missing")
		}
		if p.blanks(); p.at < len(p.text) {
			return nil, p.fail("there is more behind the closing bracket")
		}
		return f, nil
	}
}

// field reads a name and its conditions: name, name=value, name=value || name=value, and nothing.
func (p *parser) field() (field, error) {
	var f field
	if c := p.peek(); c == ',' || c == ']' {
		return f, nil
	}
	f.tests = [][]*comparison{nil}
	for {
		p.blanks()
		name, err := p.fieldName()
		if err != nil {
			return f, err
		}
		if f.name != "" && name != f.name {
			return f, p.fail("the conditions of one field name %q and %q", f.name, name)
		}
		f.name = name
		p.blanks()
		if c := p.peek(); c == ',' || c == ']' {
			return f, nil
		}
		c, err := p.comparison(",]")
		if err != nil {
			return f, err
		}
		last := len(f.tests) - 1
		f.tests[last] = append(f.tests[last], c)
		p.blanks()
		switch {
		case p.eat("&&"):
		case p.eat("||"):
			f.tests = append(f.tests, nil)
		default:
			return f, nil
		}
	}
}

func (p *parser) fieldName() (string, error) {
	start := p.at
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' && r != '$' && r != '.' {
			break
		}
		p.at += n
	}
	if p.at == start {
		return "", p.fail("the name of a field is missing")
	}
	return p.text[start:p.at], nil
}

func (f *field) holds(text string) bool {
	number, err := strconv.ParseFloat(text, 64)
	for _, all := range f.tests {
		ok := true
		for _, c := range all {
			ok = ok && c.holds(text, number, err == nil)
		}
		if ok {
			return true
		}
	}
	return len(f.tests) == 0
}

func (f *fields) match(message string) (bool, map[string]string) {
	have := split(message)
	least := len(f.before) + len(f.after)
	if len(have) < least || !f.open && len(have) > least {
		return false, nil
	}
	values := make(map[string]string, len(have))
	for i, text := range have {
		var is *field
		switch tail := i - (len(have) - len(f.after)); {
		case i < len(f.before):
			is = &f.before[i]
		case tail >= 0:
			is = &f.after[tail]
		default:
			is = &field{}
		}
		if !is.holds(text) {
			return false, nil
		}
		name := is.name
		if name == "" {
			name = strconv.Itoa(i + 1)
		}
		values["$"+name] = text
	}
	return true, values
}

// split gives the fields of a message: what stands in quotation marks or brackets is one.
func split(message string) []string {
	var out []string
	ends := closings{quote: -1, bracket: -1}
	for at := skip(message, 0); at < len(message); {
		end := len(message)
		if n := strings.IndexAny(message[at:], blankSet); n >= 0 {
			end = at + n
		}
		text := message[at:end]
		if last := ends.of(message, at); last > at && (last+1 == len(message) || isBlank(message[last+1])) {
			end, text = last+1, message[at:last+1]
			if message[at] == '"' {
				text = message[at+1 : last]
			}
		}
		out = append(out, text)
		at = skip(message, end)
	}
	return out
}

// closings are where the next quotation mark and bracket were found, so that no part of a message is searched
// twice; len(message): there is none.
type closings struct{ quote, bracket int }

// of is the place of what closes the field that begins at a place; -1 for fields that nothing closes.
func (c *closings) of(message string, at int) int {
	next, mark := &c.quote, byte('"')
	switch message[at] {
	case '"':
	case '[':
		next, mark = &c.bracket, ']'
	default:
		return -1
	}
	if *next <= at {
		if n := strings.IndexByte(message[at+1:], mark); n >= 0 {
			*next = at + 1 + n
		} else {
			*next = len(message)
		}
	}
	if *next == len(message) {
		return -1
	}
	return *next
}

const blankSet = " \t\r\n"

// skip is the first place from at on that is not blank.
func skip(message string, at int) int {
	for at < len(message) && isBlank(message[at]) {
		at++
	}
	return at
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
