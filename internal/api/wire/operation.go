package wire

import (
	"net/http"
	"net/url"
)

// Protocol is one of AWS's wire protocols.
type Protocol uint8

// The protocols.
const (
	RestXML Protocol = iota + 1
	Query
	JSON10
	JSON11
	RestJSON
)

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// Operation is one operation of a service as its API model declares it. Operations are generated
// and never change.
type Operation struct {
	Service, Name string
	Protocol      Protocol
	// Method and URI bind a REST operation: "PUT", "/{Bucket}/{Key+}". For the others "POST", "/".
	Method, URI string
	// Query holds the literal query members that the operation is told by: ("versioning", ""),
	// ("list-type", "2").
	Query []Pair
	// Status is the HTTP status of success. See also StatusOf.
	Status int
	// ChecksumRequired says that the request must carry Content-MD5 or an x-amz-checksum header.
	ChecksumRequired bool
	// StreamingInput and StreamingOutput say that the body is a stream that the handler itself
	// reads or writes.
	StreamingInput, StreamingOutput bool
	// Version is the API version, as in the query protocol's parameter of that name.
	Version string
	// Target is the full X-Amz-Target of the json protocols.
	Target string
	// Namespace is the XML namespace of answers (and of errors in the query protocol).
	Namespace string
	// InputRoot and OutputRoot name the XML root where the body is not a payload member.
	InputRoot, OutputRoot string
	// ResultWrapper is the query protocol's element around the output, empty without output.
	ResultWrapper string
	// RootText says that the output's one body member is the text of the root element itself
	// (GetBucketLocation).
	RootText bool

	Model         *Model
	Input, Output ShapeID
	// NewInput and NewOutput make the structs that Decode fills and Encode reads.
	NewInput, NewOutput func() any
}

// TakesQuery tells whether the operation's model knows the query parameter name, as a literal or
// as a member. A router uses it to refuse sub-resources that nobody understands.
func (op *Operation) TakesQuery(name string) bool {
	for _, p := range op.Query {
		if p.Name == name {
			return true
		}
	}
	for i := range op.input().Members {
		m := &op.input().Members[i]
		if m.In == InQuery && m.Wire == name {
			return true
		}
	}
	return false
}

func (op *Operation) input() *Shape  { return &op.Model.Shapes[op.Input] }
func (op *Operation) output() *Shape { return &op.Model.Shapes[op.Output] }

// Request is what of an HTTP request carries an input.
type Request struct {
	// Path gives the decoded value of a label of the operation's URI; "" where there is none.
	Path   func(label string) string
	Query  url.Values
	Header http.Header
	// Body is the whole body, already bounded in size. It is not changed and not kept.
	Body []byte
}

// Decode fills in, a pointer to the operation's input struct, from req. A failure is an *Error;
// in is then partly filled and must not be used.
func Decode(op *Operation, req *Request, in any) error {
	v, err := structOf(op, op.input(), in)
	if err != nil {
		return err
	}
	switch op.Protocol {
	case RestXML, RestJSON:
		return decodeREST(op, req, v)
	case Query:
		return decodeQuery(op, req, v)
	case JSON10, JSON11:
		return decodeJSONBody(op.Model, op.input(), req.Body, v)
	}
	return &Error{Kind: Unsupported, Detail: "unknown protocol"}
}

// Encode gives the body of a successful answer and sets, in header, its Content-Type and what the
// model binds to headers. out is a pointer to the operation's output struct, or nil for an empty
// answer. The query protocol's RequestId is taken from header (X-Amzn-Requestid or
// X-Amz-Request-Id), where the caller has set it before.
func Encode(op *Operation, out any, header http.Header) (body []byte, err error) {
	if out == nil {
		out = op.NewOutput()
	}
	v, err := structOf(op, op.output(), out)
	if err != nil {
		return nil, err
	}
	switch op.Protocol {
	case RestXML, RestJSON:
		return encodeREST(op, v, header)
	case Query:
		header.Set("Content-Type", "text/xml")
		return encodeQuery(op, v, requestID(header)), nil
	case JSON10, JSON11:
		header.Set("Content-Type", jsonContentType(op.Protocol))
		w := jsonWriter{m: op.Model}
		w.structure(op.output(), v, bodyMembers)
		return w.b, nil
	}
	return nil, &Error{Kind: Unsupported, Detail: "unknown protocol"}
}

// StatusOf is the HTTP status of a successful answer: the model's, or the one that the output
// itself carries where the model binds a member to it (Lambda's Invoke).
func StatusOf(op *Operation, out any) int {
	if out == nil {
		return op.Status
	}
	v, err := structOf(op, op.output(), out)
	if err != nil {
		return op.Status
	}
	for i := range op.output().Members {
		if op.output().Members[i].In != InStatus {
			continue
		}
		if f, ok := present(v.Field(i)); ok {
			return int(f.Int())
		}
	}
	return op.Status
}

func requestID(header http.Header) string {
	if id := header.Get("X-Amzn-Requestid"); id != "" {
		return id
	}
	return header.Get("X-Amz-Request-Id")
}
