package pattern

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// object is a pattern of messages that are JSON objects.
type object struct {
	holds     condition
	selectors []*selector
}

type condition func(doc any) bool

// selector is a path to a property: names and indices; -1 is any element.
type selector struct {
	text  string
	steps []any // string or int
}

// maxDepth bounds parentheses in parentheses.
const maxDepth = 64

func (p *parser) object() (matcher, error) {
	p.at++
	o := &object{}
	var err error
	if o.holds, err = p.either(o); err != nil {
		return nil, err
	}
	if !p.eat("}") {
		return nil, p.fail("a closing brace is missing")
	}
	if p.blanks(); p.at < len(p.text) {
		return nil, p.fail("there is more behind the closing brace")
	}
	return o, nil
}

// either reads conditions joined by "||", both those joined by "&&", which binds more.
func (p *parser) either(o *object) (condition, error) { return p.joined(o, "||", p.both) }

func (p *parser) both(o *object) (condition, error) { return p.joined(o, "&&", p.single) }

func (p *parser) joined(o *object, by string, part func(*object) (condition, error)) (condition, error) {
	var all []condition
	for {
		c, err := part(o)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
		p.blanks()
		if !p.eat(by) {
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	wanted := by == "||"
	return func(doc any) bool {
		for _, c := range all {
			if c(doc) == wanted {
				return wanted
			}
		}
		return !wanted
	}, nil
}

func (p *parser) single(o *object) (condition, error) {
	p.blanks()
	if p.eat("(") {
		if p.depth++; p.depth > maxDepth {
			return nil, p.fail("too many parentheses")
		}
		c, err := p.either(o)
		if err != nil {
			return nil, err
		}
		if p.blanks(); !p.eat(")") {
			return nil, p.fail("a closing parenthesis is missing")
		}
		p.depth--
		return c, nil
	}
	s, err := p.selector()
	if err != nil {
		return nil, err
	}
	o.selectors = append(o.selectors, s)
	p.blanks()
	switch {
	case p.word("IS"):
		return p.is(s)
	case p.word("NOT"):
		if p.blanks(); !p.word("EXISTS") {
			return nil, p.fail("NOT without EXISTS")
		}
		return func(doc any) bool { return !s.any(doc, func(any) bool { return true }) }, nil
	case p.word("EXISTS"):
		return func(doc any) bool { return s.any(doc, func(any) bool { return true }) }, nil
	}
	c, err := p.comparison(")}")
	if err != nil {
		return nil, err
	}
	return func(doc any) bool {
		return s.any(doc, func(v any) bool {
			text, number, numeric, ok := plain(v)
			return ok && c.holds(text, number, numeric)
		})
	}, nil
}

func (p *parser) is(s *selector) (condition, error) {
	p.blanks()
	for word, wanted := range map[string]any{"TRUE": true, "FALSE": false, "NULL": nil} {
		if p.word(word) || p.word(strings.ToLower(word)) {
			return func(doc any) bool { return s.any(doc, func(v any) bool { return simple(v) && v == wanted }) }, nil
		}
	}
	return nil, p.fail("IS is followed by TRUE, FALSE or NULL")
}

// simple tells a value that can be compared.
func simple(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// plain is a value as it is compared; objects, lists and null are not.
func plain(v any) (text string, number float64, numeric, ok bool) {
	switch v := v.(type) {
	case string:
		return v, 0, false, true
	case json.Number:
		n, err := v.Float64()
		return v.String(), n, err == nil, true
	case bool:
		return strconv.FormatBool(v), 0, false, true
	}
	return "", 0, false, false
}

func (p *parser) selector() (*selector, error) {
	start := p.at
	if !p.eat("$") {
		return nil, p.fail("a property selector begins with $")
	}
	s := &selector{}
	for {
		var step any
		var err error
		switch p.peek() {
		case '.':
			p.at++
			if p.peek() == '[' { // $.[0] is $[0]
				continue
			}
			step, err = p.property()
		case '[':
			p.at++
			step, err = p.index()
		default:
			if len(s.steps) == 0 {
				return nil, p.fail("a property is missing")
			}
			s.text = p.text[start:p.at]
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		s.steps = append(s.steps, step)
	}
}

func (p *parser) property() (any, error) {
	start := p.at
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' {
			break
		}
		p.at += n
	}
	if p.at == start {
		return nil, p.fail("a property is missing")
	}
	return p.text[start:p.at], nil
}

// index reads what stands in brackets: a number, "*" or a quoted name.
func (p *parser) index() (step any, err error) {
	switch c := p.peek(); {
	case c == '"' || c == '\'':
		if step, err = p.quoted(); err != nil {
			return nil, err
		}
	case p.eat("*"):
		step = -1
	default:
		start := p.at
		for p.peek() >= '0' && p.peek() <= '9' {
			p.at++
		}
		n, err := strconv.Atoi(p.text[start:p.at])
		if err != nil {
			return nil, p.fail("an index is missing")
		}
		step = n
	}
	if !p.eat("]") {
		return nil, p.fail("a closing bracket is missing")
	}
	return step, nil
}

// any tells whether is holds for a value that the selector finds.
func (s *selector) any(doc any, is func(any) bool) bool { return walk(doc, s.steps, is) }

func walk(v any, steps []any, is func(any) bool) bool {
	for i, step := range steps {
		switch step := step.(type) {
		case string:
			o, _ := v.(map[string]any)
			next, ok := o[step]
			if !ok {
				return false
			}
			v = next
		case int:
			list, _ := v.([]any)
			if step < 0 {
				for _, e := range list {
					if walk(e, steps[i+1:], is) {
						return true
					}
				}
				return false
			}
			if step >= len(list) {
				return false
			}
			v = list[step]
		}
	}
	return is(v)
}

func (o *object) match(message string) (bool, map[string]string) {
	text := strings.TrimSpace(message)
	if !strings.HasPrefix(text, "{") {
		return false, nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var doc any
	if d.Decode(&doc) != nil {
		return false, nil
	}
	if _, err := d.Token(); err != io.EOF {
		return false, nil
	}
	if !o.holds(doc) {
		return false, nil
	}
	values := map[string]string{}
	for _, s := range o.selectors {
		s.any(doc, func(v any) bool {
			if t, _, _, ok := plain(v); ok {
				values[s.text] = t
			} else if raw, err := json.Marshal(v); err == nil {
				values[s.text] = string(raw)
			}
			return true
		})
	}
	return true, values
}
