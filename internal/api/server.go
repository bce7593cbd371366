// Package api is the staircase that every request walks down and never up again:
//
//  1. route         which service, which operation?
//  2. authenticate  who asks? (header, presigned, form, anonymous → a Subject)
//  3. decode        bytes → typed input
//  4. authorize     the operation's declared demands, before the Guard, which records
//  5. handle        the service's method, under the Grant
//  6. encode        typed output → bytes
//  7. record        event, metrics, log: once, for every request
//
// An operation is one declaration (Declare). Nothing else reaches a handler.
//
// Authentication stands before decoding, as AWS answers a bad signature before a bad body, and so
// that nobody unknown makes Kura buffer a body.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sort"
	"strconv"
	"time"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
)

// Service is one AWS service: its operations, its way of telling them apart and of saying no.
type Service interface {
	// Name is the signing name: "s3", "iam", "sts".
	Name() string
	// Ops are all operations of the service.
	Ops() []*Op
	// Route finds the addressed operation and sets c.Target. It reads the request line, headers
	// and, for protocols that name the operation in the body, c.Body. Its error is answered only
	// after the caller is known.
	Route(c *Call) (*Op, error)
	// Authenticate finds out who asks.
	Authenticate(c *Call) (*authn.Caller, error)
	// WireRequest gives the decoder its view of the request.
	WireRequest(c *Call, body []byte) (*wire.Request, error)
	// Keys are the condition keys of the request.
	Keys(c *Call) authz.Keys
	// Succeed writes the encoded output.
	Succeed(c *Call, out any) error
	// Fail writes err in the service's protocol and returns the status and code that it wrote.
	Fail(c *Call, err error) (status int, code string)
}

// Finisher is a service that is told of the end of each request, of a panic too: then the event has no status.
type Finisher interface {
	Finished(*Call)
}

// Meter is told of every finished request.
type Meter interface {
	Request(operation string, status int, d time.Duration, in, out int64)
}

// Config of a Server.
type Config struct {
	// Services by signing name. The one named "s3" takes what no other claims. Required.
	Services []Service
	// Guard decides. Required.
	Guard *authz.Guard
	// Recorder gets every finished event. Required.
	Recorder audit.Recorder
	// Peer tells what the front knows of a request. Required.
	Peer func(*http.Request) Peer
	// Serves tells whether a service answers requests from that peer. Nil: all do.
	Serves func(p *Peer, service string) bool
	// Introduced is told of every caller whose signature was good. Optional.
	Introduced func(*Call)
	// Meter is optional.
	Meter Meter
	// Observe is told of every finished request whose operation is known, before its record is written. It
	// must not block, and keeps nothing of the event but strings. Optional.
	Observe func(*audit.Event)
	// Log is required.
	Log *slog.Logger
	// Region that answers carry and signatures must name.
	Region string
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server runs the staircase. It is the only http.Handler that reaches a service.
type Server struct {
	config   Config
	services map[string]Service
	s3       Service
}

// NewServer checks the table of operations and makes a Server.
func NewServer(c Config) (*Server, error) {
	if c.Guard == nil || c.Recorder == nil || c.Peer == nil || c.Log == nil {
		return nil, errors.New("api: a server needs a guard, a recorder, a peer function and a log")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{config: c, services: map[string]Service{}}
	for _, service := range c.Services {
		if _, twice := s.services[service.Name()]; twice {
			return nil, errors.New("api: two services are named " + service.Name())
		}
		s.services[service.Name()] = service
	}
	if s.s3 = s.services["s3"]; s.s3 == nil {
		return nil, errors.New("api: there is no s3 service")
	}
	return s, nil
}

// Ops are all operations of all services, by service and name.
func (s *Server) Ops() []*Op {
	var ops []*Op
	for _, service := range s.services {
		ops = append(ops, service.Ops()...)
	}
	sort.Slice(ops, func(i, j int) bool {
		a, b := ops[i].wire, ops[j].wire
		return a.Service+" "+a.Name < b.Service+" "+b.Name
	})
	return ops
}

// ServeHTTP is the life of a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := NewCall(w, r)
	c.Peer = s.config.Peer(r)
	s.serve(c)
}

func (s *Server) serve(c *Call) {
	c.Started = s.config.Now()
	defer func() { // panics included: a service gives back what the request held
		if f, ok := c.Service.(Finisher); ok {
			f.Finished(c)
		}
	}()
	s.begin(c)

	out, err := s.descend(c)
	if err == nil {
		err = s.answer(c, out)
	}
	if err != nil {
		s.refuse(c, err)
	}
	s.record(c)
}

// begin fills what is known before anything was read.
func (s *Server) begin(c *Call) {
	h := c.W.Header()
	h["Server"] = serverHeader
	h["X-Amz-Request-Id"] = []string{c.Peer.RequestID}
	h["X-Amz-Id-2"] = []string{c.Peer.HostID}
	ev := &c.Event
	ev.RequestID, ev.Time, ev.Region = c.Peer.RequestID, c.Started, s.config.Region
	ev.TLS, ev.Host, ev.Method = c.Peer.TLSVersion, c.R.Host, c.R.Method
	ev.UserAgent, ev.Peer, ev.Endpoint = c.R.UserAgent(), c.Peer.IP, c.Peer.Endpoint
}

var serverHeader = []string{"AmazonS3"}

// descend walks stages 1 to 5.
func (s *Server) descend(c *Call) (any, error) {
	// 1. route
	c.Service = s.service(c)
	c.Event.Service = c.Service.Name()
	op, routeErr := c.Service.Route(c)
	c.Op = op
	if op != nil {
		c.Event.Operation, c.Event.Class, c.Event.ReadOnly = op.Name(), op.class, op.readOnly
		c.Event.API = op.wire.Service
	}
	if !s.serves(c) {
		return nil, fault.New(authz.Denied, "This endpoint does not serve "+c.Service.Name()+" here.")
	}
	// 2. authenticate
	caller, err := s.authenticate(c)
	if err != nil {
		return nil, err
	}
	if err := signedFor(caller, c.Service); err != nil {
		return nil, err
	}
	s.introduce(c, caller)
	if caller.AuthType == authn.Anonymous && c.Service != s.s3 && (op == nil || !op.unsigned) {
		return nil, fault.New(MissingToken, "")
	}
	if routeErr != nil {
		return nil, routeErr
	}
	// 3. decode
	in, err := op.decode(c)
	if err != nil {
		return nil, err
	}
	c.input = in
	// 4. authorize
	ctx := c.R.Context()
	demands, err := op.demands(c, in)
	if err != nil {
		return nil, err
	}
	var grant authz.Grant
	if op.each {
		grant, c.Refused, err = s.config.Guard.DecideEach(ctx, &c.inquiry, demands...)
	} else {
		grant, err = s.config.Guard.Decide(ctx, &c.inquiry, demands...)
	}
	if err != nil {
		return nil, err
	}
	// 5. handle
	return op.do(ctx, grant, c, in)
}

// serves tells whether the service is reachable from where the request came: before anybody is known.
func (s *Server) serves(c *Call) bool {
	return s.config.Serves == nil || c.subject != nil || s.config.Serves(&c.Peer, c.Service.Name())
}

// authenticate finds out who asks: who signed, or on whose behalf Kura itself does.
func (s *Server) authenticate(c *Call) (*authn.Caller, error) {
	if c.subject != nil {
		return c.inCaller(), nil
	}
	return c.Service.Authenticate(c)
}

// signedFor refuses a signature that was made for another service than the one that read the request:
// the services sign paths and bodies by different rules, and what one rule leaves open must not be
// filled in by another.
func signedFor(caller *authn.Caller, service Service) error {
	if caller.AuthType == authn.Anonymous || caller.Service == service.Name() {
		return nil
	}
	kind, place := authn.HeaderMalformed, "The authorization header is malformed"
	if caller.AuthType != authn.Header {
		kind, place = authn.QueryMalformed, "Error parsing the X-Amz-Credential parameter"
	}
	return fault.New(kind, place+`; incorrect service "`+caller.Service+`". This endpoint belongs to "`+service.Name()+`".`)
}

// introduce notes who asks.
func (s *Server) introduce(c *Call, caller *authn.Caller) {
	c.Caller = caller
	if caller.Body != nil && caller.Body != http.NoBody {
		caller.Body = body{caller.Body}
	}
	c.Event.Principal = caller.Subject.Principal
	c.Event.AccessKey = caller.Subject.AccessKey
	c.Event.AuthType = caller.AuthType.String()
	c.inquiry = authz.Inquiry{Subject: &caller.Subject, Keys: c.Service.Keys(c), Endpoint: c.Peer.Policy, Event: &c.Event}
	if s.config.Introduced != nil && caller.AuthType != authn.Anonymous && c.subject == nil {
		s.config.Introduced(c)
	}
}

// answer is stage 6. A management write is on record, durably, before its first byte goes out.
func (s *Server) answer(c *Call, out any) error {
	if c.Op.class == audit.Management && !c.Op.access.ReadOnly() {
		c.Event.Status, c.output = c.Op.wire.Status, out
		if err := s.complete(c); err != nil {
			return &fault.Error{Kind: authz.Unrecorded, Cause: err}
		}
	}
	var err error
	if r, ok := out.(Responder); ok {
		err = r.Respond(c)
	} else {
		err = c.Service.Succeed(c, out)
	}
	if err != nil && c.W.started {
		s.broken(c, err)
	}
	return err
}

// broken ends an answer that began well: the client must not take it for whole.
func (s *Server) broken(c *Call, err error) {
	if fault.Of(err) != ClientGone {
		s.config.Log.Error("answer broken off", "requestId", c.Peer.RequestID, "operation", c.Op.Name(), "err", err)
	}
	c.Event.ErrorText = err.Error()
	s.record(c)
	panic(http.ErrAbortHandler)
}

// refuse writes an error.
func (s *Server) refuse(c *Call, err error) {
	if fault.Is(err, authz.Denied) && c.Caller != nil && c.Caller.AuthType != authn.Anonymous {
		c.W.Header()["X-Kura-Decision-Id"] = []string{c.Peer.RequestID}
	}
	status, code := c.Service.Fail(c, err)
	c.Event.Status, c.Event.ErrorCode = status, code
	var f *fault.Error
	if errors.As(err, &f) {
		c.Event.ErrorText = f.Message
	}
	if status >= http.StatusInternalServerError && status != http.StatusNotImplemented {
		s.config.Log.Error("request failed", "requestId", c.Peer.RequestID, "operation", c.Event.Operation, "code", code, "err", err)
	}
}

// record is stage 7.
func (s *Server) record(c *Call) {
	if c.W.status != 0 {
		c.Event.Status = c.W.status
	}
	c.Event.BytesOut = c.W.written
	if err := s.complete(c); err != nil {
		s.config.Log.Error("event not recorded", "requestId", c.Peer.RequestID, "err", err)
	}
	name := c.Event.Operation
	if name == "" {
		name = "Unknown"
	}
	if s.config.Meter != nil {
		s.config.Meter.Request(name, c.Event.Status, c.Event.Duration, c.Event.BytesIn, c.Event.BytesOut)
	}
	if s.config.Log.Enabled(c.R.Context(), slog.LevelDebug) {
		s.config.Log.Debug("request", "requestId", c.Peer.RequestID, "service", c.Event.Service, "operation", name,
			"status", c.Event.Status, "code", c.Event.ErrorCode, "principal", c.Event.Principal.ARN,
			"ip", c.Event.SourceIP, "duration", c.Event.Duration)
	}
}

// complete hands the event to the recorder, once.
func (s *Server) complete(c *Call) error {
	if c.Event.ID == "" {
		c.Event.ID = c.Peer.RequestID
	}
	c.Event.Duration = s.config.Now().Sub(c.Started)
	if c.completed {
		return nil
	}
	c.completed = true
	if s.config.Observe != nil {
		s.config.Observe(&c.Event)
	}
	if !s.config.Recorder.Wants(&c.Event) {
		return nil
	}
	if c.Peer.IP.IsValid() {
		c.Event.SourceIP = c.Peer.IP.String()
	}
	c.Event.URI = auditURI(c.R, c.Event.Service)
	if err := detail(c); err != nil {
		s.config.Log.Error("an event is recorded in part", "requestId", c.Peer.RequestID, "operation", c.Event.Operation, "err", err)
	}
	ctx := context.WithoutCancel(c.R.Context())
	return s.config.Recorder.Complete(ctx, &c.Event)
}

// Response is the answer being written: it remembers its status and size.
type Response struct {
	next    http.ResponseWriter
	status  int
	written int64
	started bool
	first   time.Time // when the answer began
}

// Header of the answer.
func (w *Response) Header() http.Header { return w.next.Header() }

// WriteHeader sends status and headers.
func (w *Response) WriteHeader(status int) {
	if w.started {
		return
	}
	w.status, w.started, w.first = status, true, time.Now()
	w.next.WriteHeader(status)
}

// Write sends body bytes.
func (w *Response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.next.Write(b)
	w.written += int64(n)
	if err != nil {
		return n, &fault.Error{Kind: ClientGone, Cause: err}
	}
	return n, nil
}

// Send writes a whole answer of known size.
func (w *Response) Send(status int, contentType string, body []byte) error {
	h := w.Header()
	if len(body) > 0 && contentType != "" {
		h["Content-Type"] = []string{contentType}
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	if len(body) == 0 {
		return nil
	}
	_, err := w.Write(body)
	return err
}
