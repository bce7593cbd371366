package policy

import "strings"

// identify settles who of the caller's set asks, when conditions want something of the ARN, the
// account, the name or the id. The four belong together: whichever is settled first fixes the
// others, so that a failure proves something only for the first.
func (m *model) identify() outcome {
	c := m.q.caller
	if !c.openAccount && !c.openName && !c.openID {
		return possible
	}
	if c.principal.Type == Service {
		delete(m.env, "aws:principalservicename")
		return m.service()
	}
	if m.relaxed {
		return m.loosen()
	}
	wanted := false
	for _, key := range identityWishes {
		wanted = wanted || len(m.byKey[key]) > 0
	}
	if !wanted {
		return possible
	}
	m.guessed = true
	before := m.env
	for _, arnFirst := range [...]bool{true, false} {
		m.env = before.clone()
		if i := (&identification{model: m, arnFirst: arnFirst}); i.run() {
			return possible
		}
	}
	return unsure
}

var identityWishes = [...]string{"aws:principalarn", "aws:principalaccount", "aws:username", "aws:userid"}

func (k Keys) clone() Keys {
	c := make(Keys, len(k))
	for key, v := range k {
		c[key] = v
	}
	return c
}

// service settles the name of a service that no document names.
func (m *model) service() outcome {
	const key = "aws:principalservicename"
	v, present, result := m.keyProblem(key, domain{always: true}).find()
	if result == possible && present && len(m.byKey[key]) > 0 {
		m.env[key] = v
		m.request.Principal.ARN = v.One
	}
	if result == possible && len(m.byKey[key]) == 0 {
		m.env[key] = Values{One: m.request.Principal.ARN}
	}
	return result
}

// loosen asks for each of the four by itself.
func (m *model) loosen() outcome {
	i := identification{model: m}
	for _, key := range identityWishes {
		if i.follows(key) {
			delete(m.env, key)
		}
	}
	for _, key := range identityWishes {
		if d, open := i.domain(key); open {
			if _, _, result := m.keyProblem(key, d).find(); result == impossible {
				return impossible
			}
			// What is solved here is not asked again.
			m.byKey[key] = nil
		}
	}
	return possible
}

// identification is one attempt to settle the four keys.
type identification struct {
	*model
	arnFirst           bool
	arn, account, name string
	settledID          string
}

// follows tells whether the key depends on what is open of the caller.
func (i *identification) follows(key string) bool {
	c := i.q.caller
	t := c.principal.Type
	switch key {
	case "aws:principalarn":
		return t != Service && (c.openName || c.openAccount)
	case "aws:principalaccount":
		return c.openAccount
	case "aws:username":
		return c.openName && t == IAMUser
	case "aws:userid":
		return c.openID
	case "aws:principalservicename":
		return c.openName && t == Service
	}
	return false
}

func (i *identification) run() bool {
	c := i.q.caller
	if !c.openAccount {
		i.account = c.principal.Account
	}
	order := [...]string{"aws:principalaccount", "aws:username", "aws:principalarn", "aws:userid"}
	if i.arnFirst {
		order = [...]string{"aws:principalarn", "aws:principalaccount", "aws:username", "aws:userid"}
	}
	for _, key := range order {
		if !i.follows(key) || len(i.byKey[key]) == 0 {
			continue
		}
		d, _ := i.domain(key)
		v, _, result := i.keyProblem(key, d).find()
		if result != possible {
			return false
		}
		i.note(key, v.One)
	}
	i.finish()
	return true
}

// note keeps what a settled key says of the others.
func (i *identification) note(key, value string) {
	switch key {
	case "aws:principalarn":
		i.arn, i.account = value, arnPart(value, 4)
		i.name = value[strings.LastIndexAny(value, "/:")+1:]
	case "aws:principalaccount":
		i.account = value
	case "aws:username":
		i.name = value
	case "aws:userid":
		i.settledID = value
	}
}

// domain is what the key can be, with what is settled so far; open is false for a key that does not
// follow from what is open.
func (i *identification) domain(key string) (d domain, open bool) {
	if !i.follows(key) {
		return domain{}, false
	}
	d.always = true
	switch key {
	case "aws:principalarn":
		i.arns(&d)
	case "aws:principalaccount":
		if i.account != "" {
			return constant(Values{One: i.account}), true
		}
		d.shape = []glob{accountGlob("")}
		for _, a := range i.strangers() {
			d.avoid = append(d.avoid, literalGlob(a))
		}
	case "aws:username":
		if i.name != "" {
			return constant(Values{One: i.name}), true
		}
		var g glob
		g.least(inSegment)
		d.shape = []glob{g}
	case "aws:userid":
		i.ids(&d)
	}
	return d, true
}

func accountGlob(account string) (g glob) {
	if account != "" {
		return literalGlob(account)
	}
	for range 12 {
		g.one(digit)
	}
	return g
}

// strangers are the accounts that the caller is not of: those of the zone, and those that are
// callers of their own.
func (i *identification) strangers() []string {
	census := i.q.census
	list := append([]string{census.owner}, census.zone.Accounts...)
	if i.q.caller.name == "*" {
		for _, p := range census.named {
			if p.kind == accountPrincipal {
				list = append(list, p.value)
			}
		}
	}
	return list
}

func (i *identification) arns(d *domain) {
	type form struct{ service, kind string }
	f := map[PrincipalType]form{
		IAMUser: {"iam", "user/"}, AssumedRole: {"iam", "role/"}, RootUser: {"iam", "root"}, FederatedUser: {"sts", "federated-user/"},
	}[i.q.caller.principal.Type]
	begin := func() glob {
		g := literalGlob("arn:aws:" + f.service + "::")
		g.atoms = append(g.atoms, accountGlob(i.account).atoms...)
		g.literal(":"+f.kind, false)
		return g
	}
	g := begin()
	name := i.name
	if session := i.q.caller.principal; session.Type == AssumedRole && i.q.caller.kind == CallerRole && !i.q.caller.openAccount {
		_, name, _ = strings.Cut(arnPart(session.ARN, 5), "/")
		name, _, _ = strings.Cut(name, "/")
	}
	switch {
	case i.q.caller.principal.Type == RootUser:
	case name != "":
		g.literal(name, false)
		nested := begin()
		nested.some(anything)
		nested.literal("/"+name, false)
		d.shape = []glob{nested}
	default:
		g.least(anything)
	}
	d.shape = append(d.shape, g)
	for _, a := range i.strangers() {
		if a != i.account {
			d.avoid = append(d.avoid, arnOfAccount(a))
		}
	}
	if i.q.caller.kind != CallerAccount {
		return
	}
	for _, p := range i.q.census.named {
		if p.kind == entityPrincipal {
			d.avoid = append(d.avoid, literalGlob(p.value))
		}
	}
}

func (i *identification) ids(d *domain) {
	var g glob
	switch i.q.caller.principal.Type {
	case IAMUser:
		g.literal("AIDA", false)
		g.least(inSegment)
	case AssumedRole:
		c := i.q.caller
		_, session, _ := strings.Cut(c.principal.UserID, ":")
		if c.name == c.principal.UniqueID {
			g.literal(c.name, false)
		} else {
			g.literal("AROA", false)
			g.least(inSegment)
		}
		g.literal(":", false)
		if c.name == c.principal.ARN {
			g.literal(session, false)
		} else {
			g.least(inSegment)
		}
	default:
		g = accountGlob(i.account)
		if i.q.caller.principal.Type == FederatedUser {
			g.literal(":", false)
			if i.name != "" {
				g.literal(i.name, false)
			} else {
				g.least(inSegment)
			}
		}
	}
	d.shape = []glob{g}
}

// finish makes the principal that the keys describe.
func (i *identification) finish() {
	p := &i.request.Principal
	old, issuer := p.Account, p.Type == AssumedRole
	if i.account != "" && i.account != old {
		p.ARN = strings.Replace(p.ARN, ":"+old+":", ":"+i.account+":", 1)
		p.IssuerARN = strings.Replace(p.IssuerARN, ":"+old+":", ":"+i.account+":", 1)
		p.UserID = strings.Replace(p.UserID, old, i.account, 1)
		p.Account = i.account
	}
	switch {
	case i.arn != "" && issuer:
		p.IssuerARN = i.arn
		session := p.ARN[strings.LastIndexByte(p.ARN, '/')+1:]
		p.ARN = "arn:aws:sts::" + p.Account + ":assumed-role/" + i.name + "/" + session
	case i.arn != "":
		p.ARN = i.arn
	case i.name != "" && p.Type == IAMUser:
		p.ARN = "arn:aws:iam::" + p.Account + ":user/" + i.name
	}
	if p.Type == IAMUser && i.name != "" {
		p.Name = i.name
	}
	if p.Type == FederatedUser && i.name != "" {
		p.UserID = p.Account + ":" + i.name
	}
	if i.settledID != "" {
		p.UserID = i.settledID
	}
	if i.settledID != "" && (p.Type == IAMUser || issuer) {
		p.UniqueID, _, _ = strings.Cut(p.UserID, ":")
	}
	if issuer && i.settledID != "" {
		_, session, _ := strings.Cut(p.UserID, ":")
		p.ARN = p.ARN[:strings.LastIndexByte(p.ARN, '/')+1] + session
	}
	for key, v := range keysOf(p) {
		i.env[key] = v
	}
}
