package policy

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// A query asks for a request of one caller for one action that one statement allows, and nothing
// denies; with an earlier document, for one that the earlier document does not allow.
//
// It solves what the statement wants for a request, looks at what forbids that request, and tries
// every way out of it in turn: another resource, another value of a condition. Each way is a wish
// more for the next round, so the search ends; when all ways end without a solution, that is a
// proof that there is none.
type query struct {
	census *census
	caller *caller
	action string
	// within are the resources that the action applies to, and that the document is about.
	within [][]glob
	// denies of the new document, and all of the old one, that are about caller and action.
	denies               []*statement
	earlier              *Document
	oldDenies, oldAllows []*statement
	// document is what must allow.
	document *Document
	// work is what is left for the whole analysis, known what it has found out about resources.
	work  *int
	known *knownResources
	// group names the resources that the action applies to.
	group string
	depth int
}

// Bounds of the search: a second at most. What needs more is reported as not excluded.
const (
	maxSteps      = 200       // of one query
	maxWork       = 4_000_000 // of one analysis, in steps of a glob
	workOfStep    = 40
	maxWordStates = 600 // of one word
)

// goal is what is wanted of a request.
type goal struct {
	resources []resourceWish
	literals  []literal
	// settled: a Deny of the earlier document is among the wishes.
	settled bool
}

type resourceWish struct {
	list []resourcePattern
	in   bool
	of   *statement
}

// require wants the statement to apply.
func (g goal) require(s *statement) goal {
	g.resources, g.literals = slices.Clip(g.resources), slices.Clip(g.literals)
	if s.hasResource {
		g.resources = append(g.resources, resourceWish{s.resources, !s.notResource, s})
	}
	for i := range s.conditions {
		g.literals = append(g.literals, literal{&s.conditions[i], true})
	}
	return g
}

// escapes are the ways for the statement not to apply.
func (g goal) escapes(s *statement) (ways []goal) {
	for i := range s.conditions {
		way := g
		way.literals = append(slices.Clip(g.literals), literal{&s.conditions[i], false})
		ways = append(ways, way)
	}
	if s.hasResource {
		way := g
		way.resources = append(slices.Clip(g.resources), resourceWish{s.resources, s.notResource, s})
		ways = append(ways, way)
	}
	return ways
}

// search looks for a request that meets the goal and passes.
func (q *query) search(g goal) (*Witness, outcome) {
	if q.depth++; q.depth > maxSteps || *q.work <= 0 {
		return nil, unsure
	}
	*q.work -= workOfStep
	m, result := q.solve(g)
	if result != possible {
		return nil, result
	}
	m.request.Context = m.env
	e := evaluation{req: &m.request, in: &Inputs{}}
	e.ask()
	applies := func(s **statement) bool { return e.applies(*s) != unnamed }
	if i := slices.IndexFunc(q.denies, func(s *statement) bool { return applies(&s) }); i >= 0 {
		return q.either(g.escapes(q.denies[i]))
	}
	if q.earlier != nil && !g.settled && !anyOf(q.oldDenies, applies) {
		if i := slices.IndexFunc(q.oldAllows, func(s *statement) bool { return applies(&s) }); i >= 0 {
			ways := g.escapes(q.oldAllows[i])
			for _, s := range q.oldDenies {
				way := g.require(s)
				way.settled = true
				ways = append(ways, way)
			}
			return q.either(ways)
		}
	}
	w := m.witness(q)
	if !Evaluate(&w.request, w.Inputs(q.document)).Allowed() || q.earlier != nil && Evaluate(&w.request, w.Inputs(q.earlier)).Allowed() {
		return nil, unsure
	}
	return w, possible
}

// either is the best that the ways lead to.
func (q *query) either(ways []goal) (*Witness, outcome) {
	best := impossible
	for _, g := range ways {
		w, result := q.search(g)
		if result == possible {
			return w, possible
		}
		best = max(best, result)
	}
	return nil, best
}

// model is a request in the making.
type model struct {
	q       *query
	g       goal
	byKey   map[string][]literal
	keys    []string // of byKey, in order
	env     Keys
	absent  []string
	request Request
	// guessed: a value was settled on that another wish depends on, so failure proves nothing.
	guessed bool
	relaxed bool
}

// solve finds a request that meets the goal, whoever forbids it.
func (q *query) solve(g goal) (*model, outcome) {
	m := q.model(g, false)
	result := m.run()
	if result == possible || result == impossible && !m.guessed {
		return m, result
	}
	if relaxed := q.model(g, true); relaxed.run() == impossible {
		return nil, impossible
	}
	return nil, unsure
}

func (q *query) model(g goal, relaxed bool) *model {
	m := &model{q: q, g: g, byKey: map[string][]literal{}, env: maps.Clone(q.caller.known), relaxed: relaxed}
	for _, l := range g.literals {
		key := l.key
		if key == "kms:calleraccount" { // KMS's own word for the account
			key = "aws:principalaccount"
		}
		if _, seen := m.byKey[key]; !seen {
			m.keys = append(m.keys, key)
		}
		m.byKey[key] = append(m.byKey[key], l)
	}
	m.request = Request{Principal: q.caller.principal, Action: q.action, ResourceAccount: q.census.owner}
	return m
}

func (m *model) run() outcome {
	result := m.identify()
	done := map[string]bool{}
	settle := func(key string) {
		if !done[key] && result != impossible {
			done[key] = true
			result = min(result, m.settle(key))
		}
	}
	if !m.relaxed {
		who := identification{model: m}
		m.variables(func(key string) {
			m.guessed = m.guessed || who.follows(key)
			if _, known := m.env[key]; !known && !m.q.caller.closed(key) {
				m.guessed = true
				if len(m.byKey[key]) > 0 {
					settle(key)
				} else {
					m.assume(key)
				}
			}
		})
	}
	for _, key := range m.keys {
		settle(key)
	}
	if result == impossible {
		return impossible
	}
	if !m.relaxed {
		for _, key := range m.q.census.always {
			m.assume(key)
		}
	}
	return min(result, m.resource())
}

// assume gives a key that nothing is wished of a plain value.
func (m *model) assume(key string) {
	if _, known := m.env[key]; known || slices.Contains(m.absent, key) {
		return
	}
	d := domainOf(key)
	switch {
	case d.values != nil:
		m.env[key] = Values{One: d.values[0]}
	case d.kind == dates:
		m.env[key] = Values{One: "2026-01-01T00:00:00Z"}
	case d.kind == addresses:
		m.env[key] = Values{One: "198.51.100.7"}
	case !d.multi:
		m.env[key] = Values{One: "example"}
	}
}

// variables visits the keys that the goal's patterns refer to.
func (m *model) variables(visit func(string)) {
	for _, l := range m.g.literals {
		l.condition.variables(visit)
	}
	for _, r := range m.g.resources {
		for i := range r.list {
			r.list[i].pattern.variables(visit)
		}
	}
}

// settle finds a value for the key.
func (m *model) settle(key string) outcome {
	v, present, result := m.keyProblem(key, m.domain(key)).find()
	if result != possible || m.relaxed {
		return result
	}
	if present {
		m.env[key] = v
	} else {
		m.absent = append(m.absent, key)
	}
	if key == "aws:principalorgpaths" && present && m.env["aws:principalorgid"].One == "" && len(m.byKey["aws:principalorgid"]) == 0 {
		organization, _, _ := strings.Cut(v.Many[0], "/")
		m.env["aws:principalorgid"] = Values{One: organization}
	}
	return result
}

func (m *model) keyProblem(key string, d domain) *keyProblem {
	return &keyProblem{domain: d, literals: m.byKey[key], env: m.env, relaxed: m.relaxed, work: m.q.work}
}

// domain is what the caller's requests can have under the key.
func (m *model) domain(key string) domain {
	if v, known := m.env[key]; known {
		return constant(v)
	}
	if m.q.caller.closed(key) {
		return domain{never: true}
	}
	d, zone := domainOf(key), &m.q.census.zone
	switch key {
	case "aws:principalorgid", "aws:sourceorgid":
		if zone.Organization != "" {
			d.avoid = append(d.avoid, literalGlob(zone.Organization))
		}
	case "aws:principalorgpaths", "aws:sourceorgpaths":
		if zone.Organization != "" {
			d.avoid = append(d.avoid, prefixGlob(zone.Organization+"/"))
		}
	case "aws:sourceaccount", "aws:sourceowner":
		for _, a := range zone.Accounts {
			d.avoid = append(d.avoid, literalGlob(a))
		}
	case "aws:sourcearn":
		for _, a := range zone.Accounts {
			d.avoid = append(d.avoid, arnOfAccount(a))
		}
	}
	return d
}

// arnOfAccount is every ARN with the account in its place.
func arnOfAccount(account string) glob {
	g := literalGlob("arn:")
	for range 3 {
		g.some(inPart)
		g.literal(":", false)
	}
	g.literal(account+":", false)
	g.some(anything)
	return g
}

// avoids tells whether the same pattern is among those that the resource must not match.
func (m *model) avoids(p *pattern) bool {
	return anyOf(m.g.resources, func(r *resourceWish) bool {
		return !r.in && anyOf(r.list, func(q *resourcePattern) bool { return p.same(&q.pattern) })
	})
}

// same tells whether both match the same texts, in every request.
func (p *pattern) same(q *pattern) bool {
	return p.form == q.form && p.text == q.text && p.fold == q.fold && slices.Equal(p.ops, q.ops)
}

// resource finds the resource.
func (m *model) resource() outcome {
	key, constant := m.q.known.key(m)
	if a, ok := m.q.known.answers[key]; ok && constant {
		m.request.Resource = a.word
		return a.outcome
	}
	p := wordProblem{groups: slices.Clip(m.q.within), work: m.q.work}
	for _, r := range m.g.resources {
		var list []glob
		for i := range r.list {
			if r.in && m.avoids(&r.list[i].pattern) {
				continue // with variables too: whatever they stand for, they stand for it twice
			}
			if g := r.list[i].pattern.glob(m.env, m.relaxed, r.in); !g.never {
				list = append(list, g)
			}
		}
		if r.in {
			p.groups = append(p.groups, list)
		} else {
			p.avoid = append(p.avoid, list...)
		}
	}
	s, result := p.find()
	m.request.Resource = s
	if constant {
		m.q.known.answers[key] = resourceAnswer{s, result}
	}
	return result
}

// knownResources keeps answers about resources that do not depend on the caller.
type knownResources struct {
	numbers map[*statement]uint32
	answers map[string]resourceAnswer
}

type resourceAnswer struct {
	word string
	outcome
}

// key names the question; constant is false when variables make the answer depend on the request.
func (k *knownResources) key(m *model) (key string, constant bool) {
	b := make([]byte, 0, len(m.q.group)+5*len(m.g.resources))
	b = append(b, m.q.group...)
	for _, r := range m.g.resources {
		n, ok := k.numbers[r.of]
		if !ok {
			n = uint32(len(k.numbers)) << 1
			if r.of.variable() {
				n |= 1
			}
			k.numbers[r.of] = n
		}
		if n&1 == 1 {
			return "", false
		}
		b = append(b, ' ')
		b = binary.LittleEndian.AppendUint32(b, n)
		if r.in {
			b = append(b, '+')
		}
	}
	return string(b), true
}

// variable tells whether a resource of the statement has a variable.
func (s *statement) variable() (found bool) {
	for i := range s.resources {
		s.resources[i].pattern.variables(func(string) { found = true })
	}
	return found
}

// witness writes the request down.
func (m *model) witness(q *query) *Witness {
	p := &m.request.Principal
	w := &Witness{Principal: p.ARN, Type: p.Type.String(), Account: p.Account, Action: m.request.Action, Resource: m.request.Resource, Keys: map[string][]string{}}
	switch p.Type {
	case Anonymous:
		w.Principal = "*"
	case Service, WebIdentity:
		w.Type = q.caller.kind
	}
	for key, v := range m.env {
		_, follows := q.caller.known[key]
		if follows {
			continue
		}
		if w.Keys[key] = v.Many; !v.Multi {
			w.Keys[key] = []string{v.One}
		}
	}
	for _, key := range m.absent {
		if !q.caller.closed(key) {
			w.Absent = append(w.Absent, key)
		}
	}
	w.request = m.request
	return w
}
