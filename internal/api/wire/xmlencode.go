package wire

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

const xmlDeclaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// xmlWriter writes values of a model. Its methods append to a slice and give it back, as the
// builtin does: a slice that lived in the writer would cost a write barrier for each element.
type xmlWriter struct {
	m *Model
	// times is how timestamps are written where the model does not say.
	times TimeFormat
}

// scratch keeps the buffers that documents are written in: a page of 1,000 keys has 300 kB, and
// growing to that costs more than writing it.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// largestScratch is the size beyond which a buffer is not kept.
const largestScratch = 4 << 20

// writeDocument gives what write appends.
func writeDocument(write func(b []byte) []byte) []byte {
	buf := scratch.Get().(*[]byte)
	b := write((*buf)[:0])
	body := bytes.Clone(b)
	if cap(b) <= largestScratch {
		*buf = b
		scratch.Put(buf)
	}
	return body
}

// document writes v as a whole document.
func (w xmlWriter) document(b []byte, root, namespace string, sh *Shape, v reflect.Value) []byte {
	b = append(b, xmlDeclaration...)
	b = openRoot(b, root, namespace)
	b = w.members(b, sh, v)
	return closeTag(b, root)
}

func openRoot(b []byte, root, namespace string) []byte {
	b = append(append(b, '<'), root...)
	if namespace != "" {
		b = append(b, ` xmlns="`...)
		b = appendXMLString(b, namespace)
		b = append(b, '"')
	}
	return append(b, '>')
}

func openTag(b []byte, name string) []byte { return append(append(append(b, '<'), name...), '>') }

func closeTag(b []byte, name string) []byte {
	return append(append(append(b, '<', '/'), name...), '>')
}

// textElement writes an element that holds a string.
func textElement(b []byte, name, text string) []byte {
	return closeTag(appendXMLString(openTag(b, name), text), name)
}

// members writes the members of a structure that travel in the body.
func (w xmlWriter) members(b []byte, sh *Shape, v reflect.Value) []byte {
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.In != InBody {
			continue
		}
		if f, ok := present(v.Field(i)); ok {
			b = w.member(b, m, f)
		}
	}
	return b
}

func (w xmlWriter) member(b []byte, m *Member, v reflect.Value) []byte {
	sh := &w.m.Shapes[m.Shape]
	if !(m.Flattened || sh.Flattened) {
		return w.element(b, m.Tags, m, sh, v)
	}
	switch sh.Kind {
	case List:
		elem := &w.m.Shapes[sh.Elem]
		for i := range v.Len() {
			b = w.element(b, m.Tags, nil, elem, v.Index(i))
		}
		return b
	case Map:
		return w.entries(b, m.Wire, sh, v)
	}
	return w.element(b, m.Tags, m, sh, v)
}

// tagsOf is the start and end tag of an element.
func tagsOf(name string) string { return "<" + name + "></" + name + ">" }

// element writes one element with the value v; tags are its start and end tag.
func (w xmlWriter) element(b []byte, tags string, m *Member, sh *Shape, v reflect.Value) []byte {
	start := (len(tags) - 1) / 2 // the tags differ by the slash
	if sh.Kind == Structure && sh.Prefix != "" {
		b = append(b, tags[:start-1]...)
		b = append(appendAttributes(b, sh, v), '>')
	} else {
		b = append(b, tags[:start]...)
	}
	switch sh.Kind {
	case Structure:
		b = w.members(b, sh, v)
	case List:
		elem, elemTags := &w.m.Shapes[sh.Elem], tagsOf(or(sh.ElemName, "member"))
		for i := range v.Len() {
			b = w.element(b, elemTags, nil, elem, v.Index(i))
		}
	case Map:
		b = w.entries(b, "entry", sh, v)
	case String, Enum:
		b = appendXMLString(b, v.String())
	default:
		b = appendScalar(b, sh, v, formatOf(m, sh, w.times))
	}
	return append(b, tags[start:]...)
}

// entries writes a map in the order of its keys.
func (w xmlWriter) entries(b []byte, name string, sh *Shape, v reflect.Value) []byte {
	elem, valueTags := &w.m.Shapes[sh.Elem], tagsOf(or(sh.ElemName, "value"))
	for _, k := range sortedKeys(v) {
		b = openTag(b, name)
		b = textElement(b, or(sh.KeyName, "key"), k)
		b = w.element(b, valueTags, nil, elem, v.MapIndex(reflect.ValueOf(k)))
		b = closeTag(b, name)
	}
	return b
}

func appendAttributes(b []byte, sh *Shape, v reflect.Value) []byte {
	b = append(append(append(b, ` xmlns:`...), sh.Prefix...), `="`...)
	b = append(append(b, sh.PrefixURI...), '"')
	for i := range sh.Members {
		if sh.Members[i].In != InAttribute {
			continue
		}
		if f, ok := present(v.Field(i)); ok {
			b = append(append(append(b, ' '), sh.Members[i].Wire...), `="`...)
			b = append(appendXMLString(b, f.String()), '"')
		}
	}
	return b
}

func sortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

// xmlEscapes are the ASCII bytes that do not stand for themselves in text and attribute values.
var xmlEscapes = func() (escapes [utf8.RuneSelf]string) {
	for c := range ' ' {
		escapes[c] = "&#x" + strings.ToUpper(strconv.FormatInt(int64(c), 16)) + ";"
	}
	escapes['\t'], escapes['\n'] = "", ""
	escapes['<'], escapes['>'], escapes['&'], escapes['"'] = "&lt;", "&gt;", "&amp;", "&quot;"
	return escapes
}()

// appendXMLString escapes s. Characters that XML 1.0 cannot hold become numeric references, which
// is what S3 does; clients that list such keys ask for encoding-type=url. Bytes that are not UTF-8
// become U+FFFD.
func appendXMLString(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		escape, n := "", 1
		if c := s[i]; c < utf8.RuneSelf {
			escape = xmlEscapes[c]
		} else {
			escape, n = escapeRune(s[i:])
		}
		if escape != "" {
			b = append(append(b, s[start:i]...), escape...)
			start = i + n
		}
		i += n
	}
	return append(b, s[start:]...)
}

// escapeRune gives what stands for the first character of s, "" for itself, and its length.
func escapeRune(s string) (string, int) {
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && n == 1:
		return "\uFFFD", n
	case r == 0xFFFE:
		return "&#xFFFE;", n
	case r == 0xFFFF:
		return "&#xFFFF;", n
	}
	return "", n
}
