package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// Limits of a JSON body. The number keeps lists of empty objects, three bytes each, from becoming
// large lists of structs.
const (
	maxJSONDepth  = 64
	maxJSONTokens = 100_000
)

func jsonContentType(p Protocol) string {
	switch p {
	case JSON10:
		return "application/x-amz-json-1.0"
	case JSON11:
		return "application/x-amz-json-1.1"
	}
	return "application/json"
}

// jsonReader fills structs from a JSON document, token by token, so that fields given twice are
// seen and nothing is built that the model does not have.
type jsonReader struct {
	m             *Model
	d             *json.Decoder
	depth, tokens int
}

// decodeJSONBody reads an object; an empty body is an empty object.
func decodeJSONBody(m *Model, sh *Shape, body []byte, v reflect.Value) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if !utf8.Valid(body) || !json.Valid(body) {
		return &Error{Kind: Malformed, Detail: "not JSON"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	r := jsonReader{m: m, d: d}
	tok, err := r.token()
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return &Error{Kind: Malformed, Detail: "not an object"}
	}
	if err := r.structure(sh, v); err != nil {
		if e, ok := err.(*Error); ok {
			e.Line = lineAt(body, int(d.InputOffset()))
		}
		return err
	}
	return nil
}

func (r *jsonReader) token() (json.Token, error) {
	tok, err := r.d.Token()
	if err != nil {
		return nil, &Error{Kind: Malformed, Detail: "not JSON"}
	}
	if r.tokens++; r.tokens > maxJSONTokens {
		return nil, &Error{Kind: TooLarge, Detail: "too many values"}
	}
	if d, ok := tok.(json.Delim); ok {
		switch d {
		case '{', '[':
			if r.depth++; r.depth > maxJSONDepth {
				return nil, &Error{Kind: TooLarge, Detail: "nested too deeply"}
			}
		default:
			r.depth--
		}
	}
	return tok, nil
}

// structure reads the fields of an object that has been opened. Null stands for absence.
func (r *jsonReader) structure(sh *Shape, v reflect.Value) error {
	seen := make(map[string]bool, 8)
	for {
		tok, err := r.token()
		if err != nil {
			return err
		}
		name, ok := tok.(string)
		if !ok {
			return nil // the end
		}
		i := sh.member(InBody, name)
		switch {
		case i < 0:
			return &Error{Kind: UnknownField, Member: shown(&Shape{}, name), Detail: "unknown field"}
		case seen[name]:
			return &Error{Kind: Duplicate, Member: name, Detail: "given twice"}
		}
		seen[name] = true
		m := &sh.Members[i]
		if tok, err = r.token(); err != nil {
			return within(name, err)
		}
		if tok == nil {
			continue
		}
		if err := r.value(m, &r.m.Shapes[m.Shape], tok, v.Field(i)); err != nil {
			return within(name, err)
		}
	}
}

func (r *jsonReader) value(m *Member, sh *Shape, tok json.Token, v reflect.Value) error {
	switch sh.Kind {
	case Structure:
		if tok == json.Delim('{') {
			return r.structure(sh, target(v))
		}
	case List:
		if tok == json.Delim('[') {
			return r.list(sh, v)
		}
	case Map:
		if tok == json.Delim('{') {
			return r.mapping(sh, v)
		}
	default:
		return r.scalar(m, sh, tok, v)
	}
	return &Error{Kind: BadValue, Detail: "not a " + kindWords[sh.Kind]}
}

// fitsJSON gives the text of a scalar, and whether JSON values of that type hold scalars of kind k.
func fitsJSON(k Kind, f TimeFormat, tok json.Token) (text string, ok bool) {
	switch x := tok.(type) {
	case string:
		return x, k == String || k == Enum || k == Blob || k == Timestamp && f != UnixSeconds
	case json.Number:
		return x.String(), k == Integer || k == Long || k == Double || k == Timestamp && f == UnixSeconds
	case bool:
		return strconv.FormatBool(x), k == Boolean
	}
	return "", false
}

func (r *jsonReader) scalar(m *Member, sh *Shape, tok json.Token, v reflect.Value) error {
	f := formatOf(m, sh, UnixSeconds)
	text, ok := fitsJSON(sh.Kind, f, tok)
	if !ok {
		return &Error{Kind: BadValue, Value: shown(sh, text), Detail: "not a " + kindWords[sh.Kind]}
	}
	return setScalar(sh, v, text, f)
}

func (r *jsonReader) list(sh *Shape, v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for {
		tok, err := r.token()
		if err != nil {
			return err
		}
		if tok == json.Delim(']') {
			return nil
		}
		if err := r.value(nil, &r.m.Shapes[sh.Elem], tok, grow(v)); err != nil {
			return within(strconv.Itoa(v.Len()), err)
		}
	}
}

func (r *jsonReader) mapping(sh *Shape, v reflect.Value) error {
	v.Set(reflect.MakeMap(v.Type()))
	for {
		tok, err := r.token()
		if err != nil {
			return err
		}
		name, ok := tok.(string)
		if !ok {
			return nil
		}
		if tok, err = r.token(); err != nil {
			return err
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(nil, &r.m.Shapes[sh.Elem], tok, elem); err != nil {
			return within(name, err)
		}
		if err := putEntry(v, name, elem); err != nil {
			return err
		}
	}
}

// jsonWriter appends JSON to b.
type jsonWriter struct {
	m *Model
	b []byte
}

func (w *jsonWriter) structure(sh *Shape, v reflect.Value, which func(*Member) bool) {
	w.b = append(w.b, '{')
	first := true
	for i := range sh.Members {
		m := &sh.Members[i]
		if !which(m) {
			continue
		}
		f, ok := present(v.Field(i))
		if !ok {
			continue
		}
		if !first {
			w.b = append(w.b, ',')
		}
		first = false
		w.b = append(appendJSONString(w.b, m.Wire), ':')
		w.value(m, &w.m.Shapes[m.Shape], f)
	}
	w.b = append(w.b, '}')
}

func (w *jsonWriter) value(m *Member, sh *Shape, v reflect.Value) {
	switch sh.Kind {
	case Structure:
		w.structure(sh, v, bodyMembers)
	case List:
		w.list(sh, v)
	case Map:
		w.mapping(sh, v)
	case String, Enum:
		w.b = appendJSONString(w.b, v.String())
	case Blob:
		w.b = append(w.b, '"')
		w.b = base64.StdEncoding.AppendEncode(w.b, v.Bytes())
		w.b = append(w.b, '"')
	case Timestamp:
		w.timestamp(formatOf(m, sh, UnixSeconds), v)
	case Double:
		w.b = appendJSONNumber(w.b, v.Float())
	default:
		w.b = appendScalar(w.b, sh, v, DefaultTime)
	}
}

func (w *jsonWriter) timestamp(f TimeFormat, v reflect.Value) {
	if f == UnixSeconds {
		w.b = appendTime(w.b, timeOf(v), f)
		return
	}
	w.b = append(w.b, '"')
	w.b = append(appendTime(w.b, timeOf(v), f), '"')
}

func (w *jsonWriter) list(sh *Shape, v reflect.Value) {
	w.b = append(w.b, '[')
	elem := &w.m.Shapes[sh.Elem]
	for i := range v.Len() {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.value(nil, elem, v.Index(i))
	}
	w.b = append(w.b, ']')
}

func (w *jsonWriter) mapping(sh *Shape, v reflect.Value) {
	w.b = append(w.b, '{')
	elem := &w.m.Shapes[sh.Elem]
	for i, k := range sortedKeys(v) {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(appendJSONString(w.b, k), ':')
		w.value(nil, elem, v.MapIndex(reflect.ValueOf(k)))
	}
	w.b = append(w.b, '}')
}

// appendJSONNumber writes x; JSON has neither infinities nor NaN, which become null.
func appendJSONNumber(b []byte, x float64) []byte {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}

// appendJSONString writes s in quotes. Bytes that are not UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
