package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/front"
	"github.com/kura-s3/kura/policy"
)

// Failures of the pipeline itself.
const (
	// NotImplemented: AWS has it, Kura does not.
	NotImplemented fault.Kind = "api.NotImplemented"
	// UnknownOperation: nobody has it.
	UnknownOperation fault.Kind = "api.UnknownOperation"
	// BodyTooLarge: the body is larger than the operation's bound (field MaxMessageLengthBytes).
	BodyTooLarge fault.Kind = "api.BodyTooLarge"
	// MissingToken: a service that knows no anonymous callers was called without a signature.
	MissingToken fault.Kind = "api.MissingToken"
	// TooManyUploads: callers who proved nothing send too many bodies at once.
	TooManyUploads fault.Kind = "api.TooManyUploads"
	// ClientGone: the connection failed, or stood still, while the body was read.
	ClientGone fault.Kind = "api.ClientGone"
)

// Peer is what the front knows of the connection.
type Peer struct {
	IP         netip.Addr
	Secure     bool
	TLSVersion string // "1.2", "1.3", or ""
	Listener   string
	// Endpoint and VPC name the listener where it is a named one ("VPC endpoint"), else "".
	Endpoint, VPC string
	// Policy caps what requests through the listener can be allowed ("VPC endpoint policy"); nil does not.
	Policy    *policy.Document
	RequestID string
	HostID    string
}

// Call is one request on its way down the staircase.
type Call struct {
	W       Response
	R       *http.Request
	Peer    Peer
	Started time.Time
	Service Service
	Op      *Op
	Caller  *authn.Caller
	// Target is the service's own view of what is addressed, set by its Route.
	Target any
	// Refused are the denials of an operation whose demands are decided one by one.
	Refused []error
	// Event is the record in the making.
	Event audit.Event

	// subject on whose behalf Kura itself makes the request; nil for those of the network.
	subject   *authz.Subject
	completed bool
	// input and output are what the record shows of the operation's.
	input, output any
	body          []byte
	bodyRead      bool
	all           []authz.Demand  // what Need was told
	few           [3]authz.Demand // where all begins, so that most calls allocate nothing
	inquiry       authz.Inquiry
}

// Inside tells a request that Kura itself makes from those of the network.
func (c *Call) Inside() bool { return c.subject != nil }

// NewCall begins a call. The Server makes one for each request; a test may, to look at what a
// Responder writes.
func NewCall(w http.ResponseWriter, r *http.Request) *Call {
	return &Call{W: Response{next: w}, R: r}
}

// Need adds a demand to those of the call and returns all so far: a declaration's Demands is
// usually one line of it.
func (c *Call) Need(action string, resource authz.Resource, keys authz.Keys) []authz.Demand {
	d := authz.Demand{Action: action, Resource: resource, Keys: keys}
	if c.all == nil {
		c.all = c.few[:0]
	}
	c.all = append(c.all, d)
	return c.all[:len(c.all):len(c.all)]
}

// Introduce replaces the anonymous caller of an unsigned operation by the one that its input proved
// (a web identity's token). A declaration's Demands call it, before the Guard is asked.
func (c *Call) Introduce(subject authz.Subject) {
	caller := *c.Caller // the anonymous one may be shared
	caller.Subject = subject
	c.Caller = &caller
	c.Event.Principal = subject.Principal
	c.inquiry.Subject = &caller.Subject
}

// Body reads the whole verified body of an operation that does not stream. A second call returns
// the same bytes.
func (c *Call) Body() ([]byte, error) {
	if c.bodyRead {
		return c.body, nil
	}
	limit := int64(defaultMaxBody)
	if c.Op != nil {
		limit = c.Op.maxBody
	}
	if c.R.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	var buf bytes.Buffer
	if c.R.ContentLength > 0 {
		buf.Grow(int(c.R.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(c.Caller.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, tooLarge(limit)
	}
	c.body, c.bodyRead = buf.Bytes(), true
	return c.body, nil
}

// SetBody is for services that read the whole body before they know the caller, because its
// signature covers it.
func (c *Call) SetBody(b []byte) { c.body, c.bodyRead = b, true }

// bodyError keeps errors that carry a kind and names the rest: they are the client's connection.
func bodyError(err error) error {
	if fault.Of(err) != "" {
		return err
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return tooLarge(tooBig.Limit)
	}
	if errors.Is(err, front.ErrTooManyUploads) {
		return &fault.Error{Kind: TooManyUploads, Cause: err}
	}
	return &fault.Error{Kind: ClientGone, Cause: err}
}

// body names the failures of a connection while its body is read, wherever that is.
type body struct{ io.Reader }

func (b body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = bodyError(err)
	}
	return n, err
}

func (c *Call) decodeWire(in any) error {
	var payload []byte
	if !c.Op.wire.StreamingInput {
		var err error
		if payload, err = c.Body(); err != nil {
			return err
		}
	}
	req, err := c.Service.WireRequest(c, payload)
	if err != nil {
		return err
	}
	if err := wire.Decode(c.Op.wire, req, in); err != nil {
		return err
	}
	if checker, ok := c.Service.(Checker); ok {
		return checker.Check(c, in)
	}
	return nil
}

// Checker is a service that holds decoded inputs to the constraints of the API model.
type Checker interface {
	Check(c *Call, in any) error
}

func tooLarge(limit int64) error {
	return fault.New(BodyTooLarge, "", "MaxMessageLengthBytes", strconv.FormatInt(limit, 10))
}
