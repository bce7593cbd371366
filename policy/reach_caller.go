package policy

import (
	"cmp"
	"slices"
	"strings"
)

// Zone is whom the owner of a resource trusts. The zero Zone trusts nobody, not even the principals
// of an account that the policy names.
type Zone struct {
	// Accounts are trusted with everything in them. The first one owns the resource. Name all
	// accounts of the organization: a principal of an account that is not listed is a stranger.
	Accounts []string
	// Organization is an organization's id, "o-…": callers that it vouches for
	// (aws:PrincipalOrgID, aws:PrincipalOrgPaths, aws:SourceOrgID, aws:SourceOrgPaths) are inside.
	Organization string
	// UniqueIDs (AIDA…, AROA…) and CanonicalIDs belong to principals and accounts inside.
	UniqueIDs    []string
	CanonicalIDs []string
	// TrustServices takes service principals for trusted whomever they act for. Otherwise a
	// service is inside only while it acts for an account or organization of the zone.
	TrustServices bool
	// Resource is the ARN of what carries the policy, where it is known: of a bucket, its
	// objects are meant with it. Empty: a bucket policy is taken to be of the one bucket that it
	// names, any other policy of whatever its statements name.
	Resource string
}

// caller is a set of principals outside the zone that the documents do not tell apart but by
// conditions: what is said of one is said of all that the open keys allow.
type caller struct {
	principal Principal
	// kind names the set for people, as Opening.Type does.
	kind string
	// name is the Principal that the set would be written as.
	name string
	// known are keys that follow from the principal; closed ones it never has.
	known  Keys
	closed func(key string) bool
	// openAccount, openName, openID: the account, the user or role in it, and its unique id (or the
	// session's name behind it) are not known.
	openAccount, openName, openID bool
}

// The kinds of caller.
const (
	CallerAnonymous = "Anonymous"
	CallerAccount   = "AWS account"
	CallerUser      = "User"
	CallerRole      = "Role"
	CallerFederated = "Federated user"
	CallerService   = "Service"
	CallerIdentity  = "Web identity"
)

const anonymous = "anonymous"

// census lists the callers outside a zone that documents can tell apart, the widest first.
type census struct {
	zone  Zone
	owner string
	// stranger is an account that nobody mentions.
	stranger string
	list     []caller
	// detailed: some condition or NotPrincipal tells the kinds of caller in an account apart.
	detailed bool
	trust    bool // a role's trust policy
	unsigned bool // requests without a signature are possible
	named    []principal
	always   []string // keys that every request has, and that the documents look at
}

func newCensus(zone Zone, documents ...*Document) *census {
	c := &census{zone: zone}
	source := ""
	for _, d := range documents {
		source += d.source
		c.trust = c.trust || d.kind == Trust
		c.unsigned = d.kind != Trust && d.kind != KeyPolicy
		for i := range d.statements {
			c.read(&d.statements[i])
		}
	}
	source += strings.Join(zone.Accounts, ",")
	c.owner = unmentioned(source, "0123456789")
	if len(zone.Accounts) > 0 {
		c.owner = zone.Accounts[0]
	}
	c.stranger = unmentioned(source+c.owner, "9876543210")
	if c.unsigned {
		c.list = append(c.list, caller{
			principal: Principal{Type: Anonymous}, kind: CallerAnonymous, name: "*", closed: closedToUnsigned,
			known: CallerKeys(&Principal{Type: Anonymous}),
		})
	}
	c.account("", "", "*")
	if c.trust {
		c.provider("")
	}
	if !zone.TrustServices {
		c.service("")
	}
	for i := range c.named {
		c.add(&c.named[i])
	}
	for i := range c.list {
		c.list[i].known["aws:resourceaccount"], c.list[i].known["s3:resourceaccount"] = Values{One: c.owner}, Values{One: c.owner}
		if zone.Organization != "" {
			c.list[i].known["aws:resourceorgid"] = Values{One: zone.Organization}
		}
	}
	return c
}

// unmentioned is an account number that the text does not have, of one digit if possible.
func unmentioned(text, digits string) string {
	for _, d := range digits {
		if s := strings.Repeat(string(d), 12); !strings.Contains(text, s) {
			return s
		}
	}
	for n := 1; ; n++ {
		s := itoa(n)
		if s = strings.Repeat("0", 12-len(s)) + s; !strings.Contains(text, s) {
			return s
		}
	}
}

// read notes what the statement tells apart.
func (c *census) read(s *statement) {
	c.detailed = c.detailed || s.notPrincipal
	for i := range s.conditions {
		c.mention(s.conditions[i].key)
		s.conditions[i].variables(c.mention)
	}
	for i := range s.resources {
		s.resources[i].pattern.variables(c.mention)
	}
	for i := range s.principals {
		p := s.principals[i]
		if p.kind != everyone && !slices.ContainsFunc(c.named, func(q principal) bool { return q.kind == p.kind && q.value == p.value }) {
			c.named = append(c.named, p)
		}
	}
}

// identityKeys tell the kinds of principal in an account apart.
var identityKeys = [...]string{"aws:principalarn", "aws:username", "aws:userid", "aws:principaltype"}

func (c *census) mention(key string) {
	c.detailed = c.detailed || slices.Contains(identityKeys[:], key)
	if domains[key].always && !slices.Contains(c.always, key) {
		c.always = append(c.always, key)
	}
}

// add makes the callers that a principal of the document means.
func (c *census) add(p *principal) {
	account := arnPart(p.value, 4)
	switch p.kind {
	case accountPrincipal:
		c.account(p.value, "", "arn:aws:iam::"+p.value+":root")
	case canonicalPrincipal:
		if !slices.Contains(c.zone.CanonicalIDs, p.value) {
			c.account("", p.value, p.value)
		}
	case uniqueIDPrincipal:
		if !slices.Contains(c.zone.UniqueIDs, p.value) {
			c.unique(p.value)
		}
	case servicePrincipal:
		if !c.zone.TrustServices {
			c.service(p.value)
		}
	case providerPrincipal:
		if !c.inside(account) {
			c.provider(p.value)
		}
	case entityPrincipal:
		if kind, _, _ := strings.Cut(arnPart(p.value, 5), "/"); kind == "user" {
			c.user(p.value)
		} else {
			c.role(p.value, "")
		}
	case sessionPrincipal:
		_, rest, _ := strings.Cut(arnPart(p.value, 5), "/")
		role, _, _ := strings.Cut(rest, "/")
		c.role("arn:aws:iam::"+account+":role/"+role, p.value)
	case federatedUserPrincipal:
		c.federated(p.value)
	}
}

func (c *census) inside(account string) bool { return slices.Contains(c.zone.Accounts, account) }

// account adds principals of an account that are not named themselves; "" is any account that is
// not named either.
func (c *census) account(id, canonical, name string) {
	if id != "" && c.inside(id) {
		return
	}
	open := id == ""
	if open {
		id = c.stranger
	}
	arn := "arn:aws:iam::" + id + ":"
	kinds := []Principal{
		{Type: IAMUser, ARN: arn + "user/example", UserID: "AIDAEXAMPLEEXAMPLE00", UniqueID: "AIDAEXAMPLEEXAMPLE00", Name: "example"},
		{Type: AssumedRole, ARN: "arn:aws:sts::" + id + ":assumed-role/example/session", IssuerARN: arn + "role/example", UserID: "AROAEXAMPLEEXAMPLE00:session", UniqueID: "AROAEXAMPLEEXAMPLE00"},
		{Type: RootUser, ARN: arn + "root", UserID: id},
		{Type: FederatedUser, ARN: "arn:aws:sts::" + id + ":federated-user/example", IssuerARN: arn + "user/issuer", UserID: id + ":example"},
	}
	if !c.detailed {
		kinds = kinds[:1]
	}
	for _, p := range kinds {
		p.Account, p.CanonicalID = id, canonical
		k := newCaller(p, CallerAccount, name)
		k.openAccount, k.openName, k.openID = open, p.Type != RootUser, true
		c.list = append(c.list, k)
	}
}

func (c *census) unique(id string) {
	account := c.stranger
	arn := "arn:aws:iam::" + account + ":"
	p := Principal{Type: IAMUser, Account: account, ARN: arn + "user/example", UserID: id, UniqueID: id, Name: "example"}
	kind := CallerUser
	if strings.HasPrefix(id, "AROA") {
		kind = CallerRole
		p = Principal{Type: AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/example/session", IssuerARN: arn + "role/example", UserID: id + ":session", UniqueID: id}
	}
	k := newCaller(p, kind, id)
	k.openAccount, k.openName, k.openID = true, true, kind == CallerRole
	c.list = append(c.list, k)
	if kind == CallerUser {
		c.sessions(account, arn+"user/example", id)
	}
}

func (c *census) user(arn string) {
	account := arnPart(arn, 4)
	if c.inside(account) {
		return
	}
	_, path, _ := strings.Cut(arnPart(arn, 5), "/")
	k := newCaller(Principal{
		Type: IAMUser, Account: account, ARN: arn, UserID: "AIDAEXAMPLEEXAMPLE00", UniqueID: "AIDAEXAMPLEEXAMPLE00",
		Name: path[strings.LastIndexByte(path, '/')+1:],
	}, CallerUser, arn)
	k.openID = true
	c.list = append(c.list, k)
	c.sessions(account, arn, "")
}

// sessions adds the sessions that a user has federated: a policy that names the user means them too.
func (c *census) sessions(account, issuer, id string) {
	if !c.detailed {
		return
	}
	k := newCaller(Principal{
		Type: FederatedUser, Account: account, ARN: "arn:aws:sts::" + account + ":federated-user/example", IssuerARN: issuer,
		UserID: account + ":example", UniqueID: id,
	}, CallerUser, cmp.Or(id, issuer))
	k.openName, k.openID, k.openAccount = true, true, id != ""
	c.list = append(c.list, k)
}

// role adds the sessions of a role, or one of them. The session's ARN does not tell the role's path.
func (c *census) role(arn, session string) {
	account := arnPart(arn, 4)
	if c.inside(account) {
		return
	}
	p := Principal{Type: AssumedRole, Account: account, ARN: session, IssuerARN: arn, UniqueID: "AROAEXAMPLEEXAMPLE00"}
	name := session
	if session == "" {
		resource := arnPart(arn, 5)
		p.ARN, name = "arn:aws:sts::"+account+":assumed-role/"+resource[strings.LastIndexByte(resource, '/')+1:]+"/session", arn
	}
	p.UserID = p.UniqueID + ":" + p.ARN[strings.LastIndexByte(p.ARN, '/')+1:]
	k := newCaller(p, CallerRole, name)
	k.openName, k.openID = session != "", true
	c.list = append(c.list, k)
}

func (c *census) federated(arn string) {
	account := arnPart(arn, 4)
	if c.inside(account) {
		return
	}
	_, name, _ := strings.Cut(arnPart(arn, 5), "/")
	c.list = append(c.list, newCaller(Principal{
		Type: FederatedUser, Account: account, ARN: arn, IssuerARN: "arn:aws:iam::" + account + ":user/issuer", UserID: account + ":" + name,
	}, CallerFederated, arn))
}

func (c *census) service(name string) {
	k := caller{principal: Principal{Type: Service, ARN: name}, kind: CallerService, name: name, closed: closedToServices}
	k.known = CallerKeys(&k.principal)
	if name == "" {
		k.principal.ARN, k.name, k.openName = "example.amazonaws.com", "*", true
	}
	c.list = append(c.list, k)
}

func (c *census) provider(arn string) {
	k := caller{principal: Principal{Type: WebIdentity, ARN: arn}, kind: CallerIdentity, name: arn, known: Keys{}, closed: closedToProviders}
	if arn == "" {
		k.principal.ARN, k.name = "idp.example.com", "*"
	}
	c.list = append(c.list, k)
}

// newCaller is one principal of an account, with all that follows from it.
func newCaller(p Principal, kind, name string) caller {
	return caller{principal: p, kind: kind, name: name, known: keysOf(&p), closed: closedToAccounts}
}

// keysOf are the keys that follow from a principal of an account.
func keysOf(p *Principal) Keys {
	k := Keys{
		"aws:principalaccount": {One: p.Account}, "aws:principaltype": {One: p.Type.String()}, "aws:principalarn": {One: p.ARN},
		"aws:userid": {One: p.UserID}, "aws:principalisawsservice": {One: "false"}, "kms:calleraccount": {One: p.Account},
	}
	if p.Type == AssumedRole {
		k["aws:principalarn"] = Values{One: p.IssuerARN}
	}
	if p.Name != "" {
		k["aws:username"] = Values{One: p.Name}
	}
	return k
}

func beginsWith(key string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

func closedToUnsigned(key string) bool {
	return beginsWith(key, "aws:principal", "aws:username", "aws:sourcearn", "aws:sourceaccount", "aws:sourceowner", "aws:sourceorg")
}

func closedToAccounts(key string) bool {
	return beginsWith(key, "aws:principalservice", "aws:username", "aws:sourcearn", "aws:sourceaccount", "aws:sourceowner", "aws:sourceorg")
}

func closedToServices(key string) bool {
	return beginsWith(key, "kms:calleraccount", "aws:principalarn", "aws:principalaccount", "aws:principalorg", "aws:principaltag/", "aws:username", "aws:userid")
}

func closedToProviders(key string) bool {
	return beginsWith(key, "aws:principal", "aws:username", "aws:userid", "aws:sourcearn", "aws:sourceaccount", "aws:sourceowner", "aws:sourceorg")
}

// perhapsSpared tells whether a NotPrincipal may list the caller under another name: by its ids when
// only the ARN is known, by its ARN when only an id is.
func (c *caller) perhapsSpared(s *statement) bool {
	if !s.notPrincipal || c.family() != familyAccount {
		return false
	}
	byID := c.openAccount && c.name != "*"
	return byID || slices.ContainsFunc(s.principals, func(p principal) bool { return p.kind == uniqueIDPrincipal || p.kind == canonicalPrincipal })
}

// grade tells whether the statement means the caller, and how closely.
func (c *caller) grade(s *statement) grade {
	e := evaluation{req: &Request{Principal: c.principal}, in: &Inputs{}}
	return e.principalApplies(s)
}
