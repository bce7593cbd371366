package policy

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// Opening is what one kind of principal outside the zone of trust gains by one statement.
type Opening struct {
	// Principal is who: "*", an account's or an entity's ARN, a service, a provider, an id.
	Principal string `json:"principal"`
	// Type says what Principal is; see the Caller constants.
	Type      string `json:"principalType"`
	Statement int    `json:"statement"`
	Sid       string `json:"sid,omitempty"`
	Line      int    `json:"line"`
	// Actions are all that the principal gains, in order. Resources are the statement's, as written;
	// a Deny may leave only some of them open.
	Actions   []string `json:"actions"`
	Resources []string `json:"resources,omitempty"`
	// Conditions of the statement, as written.
	Conditions []string `json:"conditions,omitempty"`
	// Proven: Witness is a request that Evaluate allows. Otherwise the analyzer could neither
	// find a request nor exclude that there is one.
	Proven  bool     `json:"proven"`
	Witness *Witness `json:"witness,omitempty"`
}

// Reach tells what principals outside the zone gain by a resource's policy, each with a request as
// proof. An empty answer is a proof that no request from outside is allowed.
//
// It assumes that outside accounts give their own principals everything, and that requests are as
// AWS makes them: keys that follow from the principal do so, only services have aws:SourceArn and
// its kin, every request has aws:SecureTransport and the date, aws:SourceIp is an address. Actions
// are those of the service authorization reference, on resources that they apply to; a document
// that names no service is read for S3.
//
// It errs on the side of finding too much:
//   - any other condition key may be absent from, or have any value in, a request for any action;
//   - a caller whom nobody signs for stands for everyone, and "any account" for named ones too: who is
//     named besides is not listed again for the same actions of a statement;
//   - a Deny with a NotPrincipal that lists ids may spare a principal that is named by its ARN, and the
//     other way round: then the Opening is not Proven;
//   - nor is it where a variable stands for a key whose value could not be settled,
//     where one key is compared as text and as a number, date or address, or where the search was
//     cut short at its bounds.
func Reach(d *Document, zone Zone) []Opening {
	a := newAnalysis(d, nil, zone)
	return a.openings()
}

// analysis is one comparison of a document with a zone of trust, or with an earlier document.
type analysis struct {
	document, earlier *Document
	census            *census
	whole             []glob                 // what the document is about
	kinds             map[string]*actionKind // by signature
	kindOf            map[string]*actionKind // by action
	work              int
	known             knownResources
	// covered says which families of callers, and which names, have been found for a statement's action.
	covered map[string]callerFamilies
}

// callerFamilies is a set of the families that callers stand for each other in.
type callerFamilies uint8

const (
	familyUnsigned callerFamilies = 1 << iota
	familyAccount
	familyService
	familyIdentity
)

func (c *caller) family() callerFamilies {
	switch c.principal.Type {
	case Anonymous:
		return familyUnsigned
	case Service:
		return familyService
	case WebIdentity:
		return familyIdentity
	}
	return familyAccount
}

func newAnalysis(d, earlier *Document, zone Zone) *analysis {
	a := &analysis{document: d, earlier: earlier, kinds: map[string]*actionKind{}, kindOf: map[string]*actionKind{}, covered: map[string]callerFamilies{}, work: maxWork,
		known: knownResources{map[*statement]uint32{}, map[string]resourceAnswer{}},
	}
	documents := []*Document{d}
	if earlier != nil {
		documents = append(documents, earlier)
	}
	a.census = newCensus(zone, documents...)
	a.whole = wholeResource(zone, documents)
	return a
}

// wholeResource is what can be asked for: of a bucket, the bucket, what is in it, and access points; of an event bus,
// the bus and its rules.
func wholeResource(zone Zone, documents []*Document) []glob {
	resource := zone.Resource
	if resource == "" && documents[0].kind == Bucket {
		resource = onlyBucket(documents)
	}
	if resource == "" {
		return nil
	}
	if documents[0].kind != Bucket {
		return append(rulesOf(resource), literalGlob(resource))
	}
	points := literalGlob("arn:aws:s3:")
	points.some(inSegment)
	points.literal(":", false)
	points.least(inSegment)
	points.literal(":accesspoint/", false)
	points.least(anything)
	return []glob{prefixGlob(resource + "/"), literalGlob(resource), points}
}

// rulesOf are the rules of an event bus, nothing for anything else.
func rulesOf(bus string) []glob {
	head, name, ok := strings.Cut(bus, ":event-bus/")
	if !ok {
		return nil
	}
	rules := literalGlob(head + ":rule/")
	if name != "default" {
		rules.literal(name+"/", false)
	}
	rules.least(inSegment)
	return []glob{rules}
}

// onlyBucket is the bucket that all resources name; "" when there is none, or more.
func onlyBucket(documents []*Document) string {
	found := ""
	for _, d := range documents {
		for i := range d.statements {
			for j := range d.statements[i].resources {
				text := d.statements[i].resources[j].pattern.first()
				p := &d.statements[i].resources[j].pattern
				name, _, object := strings.Cut(strings.TrimPrefix(text, "arn:aws:s3:::"), "/")
				if !strings.HasPrefix(text, "arn:aws:s3:::") || name == "" || !object && p.form != formExact || found != "" && found != name {
					return ""
				}
				found = name
			}
		}
	}
	if found == "" {
		return ""
	}
	return "arn:aws:s3:::" + found
}

// openings asks for every caller and every statement that allows.
func (a *analysis) openings() []Opening {
	openings := []Opening{}
	for i := range a.document.statements {
		if a.document.statements[i].effect != Allow || a.unchanged(i) {
			continue
		}
		groups := a.groups(&a.document.statements[i])
		for j := range a.census.list {
			openings = append(openings, a.opening(i, &a.census.list[j], groups)...)
		}
	}
	return merged(openings)
}

// unchanged tells without a search that the earlier document lets in what statement i does: it has
// the same statement, and denies nothing that this one does not.
func (a *analysis) unchanged(i int) bool {
	if a.earlier == nil || a.earlier.version != a.document.version || !a.earlier.has(a.document.text(i)) {
		return false
	}
	for j := range a.earlier.statements {
		if a.earlier.statements[j].effect == ExplicitDeny && !a.document.has(a.earlier.text(j)) {
			return false
		}
	}
	return true
}

func (d *Document) text(i int) string { return d.source[d.statements[i].start:d.statements[i].end] }

func (d *Document) has(text string) bool {
	for i := range d.statements {
		if d.text(i) == text {
			return true
		}
	}
	return false
}

// merged joins what callers of one name gain by one statement.
func merged(list []Opening) []Opening {
	out := list[:0]
	for _, o := range list {
		i := slices.IndexFunc(out, func(p Opening) bool {
			return p.Principal == o.Principal && p.Type == o.Type && p.Statement == o.Statement && p.Proven == o.Proven
		})
		if i < 0 {
			out = append(out, o)
			continue
		}
		out[i].Actions = slices.Compact(sorted(append(out[i].Actions, o.Actions...)))
	}
	return out
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// actionKind is the actions that no statement tells apart, on the same types of resources.
type actionKind struct {
	number    string
	resources []glob
	// The statements that are about them.
	denies, oldDenies, oldAllows []*statement
}

// group is the actions of a statement that are of one kind.
type group struct {
	*actionKind
	actions []string
}

// groups are the actions of a statement that its resources leave possible. The one that says most
// about the danger comes first.
func (a *analysis) groups(s *statement) []group {
	var list []group
	for _, action := range a.actions(s) {
		kind := a.kind(action)
		i := slices.IndexFunc(list, func(g group) bool { return g.actionKind == kind })
		if i < 0 {
			i = len(list)
			list = append(list, group{actionKind: kind})
		}
		list[i].actions = append(list[i].actions, action)
	}
	list = slices.DeleteFunc(list, func(g group) bool { return !a.feasible(s, &g) })
	for i := range list {
		slices.SortStableFunc(list[i].actions, compareTelling)
	}
	slices.SortStableFunc(list, func(g, h group) int { return compareTelling(g.actions[0], h.actions[0]) })
	return list
}

// feasible rules out, for all callers at once, actions that do not apply to the statement's resources.
func (a *analysis) feasible(s *statement, g *group) bool {
	if a.whole != nil && g.aboutNothing() {
		return false
	}
	if !s.hasResource || s.variable() {
		return true
	}
	m := model{q: a.query(nil, g), g: goal{resources: []resourceWish{{s.resources, !s.notResource, s}}}}
	return m.resource() != impossible
}

// aboutNothing tells actions that apply to no resource: no resource's policy decides about them.
func (k *actionKind) aboutNothing() bool { return len(k.resources) == 1 && k.resources[0].accepts("*") }

// telling actions make the better examples.
var telling = []string{"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject", "kms:Decrypt", "sts:AssumeRole"}

func compareTelling(x, y string) int {
	rank := func(s string) int { return (slices.Index(telling, s) + len(telling) + 1) % (len(telling) + 1) }
	return cmp.Compare(rank(x), rank(y))
}

// actions are the known actions of a statement, and those of services that are not known, as written.
func (a *analysis) actions(s *statement) (list []string) {
	services := a.services()
	if s.notAction {
		for _, service := range services {
			list = append(list, Actions(service+":*")...)
		}
		return slices.DeleteFunc(list, func(action string) bool {
			return anyOf(s.actions, func(p *actionPattern) bool { return p.pattern.match(action, nil) })
		})
	}
	for i := range s.actions {
		p := &s.actions[i]
		switch {
		case p.service == "*":
			for _, service := range services {
				list = append(list, Actions(service+":*")...)
			}
		case KnownService(p.service):
			list = append(list, Actions(p.written)...)
		default:
			list = append(list, strings.NewReplacer("*", "Example", "?", "x").Replace(p.written))
		}
	}
	return slices.Compact(sorted(list))
}

// services whose actions "*" means in the document.
func (a *analysis) services() []string {
	switch a.document.kind {
	case Bucket:
		return []string{"s3"}
	case KeyPolicy:
		return []string{"kms"}
	case Trust:
		return []string{"sts"}
	}
	if service := arnPart(a.census.zone.Resource, 2); KnownService(service) {
		return []string{service}
	}
	var list []string
	for _, d := range [...]*Document{a.document, a.earlier} {
		if d == nil {
			continue
		}
		for i := range d.statements {
			s := &d.statements[i]
			for j := range s.actions {
				list = append(list, s.actions[j].service)
			}
			for j := range s.resources {
				list = append(list, arnPart(s.resources[j].written, 2))
			}
		}
	}
	list = slices.DeleteFunc(slices.Compact(sorted(list)), func(s string) bool { return !KnownService(s) })
	if len(list) == 0 {
		return []string{"s3"}
	}
	return list
}

// kind of an action: which statements it is in, and what it applies to.
func (a *analysis) kind(action string) *actionKind {
	if k := a.kindOf[action]; k != nil {
		return k
	}
	e := evaluation{req: &Request{Action: action}, in: &Inputs{}}
	e.ask()
	k := &actionKind{}
	signature := make([]byte, 0, 128)
	about := func(d *Document, effect Effect) (list []*statement) {
		if d == nil {
			return nil
		}
		for i := range d.statements {
			if s := &d.statements[i]; s.effect == effect && e.actionApplies(s) {
				list = append(list, s)
				signature = binary.AppendUvarint(signature, uint64(i)+1)
			}
		}
		signature = append(signature, 0)
		return list
	}
	k.denies, k.oldDenies, k.oldAllows = about(a.document, ExplicitDeny), about(a.earlier, ExplicitDeny), about(a.earlier, Allow)
	about(a.document, Allow)
	if s, row := findAction(action); row != nil {
		signature = append(signature, s.prefix+":"+row.resources...)
	}
	if known := a.kinds[string(signature)]; known != nil {
		k = known
	} else {
		k.number, k.resources = itoa(len(a.kinds)), resourcesOf(action)
		a.kinds[string(signature)] = k
	}
	a.kindOf[action] = k
	return k
}

// resourcesOf are the ARNs that an action applies to; "*" for an action about no resource.
func resourcesOf(action string) (list []glob) {
	s, row := findAction(action)
	if row == nil {
		return nil
	}
	if row.resources == "" {
		return []glob{literalGlob("*")}
	}
	for _, i := range []byte(row.resources) {
		g := templateGlob(s.resources[i].template)
		if strings.Contains(s.resources[i].template, ":::") { // buckets and objects before access points
			list = slices.Insert(list, 0, g)
		} else {
			list = append(list, g)
		}
	}
	return list
}

// templateGlob is the ARNs of a type of resource, in the partition aws.
func templateGlob(template string) (g glob) {
	part := 0
	for i := range len(template) {
		switch c := template[i]; {
		case isRun(c) && part == 1:
			g.literal("aws", false)
		case isRun(c) && part == 4:
			g.atoms = append(g.atoms, accountGlob("").atoms...)
		case c == segmentRun:
			g.least(inSegment)
		case c == anyRun:
			g.least(anything)
		default:
			if c == ':' {
				part++
			}
			g.literal(template[i:i+1], false)
		}
	}
	return g
}

// opening asks for one statement and one caller.
func (a *analysis) opening(i int, c *caller, groups []group) []Opening {
	s := &a.document.statements[i]
	if c.grade(s) == unnamed {
		return nil
	}
	var proven, open []string
	var witness *Witness
	for _, g := range groups {
		key := itoa(i) + " " + g.number
		self := key + " " + c.name // in an account there are several kinds of caller
		if a.covered[key]&(c.family()|familyUnsigned) != 0 || a.covered[self] != 0 {
			continue
		}
		w, result := a.ask(s, c, &g)
		switch result {
		case impossible:
			continue
		case unsure:
			open = append(open, g.actions...)
			continue
		}
		proven = append(proven, g.actions...)
		if witness == nil {
			witness = w
		}
		if c.name == "*" {
			a.covered[key] |= c.family()
		} else {
			a.covered[self] = c.family()
		}
	}
	var list []Opening
	if len(proven) > 0 {
		o := a.describe(i, c, proven)
		o.Proven, o.Witness = true, witness
		list = append(list, o)
	}
	if len(open) > 0 {
		list = append(list, a.describe(i, c, open))
	}
	return list
}

func (a *analysis) describe(i int, c *caller, actions []string) Opening {
	s, info := &a.document.statements[i], a.document.Statement(i)
	o := Opening{Principal: c.name, Type: c.kind, Statement: i, Sid: s.sid, Line: info.Start.Line, Actions: sorted(actions)}
	for j := range s.resources {
		text := s.resources[j].written
		if s.notResource {
			text = "not " + text
		}
		o.Resources = append(o.Resources, text)
	}
	for j := range s.conditions {
		c := &s.conditions[j]
		text := c.operator + " " + c.written + " "
		for k := range c.values {
			if k > 0 {
				text += ", "
			}
			text += c.values[k].text
		}
		o.Conditions = append(o.Conditions, strings.TrimSuffix(text, " "))
	}
	return o
}

// ask puts the query for one group of actions.
func (a *analysis) ask(s *statement, c *caller, g *group) (*Witness, outcome) {
	q := a.query(c, g)
	about := func(list []*statement) (of []*statement) {
		for _, s := range list {
			if c.grade(s) != unnamed {
				of = append(of, s)
			}
		}
		return of
	}
	q.denies, q.oldDenies, q.oldAllows = about(g.denies), about(g.oldDenies), about(g.oldAllows)
	w, result := q.search(goal{}.require(s))
	if sure := slices.DeleteFunc(slices.Clone(q.denies), c.perhapsSpared); result == impossible && len(sure) < len(q.denies) {
		q.denies, q.depth = sure, 0
		if _, result = q.search(goal{}.require(s)); result != impossible {
			return nil, unsure
		}
	}
	return w, result
}

func (a *analysis) query(c *caller, g *group) *query {
	q := &query{
		census: a.census, caller: c, action: g.actions[0], document: a.document, earlier: a.earlier,
		work: &a.work, known: &a.known, group: g.number,
	}
	if g.resources != nil {
		q.within = append(q.within, g.resources)
	}
	if a.whole != nil {
		q.within = append(q.within, a.whole)
	}
	return q
}
