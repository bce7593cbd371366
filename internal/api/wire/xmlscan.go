package wire

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// Limits of an XML body. The largest honest document is a CompleteMultipartUpload of 10,000 parts
// with every element that a part may have.
const (
	maxXMLDepth      = 32
	maxXMLElements   = 200_000
	maxXMLAttributes = 16
)

// xmlToken is what the scanner has come to.
type xmlToken uint8

const (
	xmlEOF xmlToken = iota
	xmlStart
	xmlEnd
	xmlText
)

type xmlAttr struct{ prefix, local, value []byte }

// xmlScanner reads the part of XML that a protocol needs: elements, attributes, text, CDATA, and
// the five entities; comments and processing instructions are passed over, a DTD is an error. It
// checks that the document is well-formed; what it accepts, encoding/xml reads in the same way.
type xmlScanner struct {
	src      []byte
	pos      int
	open     [][]byte // qualified names of the open elements
	elements int
	closing  bool // an empty-element tag still owes its end
	done     bool // the root has been closed

	// Of the last token; valid until the next.
	local []byte
	attrs []xmlAttr
	text  []byte
}

func newXMLScanner(src []byte) (*xmlScanner, error) {
	s := &xmlScanner{src: bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))}
	if !utf8.Valid(s.src) {
		return nil, s.malformed("not UTF-8")
	}
	return s, s.declaration()
}

func (s *xmlScanner) malformed(detail string) error {
	return &Error{Kind: Malformed, Detail: detail, Line: lineAt(s.src, s.pos)}
}

func (s *xmlScanner) tooLarge(detail string) error {
	return &Error{Kind: TooLarge, Detail: detail, Line: lineAt(s.src, s.pos)}
}

// declaration passes over <?xml … ?>, and refuses any encoding but UTF-8 and its subset.
func (s *xmlScanner) declaration() error {
	if !bytes.HasPrefix(s.src, []byte("<?xml")) || len(s.src) < 6 || !isXMLSpace(s.src[5]) {
		return nil
	}
	end := bytes.Index(s.src, []byte("?>"))
	if end < 0 {
		return s.malformed("XML declaration without end")
	}
	fields := xmlScanner{src: s.src[:end], pos: 5}
	attrs, err := fields.attributes()
	if err != nil || fields.pos != end || len(attrs) == 0 || string(attrs[0].local) != "version" ||
		string(attrs[0].value) != "1.0" {
		return s.malformed("bad XML declaration")
	}
	for _, a := range attrs[1:] {
		name, value := string(a.local), bytes.ToLower(a.value)
		switch {
		case name == "encoding" && (string(value) == "utf-8" || string(value) == "us-ascii"):
		case name == "standalone" && (string(value) == "yes" || string(value) == "no"):
		default:
			return s.malformed("unsupported XML declaration")
		}
	}
	s.pos = end + 2
	return nil
}

// next moves to the next token.
func (s *xmlScanner) next() (xmlToken, error) {
	if s.closing {
		s.closing = false
		s.pop()
		return xmlEnd, nil
	}
	for s.pos < len(s.src) {
		if s.src[s.pos] != '<' {
			return s.characters()
		}
		rest := s.src[s.pos:]
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			if err := s.comment(); err != nil {
				return xmlEOF, err
			}
		case bytes.HasPrefix(rest, []byte("<?")):
			if err := s.instruction(); err != nil {
				return xmlEOF, err
			}
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			return s.cdata()
		case bytes.HasPrefix(rest, []byte("<!")):
			return xmlEOF, s.malformed("document type declarations are not accepted")
		case bytes.HasPrefix(rest, []byte("</")):
			return s.endTag()
		default:
			return s.startTag()
		}
	}
	if !s.done {
		return xmlEOF, s.malformed("unexpected end of document")
	}
	return xmlEOF, nil
}

func (s *xmlScanner) comment() error {
	body := s.src[s.pos+4:]
	end := bytes.Index(body, []byte("--"))
	if end < 0 || end+2 >= len(body) || body[end+2] != '>' {
		return s.malformed("bad comment")
	}
	if _, err := s.unescape(body[:end], true); err != nil {
		return err
	}
	s.pos += 4 + end + 3
	return nil
}

func (s *xmlScanner) instruction() error {
	start := s.pos
	s.pos += 2
	prefix, name, err := s.qname()
	if err != nil {
		return err
	}
	end := bytes.Index(s.src[s.pos:], []byte("?>"))
	if end < 0 || prefix != nil || bytes.EqualFold(name, []byte("xml")) ||
		end > 0 && !isXMLSpace(s.src[s.pos]) {
		s.pos = start
		return s.malformed("bad processing instruction")
	}
	if _, err := s.unescape(s.src[s.pos:s.pos+end], true); err != nil {
		return err
	}
	s.pos += end + 2
	return nil
}

func (s *xmlScanner) cdata() (xmlToken, error) {
	body := s.src[s.pos+len("<![CDATA["):]
	end := bytes.Index(body, []byte("]]>"))
	if end < 0 || len(s.open) == 0 {
		return xmlEOF, s.malformed("bad CDATA section")
	}
	text, err := s.unescape(body[:end], true)
	if err != nil {
		return xmlEOF, err
	}
	s.text = text
	s.pos += len("<![CDATA[") + end + 3
	return xmlText, nil
}

func (s *xmlScanner) characters() (xmlToken, error) {
	raw := s.src[s.pos:]
	if end := bytes.IndexByte(raw, '<'); end >= 0 {
		raw = raw[:end]
	}
	if bytes.Contains(raw, []byte("]]>")) {
		return xmlEOF, s.malformed("]]> in text")
	}
	text, err := s.unescape(raw, false)
	if err != nil {
		return xmlEOF, err
	}
	if len(s.open) == 0 {
		if len(bytes.Trim(raw, " \t\r\n")) > 0 {
			return xmlEOF, s.malformed("text outside of the root element")
		}
		s.pos += len(raw)
		return s.next()
	}
	s.text = text
	s.pos += len(raw)
	return xmlText, nil
}

func (s *xmlScanner) startTag() (xmlToken, error) {
	if s.done {
		return xmlEOF, s.malformed("a second root element")
	}
	if s.elements++; s.elements > maxXMLElements {
		return xmlEOF, s.tooLarge("too many elements")
	}
	if len(s.open) >= maxXMLDepth {
		return xmlEOF, s.tooLarge("elements nested too deeply")
	}
	s.pos++
	from := s.pos
	_, local, err := s.qname()
	if err != nil {
		return xmlEOF, err
	}
	s.open = append(s.open, s.src[from:s.pos])
	if s.attrs, err = s.attributes(); err != nil {
		return xmlEOF, err
	}
	if s.pos < len(s.src) && s.src[s.pos] == '/' {
		s.pos++
		s.closing = true
	}
	if s.pos >= len(s.src) || s.src[s.pos] != '>' {
		return xmlEOF, s.malformed("bad start tag")
	}
	s.pos++
	s.local = local
	return xmlStart, nil
}

func (s *xmlScanner) endTag() (xmlToken, error) {
	s.pos += 2
	from := s.pos
	if _, _, err := s.qname(); err != nil {
		return xmlEOF, err
	}
	name := s.src[from:s.pos]
	s.space()
	if s.pos >= len(s.src) || s.src[s.pos] != '>' {
		return xmlEOF, s.malformed("bad end tag")
	}
	if len(s.open) == 0 || !bytes.Equal(s.open[len(s.open)-1], name) {
		return xmlEOF, s.malformed("end tag without its start tag")
	}
	s.pos++
	s.pop()
	return xmlEnd, nil
}

func (s *xmlScanner) pop() {
	s.open = s.open[:len(s.open)-1]
	s.done = len(s.open) == 0
}

// attributes reads the attributes of a tag, up to the character that ends it.
func (s *xmlScanner) attributes() ([]xmlAttr, error) {
	attrs := s.attrs[:0]
	for {
		before := s.pos
		s.space()
		if s.pos >= len(s.src) || !isNameStart(s.src[s.pos]) {
			return attrs, nil
		}
		if before == s.pos {
			return nil, s.malformed("no blank before an attribute")
		}
		a, err := s.attribute()
		if err != nil {
			return nil, err
		}
		for _, b := range attrs {
			if bytes.Equal(a.local, b.local) && bytes.Equal(a.prefix, b.prefix) {
				return nil, s.malformed("attribute given twice")
			}
		}
		if len(attrs) == maxXMLAttributes {
			return nil, s.tooLarge("too many attributes")
		}
		attrs = append(attrs, a)
	}
}

func (s *xmlScanner) attribute() (a xmlAttr, err error) {
	if a.prefix, a.local, err = s.qname(); err != nil {
		return a, err
	}
	s.space()
	if s.pos >= len(s.src) || s.src[s.pos] != '=' {
		return a, s.malformed("attribute without value")
	}
	s.pos++
	s.space()
	if s.pos >= len(s.src) || s.src[s.pos] != '"' && s.src[s.pos] != '\'' {
		return a, s.malformed("attribute value without quotes")
	}
	quote := s.src[s.pos]
	s.pos++
	end := bytes.IndexByte(s.src[s.pos:], quote)
	if end < 0 || bytes.IndexByte(s.src[s.pos:s.pos+end], '<') >= 0 {
		return a, s.malformed("bad attribute value")
	}
	a.value, err = s.unescape(s.src[s.pos:s.pos+end], false)
	s.pos += end + 1
	return a, err
}

// qname reads a name with at most one prefix. Names are ASCII: no model has others, and those that
// it does not have are refused anyway.
func (s *xmlScanner) qname() (prefix, local []byte, err error) {
	from := s.pos
	for part := 0; ; part++ {
		start := s.pos
		if start >= len(s.src) || !isNameStart(s.src[start]) {
			return nil, nil, s.malformed("bad name")
		}
		for s.pos < len(s.src) && isNameByte(s.src[s.pos]) {
			s.pos++
		}
		if s.pos < len(s.src) && s.src[s.pos] == ':' && part == 0 {
			prefix = s.src[from:s.pos]
			s.pos++
			continue
		}
		return prefix, s.src[start:s.pos], nil
	}
}

func (s *xmlScanner) space() {
	for s.pos < len(s.src) && isXMLSpace(s.src[s.pos]) {
		s.pos++
	}
}

// unescape gives the characters that raw stands for. It allocates only where they differ.
func (s *xmlScanner) unescape(raw []byte, literal bool) ([]byte, error) {
	plain := 0
	for plain < len(raw) && raw[plain] >= ' ' && raw[plain] != '&' && raw[plain] != 0xEF {
		plain++
	}
	if plain == len(raw) {
		return raw, nil
	}
	out := make([]byte, plain, len(raw))
	copy(out, raw)
	for i := plain; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '&' && !literal:
			r, n := reference(raw[i:])
			if n == 0 {
				return nil, s.malformed("bad entity or character reference")
			}
			out = utf8.AppendRune(out, r)
			i += n - 1
		case c == '\r':
			out = append(out, '\n')
			if i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
		case c < ' ' && c != '\t' && c != '\n', isNonCharacter(raw[i:]):
			return nil, s.malformed("character not allowed in XML")
		default:
			out = append(out, c)
		}
	}
	return out, nil
}

// isNonCharacter recognizes U+FFFE and U+FFFF.
func isNonCharacter(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBF && b[2] >= 0xBE
}

// reference reads "&…;" at the start of b: the character and the length, 0 if it is none of the
// five entities nor a number. Numbers of control characters, which XML 1.0 does not have, are
// taken: S3 names keys by them. NUL and what Unicode does not have are not.
func reference(b []byte) (rune, int) {
	const longest = len("&#x10FFFF;")
	end := bytes.IndexByte(b[:min(len(b), longest)], ';')
	if end < 2 {
		return 0, 0
	}
	name := string(b[1:end])
	if r, ok := xmlEntity(name); ok {
		return r, end + 1
	}
	if name[0] != '#' {
		return 0, 0
	}
	digits, base := name[1:], 10
	if len(digits) > 0 && digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n == 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return 0, 0
	}
	return rune(n), end + 1
}

func xmlEntity(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	return 0, false
}

func isXMLSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func isNameByte(c byte) bool {
	return isNameStart(c) || c >= '0' && c <= '9' || c == '-' || c == '.'
}
