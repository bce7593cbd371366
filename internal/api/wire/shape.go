package wire

import "slices"

// Kind is the type of a shape.
type Kind uint8

// The kinds, and the Go type of a member of each. Elements of lists and maps have the same types
// without the pointer.
const (
	String    Kind = iota + 1 // *string
	Enum                      // a string type of its own; "" is absent
	Boolean                   // *bool
	Integer                   // *int32
	Long                      // *int64
	Double                    // *float64
	Timestamp                 // *time.Time
	Blob                      // []byte
	List                      // []T
	Map                       // map[string]T
	Structure                 // *T
)

// ShapeID is the place of a shape in its model. Shapes refer to each other by place and not by
// pointer, so that a model may be recursive and is still plain data, laid out by the compiler.
type ShapeID int32

// Model is the shapes of one service.
type Model struct {
	// Package is the last element of the import path of the generated structs.
	Package string
	Shapes  []Shape
}

// Shape is one type of a model.
type Shape struct {
	Name string
	// GoType is the name of the generated struct or enum type.
	GoType string
	Kind   Kind
	// Members of a structure: the generated struct has the same fields in the same order.
	Members []Member
	// Key and Elem are the shapes of a map's keys and of the elements of a list or map; KeyName and
	// ElemName what the model calls them ("" stands for the protocol's default).
	Key, Elem         ShapeID
	KeyName, ElemName string
	// Flattened lists and maps have no element of their own around their entries.
	Flattened bool
	// Values of an enum, and whether others are left for the handler to judge.
	Values []string
	Open   bool
	// Limits are checked by Validate; nil where there are none.
	Limits *Limits
	Format TimeFormat
	// Sensitive values never appear in a violation.
	Sensitive bool
	// Prefix and PrefixURI declare the namespace that an attribute of this structure lives in.
	Prefix, PrefixURI string
}

// Allows tells whether value is one of an enum's values.
func (s *Shape) Allows(value string) bool { return slices.Contains(s.Values, value) }

// Limits are the constraints of a string's or list's length, or of a number's value.
type Limits struct {
	HasMin, HasMax bool
	Min, Max       int64
	// Pattern is the model's own spelling, as it is told to clients; Regexp the same as Go reads
	// it, or "" where Go has no such expression and only the lengths are checked.
	Pattern, Regexp string
}

// Place says where in the request or answer a member travels.
type Place uint8

// The places. The zero value is the body.
const (
	InBody      Place = iota
	InPath            // a label of the URI
	InQuery           // a query parameter
	InHeader          // one header
	InHeaders         // all headers with a prefix
	InStatus          // the HTTP status
	InPayload         // the member is the body
	InAttribute       // an XML attribute of the element
)

// Member is one member of a structure.
type Member struct {
	// Name is the model's name of it.
	Name string
	// Wire is the element, field, parameter, label or (canonical) header.
	Wire string
	// Tags are the element's start and end tag, where the member may become one: "<Key></Key>".
	Tags      string
	In        Place
	Shape     ShapeID
	Required  bool
	Flattened bool
	Format    TimeFormat
}

// member finds the member that in's place calls wire; -1 if there is none.
func (s *Shape) member(place Place, wire string) int {
	for i := range s.Members {
		if s.Members[i].In == place && s.Members[i].Wire == wire {
			return i
		}
	}
	return -1
}

// memberBytes is member for the hot path of the XML decoder. It looks first at hint, the place
// after the last one found, because clients write elements in the order of the model.
func (s *Shape) memberBytes(name []byte, hint int) int {
	for n := range s.Members {
		i := hint + n
		if i >= len(s.Members) {
			i -= len(s.Members)
		}
		if s.Members[i].In == InBody && s.Members[i].Wire == string(name) {
			return i
		}
	}
	return -1
}

func bodyMembers(m *Member) bool { return m.In == InBody }
