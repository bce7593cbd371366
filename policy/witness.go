package policy

import (
	"maps"
	"slices"
	"strings"
)

// Witness is a request that Evaluate allows: the proof that somebody has access. A caller who
// belongs to an account is taken to be allowed everything by its own account.
type Witness struct {
	// Principal is the ARN, the service's name, or "*" for a caller without a signature.
	Principal string `json:"principal"`
	// Type is the kind of caller, as in aws:PrincipalType, or Service or WebIdentity.
	Type     string `json:"principalType"`
	Account  string `json:"account,omitempty"`
	Action   string `json:"action"`
	Resource string `json:"resource"`
	// Keys are the condition keys that the request must have, by lower-case name.
	Keys map[string][]string `json:"conditionKeys"`
	// Absent are the keys that it must not have.
	Absent []string `json:"absentKeys,omitempty"`

	request Request
}

// Request is the question whose answer is the proof. The resource belongs to an account of its own.
func (w *Witness) Request() *Request { return &w.request }

// Inputs are the documents for the question: the resource's policy, and for callers with an
// account an identity (and session) policy that allows everything.
func (w *Witness) Inputs(resource *Document) *Inputs {
	return inputsOf(&w.request.Principal, resource)
}

func inputsOf(p *Principal, resource *Document) *Inputs {
	in := &Inputs{Resource: resource}
	if p.Type.hasAccount() {
		in.Identity = ownSide
	}
	if p.Type == FederatedUser {
		in.Session, in.HasSession = ownSide, true
	}
	return in
}

// ownSide is what an outside account may give its own principals: everything.
var ownSide = []*Document{allowEverything()}

func allowEverything() *Document {
	d, _ := ParseString(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, Identity) // a constant
	return d
}

// String is the request in one line.
func (w *Witness) String() string {
	b := w.Principal
	if w.Principal == "*" {
		b = "anybody"
	}
	b += " does " + w.Action + " on " + w.Resource
	for i, key := range slices.Sorted(maps.Keys(w.Keys)) {
		if i == 0 {
			b += " with "
		} else {
			b += ", "
		}
		b += key + " = " + strings.Join(w.Keys[key], "|")
	}
	for i, key := range w.Absent {
		if i == 0 {
			b += " without "
		} else {
			b += ", "
		}
		b += key
	}
	return b
}
