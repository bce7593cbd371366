package wire

import (
	"reflect"
	"slices"
	"unicode/utf8"
)

const xmlDeclaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// xmlWriter appends elements to b.
type xmlWriter struct {
	m *Model
	b []byte
	// times is how timestamps are written where the model does not say.
	times TimeFormat
}

// document writes v as a whole document.
func (w *xmlWriter) document(root, namespace string, sh *Shape, v reflect.Value) {
	w.b = append(w.b, xmlDeclaration...)
	w.openRoot(root, namespace)
	w.members(sh, v)
	w.closeTag(root)
}

func (w *xmlWriter) openRoot(root, namespace string) {
	w.b = append(append(w.b, '<'), root...)
	if namespace != "" {
		w.b = append(w.b, ` xmlns="`...)
		w.b = appendXMLString(w.b, namespace)
		w.b = append(w.b, '"')
	}
	w.b = append(w.b, '>')
}

func (w *xmlWriter) openTag(name string) {
	w.b = append(append(append(w.b, '<'), name...), '>')
}

func (w *xmlWriter) closeTag(name string) {
	w.b = append(append(append(w.b, '<', '/'), name...), '>')
}

// members writes the members of a structure that travel in the body.
func (w *xmlWriter) members(sh *Shape, v reflect.Value) {
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.In != InBody {
			continue
		}
		if f, ok := present(v.Field(i)); ok {
			w.member(m, f)
		}
	}
}

func (w *xmlWriter) member(m *Member, v reflect.Value) {
	sh := &w.m.Shapes[m.Shape]
	flat := m.Flattened || sh.Flattened
	switch {
	case flat && sh.Kind == List:
		elem := &w.m.Shapes[sh.Elem]
		for i := range v.Len() {
			w.element(m.Wire, nil, elem, v.Index(i))
		}
	case flat && sh.Kind == Map:
		w.entries(m.Wire, sh, v)
	default:
		w.element(m.Wire, m, sh, v)
	}
}

// element writes one element with the value v.
func (w *xmlWriter) element(name string, m *Member, sh *Shape, v reflect.Value) {
	if sh.Kind == Structure && sh.Prefix != "" {
		w.b = append(append(w.b, '<'), name...)
		w.attributes(sh, v)
		w.b = append(w.b, '>')
	} else {
		w.openTag(name)
	}
	switch sh.Kind {
	case Structure:
		w.members(sh, v)
	case List:
		elem, elemName := &w.m.Shapes[sh.Elem], or(sh.ElemName, "member")
		for i := range v.Len() {
			w.element(elemName, nil, elem, v.Index(i))
		}
	case Map:
		w.entries("entry", sh, v)
	case String, Enum:
		w.b = appendXMLString(w.b, v.String())
	default:
		w.b = appendScalar(w.b, sh, v, formatOf(m, sh, w.times))
	}
	w.closeTag(name)
}

// entries writes a map in the order of its keys.
func (w *xmlWriter) entries(name string, sh *Shape, v reflect.Value) {
	key, elem := &w.m.Shapes[sh.Key], &w.m.Shapes[sh.Elem]
	for _, k := range sortedKeys(v) {
		w.openTag(name)
		w.element(or(sh.KeyName, "key"), nil, key, reflect.ValueOf(k))
		w.element(or(sh.ElemName, "value"), nil, elem, v.MapIndex(reflect.ValueOf(k)))
		w.closeTag(name)
	}
}

func (w *xmlWriter) attributes(sh *Shape, v reflect.Value) {
	w.b = append(append(append(w.b, ` xmlns:`...), sh.Prefix...), `="`...)
	w.b = append(append(w.b, sh.PrefixURI...), '"')
	for i := range sh.Members {
		if sh.Members[i].In != InAttribute {
			continue
		}
		if f, ok := present(v.Field(i)); ok {
			w.b = append(append(append(w.b, ' '), sh.Members[i].Wire...), `="`...)
			w.b = appendXMLString(w.b, f.String())
			w.b = append(w.b, '"')
		}
	}
}

func sortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

// xmlPlain are the bytes that stand for themselves in text and in attribute values.
var xmlPlain = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = c >= ' ' && c < utf8.RuneSelf || c == '\n' || c == '\t'
	}
	for _, c := range []byte(`<>&"`) {
		plain[c] = false
	}
	plain[0x7F] = true
	return plain
}()

// appendXMLString escapes s. Characters that XML 1.0 cannot hold become numeric references, which
// is what S3 does; clients that list such keys ask for encoding-type=url. Bytes that are not UTF-8
// become U+FFFD.
func appendXMLString(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		if xmlPlain[s[i]] {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		escape := xmlEscape(r, n)
		if escape != "" {
			b = append(append(b, s[start:i]...), escape...)
			start = i + n
		}
		i += n
	}
	return append(b, s[start:]...)
}

func xmlEscape(r rune, n int) string {
	const hex = "0123456789ABCDEF"
	switch {
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '&':
		return "&amp;"
	case r == '"':
		return "&quot;"
	case r == 0xFFFE:
		return "&#xFFFE;"
	case r == 0xFFFF:
		return "&#xFFFF;"
	case r == utf8.RuneError && n == 1:
		return "\uFFFD"
	case r < 0x10:
		return "&#x" + hex[r:r+1] + ";"
	case r < ' ':
		return "&#x1" + hex[r-0x10:r-0xF] + ";"
	}
	return ""
}
