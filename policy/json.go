package policy

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The decoder is strict JSON (RFC 8259) that keeps where every value stands. It refuses what
// encoding/json lets pass: a key twice in one object, invalid UTF-8, a lone surrogate. Depth is
// bounded because policies are at most six levels deep.
const maxDepth = 16

type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	arrayNode
	objectNode
)

// node is one JSON value with the bytes of the source that it spans.
type node struct {
	kind       nodeKind
	start, end int
	// text is the decoded string, or a number or boolean as written.
	text    string
	items   []node
	members []member
}

// member of an object, in the order written.
type member struct {
	name  node
	value node
}

func (n *node) member(name string) *member {
	for i := range n.members {
		if n.members[i].name.text == name {
			return &n.members[i]
		}
	}
	return nil
}

// elements are the values of a list, or the value itself: brackets are optional around one.
func (n *node) elements() []node {
	if n.kind == arrayNode {
		return n.items
	}
	return []node{*n}
}

// decodeError is a fault at an offset.
type decodeError struct {
	offset int
	what   string
}

type decoder struct {
	src string
	pos int
	err *decodeError
}

// decode reads the one value that src consists of.
func decode(src string) (node, *decodeError) {
	if len(src) > MaxSource {
		return node{}, &decodeError{MaxSource, "document is larger than " + strconv.Itoa(MaxSource) + " bytes"}
	}
	if i := invalidUTF8(src); i >= 0 {
		return node{}, &decodeError{i, "invalid UTF-8"}
	}
	d := decoder{src: src}
	n := d.value(0)
	d.space()
	if d.err == nil && d.pos < len(src) {
		d.fail("unexpected text after the document")
	}
	if d.err != nil {
		return node{}, d.err
	}
	return n, nil
}

func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = &decodeError{d.pos, what}
	}
}

func (d *decoder) space() {
	for d.pos < len(d.src) && strings.IndexByte(" \t\r\n", d.src[d.pos]) >= 0 {
		d.pos++
	}
}

// peek is the next byte after white space, 0 at the end.
func (d *decoder) peek() byte {
	d.space()
	if d.pos == len(d.src) {
		return 0
	}
	return d.src[d.pos]
}

func (d *decoder) value(depth int) node {
	c := d.peek()
	n := node{start: d.pos}
	if depth == maxDepth {
		d.fail("nested too deeply")
		return n
	}
	switch {
	case c == '{':
		d.object(&n, depth)
	case c == '[':
		d.array(&n, depth)
	case c == '"':
		n.kind, n.text = stringNode, d.str()
	case c == '-' || c >= '0' && c <= '9':
		n.kind, n.text = numberNode, d.number()
	default:
		d.word(&n)
	}
	n.end = d.pos
	return n
}

func (d *decoder) object(n *node, depth int) {
	n.kind = objectNode
	d.pos++
	if d.peek() == '}' {
		d.pos++
		return
	}
	var seen map[string]bool
	for d.err == nil {
		if d.peek() != '"' {
			d.fail("expected a member name in double quotes")
			return
		}
		name := node{kind: stringNode, start: d.pos}
		name.text = d.str()
		name.end = d.pos
		seen = d.distinct(n, seen, name)
		if d.peek() != ':' {
			d.fail("expected ':' after a member name")
			return
		}
		d.pos++
		n.members = append(n.members, member{name, d.value(depth + 1)})
		if d.closes('}') {
			return
		}
	}
}

// distinct refuses a name that the object already has; large objects are remembered in a set.
func (d *decoder) distinct(n *node, seen map[string]bool, name node) map[string]bool {
	const small = 16
	twice := false
	if len(n.members) < small {
		twice = n.member(name.text) != nil
	} else {
		if seen == nil {
			seen = make(map[string]bool, 4*small)
			for i := range n.members {
				seen[n.members[i].name.text] = true
			}
		}
		twice = seen[name.text]
		seen[name.text] = true
	}
	if twice && d.err == nil {
		d.err = &decodeError{name.start, "member " + strconv.Quote(name.text) + " occurs twice"}
	}
	return seen
}

func (d *decoder) array(n *node, depth int) {
	n.kind = arrayNode
	d.pos++
	if d.peek() == ']' {
		d.pos++
		return
	}
	for d.err == nil {
		n.items = append(n.items, d.value(depth+1))
		if d.closes(']') {
			return
		}
	}
}

// closes reads a comma or the closing bracket, and tells whether the list ended.
func (d *decoder) closes(bracket byte) bool {
	switch d.peek() {
	case bracket:
		d.pos++
		return true
	case ',':
		d.pos++
	default:
		d.fail("expected ',' or '" + string(bracket) + "'")
	}
	return false
}

func (d *decoder) word(n *node) {
	for _, w := range [...]struct {
		text string
		kind nodeKind
	}{{"true", boolNode}, {"false", boolNode}, {"null", nullNode}} {
		if strings.HasPrefix(d.src[d.pos:], w.text) {
			n.kind, n.text = w.kind, w.text
			d.pos += len(w.text)
			return
		}
	}
	if d.pos == len(d.src) {
		d.fail("unexpected end of the document")
		return
	}
	d.fail("expected a value")
}

func (d *decoder) digits() int {
	start := d.pos
	for d.pos < len(d.src) && d.src[d.pos] >= '0' && d.src[d.pos] <= '9' {
		d.pos++
	}
	return d.pos - start
}

func (d *decoder) accept(chars string) bool {
	if d.pos < len(d.src) && strings.IndexByte(chars, d.src[d.pos]) >= 0 {
		d.pos++
		return true
	}
	return false
}

func (d *decoder) number() string {
	start := d.pos
	d.accept("-")
	if !d.accept("0") && d.digits() == 0 {
		d.fail("expected a digit")
	}
	if d.accept(".") && d.digits() == 0 {
		d.fail("expected a digit after the decimal point")
	}
	if d.accept("eE") {
		d.accept("+-")
		if d.digits() == 0 {
			d.fail("expected a digit in the exponent")
		}
	}
	return d.src[start:d.pos]
}

// str reads a string; without escapes it is a part of the source.
func (d *decoder) str() string {
	d.pos++
	start := d.pos
	for d.pos < len(d.src) {
		switch c := d.src[d.pos]; {
		case c == '"':
			d.pos++
			return d.src[start : d.pos-1]
		case c == '\\':
			return d.escaped(start)
		case c < 0x20:
			d.fail("control character in a string")
			return ""
		}
		d.pos++
	}
	d.fail("string without closing quote")
	return ""
}

func (d *decoder) escaped(start int) string {
	buf := []byte(d.src[start:d.pos])
	for d.pos < len(d.src) && d.err == nil {
		c := d.src[d.pos]
		switch {
		case c == '"':
			d.pos++
			return string(buf)
		case c == '\\':
			buf = d.escape(buf)
			continue
		case c < 0x20:
			d.fail("control character in a string")
		}
		buf = append(buf, c)
		d.pos++
	}
	d.fail("string without closing quote")
	return ""
}

func (d *decoder) escape(buf []byte) []byte {
	const letters, meaning = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	d.pos++
	if d.pos == len(d.src) {
		return buf
	}
	c := d.src[d.pos]
	if i := strings.IndexByte(letters, c); i >= 0 {
		d.pos++
		return append(buf, meaning[i])
	}
	if c != 'u' {
		d.fail("unknown escape in a string")
		return buf
	}
	r := d.unit()
	if utf16.IsSurrogate(r) {
		low := rune(-1)
		if strings.HasPrefix(d.src[d.pos:], `\u`) {
			d.pos++
			low = d.unit()
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			d.fail("lone surrogate in a string")
		}
	}
	return utf8.AppendRune(buf, r)
}

// unit reads u and four hexadecimal digits.
func (d *decoder) unit() rune {
	if d.pos+5 <= len(d.src) {
		if v, err := strconv.ParseUint(d.src[d.pos+1:d.pos+5], 16, 16); err == nil {
			d.pos += 5
			return rune(v)
		}
	}
	d.fail("expected four hexadecimal digits")
	return 0
}
