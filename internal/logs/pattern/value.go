package pattern

import (
	"regexp"
	"strconv"
	"strings"
)

// operators, the longest first.
var operators = []string{"!=", ">=", "<=", "=", ">", "<"}

// comparison is an operator and what stands behind it.
type comparison struct {
	op   string
	text string

	wild bool
	re   *regexp.Regexp
	// number is what text says when it is one and stands without quotes.
	number  float64
	numeric bool
}

// comparison reads an operator and a value, which ends at a blank or at one of stops.
func (p *parser) comparison(stops string) (*comparison, error) {
	c := &comparison{}
	for _, op := range operators {
		if p.eat(op) {
			c.op = op
			break
		}
	}
	if c.op == "" {
		return nil, p.fail("a comparison operator is missing")
	}
	p.blanks()
	var err error
	switch p.peek() {
	case '"':
		c.text, err = p.quoted()
	case '%':
		c.re, err = p.regex()
	default:
		start := p.at
		for p.at < len(p.text) && strings.IndexByte(" \t\r\n"+stops, p.text[p.at]) < 0 && !strings.HasPrefix(p.text[p.at:], "&&") && !strings.HasPrefix(p.text[p.at:], "||") {
			p.at++
		}
		if c.text = p.text[start:p.at]; c.text == "" {
			return nil, p.fail("a value is missing")
		}
		if n, e := strconv.ParseFloat(c.text, 64); e == nil && !strings.ContainsAny(c.text, "xXpPnNiI_") {
			c.number, c.numeric = n, true
		}
	}
	if err != nil {
		return nil, err
	}
	c.wild = c.re == nil && strings.Contains(c.text, "*")
	if c.op != "=" && c.op != "!=" && !c.numeric {
		return nil, p.fail("%s compares with a number", c.op)
	}
	return c, nil
}

// holds tells whether a value as text, which may be a number, compares so.
func (c *comparison) holds(text string, number float64, numeric bool) bool {
	switch c.op {
	case "=":
		return c.equal(text, number, numeric)
	case "!=":
		return !c.equal(text, number, numeric)
	}
	if !numeric {
		return false
	}
	switch c.op {
	case ">":
		return number > c.number
	case "<":
		return number < c.number
	case ">=":
		return number >= c.number
	}
	return number <= c.number
}

func (c *comparison) equal(text string, number float64, numeric bool) bool {
	switch {
	case c.re != nil:
		return c.re.MatchString(text)
	case c.wild:
		return like(c.text, text)
	case c.numeric && numeric:
		return c.number == number
	}
	return c.text == text
}

// like compares with a pattern in which "*" stands for any text.
func like(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	rest, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
