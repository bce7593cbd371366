package wire

import (
	"bytes"
	"reflect"
)

// xmlReader fills structs from an XML document.
type xmlReader struct {
	m *Model
	s *xmlScanner
}

// decodeXML reads a document whose root is called root (any, if root is empty) into v.
func decodeXML(m *Model, sh *Shape, root string, body []byte, v reflect.Value) error {
	s, err := newXMLScanner(body)
	if err != nil {
		return err
	}
	r := xmlReader{m: m, s: s}
	if _, err := s.next(); err != nil {
		return err
	}
	if root != "" && string(s.local) != root {
		return s.malformed("root element is not " + root)
	}
	if err := r.structure(sh, v); err != nil {
		if e, ok := err.(*Error); ok && e.Line == 0 {
			e.Line = lineAt(s.src, s.pos)
		}
		return err
	}
	_, err = s.next()
	return err
}

// structure reads attributes and children of the element that has just been opened.
func (r *xmlReader) structure(sh *Shape, v reflect.Value) error {
	if err := r.attributes(sh, v); err != nil {
		return err
	}
	hint := 0
	for {
		more, err := r.child()
		if err != nil {
			return err
		}
		if !more {
			return complete(sh, v)
		}
		i := sh.memberBytes(r.s.local, hint)
		if i < 0 {
			return &Error{Kind: UnknownField, Member: string(r.s.local), Detail: "unknown element"}
		}
		hint = i + 1
		if err := r.member(&sh.Members[i], v.Field(i)); err != nil {
			return within(sh.Members[i].Wire, err)
		}
	}
}

// complete refuses a structure that lacks what the model requires of it.
func complete(sh *Shape, v reflect.Value) error {
	for i := range sh.Members {
		m := &sh.Members[i]
		if !m.Required || m.In != InBody && m.In != InAttribute {
			continue
		}
		if _, given := present(v.Field(i)); !given {
			return &Error{Kind: MissingElement, Member: m.Wire, Detail: "required"}
		}
	}
	return nil
}

// child moves to the next child element; false at the end of the element.
func (r *xmlReader) child() (bool, error) {
	for {
		tok, err := r.s.next()
		switch {
		case err != nil:
			return false, err
		case tok == xmlStart:
			return true, nil
		case tok == xmlEnd:
			return false, nil
		case tok == xmlText && len(bytes.Trim(r.s.text, " \t\r\n")) > 0:
			return false, r.s.malformed("text where elements are expected")
		}
	}
}

// attributes takes the attributes that the shape knows and the declarations of namespaces.
func (r *xmlReader) attributes(sh *Shape, v reflect.Value) error {
	for _, a := range r.s.attrs {
		if string(a.local) == "xmlns" && len(a.prefix) == 0 || string(a.prefix) == "xmlns" {
			continue
		}
		i := sh.attribute(a)
		if i < 0 {
			return &Error{Kind: UnknownField, Member: string(a.local), Detail: "unknown attribute"}
		}
		m := &sh.Members[i]
		if err := r.scalarText(m, &r.m.Shapes[m.Shape], v.Field(i), a.value); err != nil {
			return within(m.Wire, err)
		}
	}
	return nil
}

// attribute finds the member of an attribute by its local name: the prefix is the client's choice.
func (s *Shape) attribute(a xmlAttr) int {
	for i := range s.Members {
		if s.Members[i].In != InAttribute {
			continue
		}
		_, local, found := bytes.Cut([]byte(s.Members[i].Wire), []byte{':'})
		if found && bytes.Equal(local, a.local) && len(a.prefix) > 0 {
			return i
		}
	}
	return -1
}

// member reads the element that has just been opened into a member.
func (r *xmlReader) member(m *Member, v reflect.Value) error {
	sh := &r.m.Shapes[m.Shape]
	flat := m.Flattened || sh.Flattened
	if !(flat && (sh.Kind == List || sh.Kind == Map)) {
		if _, given := present(v); given {
			return &Error{Kind: Duplicate, Detail: "given twice"}
		}
		return r.value(m, sh, v)
	}
	if sh.Kind == Map {
		return r.entry(sh, v)
	}
	return r.element(sh, v)
}

// value reads the open element as a value of shape sh.
func (r *xmlReader) value(m *Member, sh *Shape, v reflect.Value) error {
	switch sh.Kind {
	case Structure:
		return r.structure(sh, target(v))
	case List:
		return r.list(sh, v)
	case Map:
		return r.mapping(sh, v)
	}
	return r.scalar(m, sh, v)
}

func (r *xmlReader) list(sh *Shape, v reflect.Value) error {
	if err := r.attributes(sh, v); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	name := or(sh.ElemName, "member")
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		if string(r.s.local) != name {
			return &Error{Kind: UnknownField, Member: string(r.s.local), Detail: "unknown element"}
		}
		if err := r.element(sh, v); err != nil {
			return within(name, err)
		}
	}
}

// element appends the open element to a list.
func (r *xmlReader) element(sh *Shape, v reflect.Value) error {
	return r.value(nil, &r.m.Shapes[sh.Elem], grow(v))
}

func (r *xmlReader) mapping(sh *Shape, v reflect.Value) error {
	if err := r.attributes(sh, v); err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for {
		more, err := r.child()
		if err != nil || !more {
			return err
		}
		if string(r.s.local) != "entry" {
			return &Error{Kind: UnknownField, Member: string(r.s.local), Detail: "unknown element"}
		}
		if err := r.entry(sh, v); err != nil {
			return err
		}
	}
}

// entry reads the key and value of the open element into a map.
func (r *xmlReader) entry(sh *Shape, v reflect.Value) error {
	if len(r.s.attrs) > 0 {
		return &Error{Kind: UnknownField, Member: string(r.s.attrs[0].local), Detail: "unknown attribute"}
	}
	var key string
	keyed := false
	elem := reflect.New(v.Type().Elem()).Elem()
	valued := false
	for {
		more, err := r.child()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		switch {
		case string(r.s.local) == or(sh.KeyName, "key") && !keyed:
			keyed = true
			err = r.scalar(nil, &r.m.Shapes[sh.Key], reflect.ValueOf(&key).Elem())
		case string(r.s.local) == or(sh.ElemName, "value") && !valued:
			valued = true
			err = r.value(nil, &r.m.Shapes[sh.Elem], elem)
		default:
			err = &Error{Kind: UnknownField, Member: string(r.s.local), Detail: "unknown element"}
		}
		if err != nil {
			return err
		}
	}
	if !keyed || !valued {
		return &Error{Kind: Malformed, Detail: "map entry without key or value"}
	}
	return putEntry(v, key, elem)
}

// scalar reads the text of the open element, up to its end.
func (r *xmlReader) scalar(m *Member, sh *Shape, v reflect.Value) error {
	for _, a := range r.s.attrs {
		if string(a.local) != "xmlns" && string(a.prefix) != "xmlns" {
			return &Error{Kind: UnknownField, Member: string(a.local), Detail: "unknown attribute"}
		}
	}
	var text []byte
	for pieces := 0; ; {
		tok, err := r.s.next()
		switch {
		case err != nil:
			return err
		case tok == xmlEnd:
			return r.scalarText(m, sh, v, text)
		case tok == xmlStart:
			return &Error{Kind: UnknownField, Member: string(r.s.local), Detail: "element inside a value"}
		case pieces == 0:
			text, pieces = r.s.text, 1
		case pieces == 1:
			text, pieces = append(bytes.Clone(text), r.s.text...), 2
		default:
			text = append(text, r.s.text...)
		}
	}
}

func (r *xmlReader) scalarText(m *Member, sh *Shape, v reflect.Value, text []byte) error {
	if err := setScalar(sh, v, string(text), formatOf(m, sh, ISO8601)); err != nil {
		return err
	}
	return enumError(sh, v)
}

// grow appends a zero element to the list v and gives it.
func grow(v reflect.Value) reflect.Value {
	n := v.Len()
	if n == v.Cap() {
		v.Grow(max(4, n/2))
	}
	v.SetLen(n + 1)
	return v.Index(n)
}

// putEntry adds to a map, once per key.
func putEntry(v reflect.Value, key string, elem reflect.Value) error {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	k := reflect.ValueOf(key)
	if v.MapIndex(k).IsValid() {
		return &Error{Kind: Duplicate, Member: key, Detail: "key given twice"}
	}
	v.SetMapIndex(k, elem)
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
