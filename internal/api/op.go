package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
)

// Decl declares one operation: how it travels, what it demands, and what it does. It is the only
// way to a handler.
type Decl[In, Out any] struct {
	// Wire is the operation's binding, from the generated table of its service.
	Wire *wire.Operation
	// Class and Access tell how the operation is recorded. Required.
	Class  audit.Class
	Access Access
	// ReadEvent says that CloudTrail records the operation as read-only, though its access level is another:
	// uses of a KMS key.
	ReadEvent bool
	// Decode replaces the generated decoder on hot paths. It must understand the same requests.
	Decode func(*Call, *In) error
	// Demands are the permissions that the request needs. At least one; required.
	Demands func(*Call, *In) ([]authz.Demand, error)
	// Do is the service's method. Required. What it returns is encoded by the wire binding, unless
	// Out is a Responder.
	Do func(context.Context, authz.Grant, *Call, *In) (*Out, error)
	// MaxBody bounds the request body of an operation that does not stream. Default 1 MiB.
	MaxBody int64
	// Each says that the demands are decided one by one: a refused one does not refuse the request
	// but is found in Call.Refused under its index.
	Each bool
	// Unsigned lets a request without a signature reach the Guard as the anonymous principal. S3
	// sets it everywhere, other services on the calls that AWS leaves unsigned.
	Unsigned bool
}

// Access is the access level of an operation, as the Service Authorization Reference has it.
type Access uint8

// Access levels. The zero value is invalid.
const (
	_ Access = iota
	Read
	List
	Write
	Tagging
	Permissions
)

// ReadOnly tells whether operations of this level change nothing.
func (a Access) ReadOnly() bool { return a == Read || a == List }

// Responder is an output that writes itself: streams, hand-written XML, answers with special status.
type Responder interface {
	Respond(*Call) error
}

// Op is a declared operation. Only Declare makes one and only the Server runs it.
type Op struct {
	wire     *wire.Operation
	class    audit.Class
	access   Access
	maxBody  int64
	unsigned bool
	each     bool
	readOnly bool
	decode   func(*Call) (any, error)
	demands  func(*Call, any) ([]authz.Demand, error)
	do       func(context.Context, authz.Grant, *Call, any) (any, error)
}

const defaultMaxBody = 1 << 20

// Declare makes an Op. It panics when the declaration is incomplete: such a server must not start.
func Declare[In, Out any](d Decl[In, Out]) *Op {
	if err := d.check(); err != nil {
		panic(err)
	}
	op := &Op{wire: d.Wire, class: d.Class, access: d.Access, maxBody: d.MaxBody, unsigned: d.Unsigned, each: d.Each, readOnly: d.ReadEvent || d.Access.ReadOnly()}
	if op.maxBody == 0 {
		op.maxBody = defaultMaxBody
	}
	op.decode = func(c *Call) (any, error) {
		in := new(In)
		if d.Decode != nil {
			return in, d.Decode(c, in)
		}
		return in, c.decodeWire(in)
	}
	op.demands = func(c *Call, in any) ([]authz.Demand, error) { return d.Demands(c, in.(*In)) }
	op.do = func(ctx context.Context, g authz.Grant, c *Call, in any) (any, error) {
		out, err := d.Do(ctx, g, c, in.(*In))
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	return op
}

func (d *Decl[In, Out]) check() error {
	switch {
	case d.Wire == nil:
		return errors.New("api: an operation without a wire binding")
	case d.Demands == nil:
		return fmt.Errorf("api: %s declares no demands", d.Wire.Name)
	case d.Do == nil:
		return fmt.Errorf("api: %s declares no method", d.Wire.Name)
	case d.Class == 0 || d.Access == 0:
		return fmt.Errorf("api: %s declares no audit class or access level", d.Wire.Name)
	}
	return nil
}

// Name of the operation, as AWS has it.
func (o *Op) Name() string { return o.wire.Name }

// Wire is the operation's binding.
func (o *Op) Wire() *wire.Operation { return o.wire }

// Class is the operation's audit class.
func (o *Op) Class() audit.Class { return o.class }

// Access is the operation's access level.
func (o *Op) Access() Access { return o.access }

// ReadOnly is how the operation's events are recorded.
func (o *Op) ReadOnly() bool { return o.readOnly }

// MaxBody bounds the body of a request that does not stream.
func (o *Op) MaxBody() int64 { return o.maxBody }

// Each tells whether the demands are decided one by one.
func (o *Op) Each() bool { return o.each }

// Unsigned tells whether anonymous callers are let through to the Guard.
func (o *Op) Unsigned() bool { return o.unsigned }
