package policy

import (
	"fmt"
	"strings"
)

// Keys is a Context of known values, by lower-case key.
type Keys map[string]Values

// Lookup implements Context.
func (k Keys) Lookup(key string) (Values, bool) {
	v, ok := k[key]
	return v, ok
}

// ParseCaller makes a Principal of what people write for one: the ARN of a user, a role (then any
// session of it), a session, a federated user, a root user or an identity provider, an account's
// number (its root user), a service's name, or "*" for a caller without a signature. Ids that the
// text does not tell are examples.
func ParseCaller(s string) (Principal, error) {
	switch {
	case s == "*" || s == anonymous:
		return Principal{Type: Anonymous}, nil
	case isAccount(s):
		s = "arn:aws:iam::" + s + ":root"
	case !strings.Contains(s, ":") && isDomain(s):
		return Principal{Type: Service, ARN: s}, nil
	}
	if p, ok := parsePrincipal(elementFederated, s); ok && strings.HasPrefix(s, "arn:") {
		return Principal{Type: WebIdentity, ARN: p.value}, nil
	}
	p, ok := parsePrincipal(elementAWS, s)
	if !ok || !strings.HasPrefix(s, "arn:") {
		return Principal{}, fmt.Errorf("%q is not a principal: neither an ARN of IAM or STS, an account, a service nor \"*\"", s)
	}
	if p.kind == accountPrincipal {
		return Principal{Type: RootUser, Account: p.value, ARN: s, UserID: p.value}, nil
	}
	c := census{}
	c.add(&p)
	return c.list[0].principal, nil
}

// CallerKeys are the condition keys that follow from who asks.
func CallerKeys(p *Principal) Keys {
	switch p.Type {
	case Anonymous:
		return Keys{"aws:principalaccount": {One: anonymous}, "aws:userid": {One: anonymous}, "aws:principaltype": {One: "Anonymous"}}
	case Service:
		return Keys{"aws:principalisawsservice": {One: "true"}, "aws:principaltype": {One: "Service"}, "aws:principalservicename": {One: p.ARN}}
	case Nobody, WebIdentity:
		return Keys{}
	}
	return keysOf(p)
}
