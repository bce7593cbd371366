package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A pattern is a string of the policy compiled for matching: literal text, wildcards, variables.
// Matching streams over the text and the values of the variables and builds no string.
type pattern struct {
	form patternForm
	// text is the whole literal (exact), or what comes before the first wildcard or variable.
	text string
	ops  []op // what follows text
	// fold compares without regard to case.
	fold bool
}

type patternForm uint8

const (
	formNever patternForm = iota // matches nothing
	formAny                      // "*"
	formExact
	formPrefix // text and one wildcard that crosses everything
	formOps
)

type opKind uint8

const (
	opLiteral opKind = iota
	opVariable
	opVariableInPart // a value with a colon in it does not match
	opOne
	opOneInPart // any character but a colon
	opMany
	opManyInPart // any run without a colon
)

type op struct {
	kind opKind
	text string // literal; lower-case key of a variable
	// fallback is the variable's default value.
	fallback    string
	hasFallback bool
}

// syntax chooses what is special in a string of the policy.
type syntax struct {
	wildcards bool
	variables bool
	fold      bool
	// parts is how ARNs are compared: notARN, or with wildcards that know about colons.
	parts partRule
}

type partRule uint8

const (
	notARN partRule = iota
	// resourceParts: before the fifth colon a wildcard stays inside its part, but a "*" that
	// ends a part may run past the following colons (Resource, NotResource).
	resourceParts
	// arnParts: before the fifth colon a wildcard stays inside its part (ArnLike).
	arnParts
)

const arnColons = 5

// variableError says what is wrong with a policy variable.
type variableError string

func (e variableError) Error() string { return string(e) }

// compilePattern fails only on malformed variables.
func compilePattern(src string, s syntax) (pattern, error) {
	if s.wildcards && src == "*" {
		return pattern{form: formAny, fold: s.fold}, nil
	}
	c := patternCompiler{syntax: s, src: src}
	if err := c.run(); err != nil {
		return pattern{}, err
	}
	if s.parts == arnParts && c.colons < arnColons {
		return pattern{form: formNever}, nil
	}
	p := pattern{ops: c.ops, fold: s.fold, form: formOps}
	if len(c.ops) > 0 && c.ops[0].kind == opLiteral {
		p.text, p.ops = c.ops[0].text, c.ops[1:]
	}
	switch {
	case len(p.ops) == 0:
		p.form, p.ops = formExact, nil
	case len(p.ops) == 1 && p.ops[0].kind == opMany:
		p.form, p.ops = formPrefix, nil
	}
	return p, nil
}

type patternCompiler struct {
	syntax
	src     string
	pos     int
	ops     []op
	literal []byte
	colons  int
}

func (c *patternCompiler) run() error {
	for c.pos < len(c.src) {
		ch := c.src[c.pos]
		switch {
		case c.variables && strings.HasPrefix(c.src[c.pos:], "${"):
			if err := c.variable(); err != nil {
				return err
			}
			continue
		case c.wildcards && ch == '*':
			c.star()
			continue
		case c.wildcards && ch == '?':
			c.add(op{kind: c.inPart(opOne, opOneInPart)})
		default:
			if ch == ':' {
				c.colons++
			}
			c.literal = append(c.literal, ch)
		}
		c.pos++
	}
	c.flush()
	return nil
}

func (c *patternCompiler) flush() {
	if len(c.literal) > 0 {
		c.ops = append(c.ops, op{kind: opLiteral, text: string(c.literal)})
		c.literal = c.literal[:0]
	}
}

func (c *patternCompiler) add(o op) {
	c.flush()
	c.ops = append(c.ops, o)
}

func (c *patternCompiler) inPart(free, bound opKind) opKind {
	if c.parts != notARN && c.colons < arnColons {
		return bound
	}
	return free
}

func (c *patternCompiler) star() {
	for c.pos < len(c.src) && c.src[c.pos] == '*' {
		c.pos++
	}
	kind := c.inPart(opMany, opManyInPart)
	if c.parts == resourceParts && (c.pos == len(c.src) || c.src[c.pos] == ':') {
		kind = opMany
	}
	c.add(op{kind: kind})
}

// variable reads ${key}, ${key, 'default'} or one of the escapes ${*}, ${?}, ${$}.
func (c *patternCompiler) variable() error {
	rest := c.src[c.pos+2:]
	end := strings.IndexByte(rest, '}')
	if quote := strings.IndexByte(rest, '\''); quote >= 0 && quote < end {
		if second := strings.IndexByte(rest[quote+1:], '\''); second >= 0 {
			end = quote + 1 + second + strings.IndexByte(rest[quote+1+second:], '}')
		}
	}
	if end < 0 {
		return variableError("policy variable without closing brace")
	}
	inner := rest[:end]
	c.pos += 2 + end + 1
	if inner == "*" || inner == "?" || inner == "$" {
		c.literal = append(c.literal, inner[0])
		return nil
	}
	if c.parts == resourceParts && c.colons < arnColons {
		return variableError("policy variables may stand only in the last part of a resource ARN")
	}
	o := op{kind: c.inPart(opVariable, opVariableInPart)}
	key, fallback, found := strings.Cut(inner, ", '")
	if found {
		if !strings.HasSuffix(fallback, "'") || strings.Count(fallback, "'") != 1 {
			return variableError("the default of a policy variable is written ${key, 'value'}")
		}
		o.fallback, o.hasFallback = strings.TrimSuffix(fallback, "'"), true
	}
	if key == "" || strings.ContainsAny(key, " \t\r\n${'") {
		return variableError("malformed policy variable")
	}
	o.text = strings.ToLower(key)
	c.add(o)
	return nil
}

// resolve gives the value of a variable; ok is false when it is null: absent, or multivalued.
func (o *op) resolve(ctx Context) (string, bool) {
	if v, ok := lookup(ctx, o.text); ok && !v.Multi {
		return v.One, true
	}
	return o.fallback, o.hasFallback
}

func lookup(ctx Context, key string) (Values, bool) {
	if ctx == nil {
		return Values{}, false
	}
	return ctx.Lookup(key)
}

// first is the literal text that every match begins with.
func (p *pattern) first() string {
	if p.form == formAny {
		return ""
	}
	return p.text
}

// match tells whether s is what the pattern describes. A variable without a value makes the whole
// pattern match nothing.
func (p *pattern) match(s string, ctx Context) bool {
	if p.fold {
		return p.matchFold(s, ctx)
	}
	switch p.form {
	case formExact:
		return p.text == s
	case formPrefix:
		return strings.HasPrefix(s, p.text)
	case formOps:
		return strings.HasPrefix(s, p.text) && p.run(s[len(p.text):], ctx)
	}
	return p.form == formAny
}

func (p *pattern) matchFold(s string, ctx Context) bool {
	if p.form == formAny || p.form == formNever {
		return p.form == formAny
	}
	n, ok := foldPrefix(s, p.text)
	switch {
	case !ok:
		return false
	case p.form == formExact:
		return n == len(s)
	case p.form == formPrefix:
		return true
	}
	return p.run(s[n:], ctx)
}

// retry is where a wildcard may still take one more character.
type retry struct{ op, at int }

// run matches with two levels of retry: the last wildcard that may cross colons, and the last one
// after it that may not. That is exact: a wildcard that stays inside a part has, for text with a
// colon, at most one place to end, so only the last of each kind is ever worth trying again.
func (p *pattern) run(s string, ctx Context) bool {
	free, bound := retry{op: -1}, retry{op: -1}
	i, j := 0, 0
	for {
		if i == len(p.ops) {
			if j == len(s) {
				return true
			}
		} else {
			o := &p.ops[i]
			switch o.kind {
			case opMany:
				if i == len(p.ops)-1 {
					return true
				}
				i++
				free, bound = retry{i, j}, retry{op: -1}
				continue
			case opManyInPart:
				i++
				bound = retry{i, j}
				continue
			}
			if n, ok := o.advance(s[j:], ctx, p.fold); ok {
				i++
				j += n
				continue
			}
		}
		switch {
		case bound.op >= 0 && bound.at < len(s) && s[bound.at] != ':':
			bound.at += width(s[bound.at:])
			i, j = bound.op, bound.at
		case free.op >= 0 && free.at < len(s):
			free.at += width(s[free.at:])
			i, j, bound = free.op, free.at, retry{op: -1}
		default:
			return false
		}
	}
}

func width(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// advance tells how many bytes of s the op takes.
func (o *op) advance(s string, ctx Context, fold bool) (int, bool) {
	text := o.text
	switch o.kind {
	case opOne, opOneInPart:
		if s == "" || o.kind == opOneInPart && s[0] == ':' {
			return 0, false
		}
		return width(s), true
	case opVariable, opVariableInPart:
		value, ok := o.resolve(ctx)
		if !ok || o.kind == opVariableInPart && strings.IndexByte(value, ':') >= 0 {
			return 0, false
		}
		text = value
	}
	if fold {
		return foldPrefix(s, text)
	}
	return len(text), strings.HasPrefix(s, text)
}

// foldPrefix tells how many bytes of s equal text without regard to case.
func foldPrefix(s, text string) (int, bool) {
	i, j := 0, 0
	for j < len(text) {
		if i == len(s) {
			return 0, false
		}
		a, b := rune(s[i]), rune(text[j])
		if a < utf8.RuneSelf && b < utf8.RuneSelf {
			if lower(byte(a)) != lower(byte(b)) {
				return 0, false
			}
			i++
			j++
			continue
		}
		a, n := utf8.DecodeRuneInString(s[i:])
		b, m := utf8.DecodeRuneInString(text[j:])
		if a != b && unicode.ToLower(unicode.ToUpper(a)) != unicode.ToLower(unicode.ToUpper(b)) {
			return 0, false
		}
		i += n
		j += m
	}
	return i, true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// arnPart is the n-th colon part of an ARN, counted from 0; the sixth takes the rest. It is empty
// when there are fewer.
func arnPart(arn string, n int) string {
	for range n {
		_, rest, ok := strings.Cut(arn, ":")
		if !ok {
			return ""
		}
		arn = rest
	}
	if n < arnColons {
		arn, _, _ = strings.Cut(arn, ":")
	}
	return arn
}
