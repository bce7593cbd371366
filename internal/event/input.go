package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Transformer makes what a target gets out of parts of the event.
type Transformer struct {
	Paths    map[string]string `json:",omitempty"`
	Template string
}

// step is one part of a path: a member, an element, or every element.
type step struct {
	member  string
	element int // when member is ""
	every   bool
}

var errPath = errors.New("event: not a path")

// parsePath reads the part of JSONPath that EventBridge knows: $, .name, ['name'], [n], [*].
func parsePath(s string) ([]step, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return nil, errPath
	}
	var steps []step
	for rest != "" {
		var st step
		var err error
		if st, rest, err = parseStep(rest); err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func parseStep(s string) (st step, rest string, err error) {
	switch s[0] {
	case '.':
		end := strings.IndexAny(s[1:], ".[")
		if end < 0 {
			end = len(s) - 1
		}
		if end == 0 {
			return st, "", errPath
		}
		return step{member: s[1 : end+1]}, s[end+1:], nil
	case '[':
		inside, rest, ok := strings.Cut(s[1:], "]")
		if !ok {
			return st, "", errPath
		}
		if inside == "*" {
			return step{every: true}, rest, nil
		}
		if n := len(inside); n > 2 && (inside[0] == '\'' || inside[0] == '"') && inside[n-1] == inside[0] {
			return step{member: inside[1 : n-1]}, rest, nil
		}
		n, err := strconv.Atoi(inside)
		if err != nil || n < 0 {
			return st, "", errPath
		}
		return step{element: n}, rest, nil
	}
	return st, "", errPath
}

// follow finds the value at a path, as it is written in the event; nil when there is none.
func follow(raw json.RawMessage, steps []step) json.RawMessage {
	for i, st := range steps {
		if st.member != "" {
			var object map[string]json.RawMessage
			if json.Unmarshal(raw, &object) != nil {
				return nil
			}
			raw = object[st.member]
		} else {
			var array []json.RawMessage
			if json.Unmarshal(raw, &array) != nil {
				return nil
			}
			if st.every {
				return followEvery(array, steps[i+1:])
			}
			if st.element >= len(array) {
				return nil
			}
			raw = array[st.element]
		}
		if raw == nil {
			return nil
		}
	}
	return raw
}

func followEvery(array []json.RawMessage, steps []step) json.RawMessage {
	found := []json.RawMessage{}
	for _, element := range array {
		if value := follow(element, steps); value != nil {
			found = append(found, value)
		}
	}
	raw, err := compactJSON(found)
	if err != nil {
		return nil
	}
	return raw
}

// occasion is what reserved variables of templates tell.
type occasion struct {
	ruleARN, ruleName string
	ingested          time.Time
	raw               []byte
}

// reserved are the variables that every template has.
var reserved = map[string]func(*occasion) json.RawMessage{
	"aws.events.rule-arn":             func(o *occasion) json.RawMessage { return quoted(o.ruleARN) },
	"aws.events.rule-name":            func(o *occasion) json.RawMessage { return quoted(o.ruleName) },
	"aws.events.event.ingestion-time": func(o *occasion) json.RawMessage { return quoted(o.ingested.UTC().Format(eventTime)) },
	"aws.events.event.json":           func(o *occasion) json.RawMessage { return o.raw },
	"aws.events.event": func(o *occasion) json.RawMessage {
		var event map[string]json.RawMessage
		if json.Unmarshal(o.raw, &event) != nil {
			return nil
		}
		delete(event, "detail")
		raw, _ := compactJSON(event)
		return raw
	},
}

func quoted(s string) json.RawMessage {
	raw, _ := compactJSON(s)
	return raw
}

// input is what the target gets of an event.
func (t *RuleTarget) input(o *occasion) ([]byte, error) {
	switch {
	case t.Input != nil:
		return []byte(*t.Input), nil
	case t.InputPath != nil && *t.InputPath != "":
		steps, err := parsePath(*t.InputPath)
		if err != nil {
			return nil, err
		}
		if value := follow(o.raw, steps); value != nil {
			return value, nil
		}
		return []byte("null"), nil
	case t.Transformer != nil:
		return t.Transformer.transform(o)
	}
	return o.raw, nil
}

// Limits of transformers.
const (
	maxPaths    = 100
	maxTemplate = 8192
)

func (t *Transformer) check(id string) error {
	if len(t.Paths) > maxPaths || len(t.Template) > maxTemplate || t.Template == "" {
		return refuse(Invalid, "InputTransformer for target %s is invalid.", id)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Paths)) {
		if strings.HasPrefix(strings.ToLower(name), "aws.") {
			return refuse(Invalid, "InputPathsMap for target %s contains the reserved name %s.", id, name)
		}
		if _, err := parsePath(t.Paths[name]); err != nil {
			return refuse(Invalid, "InputPathsMap for target %s contains invalid JSON path %s.", id, t.Paths[name])
		}
	}
	unknown := ""
	probe, _ := fill(t.Template, 3*maxTemplate, func(name string) (json.RawMessage, bool) {
		if _, ok := t.Paths[name]; !ok && reserved[name] == nil {
			unknown = name
			return nil, false
		}
		return json.RawMessage(`""`), true
	})
	if unknown != "" {
		return refuse(Invalid, "InputTemplate for target %s contains placeholder %s which is not in InputPathsMap.", id, unknown)
	}
	if !json.Valid(probe) && !quotedLines(probe) {
		return refuse(Invalid, "Invalid InputTemplate for target %s : the template is neither JSON nor quoted strings.", id)
	}
	return nil
}

// quotedLines tells whether a template is several lines, each a string.
func quotedLines(template []byte) bool {
	for line := range bytes.Lines(template) {
		line = bytes.TrimSpace(line)
		var s string
		if len(line) > 0 && json.Unmarshal(line, &s) != nil {
			return false
		}
	}
	return true
}

func (t *Transformer) transform(o *occasion) ([]byte, error) {
	values := make(map[string]json.RawMessage, len(t.Paths))
	for name, path := range t.Paths {
		steps, err := parsePath(path)
		if err != nil {
			return nil, err
		}
		values[name] = follow(o.raw, steps)
	}
	return fill(t.Template, MaxEvent, func(name string) (json.RawMessage, bool) {
		if value, ok := values[name]; ok {
			return value, true
		}
		if make, ok := reserved[name]; ok {
			return make(o), true
		}
		return nil, false
	})
}

var errTooLong = errors.New("event: what the transformer makes of it is longer than an event may be")

// fill puts values in place of <name>. Outside of a string a value stands as JSON; inside, a string
// stands for itself and anything else as its JSON without quotation marks. What is not there is "". A
// template may name a large value many times: what grows beyond most bytes is not made.
func fill(template string, most int, value func(name string) (json.RawMessage, bool)) ([]byte, error) {
	var out []byte
	inString := false
	for i := 0; i < len(template); {
		switch c := template[i]; {
		case c == '\\' && inString && i+1 < len(template):
			out = append(out, template[i:i+2]...)
			i += 2
			continue
		case c == '"':
			inString = !inString
		case c == '<':
			if name, ok := placeholder(template[i:]); ok {
				if v, ok := value(name); ok {
					out = append(out, insert(v, inString)...)
					i += len(name) + 2
					if len(out) > most {
						return nil, errTooLong
					}
					continue
				}
			}
		}
		out = append(out, template[i])
		i++
	}
	if len(out) > most {
		return nil, errTooLong
	}
	return out, nil
}

// placeholder is the name in <name> at the beginning of s.
func placeholder(s string) (string, bool) {
	end := strings.IndexByte(s, '>')
	if end < 2 {
		return "", false
	}
	for _, c := range []byte(s[1:end]) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.') {
			return "", false
		}
	}
	return s[1:end], true
}

func insert(value json.RawMessage, inString bool) []byte {
	if !inString {
		if value == nil {
			return []byte(`""`)
		}
		return value
	}
	var s string
	switch {
	case value == nil:
		return nil
	case json.Unmarshal(value, &s) != nil:
		s = strings.ReplaceAll(string(value), `"`, "")
	case string(value) == "null":
		s = "null"
	}
	raw := quoted(s)
	return raw[1 : len(raw)-1]
}
