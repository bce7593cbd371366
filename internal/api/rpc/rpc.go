// Package rpc is what the services have in common whose requests name their operation: the query
// protocol (Action=…) of IAM and STS and the JSON protocols (X-Amz-Target) of Organizations, KMS and
// others. A service is a table of operations, a table of answers, and nothing else.
package rpc

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/front"
)

// Failures of this package.
const (
	// Invalid: the input breaks constraints of the API model; the message lists them.
	Invalid fault.Kind = "rpc.Invalid"
	// Malformed: the body is not what the protocol sends.
	Malformed fault.Kind = "rpc.Malformed"
	// MissingAction: the request names no operation.
	MissingAction fault.Kind = "rpc.MissingAction"
)

// Answer is how a failure is told.
type Answer struct {
	Code    string
	Status  int
	Message string
}

// Config of a Service.
type Config struct {
	// Name is the signing name: "iam". Required.
	Name string
	// Protocol that the service speaks. Required.
	Protocol wire.Protocol
	// Model are all operations of the API model, declared or not. Required.
	Model map[string]*wire.Operation
	// Ops are the declared ones. Required.
	Ops []*api.Op
	// Answers tell the service's own failures, before the common ones.
	Answers map[fault.Kind]Answer
	// Errors are those of the model, which say how the message of an error is spelt. Optional.
	Errors map[string]wire.ErrorShape
	// QueryCodes are the codes by which the service's former query protocol told what Code tells now, for
	// clients that still look for them (smithy.io, "awsQueryCompatible"). Nil: there was no such protocol.
	QueryCodes func(code string) string
	// MaxPayload bounds the body of a caller whose access key there is; of anybody else 1 MiB does. Default 1 MiB.
	MaxPayload int64
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	Log   *slog.Logger
}

// Service implements api.Service for one service of these protocols.
type Service struct {
	config Config
	ops    map[string]*api.Op
}

// New makes a Service.
func New(c Config) *Service {
	s := &Service{config: c, ops: map[string]*api.Op{}}
	for _, op := range c.Ops {
		s.ops[op.Name()] = op
	}
	return s
}

// Name is the signing name.
func (s *Service) Name() string { return s.config.Name }

// Ops are the declared operations.
func (s *Service) Ops() []*api.Op { return s.config.Ops }

// maxPayload bounds a body: 128 KiB of policy document, each byte escaped as three, and room for
// the rest of the form.
const maxPayload = 1 << 20

// maxUnsigned bounds a body that nobody signed: a web identity's token (20,000 characters) and a
// session policy.
const maxUnsigned = 64 << 10

// call is what the service knows of a request.
type call struct {
	action string
	form   url.Values // query protocol
	unread error      // why the body could not be read
}

// Claims recognises requests of the service that carry no signature, by the name of their operation.
func (s *Service) Claims(r *http.Request) bool {
	if s.config.Protocol != wire.Query {
		op, ok := s.targeted(r)
		return ok && s.config.Model[op] != nil
	}
	if r.Method == http.MethodPost && isForm(r) && r.URL.Path == "/" {
		return s.config.Name == "sts" // the one query service with unsigned calls
	}
	return r.URL.Path == "/" && s.config.Model[r.URL.Query().Get("Action")] != nil
}

// targeted is the operation that X-Amz-Target names. Where the prefix has several parts (CloudTrail), SDKs
// differ in how many they send.
func (s *Service) targeted(r *http.Request) (op string, ok bool) {
	target, prefix := r.Header.Get("X-Amz-Target"), s.targetPrefix()
	if op, ok = strings.CutPrefix(target, prefix); ok {
		return op, true
	}
	return strings.CutPrefix(target, prefix[strings.LastIndexByte(strings.TrimSuffix(prefix, "."), '.')+1:])
}

func (s *Service) targetPrefix() string {
	for _, op := range s.config.Model {
		return op.Target[:strings.LastIndexByte(op.Target, '.')+1]
	}
	return "\x00"
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

// Route finds the operation that the request names.
func (s *Service) Route(c *api.Call) (*api.Op, error) {
	t := &call{}
	c.Target = t
	if t.unread = ReadPayloadUpTo(c, s.limit(c)); t.unread != nil {
		return nil, t.unread
	}
	if err := s.readAction(c, t); err != nil {
		return nil, err
	}
	if op := s.ops[t.action]; op != nil {
		return op, nil
	}
	if s.config.Model[t.action] != nil {
		c.Event.Operation = t.action
		return nil, fault.New(api.NotImplemented, "")
	}
	return nil, fault.New(api.UnknownOperation, "Could not find operation "+t.action)
}

// limit of the body: it is read before the signature is checked, so a large one is for those who name an access key
// that there is.
func (s *Service) limit(c *api.Call) int64 {
	n := c.R.ContentLength
	if s.config.MaxPayload > maxPayload && (n < 0 || n > maxPayload) && (c.Inside() || s.config.Authn.Known(c.R)) {
		return s.config.MaxPayload
	}
	return maxPayload
}

// ReadPayload takes the whole body: its signature covers it, so it is read before the caller is known.
func ReadPayload(c *api.Call) error { return ReadPayloadUpTo(c, maxPayload) }

// ReadPayloadUpTo is ReadPayload with another bound for signed requests.
func ReadPayloadUpTo(c *api.Call, limit int64) error {
	c.SetBody(nil)
	if !c.Inside() && c.R.Header.Get("Authorization") == "" && !strings.Contains(c.R.URL.RawQuery, "X-Amz-") {
		limit = min(limit, maxUnsigned)
	}
	if c.R.ContentLength > limit {
		return fault.New(api.BodyTooLarge, "")
	}
	var read bytes.Buffer
	if c.R.ContentLength > 0 {
		read.Grow(int(c.R.ContentLength) + bytes.MinRead)
	}
	_, err := read.ReadFrom(io.LimitReader(c.R.Body, limit+1))
	body := read.Bytes()
	switch {
	case errors.Is(err, front.ErrTooManyUploads):
		return &fault.Error{Kind: api.TooManyUploads, Cause: err}
	case err != nil:
		return &fault.Error{Kind: api.ClientGone, Cause: err}
	}
	if int64(len(body)) > limit {
		return fault.New(api.BodyTooLarge, "")
	}
	c.SetBody(body)
	return nil
}

func (s *Service) readAction(c *api.Call, t *call) error {
	if s.config.Protocol != wire.Query {
		t.action, _ = s.targeted(c.R)
		if t.action == "" {
			return fault.New(MissingAction, "")
		}
		return nil
	}
	body, _ := c.Body()
	text := c.R.URL.RawQuery
	if c.R.Method == http.MethodPost {
		text = string(body)
	}
	form, err := url.ParseQuery(text)
	if err != nil {
		return fault.New(Malformed, "The request body is not a form.")
	}
	t.form = form
	if t.action = form.Get("Action"); t.action == "" {
		return fault.New(MissingAction, "")
	}
	return nil
}

// Authenticate finds out who asks. The signature covers the body: of one that was not read nothing can
// be said, least of all that its signature is wrong.
func (s *Service) Authenticate(c *api.Call) (*authn.Caller, error) {
	if t := c.Target.(*call); t.unread != nil {
		return nil, t.unread
	}
	body, _ := c.Body()
	if body == nil {
		body = []byte{}
	}
	return s.config.Authn.Request(c.R, authn.Info{
		Host: c.R.Host, RawPath: c.R.URL.EscapedPath(), Secure: c.Peer.Secure, RemoteIP: c.Peer.IP, Payload: body,
	})
}

// WireRequest gives the generated decoder its view.
func (s *Service) WireRequest(c *api.Call, body []byte) (*wire.Request, error) {
	return &wire.Request{
		Path: func(string) string { return "" }, Query: c.Target.(*call).form, Header: c.R.Header, Body: body,
	}, nil
}

// Check holds a decoded input to the constraints of the model.
func (s *Service) Check(c *api.Call, in any) error {
	if violations := wire.Validate(c.Op.Wire(), in); len(violations) > 0 {
		return fault.New(Invalid, wire.ValidationMessage(violations))
	}
	return nil
}

// Keys are the condition keys of the request: the global ones. What depends on the input stands in
// the demands of its operation.
func (s *Service) Keys(c *api.Call) authz.Keys { return api.RequestKeys{Call: c} }

// Succeed writes a generated output.
func (s *Service) Succeed(c *api.Call, out any) error {
	h := c.W.Header()
	h.Set("X-Amzn-Requestid", c.Peer.RequestID)
	body, err := wire.Encode(c.Op.Wire(), out, h)
	if err != nil {
		return err
	}
	return c.W.Send(http.StatusOK, h.Get("Content-Type"), body)
}

// Fail writes err in the service's protocol.
func (s *Service) Fail(c *api.Call, err error) (int, string) {
	f, a := s.explain(err)
	message := a.Message
	if f.Message != "" {
		message = f.Message
	}
	namespace := ""
	for _, op := range s.config.Model {
		namespace = op.Namespace
		break
	}
	h := c.W.Header()
	h.Set("X-Amzn-Requestid", c.Peer.RequestID)
	doc := wire.ErrorBody{
		Protocol: s.config.Protocol, Namespace: namespace, Receiver: a.Status >= 500, Code: a.Code, Message: message,
		Fields: f.Fields, RequestID: c.Peer.RequestID, MessageMember: s.config.Errors[a.Code].MessageMember,
	}
	if s.config.QueryCodes != nil {
		whose := "Sender"
		if a.Status >= http.StatusInternalServerError {
			whose = "Receiver"
		}
		h.Set("X-Amzn-Query-Error", s.config.QueryCodes(a.Code)+";"+whose)
	}
	switch s.config.Protocol {
	case wire.Query:
		doc.Fields = nil
	case wire.RestJSON:
		h.Set("X-Amzn-Errortype", a.Code)
	}
	body, contentType := doc.Encode()
	if err := c.W.Send(a.Status, contentType, body); err != nil {
		s.config.Log.Debug("error answer not delivered", "requestId", c.Peer.RequestID, "err", err)
	}
	return a.Status, a.Code
}

func (s *Service) explain(err error) (*fault.Error, Answer) {
	var w *wire.Error
	if errors.As(err, &w) {
		err = &fault.Error{Kind: Malformed, Message: w.Told(), Cause: w}
	}
	var f *fault.Error
	if errors.As(err, &f) {
		if a, ok := s.config.Answers[f.Kind]; ok {
			return f, a
		}
		table := queryAnswers
		if s.config.Protocol != wire.Query {
			table = jsonAnswers
		}
		if a, ok := table[f.Kind]; ok {
			return f, a
		}
	}
	return &fault.Error{}, Answer{"InternalFailure", 500, "The request processing has failed because of an unknown error, exception or failure."}
}
