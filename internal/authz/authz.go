// Package authz decides and records: the Guard answers an operation's demands with a Grant, or with
// a Denial. Only the Guard makes Grants; the zero Grant opens nothing; every method of a domain
// package takes one and requires of it the action and resource that it is about to touch. There
// is no second evaluator and no bypass: root, anonymous callers, presigned requests and background
// jobs all come through here.
package authz

import (
	"github.com/kura-s3/kura/policy"
)

// Demand is one permission that an operation needs.
type Demand struct {
	Action   string
	Resource Resource
	// Keys are condition keys of this demand, beside those of the request.
	Keys Keys
	// Unconditional marks the few calls that AWS lets every authenticated caller make and no policy
	// deny (sts:GetCallerIdentity). They are recorded like all others.
	Unconditional bool
	// Forwarded marks what one service asks of another in the caller's name (S3 of KMS). It did not come
	// through the caller's listener, whose policy does not bind it.
	Forwarded bool
}

// Keys gives condition keys by lower-case name. Nil has none.
type Keys interface {
	Lookup(key string) (policy.Values, bool)
}

// Explainer is Keys that can say, to callers who learn the reason of a denial, what it was about the
// request that a condition asked for. It is asked after an explicit deny.
type Explainer interface {
	// Explain is a sentence that begins with a blank, or "".
	Explain() string
}

// Judge is Keys whose answer depends on what the resource was like when they were asked. What was let through by
// such an answer is let through for that resource only: Grant.RequireStill.
type Judge interface {
	// Judged tells what was looked at, and whether anybody asked.
	Judged() (was any, asked bool)
}

// Resource is what a Demand is about, with what decides about it on the resource's side. The
// service resolves it from memory before the decision; resolving decides nothing.
type Resource struct {
	ARN     string // "*" for actions without a resource
	Account string // owner; "" for actions without a resource
	// Policy, MustAllow, Granted, Restricted: see policy.Inputs.
	Policy     *policy.Document
	MustAllow  bool
	Granted    bool
	Restricted bool
	// Controls are the resource control policies that bind the resource, one list per level.
	Controls [][]*policy.Document
}

// Subject is an authenticated caller and the documents that bind it.
type Subject struct {
	Principal policy.Principal
	// Documents that apply to the principal itself (Identity, Boundary, Session, SCPs).
	Policies policy.Inputs
	// Keys of the principal: aws:PrincipalTag/…, aws:MultiFactorAuthPresent, ….
	Keys Keys
	// AccessKey is the id that signed, "" for anonymous and system.
	AccessKey string
}
