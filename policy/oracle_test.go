package policy

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"math/rand"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The oracle is a second evaluator, written for likeness to the language's description and nothing
// else: it reads the JSON anew for every question, substitutes variables into strings, and
// matches with regular expressions. It must agree with Evaluate.
type oracle struct {
	req *Request
	in  *Inputs
}

type jsonObject = map[string]any

func asList(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		if v {
			return "true"
		}
		return "false"
	case json.Number:
		return v.String()
	}
	return ""
}

// substitute gives a regular expression; ok is false when a variable has no value.
func (o oracle) substitute(s string, wild, variables bool, star, question func(colons int, last bool) string) (string, bool) {
	var b strings.Builder
	colons := 0
	for s != "" {
		if variables && strings.HasPrefix(s, "${") {
			inner, rest, _ := strings.Cut(s[2:], "}")
			s = rest
			if inner == "*" || inner == "?" || inner == "$" {
				b.WriteString(regexp.QuoteMeta(inner))
				continue
			}
			key, fallback, hasFallback := strings.Cut(inner, ", ")
			v, ok := o.lookup(key)
			switch {
			case ok && !v.Multi:
				b.WriteString(regexp.QuoteMeta(v.One))
			case hasFallback:
				b.WriteString(regexp.QuoteMeta(strings.Trim(fallback, "'")))
			default:
				return "", false
			}
			continue
		}
		c := s[:1]
		s = s[1:]
		switch {
		case wild && c == "*":
			b.WriteString(star(colons, s == "" || s[0] == ':'))
		case wild && c == "?":
			b.WriteString(question(colons, false))
		default:
			if c == ":" {
				colons++
			}
			b.WriteString(regexp.QuoteMeta(c))
		}
	}
	return b.String(), true
}

func (o oracle) lookup(key string) (Values, bool) {
	return o.req.Context.Lookup(strings.ToLower(key))
}

func fullMatch(expression, s string) bool {
	return regexp.MustCompile(`(?s)\A(?:` + expression + `)\z`).MatchString(s)
}

func anyRunOf(int, bool) string { return ".*" }

func anyOneOf(int, bool) string { return "." }

func (o oracle) resourceMatches(pattern string, variables bool) bool {
	if pattern == "*" {
		return true
	}
	star := func(colons int, endsPart bool) string {
		if colons < 5 && !endsPart {
			return "[^:]*"
		}
		return ".*"
	}
	question := func(colons int, _ bool) string {
		if colons < 5 {
			return "[^:]"
		}
		return "."
	}
	e, ok := o.substitute(pattern, true, variables, star, question)
	return ok && fullMatch(e, o.req.Resource)
}

func (o oracle) actionMatches(pattern string) bool {
	e, _ := o.substitute(strings.ToLower(pattern), true, false, anyRunOf, anyOneOf)
	return fullMatch(e, strings.ToLower(o.req.Action))
}

func oracleDate(s string) (time.Time, bool) {
	for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if n, ok := new(big.Int).SetString(s, 10); ok && n.IsInt64() {
		return time.Unix(n.Int64(), 0), true
	}
	return time.Time{}, false
}

// compareBy answers an ordering operator.
func compareBy(operator string, order int) bool {
	switch {
	case strings.HasSuffix(operator, "LessThanEquals"):
		return order <= 0
	case strings.HasSuffix(operator, "GreaterThanEquals"):
		return order >= 0
	case strings.HasSuffix(operator, "LessThan"):
		return order < 0
	case strings.HasSuffix(operator, "GreaterThan"):
		return order > 0
	}
	return order == 0
}

// valueMatches is the positive sense of an operator for one value of each side.
func (o oracle) valueMatches(operator, want, have string, variables bool) bool {
	switch {
	case strings.HasPrefix(operator, "String"):
		like := strings.HasSuffix(operator, "Like")
		e, ok := o.substitute(want, like, variables, anyRunOf, anyOneOf)
		if strings.HasSuffix(operator, "IgnoreCase") {
			e = "(?i)" + e
		}
		return ok && fullMatch(e, have)
	case strings.HasPrefix(operator, "Arn"):
		if want == "*" {
			return true
		}
		a, b := strings.SplitN(want, ":", 6), strings.SplitN(have, ":", 6)
		if len(a) != 6 || len(b) != 6 {
			return false
		}
		for i := range a {
			e, ok := o.substitute(a[i], true, variables, anyRunOf, anyOneOf)
			if !ok || !fullMatch(e, b[i]) {
				return false
			}
		}
		return true
	case strings.HasPrefix(operator, "Numeric"):
		a, okA := new(big.Rat).SetString(want)
		b, okB := new(big.Rat).SetString(have)
		return okA && okB && compareBy(operator, b.Cmp(a))
	case strings.HasPrefix(operator, "Date"):
		a, okA := oracleDate(want)
		b, okB := oracleDate(have)
		return okA && okB && compareBy(operator, b.Compare(a))
	case operator == "IpAddress" || operator == "NotIpAddress":
		ip := net.ParseIP(have)
		if !strings.Contains(want, "/") {
			return ip != nil && ip.Equal(net.ParseIP(want))
		}
		_, network, err := net.ParseCIDR(want)
		return err == nil && ip != nil && network.Contains(ip)
	case operator == "BinaryEquals":
		b, err := base64.StdEncoding.DecodeString(want)
		return err == nil && string(b) == have
	}
	e, ok := o.substitute(want, false, variables, anyRunOf, anyOneOf)
	return ok && slices.Contains([]string{"true", "false"}, strings.ToLower(have)) && fullMatch("(?i)"+e, have)
}

func (o oracle) conditionHolds(operator, key string, wants []any, variables bool) bool {
	set, name, qualified := strings.Cut(operator, ":")
	if !qualified {
		set, name = "", operator
	}
	base := strings.TrimSuffix(name, "IfExists")
	v, present := o.lookup(key)
	haves := v.Many
	if !v.Multi {
		haves = []string{v.One}
	}
	present = present && len(haves) > 0
	positive := func(have string) bool {
		return slices.ContainsFunc(wants, func(w any) bool { return o.valueMatches(base, asText(w), have, variables) })
	}
	if base == "Null" {
		if set != "" {
			return set == "ForAllValues"
		}
		return slices.ContainsFunc(wants, func(w any) bool {
			return strings.EqualFold(asText(w), map[bool]string{true: "false", false: "true"}[present])
		})
	}
	negated := strings.Contains(base, "Not")
	switch {
	case !present && (base != name || set == "ForAllValues"):
		return true
	case !present:
		return set == "" && negated
	case set != "" && len(wants) == 0:
		return false
	case set == "ForAllValues":
		return !slices.ContainsFunc(haves, func(h string) bool { return positive(h) == negated })
	case set == "ForAnyValue":
		return slices.ContainsFunc(haves, func(h string) bool { return positive(h) != negated })
	}
	return slices.ContainsFunc(haves, positive) != negated
}

// chainOf is what the caller can be named by, with the grade that each name has in an Allow.
func chainOf(p *Principal) map[string]grade {
	names := map[string]grade{"*": named}
	account := func(g grade) {
		names[p.Account], names["arn:aws:iam::"+p.Account+":root"], names["canonical:"+p.CanonicalID] = g, g, g
	}
	switch p.Type {
	case RootUser:
		account(named)
	case IAMUser:
		account(namedAccount)
		names[p.ARN], names[p.UniqueID] = named, named
	case AssumedRole, FederatedUser:
		account(namedAccount)
		names[p.IssuerARN], names[p.UniqueID], names[p.ARN] = namedIssuer, namedIssuer, named
	case Service:
		names["service:"+p.ARN] = named
	case WebIdentity:
		names["federated:"+p.ARN] = named
	}
	delete(names, "")
	return names
}

func principalNames(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	var list []string
	for element, values := range v.(jsonObject) {
		prefix := map[string]string{"AWS": "", "Service": "service:", "Federated": "federated:", "CanonicalUser": "canonical:"}[element]
		for _, e := range asList(values) {
			list = append(list, prefix+e.(string))
		}
	}
	return list
}

func (o oracle) principalGrade(s jsonObject) grade {
	p := &o.req.Principal
	chain := chainOf(p)
	if v, ok := s["Principal"]; ok {
		best := unnamed
		for _, name := range principalNames(v) {
			best = max(best, chain[name])
		}
		return best
	}
	v, ok := s["NotPrincipal"]
	if !ok {
		return named
	}
	listed := map[grade]bool{}
	for _, name := range principalNames(v) {
		listed[chain[name]] = true
		if name == "*" {
			listed[namedAccount], listed[namedIssuer] = true, true
		}
	}
	spared := listed[named] || listed[namedAccount] || listed[namedIssuer]
	if s["Effect"] == "Deny" {
		spared = listed[named]
		if p.Type == IAMUser || p.Type == AssumedRole || p.Type == FederatedUser {
			spared = spared && listed[namedAccount]
		}
		if p.Type == AssumedRole || p.Type == FederatedUser {
			spared = spared && listed[namedIssuer]
		}
		spared = spared && o.in.Boundary == nil
	}
	if spared {
		return unnamed
	}
	return named
}

func oneOf(s jsonObject, name string, match func(string) bool) bool {
	if v, ok := s[name]; ok {
		return slices.ContainsFunc(asList(v), func(e any) bool { return match(e.(string)) })
	}
	if v, ok := s["Not"+name]; ok {
		return !slices.ContainsFunc(asList(v), func(e any) bool { return match(e.(string)) })
	}
	return true
}

// verdict of one document: denied, or the grade of the closest allow.
func (o oracle) judge(d *Document) (denied bool, allowed grade) {
	if d == nil {
		return false, unnamed
	}
	decoder := json.NewDecoder(strings.NewReader(d.Source()))
	decoder.UseNumber()
	var doc jsonObject
	if err := decoder.Decode(&doc); err != nil {
		panic(err)
	}
	variables := doc["Version"] == "2012-10-17"
	for _, v := range asList(doc["Statement"]) {
		s := v.(jsonObject)
		applies := oneOf(s, "Action", o.actionMatches) && oneOf(s, "Resource", func(r string) bool { return o.resourceMatches(r, variables) })
		conditions, _ := s["Condition"].(jsonObject)
		for operator, keys := range conditions {
			for key, values := range keys.(jsonObject) {
				applies = applies && o.conditionHolds(operator, key, asList(values), variables)
			}
		}
		g := o.principalGrade(s)
		switch {
		case !applies || g == unnamed:
		case s["Effect"] == "Deny":
			denied = true
		default:
			allowed = max(allowed, g)
		}
	}
	return denied, allowed
}

func (o oracle) judgeAll(list []*Document) (denied bool, allowed grade) {
	for _, d := range list {
		no, yes := o.judge(d)
		denied, allowed = denied || no, max(allowed, yes)
	}
	return denied, allowed
}

func (o oracle) organization(tree [][]*Document) (denied, allowed bool) {
	allowed = true
	for _, level := range tree {
		no, yes := o.judgeAll(level)
		denied, allowed = denied || no, allowed && yes != unnamed
	}
	return denied, allowed
}

// decide follows the table of evaluation from its top.
func (o oracle) decide() (effect Effect) {
	p, in := &o.req.Principal, o.in
	signed := p.Type == RootUser || p.Type == IAMUser || p.Type == AssumedRole || p.Type == FederatedUser
	if p.Type == Nobody {
		return ImplicitDeny
	}
	same := o.req.ResourceAccount == "" || o.req.ResourceAccount == p.Account
	rcpDenied, rcpAllows := o.organization(in.RCPs)
	scpDenied, scpAllows := o.organization(in.SCPs)
	endpointDenied, endpoint := o.judge(in.Endpoint)
	resourceDenied, resource := o.judge(in.Resource)
	identityDenied, identity := o.judgeAll(in.Identity)
	boundaryDenied, boundary := o.judge(in.Boundary)
	sessionDenied, session := o.judgeAll(in.Session)
	recovers := p.Type == RootUser && same && !in.Restricted && strings.HasSuffix(o.req.Action, "BucketPolicy")
	if resourceDenied {
		resource = unnamed
	} else if in.Granted {
		resource = named
	}
	resourceDenied = (resourceDenied || in.Restricted) && !recovers
	if !signed {
		scpDenied, scpAllows, identityDenied, boundaryDenied, sessionDenied = false, true, false, false, false
	}
	if p.Type == RootUser {
		identityDenied, boundaryDenied, identity, boundary = false, false, named, named
	}
	if rcpDenied || scpDenied || endpointDenied || resourceDenied || identityDenied || boundaryDenied || sessionDenied {
		return ExplicitDeny
	}
	if in.Restricted || !rcpAllows || !scpAllows || in.Endpoint != nil && endpoint == unnamed {
		return ImplicitDeny
	}
	limited := in.Boundary != nil && boundary == unnamed || (in.HasSession || len(in.Session) > 0 || p.Type == FederatedUser) && session == unnamed
	own := identity != unnamed && !limited
	allowed := false
	switch {
	case !signed:
		allowed = resource != unnamed
	case !same:
		allowed = own && resource != unnamed
	case resource == named:
		allowed = true
	case resource == namedIssuer:
		allowed = !limited
	case in.ResourceMustAllow:
		allowed = own && resource != unnamed
	default:
		allowed = own
	}
	if allowed {
		return Allow
	}
	return ImplicitDeny
}

// dice makes random policies and requests out of a small vocabulary, so that they often meet.
type dice struct{ *rand.Rand }

func pick[T any](d dice, list []T) T { return list[d.Intn(len(list))] }

func (d dice) some(list []string, most int) any {
	if n := 1 + d.Intn(most); n > 1 || d.Intn(3) == 0 {
		var out []any
		for range n {
			out = append(out, pick(d, list))
		}
		return out
	}
	return pick(d, list)
}

var (
	diceActions    = []string{"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:PutBucketPolicy", "iam:PassRole"}
	dicePatterns   = []string{"*", "s3:*", "s3:Get*", "S3:getobject", "s3:?etObject", "iam:*", "s3:Get", "s3:*Object", "s3:P*t*", "iam:PassRole", "s3:ListBucket", "kms:Decrypt", "s3:p?tobject"}
	diceResources  = []string{"*", "arn:aws:s3:::b", "arn:aws:s3:::b/k", "arn:aws:s3:::b/alice/k", "arn:aws:iam::111122223333:role/app/x", "arn:aws:s3:::b/ü"}
	diceTargets    = []string{"*", "arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/${aws:PrincipalTag/team, 'alice'}/k", "arn:aws:s3*", "arn:aws:s3:::b?k", "arn:aws:s3:*:b/*", "arn:aws:*3:::b/k", "arn:aws:s?:::*/k", "arn:aws:iam::1*3:role/*", "arn:aws:iam::1111*:role/app/?", "arn:aws:s3:::b/${nope:key}", "arn:aws:s3:::b/?", "arn:aws:s3:::${*}", "arn:aws:i*m::*:*x", "arn:aws:s3:::b/*/k"}
	dicePrincipals = []string{"*", alice, "AIDAALICEALICEALICE0", "arn:aws:iam::111122223333:role/app/x", "arn:aws:sts::111122223333:assumed-role/x/s", "arn:aws:sts::111122223333:federated-user/fed", account, "arn:aws:iam::111122223333:root", other, "arn:aws:iam::444455556666:user/bob", "AROAROLEROLEROLE0000"}
	diceConditions = []struct {
		operators []string
		keys      []string
		values    []string
	}{
		{[]string{"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike", "ArnLike", "ArnNotEquals"},
			[]string{"aws:username", "aws:PrincipalTag/team", "s3:prefix", "aws:PrincipalArn"},
			[]string{"alice", "ALICE", "a*", "${aws:username}", "${aws:PrincipalTag/team}", "?lice", "", alice, "arn:aws:iam::*:user/*", "arn:aws:iam::1*:*/al*", "*", "${*}"}},
		{[]string{"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals"},
			[]string{"s3:max-keys", "s3:prefix"}, []string{"10", "10.0", "-1", "1000", "9.99", "many"}},
		{[]string{"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"},
			[]string{"aws:CurrentTime", "s3:prefix"}, []string{"2026", "2026-05", "2026-05-06", "2026-05-06T07:08:09Z", "2026-05-06T09:08+02:00", "1778051289", "soon"}},
		{[]string{"IpAddress", "NotIpAddress"}, []string{"aws:SourceIp", "s3:prefix"}, []string{"203.0.113.7", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0", "here"}},
		{[]string{"Bool"}, []string{"aws:SecureTransport", "s3:prefix"}, []string{"true", "FALSE", "perhaps"}},
		{[]string{"Null"}, []string{"aws:username", "aws:TagKeys", "s3:prefix"}, []string{"true", "false"}},
		{[]string{"BinaryEquals"}, []string{"s3:prefix"}, []string{"YWxpY2U=", "!"}},
		{[]string{"ForAllValues:StringEquals", "ForAnyValue:StringEquals", "ForAllValues:StringNotEquals", "ForAnyValue:StringNotEquals", "ForAllValues:StringLike", "ForAnyValue:StringNotLike", "StringEquals", "StringNotEquals"},
			[]string{"aws:TagKeys", "aws:username"}, []string{"team", "cost", "alice", "*"}},
	}
	diceValues = map[string][]Values{
		"aws:username": {one("alice"), one("Alice"), one("")}, "aws:principaltag/team": {one("alice"), one("red")},
		"s3:prefix": {one(""), one("alice"), one("10"), one("true")}, "aws:principalarn": {one(alice), one("arn:aws:iam::111122223333:role/app/x"), one("alice")},
		"s3:max-keys": {one("10"), one("1000"), one("-1"), one("x")}, "aws:currenttime": {one("2026-05-06T07:08:09Z"), one("2026-05-06T07:08Z"), one("2027-01-01T00:00:00Z"), one("1778051289")},
		"aws:sourceip":        {one("203.0.113.7"), one("2001:db8::1"), one("10.1.2.3"), one("::ffff:203.0.113.7"), one("x")},
		"aws:securetransport": {one("true"), one("false")}, "aws:tagkeys": {many(), many("team"), many("team", "cost"), many("x")},
	}
)

func (d dice) statement(principal bool) jsonObject {
	s := jsonObject{"Effect": pick(d, []string{"Allow", "Allow", "Allow", "Deny"})}
	not := func() string {
		if d.Intn(8) == 0 {
			return "Not"
		}
		return ""
	}
	s[not()+"Action"] = d.some(dicePatterns, 3)
	s[not()+"Resource"] = d.some(diceTargets, 3)
	if principal {
		s[not()+"Principal"] = d.principal()
	}
	if d.Intn(3) == 0 {
		c := jsonObject{}
		for range 1 + d.Intn(2) {
			row := pick(d, diceConditions)
			operator := pick(d, row.operators)
			if operator != "Null" && d.Intn(4) == 0 {
				operator += "IfExists"
			}
			values := d.some(row.values, 3)
			if d.Intn(12) == 0 {
				values = []any{}
			}
			c[operator] = jsonObject{pick(d, row.keys): values}
		}
		s["Condition"] = c
	}
	return s
}

func (d dice) principal() any {
	switch d.Intn(8) {
	case 0:
		return "*"
	case 1:
		return jsonObject{"Service": "logging.s3.amazonaws.com"}
	case 2:
		return jsonObject{"Federated": "accounts.google.com", "AWS": d.some(dicePrincipals, 2)}
	case 3:
		return jsonObject{"CanonicalUser": strings.Repeat("a", 64)}
	}
	return jsonObject{"AWS": d.some(dicePrincipals, 4)}
}

func (d dice) document(t *testing.T, kind Kind) *Document {
	doc := jsonObject{}
	if d.Intn(6) > 0 {
		doc["Version"] = "2012-10-17"
	}
	var statements []any
	for range 1 + d.Intn(3) {
		statements = append(statements, d.statement(kind == Resource))
	}
	doc["Statement"] = statements
	src, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if kind != Resource {
		kind = SCP // IAM would refuse some of the vocabulary's ARNs
	}
	return parsed(t, kind, string(src))
}

func (d dice) documents(t *testing.T, kind Kind, most int) []*Document {
	var list []*Document
	for range d.Intn(most + 1) {
		list = append(list, d.document(t, kind))
	}
	return list
}

// full is an organization whose levels mostly allow everything.
func (d dice) tree(t *testing.T) [][]*Document {
	if d.Intn(4) > 0 {
		return nil
	}
	all := parsed(t, SCP, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	tree := [][]*Document{{all}}
	for range d.Intn(3) {
		level := d.documents(t, SCP, 1)
		if d.Intn(4) > 0 {
			level = append(level, all)
		}
		tree = append(tree, level)
	}
	return tree
}

var dicePeople = []Principal{
	user(),
	{Type: RootUser, Account: account, ARN: "arn:aws:iam::111122223333:root", CanonicalID: strings.Repeat("a", 64)},
	{Type: AssumedRole, Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/x/s", IssuerARN: "arn:aws:iam::111122223333:role/app/x", UniqueID: "AROAROLEROLEROLE0000"},
	{Type: FederatedUser, Account: account, ARN: "arn:aws:sts::111122223333:federated-user/fed", IssuerARN: alice, UniqueID: "AIDAALICEALICEALICE0"},
	{Type: Service, ARN: "logging.s3.amazonaws.com"},
	{Type: WebIdentity, ARN: "accounts.google.com"},
	{Type: Anonymous},
	{Type: IAMUser, Account: other, ARN: "arn:aws:iam::444455556666:user/bob", UniqueID: "AIDABOBBOBBOBBOBBOB0"},
	{},
}

func (d dice) question(t *testing.T) (*Request, *Inputs) {
	ctx := keys{}
	for _, key := range slices.Sorted(maps.Keys(diceValues)) {
		if d.Intn(3) > 0 {
			ctx[key] = pick(d, diceValues[key])
		}
	}
	req := &Request{
		Principal: pick(d, dicePeople), Action: pick(d, diceActions), Resource: pick(d, diceResources),
		ResourceAccount: pick(d, []string{account, account, account, other, ""}), Context: ctx,
	}
	in := &Inputs{Identity: d.documents(t, Identity, 2), SCPs: d.tree(t), RCPs: d.tree(t), ResourceMustAllow: d.Intn(6) == 0, Granted: d.Intn(15) == 0, Restricted: d.Intn(15) == 0}
	if d.Intn(3) > 0 {
		in.Resource = d.document(t, Resource)
	}
	if d.Intn(5) == 0 {
		in.Boundary = d.document(t, Boundary)
	}
	if d.Intn(3) == 0 {
		in.HasSession, in.Session = true, d.documents(t, Session, 2)
	}
	if d.Intn(8) == 0 {
		in.Endpoint = d.document(t, Resource)
	}
	return req, in
}

func TestEvaluateAgreesWithOracle(t *testing.T) {
	d := dice{rand.New(rand.NewSource(20261122))}
	seen := map[Effect]int{}
	for i := range 8000 {
		req, in := d.question(t)
		got := Evaluate(req, in)
		if want := (oracle{req, in}).decide(); got.Effect != want {
			x := Explain(req, in)
			t.Fatalf("case %d: %v, the oracle says %v\n%+v\n%s", i, got.Effect, want, req, x.JSON())
		}
		seen[got.Effect]++
		x := Explain(req, in)
		if x.Decision != got.Effect.String() || (x.Deciding != nil) != (got.Statement >= 0 && got.Document != nil) {
			t.Fatalf("case %d: %+v is explained as\n%s", i, got, x.JSON())
		}
		if x.Deciding != nil && (!x.Deciding.Matched || (x.Deciding.Effect == "Allow") != got.Allowed()) {
			t.Fatalf("case %d: %+v is explained by\n%s", i, got, x.JSON())
		}
	}
	for _, e := range []Effect{Allow, ExplicitDeny, ImplicitDeny} {
		if seen[e] < 500 {
			t.Errorf("only %d cases of %v: the vocabulary does not meet", seen[e], e)
		}
	}
}
