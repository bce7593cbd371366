package policy

import (
	"slices"
	"strings"
)

// Parse reads and compiles a document. The error is a *SyntaxError. Documents that a store has
// pinned with Resolve parse too; what PutBucketPolicy refuses beyond the language is CheckBucket's.
func Parse(src []byte, kind Kind) (*Document, error) {
	return ParseString(string(src), kind)
}

// ParseString is Parse of a string.
func ParseString(src string, kind Kind) (*Document, error) {
	p := parser{src: src, kind: kind, rules: kind.rules()}
	doc, _ := p.parse()
	if len(p.errs) > 0 {
		return nil, p.errs[0]
	}
	return doc, nil
}

// maxErrors bounds what one broken document can make Validate report.
const maxErrors = 100

// parser compiles the tree and goes on after a fault, so that Validate can report all of them.
type parser struct {
	src   string
	kind  Kind
	rules *kindRules
	errs  []*SyntaxError
	doc   *Document
	sids  map[string]bool
}

func (p *parser) fail(start, end int, code Code, detail, message string) {
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, &SyntaxError{
			Position: positionOf(p.src, start), Code: code, Kind: p.kind, Message: message, Detail: detail, end: end,
		})
	}
}

func (p *parser) failNode(n *node, code Code, detail, message string) {
	p.fail(n.start, n.end, code, detail, message)
}

func (p *parser) parse() (*Document, node) {
	if p.rules == &kinds[0] {
		p.fail(0, 0, CodeType, "", "unknown kind of policy")
		return nil, node{}
	}
	if p.src == "" || p.src[0] != '{' && strings.TrimLeft(p.src, " \t\r\n") == "" || p.kind == Bucket && p.src[0] != '{' {
		p.fail(0, len(p.src), CodeFirstByte, "", "a policy is a JSON object; the first byte must be '{'")
		return nil, node{}
	}
	root, bad := decode(p.src)
	if bad != nil {
		p.fail(bad.offset, bad.offset+1, CodeJSON, "", "invalid JSON: "+bad.what)
		return nil, node{}
	}
	p.characters()
	if root.kind != objectNode {
		p.failNode(&root, CodeFirstByte, "", "a policy is a JSON object")
		return nil, root
	}
	p.doc = &Document{kind: p.kind, source: p.src, version: Version2008}
	p.document(&root)
	if p.rules.max > 0 && len(p.errs) == 0 {
		if size := len(p.doc.Normalized()); size > p.rules.max {
			p.fail(0, len(p.src), CodeTooLarge, itoa(p.rules.max), "normalized policy is "+itoa(size)+" bytes, more than the "+itoa(p.rules.max)+" of "+p.rules.article())
		}
	}
	p.doc.buildIndex()
	return p.doc, root
}

// characters holds IAM documents to tab, line ends and U+0020 to U+00FF.
func (p *parser) characters() {
	if !p.rules.latin {
		return
	}
	for i, r := range p.src {
		if r > 0xFF || r == 0x7F {
			p.fail(i, i+1, CodeEncoding, string(r), "character outside U+0020 to U+00FF in "+p.rules.article())
			return
		}
	}
}

// element is one row of the table of elements that an object may have.
type element struct {
	name  string
	parse func(p *parser, s *statement, n *node)
}

func (p *parser) document(root *node) {
	if v := root.member("Version"); v != nil {
		p.version(&v.value)
	}
	for i := range root.members {
		m := &root.members[i]
		switch m.name.text {
		case "Version", "Statement":
		case "Id":
			p.id(m)
		default:
			p.failNode(&m.name, CodeUnknownElement, m.name.text, "unknown element "+quote(m.name.text))
		}
	}
	list := root.member("Statement")
	if list == nil {
		p.failNode(root, CodeMissingElement, "Statement", "the policy has no Statement")
		return
	}
	p.statementList(&list.value)
}

func (p *parser) version(n *node) {
	p.doc.version = Version(n.text)
	if n.kind != stringNode || p.doc.version != Version2008 && p.doc.version != Version2012 {
		p.failNode(n, CodeVersion, n.text, "Version must be \"2012-10-17\" or \"2008-10-17\"")
	}
}

func (p *parser) id(m *member) {
	if !p.rules.id {
		p.failNode(&m.name, CodeForbiddenElement, "Id", p.rules.article()+" has no Id")
		return
	}
	p.doc.id = p.text(&m.value, "Id")
}

func (p *parser) text(n *node, name string) string {
	if n.kind != stringNode {
		p.failNode(n, CodeType, name, name+" must be a string")
	}
	return n.text
}

func (p *parser) statementList(n *node) {
	if n.kind != objectNode && n.kind != arrayNode {
		p.failNode(n, CodeType, "Statement", "Statement must be an object or a list of objects")
		return
	}
	list := n.elements()
	if len(list) == 0 {
		p.failNode(n, CodeNoStatement, "", "Statement is empty")
	}
	p.doc.statements = make([]statement, 0, len(list))
	for i := range list {
		if list[i].kind != objectNode {
			p.failNode(&list[i], CodeType, "Statement", "a statement must be an object")
			continue
		}
		p.doc.statements = append(p.doc.statements, p.statement(&list[i]))
	}
}

var statementElements = [...]element{
	{"Sid", (*parser).sid},
	{"Effect", (*parser).effect},
	{"Principal", (*parser).principal},
	{"NotPrincipal", (*parser).notPrincipal},
	{"Action", (*parser).action},
	{"NotAction", (*parser).notAction},
	{"Resource", (*parser).resource},
	{"NotResource", (*parser).notResource},
	{"Condition", (*parser).condition},
}

func (p *parser) statement(n *node) statement {
	s := statement{start: int32(n.start), end: int32(n.end)}
	for i := range n.members {
		m := &n.members[i]
		known := slices.IndexFunc(statementElements[:], func(e element) bool { return e.name == m.name.text })
		if known < 0 {
			p.failNode(&m.name, CodeUnknownElement, m.name.text, "unknown element "+quote(m.name.text))
			continue
		}
		statementElements[known].parse(p, &s, &m.value)
	}
	if n.member("Effect") == nil {
		p.failNode(n, CodeMissingElement, "Effect", "the statement has no Effect")
	}
	p.oneOf(n, "Action", true)
	p.oneOf(n, "Resource", p.rules.resource)
	p.oneOf(n, "Principal", p.rules.principal)
	if p.kind == RCP {
		p.controlsResources(n, &s)
	}
	return s
}

// oneOf demands X or NotX but not both, or, when the kind may not have it, neither.
func (p *parser) oneOf(n *node, name string, wanted bool) {
	positive, negative := n.member(name), n.member("Not"+name)
	switch {
	case wanted && positive == nil && negative == nil:
		p.failNode(n, CodeMissingElement, name, "the statement has no "+name)
	case wanted && positive != nil && negative != nil:
		p.failNode(&negative.name, CodeForbiddenElement, "Not"+name, "the statement has both "+name+" and Not"+name)
	case !wanted && positive != nil:
		p.failNode(&positive.name, CodeForbiddenElement, name, p.rules.article()+" may not have "+name)
	case !wanted && negative != nil:
		p.failNode(&negative.name, CodeForbiddenElement, "Not"+name, p.rules.article()+" may not have Not"+name)
	}
}

// controlsResources holds an RCP to what it may say: everybody, Deny, listed actions. The one Allow
// is the policy that is always attached and allows everything.
func (p *parser) controlsResources(n *node, s *statement) {
	all := len(s.actions) == 1 && s.actions[0].service == "*" && len(s.resources) == 1 && s.resources[0].pattern.form == formAny
	if s.effect == Allow && (!all || len(s.conditions) > 0 || s.notAction || s.notResource) {
		p.failNode(n, CodeEffect, "Allow", "a resource control policy can only deny")
	}
	if s.notAction {
		p.failNode(n, CodeForbiddenElement, "NotAction", "a resource control policy may not have NotAction")
	}
	if s.notPrincipal || len(s.principals) != 1 || s.principals[0].kind != everyone {
		p.failNode(n, CodePrincipal, "", "the Principal of a resource control policy is \"*\"")
	}
}

func (p *parser) sid(s *statement, n *node) {
	s.sid = p.text(n, "Sid")
	if !p.rules.latin || s.sid == "" {
		return
	}
	for i := range len(s.sid) {
		if c := lower(s.sid[i]); (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			p.failNode(n, CodeSid, s.sid, "a Sid has only letters and digits")
			return
		}
	}
	if p.sids[s.sid] {
		p.failNode(n, CodeDuplicateSid, s.sid, "Sid "+quote(s.sid)+" occurs twice")
	}
	if p.sids == nil {
		p.sids = make(map[string]bool)
	}
	p.sids[s.sid] = true
}

func (p *parser) effect(s *statement, n *node) {
	switch {
	case n.kind == stringNode && n.text == "Allow":
		s.effect = Allow
	case n.kind == stringNode && n.text == "Deny":
		s.effect = ExplicitDeny
	default:
		p.failNode(n, CodeEffect, n.text, "Effect must be \"Allow\" or \"Deny\"")
	}
}

func (p *parser) notPrincipal(s *statement, n *node) {
	s.notPrincipal = true
	p.principal(s, n)
}

func (p *parser) principal(s *statement, n *node) {
	s.hasPrincipal = true
	if n.kind == stringNode && n.text == "*" {
		s.principals = append(s.principals, principal{kind: everyone, written: "*", value: "*", offset: n.start})
		return
	}
	if n.kind != objectNode || len(n.members) == 0 {
		p.failNode(n, CodePrincipal, p.src[n.start:n.end], "Principal must be \"*\" or an object of AWS, Federated, Service or CanonicalUser")
		return
	}
	for i := range n.members {
		m := &n.members[i]
		list := m.value.elements()
		if len(list) == 0 {
			p.failNode(&m.value, CodePrincipal, quote(m.name.text)+" : []", "empty list of principals")
		}
		for j := range list {
			e := &list[j]
			parsed, ok := parsePrincipal(m.name.text, e.text)
			if !ok || e.kind != stringNode {
				p.failNode(e, CodePrincipal, quote(m.name.text)+":"+p.src[e.start:e.end], "invalid principal")
				continue
			}
			parsed.offset = e.start
			s.principals = append(s.principals, parsed)
		}
	}
}

// strings reads a string or a list of strings.
func (p *parser) strings(n *node, name string, empty Code) []node {
	list := n.elements()
	if len(list) == 0 {
		p.failNode(n, empty, name, "empty list of "+name)
	}
	good := make([]node, 0, len(list))
	for i := range list {
		if list[i].kind != stringNode {
			p.failNode(&list[i], CodeType, name, name+" must be a string or a list of strings")
			continue
		}
		good = append(good, list[i])
	}
	return good
}

func (p *parser) notAction(s *statement, n *node) {
	s.notAction = true
	p.action(s, n)
}

func (p *parser) action(s *statement, n *node) {
	list := p.strings(n, "Action", CodeNoAction)
	s.actions = make([]actionPattern, 0, len(list))
	for i := range list {
		if a, ok := p.oneAction(&list[i]); ok {
			s.actions = append(s.actions, a)
		}
	}
}

func (p *parser) oneAction(n *node) (actionPattern, bool) {
	a := actionPattern{written: n.text, offset: n.start}
	service, name, colon := strings.Cut(n.text, ":")
	switch {
	case n.text == "*":
		a.service = "*"
	case !colon || name == "":
		p.failNode(n, CodeAction, n.text, "an action is written service:Name")
		return a, false
	case strings.Contains(name, ":"):
		p.failNode(n, CodeActionColons, n.text, "an action has one colon")
		return a, false
	case service == "" || strings.ContainsAny(service, "*?"):
		p.failNode(n, CodeActionVendor, service, "the service of an action is spelled out")
		return a, false
	default:
		a.service = lowerASCII(service)
	}
	if p.kind == Trust && a.service != "sts" {
		p.failNode(n, CodeTrustAction, n.text, "a role trust policy is about actions of sts")
		return a, false
	}
	a.pattern, _ = compilePattern(lowerASCII(n.text), syntax{wildcards: true, fold: true})
	if a.pattern.form == formExact {
		a.hash = hashFold(n.text)
	}
	return a, true
}

func (p *parser) notResource(s *statement, n *node) {
	s.notResource = true
	p.resource(s, n)
}

func (p *parser) resource(s *statement, n *node) {
	s.hasResource = true
	list := p.strings(n, "Resource", CodeNoResource)
	s.resources = make([]resourcePattern, 0, len(list))
	for i := range list {
		r := resourcePattern{written: list[i].text, offset: list[i].start}
		var err error
		r.pattern, err = compilePattern(list[i].text, syntax{wildcards: true, variables: p.doc.version == Version2012, parts: resourceParts})
		if err != nil {
			p.failNode(&list[i], CodeVariable, list[i].text, err.Error())
			continue
		}
		if code := checkARN(list[i].text, p.kind.identityBased()); code != 0 {
			p.failNode(&list[i], code, list[i].text, "Resource must be \"*\" or a complete ARN of an existing kind")
			continue
		}
		s.resources = append(s.resources, r)
	}
}

// checkARN tells what is wrong with a resource; IAM looks closer at documents of principals.
func checkARN(s string, identity bool) Code {
	if s == "*" {
		return 0
	}
	if !strings.HasPrefix(s, "arn:") && s != "arn*" {
		return CodeResource
	}
	if strings.Count(s, ":") < arnColons {
		if strings.HasSuffix(s, "*") {
			return 0
		}
		return CodeResource
	}
	if !identity {
		return 0
	}
	partition, service, region := arnPart(s, 1), arnPart(s, 2), arnPart(s, 3)
	switch {
	case !isPartition(partition) && !strings.ContainsAny(partition, "*?"):
		return CodeResourcePartition
	case service == "" || strings.ContainsAny(service, "*?"):
		return CodeResourceVendor
	case service == "s3" && region != "" && arnPart(s, 4) == "":
		return CodeResourceRegion
	case service == "iam" && region != "" && region != "*":
		return CodeIAMResourceRegion
	case service == "iam" && !isIAMPath(arnPart(s, 5)):
		return CodeIAMResourcePath
	}
	return 0
}

// isIAMPath compares up to the first wildcard or variable.
func isIAMPath(s string) bool {
	if s == "root" || s == "account-password-policy" {
		return true
	}
	if i := strings.IndexAny(s, "*?$"); i >= 0 {
		s = s[:i]
		return slices.ContainsFunc(iamPaths[:], func(p string) bool { return strings.HasPrefix(s, p) || strings.HasPrefix(p, s) })
	}
	return slices.ContainsFunc(iamPaths[:], func(p string) bool { return strings.HasPrefix(s, p) })
}

func (p *parser) condition(s *statement, n *node) {
	if n.kind != objectNode {
		p.failNode(n, CodeType, "Condition", "Condition must be an object")
		return
	}
	for i := range n.members {
		m := &n.members[i]
		base, set, ifExists, ok := parseOperator(m.name.text)
		if !ok {
			p.failNode(&m.name, CodeOperator, m.name.text, "unknown condition operator "+quote(m.name.text))
			continue
		}
		if m.value.kind != objectNode {
			p.failNode(&m.value, CodeType, "Condition", "a condition operator takes an object of keys")
			continue
		}
		for j := range m.value.members {
			key := &m.value.members[j]
			c := condition{
				operator: m.name.text, base: base, set: set, ifExists: ifExists,
				key: strings.ToLower(key.name.text), written: key.name.text, offset: key.name.start,
			}
			p.conditionKey(&c, key)
			s.conditions = append(s.conditions, c)
		}
	}
}

func (p *parser) conditionKey(c *condition, m *member) {
	if vendor, name, ok := strings.Cut(c.key, ":"); !ok || vendor == "" || name == "" || strings.ContainsAny(c.key, "*$") && !strings.Contains(name, "/") {
		p.failNode(&m.name, CodeConditionKey, m.name.text, "a condition key is written service:name")
	}
	list := m.value.elements()
	c.values = make([]conditionValue, 0, len(list))
	for i := range list {
		v := &list[i]
		if v.kind != stringNode && v.kind != numberNode && v.kind != boolNode {
			p.failNode(v, CodeType, c.written, "a condition value must be a string, a number or a boolean")
			continue
		}
		compiled, err := c.base.compile(v.text, p.doc.version == Version2012)
		if err != nil {
			p.failNode(v, CodeVariable, v.text, err.Error())
			continue
		}
		c.values = append(c.values, conditionValue{v.text, compiled})
	}
}
