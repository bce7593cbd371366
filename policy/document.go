package policy

import (
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
	general []int32
}

type serviceIndex struct {
	service    string
	statements []int32
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

// candidates lists the statements whose actions can include one of the service.
func (d *Document) candidates(service string) []int32 {
	for i := range d.index {
		if foldEqual(service, d.index[i].service) {
			return d.index[i].statements
		}
	}
	return d.general
}

func (d *Document) buildIndex() {
	services := make([]string, 0, 4)
	for i := range d.statements {
		for j := range d.statements[i].actions {
			service := d.statements[i].actions[j].service
			if service != "*" && !d.statements[i].notAction && !contains(services, service) {
				services = append(services, service)
			}
		}
	}
	for i := range d.statements {
		if d.statements[i].concerns("") {
			d.general = append(d.general, int32(i))
		}
	}
	for _, service := range services {
		var list []int32
		for i := range d.statements {
			if d.statements[i].concerns(service) {
				list = append(list, int32(i))
			}
		}
		d.index = append(d.index, serviceIndex{service, list})
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// concerns tells whether some action of the service can be meant.
func (s *statement) concerns(service string) bool {
	if s.notAction {
		return true
	}
	for i := range s.actions {
		if a := s.actions[i].service; a == "*" || a == service && service != "" {
			return true
		}
	}
	return false
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

// hashFold is FNV-1a over the lower-case bytes; never 0, which means "no hash".
func hashFold(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(lower(s[i]))) * 1099511628211
	}
	return h | 1
}
