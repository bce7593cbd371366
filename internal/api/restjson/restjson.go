// Package restjson is what the services have in common that speak JSON and tell their operations apart
// by method and path: Access Analyzer, Lambda. A service is a table of operations, a table of answers,
// and nothing else.
//
// It promises that a request is routed by its path as it was sent: a label's value is unescaped after
// the path was taken apart, so that a slash in it never becomes a separator.
package restjson

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Config of a Service.
type Config struct {
	// Name is the signing name: "access-analyzer". Required.
	Name string
	// Model are all operations of the API model, declared or not. Required.
	Model map[string]*wire.Operation
	// Ops are the declared ones. Required.
	Ops []*api.Op
	// Answers tell the service's own failures, before the common ones.
	Answers map[fault.Kind]rpc.Answer
	// Errors are those of the model. Optional.
	Errors map[string]wire.ErrorShape
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	Log   *slog.Logger
}

// Service implements api.Service for one service of the protocol.
type Service struct {
	config Config
	ops    map[string]*api.Op
	routes []route
	// failures writes refusals as the other JSON services do.
	failures *rpc.Service
	large    room
}

// New makes a Service.
func New(c Config) *Service {
	s := &Service{config: c, ops: map[string]*api.Op{}}
	for _, op := range c.Ops {
		s.ops[op.Name()] = op
	}
	for _, op := range c.Model {
		s.routes = append(s.routes, route{op, strings.Split(strings.Trim(op.URI, "/"), "/")})
	}
	slices.SortFunc(s.routes, byPrecision)
	s.failures = rpc.New(rpc.Config{
		Name: c.Name, Protocol: wire.RestJSON, Model: c.Model, Answers: answersOf(c.Answers), Errors: c.Errors, Authn: c.Authn, Log: c.Log,
	})
	return s
}

// Name is the signing name.
func (s *Service) Name() string { return s.config.Name }

// Ops are the declared operations.
func (s *Service) Ops() []*api.Op { return s.config.Ops }

// target is what the service knows of a request.
type target struct {
	labels map[string]string
	query  url.Values
	unread error // why the body could not be read
	taken  int64 // bytes of room
}

func at(c *api.Call) *target { return c.Target.(*target) }

// Route finds the operation by method and path.
func (s *Service) Route(c *api.Call) (*api.Op, error) {
	t := &target{}
	c.Target = t
	query, err := url.ParseQuery(c.R.URL.RawQuery)
	t.query = query
	var w *wire.Operation
	if err == nil {
		w, t.labels = s.find(c.R.Method, c.R.URL.EscapedPath(), t.query)
	}
	var op *api.Op
	if w != nil {
		op = s.ops[w.Name]
	}
	if t.unread = s.read(c, t, op); t.unread != nil {
		return op, t.unread
	}
	switch {
	case err != nil:
		return nil, fault.New(rpc.Malformed, "The query string contains a syntax error.")
	case w == nil:
		return nil, fault.New(api.UnknownOperation, "Unable to determine service/operation name to be authorized")
	case op == nil:
		c.Event.Operation = w.Name
		return nil, fault.New(api.NotImplemented, "")
	}
	return op, nil
}

// usualBody is what every operation may be sent. A larger body is taken only by operations that declare
// it, from callers whose access key there is, and while there is room for it.
const usualBody = 1 << 20

// maxDiscarded is how much of a body that is too large is read to its sender's comfort.
const maxDiscarded = 128 << 20

func (s *Service) read(c *api.Call, t *target, op *api.Op) error {
	if op == nil || op.MaxBody() <= usualBody {
		return rpc.ReadPayload(c)
	}
	size := c.R.ContentLength
	if size < 0 {
		size = op.MaxBody()
	}
	if size > op.MaxBody() {
		if c.Inside() || s.config.Authn.Known(c.R) {
			// Who sends still would not read the answer: clients take a closed connection for a failure of theirs.
			_, _ = io.CopyN(io.Discard, c.R.Body, maxDiscarded)
		}
		return fault.New(api.BodyTooLarge, fmt.Sprintf("Request must be smaller than %d bytes for the %s operation", op.MaxBody(), op.Name()))
	}
	if size <= usualBody || !c.Inside() && !s.config.Authn.Known(c.R) {
		return rpc.ReadPayload(c)
	}
	if !s.large.take(c.R.Context(), size) {
		return fault.New(api.TooManyUploads, "")
	}
	t.taken = size
	c.R.Body = &paced{ReadCloser: c.R.Body, room: &s.large, began: time.Now()}
	return rpc.ReadPayloadUpTo(c, op.MaxBody())
}

// Finished gives back the room that the request's body took.
func (s *Service) Finished(c *api.Call) {
	if t, ok := c.Target.(*target); ok && t.taken > 0 {
		s.large.give(t.taken)
	}
}

func (s *Service) find(method, path string, query url.Values) (*wire.Operation, map[string]string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i := range s.routes {
		r := &s.routes[i]
		if r.op.Method != method || !r.asks(query) {
			continue
		}
		if labels, ok := r.match(parts); ok {
			return r.op, labels
		}
	}
	return nil, nil
}

// route is an operation with its path, taken apart.
type route struct {
	op    *wire.Operation
	parts []string
}

// byPrecision puts the routes first that say more: literal parts before labels, longer before shorter,
// those with literal parameters before those without.
func byPrecision(a, b route) int {
	if n := len(b.op.Query) - len(a.op.Query); n != 0 {
		return n
	}
	for i := range min(len(a.parts), len(b.parts)) {
		x, y := isLabel(a.parts[i]), isLabel(b.parts[i])
		switch {
		case x && !y:
			return 1
		case y && !x:
			return -1
		}
	}
	if n := len(b.parts) - len(a.parts); n != 0 {
		return n
	}
	return strings.Compare(a.op.Name, b.op.Name)
}

func isLabel(part string) bool { return strings.HasPrefix(part, "{") }

// asks tells whether the query has the literal parameters that the operation is told by.
func (r *route) asks(query url.Values) bool {
	for _, p := range r.op.Query {
		if !query.Has(p.Name) || p.Value != "" && query.Get(p.Name) != p.Value {
			return false
		}
	}
	return true
}

func (r *route) match(parts []string) (map[string]string, bool) {
	var labels map[string]string
	for i, part := range r.parts {
		if i >= len(parts) {
			return nil, false
		}
		if !isLabel(part) {
			if part != parts[i] {
				return nil, false
			}
			continue
		}
		name, greedy := strings.CutSuffix(strings.Trim(part, "{}"), "+")
		text := parts[i]
		if greedy {
			text = strings.Join(parts[i:], "/")
		}
		value, err := url.PathUnescape(text)
		if err != nil || value == "" {
			return nil, false
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[name] = value
		if greedy {
			return labels, true
		}
	}
	return labels, len(parts) == len(r.parts)
}

// Authenticate finds out who asks. The signature covers the body: of one that was not read nothing can
// be said.
func (s *Service) Authenticate(c *api.Call) (*authn.Caller, error) {
	if t := at(c); t.unread != nil {
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
	t := at(c)
	return &wire.Request{
		Path: func(label string) string { return t.labels[label] }, Query: t.query, Header: c.R.Header, Body: body,
	}, nil
}

// Check holds a decoded input to the constraints of the model.
func (s *Service) Check(c *api.Call, in any) error { return s.failures.Check(c, in) }

// Keys are the condition keys of the request: the global ones. What depends on the input stands in
// the demands of its operation.
func (s *Service) Keys(c *api.Call) authz.Keys { return api.RequestKeys{Call: c} }

// Succeed writes a generated output.
func (s *Service) Succeed(c *api.Call, out any) error {
	h := c.W.Header()
	h.Set("X-Amzn-Requestid", c.Peer.RequestID)
	w := c.Op.Wire()
	body, err := wire.Encode(w, out, h)
	if err != nil {
		return err
	}
	status := wire.StatusOf(w, out)
	if status == http.StatusNoContent {
		body = nil
	}
	return c.W.Send(status, h.Get("Content-Type"), body)
}

// Fail writes err.
func (s *Service) Fail(c *api.Call, err error) (int, string) { return s.failures.Fail(c, err) }

// answersOf are the service's own answers on top of those that services of this protocol tell with
// another status than the other JSON services.
func answersOf(own map[fault.Kind]rpc.Answer) map[fault.Kind]rpc.Answer {
	all := map[fault.Kind]rpc.Answer{
		authz.Denied:         {Code: "AccessDeniedException", Status: http.StatusForbidden, Message: "Access Denied"},
		api.UnknownOperation: {Code: "UnknownOperationException", Status: http.StatusNotFound},
		api.MissingToken:     {Code: "MissingAuthenticationTokenException", Status: http.StatusForbidden, Message: "Missing Authentication Token"},

		authn.UnknownKey:            {Code: "UnrecognizedClientException", Status: http.StatusForbidden, Message: "The security token included in the request is invalid."},
		authn.InactiveKey:           {Code: "UnrecognizedClientException", Status: http.StatusForbidden, Message: "The security token included in the request is invalid."},
		authn.BadToken:              {Code: "UnrecognizedClientException", Status: http.StatusForbidden, Message: "The security token included in the request is invalid."},
		authn.ExpiredToken:          {Code: "ExpiredTokenException", Status: http.StatusForbidden, Message: "The security token included in the request is expired"},
		authn.SignatureDoesNotMatch: {Code: "InvalidSignatureException", Status: http.StatusForbidden, Message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
		authn.TimeTooSkewed:         {Code: "InvalidSignatureException", Status: http.StatusForbidden, Message: "Signature expired: the request time is too far from the current time."},
	}
	for kind, a := range own {
		all[kind] = a
	}
	return all
}
