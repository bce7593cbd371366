package finding

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Criteria are what findings are selected by: by attribute, all of which must hold.
type Criteria map[string]Criterion

// Criterion is what must hold of an attribute. Of a list of values one must be met, of those that must
// not be none.
type Criterion struct {
	Eq, Neq             []string `json:",omitempty"`
	Matches, NotMatches []string `json:",omitempty"`
	Gt, Gte, Lt, Lte    *int64   `json:",omitempty"`
}

func one(s string) []string { return []string{s} }

func number(n int64) []string { return one(strconv.FormatInt(n, 10)) }

// attributes are what findings have to be selected and sorted by.
var attributes = map[string]func(*Finding) []string{
	"accountId":   func(f *Finding) []string { return one(f.AccountID) },
	"region":      func(f *Finding) []string { return one(f.Region) },
	"id":          func(f *Finding) []string { return one(f.ID) },
	"type":        func(f *Finding) []string { return one(f.Type) },
	"title":       func(f *Finding) []string { return one(f.Title) },
	"description": func(f *Finding) []string { return one(f.Description) },
	"severity":    func(f *Finding) []string { return one(strconv.FormatFloat(f.Severity, 'f', -1, 64)) },
	"createdAt":   func(f *Finding) []string { return number(f.CreatedAt.UnixMilli()) },
	"updatedAt":   func(f *Finding) []string { return number(f.UpdatedAt.UnixMilli()) },

	"resource.resourceType":                 func(f *Finding) []string { return one(f.Resource.ResourceType) },
	"resource.accessKeyDetails.accessKeyId": key(func(k *AccessKeyDetails) string { return k.AccessKeyID }),
	"resource.accessKeyDetails.principalId": key(func(k *AccessKeyDetails) string { return k.PrincipalID }),
	"resource.accessKeyDetails.userName":    key(func(k *AccessKeyDetails) string { return k.UserName }),
	"resource.accessKeyDetails.userType":    key(func(k *AccessKeyDetails) string { return k.UserType }),
	"resource.s3BucketDetails.name":         bucket(func(b *Bucket) []string { return one(b.Name) }),
	"resource.s3BucketDetails.type":         bucket(func(b *Bucket) []string { return one(b.Type) }),
	"resource.s3BucketDetails.tags.key":     tags(func(t Tag) string { return t.Key }),
	"resource.s3BucketDetails.tags.value":   tags(func(t Tag) string { return t.Value }),
	"resource.s3BucketDetails.publicAccess.effectivePermission": bucket(func(b *Bucket) []string {
		if b.PublicAccess == nil {
			return nil
		}
		return one(b.PublicAccess.EffectivePermission)
	}),

	"service.archived":     func(f *Finding) []string { return one(strconv.FormatBool(f.Service.Archived)) },
	"service.count":        func(f *Finding) []string { return number(int64(f.Service.Count)) },
	"service.resourceRole": func(f *Finding) []string { return one(f.Service.ResourceRole) },
	"service.additionalInfo.threatListName": func(f *Finding) []string {
		if f.Service.Evidence == nil {
			return nil
		}
		var names []string
		for _, t := range f.Service.Evidence.ThreatIntelligenceDetails {
			names = append(names, t.ThreatListName)
		}
		return names
	},
	"service.action.actionType": func(f *Finding) []string {
		if f.Service.Action == nil {
			return nil
		}
		return one(f.Service.Action.ActionType)
	},
	"service.action.awsApiCallAction.api":                            call(func(c *APICall) string { return c.API }),
	"service.action.awsApiCallAction.callerType":                     call(func(c *APICall) string { return c.CallerType }),
	"service.action.awsApiCallAction.serviceName":                    call(func(c *APICall) string { return c.ServiceName }),
	"service.action.awsApiCallAction.errorCode":                      call(func(c *APICall) string { return c.ErrorCode }),
	"service.action.awsApiCallAction.userAgent":                      call(func(c *APICall) string { return c.UserAgent }),
	"service.action.awsApiCallAction.remoteIpDetails.ipAddressV4":    remote(func(r *RemoteIP) string { return r.V4 }),
	"service.action.awsApiCallAction.remoteIpDetails.ipAddressV6":    remote(func(r *RemoteIP) string { return r.V6 }),
	"service.action.awsApiCallAction.remoteAccountDetails.accountId": account(func(r *RemoteAccount) string { return r.AccountID }),
	"service.action.awsApiCallAction.remoteAccountDetails.affiliated": account(func(r *RemoteAccount) string {
		return strconv.FormatBool(r.Affiliated)
	}),
}

func key(of func(*AccessKeyDetails) string) func(*Finding) []string {
	return func(f *Finding) []string {
		if f.Resource.AccessKeyDetails == nil {
			return nil
		}
		return one(of(f.Resource.AccessKeyDetails))
	}
}

func bucket(of func(*Bucket) []string) func(*Finding) []string {
	return func(f *Finding) []string {
		var all []string
		for i := range f.Resource.S3BucketDetails {
			all = append(all, of(&f.Resource.S3BucketDetails[i])...)
		}
		return all
	}
}

func tags(of func(Tag) string) func(*Finding) []string {
	return bucket(func(b *Bucket) []string {
		var all []string
		for _, t := range b.Tags {
			all = append(all, of(t))
		}
		return all
	})
}

func call(of func(*APICall) string) func(*Finding) []string {
	return func(f *Finding) []string {
		if f.Service.Action == nil || f.Service.Action.AWSAPICallAction == nil {
			return nil
		}
		return one(of(f.Service.Action.AWSAPICallAction))
	}
}

func remote(of func(*RemoteIP) string) func(*Finding) []string {
	return func(f *Finding) []string {
		if a := f.Service.Action; a != nil && a.AWSAPICallAction != nil && a.AWSAPICallAction.RemoteIPDetails != nil {
			return one(of(a.AWSAPICallAction.RemoteIPDetails))
		}
		return nil
	}
}

func account(of func(*RemoteAccount) string) func(*Finding) []string {
	return func(f *Finding) []string {
		if a := f.Service.Action; a != nil && a.AWSAPICallAction != nil && a.AWSAPICallAction.RemoteAccountDetails != nil {
			return one(of(a.AWSAPICallAction.RemoteAccountDetails))
		}
		return nil
	}
}

// Bounds of criteria.
const (
	maxAttributes = 50
	maxValues     = 50
	maxValue      = 512
)

// Check errs for attributes that findings do not have, and for criteria that say nothing.
func (c Criteria) Check() error {
	if len(c) > maxAttributes {
		return badRequest("there are more than %d criteria.", maxAttributes)
	}
	for name, k := range c {
		if attributes[name] == nil {
			return badRequest("the parameter findingCriteria has the invalid attribute %s.", Clean(name))
		}
		if err := k.check(name); err != nil {
			return err
		}
	}
	return nil
}

func (k *Criterion) check(name string) error {
	values := slices.Concat(k.Eq, k.Neq, k.Matches, k.NotMatches)
	if len(values) == 0 && k.Gt == nil && k.Gte == nil && k.Lt == nil && k.Lte == nil {
		return badRequest("the criterion for %s is empty.", name)
	}
	if len(values) > maxValues || slices.ContainsFunc(values, func(v string) bool { return len(v) > maxValue }) {
		return badRequest("the criterion for %s is too large.", name)
	}
	return nil
}

// Matches tells whether the finding meets all criteria.
func (c Criteria) Matches(f *Finding) bool {
	for name, k := range c {
		of := attributes[name]
		if of == nil || !k.meets(of(f)) {
			return false
		}
	}
	return true
}

func (k *Criterion) meets(values []string) bool {
	has := func(wanted []string, same func(pattern, s string) bool) bool {
		return slices.ContainsFunc(wanted, func(w string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return same(w, v) })
		})
	}
	equal := func(a, b string) bool { return a == b || sameNumber(a, b) }
	switch {
	case len(k.Eq) > 0 && !has(k.Eq, equal),
		len(k.Neq) > 0 && has(k.Neq, equal),
		len(k.Matches) > 0 && !has(k.Matches, wild),
		len(k.NotMatches) > 0 && has(k.NotMatches, wild):
		return false
	}
	return k.between(values)
}

func sameNumber(a, b string) bool {
	x, err := strconv.ParseFloat(a, 64)
	y, other := strconv.ParseFloat(b, 64)
	return err == nil && other == nil && x == y
}

func (k *Criterion) between(values []string) bool {
	if k.Gt == nil && k.Gte == nil && k.Lt == nil && k.Lte == nil {
		return true
	}
	return slices.ContainsFunc(values, func(v string) bool {
		n, err := strconv.ParseFloat(v, 64)
		return err == nil &&
			(k.Gt == nil || n > float64(*k.Gt)) && (k.Gte == nil || n >= float64(*k.Gte)) &&
			(k.Lt == nil || n < float64(*k.Lt)) && (k.Lte == nil || n <= float64(*k.Lte))
	})
}

// wild matches a pattern in which * stands for any characters and ? for one. It takes time in proportion
// to both lengths at worst.
func wild(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Order is how a list of findings is sorted.
type Order struct {
	Attribute  string
	Descending bool
}

func (o Order) check() error {
	if o.Attribute != "" && attributes[o.Attribute] == nil {
		return badRequest("findings cannot be sorted by %s.", Clean(o.Attribute))
	}
	return nil
}

func (o Order) compare(a, b *Finding) int {
	x, y := fmt.Sprint(attributes[o.Attribute](a)), fmt.Sprint(attributes[o.Attribute](b))
	n, err := strconv.ParseFloat(strings.Trim(x, "[]"), 64)
	m, other := strconv.ParseFloat(strings.Trim(y, "[]"), 64)
	order := strings.Compare(x, y)
	if err == nil && other == nil {
		switch {
		case n < m:
			order = -1
		case n > m:
			order = 1
		default:
			order = 0
		}
	}
	if o.Descending {
		return -order
	}
	return order
}
