package wire

import "github.com/kura-s3/kura/internal/fault"

// ErrorShape is an error that a service's model declares.
type ErrorShape struct {
	// Name of the shape, which is the code in the json protocols; Code as S3 and the query protocol
	// tell it, where it differs in the model ("NoSuchEntity" for NoSuchEntityException).
	Name, Code string
	// Status as the model says, or 400 or 500 by whose fault it is.
	Status int
	// Sender says that it is the client's fault.
	Sender bool
	// MessageMember is how the model spells the message: "message" or "Message".
	MessageMember string
}

// ErrorBody is everything that an error answer tells.
type ErrorBody struct {
	Protocol Protocol
	// Wrapped puts a rest-xml error in an <ErrorResponse>, as S3 Control does.
	Wrapped bool
	// Namespace of the query protocol's document; may be empty.
	Namespace string
	// Receiver says that it is the service's fault.
	Receiver      bool
	Code, Message string
	// MessageMember is the json protocols' name of the message; "message" if empty.
	MessageMember               string
	Fields                      []fault.Field
	Resource, RequestID, HostID string
}

// EncodeError writes an error answer and says its Content-Type. Resource and hostID are told only
// in rest-xml.
func EncodeError(protocol Protocol, code, message string, fields []fault.Field, resource, requestID, hostID string) (body []byte, contentType string) {
	e := ErrorBody{
		Protocol: protocol, Code: code, Message: message, Fields: fields,
		Resource: resource, RequestID: requestID, HostID: hostID,
	}
	return e.Encode()
}

// Encode writes the error answer and says its Content-Type.
func (e *ErrorBody) Encode() (body []byte, contentType string) {
	switch e.Protocol {
	case Query:
		return e.query(), "text/xml"
	case JSON10, JSON11, RestJSON:
		return e.json(), jsonContentType(e.Protocol)
	}
	return e.restXML(), "application/xml"
}

func (e *ErrorBody) restXML() []byte {
	b := []byte(xmlDeclaration)
	if e.Wrapped {
		b = openRoot(b, "ErrorResponse", e.Namespace)
	}
	b = openTag(b, "Error")
	b = textElement(b, "Code", e.Code)
	b = textElement(b, "Message", e.Message)
	b = appendFields(b, e.Fields)
	if e.Wrapped {
		b = closeTag(b, "Error")
	} else if e.Resource != "" {
		b = textElement(b, "Resource", e.Resource)
	}
	b = textElement(b, "RequestId", e.RequestID)
	b = textElement(b, "HostId", e.HostID)
	if e.Wrapped {
		return closeTag(b, "ErrorResponse")
	}
	return closeTag(b, "Error")
}

func (e *ErrorBody) query() []byte {
	kind := "Sender"
	if e.Receiver {
		kind = "Receiver"
	}
	b := openRoot(nil, "ErrorResponse", e.Namespace)
	b = openTag(b, "Error")
	b = textElement(b, "Type", kind)
	b = textElement(b, "Code", e.Code)
	b = textElement(b, "Message", e.Message)
	b = appendFields(b, e.Fields)
	b = closeTag(b, "Error")
	b = textElement(b, "RequestId", e.RequestID)
	return closeTag(b, "ErrorResponse")
}

// appendFields writes the extra elements. Their names come from the service and not from clients;
// one that is no XML name is left out rather than written.
func appendFields(b []byte, fields []fault.Field) []byte {
	for _, f := range fields {
		if isElementName(f.Name) {
			b = textElement(b, f.Name, f.Value)
		}
	}
	return b
}

func isElementName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != "" && isNameStart(s[0])
}

// json writes the code as __type also in rest-json, where clients look for it after the header
// X-Amzn-Errortype.
func (e *ErrorBody) json() []byte {
	message := or(e.MessageMember, "message")
	b := appendJSONString([]byte(`{"__type":`), e.Code)
	b = append(appendJSONString(append(b, ','), message), ':')
	b = appendJSONString(b, e.Message)
	for _, f := range e.Fields {
		if f.Name == message || f.Name == "__type" {
			continue
		}
		b = append(appendJSONString(append(b, ','), f.Name), ':')
		b = appendJSONString(b, f.Value)
	}
	return append(b, '}')
}
