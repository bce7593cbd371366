package sns

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/kura-s3/kura/internal/fault"
)

// The scopes of filter policies.
const (
	ScopeAttributes = "MessageAttributes"
	ScopeBody       = "MessageBody"
)

// Limits of filter policies ("Filter policy constraints").
const (
	maxFilter       = 150 << 10
	maxFilterKeys   = 5
	maxCombinations = 150
	maxFilters      = 200 // of a topic
)

// filter is a subscription's filter policy, ready to be used.
type filter struct {
	filter Filter
	body   bool
}

// readFilter compiles a filter policy; nil for one that lets everything through.
func (s *Store) readFilter(text, scope string) (*filter, error) {
	if scope != "" && scope != ScopeAttributes && scope != ScopeBody {
		return nil, invalid("FilterPolicyScope: Invalid value [%s]. Please use either MessageBody or MessageAttributes", scope)
	}
	if text == "" {
		return nil, nil
	}
	if len(text) > maxFilter {
		return nil, invalid("FilterPolicy: Filter policy is too large")
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil || members == nil {
		return nil, invalid("FilterPolicy: failed to parse JSON.")
	}
	if len(members) == 0 {
		return nil, nil
	}
	body := scope == ScopeBody
	keys, combinations := weigh(members, 1)
	switch {
	case keys > maxFilterKeys:
		return nil, invalid("FilterPolicy: Filter policy can not have more than %d keys", maxFilterKeys)
	case combinations > maxCombinations:
		return nil, invalid("FilterPolicy: Filter policy is too complex")
	case !body && nested(members):
		return nil, invalid("FilterPolicy: Filter policy scope MessageAttributes does not support nested filter policy")
	}
	compiled, err := s.filters.Compile([]byte(text))
	if err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			_, reason, _ := strings.Cut(f.Message, "Reason: ")
			return nil, invalid("FilterPolicy: %s", reason)
		}
		return nil, err
	}
	return &filter{compiled, body}, nil
}

// weigh counts the keys that have values, and the combinations of values that they allow, each level of
// nesting counting once more.
func weigh(members map[string]any, depth int) (keys, combinations int) {
	combinations = 1
	for _, member := range members {
		switch v := member.(type) {
		case map[string]any:
			k, c := weigh(v, depth+1)
			keys += k
			combinations *= max(c, 1)
		case []any:
			n := 0
			for _, alternative := range v {
				if o, ok := alternative.(map[string]any); ok && hasLeaf(o) { // of $or
					k, c := weigh(o, depth)
					keys += k
					n += max(c, 1)
					continue
				}
				n++
			}
			if !alternatives(v) {
				keys++
				n *= depth
			}
			combinations *= max(n, 1)
		}
		if combinations > maxCombinations {
			return keys, combinations
		}
	}
	return keys, combinations
}

// hasLeaf tells an object with fields of its own from an operator.
func hasLeaf(o map[string]any) bool {
	for name, v := range o {
		switch name {
		case "anything-but", "prefix", "suffix", "numeric", "exists", "cidr", "equals-ignore-case", "wildcard":
			return false
		}
		switch v.(type) {
		case []any, map[string]any:
			return true
		}
	}
	return false
}

func alternatives(v []any) bool {
	for _, a := range v {
		if o, ok := a.(map[string]any); !ok || !hasLeaf(o) {
			return false
		}
	}
	return len(v) > 0
}

func nested(members map[string]any) bool {
	for _, member := range members {
		if _, ok := member.(map[string]any); ok {
			return true
		}
	}
	return false
}

// accepts tells whether the filter lets a message through; document is of the attributes, body of the
// message, nil where it is no object.
func (f *filter) accepts(attributes, body map[string]any) bool {
	switch {
	case f == nil:
		return true
	case f.body:
		return body != nil && f.filter.Matches(body)
	}
	return f.filter.Matches(attributes)
}

// documents are what filters are held against.
func (s *Store) documents(m *Message) (attributes, body map[string]any) {
	attributes, body = map[string]any{}, nil
	members := map[string]json.RawMessage{}
	for name, a := range m.Attributes {
		if raw := a.matched(); raw != nil {
			members[name] = raw
		}
	}
	if raw, err := json.Marshal(members); err == nil {
		if v, err := s.filters.Decode(raw); err == nil {
			attributes = v.(map[string]any)
		}
	}
	if v, err := s.filters.Decode([]byte(m.Body)); err == nil {
		body, _ = v.(map[string]any)
	}
	return attributes, body
}

// matched is what a filter sees of an attribute; nil: nothing.
func (a *Attribute) matched() json.RawMessage {
	kind, _, _ := strings.Cut(a.Type, ".")
	switch {
	case a.Type == "String.Array":
		if json.Valid([]byte(a.String)) {
			return json.RawMessage(a.String)
		}
	case kind == "Number":
		if json.Valid([]byte(a.String)) {
			return json.RawMessage(a.String)
		}
	case kind == "String":
		if raw, err := json.Marshal(a.String); err == nil {
			return raw
		}
	}
	return nil
}
