package authz

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

// Failures of this package.
const (
	// Denied: the policy engine said no. Message is AWS's sentence for the caller.
	Denied fault.Kind = "authz.Denied"
	// Changed: the resource is no longer what was decided about. The same request is decided anew.
	Changed fault.Kind = "authz.Changed"
	// Unrecorded: the decision could not be written down, so nothing is done.
	Unrecorded fault.Kind = "authz.Unrecorded"
	// NotGranted: a domain method touched what its Grant does not cover. A defect of Kura, never a
	// client's; it is told as an internal error.
	NotGranted fault.Kind = "authz.NotGranted"
)

// Config of a Guard.
type Config struct {
	// Recorder writes every decided request. Required.
	Recorder audit.Recorder
	// Count is told of every decision, for metrics. Optional.
	Count func(allowed bool)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Guard decides and records. Safe for concurrent use.
type Guard struct {
	recorder audit.Recorder
	count    func(bool)
	now      func() time.Time
	refused  refusals
}

// New makes a Guard.
func New(c Config) *Guard {
	if c.Recorder == nil {
		panic("authz: a Guard without a Recorder would decide off the record")
	}
	g := &Guard{recorder: c.Recorder, count: c.Count, now: c.Now}
	if g.count == nil {
		g.count = func(bool) {}
	}
	if g.now == nil {
		g.now = time.Now
	}
	return g
}

// Inquiry is one request before the Guard: who asks, in what circumstances, and the event under
// which the answer is recorded.
type Inquiry struct {
	Subject *Subject
	// Keys are the condition keys of the request itself (aws:SourceIp, s3:authType, …).
	Keys Keys
	// Endpoint is the policy of the listener that the request came through, nil for none.
	Endpoint *policy.Document
	Event    *audit.Event
}

// Grant is permission to do what was demanded. The zero Grant permits nothing. Only a Guard makes one.
type Grant struct{ sheet *sheet }

// sheet is what stands behind a Grant.
type sheet struct {
	guard   *Guard
	inquiry *Inquiry
	context requestContext
	first   [2]allowance // room for the usual demands without a further allocation
	allowed []allowance
	index   map[allowance]bool // of allowed, where there are many
	judged  []judged
	system  bool
}

type allowance struct{ action, resource string }

// judged is an allowance that was decided by what the resource was like.
type judged struct {
	allowance
	was any
}

// Decide answers the demands of in: all must be allowed. The decisions are recorded before it
// returns; when that fails nothing is granted.
func (g *Guard) Decide(ctx context.Context, in *Inquiry, demands ...Demand) (Grant, error) {
	if in == nil || in.Subject == nil || in.Event == nil || len(demands) == 0 {
		return Grant{}, fault.New(NotGranted, "a decision needs a subject, an event and a demand")
	}
	s := &sheet{guard: g, inquiry: in}
	s.allowed = s.first[:0]
	err := s.decide(demands)
	if recErr := g.recorder.Begin(ctx, in.Event); recErr != nil {
		return Grant{}, &fault.Error{Kind: Unrecorded, Cause: recErr}
	}
	if err != nil {
		return Grant{}, err
	}
	return Grant{s}, nil
}

// DecideEach answers every demand by itself, for operations whose parts are allowed or refused one
// by one (DeleteObjects). The Grant covers what was allowed, refused[i] is nil or the denial of
// demand i.
func (g *Guard) DecideEach(ctx context.Context, in *Inquiry, demands ...Demand) (grant Grant, refused []error, err error) {
	if in == nil || in.Subject == nil || in.Event == nil || len(demands) == 0 {
		return Grant{}, nil, fault.New(NotGranted, "a decision needs a subject, an event and a demand")
	}
	s := &sheet{guard: g, inquiry: in, allowed: make([]allowance, 0, len(demands))}
	refused = make([]error, len(demands))
	for i := range demands {
		refused[i] = s.decideOne(&demands[i])
	}
	if err := g.recorder.Begin(ctx, in.Event); err != nil {
		return Grant{}, nil, &fault.Error{Kind: Unrecorded, Cause: err}
	}
	s.index = make(map[allowance]bool, len(s.allowed))
	for _, a := range s.allowed {
		s.index[a] = true
	}
	return Grant{s}, refused, nil
}

func (s *sheet) decide(demands []Demand) error {
	for i := range demands {
		if err := s.decideOne(&demands[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *sheet) decideOne(d *Demand) error {
	decision, req, inputs := s.evaluate(d)
	allowed := decision.Allowed()
	s.guard.count(allowed)
	record := audit.Decision{Action: d.Action, Resource: d.Resource.ARN, Account: d.Resource.Account, Allowed: allowed}
	if !allowed {
		record.Reason = decision.Message(&req)
		if x, ok := d.Keys.(Explainer); ok && decision.Effect == policy.ExplicitDeny && record.Reason != policy.AccessDenied {
			record.Reason += x.Explain()
		}
		s.explain(d, &req, &inputs)
	}
	s.inquiry.Event.Decisions = append(s.inquiry.Event.Decisions, record)
	if allowed && d.Resource.Granted && decision.Layer == policy.LayerResource && decision.Statement < 0 {
		s.inquiry.Event.ACLRequired = true
	}
	if !allowed {
		return fault.New(Denied, record.Reason)
	}
	a := allowance{d.Action, d.Resource.ARN}
	s.allowed = append(s.allowed, a)
	if j, ok := d.Keys.(Judge); ok {
		if was, asked := j.Judged(); asked {
			s.judged = append(s.judged, judged{a, was})
		}
	}
	return nil
}

func (s *sheet) evaluate(d *Demand) (policy.Decision, policy.Request, policy.Inputs) {
	subject := s.inquiry.Subject
	if d.Unconditional && subject.Principal.Type != policy.Nobody && subject.Principal.Type != policy.Anonymous {
		return policy.Decision{Effect: policy.Allow}, policy.Request{}, policy.Inputs{}
	}
	inputs := subject.Policies
	if !d.Forwarded {
		inputs.Endpoint = s.inquiry.Endpoint
	}
	inputs.Resource = d.Resource.Policy
	inputs.ResourceMustAllow = d.Resource.MustAllow
	if d.Resource.Controls != nil {
		inputs.RCPs = d.Resource.Controls
	}
	inputs.Granted = d.Resource.Granted
	inputs.Restricted = d.Resource.Restricted
	s.context = requestContext{sheet: s, demand: d}
	req := policy.Request{
		Principal:       subject.Principal,
		Action:          d.Action,
		Resource:        d.Resource.ARN,
		ResourceAccount: d.Resource.Account,
		Context:         &s.context,
	}
	return policy.Evaluate(&req, &inputs), req, inputs
}

// Require is called by domain methods: it errs unless the Grant covers action on resource.
func (g Grant) Require(action, resource string) error {
	if g.sheet != nil && g.sheet.index[allowance{action, resource}] {
		return nil
	}
	if g.sheet != nil && g.sheet.index == nil {
		for i := range g.sheet.allowed {
			if g.sheet.allowed[i].covers(action, resource, g.sheet.system) {
				return nil
			}
		}
	}
	return fault.New(NotGranted, "no grant for "+action+" on "+resource)
}

// RequireStill is Require for domain methods that change who may reach a resource, called where no other change can
// come between: it errs too when the action was allowed because of what the resource was like, and that is another
// thing now. So two changes of which neither opens anything do not open it together.
func (g Grant) RequireStill(action, resource string, is any) error {
	if err := g.Require(action, resource); err != nil {
		return err
	}
	for _, j := range g.sheet.judged {
		if j.allowance == (allowance{action, resource}) && j.was != is {
			return fault.New(Changed, "")
		}
	}
	return nil
}

// covers compares exactly; only a system grant may end in "*".
func (a allowance) covers(action, resource string, system bool) bool {
	if a.action == action && a.resource == resource {
		return true
	}
	return system && prefixed(a.action, action) && prefixed(a.resource, resource)
}

func prefixed(pattern, s string) bool {
	if p, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(s, p)
	}
	return pattern == s
}

// Ask puts further demands that the handler discovered (a copy's source, a key used on the
// caller's behalf, each key of a multi-delete). The new Grant covers the old demands and the new.
// A denial is recorded with the request and leaves the old Grant as it was.
func (g Grant) Ask(ctx context.Context, demands ...Demand) (Grant, error) {
	if g.sheet == nil {
		return Grant{}, fault.New(NotGranted, "the zero grant cannot ask")
	}
	s := &sheet{guard: g.sheet.guard, inquiry: g.sheet.inquiry, system: g.sheet.system}
	s.allowed, s.judged = append(s.first[:0], g.sheet.allowed...), slices.Clip(g.sheet.judged)
	if s.system {
		for i := range demands {
			if err := g.Require(demands[i].Action, demands[i].Resource.ARN); err != nil {
				return Grant{}, err
			}
		}
		return g, nil
	}
	if err := s.decide(demands); err != nil {
		return Grant{}, err
	}
	return Grant{s}, ctx.Err()
}

// May tells whether a demand would be allowed, to shape an answer (404 or 403, an optional
// header). It grants nothing and leaves no trace in the record.
func (g Grant) May(d Demand) bool {
	if g.sheet == nil {
		return false
	}
	if g.sheet.system {
		return g.Require(d.Action, d.Resource.ARN) == nil
	}
	probe := &sheet{guard: g.sheet.guard, inquiry: g.sheet.inquiry}
	decision, _, _ := probe.evaluate(&d)
	return decision.Allowed()
}

// Principal is the caller that the Grant was given to; nobody for the zero Grant.
func (g Grant) Principal() policy.Principal {
	if g.sheet == nil {
		return policy.Principal{}
	}
	return g.sheet.inquiry.Subject.Principal
}

// Event is the record of the request that the Grant belongs to, nil for the zero Grant.
func (g Grant) Event() *audit.Event {
	if g.sheet == nil {
		return nil
	}
	return g.sheet.inquiry.Event
}

// System grants a background job what it names, unless nothing can be recorded. Action and resource may end in
// "*". No request can reach it: the caller is Kura itself. It is no event by itself; what a job does in
// somebody's name is.
func (g *Guard) System(ctx context.Context, job string, demands ...Demand) (Grant, error) {
	principal := policy.Principal{Type: policy.Service, ARN: job + ".kura.internal"}
	event := &audit.Event{
		Time: g.now(), Service: "kura", Operation: job, Class: audit.Management,
		Principal: principal, AuthType: "system",
	}
	s := &sheet{guard: g, system: true, inquiry: &Inquiry{Subject: &Subject{Principal: principal}, Event: event}}
	for _, d := range demands {
		s.allowed = append(s.allowed, allowance{d.Action, d.Resource.ARN})
		event.Decisions = append(event.Decisions, audit.Decision{Action: d.Action, Resource: d.Resource.ARN, Allowed: true, Reason: "background job"})
	}
	if err := g.recorder.Begin(ctx, event); err != nil {
		return Grant{}, &fault.Error{Kind: Unrecorded, Cause: err}
	}
	return Grant{s}, nil
}
