package wire

import (
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Limits of a query protocol request.
const (
	maxQueryParameters = 10_000
	maxQueryDepth      = 32
)

// paramNode is one step of the parameters' dotted names: Tags → member → 1 → Key.
type paramNode struct {
	value    string
	given    bool
	children map[string]*paramNode
}

// decodeQuery reads the parameters of a form body, or of the URL where there is no body.
func decodeQuery(op *Operation, req *Request, v reflect.Value) error {
	form := req.Query
	if len(req.Body) > 0 {
		if n := strings.Count(string(req.Body), "&"); n >= maxQueryParameters {
			return &Error{Kind: TooLarge, Detail: "too many parameters"}
		}
		body, err := url.ParseQuery(string(req.Body))
		if err != nil {
			return &Error{Kind: Malformed, Detail: "body is not a form"}
		}
		form = body
	}
	root, err := paramTree(form)
	if err != nil {
		return err
	}
	r := queryReader{m: op.Model}
	return r.structure(op.input(), root, v)
}

// paramTree makes a tree of the parameters that are the operation's own.
func paramTree(form url.Values) (*paramNode, error) {
	if len(form) > maxQueryParameters {
		return nil, &Error{Kind: TooLarge, Detail: "too many parameters"}
	}
	root := &paramNode{}
	for name, values := range form {
		if isFrameParameter(name) {
			continue
		}
		if len(values) > 1 {
			return nil, &Error{Kind: Duplicate, Member: name, Detail: "given twice"}
		}
		n := root
		for depth, rest, more := 0, name, true; more; depth++ {
			if depth == maxQueryDepth {
				return nil, &Error{Kind: TooLarge, Member: shown(&Shape{}, name), Detail: "nested too deeply"}
			}
			var step string
			step, rest, more = strings.Cut(rest, ".")
			n = n.child(step)
		}
		n.value, n.given = values[0], true
	}
	return root, nil
}

func (n *paramNode) child(name string) *paramNode {
	c := n.children[name]
	if c == nil {
		if n.children == nil {
			n.children = map[string]*paramNode{}
		}
		c = &paramNode{}
		n.children[name] = c
	}
	return c
}

// isFrameParameter recognizes what belongs to the protocol and to the signature.
func isFrameParameter(name string) bool {
	return name == "Action" || name == "Version" || len(name) > 6 && strings.EqualFold(name[:6], "X-Amz-")
}

// queryReader fills structs from a tree of parameters.
type queryReader struct{ m *Model }

func (r queryReader) structure(sh *Shape, n *paramNode, v reflect.Value) error {
	if n.given {
		return &Error{Kind: Malformed, Detail: "a value where members are expected"}
	}
	used := 0
	for i := range sh.Members {
		m := &sh.Members[i]
		c := r.memberNode(m, n)
		if c == nil {
			continue
		}
		used++
		if err := r.value(m, &r.m.Shapes[m.Shape], c, v.Field(i)); err != nil {
			return within(m.Wire, err)
		}
	}
	if used == len(n.children) {
		return nil
	}
	for _, name := range n.names() {
		if !slices.ContainsFunc(sh.Members, func(m Member) bool { return r.memberName(&m) == name }) {
			return &Error{Kind: UnknownField, Member: shown(&Shape{}, name), Detail: "unknown parameter"}
		}
	}
	return nil
}

func (n *paramNode) names() []string {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r queryReader) memberNode(m *Member, n *paramNode) *paramNode {
	return n.children[r.memberName(m)]
}

// memberName is the parameter of a member: a flattened list goes by the name of its elements.
func (r queryReader) memberName(m *Member) string {
	sh := &r.m.Shapes[m.Shape]
	if sh.Kind == List && (m.Flattened || sh.Flattened) && sh.ElemName != "" {
		return sh.ElemName
	}
	return m.Wire
}

func (r queryReader) value(m *Member, sh *Shape, n *paramNode, v reflect.Value) error {
	flat := sh.Flattened || m != nil && m.Flattened
	switch sh.Kind {
	case Structure:
		return r.structure(sh, n, target(v))
	case List:
		return r.list(sh, flat, n, v)
	case Map:
		return r.mapping(sh, flat, n, v)
	}
	if len(n.children) > 0 {
		return &Error{Kind: UnknownField, Member: n.names()[0], Detail: "members of a plain value"}
	}
	return setScalar(sh, v, n.value, formatOf(m, sh, ISO8601))
}

func (r queryReader) list(sh *Shape, flat bool, n *paramNode, v reflect.Value) error {
	items, err := n.entries(flat, or(sh.ElemName, "member"))
	if err != nil {
		return err
	}
	elem := &r.m.Shapes[sh.Elem]
	v.Set(reflect.MakeSlice(v.Type(), 0, len(items)))
	for i, item := range items {
		if err := r.value(nil, elem, item, grow(v)); err != nil {
			return within(strconv.Itoa(i+1), err)
		}
	}
	return nil
}

func (r queryReader) mapping(sh *Shape, flat bool, n *paramNode, v reflect.Value) error {
	items, err := n.entries(flat, "entry")
	if err != nil {
		return err
	}
	key, elem := &r.m.Shapes[sh.Key], &r.m.Shapes[sh.Elem]
	v.Set(reflect.MakeMap(v.Type()))
	for _, item := range items {
		k, x := item.children[or(sh.KeyName, "key")], item.children[or(sh.ElemName, "value")]
		if k == nil || x == nil || len(item.children) != 2 || item.given {
			return &Error{Kind: Malformed, Detail: "map entry without key or value"}
		}
		var name string
		if err := r.value(nil, key, k, reflect.ValueOf(&name).Elem()); err != nil {
			return err
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(nil, elem, x, e); err != nil {
			return err
		}
		if err := putEntry(v, name, e); err != nil {
			return err
		}
	}
	return nil
}

// entries gives the numbered children of a list or map in their order, which must be 1, 2, 3, ….
// An empty value stands for an empty list: that is how SDKs spell it.
func (n *paramNode) entries(flat bool, wrapper string) ([]*paramNode, error) {
	if n.given && (n.value != "" || len(n.children) > 0) {
		return nil, &Error{Kind: Malformed, Detail: "a value where a list is expected"}
	}
	if !flat && len(n.children) > 0 {
		w := n.children[wrapper]
		if w == nil || len(n.children) > 1 || w.given {
			return nil, &Error{Kind: UnknownField, Member: n.names()[0], Detail: "unknown parameter"}
		}
		n = w
	}
	items := make([]*paramNode, len(n.children))
	for name, c := range n.children {
		i, err := strconv.Atoi(name)
		if err != nil || i < 1 || i > len(items) || strconv.Itoa(i) != name {
			return nil, &Error{Kind: Malformed, Member: shown(&Shape{}, name), Detail: "entries are not numbered 1, 2, 3, …"}
		}
		items[i-1] = c
	}
	return items, nil
}

// encodeQuery writes <OpResponse><OpResult>…</OpResult><ResponseMetadata>….
func encodeQuery(op *Operation, v reflect.Value, requestID string) []byte {
	return writeDocument(func(b []byte) []byte {
		root := op.Name + "Response"
		b = openRoot(b, root, op.Namespace)
		if op.ResultWrapper != "" {
			b = openTag(b, op.ResultWrapper)
			b = xmlWriter{m: op.Model, times: ISO8601}.members(b, op.output(), v)
			b = closeTag(b, op.ResultWrapper)
		}
		b = openTag(b, "ResponseMetadata")
		b = textElement(b, "RequestId", requestID)
		b = closeTag(b, "ResponseMetadata")
		return closeTag(b, root)
	})
}
