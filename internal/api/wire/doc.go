// Package wire turns the bytes of AWS's protocols into typed inputs and typed outputs into bytes.
//
// It knows four protocols (rest-xml, query, json 1.0/1.1, rest-json) and no service: what travels
// where is data, a Model per service, generated from the public AWS API models together with the
// plain structs of that service (packages s3wire, iamwire, …).
//
// What it promises:
//
//   - Strict reading. What the model does not know (an element, a field, a parameter) is refused,
//     and so is a scalar given twice: a server that ignores half of a security setting is worse than
//     one that says no.
//   - Bounded work. Depth, number of elements and number of parameters have limits; there are no
//     DTDs, no entities but the five of XML; bad input is an *Error and never a panic. The size of
//     a body is bounded by whoever read it.
//   - Writing in the order of the model, so that the same output gives the same bytes.
//
// Streaming bodies (PutObject, GetObject) are not its business: such members do not exist in the
// generated structs, and the operation says StreamingInput or StreamingOutput.
package wire

//go:generate go run ./gen -models $BOTOCORE_DATA -out .
