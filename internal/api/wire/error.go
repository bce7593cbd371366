package wire

import (
	"bytes"
	"strings"
)

// ErrorKind says what is wrong with an input.
type ErrorKind string

// What can be wrong. The services tell these with codes of their own (S3 says MalformedXML for most
// of them).
const (
	// Malformed is a body that is not the language it should be, or the wrong document.
	Malformed ErrorKind = "Malformed"
	// MissingBody is an empty body where the model requires one.
	MissingBody ErrorKind = "MissingBody"
	// MissingHeader is an absent required header.
	MissingHeader ErrorKind = "MissingHeader"
	// MissingMember is an absent required query parameter or path label.
	MissingMember ErrorKind = "MissingMember"
	// MissingElement is an absent required element or attribute of an XML body.
	MissingElement ErrorKind = "MissingElement"
	// BadValue is a value that is not of the member's type.
	BadValue ErrorKind = "BadValue"
	// BadEnum is a string in a body that is not among the values of the model.
	BadEnum ErrorKind = "BadEnum"
	// Duplicate is a scalar that is given twice.
	Duplicate ErrorKind = "Duplicate"
	// UnknownField is an element, attribute, field or parameter that the model does not know.
	UnknownField ErrorKind = "UnknownField"
	// TooLarge is an input beyond the limits of depth or number.
	TooLarge ErrorKind = "TooLarge"
	// Unsupported is a mistake of the calling program: a struct that is not the operation's.
	Unsupported ErrorKind = "Unsupported"
)

// Error is a failure to decode an input or to encode an output.
type Error struct {
	Kind ErrorKind
	// Member is the path of wire names to the culprit, such as "Rule.Filter.Prefix" or "x-amz-date";
	// may be empty.
	Member string
	// Value is the refused value, cut to a printable length; empty for sensitive members.
	Value string
	// Detail says in words what is wrong.
	Detail string
	// Line of the body, from 1; 0 when unknown.
	Line int
}

func (e *Error) Error() string {
	s := "wire: " + string(e.Kind)
	if e.Member != "" {
		s += " " + e.Member
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// within puts name in front of the member path of err, if err is one of ours.
func within(name string, err error) error {
	e, ok := err.(*Error)
	if !ok {
		return err
	}
	switch {
	case e.Member == "":
		e.Member = name
	default:
		e.Member = name + "." + e.Member
	}
	return e
}

// shown is value as an Error carries it.
func shown(sh *Shape, value string) string {
	if sh.Sensitive {
		return ""
	}
	const limit = 256
	if len(value) > limit {
		value = value[:limit]
	}
	return strings.ToValidUTF8(value, "\uFFFD")
}

func lineAt(body []byte, pos int) int {
	return bytes.Count(body[:min(pos, len(body))], []byte{'\n'}) + 1
}
