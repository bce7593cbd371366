// Package fault is the one error type that crosses package borders.
//
// A domain package declares its failures as Kinds, a closed list of constants in its own
// package. The wire code, HTTP status and default message of a Kind are known only at the edge
// (a table in each api/<service>), so the same failure can be told in S3's XML, in the query
// protocol and in JSON. An error without a Kind is an internal error there: it is logged, and the
// client learns nothing but the request id.
package fault

import "errors"

// Kind names a failure. By convention "package.Name", for example "object.NoSuchKey".
type Kind string

// Error is a failure that a client may hear about.
type Error struct {
	Kind Kind
	// Message replaces the edge's default text when it is not empty. It is shown to the client.
	Message string
	// Fields are extra elements of the answer (S3: <BucketName>, <Key>, …), in order.
	Fields []Field
	// Cause is for the log only and never reaches a client.
	Cause error
}

// Field is one extra element of an error answer.
type Field struct{ Name, Value string }

// New makes an error of kind k. Pairs are names and values of extra elements.
func New(k Kind, message string, pairs ...string) *Error {
	e := &Error{Kind: k, Message: message}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Fields = append(e.Fields, Field{pairs[i], pairs[i+1]})
	}
	return e
}

func (e *Error) Error() string {
	s := string(e.Kind)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// Of is the kind of err, or "" when err carries none.
func Of(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Is tells whether err carries kind k.
func Is(err error, k Kind) bool { return Of(err) == k }
