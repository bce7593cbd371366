package policy

import (
	"encoding/base64"
	"net/netip"
	"strings"
)

// A condition is one key under one operator. A statement's conditions must all hold.
type condition struct {
	operator string // as written, with qualifier and IfExists
	base     *operator
	set      qualifier
	ifExists bool
	key      string // lower-case
	written  string // key as written
	values   []conditionValue
	offset   int // of the key in the source
}

type conditionValue struct {
	text    string
	matcher matcher
}

type qualifier uint8

const (
	noQualifier qualifier = iota
	forAllValues
	forAnyValue
)

var qualifiers = [...]struct {
	prefix string
	set    qualifier
}{{"ForAllValues:", forAllValues}, {"ForAnyValue:", forAnyValue}}

// matcher is one value of the policy, compiled; a value that cannot be read matches nothing.
type matcher interface {
	match(value string, ctx Context) bool
}

// operator is one row of the language's table.
type operator struct {
	name   string
	family family
	// negated operators hold when the positive one does not.
	negated bool
	compile func(text string, variables bool) (matcher, error)
}

type family uint8

const (
	stringFamily family = iota
	numericFamily
	dateFamily
	boolFamily
	binaryFamily
	ipFamily
	arnFamily
	nullFamily
)

const nullOperator = "Null"

var operators = operatorTable()

func operatorTable() map[string]*operator {
	t := make(map[string]*operator, 32)
	add := func(f family, name string, negated bool, compile func(string, bool) (matcher, error)) {
		t[name] = &operator{name: name, family: f, negated: negated, compile: compile}
	}
	for _, o := range [...]struct {
		suffix string
		syntax syntax
	}{{"Equals", syntax{}}, {"EqualsIgnoreCase", syntax{fold: true}}, {"Like", syntax{wildcards: true}}} {
		add(stringFamily, "String"+o.suffix, false, text(o.syntax))
		add(stringFamily, "StringNot"+o.suffix, true, text(o.syntax))
	}
	arn := text(syntax{wildcards: true, parts: arnParts})
	for _, suffix := range [...]string{"Equals", "Like"} {
		add(arnFamily, "Arn"+suffix, false, arn)
		add(arnFamily, "ArnNot"+suffix, true, arn)
	}
	for name, c := range comparisons {
		negated := name == "NotEquals"
		add(numericFamily, "Numeric"+name, negated, func(s string, _ bool) (matcher, error) {
			d, ok := parseDecimal(s)
			return numberMatcher{d, ok, c}, nil
		})
		add(dateFamily, "Date"+name, negated, func(s string, _ bool) (matcher, error) {
			d, ok := parseInstant(s)
			return dateMatcher{d, ok, c}, nil
		})
	}
	address := func(s string, _ bool) (matcher, error) {
		p, _ := parsePrefix(s)
		return addressMatcher{p}, nil
	}
	add(ipFamily, "IpAddress", false, address)
	add(ipFamily, "NotIpAddress", true, address)
	add(boolFamily, "Bool", false, func(s string, variables bool) (matcher, error) {
		p, err := compilePattern(s, syntax{fold: true, variables: variables})
		return boolMatcher{p}, err
	})
	add(binaryFamily, "BinaryEquals", false, func(s string, _ bool) (matcher, error) {
		b, err := base64.StdEncoding.DecodeString(s)
		return binaryMatcher{string(b), err == nil}, nil
	})
	add(nullFamily, nullOperator, false, func(s string, variables bool) (matcher, error) {
		p, err := compilePattern(s, syntax{fold: true, variables: variables})
		return boolMatcher{p}, err
	})
	return t
}

// text compiles strings and ARNs.
func text(s syntax) func(string, bool) (matcher, error) {
	return func(src string, variables bool) (matcher, error) {
		s := s
		s.variables = variables
		p, err := compilePattern(src, s)
		return &p, err
	}
}

// comparison says which results of comparing request with policy value satisfy an operator.
type comparison struct{ less, equal, greater bool }

var comparisons = map[string]comparison{
	"Equals":            {equal: true},
	"NotEquals":         {equal: true}, // the operator negates
	"LessThan":          {less: true},
	"LessThanEquals":    {less: true, equal: true},
	"GreaterThan":       {greater: true},
	"GreaterThanEquals": {greater: true, equal: true},
}

func (c comparison) holds(order int) bool {
	return order < 0 && c.less || order == 0 && c.equal || order > 0 && c.greater
}

type numberMatcher struct {
	number decimal
	valid  bool
	comparison
}

func (m numberMatcher) match(value string, _ Context) bool {
	d, ok := parseDecimal(value)
	return ok && m.valid && m.holds(d.compare(m.number))
}

type dateMatcher struct {
	date  instant
	valid bool
	comparison
}

func (m dateMatcher) match(value string, _ Context) bool {
	d, ok := parseInstant(value)
	return ok && m.valid && m.holds(d.compare(m.date))
}

type addressMatcher struct{ prefix netip.Prefix }

func (m addressMatcher) match(value string, _ Context) bool {
	a, ok := parseAddress(value)
	return ok && m.prefix.Contains(a)
}

type boolMatcher struct{ pattern }

func (m boolMatcher) match(value string, ctx Context) bool {
	return (strings.EqualFold(value, "true") || strings.EqualFold(value, "false")) && m.pattern.match(value, ctx)
}

// binaryMatcher compares the bytes of the request's value with what the policy has in base64.
type binaryMatcher struct {
	bytes string
	valid bool
}

func (m binaryMatcher) match(value string, _ Context) bool { return m.valid && value == m.bytes }

// parseOperator reads [qualifier]name[IfExists].
func parseOperator(s string) (base *operator, set qualifier, ifExists, ok bool) {
	name := s
	for _, q := range qualifiers {
		if rest, found := strings.CutPrefix(s, q.prefix); found {
			name, set = rest, q.set
		}
	}
	if base = operators[name]; base != nil {
		return base, set, false, true
	}
	name, ifExists = strings.CutSuffix(name, "IfExists")
	base = operators[name]
	return base, set, ifExists, ifExists && base != nil && base.family != nullFamily
}

// holds tells whether the request satisfies the condition.
func (c *condition) holds(ctx Context) bool {
	v, present := lookup(ctx, c.key)
	if v.Multi && len(v.Many) == 0 {
		present = false
	}
	if c.base.family == nullFamily {
		return c.null(present, ctx)
	}
	if !present {
		return c.missing()
	}
	switch c.set {
	case forAllValues:
		return c.all(v, ctx)
	case forAnyValue:
		return c.any(v, ctx)
	}
	// A multivalued key without a qualifier: the positive operator asks whether any value
	// matches, and the negated one is its opposite.
	return c.oneIn(v, ctx) != c.base.negated
}

// null decides on presence; with a qualifier it is constant.
func (c *condition) null(present bool, ctx Context) bool {
	if c.set != noQualifier {
		return c.set == forAllValues
	}
	absent := "true"
	if present {
		absent = "false"
	}
	return c.listed(absent, ctx)
}

// missing is the answer when the request does not have the key.
func (c *condition) missing() bool {
	switch {
	case c.ifExists, c.set == forAllValues:
		return true
	case c.set == forAnyValue:
		return false
	}
	return c.base.negated
}

func (c *condition) all(v Values, ctx Context) bool {
	if len(c.values) == 0 {
		return false
	}
	if !v.Multi {
		return c.listed(v.One, ctx) != c.base.negated
	}
	for _, value := range v.Many {
		if c.listed(value, ctx) == c.base.negated {
			return false
		}
	}
	return true
}

func (c *condition) any(v Values, ctx Context) bool {
	if len(c.values) == 0 {
		return false
	}
	if !v.Multi {
		return c.listed(v.One, ctx) != c.base.negated
	}
	for _, value := range v.Many {
		if c.listed(value, ctx) != c.base.negated {
			return true
		}
	}
	return false
}

func (c *condition) oneIn(v Values, ctx Context) bool {
	if !v.Multi {
		return c.listed(v.One, ctx)
	}
	for _, value := range v.Many {
		if c.listed(value, ctx) {
			return true
		}
	}
	return false
}

// listed tells whether one value of the policy matches, in the positive sense of the operator.
func (c *condition) listed(value string, ctx Context) bool {
	for i := range c.values {
		if c.values[i].matcher.match(value, ctx) {
			return true
		}
	}
	return false
}
