// Package exposure has the condition keys of the exposure guard, about what a change of permissions would
// do. kura:ExposesData is "true" when somebody outside the owner's account could then do what nobody
// outside can do now; kura:ExposedTo names who, "*" for anybody.
//
// A Deny on them, in a control policy of the organization or in an identity policy, refuses the change
// before it happens; whoever the Deny spares confirms the change by making it. There is no other switch:
// the policy engine decides, as about everything. What the change would do is worked out only when a policy
// asks; what cannot be worked out counts as exposing.
package exposure

import (
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// Exposed is what a change would let strangers do.
type Exposed struct {
	// To are the principals, "*" for anybody; empty: nothing new.
	To []string
	// Witness tells one request that would be let in.
	Witness string
}

// Keys are the condition keys of one change. They implement authz.Keys, authz.Explainer and authz.Judge.
type Keys struct {
	inner authz.Keys
	judge func() (Exposed, error)
	was   any // what judge looked at, for authz.Grant.RequireStill; nil where somebody else sees to that

	asked bool
	found Exposed
}

// Of makes the keys of a change, beside those of inner, which may be nil.
func Of(inner authz.Keys, judge func() (Exposed, error)) *Keys {
	return &Keys{inner: inner, judge: judge}
}

// Lookup implements authz.Keys.
func (k *Keys) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "kura:exposesdata":
		return policy.Values{One: strconv.FormatBool(len(k.ask().To) > 0)}, true
	case "kura:exposedto":
		to := k.ask().To
		return policy.Values{Many: to, Multi: true}, len(to) > 0
	}
	if k.inner == nil {
		return policy.Values{}, false
	}
	return k.inner.Lookup(key)
}

func (k *Keys) ask() Exposed {
	if k.asked {
		return k.found
	}
	k.asked = true
	found, err := k.judge()
	if err != nil {
		found = Exposed{To: []string{"*"}, Witness: "what the change would do cannot be worked out"}
	}
	k.found = found
	return found
}

// Explain implements authz.Explainer.
func (k *Keys) Explain() string {
	if len(k.found.To) == 0 {
		return ""
	}
	text := " The change would expose data to " + strings.Join(k.found.To, ", ")
	if k.found.Witness != "" {
		text += ": " + k.found.Witness
	}
	return text + "."
}

// Judged implements authz.Judge.
func (k *Keys) Judged() (was any, asked bool) { return k.was, k.asked && k.was != nil }

// Change is a change of the policy that decides about a resource: a role's trust, a key's, queue's, topic's or
// function's policy, or those of an account's log groups.
type Change struct {
	ARN, Account string
	Kind         policy.Kind
	// Before is the policy as it is, nil for none.
	Before *policy.Document
	// Was is what the change is judged by, as the domain knows it again: authz.Grant.RequireStill. Nil: Before.
	Was any
	// Standing are allowances beside the policy, which stay.
	Standing []Statement
	// After is the policy in its place, "" for none; not looked at where statements are added to Before.
	After string
	Added []Statement
}

// Unreadable is an After that could not be worked out: it counts as exposing.
const Unreadable = "{"

// Statement allows principals actions on the resource: one that a change adds, or that stands beside the policy.
type Statement struct {
	Principal any // as a policy has it
	Actions   []string
	Condition map[string]map[string]string
}

// Judge tells what strangers could do after a change that they cannot do before. A nil Judge watches over
// nothing: tests have it.
type Judge func(Change) (Exposed, error)

// Guard gives the demand of a change the condition keys of this package. What decides about the resource now is the
// demand's own policy; after is what would.
func (j Judge) Guard(d *authz.Demand, kind policy.Kind, after string) {
	j.guard(d, Change{Kind: kind, After: after})
}

// GuardAdded is Guard for a change that adds a statement to the policy.
func (j Judge) GuardAdded(d *authz.Demand, kind policy.Kind, added Statement) {
	j.guard(d, Change{Kind: kind, Added: []Statement{added}})
}

func (j Judge) guard(d *authz.Demand, c Change) {
	c.ARN, c.Account, c.Before = d.Resource.ARN, d.Resource.Account, d.Resource.Policy
	d.Keys = j.Keys(d.Keys, func() Change { return c })
}

// Keys are inner and those of a change, which is made when somebody asks.
func (j Judge) Keys(inner authz.Keys, change func() Change) authz.Keys {
	if j == nil {
		return inner
	}
	k := Of(inner, nil)
	k.judge = func() (Exposed, error) {
		c := change()
		if k.was = c.Was; k.was == nil {
			k.was = c.Before
		}
		return j(c)
	}
	return k
}
