package policy

import (
	"encoding/json"
	"slices"
	"strings"
)

// Explanation is a decision with everything that took part in it, for people and as JSON.
type Explanation struct {
	Decision     string `json:"decision"` // allowed, explicitDeny or implicitDeny
	Reason       string `json:"reason"`
	Layer        string `json:"layer,omitempty"`
	CrossAccount bool   `json:"crossAccount"`
	Action       string `json:"action"`
	Resource     string `json:"resource"`
	Principal    string `json:"principal"`
	// Deciding is the statement that decided; nil when the absence of one did.
	Deciding *StatementReport `json:"deciding,omitempty"`
	Layers   []LayerReport    `json:"layers"`
	// Suggestion is the smallest allow statement that would pass; nil when no allow can help.
	Suggestion *Suggestion `json:"suggestion,omitempty"`
}

// LayerReport is one kind of policy that applied.
type LayerReport struct {
	Layer string `json:"layer"`
	// Effect is what the layer says by itself: allowed, explicitDeny or implicitDeny.
	Effect    string           `json:"effect"`
	Documents []DocumentReport `json:"documents"`
}

// DocumentReport is one document with the statements that are about the action.
type DocumentReport struct {
	Name       string            `json:"name,omitempty"`
	Level      int               `json:"level,omitempty"` // of the organization, from 1 at the root
	Statements []StatementReport `json:"statements"`
	// Others counts the statements that are not about the action.
	Others int `json:"others"`
}

// StatementReport is one statement that matched, or that would have but for the Misses.
type StatementReport struct {
	Document string   `json:"document,omitempty"`
	Index    int      `json:"index"`
	Sid      string   `json:"sid,omitempty"`
	Effect   string   `json:"effect"` // Allow or Deny
	Start    Position `json:"start"`
	End      Position `json:"end"`
	Matched  bool     `json:"matched"`
	Deciding bool     `json:"deciding,omitempty"`
	Misses   []string `json:"misses,omitempty"` // Resource, Principal, Condition
	// Conditions is every condition of the statement, held or not.
	Conditions []ConditionReport `json:"conditions,omitempty"`
}

// ConditionReport compares what a condition wants with what the request has.
type ConditionReport struct {
	Operator string   `json:"operator"`
	Key      string   `json:"key"`
	Expected []string `json:"expected"`
	Actual   []string `json:"actual"`
	Present  bool     `json:"present"`
	Held     bool     `json:"held"`
}

// Suggestion is a statement that can be added to the policy of Layer.
type Suggestion struct {
	Layer     string             `json:"layer"`
	Statement SuggestedStatement `json:"statement"`
}

// SuggestedStatement has AWS's member names and order.
type SuggestedStatement struct {
	Effect    string            `json:"Effect"`
	Principal map[string]string `json:"Principal,omitempty"`
	Action    string            `json:"Action"`
	Resource  string            `json:"Resource,omitempty"`
}

// Explain decides as Evaluate does and tells why.
func Explain(req *Request, in *Inputs) *Explanation {
	e := evaluation{req: req, in: in}
	e.ask()
	d := e.decide()
	x := &Explanation{
		Decision: d.Effect.String(), Layer: d.Layer.String(), CrossAccount: d.CrossAccount,
		Action: req.Action, Resource: req.Resource, Principal: req.Principal.ARN,
	}
	x.layers(&e, d)
	x.Reason = reason(req, in, d)
	x.Suggestion = suggest(req, in, d)
	return x
}

// JSON is the explanation as a document.
func (x *Explanation) JSON() []byte {
	b, _ := json.MarshalIndent(x, "", "  ") // strings, numbers and booleans always encode
	return b
}

// String is SimulatePrincipalPolicy's word for the effect.
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allowed"
	case ExplicitDeny:
		return "explicitDeny"
	}
	return "implicitDeny"
}

func (x *Explanation) layers(e *evaluation, d Decision) {
	in := e.in
	x.organization(e, d, LayerRCP, in.RCPs)
	if e.req.Principal.Type.hasAccount() {
		x.organization(e, d, LayerSCP, in.SCPs)
	}
	x.layer(e, d, LayerEndpoint, in.Endpoint)
	x.layer(e, d, e.resourceLayer(), in.Resource)
	if !e.req.Principal.Type.hasAccount() {
		return
	}
	if e.req.Principal.Type != RootUser {
		x.layer(e, d, LayerIdentity, in.Identity...)
		x.layer(e, d, LayerBoundary, in.Boundary)
	}
	x.layer(e, d, LayerSession, in.Session...)
}

func (x *Explanation) layer(e *evaluation, d Decision, layer Layer, documents ...*Document) {
	documents = slices.DeleteFunc(slices.Clone(documents), func(d *Document) bool { return d == nil })
	if len(documents) == 0 {
		return
	}
	r := LayerReport{Layer: layer.String(), Effect: e.judgeAll(documents).effect.String()}
	for _, doc := range documents {
		r.Documents = append(r.Documents, x.document(e, d, layer, doc))
	}
	x.Layers = append(x.Layers, r)
}

func (x *Explanation) organization(e *evaluation, d Decision, layer Layer, tree [][]*Document) {
	if tree == nil {
		return
	}
	l := e.judgeLevels(tree)
	effect := Allow
	switch {
	case l.deny.effect == ExplicitDeny:
		effect = ExplicitDeny
	case l.missing:
		effect = ImplicitDeny
	}
	r := LayerReport{Layer: layer.String(), Effect: effect.String()}
	for i, level := range tree {
		for _, doc := range level {
			report := x.document(e, d, layer, doc)
			report.Level = i + 1
			r.Documents = append(r.Documents, report)
		}
	}
	x.Layers = append(x.Layers, r)
}

func (x *Explanation) document(e *evaluation, d Decision, layer Layer, doc *Document) DocumentReport {
	r := DocumentReport{Name: doc.name}
	for i := range doc.statements {
		s := &doc.statements[i]
		if !e.actionApplies(s) {
			r.Others++
			continue
		}
		report := e.report(doc, i)
		if doc == d.Document && i == d.Statement && layer == d.Layer {
			report.Deciding = true
			deciding := report
			x.Deciding = &deciding
		}
		r.Statements = append(r.Statements, report)
	}
	return r
}

// report compares one statement, element by element.
func (e *evaluation) report(doc *Document, i int) StatementReport {
	s, info := &doc.statements[i], doc.Statement(i)
	r := StatementReport{Document: doc.name, Index: i, Sid: s.sid, Effect: "Allow", Start: info.Start, End: info.End}
	if s.effect == ExplicitDeny {
		r.Effect = "Deny"
	}
	if !e.resourceApplies(s) {
		r.Misses = append(r.Misses, "Resource")
	}
	if e.principalApplies(s) == unnamed {
		r.Misses = append(r.Misses, "Principal")
	}
	if !e.conditionsHold(s) {
		r.Misses = append(r.Misses, "Condition")
	}
	r.Matched = len(r.Misses) == 0
	for j := range s.conditions {
		r.Conditions = append(r.Conditions, s.conditions[j].report(e.req.Context))
	}
	return r
}

func (c *condition) report(ctx Context) ConditionReport {
	v, present := lookup(ctx, c.key)
	r := ConditionReport{Operator: c.operator, Key: c.written, Present: present, Held: c.holds(ctx), Expected: []string{}, Actual: []string{}}
	for _, value := range c.values {
		r.Expected = append(r.Expected, value.text)
	}
	switch {
	case present && v.Multi:
		r.Actual = append(r.Actual, v.Many...)
	case present:
		r.Actual = append(r.Actual, v.One)
	}
	return r
}

// reason is one sentence for people; unlike Message it is for the resource's own account.
func reason(req *Request, in *Inputs, d Decision) string {
	words := d.Layer.String()
	where := ""
	if d.Document != nil && d.Statement >= 0 {
		info := d.Document.Statement(d.Statement)
		where = ", statement " + itoa(d.Statement)
		if info.Sid != "" {
			where += " (" + info.Sid + ")"
		}
		if d.Document.name != "" {
			where += " of " + d.Document.name
		}
		where += ", line " + itoa(info.Start.Line)
	}
	switch {
	case d.Allowed() && d.Layer == LayerResource && in.Granted && d.Document == nil:
		return "allowed by a grant of the resource"
	case d.Allowed() && d.Document == nil && req.Principal.Type.hasAccount():
		return "allowed: no policy is needed"
	case d.Allowed():
		return "allowed by the " + words + where
	case d.Effect == ExplicitDeny && in.Restricted && d.Statement < 0:
		return "denied by a setting of the resource"
	case d.Effect == ExplicitDeny:
		return "denied explicitly by the " + words + where
	case words == "":
		return "denied: nobody asks"
	}
	return "denied: no " + words + " allows " + req.Action
}

// suggest is the smallest statement whose addition lifts the denial of the layer that decided.
func suggest(req *Request, in *Inputs, d Decision) *Suggestion {
	if d.Effect != ImplicitDeny || d.Layer == LayerNone || d.Layer == LayerRCP {
		return nil
	}
	s := &Suggestion{Layer: d.Layer.String(), Statement: SuggestedStatement{Effect: "Allow", Action: req.Action, Resource: req.Resource}}
	switch d.Layer {
	case LayerTrust:
		s.Statement.Resource = ""
		s.Statement.Principal = nameCaller(&req.Principal)
	case LayerResource, LayerEndpoint:
		s.Statement.Principal = nameCaller(&req.Principal)
		if in.Resource != nil && in.Resource.kind == KeyPolicy {
			s.Statement.Resource = "*"
		}
	}
	return s
}

// nameCaller is the narrowest Principal that stays valid: a session is named by its role.
func nameCaller(p *Principal) map[string]string {
	switch {
	case p.Type == Service:
		return map[string]string{elementService: p.ARN}
	case p.Type == WebIdentity:
		return map[string]string{elementFederated: p.ARN}
	case p.Type == AssumedRole && strings.HasPrefix(p.IssuerARN, "arn:"):
		return map[string]string{elementAWS: p.IssuerARN}
	case p.Type == Anonymous:
		return map[string]string{elementAWS: "*"}
	}
	return map[string]string{elementAWS: p.ARN}
}
