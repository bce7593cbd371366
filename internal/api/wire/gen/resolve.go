package main

import (
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// service is a package to be written: everything decided, nothing yet spelled.
type service struct {
	*wanted
	model      *model
	operations []*resolvedOperation
	types      []*resolvedShape
	names      map[string]string // exported identifier → what has it
	byShape    map[string]*resolvedShape
}

type resolvedOperation struct {
	name          string
	op            *operation
	status        int
	inRoot, root  string
	in, out       *resolvedShape
	inputStreams  bool
	outputStreams bool
}

type resolvedShape struct {
	id, name, goType string // id is the constant that places the shape in the table
	kind             string // as in package wire
	goValue          string // Go type of an element; members have a pointer where isPointer
	shape            *shape
	members          []resolvedMember
	key, elem        *resolvedShape
	goPattern        string
	body             bool // an operation's input or output
}

type resolvedMember struct {
	name, goName, wire, place, format string
	shape                             *resolvedShape
	required, flattened               bool
}

// kinds are the model's types as package wire calls them, and the Go type of plain ones.
var kinds = map[string][2]string{
	"string": {"String", "string"}, "character": {"String", "string"}, "boolean": {"Boolean", "bool"},
	"integer": {"Integer", "int32"}, "long": {"Long", "int64"}, "double": {"Double", "float64"},
	"float": {"Double", "float64"}, "timestamp": {"Timestamp", "time.Time"}, "blob": {"Blob", "[]byte"},
	"list": {"List", ""}, "map": {"Map", ""}, "structure": {"Structure", ""},
}

func resolve(m *model, w *wanted) (*service, error) {
	s := &service{wanted: w, model: m, byShape: map[string]*resolvedShape{},
		names: map[string]string{"Operations": "the table", "Errors": "the table"}}
	for name := range w.Operations {
		if m.Operations[name] == nil {
			return nil, fmt.Errorf("%s has no operation %s", w.Service, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
		if !w.has(name) {
			continue
		}
		o, err := s.operation(name, m.Operations[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.operations = append(s.operations, o)
	}
	slices.SortFunc(s.types, func(a, b *resolvedShape) int { return strings.Compare(a.id, b.id) })
	return s, nil
}

// claim takes an exported identifier.
func (s *service) claim(name, what string) error {
	if other, taken := s.names[name]; taken {
		return fmt.Errorf("name %s is that of %s and of %s", name, other, what)
	}
	s.names[name] = what
	return nil
}

func (s *service) operation(name string, op *operation) (*resolvedOperation, error) {
	if err := s.claim(name, "operation "+name); err != nil {
		return nil, err
	}
	o := &resolvedOperation{name: name, op: op, status: op.HTTP.ResponseCode}
	if o.status == 0 {
		o.status = 200
	}
	if code := s.Status[name]; code != "" {
		n, err := strconv.Atoi(code)
		if err != nil {
			return nil, err
		}
		o.status = n
	}
	var err error
	if o.in, o.inputStreams, err = s.body(name+"Input", op.Input); err != nil {
		return nil, err
	}
	if o.out, o.outputStreams, err = s.body(name+"Output", op.Output); err != nil {
		return nil, err
	}
	if op.Input != nil {
		o.inRoot = op.Input.LocationName
	}
	if o.root = s.Root[name]; o.root == "" && op.Output != nil {
		o.root = op.Output.Shape
	}
	return o, nil
}

// body makes the struct of an input or output. It is the operation's own even where the model
// shares a shape, so that its name can be told from the operation's.
func (s *service) body(goType string, r *ref) (*resolvedShape, bool, error) {
	rs := &resolvedShape{id: "id" + goType, name: goType, goType: goType, goValue: goType, kind: "Structure", body: true, shape: &shape{Type: "structure"}}
	if err := s.claim(goType, "operation's body"); err != nil {
		return nil, false, err
	}
	s.types = append(s.types, rs)
	if r == nil {
		return rs, false, nil
	}
	rs.shape, rs.name = s.model.Shapes[r.Shape], r.Shape
	streams, err := s.members(rs)
	return rs, streams, err
}

// members resolves the members of a structure but for streams, of which it tells.
func (s *service) members(rs *resolvedShape) (streams bool, err error) {
	for _, r := range rs.shape.Members {
		target := s.model.Shapes[r.Shape]
		if target == nil {
			return false, fmt.Errorf("no shape %s", r.Shape)
		}
		if r.Streaming || target.Streaming || target.EventStream {
			streams = true
			continue
		}
		to, err := s.resolve(r.Shape)
		if err != nil {
			return false, err
		}
		m := resolvedMember{
			name: r.Name, goName: exported(r.Name), wire: r.LocationName, shape: to, flattened: r.Flattened,
			format: s.timeFormat(r.TimestampFormat), required: slices.Contains(rs.shape.Required, r.Name),
		}
		if m.wire == "" {
			m.wire = r.Name
		}
		m.place = place(r, r.Name == rs.shape.Payload)
		if m.place == "InHeader" || m.place == "InHeaders" {
			m.wire = textproto.CanonicalMIMEHeaderKey(m.wire)
		}
		if to.kind == "List" && (m.flattened || to.shape.Flattened) && to.shape.Member.LocationName != "" && s.restXML() && m.place == "" {
			m.wire = to.shape.Member.LocationName
		}
		rs.members = append(rs.members, m)
	}
	return streams, nil
}

func (s *service) restXML() bool { return s.model.Metadata.Protocol == "rest-xml" }

// xml tells whether answers are XML.
func (s *service) xml() bool { return s.restXML() || s.model.Metadata.Protocol == "query" }

// place is the constant of package wire for where a member travels, "" for the body.
func place(r namedRef, payload bool) string {
	switch {
	case payload:
		return "InPayload"
	case r.XMLAttribute:
		return "InAttribute"
	}
	return map[string]string{
		"uri": "InPath", "querystring": "InQuery", "header": "InHeader", "headers": "InHeaders", "statusCode": "InStatus",
	}[r.Location]
}

// resolve gives the shape of that name, with all that it refers to.
func (s *service) resolve(name string) (*resolvedShape, error) {
	if rs := s.byShape[name]; rs != nil {
		return rs, nil
	}
	sh := s.model.Shapes[name]
	if sh == nil {
		return nil, fmt.Errorf("no shape %s", name)
	}
	k, ok := kinds[sh.Type]
	if !ok {
		return nil, fmt.Errorf("shape %s is a %s", name, sh.Type)
	}
	rs := &resolvedShape{id: "id" + exported(name), name: name, kind: k[0], goValue: k[1], shape: sh, goPattern: goPattern(sh.Pattern)}
	if _, both := s.model.Shapes[strings.ToUpper(name[:1])+name[1:]]; both && exported(name) != name {
		rs.id = "id_" + name // userNameType beside UserNameType
	}
	s.byShape[name] = rs
	s.types = append(s.types, rs)
	return rs, s.fill(rs)
}

func (s *service) fill(rs *resolvedShape) (err error) {
	sh := rs.shape
	switch {
	case rs.kind == "String" && len(sh.Enum) > 0:
		rs.kind = "Enum"
		return s.named(rs)
	case rs.kind == "Structure":
		if err := s.named(rs); err != nil {
			return err
		}
		_, err = s.members(rs)
		return err
	case rs.kind == "List":
		if rs.elem, err = s.resolve(sh.Member.Shape); err == nil {
			rs.goValue = "[]" + rs.elem.goValue
		}
		return err
	case rs.kind == "Map":
		if rs.key, err = s.resolve(sh.Key.Shape); err != nil {
			return err
		}
		if rs.elem, err = s.resolve(sh.Value.Shape); err == nil {
			rs.goValue = "map[string]" + rs.elem.goValue
		}
	}
	return err
}

// named gives a structure or enum its Go type.
func (s *service) named(rs *resolvedShape) error {
	rs.goType = exported(rs.name)
	if other := s.Rename[rs.name]; other != "" {
		rs.goType = other
	}
	rs.goValue = rs.goType
	return s.claim(rs.goType, "shape "+rs.name)
}

func (s *service) timeFormat(f string) string {
	if f == "iso8601" && s.restXML() {
		return "ISO8601Millis"
	}
	return map[string]string{"iso8601": "ISO8601", "rfc822": "RFC822", "unixTimestamp": "UnixSeconds"}[f]
}
