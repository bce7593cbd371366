package pattern

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
)

// matches tells whether an event's object, or its absence, is what the pattern means. Of an array of
// objects one element has to match as a whole.
func (o *object) matches(event map[string]any, present bool) bool {
	for i := range o.fields {
		f := &o.fields[i]
		value, ok := any(nil), false
		if present {
			value, ok = event[f.name]
		}
		if !f.matches(value, ok) {
			return false
		}
	}
	for _, alternatives := range o.ors {
		if !anyOf(alternatives, event, present) {
			return false
		}
	}
	return true
}

func anyOf(alternatives []*object, event map[string]any, present bool) bool {
	for _, a := range alternatives {
		if a.matches(event, present) {
			return true
		}
	}
	return false
}

func (f *field) matches(value any, present bool) bool {
	if f.object == nil {
		found, ok := matchLeaf(f.leaf, value, present)
		return ok || !found && accepts(f.leaf, nil, false)
	}
	found, ok := f.matchObject(value, present)
	return ok || !found && f.object.matches(nil, false)
}

// matchObject tries value as an object, or each object of it when it is an array.
func (f *field) matchObject(value any, present bool) (found, ok bool) {
	if !present {
		return false, false
	}
	switch v := value.(type) {
	case map[string]any:
		return true, f.object.matches(v, true)
	case []any:
		for _, element := range v {
			isObject, matched := f.matchObject(element, true)
			if matched {
				return true, true
			}
			found = found || isObject
		}
	}
	return found, false
}

// matchLeaf tries value, or each of its elements. An object is no value.
func matchLeaf(leaf []matcher, value any, present bool) (found, ok bool) {
	if !present {
		return false, false
	}
	switch v := value.(type) {
	case map[string]any:
		return false, false
	case []any:
		for _, element := range v {
			isValue, matched := matchLeaf(leaf, element, true)
			if matched {
				return true, true
			}
			found = found || isValue
		}
		return found, false
	}
	return true, accepts(leaf, value, true)
}

func accepts(leaf []matcher, value any, present bool) bool {
	for _, m := range leaf {
		if m.matches(value, present) {
			return true
		}
	}
	return false
}

// matcher is one alternative of a leaf. Value is a string, json.Number, bool or nil.
type matcher interface {
	matches(value any, present bool) bool
}

type exactText string

func (m exactText) matches(value any, present bool) bool {
	s, ok := value.(string)
	return present && ok && s == string(m)
}

type exactNumber float64

func (m exactNumber) matches(value any, present bool) bool {
	n, ok := value.(json.Number)
	return present && ok && number(n) == float64(m)
}

// exactLiteral is true, false or null.
type exactLiteral struct{ value any }

func (m exactLiteral) matches(value any, present bool) bool {
	switch value.(type) {
	case bool, nil:
		return present && value == m.value
	}
	return false
}

type exists bool

func (m exists) matches(_ any, present bool) bool { return present == bool(m) }

type foldText string

func (m foldText) matches(value any, present bool) bool {
	s, ok := value.(string)
	return present && ok && strings.EqualFold(s, string(m))
}

type affix struct {
	text         string
	suffix, fold bool
}

func (m affix) matches(value any, present bool) bool {
	s, ok := value.(string)
	if !present || !ok || len(s) < len(m.text) {
		return false
	}
	end := s[:len(m.text)]
	if m.suffix {
		end = s[len(s)-len(m.text):]
	}
	if m.fold {
		return strings.EqualFold(end, m.text)
	}
	return end == m.text
}

type cidr struct{ network netip.Prefix }

func (m cidr) matches(value any, present bool) bool {
	s, ok := value.(string)
	if !present || !ok {
		return false
	}
	ip, err := netip.ParseAddr(s)
	return err == nil && m.network.Contains(ip)
}

// numeric is a range.
type numeric struct {
	low, high                 float64
	hasLow, hasHigh           bool
	includesLow, includesHigh bool
}

func (m numeric) matches(value any, present bool) bool {
	v, ok := value.(json.Number)
	if !present || !ok {
		return false
	}
	n := number(v)
	if m.hasLow && (n < m.low || n == m.low && !m.includesLow) {
		return false
	}
	return !m.hasHigh || n < m.high || n == m.high && m.includesHigh
}

// anythingBut accepts a value that is there and that none of its matchers accepts.
type anythingBut []matcher

func (m anythingBut) matches(value any, present bool) bool {
	return present && !accepts(m, value, present)
}

// wildcard is the literals between the stars.
type wildcard []string

// maxRepeated bounds how often the same text may follow a star.
const maxRepeated = 3

func newWildcard(source string) (matcher, error) {
	w := wildcard{""}
	star := -1
	for i := 0; i < len(source); i++ {
		switch source[i] {
		case '*':
			if star == i-1 && i > 0 {
				return nil, invalid("Consecutive wildcard characters at pos " + strconv.Itoa(i))
			}
			star = i
			w = append(w, "")
			continue
		case '\\':
			if i+1 == len(source) || source[i+1] != '*' && source[i+1] != '\\' {
				return nil, invalid("Invalid escape character at pos " + strconv.Itoa(i))
			}
			i++
		}
		w[len(w)-1] += source[i : i+1]
	}
	seen := map[string]int{}
	for _, literal := range w[1:] {
		if seen[literal]++; seen[literal] > maxRepeated && literal != "" {
			return nil, invalid("Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a wildcard character")
		}
	}
	return w, nil
}

func (m wildcard) matches(value any, present bool) bool {
	s, ok := value.(string)
	if !present || !ok {
		return false
	}
	if len(m) == 1 {
		return s == m[0]
	}
	s, ok = strings.CutPrefix(s, m[0])
	if !ok {
		return false
	}
	for _, literal := range m[1 : len(m)-1] {
		at := strings.Index(s, literal)
		if at < 0 {
			return false
		}
		s = s[at+len(literal):]
	}
	return strings.HasSuffix(s, m[len(m)-1])
}
