package policy

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// keyRow is a condition key with the type of its values in the words of the service
// authorization reference: String, ARN, Bool, Numeric, Date, ArrayOfString, ArrayOfARN; and IP.
type keyRow struct{ name, kind string }

type resourceRow struct {
	name string
	// template is the ARN: byte 1 stands for a run without '/' and ':', byte 2 for any run.
	template string
	keys     int
}

type actionRow struct {
	name, level string
	resources   string // indexes into the service's resources
	keys        int
}

type serviceRow struct {
	prefix    string
	resources []resourceRow
	actions   []actionRow
}

// globalKeys are the condition keys that do not belong to a service.
var globalKeys = [...]keyRow{
	{"aws:calledvia", "ArrayOfString"}, {"aws:calledviafirst", "String"}, {"aws:calledvialast", "String"},
	{"aws:currenttime", "Date"}, {"aws:epochtime", "Date"}, {"aws:federatedprovider", "String"},
	{"aws:multifactorauthage", "Numeric"}, {"aws:multifactorauthpresent", "Bool"},
	{"aws:principalaccount", "String"}, {"aws:principalarn", "ARN"}, {"aws:principalisawsservice", "Bool"},
	{"aws:principalorgid", "String"}, {"aws:principalorgpaths", "ArrayOfString"},
	{"aws:principalservicename", "String"}, {"aws:principalservicenameslist", "ArrayOfString"},
	{"aws:principaltag/", "String"}, {"aws:principaltype", "String"}, {"aws:referer", "String"},
	{"aws:requestedregion", "String"}, {"aws:requesttag/", "String"}, {"aws:resourceaccount", "String"},
	{"aws:resourceorgid", "String"}, {"aws:resourceorgpaths", "ArrayOfString"}, {"aws:resourcetag/", "String"},
	{"aws:securetransport", "Bool"}, {"aws:sourceaccount", "String"}, {"aws:sourcearn", "ARN"},
	{"aws:sourceidentity", "String"}, {"aws:sourceip", "IP"}, {"aws:sourceorgid", "String"},
	{"aws:sourceorgpaths", "ArrayOfString"}, {"aws:sourceowner", "String"}, {"aws:sourcevpc", "String"},
	{"aws:sourcevpcarn", "ARN"}, {"aws:sourcevpce", "String"}, {"aws:tagkeys", "ArrayOfString"},
	{"aws:tokenissuetime", "Date"}, {"aws:useragent", "String"}, {"aws:userid", "String"},
	{"aws:username", "String"}, {"aws:viaawsservice", "Bool"}, {"aws:vpceaccount", "String"},
	{"aws:vpceorgid", "String"}, {"aws:vpceorgpaths", "ArrayOfString"}, {"aws:vpcsourceip", "IP"},
	{"aws:ec2instancesourcevpc", "String"}, {"aws:ec2instancesourceprivateipv4", "IP"},
	{"aws:assumedroot", "String"}, {"aws:chatbotsourcearn", "ARN"},
	// Kura's own: what a change would do.
	{"kura:exposesdata", "Bool"}, {"kura:exposedto", "ArrayOfString"}, {"kura:contradicts", "ArrayOfString"},
}

// delegationKeys hold for every request through an access point, whatever its action.
var delegationKeys = [...]string{"s3:dataaccesspointaccount", "s3:dataaccesspointarn", "s3:accesspointnetworkorigin"}

// KnownService tells whether the table has the service's actions.
func KnownService(prefix string) bool { return findService(lowerASCII(prefix)) != nil }

// noKeys is the number of the empty list in keySets.
const noKeys = 1

// own are Kura's own permissions, which AWS does not have.
var own = serviceRow{prefix: "kura", resources: []resourceRow{
	{"bucket", "arn:\x01:s3:::\x01", noKeys},
}, actions: []actionRow{
	{"DeclassifyBucket", "Permissions management", "\x00", noKeys},
}}

func findService(prefix string) *serviceRow {
	if prefix == own.prefix {
		return &own
	}
	i := sort.Search(len(services), func(i int) bool { return services[i].prefix >= prefix })
	if i < len(services) && services[i].prefix == prefix {
		return &services[i]
	}
	return nil
}

// KnownAction tells whether there is an action of that name; case does not matter.
func KnownAction(action string) bool {
	_, row := findAction(action)
	return row != nil
}

func findAction(action string) (*serviceRow, *actionRow) {
	prefix, name, _ := strings.Cut(lowerASCII(action), ":")
	s := findService(prefix)
	if s == nil {
		return nil, nil
	}
	i := sort.Search(len(s.actions), func(i int) bool { return compareFold(s.actions[i].name, name) >= 0 })
	if i < len(s.actions) && foldEqual(s.actions[i].name, name) {
		return s, &s.actions[i]
	}
	return s, nil
}

// compareFold orders by lower-case letters; lowerText has no others.
func compareFold(s, lowerText string) int {
	for i := range min(len(s), len(lowerText)) {
		if c := cmp.Compare(lower(s[i]), lowerText[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(s), len(lowerText))
}

// AccessLevel is the action's: List, Read, Write, Tagging or Permissions management; "" when the
// action is not known.
func AccessLevel(action string) string {
	if _, row := findAction(action); row != nil {
		return row.level
	}
	return ""
}

// Actions lists the known actions that a pattern such as "s3:Get*" means, with their service.
func Actions(pattern string) []string {
	var list []string
	eachAction(pattern, func(s *serviceRow, a *actionRow) bool {
		list = append(list, s.prefix+":"+a.name)
		return true
	})
	return list
}

// eachAction visits the known actions that the pattern matches, while visit says so.
func eachAction(pattern string, visit func(*serviceRow, *actionRow) bool) {
	if !strings.ContainsAny(pattern, "*?") {
		if s, row := findAction(pattern); row != nil {
			visit(s, row)
		}
		return
	}
	p, _ := compilePattern(lowerASCII(pattern), syntax{wildcards: true, fold: true})
	prefix, _, _ := strings.Cut(lowerASCII(pattern), ":")
	for i := range len(services) + 1 {
		s := &own
		if i < len(services) {
			s = &services[i]
		}
		if pattern != "*" && s.prefix != prefix {
			continue
		}
		for j := range s.actions {
			if p.match(s.prefix+":"+s.actions[j].name, nil) && !visit(s, &s.actions[j]) {
				return
			}
		}
	}
}

// ActionKeys lists the condition keys of a known action and of the resource types that it applies
// to, in lower case; one that ends in / or : takes a suffix. Global keys are not among them.
func ActionKeys(action string) []string {
	s, row := findAction(action)
	if row == nil {
		return nil
	}
	var list []string
	add := func(set int) {
		for _, i := range []byte(keySets[set]) {
			if name := conditionKeys[i].name; !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	add(row.keys)
	for _, i := range []byte(row.resources) {
		add(s.resources[i].keys)
	}
	return list
}

func (s *serviceRow) hasKey(row *actionRow, key string) bool {
	in := func(set int) bool {
		for _, i := range []byte(keySets[set]) {
			if keyIs(conditionKeys[i].name, key) {
				return true
			}
		}
		return false
	}
	if in(row.keys) {
		return true
	}
	for _, i := range []byte(row.resources) {
		if in(s.resources[i].keys) {
			return true
		}
	}
	return false
}

// keyIs compares a key in lower case with a row that may take a suffix.
func keyIs(row, key string) bool {
	if c := row[len(row)-1]; c == '/' || c == ':' {
		return len(key) > len(row) && strings.HasPrefix(key, row)
	}
	return row == key
}

// KeyType is the type of a condition key's values: String, ARN, Bool, Numeric, Date, IP, or
// ArrayOf… when it is multivalued; "" when the key is not known. Case does not matter.
func KeyType(key string) string {
	key = strings.ToLower(key)
	for _, table := range [...][]keyRow{globalKeys[:], conditionKeys[:]} {
		for i := range table {
			if keyIs(table[i].name, key) {
				return table[i].kind
			}
		}
	}
	return ""
}

// ResourceTypes lists the resource types that a known action applies to; none means that the
// action is about no resource and is asked with "*".
func ResourceTypes(action string) []string {
	var list []string
	if s, row := findAction(action); row != nil {
		for _, i := range []byte(row.resources) {
			list = append(list, s.resources[i].name)
		}
	}
	return list
}

// ActionMatchesResource tells whether some resource that the action applies to can match the
// Resource string of a policy. Actions about no resource match "*" alone.
func ActionMatchesResource(action, resource string) bool {
	s, row := findAction(action)
	r := reach{resources: []resourcePattern{{written: resource}}}
	return row != nil && r.fits(s, row)
}

// reach is which resource types a statement's resources can be of. It is worked out once for each
// service, as a policy may have many actions and many resources.
type reach struct {
	resources []resourcePattern
	types     map[*serviceRow][]bool
}

// fits tells whether the action applies to some of the resources.
func (r *reach) fits(s *serviceRow, row *actionRow) bool {
	types, known := r.types[s]
	if !known {
		types = r.resolve(s)
		if r.types == nil {
			r.types = make(map[*serviceRow][]bool)
		}
		r.types[s] = types
	}
	for _, i := range []byte(row.resources) {
		if types[i] {
			return true
		}
	}
	return types[len(s.resources)]
}

// resolve answers for every resource type; the last answer is whether "*" is among the resources.
func (r *reach) resolve(s *serviceRow) []bool {
	types := make([]bool, len(s.resources)+1)
	for i := range r.resources {
		if r.resources[i].written == "*" {
			types[len(s.resources)] = true
			continue
		}
		for j := range s.resources {
			types[j] = types[j] || overlap(r.resources[i].written, s.resources[j].template)
		}
	}
	return types
}

// overlap tells whether some string matches both a policy's resource and an ARN template. Wildcards
// are taken at their widest, and variables as "*".
func overlap(resource, template string) bool {
	resource = widen(resource)
	// What both spell out has to be the same.
	for resource != "" && template != "" && resource[0] != '*' && resource[0] != '?' && !isRun(template[0]) {
		if resource[0] != template[0] {
			return false
		}
		resource, template = resource[1:], template[1:]
	}
	reached, next := make([]bool, len(template)+1), make([]bool, len(template)+1)
	closeRuns(reached, template, 0)
	for i := range len(resource) {
		clear(next)
		step(reached, next, resource[i], template)
		reached, next = next, reached
	}
	return reached[len(template)]
}

// widen replaces variables by "*"; short forms already end in one.
func widen(resource string) string {
	for {
		start := strings.Index(resource, "${")
		if start < 0 {
			return resource
		}
		end := strings.IndexByte(resource[start:], '}')
		if end < 0 {
			return resource
		}
		resource = resource[:start] + "*" + resource[start+end+1:]
	}
}

const (
	segmentRun = 1 // placeholder without '/' and ':'
	anyRun     = 2
)

func isRun(c byte) bool { return c == segmentRun || c == anyRun }

// closeRuns marks what is reached from j without taking a character: runs may be empty.
func closeRuns(reached []bool, template string, j int) {
	reached[j] = true
	for ; j < len(template) && isRun(template[j]); j++ {
		reached[j+1] = true
	}
}

// step takes one character of the resource pattern against every reached place of the template.
func step(reached, next []bool, c byte, template string) {
	for j, ok := range reached {
		switch {
		case !ok:
		case c == '*':
			// The wildcard can stand for the template's whole rest, or any part of it.
			for k := j; k <= len(template); k++ {
				next[k] = true
			}
			return
		case j == len(template):
		case isRun(template[j]):
			if c == '?' || template[j] == anyRun || c != '/' && c != ':' {
				closeRuns(next, template, j)
			}
		case c == '?' || c == template[j]:
			closeRuns(next, template, j+1)
		}
	}
}
