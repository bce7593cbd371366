package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// What an audit record shows of an input or output: its members as JSON, without secrets.

// Hidden stands for a value that a record must not show.
const Hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// neverShown are members that hold a secret or prove an identity whatever the model says of them.
var neverShown = map[string]bool{
	"SecretAccessKey": true, "SessionToken": true, "Password": true, "NewPassword": true, "OldPassword": true,
	"WebIdentityToken": true, "SAMLAssertion": true, "TokenCode": true, "AuthenticationCode1": true, "AuthenticationCode2": true,
	"Base32StringSeed": true, "QRCodePNG": true, "SSECustomerKey": true, "CopySourceSSECustomerKey": true, "MFA": true,
	"ClientSecret": true, "ApiKeyValue": true, "PrivateKey": true, "PrivateKeyPlaintext": true, "SecretString": true,
	"GrantToken": true, "GrantTokens": true, "ImportToken": true, "ServicePassword": true, "ServiceCredentialSecret": true,
	"logEvents": true, "logEventMessages": true,
	"MessageBody": true, "MessageAttributes": true, "MessageSystemAttributes": true,
	"Detail":        true,                           // of an event
	"ClientContext": true, "EventSourceToken": true, // of an invocation; what lets Alexa invoke
	"Statement": true, // of a permission as it was added: it repeats the input, the token too
	// Of topics: what is published, where it goes (the address of a webhook is its secret), what confirms.
	"Message": true, "Subject": true, "Endpoint": true, "Token": true,
	// Of an API destination: the address of an incoming webhook is its secret.
	"InvocationEndpoint": true,
	// Of a target: headers and parameters that prove who calls.
	"HeaderParameters": true, "QueryStringParameters": true,
}

// Parameters are the members of an input as CloudTrail shows them: names begin with a small letter.
func Parameters(op *Operation, in any) ([]byte, error) { return shownMembers(op, op.input(), in) }

// Elements are the members of an output as CloudTrail shows them.
func Elements(op *Operation, out any) ([]byte, error) { return shownMembers(op, op.output(), out) }

func shownMembers(op *Operation, sh *Shape, x any) ([]byte, error) {
	v, err := structOf(op, sh, x)
	if err != nil {
		return nil, err
	}
	r := recordWriter{m: op.Model, lower: true}
	shown := r.structure(sh, v)
	if len(shown) == 0 {
		return nil, nil
	}
	return json.Marshal(shown)
}

// Payload is the member of an input that travels as the body, by its name on the wire; nil where there
// is none or it is a stream.
func Payload(op *Operation, in any) (name string, value []byte, err error) {
	sh := op.input()
	if op.StreamingInput {
		return "", nil, nil
	}
	v, err := structOf(op, sh, in)
	if err != nil {
		return "", nil, err
	}
	for i := range sh.Members {
		m := &sh.Members[i]
		f, ok := present(v.Field(i))
		if m.In != InPayload || !ok {
			continue
		}
		r := recordWriter{m: op.Model}
		shown := r.member(m, f)
		if s, ok := shown.(string); ok {
			var compact bytes.Buffer
			if json.Compact(&compact, []byte(s)) == nil {
				return m.Name, compact.Bytes(), nil
			}
		}
		value, err := json.Marshal(shown)
		return m.Name, value, err
	}
	return "", nil, nil
}

type recordWriter struct {
	m     *Model
	lower bool
}

func (r *recordWriter) structure(sh *Shape, v reflect.Value) map[string]any {
	shown := map[string]any{}
	for i := range sh.Members {
		m := &sh.Members[i]
		f, ok := present(v.Field(i))
		if !ok || m.In == InStatus || m.In == InHeaders {
			continue
		}
		name := m.Name
		if r.lower {
			name = lowerFirst(name)
		}
		shown[name] = r.member(m, f)
	}
	return shown
}

func (r *recordWriter) member(m *Member, v reflect.Value) any {
	if neverShown[m.Name] || r.m.Shapes[m.Shape].Sensitive {
		return Hidden
	}
	return r.value(&r.m.Shapes[m.Shape], v)
}

func (r *recordWriter) value(sh *Shape, v reflect.Value) any {
	if sh.Sensitive {
		return Hidden
	}
	switch sh.Kind {
	case Structure:
		return r.structure(sh, v)
	case List:
		elem := &r.m.Shapes[sh.Elem]
		items := make([]any, 0, v.Len())
		for i := range v.Len() {
			items = append(items, r.value(elem, v.Index(i)))
		}
		return items
	case Map:
		elem := &r.m.Shapes[sh.Elem]
		entries := map[string]any{}
		for _, k := range sortedKeys(v) {
			entries[k] = r.value(elem, v.MapIndex(reflect.ValueOf(k)))
		}
		return entries
	case Timestamp:
		return timeOf(v).UTC().Format("Jan 2, 2006 3:04:05 PM")
	case Blob:
		return Hidden // bytes are key material, ciphertext, code: nothing that a record needs
	case Boolean:
		return v.Bool()
	case Integer, Long:
		return v.Int()
	case Double:
		return v.Float()
	}
	return v.String()
}
