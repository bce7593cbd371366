package wire

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Violation is one constraint of the model that an input does not keep.
type Violation struct {
	// Path is the member as AWS names it in its messages: "userName", "tags.1.member.key".
	Path string
	// Value as text; Null says that there is none; Hidden that it is sensitive and not told.
	Value        string
	Null, Hidden bool
	// Constraint in AWS's words: "Member must not be null".
	Constraint string
}

func (v Violation) String() string {
	value := "Value '" + v.Value + "'"
	switch {
	case v.Null:
		value = "Value null"
	case v.Hidden:
		value = "Value"
	}
	return value + " at '" + v.Path + "' failed to satisfy constraint: " + v.Constraint
}

// ValidationMessage is the sentence in which the query and json services tell violations.
func ValidationMessage(vs []Violation) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = v.String()
	}
	noun := "errors"
	if len(vs) == 1 {
		noun = "error"
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(vs), noun, strings.Join(parts, "; "))
}

// Validate checks in, a pointer to the operation's input struct, against the constraints of the
// model: required members, lengths, ranges, patterns and enum values. It finds at most ten
// violations, in the order of the model. (S3 has codes of its own and is not validated so.)
func Validate(op *Operation, in any) []Violation {
	v, err := structOf(op, op.input(), in)
	if err != nil {
		return []Violation{{Path: op.Name, Null: true, Constraint: err.Error()}}
	}
	c := checker{m: op.Model}
	c.structure(op.input(), "", v)
	return c.found
}

const maxViolations = 10

type checker struct {
	m     *Model
	found []Violation
}

func (c *checker) add(v Violation) {
	if len(c.found) < maxViolations {
		c.found = append(c.found, v)
	}
}

func (c *checker) structure(sh *Shape, path string, v reflect.Value) {
	for i := range sh.Members {
		m := &sh.Members[i]
		at := path + lowerFirst(m.Name)
		f, ok := present(v.Field(i))
		switch {
		case ok:
			c.value(&c.m.Shapes[m.Shape], at, f)
		case m.Required:
			c.add(Violation{Path: at, Null: true, Constraint: "Member must not be null"})
		}
	}
}

func (c *checker) value(sh *Shape, path string, v reflect.Value) {
	switch sh.Kind {
	case Structure:
		c.structure(sh, path+".", v)
		return
	case List:
		c.limits(sh, path, v)
		for i := range v.Len() {
			if len(c.found) == maxViolations {
				return
			}
			c.value(&c.m.Shapes[sh.Elem], path+"."+strconv.Itoa(i+1)+".member", v.Index(i))
		}
		return
	case Map:
		c.limits(sh, path, v)
		for _, k := range sortedKeys(v) {
			c.value(&c.m.Shapes[sh.Key], path+".key", reflect.ValueOf(k))
			c.value(&c.m.Shapes[sh.Elem], path+"."+k+".member", v.MapIndex(reflect.ValueOf(k)))
		}
		return
	case Enum:
		if !sh.Allows(v.String()) {
			c.violate(sh, path, v, "Member must satisfy enum value set: ["+strings.Join(sh.Values, ", ")+"]")
		}
		return
	}
	c.limits(sh, path, v)
}

func (c *checker) violate(sh *Shape, path string, v reflect.Value, constraint string) {
	c.add(Violation{Path: path, Value: c.text(sh, v), Hidden: sh.Sensitive, Constraint: constraint})
}

// limits checks length or value, then the pattern.
func (c *checker) limits(sh *Shape, path string, v reflect.Value) {
	l := sh.Limits
	if l == nil {
		return
	}
	n, what := measure(sh.Kind, v)
	if l.HasMin && n < l.Min {
		c.violate(sh, path, v, fmt.Sprintf("Member must have %s greater than or equal to %d", what, l.Min))
	}
	if l.HasMax && n > l.Max {
		c.violate(sh, path, v, fmt.Sprintf("Member must have %s less than or equal to %d", what, l.Max))
	}
	if l.Regexp != "" && sh.Kind == String && !MatchPattern(l.Regexp, v.String()) {
		c.violate(sh, path, v, "Member must satisfy regular expression pattern: "+l.Pattern)
	}
}

func measure(k Kind, v reflect.Value) (n int64, what string) {
	switch k {
	case String:
		return int64(utf8.RuneCountInString(v.String())), "length"
	case Integer, Long:
		return v.Int(), "value"
	case Double:
		return int64(v.Float()), "value"
	case Blob, List, Map:
		return int64(v.Len()), "length"
	}
	return 0, "length"
}

// text shows a value the way the services do: a list in brackets.
func (c *checker) text(sh *Shape, v reflect.Value) string {
	switch sh.Kind {
	case List:
		elem := &c.m.Shapes[sh.Elem]
		if !isScalar(elem.Kind) || elem.Sensitive {
			return "[" + elem.Name + "]"
		}
		var parts []string
		for i := range min(v.Len(), 20) {
			parts = append(parts, c.text(elem, v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case Structure, Map, Blob:
		return sh.Name
	}
	s := string(appendScalar(nil, sh, v, ISO8601))
	const limit = 2048
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// patterns holds the compiled expressions of the models, which are a closed set.
var patterns sync.Map

// MatchPattern tells whether the whole of s matches a Limits.Regexp.
func MatchPattern(expr, s string) bool { return compiled(expr).MatchString(s) }

func compiled(expr string) *regexp.Regexp {
	if re, ok := patterns.Load(expr); ok {
		return re.(*regexp.Regexp)
	}
	re := regexp.MustCompile(`\A(?:` + expr + `)\z`)
	patterns.Store(expr, re)
	return re
}

func lowerFirst(s string) string {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return s
	}
	return string(s[0]+('a'-'A')) + s[1:]
}
