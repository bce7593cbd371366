package policy

import (
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// home is the zone of the account that the random documents' resources belong to.
var home = Zone{Accounts: []string{account}, UniqueIDs: []string{"AIDAALICEALICEALICE0", "AROAROLEROLEROLE0000"}, CanonicalIDs: []string{strings.Repeat("a", 64)}}

// strangers are callers outside home, by the forms that documents name them in.
var strangers = []Principal{
	{Type: Anonymous},
	{Type: IAMUser, Account: other, ARN: "arn:aws:iam::444455556666:user/bob", UserID: "AIDABOBBOBBOBBOBBOB0", UniqueID: "AIDABOBBOBBOBBOBBOB0", Name: "bob"},
	{Type: IAMUser, Account: other, ARN: "arn:aws:iam::444455556666:user/alice", UserID: "AIDAOTHEROTHEROTHER0", UniqueID: "AIDAOTHEROTHEROTHER0", Name: "alice"},
	{Type: IAMUser, Account: "777788889999", ARN: "arn:aws:iam::777788889999:user/x/alice", UserID: "AIDAXXXXXXXXXXXXXXX0", UniqueID: "AIDAXXXXXXXXXXXXXXX0", Name: "alice"},
	{Type: AssumedRole, Account: other, ARN: "arn:aws:sts::444455556666:assumed-role/x/s", IssuerARN: "arn:aws:iam::444455556666:role/app/x", UserID: "AROAXXXXXXXXXXXXXXX0:s", UniqueID: "AROAXXXXXXXXXXXXXXX0"},
	{Type: RootUser, Account: other, ARN: "arn:aws:iam::444455556666:root", UserID: other},
	{Type: FederatedUser, Account: other, ARN: "arn:aws:sts::444455556666:federated-user/fed", IssuerARN: "arn:aws:iam::444455556666:user/bob", UserID: other + ":fed", UniqueID: "AIDABOBBOBBOBBOBBOB0"},
	{Type: Service, ARN: "logging.s3.amazonaws.com"},
}

// abroad is the zone of the other account: there the people of the random documents are strangers.
var abroad = Zone{Accounts: []string{other}}

var guests = []Principal{
	user(),
	{Type: RootUser, Account: account, ARN: "arn:aws:iam::111122223333:root", UserID: account, CanonicalID: strings.Repeat("a", 64)},
	{Type: AssumedRole, Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/x/s", IssuerARN: "arn:aws:iam::111122223333:role/app/x", UserID: "AROAROLEROLEROLE0000:s", UniqueID: "AROAROLEROLEROLE0000"},
	{Type: FederatedUser, Account: account, ARN: "arn:aws:sts::111122223333:federated-user/fed", IssuerARN: alice, UserID: account + ":fed", UniqueID: "AIDAALICEALICEALICE0"},
	{Type: WebIdentity, ARN: "accounts.google.com"},
	{Type: Service, ARN: "logging.s3.amazonaws.com"},
	{Type: Anonymous},
}

// contextOf is what a stranger's request has: what follows from the caller, and the rest at random.
func (d dice) contextOf(p *Principal) keys {
	ctx := keys{"aws:securetransport": one(pick(d, []string{"true", "false"})), "aws:currenttime": pick(d, diceValues["aws:currenttime"])}
	closed := closedToAccounts
	switch p.Type {
	case Anonymous:
		closed = closedToUnsigned
	case Service:
		closed = closedToServices
	case WebIdentity:
		closed = closedToProviders
	}
	for key, v := range CallerKeys(p) {
		ctx[key] = v
	}
	for _, key := range slices.Sorted(maps.Keys(diceValues)) {
		if _, known := ctx[key]; known || closed(key) || d.Intn(3) == 0 {
			continue
		}
		if v := pick(d, diceValues[key]); domainOf(key).kind.has(v.One) {
			ctx[key] = v
		}
	}
	return ctx
}

// means tells whether the action is of a service that the documents are about.
func means(action string, d, earlier *Document) bool {
	service, _, _ := strings.Cut(action, ":")
	return slices.Contains(newAnalysis(d, earlier, home).services(), service)
}

// asked tells whether the action is asked for such a resource.
func asked(action, resource string) bool {
	s, row := findAction(action)
	if row == nil {
		return false
	}
	for _, i := range []byte(row.resources) {
		if g := templateGlob(s.resources[i].template); g.accepts(resource) {
			return true
		}
	}
	return row.resources == "" && resource == "*"
}

// finds tells whether the openings speak of the request: of its action, on its resource, for its
// caller or for one whom anybody can be.
func finds(openings []Opening, req *Request) bool {
	return slices.ContainsFunc(openings, func(o Opening) bool {
		wide := o.Type == CallerAnonymous || o.Principal == "*" && (o.Type == CallerService) == (req.Principal.Type == Service) && req.Principal.Type != Anonymous
		named := req.Principal.Type != Anonymous && o.Principal != "*"
		return (wide || named) && slices.Contains(o.Actions, req.Action)
	})
}

func checkWitness(t *testing.T, o *Opening, zone Zone, allowing, refusing *Document) {
	t.Helper()
	if o.Proven != (o.Witness != nil) || len(o.Actions) == 0 {
		t.Fatalf("%+v", o)
	}
	if !o.Proven {
		return
	}
	w := o.Witness
	if !slices.Contains(o.Actions, w.Action) {
		t.Fatalf("%s is no proof of %v", w, o.Actions)
	}
	if !Evaluate(w.Request(), w.Inputs(allowing)).Allowed() || !(oracle{w.Request(), w.Inputs(allowing)}).allows() {
		t.Fatalf("not allowed: %s\n%s", w, allowing.Source())
	}
	if refusing != nil && Evaluate(w.Request(), w.Inputs(refusing)).Allowed() {
		t.Fatalf("allowed by both: %s\n%s\n%s", w, allowing.Source(), refusing.Source())
	}
	if p := w.Request().Principal; slices.Contains(zone.Accounts, p.Account) || p.Account == w.Request().ResourceAccount {
		t.Fatalf("inside: %s", w)
	}
}

func (o oracle) allows() bool { return o.decide() == Allow }

// Random documents against random requests of strangers: what Evaluate allows, Reach must have
// found, and what it calls proven must be allowed.
func TestReachAgainstEvaluate(t *testing.T) {
	t.Run("home", func(t *testing.T) { testReach(t, 600, home, strangers) })
	t.Run("abroad", func(t *testing.T) { testReach(t, 400, abroad, guests) })
}

func testReach(t *testing.T, documents int, zone Zone, callers []Principal) {
	d := dice{rand.New(rand.NewSource(4))}
	allowed, proven, open := 0, 0, 0
	for i := range documents {
		doc := d.document(t, Resource)
		openings := Reach(doc, zone)
		for j := range openings {
			checkWitness(t, &openings[j], zone, doc, nil)
			if openings[j].Proven {
				proven++
			} else {
				open++
			}
		}
		for range 60 {
			p := pick(d, callers)
			req := &Request{Principal: p, Action: pick(d, diceActions), Resource: pick(d, diceResources), ResourceAccount: zone.Accounts[0], Context: d.contextOf(&p)}
			if !asked(req.Action, req.Resource) || !means(req.Action, doc, nil) || !Evaluate(req, inputsOf(&p, doc)).Allowed() {
				continue
			}
			allowed++
			if !finds(openings, req) {
				t.Fatalf("document %d: %+v is allowed, but not in %+v\n%s", i, req, openings, doc.Source())
			}
		}
	}
	t.Logf("%d requests allowed; %d openings proven, %d not excluded", allowed, proven, open)
	if allowed < documents || open*8 > proven {
		t.Errorf("%d requests allowed; %d openings proven, %d not excluded", allowed, proven, open)
	}
}

func TestDiffAgainstEvaluate(t *testing.T) {
	d := dice{rand.New(rand.NewSource(5))}
	changed, proven, open := 0, 0, 0
	for i := range 400 {
		before, after := d.document(t, Resource), d.document(t, Resource)
		if d.Intn(2) == 0 { // a document and one statement more
			after = parsed(t, Resource, strings.Replace(before.Source(), `"Statement":[`, `"Statement":[`+d.oneStatement(t)+`,`, 1))
		}
		changes := Diff(before, after, home)
		sides := map[bool][]Opening{}
		for _, c := range changes {
			allowing, refusing := before, after
			if c.Gained {
				allowing, refusing = after, before
			}
			checkWitness(t, &c.Opening, home, allowing, refusing)
			sides[c.Gained] = append(sides[c.Gained], c.Opening)
			if c.Proven {
				proven++
			} else {
				open++
			}
		}
		for range 60 {
			p := pick(d, strangers)
			req := &Request{Principal: p, Action: pick(d, diceActions), Resource: pick(d, diceResources), ResourceAccount: account, Context: d.contextOf(&p)}
			was, is := Evaluate(req, inputsOf(&p, before)).Allowed(), Evaluate(req, inputsOf(&p, after)).Allowed()
			if !asked(req.Action, req.Resource) || was == is || !means(req.Action, after, before) {
				continue
			}
			changed++
			if !finds(sides[is], req) {
				t.Fatalf("pair %d: %+v: %v, then %v, but not in %+v\n%s\n%s", i, req, was, is, changes, before.Source(), after.Source())
			}
		}
	}
	t.Logf("%d requests changed; %d changes proven, %d not excluded", changed, proven, open)
	if changed < 600 || open*3 > proven {
		t.Errorf("%d requests changed; %d changes proven, %d not excluded", changed, proven, open)
	}
}

func (d dice) oneStatement(t *testing.T) string {
	src := d.document(t, Resource).Source()
	start, end := strings.Index(src, `"Statement":[`)+len(`"Statement":[`), 0
	depth := 0
	for i := start; end == 0; i++ {
		switch src[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				end = i + 1
			}
		}
	}
	return src[start:end]
}

// Whatever parses is analyzed without a panic, and every proof holds.
func FuzzReach(f *testing.F) {
	d := dice{rand.New(rand.NewSource(7))}
	for range 20 {
		f.Add(d.document(new(testing.T), Resource).Source(), "444455556666")
	}
	f.Add(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::444455556666:assumed-role/x/s"},"Action":"s3:*","Resource":"*"}}`, "")
	f.Fuzz(func(t *testing.T, src, trusted string) {
		zone := Zone{Accounts: []string{account, trusted}, Organization: trusted, Resource: trusted}
		for _, kind := range []Kind{Bucket, Resource, KeyPolicy, Trust} {
			doc, err := ParseString(src, kind)
			if err != nil || len(src) > 4096 {
				continue
			}
			doc.Public()
			for _, o := range Reach(doc, zone) {
				checkWitness(t, &o, Zone{Accounts: []string{account}}, doc, nil)
			}
			if changes := Diff(doc, doc, zone); slices.ContainsFunc(changes, func(c Change) bool { return c.Proven }) {
				t.Fatalf("a document differs from itself: %+v", changes)
			}
		}
	})
}
