package pattern

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// compiler carries what holds for a pattern as a whole.
type compiler struct{ combinations int }

// keywords are the names of match types: a $or that has one of them as a field is a field itself.
var keywords = map[string]bool{
	"exists": true, "equals-ignore-case": true, "prefix": true, "suffix": true, "anything-but": true,
	"numeric": true, "cidr": true, "wildcard": true, "exactly": true,
}

func (c *compiler) object(source map[string]any, depth int) (*object, error) {
	if depth > maxDepth {
		return nil, invalid("Rule is too complex - nested too deeply")
	}
	o := &object{}
	for _, name := range slices.Sorted(maps.Keys(source)) {
		if name == "$or" {
			done, err := c.or(o, source[name], depth)
			if err != nil {
				return nil, err
			}
			if done {
				continue
			}
		}
		f, err := c.field(name, source[name], depth)
		if err != nil {
			return nil, err
		}
		o.fields = append(o.fields, f)
	}
	return o, nil
}

// or compiles a $or; not done when it is an ordinary field.
func (c *compiler) or(o *object, source any, depth int) (done bool, err error) {
	list, ok := source.([]any)
	if !ok || len(list) < 2 {
		return false, nil
	}
	for _, item := range list {
		alternative, ok := item.(map[string]any)
		if !ok || len(alternative) == 0 {
			return false, nil
		}
		for name := range alternative {
			if keywords[name] {
				return false, nil
			}
		}
	}
	if c.combinations *= len(list); c.combinations > maxCombinations {
		return false, invalid("Rule is too complex - more than " + strconv.Itoa(maxCombinations) + " combinations of $or")
	}
	var alternatives []*object
	for _, item := range list {
		a, err := c.object(item.(map[string]any), depth+1)
		if err != nil {
			return false, err
		}
		alternatives = append(alternatives, a)
	}
	o.ors = append(o.ors, alternatives)
	return true, nil
}

// field compiles a member; a name with dots is the path that it spells.
func (c *compiler) field(name string, source any, depth int) (field, error) {
	if first, rest, dotted := strings.Cut(name, "."); dotted {
		inner, err := c.object(map[string]any{rest: source}, depth+1)
		return field{name: first, object: inner}, err
	}
	switch v := source.(type) {
	case map[string]any:
		if len(v) == 0 {
			return field{}, invalid("Empty objects are not allowed")
		}
		inner, err := c.object(v, depth+1)
		return field{name: name, object: inner}, err
	case []any:
		if len(v) == 0 {
			return field{}, invalid("Empty arrays are not allowed")
		}
		leaf, err := compileLeaf(v)
		return field{name: name, leaf: leaf}, err
	}
	return field{}, invalid(strconv.Quote(name) + " must be an object or an array")
}

func compileLeaf(list []any) ([]matcher, error) {
	leaf := make([]matcher, 0, len(list))
	for _, item := range list {
		m, err := compileMatcher(item)
		if err != nil {
			return nil, err
		}
		leaf = append(leaf, m)
	}
	return leaf, nil
}

func compileMatcher(item any) (matcher, error) {
	switch v := item.(type) {
	case string, json.Number:
		return exactly(v), nil
	case bool, nil:
		return exactLiteral{v}, nil
	case map[string]any:
		if len(v) != 1 {
			return nil, invalid("Only one key allowed in match expression")
		}
		for name, argument := range v {
			compile, ok := matchTypes[name]
			if !ok {
				return nil, invalid("Unrecognized match type " + name)
			}
			return compile(argument)
		}
	}
	return nil, invalid("Match value must be String, number, true, false, or null")
}

// matchTypes compile the argument of each match type.
var matchTypes = map[string]func(argument any) (matcher, error){
	"exists": compileExists, "equals-ignore-case": compileFold, "anything-but": compileAnythingBut,
	"prefix": func(a any) (matcher, error) { return compileEnd("prefix", a) },
	"suffix": func(a any) (matcher, error) { return compileEnd("suffix", a) },
	"cidr":   compileCIDR, "numeric": compileNumeric, "wildcard": compileWildcard,
}

// exactly matches a string or a number.
func exactly(value any) matcher {
	if n, ok := value.(json.Number); ok {
		return exactNumber(number(n))
	}
	return exactText(value.(string))
}

func compileExists(a any) (matcher, error) {
	want, ok := a.(bool)
	if !ok {
		return nil, invalid("exists match pattern must be either true or false.")
	}
	return exists(want), nil
}

func compileFold(a any) (matcher, error) {
	s, ok := a.(string)
	if !ok {
		return nil, invalid("equals-ignore-case match pattern must be a string")
	}
	return foldText(s), nil
}

func compileEnd(kind string, a any) (matcher, error) {
	fold := false
	if m, ok := a.(map[string]any); ok && len(m) == 1 {
		inner, ok := m["equals-ignore-case"]
		if !ok {
			return nil, invalid("Unsupported anything-but pattern: " + kind)
		}
		a, fold = inner, true
	}
	s, ok := a.(string)
	if !ok {
		return nil, invalid(kind + " match pattern must be a string")
	}
	return affix{text: s, suffix: kind == "suffix", fold: fold}, nil
}

func compileWildcard(a any) (matcher, error) {
	s, ok := a.(string)
	if !ok {
		return nil, invalid("wildcard match pattern must be a string")
	}
	return newWildcard(s)
}

func compileCIDR(a any) (matcher, error) {
	s, ok := a.(string)
	if !ok {
		return nil, invalid("prefix match pattern must be a string")
	}
	address, bits, ok := strings.Cut(s, "/")
	if !ok || strings.Contains(bits, "/") {
		return nil, invalid("Malformed CIDR, one '/' required")
	}
	n, err := strconv.Atoi(bits)
	if err != nil {
		return nil, invalid("Malformed CIDR, mask bits must be an integer")
	}
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" {
		return nil, invalid("Nonstandard IP address: " + address)
	}
	network, err := ip.Prefix(n)
	if err != nil {
		return nil, invalid("Malformed CIDR, mask bits must be between 0 and " + strconv.Itoa(ip.BitLen()))
	}
	return cidr{network}, nil
}

// maxNumber bounds the numbers of numeric matches.
const maxNumber = 5e9

func compileNumeric(a any) (matcher, error) {
	list, ok := a.([]any)
	if !ok {
		return nil, invalid("Value of numeric must be an array.")
	}
	var n numeric
	for len(list) > 0 {
		op, ok := list[0].(string)
		if !ok {
			return nil, invalid("Invalid member in numeric match: " + text(list[0]))
		}
		var value float64
		if len(list) > 1 {
			v, ok := list[1].(json.Number)
			if !ok {
				return nil, invalid("Value of " + op + " must be numeric")
			}
			value = number(v)
		} else {
			return nil, invalid("Value of " + op + " must be numeric")
		}
		if value < -maxNumber || value > maxNumber {
			return nil, invalid("Value of " + op + " must be between -5.0e9 and 5.0e9")
		}
		if err := n.add(op, value); err != nil {
			return nil, err
		}
		list = list[2:]
	}
	if !n.hasLow && !n.hasHigh {
		return nil, invalid("Value of numeric must not be empty.")
	}
	return n, nil
}

func (n *numeric) add(op string, value float64) error {
	taken := n.hasHigh
	switch op {
	case "=":
		taken = n.hasLow || n.hasHigh
		n.low, n.hasLow, n.high, n.hasHigh = value, true, value, true
		n.includesLow, n.includesHigh = true, true
	case ">", ">=":
		taken = n.hasLow || n.hasHigh
		n.low, n.hasLow, n.includesLow = value, true, op == ">="
	case "<", "<=":
		n.high, n.hasHigh, n.includesHigh = value, true, op == "<="
	default:
		return invalid("Unrecognized numeric range operator: " + op)
	}
	if taken {
		return invalid("Bad numeric range operator: " + op)
	}
	if n.hasLow && n.hasHigh && op != "=" && n.low >= n.high {
		return invalid("Bottom must be less than top")
	}
	return nil
}

func text(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

func number(n json.Number) float64 {
	f, _ := n.Float64()
	return f
}

// notAText are the reasons for which an argument of anything-but is refused.
const (
	noList   = "Inside anything but list, start|null|boolean is not supported."
	noValue  = "Value of anything-but must be an array or single string/number value."
	noAffix  = "prefix/suffix match pattern must be a string"
	nullEnds = "Null prefix/suffix not allowed"
)

func compileAnythingBut(a any) (matcher, error) {
	switch v := a.(type) {
	case string, json.Number:
		return anythingBut{exactly(v)}, nil
	case []any:
		if len(v) == 0 {
			return nil, invalid("Empty arrays are not allowed")
		}
		var not anythingBut
		for _, item := range v {
			switch item.(type) {
			case string, json.Number:
			default:
				return nil, invalid(noList)
			}
			not = append(not, exactly(item))
		}
		return not, nil
	case map[string]any:
		if len(v) != 1 {
			return nil, invalid("Only one key allowed in match expression")
		}
		for name, argument := range v {
			return compileAnythingButType(name, argument)
		}
	}
	return nil, invalid(noValue)
}

func compileAnythingButType(name string, argument any) (matcher, error) {
	list, isList := argument.([]any)
	if !isList {
		list = []any{argument}
	}
	if len(list) == 0 {
		return nil, invalid("Empty arrays are not allowed")
	}
	var not anythingBut
	for _, item := range list {
		m, err := compileAnythingButItem(name, item, isList)
		if err != nil {
			return nil, err
		}
		not = append(not, m)
	}
	return not, nil
}

func compileAnythingButItem(name string, item any, inList bool) (matcher, error) {
	s, ok := item.(string)
	switch name {
	case "prefix", "suffix":
		if !ok {
			return nil, invalid(noAffix)
		}
		if s == "" {
			return nil, invalid(nullEnds)
		}
		return affix{text: s, suffix: name == "suffix"}, nil
	case "equals-ignore-case", "wildcard":
		if !ok && inList {
			return nil, invalid("Inside anything-but/" + name + " list, number|start|null|boolean is not supported.")
		}
		if !ok {
			return nil, invalid(name + " match pattern must be a string")
		}
		if name == "wildcard" {
			return newWildcard(s)
		}
		return foldText(s), nil
	}
	return nil, invalid("Unsupported anything-but pattern: " + name)
}
