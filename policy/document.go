package policy

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Version is the version of the policy language that a document is written in.
type Version string

// The versions. Variables exist only in the second.
const (
	Version2008 Version = "2008-10-17"
	Version2012 Version = "2012-10-17"
)

// Document is a parsed, compiled policy document. It is immutable and may be shared between
// goroutines.
type Document struct {
	kind       Kind
	source     string
	name       string
	version    Version
	id         string
	statements []statement
	// index lists, for each service that an action names, the statements that may apply to it;
	// general lists those for every other service. Both are in the document's order.
	index   []serviceIndex
	general []candidate
}

type serviceIndex struct {
	service    string
	candidates []candidate
}

// candidate is a statement with summaries of its actions and resources, which rule most
// statements out without a look at them.
type candidate struct {
	statement int32
	effect    Effect
	// prefix is what every resource that the statement can be about begins with.
	prefix string
	// letters has a bit for the first letter of every name with wildcards, exact one for some
	// bits of the hash of every name without.
	letters uint32
	exact   uint64
}

func (c *candidate) add(a *actionPattern) {
	if a.hash != 0 {
		c.exact |= exactBit(a.hash)
		return
	}
	_, name, _ := strings.Cut(a.pattern.first(), ":")
	c.letters |= letterBits(name)
}

func exactBit(hash uint64) uint64 { return 1 << (hash >> 1 & 63) }

// letterBits is one bit for a name beginning with a letter, and all of them for any other.
func letterBits(name string) uint32 {
	if name == "" || lower(name[0]) < 'a' || lower(name[0]) > 'z' {
		return ^uint32(0)
	}
	return 1 << (lower(name[0]) - 'a')
}

type statement struct {
	sid          string
	effect       Effect
	principals   []principal
	hasPrincipal bool
	notPrincipal bool
	actions      []actionPattern
	notAction    bool
	resources    []resourcePattern
	hasResource  bool
	notResource  bool
	conditions   []condition
	start, end   int32
}

// actionPattern is one action in lower case.
type actionPattern struct {
	written string
	service string // "*" for every action
	pattern pattern
	// hash of an exact action; 0 when there are wildcards.
	hash   uint64
	offset int
}

type resourcePattern struct {
	written string
	pattern pattern
	offset  int
}

// Kind is where the document is used.
func (d *Document) Kind() Kind { return d.kind }

// Source is the text that was parsed.
func (d *Document) Source() string { return d.source }

// Version is the language version; a document without one is of 2008-10-17.
func (d *Document) Version() Version { return d.version }

// ID is the document's Id element.
func (d *Document) ID() string { return d.id }

// Name is what explanations and denials call the document.
func (d *Document) Name() string { return d.name }

// Named returns the document under a name: the ARN of a managed policy, or whatever tells an
// inline policy to its reader. The compiled form is shared.
func (d *Document) Named(name string) *Document {
	c := *d
	c.name = name
	return &c
}

// Len is the number of statements.
func (d *Document) Len() int { return len(d.statements) }

// StatementInfo says which statement of a document is meant, and where it stands.
type StatementInfo struct {
	Index  int
	Sid    string
	Effect Effect
	Start  Position
	End    Position // just after the statement
}

// Statement describes the i-th statement.
func (d *Document) Statement(i int) StatementInfo {
	s := &d.statements[i]
	return StatementInfo{
		Index: i, Sid: s.sid, Effect: s.effect,
		Start: positionOf(d.source, int(s.start)), End: positionOf(d.source, int(s.end)),
	}
}

// Size measures the document for its quota as the service does: IAM counts characters without
// white space between tokens, S3 the bytes of the normalized document, control and key
// policies the bytes as stored.
func (d *Document) Size() int {
	switch d.kind {
	case Bucket:
		return len(d.Normalized())
	case Identity, Boundary, Session, Trust:
		return charactersWithoutSpace(d.source)
	}
	return len(d.source)
}

func charactersWithoutSpace(src string) int {
	n, quoted := 0, false
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch {
		case quoted && c == '\\':
			i++
			n++
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(" \t\r\n", c) >= 0:
			continue
		}
		if utf8.RuneStart(c) {
			n++
		}
	}
	return n
}

// candidates lists the statements whose actions can include one of the service, in lower case.
func (d *Document) candidates(service string) []candidate {
	for i := range d.index {
		if d.index[i].service == service {
			return d.index[i].candidates
		}
	}
	return d.general
}

func (d *Document) buildIndex() {
	services := make([]string, 0, 4)
	for i := range d.statements {
		for j := range d.statements[i].actions {
			service := d.statements[i].actions[j].service
			if service != "*" && !d.statements[i].notAction && !slices.Contains(services, service) {
				services = append(services, service)
			}
		}
	}
	d.general = d.candidatesOf("")
	for _, service := range services {
		d.index = append(d.index, serviceIndex{service, d.candidatesOf(service)})
	}
}

// candidatesOf summarizes for one service; "" is any service that the document does not name.
func (d *Document) candidatesOf(service string) []candidate {
	var list []candidate
	for i := range d.statements {
		s := &d.statements[i]
		c := candidate{statement: int32(i), effect: s.effect, prefix: s.resourcePrefix()}
		if s.notAction {
			c.letters, c.exact = ^uint32(0), ^uint64(0)
		}
		for j := range s.actions {
			if a := &s.actions[j]; !s.notAction && (a.service == "*" || a.service == service) {
				c.add(a)
			}
		}
		if c.letters != 0 || c.exact != 0 {
			list = append(list, c)
		}
	}
	return list
}

// resourcePrefix is the longest literal text that all resource patterns begin with.
func (s *statement) resourcePrefix() string {
	if s.notResource || len(s.resources) == 0 {
		return ""
	}
	prefix := s.resources[0].pattern.first()
	for i := range s.resources[1:] {
		other := s.resources[i+1].pattern.first()
		n := 0
		for n < min(len(prefix), len(other)) && prefix[n] == other[n] {
			n++
		}
		prefix = prefix[:n]
	}
	return prefix
}

// foldEqual compares with lower-case text.
func foldEqual(s, lowerText string) bool {
	if len(s) != len(lowerText) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != lowerText[i] {
			return false
		}
	}
	return true
}

const hashSeed = 14695981039346656037

// hashByte is a step of FNV-1a.
func hashByte(h uint64, c byte) uint64 { return (h ^ uint64(c)) * 1099511628211 }

// hashFold hashes the lower-case bytes; it is never 0, which means "no hash".
func hashFold(s string) uint64 {
	h := uint64(hashSeed)
	for i := range len(s) {
		h = hashByte(h, lower(s[i]))
	}
	return h | 1
}
