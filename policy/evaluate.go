package policy

import "strings"

// Evaluate decides one request against the documents that apply to it, in AWS's order: an explicit
// deny anywhere, then the layers that must allow. It allocates nothing of its own.
func Evaluate(req *Request, in *Inputs) Decision {
	e := evaluation{req: req, in: in}
	return e.decide()
}

// evaluation is one decision in the making.
type evaluation struct {
	req *Request
	in  *Inputs
	// lower is the action in lower case, with the length of its service; an action that is
	// longer is compared letter by letter.
	lower   [48]byte
	service int
	hash    uint64
	exact   uint64
	letters uint32

	identity, boundary, session, endpoint, resource verdict
	scp, rcp                                        levels
}

// verdict is what the documents of one layer say together.
type verdict struct {
	effect    Effect
	document  *Document
	statement int
	// grade is how closely the allowing statement names the caller (resource policies).
	grade grade
}

// levels is the verdict of an organization's policies: allowed when every level allows.
type levels struct {
	deny    verdict
	missing bool // some level does not allow
}

func (e *evaluation) decide() Decision {
	p := &e.req.Principal
	if p.Type == Nobody || p.Type > WebIdentity {
		return Decision{Statement: -1}
	}
	if e.undeniable() {
		return Decision{Effect: Allow, Layer: LayerIdentity, Statement: -1}
	}
	e.ask()
	if d, denied := e.denied(); denied {
		return d
	}
	switch {
	case e.in.RCPs != nil && e.rcp.missing:
		return e.refuse(LayerRCP)
	case p.Type.hasAccount() && e.in.SCPs != nil && e.scp.missing:
		return e.refuse(LayerSCP)
	case e.in.Endpoint != nil && e.endpoint.effect != Allow:
		return e.refuse(LayerEndpoint)
	case !p.Type.hasAccount():
		return e.outsider()
	case e.crossAccount():
		return e.crossing()
	}
	return e.inside()
}

// ask prepares what statements are found by.
func (e *evaluation) ask() {
	action := e.req.Action
	service, name, _ := strings.Cut(action, ":")
	h := uint64(hashSeed)
	for i := range len(action) {
		c := lower(action[i])
		h = hashByte(h, c)
		if i < len(e.lower) {
			e.lower[i] = c
		}
	}
	e.service, e.hash = len(service), h|1
	e.exact, e.letters = exactBit(e.hash), letterBits(name)
}

// is compares the action with lower-case text.
func (e *evaluation) is(text string) bool {
	if n := len(e.req.Action); n <= len(e.lower) {
		return string(e.lower[:n]) == text
	}
	return foldEqual(e.req.Action, text)
}

// candidates lists the statements of d whose actions can include the request's.
func (e *evaluation) candidates(d *Document) []candidate {
	if e.service > len(e.lower) {
		return d.candidates(lowerASCII(e.req.Action[:e.service]))
	}
	for i := range d.index {
		if d.index[i].service == string(e.lower[:e.service]) {
			return d.index[i].candidates
		}
	}
	return d.general
}

// undeniable is what every signed caller may always do.
func (e *evaluation) undeniable() bool {
	return e.req.Principal.Type.hasAccount() && strings.EqualFold(e.req.Action, "sts:GetCallerIdentity")
}

func (e *evaluation) crossAccount() bool {
	return e.req.ResourceAccount != "" && e.req.ResourceAccount != e.req.Principal.Account
}

// denied judges every layer and reports an explicit deny. Layers that cannot bind the caller are
// not looked at: identity policies and boundaries of a root user, and everything of the
// principal's side for callers that belong to no account.
func (e *evaluation) denied() (Decision, bool) {
	p, in := &e.req.Principal, e.in
	if e.rcp = e.judgeLevels(in.RCPs); e.rcp.deny.effect == ExplicitDeny {
		return e.outcome(LayerRCP, e.rcp.deny), true
	}
	if p.Type.hasAccount() {
		if e.scp = e.judgeLevels(in.SCPs); e.scp.deny.effect == ExplicitDeny {
			return e.outcome(LayerSCP, e.scp.deny), true
		}
	}
	if e.endpoint = e.judge(in.Endpoint); e.endpoint.effect == ExplicitDeny {
		return e.outcome(LayerEndpoint, e.endpoint), true
	}
	e.resource = e.judge(in.Resource)
	if in.Restricted {
		e.resource = verdict{effect: ExplicitDeny, document: in.Resource, statement: -1}
	}
	if e.resource.effect == ExplicitDeny && !e.rootRecovers() {
		return e.outcome(e.resourceLayer(), e.resource), true
	}
	if in.Granted && e.resource.effect != ExplicitDeny {
		e.resource = verdict{effect: Allow, document: nil, statement: -1, grade: named}
	}
	if !p.Type.hasAccount() {
		return Decision{}, false
	}
	return e.deniedPrincipal()
}

// deniedPrincipal judges the layers that are attached to the principal.
func (e *evaluation) deniedPrincipal() (Decision, bool) {
	if e.req.Principal.Type != RootUser {
		if e.identity = e.judgeAll(e.in.Identity); e.identity.effect == ExplicitDeny {
			return e.outcome(LayerIdentity, e.identity), true
		}
		if e.boundary = e.judge(e.in.Boundary); e.boundary.effect == ExplicitDeny {
			return e.outcome(LayerBoundary, e.boundary), true
		}
	}
	if e.session = e.judgeAll(e.in.Session); e.session.effect == ExplicitDeny {
		return e.outcome(LayerSession, e.session), true
	}
	return Decision{}, false
}

// rootRecovers lets the root user of the owning account see, replace and remove a bucket policy
// that locks everybody out.
func (e *evaluation) rootRecovers() bool {
	if e.req.Principal.Type != RootUser || e.crossAccount() || e.in.Restricted {
		return false
	}
	for _, action := range [...]string{"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"} {
		if strings.EqualFold(e.req.Action, action) {
			return true
		}
	}
	return false
}

// outsider decides for callers without an account: the resource's side alone.
func (e *evaluation) outsider() Decision {
	if e.resource.effect == Allow {
		return e.outcome(e.resourceLayer(), e.resource)
	}
	return e.refuse(e.resourceLayer())
}

// crossing decides across accounts: the caller's side and the resource's must both allow.
func (e *evaluation) crossing() Decision {
	if layer := e.ownSide(); layer != LayerNone {
		return e.refuse(layer)
	}
	return e.outsider()
}

// inside decides within one account.
func (e *evaluation) inside() Decision {
	switch {
	case e.resource.effect == Allow && e.resource.grade == named:
		return e.outcome(e.resourceLayer(), e.resource)
	case e.resource.effect == Allow && e.resource.grade == namedIssuer:
		if layer := e.limits(); layer != LayerNone {
			return e.refuse(layer)
		}
		return e.outcome(e.resourceLayer(), e.resource)
	case e.in.ResourceMustAllow && e.resource.effect != Allow:
		return e.refuse(e.resourceLayer())
	}
	if layer := e.ownSide(); layer != LayerNone {
		return e.refuse(layer)
	}
	return e.outcome(LayerIdentity, e.identity)
}

// ownSide is the layer of the caller's own side that does not allow, or LayerNone. The root user,
// and a session that it federated, needs no identity policy.
func (e *evaluation) ownSide() Layer {
	p := &e.req.Principal
	root := p.Type == RootUser || p.Type == FederatedUser && arnPart(p.IssuerARN, 5) == "root"
	if root && e.identity.effect != Allow {
		e.identity = verdict{effect: Allow, statement: -1}
	}
	if e.identity.effect != Allow {
		return LayerIdentity
	}
	return e.limits()
}

// limits is the boundary or session policy that does not allow, or LayerNone. A federated session
// without a session policy may do nothing.
func (e *evaluation) limits() Layer {
	p := &e.req.Principal
	if e.in.Boundary != nil && p.Type != RootUser && e.boundary.effect != Allow {
		return LayerBoundary
	}
	if (e.in.HasSession || len(e.in.Session) > 0 || p.Type == FederatedUser) && e.session.effect != Allow {
		return LayerSession
	}
	return LayerNone
}

func (e *evaluation) resourceLayer() Layer {
	if e.in.Resource != nil {
		return e.in.Resource.kind.rules().layer
	}
	return LayerResource
}

func (e *evaluation) refuse(layer Layer) Decision {
	return Decision{Effect: ImplicitDeny, Layer: layer, Statement: -1, CrossAccount: e.crossAccount()}
}

func (e *evaluation) outcome(layer Layer, v verdict) Decision {
	return Decision{Effect: v.effect, Layer: layer, Document: v.document, Statement: v.statement, CrossAccount: e.crossAccount()}
}

func (e *evaluation) judgeLevels(list [][]*Document) levels {
	var l levels
	for _, level := range list {
		v := e.judgeAll(level)
		if v.effect == ExplicitDeny {
			return levels{deny: v}
		}
		l.missing = l.missing || v.effect != Allow
	}
	return l
}

func (e *evaluation) judgeAll(list []*Document) verdict {
	var best verdict
	for _, d := range list {
		v := e.judge(d)
		if v.effect == ExplicitDeny {
			return v
		}
		if v.effect == Allow && best.effect != Allow {
			best = v
		}
	}
	return best
}

// judge is the verdict of one document: a deny, else the allow that names the caller most closely,
// else nothing.
func (e *evaluation) judge(d *Document) verdict {
	best := verdict{statement: -1}
	if d == nil {
		return best
	}
	list := e.candidates(d)
	for i := range list {
		c := &list[i]
		if c.exact&e.exact == 0 && c.letters&e.letters == 0 || c.effect == Allow && best.grade == named {
			continue
		}
		if !strings.HasPrefix(e.req.Resource, c.prefix) {
			continue
		}
		s := &d.statements[c.statement]
		g := e.applies(s)
		switch {
		case g == unnamed:
		case s.effect == ExplicitDeny:
			return verdict{effect: ExplicitDeny, document: d, statement: int(c.statement), grade: g}
		case g > best.grade:
			best = verdict{effect: Allow, document: d, statement: int(c.statement), grade: g}
		}
	}
	return best
}

// applies tells whether the statement is about this request, and how it names the caller.
func (e *evaluation) applies(s *statement) grade {
	if !e.actionApplies(s) || !e.resourceApplies(s) {
		return unnamed
	}
	g := e.principalApplies(s)
	if g == unnamed || !e.conditionsHold(s) {
		return unnamed
	}
	return g
}

func (e *evaluation) actionApplies(s *statement) bool {
	for i := range s.actions {
		if e.actionMatches(&s.actions[i]) {
			return !s.notAction
		}
	}
	return s.notAction
}

func (e *evaluation) actionMatches(a *actionPattern) bool {
	if a.hash != 0 {
		return a.hash == e.hash && e.is(a.pattern.text)
	}
	return a.pattern.match(e.req.Action, nil)
}

func (e *evaluation) resourceApplies(s *statement) bool {
	if !s.hasResource {
		return true
	}
	for i := range s.resources {
		if s.resources[i].pattern.match(e.req.Resource, e.req.Context) {
			return !s.notResource
		}
	}
	return s.notResource
}

func (e *evaluation) principalApplies(s *statement) grade {
	if !s.hasPrincipal {
		return named
	}
	p := &e.req.Principal
	if s.notPrincipal {
		listed := listedChain(s.principals, p)
		spared := listed.touched()
		if s.effect == ExplicitDeny {
			// A caller with a permissions boundary is hit whatever is listed.
			spared = listed.exempt(p) && e.in.Boundary == nil
		}
		if spared {
			return unnamed
		}
		return named
	}
	best := unnamed
	for i := range s.principals {
		best = max(best, s.principals[i].grade(p))
	}
	return best
}

func (e *evaluation) conditionsHold(s *statement) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(e.req.Context) {
			return false
		}
	}
	return true
}
