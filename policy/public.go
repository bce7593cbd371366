package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// Verdict says whether a policy is public in the sense of Block Public Access.
//
// That sense is narrow: only Allow statements count (a Deny never makes a policy private), and each
// of them must be limited to fixed values, without wildcards and variables, of who may use it. What
// really can be reached from outside is what Reach answers.
type Verdict struct {
	Public bool `json:"public"`
	// Statements are the indexes of the Allow statements that make the policy public, in order.
	Statements []int `json:"statements"`
	// Reasons is one sentence for each of Statements.
	Reasons []string `json:"reasons"`
	// Witness is a request of a stranger that Evaluate allows; nil when the policy is not public,
	// or when its own Deny statements or conditions leave no such request.
	Witness *Witness `json:"witness,omitempty"`
}

// IsPublic tells whether the policy is public in the sense of Block Public Access. It is the
// Verdict without reasons and proof, for those who ask on the way of a request.
func (d *Document) IsPublic() bool {
	return slices.ContainsFunc(d.statements, func(s statement) bool { return s.public(d.kind) })
}

// Public judges a bucket, access point or other resource policy as PutBucketPolicy and
// GetBucketPolicyStatus do, and looks for a request that proves it.
func (d *Document) Public() Verdict {
	v := Verdict{Statements: []int{}, Reasons: []string{}}
	for i := range d.statements {
		if s := &d.statements[i]; s.public(d.kind) {
			v.Public = true
			v.Statements = append(v.Statements, i)
			v.Reasons = append(v.Reasons, d.publicReason(i))
		}
	}
	if v.Public {
		v.Witness = strangersRequest(d, v.Statements)
	}
	return v
}

// strangersRequest is a request that one of the statements allows to a caller whom nobody knows,
// without a signature if possible.
func strangersRequest(d *Document, statements []int) *Witness {
	a := newAnalysis(d, nil, Zone{})
	for i := range a.census.list {
		c := &a.census.list[i]
		for _, j := range statements {
			s := &d.statements[j]
			if c.name != "*" && c.principal.Type != WebIdentity || c.grade(s) == unnamed {
				continue
			}
			for _, g := range a.groups(s) {
				if w, result := a.ask(s, c, &g); result == possible {
					return w
				}
			}
		}
	}
	return nil
}

// public tells whether the statement gives something to callers that it does not fix.
func (s *statement) public(kind Kind) bool {
	if s.effect != Allow || !s.hasPrincipal || !s.open() {
		return false
	}
	return !slices.ContainsFunc(s.conditions, func(c condition) bool { return c.limits(kind) })
}

// open tells whether the principals alone fix who is meant. Everyone is not fixed, and neither are
// the users of an identity provider.
func (s *statement) open() bool {
	return s.notPrincipal || slices.ContainsFunc(s.principals, func(p principal) bool { return p.open() })
}

func (p *principal) open() bool { return p.kind == everyone || p.kind == providerPrincipal }

// limitation tells whether one value of a condition fixes who is meant. across says that a wildcard
// of the operator may stand for colons.
type limitation func(value string, kind Kind, across bool) bool

// limitations are the condition keys that can fix who is meant, by the values that do. What is not
// here never does: s3:x-amz-server-side-encryption-aws-kms-key-id, which AWS's list had until
// 2023, is a header that anybody can send.
var limitations = map[string]struct {
	families []family
	limits   limitation
}{
	"aws:principalorgid":            {stringOrARN, fixedValue},
	"aws:principalaccount":          {stringOrARN, fixedSignedValue},
	"aws:principalorgpaths":         {stringOrARN, fixedPath},
	"aws:principalarn":              {stringOrARN, fixedOwner},
	"aws:principalisawsservice":     {boolOrString, fixedTrue},
	"aws:principalservicename":      {stringOrARN, fixedServiceName},
	"aws:principalservicenameslist": {stringOrARN, fixedServiceName},
	"aws:userid":                    {stringOrARN, fixedSignedValue},
	"aws:sourceip":                  {addressOnly, fixedRange},
	"aws:sourcearn":                 {stringOrARN, fixedSource},
	"aws:sourceaccount":             {stringOrARN, fixedValue},
	"aws:sourceowner":               {stringOrARN, fixedValue},
	"aws:sourcevpc":                 {stringOrARN, fixedValue},
	"aws:sourcevpcarn":              {stringOrARN, fixedSource},
	"aws:sourcevpce":                {stringOrARN, fixedValue},
	"aws:vpceaccount":               {stringOrARN, fixedValue},
	"aws:vpceorgid":                 {stringOrARN, fixedValue},
	"aws:vpceorgpaths":              {stringOrARN, fixedPath},
	"s3:dataaccesspointarn":         {stringOrARN, fixedAccessPoint},
	"s3:dataaccesspointaccount":     {stringOrARN, fixedValue},
	"kms:calleraccount":             {stringOrARN, fixedCaller},
}

var (
	stringOrARN  = []family{stringFamily, arnFamily}
	boolOrString = []family{boolFamily, stringFamily}
	addressOnly  = []family{ipFamily}
)

// limits tells whether the condition fixes who is meant: a positive operator that a missing key does
// not satisfy, on a key that identifies the caller or its way, with nothing but fixed values.
func (c *condition) limits(kind Kind) bool {
	if c.base.negated || c.ifExists || c.set == forAllValues {
		return false
	}
	row, known := limitations[c.key]
	if !known || !slices.Contains(row.families, c.base.family) {
		return false
	}
	across := c.base.family != arnFamily
	return !slices.ContainsFunc(c.values, func(v conditionValue) bool { return !row.limits(v.text, kind, across) })
}

// variable tells values that the request has a part in.
func variable(value string) bool { return strings.Contains(value, "${") }

func fixedValue(value string, _ Kind, _ bool) bool {
	return !strings.ContainsAny(value, "*?") && !variable(value)
}

// fixedSignedValue refuses what the keys say of callers without a signature.
func fixedSignedValue(value string, kind Kind, across bool) bool {
	return fixedValue(value, kind, across) && !strings.EqualFold(value, "anonymous")
}

// fixedCaller is for what only requests to KMS have.
func fixedCaller(value string, kind Kind, across bool) bool {
	return kind == KeyPolicy && fixedSignedValue(value, kind, across)
}

// fixedPath is a path in an organization; below it everything may be meant.
func fixedPath(value string, kind Kind, across bool) bool {
	organization, _, below := strings.Cut(value, "/")
	return below && strings.HasPrefix(organization, "o-") && fixedValue(strings.TrimSuffix(value, "*"), kind, across)
}

// fixedOwner is an ARN whose wildcards begin behind the account.
func fixedOwner(value string, kind Kind, across bool) bool {
	if fixedValue(value, kind, across) {
		return true
	}
	return !variable(value) && isAccount(arnPart(value, 4)) && !strings.ContainsAny(beforeResource(value), "*?")
}

// fixedSource is an ARN without wildcards, or of a fixed account. Under string operators a
// wildcard may stand for colons, so only what comes before it is sure to be the account.
func fixedSource(value string, kind Kind, across bool) bool {
	if across {
		return fixedOwner(value, kind, across)
	}
	return fixedValue(value, kind, across) || !variable(value) && isAccount(arnPart(value, 4))
}

// beforeResource is an ARN's first five parts.
func beforeResource(arn string) string {
	return strings.TrimSuffix(arn, arnPart(arn, 5))
}

func fixedTrue(value string, _ Kind, _ bool) bool { return strings.EqualFold(value, "true") }

func fixedServiceName(value string, kind Kind, across bool) bool {
	return value == "*.amazonaws.com" || fixedValue(value, kind, across)
}

// fixedAccessPoint lets a bucket policy leave the access point's name open.
func fixedAccessPoint(value string, kind Kind, across bool) bool {
	if kind != Bucket {
		return fixedValue(value, kind, across)
	}
	return fixedOwner(value, kind, across) && strings.HasPrefix(arnPart(value, 5), "accesspoint")
}

// Ranges broader than these are everybody.
const (
	broadest4 = 8
	broadest6 = 32
)

func fixedRange(value string, _ Kind, _ bool) bool {
	p, ok := parsePrefix(value)
	return ok && p.Bits() >= broadest(p.Addr())
}

func broadest(a netip.Addr) int {
	if a.Is4() {
		return broadest4
	}
	return broadest6
}

// publicReason says why statement i is public.
func (d *Document) publicReason(i int) string {
	s, info := &d.statements[i], d.Statement(i)
	b := "Statement " + itoa(i)
	if s.sid != "" {
		b += " (" + s.sid + ")"
	}
	b += ", line " + itoa(info.Start.Line) + ": " + s.openReason()
	if len(s.conditions) == 0 {
		return b + ", and there is no condition."
	}
	b += ", and no condition limits it to fixed values: "
	for j := range s.conditions {
		if j > 0 {
			b += "; "
		}
		b += s.conditions[j].unlimitedReason(d.kind)
	}
	return b + "."
}

func (s *statement) openReason() string {
	if s.notPrincipal {
		return "NotPrincipal means everyone else"
	}
	i := slices.IndexFunc(s.principals, func(p principal) bool { return p.open() })
	if s.principals[i].kind == providerPrincipal {
		return "Principal " + quote(s.principals[i].written) + " is everyone who has an account there"
	}
	return `Principal "*" is everyone`
}

// unlimitedReason says why the condition does not fix who is meant.
func (c *condition) unlimitedReason(kind Kind) string {
	name := c.operator + " " + c.written
	row, known := limitations[c.key]
	switch {
	case !known:
		return name + " does not identify the caller"
	case c.base.negated:
		return name + " leaves all other values open"
	case c.ifExists || c.set == forAllValues:
		return name + " also holds for requests without the key"
	case !slices.Contains(row.families, c.base.family):
		return name + " is not an operator that fixes the key"
	}
	across := c.base.family != arnFamily
	i := slices.IndexFunc(c.values, func(v conditionValue) bool { return !row.limits(v.text, kind, across) })
	value := c.values[i].text
	switch {
	case c.base.family == ipFamily:
		return name + " " + quote(value) + " is too broad a range"
	case variable(value):
		return name + " " + quote(value) + " is a variable"
	case strings.ContainsAny(value, "*?"):
		return name + " " + quote(value) + " has a wildcard"
	}
	return name + " " + quote(value) + " leaves strangers in"
}
