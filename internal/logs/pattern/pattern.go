// Package pattern is the filter pattern language of CloudWatch Logs (User Guide, "Filter pattern syntax"): terms,
// JSON patterns, space-delimited patterns, and regular expressions in them.
//
// It promises to refuse what it does not understand, and that matching takes time in proportion to pattern
// and message.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pattern is a parsed pattern. Safe for concurrent use.
type Pattern struct{ of matcher }

// matcher is one of the three kinds. values are what a match takes from the message, by name.
type matcher interface {
	match(message string) (ok bool, values map[string]string)
}

// Parse reads a pattern; "" matches everything.
func Parse(text string) (*Pattern, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("the filter pattern is not UTF-8")
	}
	p := &parser{text: text}
	p.blanks()
	var of matcher
	var err error
	switch p.peek() {
	case '{':
		of, err = p.object()
	case '[':
		of, err = p.fields()
	default:
		of, err = p.terms()
	}
	if err != nil {
		return nil, err
	}
	return &Pattern{of}, nil
}

// Match tells whether the pattern matches.
func (p *Pattern) Match(message string) bool {
	ok, _ := p.of.match(message)
	return ok
}

// Extract tells whether the pattern matches, and what it names in the message: fields, or properties.
func (p *Pattern) Extract(message string) (values map[string]string, ok bool) {
	ok, values = p.of.match(message)
	return values, ok
}

// parser reads from left to right.
type parser struct {
	text  string
	at    int
	depth int
}

// peek is the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) blanks() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// eat takes token if it is next.
func (p *parser) eat(token string) bool {
	if strings.HasPrefix(p.text[p.at:], token) {
		p.at += len(token)
		return true
	}
	return false
}

// word takes token if it is the next word.
func (p *parser) word(token string) bool {
	rest := p.text[p.at:]
	if !strings.HasPrefix(rest, token) {
		return false
	}
	if next, _ := utf8.DecodeRuneInString(rest[len(token):]); len(rest) > len(token) && (unicode.IsLetter(next) || unicode.IsDigit(next) || next == '_') {
		return false
	}
	p.at += len(token)
	return true
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("invalid filter pattern at position %d: "+format, append([]any{p.at}, args...)...)
}

// quoted reads a text in the quotes that are next. A backslash stands before quotes and backslashes.
func (p *parser) quoted() (string, error) {
	quote := p.peek()
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '\\' && p.at+1 < len(p.text) && (p.text[p.at+1] == quote || p.text[p.at+1] == '\\'):
			p.at++
			b.WriteByte(p.text[p.at])
		case c == quote:
			p.at++
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	p.at = start
	return "", p.fail("a quotation mark is not closed")
}

// regex reads an expression between the percent signs that are next. AWS has no groups.
func (p *parser) regex() (*regexp.Regexp, error) {
	start := p.at
	for p.at++; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\\':
			p.at++
		case '(', ')':
			return nil, p.fail("regular expressions have no groups")
		case '%':
			source := p.text[start+1 : p.at]
			p.at++
			re, err := regexp.Compile(source)
			if err != nil || source == "" {
				return nil, p.fail("%q is not a regular expression", source)
			}
			return re, nil
		}
	}
	p.at = start
	return nil, p.fail("a percent sign is not closed")
}

// terms of a message that has no form.
type terms struct{ all, none, any []func(string) bool }

func (p *parser) terms() (matcher, error) {
	t := &terms{}
	for p.blanks(); p.at < len(p.text); p.blanks() {
		to := &t.all
		switch p.peek() {
		case '?':
			p.at++
			to = &t.any
		case '-':
			p.at++
			to = &t.none
		}
		is, err := p.term()
		if err != nil {
			return nil, err
		}
		*to = append(*to, is)
	}
	return t, nil
}

func (p *parser) term() (func(string) bool, error) {
	switch p.peek() {
	case '"':
		text, err := p.quoted()
		return func(m string) bool { return strings.Contains(m, text) }, err
	case '%':
		re, err := p.regex()
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	start := p.at
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if unicode.IsSpace(r) {
			break
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' {
			rest, _, _ := strings.Cut(p.text[start:], " ")
			return nil, fmt.Errorf("invalid character(s) in term '%s'", rest)
		}
		p.at += n
	}
	if p.at == start {
		return nil, p.fail("a term is missing")
	}
	text := p.text[start:p.at]
	return func(m string) bool { return strings.Contains(m, text) }, nil
}

func (t *terms) match(message string) (bool, map[string]string) {
	for _, is := range t.none {
		if is(message) {
			return false, nil
		}
	}
	for _, is := range t.all {
		if !is(message) {
			return false, nil
		}
	}
	// Beside terms that must be there, AWS ignores those of which any may.
	if len(t.all) > 0 || len(t.any) == 0 {
		return true, nil
	}
	for _, is := range t.any {
		if is(message) {
			return true, nil
		}
	}
	return false, nil
}
