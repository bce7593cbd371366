// Package pattern is EventBridge's event pattern language: Compile reads a pattern once, Matches says
// of an event whether it is meant, and costs no more than the fields that the pattern names.
//
// Promises: what AWS refuses is refused, with AWS's reason; a pattern that is accepted is matched in
// time linear in the event for each field of the pattern, whatever the wildcards.
package pattern

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/fault"
)

// Invalid says that a pattern is not one; the message tells why, in AWS's words.
const Invalid fault.Kind = "event.InvalidEventPattern"

// Limits of patterns.
const (
	maxDepth        = 100  // levels of objects
	maxCombinations = 1000 // of the alternatives of all $or
)

// Pattern is a compiled pattern. Immutable.
type Pattern struct {
	root  *object
	exact []exact
}

// object is a pattern's object: all fields must match, and one alternative of each $or.
type object struct {
	fields []field
	ors    [][]*object
}

// field is one member: either an object or a leaf.
type field struct {
	name   string
	object *object
	leaf   []matcher
}

func invalid(reason string) error {
	return fault.New(Invalid, "Event pattern is not valid. Reason: "+reason)
}

// Compile reads a pattern.
func Compile(source []byte) (*Pattern, error) {
	value, err := decode(source)
	if err != nil {
		return nil, invalid(err.Error())
	}
	root, ok := value.(map[string]any)
	if !ok {
		return nil, invalid("Filter is not an object")
	}
	if len(root) == 0 {
		return nil, invalid("Empty objects are not allowed")
	}
	c := compiler{combinations: 1}
	o, err := c.object(root, 0)
	if err != nil {
		return nil, err
	}
	return &Pattern{root: o, exact: exacts(o, "")}, nil
}

// exact is a field of which a pattern names all values that match.
type exact struct {
	path   string
	values []string
}

// Excludes tells whether the pattern cannot match an event of which some fields are known, by their paths
// ("detail.state"). It asks without the event being made: false promises nothing.
func (p *Pattern) Excludes(known map[string]string) bool {
	for i := range p.exact {
		e := &p.exact[i]
		if v, ok := known[e.path]; ok && !slices.Contains(e.values, v) {
			return true
		}
	}
	return false
}

// exacts are the exact fields of o, whose paths begin with prefix. Alternatives are not looked at.
func exacts(o *object, prefix string) []exact {
	var all []exact
	for i := range o.fields {
		f := &o.fields[i]
		if f.object != nil {
			all = append(all, exacts(f.object, prefix+f.name+".")...)
			continue
		}
		e := exact{path: prefix + f.name}
		for _, m := range f.leaf {
			text, ok := m.(exactText)
			if !ok {
				e.values = nil
				break
			}
			e.values = append(e.values, string(text))
		}
		if e.values != nil {
			all = append(all, e)
		}
	}
	return all
}

// Matches tells whether the pattern means an event, as Decode gives it.
func (p *Pattern) Matches(event map[string]any) bool { return p.root.matches(event, true) }

// Decode reads an event, or a part of one, for Matches: numbers keep their text, and a name with
// dots is the path that it spells.
func Decode(source []byte) (any, error) {
	value, err := decode(source)
	if err != nil {
		return nil, err
	}
	return spell(value), nil
}

var errTrailing = errors.New("unexpected text after the value")

func decode(source []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(source))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errTrailing
	}
	return value, nil
}

// spell replaces members whose names have dots by the path that they spell.
func spell(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = spell(v[i])
		}
	case map[string]any:
		var dotted []string
		for name, member := range v {
			v[name] = spell(member)
			if strings.Contains(name, ".") {
				dotted = append(dotted, name)
			}
		}
		for _, name := range dotted {
			member := v[name]
			delete(v, name)
			graft(v, strings.Split(name, "."), member)
		}
	}
	return value
}

// graft puts value at path below into. Where there is something already both count.
func graft(into map[string]any, path []string, value any) {
	name := path[0]
	old, exists := into[name]
	if len(path) > 1 {
		branch, ok := old.(map[string]any)
		if !ok {
			branch = map[string]any{}
			if exists {
				into[name] = []any{old, branch}
			} else {
				into[name] = branch
			}
		}
		graft(branch, path[1:], value)
		return
	}
	if exists {
		value = []any{old, value}
	}
	into[name] = value
}
