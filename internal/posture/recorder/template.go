package recorder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kura-s3/kura/internal/fault"
)

// The part of CloudFormation templates that conformance packs are written in: parameters, conditions of
// Fn::Equals, Fn::Not, Fn::And and Fn::Or, resources of AWS::Config::ConfigRule, Ref and Fn::If in values.
// Whatever else stands in a template is refused.

func badTemplate(format string, args ...any) error {
	return fault.New(InvalidTemplate, "Template validation error: "+fmt.Sprintf(format, args...))
}

type template struct {
	Version     string `json:"AWSTemplateFormatVersion"`
	Description string
	Metadata    json.RawMessage
	Parameters  map[string]struct {
		Type, Description     string
		Default               any
		AllowedValues         []any
		AllowedPattern        string
		MinLength             any
		MaxLength             any
		MinValue              any
		MaxValue              any
		NoEcho                any
		ConstraintDescription string
	}
	Conditions map[string]any
	Resources  map[string]struct {
		Type       string
		Condition  string
		DependsOn  any
		Properties any
	}
}

type properties struct {
	ConfigRuleName, Description string
	InputParameters             map[string]any
	Scope                       *struct {
		ComplianceResourceTypes []string
		ComplianceResourceId    string
		TagKey, TagValue        string
	}
	Source struct {
		Owner, SourceIdentifier string
	}
	MaximumExecutionFrequency string
	Tags                      any
}

// expand gives the rules that a template describes under the given parameters.
func expand(text string, given map[string]string) ([]Rule, error) {
	if text == "" || len(text) > maxTemplate {
		return nil, badTemplate("the template has %d bytes; 1 to %d are allowed", len(text), maxTemplate)
	}
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		return nil, badTemplate("%v", err)
	}
	tree, err := plain(&node, 0)
	if err != nil {
		return nil, err
	}
	var t template
	if err := reread(tree, &t); err != nil {
		return nil, badTemplate("%v", err)
	}
	e := &expansion{template: &t, values: map[string]string{}}
	for name, p := range t.Parameters {
		value, ok := given[name]
		switch {
		case ok:
			e.values[name] = value
		case p.Default != nil:
			e.values[name] = fmt.Sprint(p.Default)
		default:
			return nil, badTemplate("the parameter %s has no value", name)
		}
	}
	for name := range given {
		if _, ok := t.Parameters[name]; !ok {
			return nil, badTemplate("the template has no parameter %s", name)
		}
	}
	return e.rules()
}

// plain turns YAML, which JSON is a part of, into maps, lists and scalars, short tags into functions.
// Anchors are refused: a small text may stand for a very large tree.
func plain(n *yaml.Node, depth int) (any, error) {
	if depth > 20 {
		return nil, badTemplate("the template is nested too deeply")
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return nil, badTemplate("line %d: anchors are not allowed", n.Line)
	}
	value, err := plainValue(n, depth)
	if err != nil || !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
		return value, err
	}
	name := strings.TrimPrefix(n.Tag, "!")
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	return map[string]any{name: value}, nil
}

func plainValue(n *yaml.Node, depth int) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		return plain(n.Content[0], depth+1)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if _, twice := m[name]; twice {
				return nil, badTemplate("line %d: %s stands twice", n.Line, name)
			}
			v, err := plain(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			m[name] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := plain(c, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.ScalarNode:
		return n.Value, nil
	}
	return nil, badTemplate("the template is empty")
}

// reread puts a tree into a struct and refuses what the struct does not have.
func reread(tree, to any) error {
	raw, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

type expansion struct {
	template *template
	values   map[string]string
	steps    int
}

func (e *expansion) rules() ([]Rule, error) {
	if len(e.template.Resources) == 0 || len(e.template.Resources) > maxPackRules {
		return nil, badTemplate("a template has 1 to %d resources", maxPackRules)
	}
	var rules []Rule
	for name, resource := range e.template.Resources {
		if resource.Type != "AWS::Config::ConfigRule" {
			return nil, badTemplate("the resource %s is of type %s; a conformance pack has resources of AWS::Config::ConfigRule", name, resource.Type)
		}
		if resource.Condition != "" {
			holds, err := e.condition(resource.Condition)
			if err != nil {
				return nil, err
			}
			if !holds {
				continue
			}
		}
		r, err := e.rule(name, resource.Properties)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (e *expansion) rule(name string, tree any) (Rule, error) {
	value, _, err := e.value(tree)
	if err != nil {
		return Rule{}, err
	}
	var p properties
	if err := reread(value, &p); err != nil {
		return Rule{}, badTemplate("the resource %s: %v", name, err)
	}
	if p.Source.Owner != "AWS" {
		return Rule{}, badTemplate("the resource %s: the owner of its source is %q; Kura has rules of AWS", name, p.Source.Owner)
	}
	r := Rule{Name: p.ConfigRuleName, Description: p.Description, Identifier: p.Source.SourceIdentifier, Frequency: p.MaximumExecutionFrequency}
	if r.Name == "" {
		r.Name = name
	}
	if p.Scope != nil {
		r.Scope = &Scope{p.Scope.ComplianceResourceTypes, p.Scope.TagKey, p.Scope.TagValue, p.Scope.ComplianceResourceId}
	}
	if len(p.InputParameters) > 0 {
		raw, err := json.Marshal(p.InputParameters)
		if err != nil {
			return Rule{}, err
		}
		r.Input = string(raw)
	}
	return r, nil
}

// value works out the functions in a tree. ok is false for AWS::NoValue.
func (e *expansion) value(tree any) (v any, ok bool, err error) {
	switch t := tree.(type) {
	case map[string]any:
		if len(t) == 1 {
			for name, arg := range t {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					return e.function(name, arg)
				}
			}
		}
		out := map[string]any{}
		for name, item := range t {
			v, ok, err := e.value(item)
			if err != nil {
				return nil, false, err
			}
			if ok {
				out[name] = v
			}
		}
		return out, true, nil
	case []any:
		out := make([]any, 0, len(t))
		for _, item := range t {
			v, ok, err := e.value(item)
			if err != nil {
				return nil, false, err
			}
			if ok {
				out = append(out, v)
			}
		}
		return out, true, nil
	}
	return tree, true, nil
}

func (e *expansion) function(name string, arg any) (any, bool, error) {
	switch name {
	case "Ref":
		ref, _ := arg.(string)
		if ref == "AWS::NoValue" {
			return nil, false, nil
		}
		if v, ok := e.values[ref]; ok {
			return v, true, nil
		}
		return nil, false, badTemplate("Ref to %v, which is no parameter", arg)
	case "Fn::If":
		args, _ := arg.([]any)
		if len(args) != 3 {
			return nil, false, badTemplate("Fn::If takes a condition and two values")
		}
		condition, _ := args[0].(string)
		holds, err := e.condition(condition)
		if err != nil {
			return nil, false, err
		}
		if holds {
			return e.value(args[1])
		}
		return e.value(args[2])
	}
	return nil, false, badTemplate("the function %s is not supported", name)
}

func (e *expansion) condition(name string) (bool, error) {
	tree, ok := e.template.Conditions[name]
	if !ok {
		return false, badTemplate("there is no condition %s", name)
	}
	return e.holds(tree)
}

// holds decides a condition. Conditions may name each other; the steps are bounded, so that they cannot
// do so for ever.
func (e *expansion) holds(tree any) (bool, error) {
	if e.steps++; e.steps > 10000 {
		return false, badTemplate("the conditions do not end")
	}
	m, _ := tree.(map[string]any)
	for name, arg := range m {
		args, _ := arg.([]any)
		switch {
		case len(m) != 1:
		case name == "Condition":
			other, _ := arg.(string)
			return e.condition(other)
		case name == "Fn::Equals" && len(args) == 2:
			a, _, err := e.value(args[0])
			if err != nil {
				return false, err
			}
			b, _, err := e.value(args[1])
			return fmt.Sprint(a) == fmt.Sprint(b), err
		case name == "Fn::Not" && len(args) == 1:
			v, err := e.holds(args[0])
			return !v, err
		case name == "Fn::And" || name == "Fn::Or":
			return e.several(args, name == "Fn::And")
		}
	}
	return false, badTemplate("a condition is one of Fn::Equals, Fn::Not, Fn::And, Fn::Or and Condition")
}

func (e *expansion) several(args []any, all bool) (bool, error) {
	for _, arg := range args {
		v, err := e.holds(arg)
		if err != nil || v != all {
			return v, err
		}
	}
	return all, nil
}
