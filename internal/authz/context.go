package authz

import (
	"github.com/kura-s3/kura/policy"
)

// requestContext answers condition keys of one demand: the demand's own first, then those derived
// from the principal and the resource, then the subject's, then the request's. A client can
// influence only the last, through values that the front and the authenticator established.
type requestContext struct {
	sheet  *sheet
	demand *Demand
}

func (c *requestContext) Lookup(key string) (policy.Values, bool) {
	if c.demand.Keys != nil {
		if v, ok := c.demand.Keys.Lookup(key); ok {
			return v, true
		}
	}
	if derive, ok := derived[key]; ok {
		one := derive(c.sheet.inquiry.Subject.Principal, c.demand)
		return policy.Values{One: one}, one != ""
	}
	for _, keys := range [...]Keys{c.sheet.inquiry.Subject.Keys, c.sheet.inquiry.Keys} {
		if keys == nil {
			continue
		}
		if v, ok := keys.Lookup(key); ok {
			return v, true
		}
	}
	return policy.Values{}, false
}

// derived are the global keys that follow from who asks and whose resource it is (IAM User Guide,
// "AWS global condition context keys").
var derived = map[string]func(policy.Principal, *Demand) string{
	"aws:principalarn": func(p policy.Principal, _ *Demand) string {
		switch p.Type {
		case policy.AssumedRole:
			return p.IssuerARN
		case policy.Anonymous, policy.Nobody, policy.Service:
			return ""
		}
		return p.ARN
	},
	"aws:principalaccount": func(p policy.Principal, _ *Demand) string {
		if p.Type == policy.Anonymous {
			return "anonymous"
		}
		return p.Account
	},
	"aws:principaltype": func(p policy.Principal, _ *Demand) string { return principalTypes[p.Type] },
	"aws:userid": func(p policy.Principal, _ *Demand) string {
		if p.Type == policy.Anonymous {
			return "anonymous"
		}
		return p.UserID
	},
	"aws:username": func(p policy.Principal, _ *Demand) string { return p.Name },
	"aws:principalisawsservice": func(p policy.Principal, _ *Demand) string {
		switch p.Type {
		case policy.Anonymous, policy.Nobody:
			return ""
		case policy.Service:
			return "true"
		}
		return "false"
	},
	"aws:principalservicename": func(p policy.Principal, _ *Demand) string {
		if p.Type == policy.Service {
			return p.ARN
		}
		return ""
	},
	"aws:resourceaccount": func(_ policy.Principal, d *Demand) string { return d.Resource.Account },
	"s3:resourceaccount":  func(_ policy.Principal, d *Demand) string { return d.Resource.Account },
}

var principalTypes = map[policy.PrincipalType]string{
	policy.Anonymous: "Anonymous", policy.RootUser: "Account", policy.IAMUser: "User",
	policy.AssumedRole: "AssumedRole", policy.FederatedUser: "FederatedUser", policy.Service: "Service",
}
