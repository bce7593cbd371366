package wire

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// decodeREST reads path, query, headers and body of a REST request.
func decodeREST(op *Operation, req *Request, v reflect.Value) error {
	sh := op.input()
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.In == InBody || m.In == InPayload {
			continue
		}
		if err := bind(op.Model, m, req, v.Field(i)); err != nil {
			return within(m.Wire, err)
		}
		if _, given := present(v.Field(i)); m.Required && !given {
			return &Error{Kind: missing(m.In), Member: m.Wire, Detail: "required"}
		}
	}
	if op.StreamingInput {
		return nil
	}
	if i := slices.IndexFunc(sh.Members, func(m Member) bool { return m.In == InPayload }); i >= 0 {
		return decodePayload(op, &sh.Members[i], req.Body, v.Field(i))
	}
	return decodeRESTBody(op, sh, req.Body, v)
}

func missing(p Place) ErrorKind {
	if p == InHeader || p == InHeaders {
		return MissingHeader
	}
	return MissingMember
}

// decodeRESTBody reads a body that holds the members without a place of their own. Where there are
// none, the body is not looked at: whether an operation suffers content is the pipeline's rule.
func decodeRESTBody(op *Operation, sh *Shape, body []byte, v reflect.Value) error {
	inBody, required := false, false
	for i := range sh.Members {
		if sh.Members[i].In == InBody {
			inBody, required = true, required || sh.Members[i].Required
		}
	}
	switch {
	case !inBody:
		return nil
	case len(body) == 0 && required:
		return &Error{Kind: MissingBody, Detail: "empty body"}
	case len(body) == 0:
		return nil
	case op.Protocol == RestJSON:
		return decodeJSONBody(op.Model, sh, body, v)
	}
	return decodeXML(op.Model, sh, op.InputRoot, body, v)
}

// decodePayload reads the member that is the body.
func decodePayload(op *Operation, m *Member, body []byte, v reflect.Value) error {
	sh := &op.Model.Shapes[m.Shape]
	if len(body) == 0 {
		if m.Required {
			return &Error{Kind: MissingBody, Member: m.Wire, Detail: "empty body"}
		}
		return nil
	}
	switch {
	case sh.Kind == Blob:
		v.SetBytes(slices.Clone(body))
	case sh.Kind == String:
		target(v).SetString(string(body))
	case sh.Kind != Structure:
		return &Error{Kind: Unsupported, Detail: "payload is a " + kindWords[sh.Kind]}
	case op.Protocol == RestJSON:
		return decodeJSONBody(op.Model, sh, body, target(v))
	default:
		return decodeXML(op.Model, sh, m.Wire, body, target(v))
	}
	return nil
}

// bind reads a member from the path, the query or the headers. Enum values are not checked here:
// S3 tells an unknown storage class or ACL with codes of its own, and only after it has authorized
// the request.
func bind(mod *Model, m *Member, req *Request, v reflect.Value) error {
	sh := &mod.Shapes[m.Shape]
	switch m.In {
	case InPath:
		if req.Path == nil {
			return nil
		}
		if s := req.Path(m.Wire); s != "" {
			return setScalar(sh, v, s, formatOf(m, sh, ISO8601))
		}
	case InQuery:
		return bindQuery(mod, m, sh, req.Query, v)
	case InHeader:
		return bindHeader(mod, m, sh, req.Header[m.Wire], v)
	case InHeaders:
		bindHeaders(m.Wire, req.Header, v)
	}
	return nil
}

func bindQuery(mod *Model, m *Member, sh *Shape, query map[string][]string, v reflect.Value) error {
	if sh.Kind == Map {
		return &Error{Kind: Unsupported, Detail: "map in the query"}
	}
	values := query[m.Wire]
	if sh.Kind == List {
		elem := &mod.Shapes[sh.Elem]
		for _, s := range values {
			if err := setScalar(elem, grow(v), s, formatOf(nil, elem, ISO8601)); err != nil {
				return err
			}
		}
		return nil
	}
	return bindOne(m, sh, values, v, ISO8601)
}

// bindOne takes the only value; more than one is an attempt to have two readers see two requests.
// An empty value of anything but a string is as good as none.
func bindOne(m *Member, sh *Shape, values []string, v reflect.Value, place TimeFormat) error {
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return &Error{Kind: Duplicate, Detail: "given twice"}
	case values[0] == "" && sh.Kind != String:
		return nil
	}
	return setScalar(sh, v, values[0], formatOf(m, sh, place))
}

func bindHeader(mod *Model, m *Member, sh *Shape, lines []string, v reflect.Value) error {
	if sh.Kind != List {
		return bindOne(m, sh, lines, v, RFC822)
	}
	elem := &mod.Shapes[sh.Elem]
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			if err := setScalar(elem, grow(v), part, formatOf(nil, elem, RFC822)); err != nil {
				return err
			}
		}
	}
	return nil
}

// bindHeaders collects the headers that begin with prefix. Names become lower case, as S3 keeps
// them, and lines of the same name one value.
func bindHeaders(prefix string, header http.Header, v reflect.Value) {
	for name, lines := range header {
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			key := strings.ToLower(name[len(prefix):])
			v.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(strings.Join(lines, ",")))
		}
	}
}

// encodeREST sets the headers of an answer and writes its body.
func encodeREST(op *Operation, v reflect.Value, header http.Header) ([]byte, error) {
	sh := op.output()
	payload, inBody := -1, false
	for i := range sh.Members {
		m := &sh.Members[i]
		switch m.In {
		case InBody:
			inBody = true
		case InPayload:
			payload = i
		case InHeader, InHeaders:
			if f, ok := present(v.Field(i)); ok {
				if err := setHeader(op.Model, m, f, header); err != nil {
					return nil, err
				}
			}
		}
	}
	switch {
	case payload >= 0:
		f, ok := present(v.Field(payload))
		if !ok {
			return nil, nil
		}
		return encodePayload(op, &sh.Members[payload], f, header), nil
	case inBody:
		return encodeRESTBody(op, op.OutputRoot, sh, v, header), nil
	case op.Protocol == RestJSON && !op.StreamingOutput && op.Status != http.StatusNoContent:
		return encodeRESTBody(op, "", sh, v, header), nil
	}
	return nil, nil
}

func encodeRESTBody(op *Operation, root string, sh *Shape, v reflect.Value, header http.Header) []byte {
	if op.Protocol == RestJSON {
		header.Set("Content-Type", jsonContentType(RestJSON))
		w := jsonWriter{m: op.Model}
		w.structure(sh, v, bodyMembers)
		return w.b
	}
	header.Set("Content-Type", "application/xml")
	return writeDocument(func(b []byte) []byte {
		if op.RootText {
			return rootText(b, op, root, sh, v)
		}
		return xmlWriter{m: op.Model, times: ISO8601Millis}.document(b, root, op.Namespace, sh, v)
	})
}

// rootText writes an answer that is nothing but the text of its root.
func rootText(b []byte, op *Operation, root string, sh *Shape, v reflect.Value) []byte {
	b = openRoot(append(b, xmlDeclaration...), root, op.Namespace)
	for i := range sh.Members {
		if f, ok := present(v.Field(i)); ok && sh.Members[i].In == InBody {
			b = appendXMLString(b, f.String())
		}
	}
	return closeTag(b, root)
}

func encodePayload(op *Operation, m *Member, v reflect.Value, header http.Header) []byte {
	sh := &op.Model.Shapes[m.Shape]
	switch sh.Kind {
	case Structure:
		return encodeRESTBody(op, m.Wire, sh, v, header)
	case Blob:
		setDefault(header, "Content-Type", "application/octet-stream")
		return v.Bytes()
	}
	// S3's one string payload is a bucket policy, lambda has none.
	setDefault(header, "Content-Type", "application/json")
	return []byte(v.String())
}

func setDefault(header http.Header, name, value string) {
	if header.Get(name) == "" {
		header.Set(name, value)
	}
}

// setHeader writes a member to its header. A control character would end the header and begin
// another, so it is refused whatever it came from.
func setHeader(mod *Model, m *Member, v reflect.Value, header http.Header) error {
	sh := &mod.Shapes[m.Shape]
	switch sh.Kind {
	case Map:
		prefix := strings.ToLower(m.Wire)
		for _, k := range sortedKeys(v) {
			value := v.MapIndex(reflect.ValueOf(k)).String()
			if !isFieldName(k) || !isFieldValue(value) {
				return &Error{Kind: BadValue, Member: m.Wire + k, Detail: "not a header"}
			}
			// In lower case, unlike Go's canonical form: boto3 shows users the name as it came.
			header[prefix+k] = []string{value}
		}
		return nil
	case List:
		elem := &mod.Shapes[sh.Elem]
		var b []byte
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendScalar(b, elem, v.Index(i), formatOf(nil, elem, RFC822))
		}
		return setLine(header, m.Wire, string(b))
	case String, Enum:
		return setLine(header, m.Wire, v.String())
	}
	return setLine(header, m.Wire, string(appendScalar(nil, sh, v, formatOf(m, sh, RFC822))))
}

func setLine(header http.Header, name, value string) error {
	if !isFieldValue(value) {
		return &Error{Kind: BadValue, Member: name, Detail: "control character in a header"}
	}
	header[name] = []string{value}
	return nil
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7F {
			return false
		}
	}
	return true
}

// isFieldName accepts the characters of an RFC 9110 token.
func isFieldName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isNameByte(c) && !strings.ContainsRune("!#$%&'*+^`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
