// Package invoke carries out asynchronous invocations of functions: it keeps them in the event queue, has
// them run, and sends what became of them to the functions' destinations.
//
// Promises: an invocation lies sealed in the queue until it has succeeded or was given up, across restarts;
// one whose end was told may run again after a crash, never be lost. How often and how long it is tried is
// the function's affair.
package invoke

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/job/delivery"
)

// Kind of the deliveries that are invocations, and of the carrier that takes them.
const Kind = "lambda/invocation"

// Queue puts invocations into the event queue. It implements function.Queue.
type Queue struct{ Deliveries *queue.Queue }

// kept is how long an invocation stays in the queue at most. Before that it is too old for any function.
const kept = 48 * time.Hour

// Enqueue implements function.Queue.
func (q Queue) Enqueue(ctx context.Context, lane, account, functionARN, requestID string, sealed []byte) error {
	return q.Deliveries.Put(ctx, &queue.Delivery{
		Target: lane, Kind: Kind, Account: account, Cause: functionARN, EventID: requestID, Payload: sealed,
		Expires: time.Now().Add(kept), MaxRetries: -1,
	})
}

// Carrier runs what the queue has. It implements delivery.Carrier.
type Carrier struct {
	// Functions run it. Required.
	Functions *function.Store
	// Deliveries takes what destinations are told. Required.
	Deliveries *queue.Queue
	// Guard grants it. Required.
	Guard *authz.Guard

	mu      sync.Mutex
	granted bool
	grant   authz.Grant
}

// permission to run what was let through when it was queued: asked for once.
func (c *Carrier) permission(ctx context.Context) (g authz.Grant, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.granted {
		c.grant, err = c.Guard.System(ctx, "functions", authz.Demand{Action: "lambda:InvokeFunction", Resource: authz.Resource{ARN: "*"}})
		c.granted = err == nil
	}
	return c.grant, err
}

// progress is what is kept of a delivery between its tries.
type progress struct{ Tries, Waits int }

// TryTimeout implements delivery.Patient: as long as a function may run, and what is around it.
func (*Carrier) TryTimeout() time.Duration { return 16 * time.Minute }

// Carry implements delivery.Carrier.
func (c *Carrier) Carry(ctx context.Context, d *queue.Delivery) error {
	var p progress
	if len(d.Options) > 0 {
		if err := json.Unmarshal(d.Options, &p); err != nil {
			return &delivery.Refused{Reason: "a record of an unknown form"}
		}
	}
	g, err := c.permission(ctx)
	if err != nil {
		return err
	}
	v := c.Functions.RunQueued(ctx, g, d.EventID, d.Payload, p.Tries, p.Waits)
	if v.Again != function.Over {
		if v.Tries == p.Tries {
			p.Waits++
		}
		p.Tries = v.Tries
		if d.Options, err = json.Marshal(p); err != nil {
			return err
		}
		return &delivery.Later{Reason: v.Err.Error(), Wait: v.Again}
	}
	var tell []*queue.Delivery
	for i := range v.Tell {
		tell = append(tell, letter(&v.Tell[i]))
	}
	if err := c.Deliveries.Put(context.WithoutCancel(ctx), tell...); err != nil {
		return err
	}
	if v.Err != nil {
		return &delivery.Refused{Reason: v.Err.Error()}
	}
	return nil
}

// Letters are tried for a day.
const (
	letterLife    = 24 * time.Hour
	letterRetries = 185
)

// Options of a delivery to a destination.
type Options struct {
	// MessageAttributes of the message, where the service has such.
	MessageAttributes map[string]Attribute `json:",omitempty"`
	// DetailType and Resources of the event, for a bus.
	DetailType string   `json:",omitempty"`
	Resources  []string `json:",omitempty"`
}

// Attribute of a message.
type Attribute struct{ DataType, StringValue string }

// letter is the delivery of a record to a destination.
func letter(t *function.Destination) *queue.Delivery {
	o := Options{DetailType: "Lambda Function Invocation Result - Success", Resources: []string{t.FunctionARN, t.ARN}}
	if t.Failed {
		o.DetailType = "Lambda Function Invocation Result - Failure"
	}
	if t.Code != "" {
		o.MessageAttributes = map[string]Attribute{
			"RequestID": {"String", t.RequestID}, "ErrorCode": {"Number", t.Code}, "ErrorMessage": {"String", t.Error},
		}
	}
	raw, _ := json.Marshal(o) // of plain values
	kind := ""
	if f := strings.SplitN(t.ARN, ":", 4); len(f) == 4 {
		kind = f[2]
	}
	return &queue.Delivery{
		Target: t.ARN, Kind: kind, Account: t.Account, Cause: t.FunctionARN, EventID: t.RequestID, Role: t.Role, Payload: t.Payload, Options: raw,
		Expires: time.Now().Add(letterLife), MaxRetries: letterRetries,
	}
}
