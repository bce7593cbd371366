package trail

import (
	"slices"
	"strings"
	"sync"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

// Selector is a basic event selector.
type Selector struct {
	ReadWriteType string // All, ReadOnly, WriteOnly
	Management    bool
	Data          []DataResource
	Exclude       []string // sources of management events
}

// DataResource names data events by the beginnings of ARNs.
type DataResource struct {
	Type   string
	Values []string
}

// AdvancedSelector is an advanced event selector: all fields must match.
type AdvancedSelector struct {
	Name   string
	Fields []Field
}

// Field of an advanced event selector.
type Field struct {
	Name                                  string
	Equals, StartsWith, EndsWith          []string
	NotEquals, NotStartsWith, NotEndsWith []string
}

// objectType is the type of the data events that there are.
const objectType = "AWS::S3::Object"

// event is what selectors look at.
type event struct {
	category, source, name, kind, user string
	// arn of the resource; "" where only bucket and key are known, as while a request waits.
	arn, bucket, key string
	readOnly         bool
}

// objectARN is how the ARN of an object begins.
const objectARN = "arn:aws:s3:::"

// resource is the ARN.
func (e *event) resource() string {
	if e.arn == "" && e.bucket != "" {
		e.arn = objectARN + e.bucket + "/" + e.key
	}
	return e.arn
}

// under tells whether the ARN begins with v.
func (e *event) under(v string) bool {
	if e.arn != "" || e.bucket == "" {
		return strings.HasPrefix(e.arn, v)
	}
	rest, ok := strings.CutPrefix(v, objectARN)
	if !ok {
		return strings.HasPrefix(objectARN, v)
	}
	if rest, ok = strings.CutPrefix(rest, e.bucket); !ok {
		return strings.HasPrefix(e.bucket, rest)
	}
	return rest == "" || rest[0] == '/' && strings.HasPrefix(e.key, rest[1:])
}

// compiled is all that a trail wants.
type compiled struct {
	rules []func(*event) bool
	data  bool // some rule may want data events
}

func (c *compiled) wants(e *event) bool {
	for _, rule := range c.rules {
		if rule(e) {
			return true
		}
	}
	return false
}

// defaults are the selectors of a trail that nobody gave any.
var defaults = []Selector{{ReadWriteType: "All", Management: true}}

// Effective are the basic selectors that hold; nil where advanced ones do.
func (t *Trail) Effective() []Selector {
	if len(t.Advanced) > 0 {
		return nil
	}
	if len(t.Selectors) == 0 {
		return defaults
	}
	return t.Selectors
}

func compile(t *Trail) *compiled {
	c := &compiled{}
	for _, s := range t.Effective() {
		c.basic(s)
	}
	for _, a := range t.Advanced {
		c.advanced(a)
	}
	return c
}

func (c *compiled) basic(s Selector) {
	kind := func(e *event) bool {
		return s.ReadWriteType == "All" || e.readOnly == (s.ReadWriteType == "ReadOnly")
	}
	if s.Management {
		c.rules = append(c.rules, func(e *event) bool {
			return e.category == audit.CategoryManagement && kind(e) && !slices.Contains(s.Exclude, e.source)
		})
	}
	for _, d := range s.Data {
		c.data = true
		c.rules = append(c.rules, func(e *event) bool {
			return e.category == audit.CategoryData && kind(e) && e.kind == d.Type &&
				slices.ContainsFunc(d.Values, e.under)
		})
	}
}

// fields are those that advanced selectors may name, with what an event has there.
var fields = map[string]func(*event) string{
	"eventCategory":                func(e *event) string { return e.category },
	"eventSource":                  func(e *event) string { return e.source },
	"eventName":                    func(e *event) string { return e.name },
	"resources.type":               func(e *event) string { return e.kind },
	"resources.ARN":                (*event).resource,
	"userIdentity.arn":             func(e *event) string { return e.user },
	"eventType":                    func(*event) string { return "AwsApiCall" },
	"sessionCredentialFromConsole": func(*event) string { return "false" },
	"readOnly": func(e *event) string {
		if e.readOnly {
			return "true"
		}
		return "false"
	},
}

func (c *compiled) advanced(a AdvancedSelector) {
	for _, f := range a.Fields {
		if f.Name == "eventCategory" && slices.Contains(f.Equals, audit.CategoryData) {
			c.data = true
		}
	}
	c.rules = append(c.rules, func(e *event) bool {
		for i := range a.Fields {
			f := &a.Fields[i]
			if get := fields[f.Name]; get == nil || !f.matches(get(e)) {
				return false
			}
		}
		return true
	})
}

func (f *Field) matches(v string) bool {
	if positive := len(f.Equals) + len(f.StartsWith) + len(f.EndsWith); positive > 0 &&
		!slices.Contains(f.Equals, v) && !some(f.StartsWith, v, strings.HasPrefix) && !some(f.EndsWith, v, strings.HasSuffix) {
		return false
	}
	return !slices.Contains(f.NotEquals, v) && !some(f.NotStartsWith, v, strings.HasPrefix) && !some(f.NotEndsWith, v, strings.HasSuffix)
}

func some(of []string, v string, fits func(s, part string) bool) bool {
	return slices.ContainsFunc(of, func(part string) bool { return fits(v, part) })
}

// wants decides which data events are kept: those that some logging trail of an account concerned
// wants. What CloudTrail itself delivers is not among them, or every delivery would make another.
func (s *Store) wants(ev *audit.Event) bool {
	trails := s.trails.Load().data
	if len(trails) == 0 || ev.Service != "s3" || ev.Principal.Type == policy.Service && ev.Principal.ARN == Service {
		return false
	}
	e, _ := asked.Get().(*event)
	defer asked.Put(e)
	e.category = ""
	for _, t := range trails {
		if !concerns(ev, t.Account) {
			continue
		}
		if e.category == "" {
			*e = event{
				category: audit.CategoryData, source: "s3.amazonaws.com", name: audit.EventName(ev), kind: objectType,
				bucket: ev.Bucket, key: ev.Key, user: ev.Principal.ARN, readOnly: ev.ReadOnly,
			}
			if ev.Bucket == "" {
				e.arn = objectARN + "/" + ev.Key
			}
		}
		if t.selector.wants(e) {
			return true
		}
	}
	return false
}

// asked are events that no selector looks at now.
var asked = sync.Pool{New: func() any { return new(event) }}

func concerns(ev *audit.Event, account string) bool {
	if ev.Principal.Account == account {
		return true
	}
	for i := range ev.Decisions {
		if ev.Decisions[i].Account == account {
			return true
		}
	}
	return false
}

// globalSources are the services whose events a trail leaves out without IncludeGlobalServiceEvents.
var globalSources = map[string]bool{"iam.amazonaws.com": true, "sts.amazonaws.com": true, "organizations.amazonaws.com": true}

// Takes tells whether a trail wants a record of the journal.
func (t *Trail) Takes(n *audit.Note) bool { return t.takes(n) }

// Everything tells whether a trail's selectors leave nothing out.
func (t *Trail) Everything() bool {
	management, data := t.GlobalEvents, false
	for _, s := range t.Effective() {
		management = management && s.ReadWriteType == "All" && s.Management && len(s.Exclude) == 0
		for _, d := range s.Data {
			data = data || s.ReadWriteType == "All" && slices.ContainsFunc(d.Values, func(v string) bool { return strings.HasPrefix(objectARN, v) })
		}
	}
	if len(t.Advanced) == 0 {
		return management && data
	}
	all := false
	for _, a := range t.Advanced {
		switch category := a.only(); {
		case category == audit.CategoryManagement && len(a.Fields) == 1:
			all = true
		case category == audit.CategoryData && len(a.Fields) == 2: // the other is the type, of which there is one
			data = true
		}
	}
	return t.GlobalEvents && all && data
}

// only is the category that a selector is about.
func (a *AdvancedSelector) only() string {
	for i := range a.Fields {
		if f := &a.Fields[i]; f.Name == "eventCategory" && len(f.Equals) == 1 {
			return f.Equals[0]
		}
	}
	return ""
}

// takes tells whether a trail wants a record of the journal.
func (t *Trail) takes(n *audit.Note) bool {
	if n.Account != t.Account || !t.GlobalEvents && globalSources[n.Source] {
		return false
	}
	if t.ends(n) {
		return true
	}
	e, _ := asked.Get().(*event)
	defer asked.Put(e)
	*e = event{category: n.Category, source: n.Source, name: n.Name, kind: n.Type, arn: n.ARN, user: n.User, readOnly: n.ReadOnly}
	if n.Category == audit.CategoryData {
		e.kind = objectType
		if n.Key == "" {
			e.arn += "/"
		}
	}
	return t.selector.wants(e)
}

func badSelector(text string) error {
	return fault.New(InvalidSelectors, "Invalid event selector: "+text)
}

// CheckSelectors refuses what AWS refuses, and what there are no events of.
func CheckSelectors(basic []Selector, advanced []AdvancedSelector) error {
	switch {
	case len(basic) > 0 && len(advanced) > 0, len(basic) == 0 && len(advanced) == 0:
		return badSelector("give either event selectors or advanced event selectors.")
	case len(basic) > 5:
		return badSelector("a trail has at most 5 event selectors.")
	}
	values := 0
	for _, s := range basic {
		if err := s.check(); err != nil {
			return err
		}
		for _, d := range s.Data {
			values += len(d.Values)
		}
	}
	for i := range advanced {
		n, err := advanced[i].check()
		if err != nil {
			return err
		}
		values += n
	}
	if values > 500 || len(basic) > 0 && values > 250 {
		return badSelector("there are too many values.")
	}
	return nil
}

func (s *Selector) check() error {
	if !slices.Contains([]string{"All", "ReadOnly", "WriteOnly"}, s.ReadWriteType) {
		return badSelector("ReadWriteType is All, ReadOnly or WriteOnly.")
	}
	if !s.Management && len(s.Data) == 0 {
		return badSelector("it selects no events.")
	}
	for _, source := range s.Exclude {
		if !s.Management || source != "kms.amazonaws.com" && source != "rdsdata.amazonaws.com" {
			return badSelector("ExcludeManagementEventSources cannot have " + source + ".")
		}
	}
	for _, d := range s.Data {
		if d.Type != objectType {
			return badSelector("there are no data events of type " + d.Type + ".")
		}
		for _, v := range d.Values {
			if !strings.HasPrefix(v, "arn:aws:s3") {
				return badSelector("Value " + v + " for DataResources.Values is invalid.")
			}
		}
	}
	return nil
}

func (a *AdvancedSelector) check() (values int, err error) {
	category, kind := "", ""
	seen := map[string]bool{}
	for i := range a.Fields {
		f := &a.Fields[i]
		if fields[f.Name] == nil {
			return 0, badSelector("field " + f.Name + " is unknown.")
		}
		if seen[f.Name] {
			return 0, badSelector("field " + f.Name + " is there twice.")
		}
		seen[f.Name] = true
		n := len(f.Equals) + len(f.StartsWith) + len(f.EndsWith) + len(f.NotEquals) + len(f.NotStartsWith) + len(f.NotEndsWith)
		if n == 0 {
			return 0, badSelector("field " + f.Name + " has no condition.")
		}
		values += n
		switch f.Name {
		case "eventCategory", "resources.type", "readOnly":
			if len(f.Equals) != 1 || n != 1 {
				return 0, badSelector("field " + f.Name + " takes Equals with one value.")
			}
			if f.Name == "eventCategory" {
				category = f.Equals[0]
			} else if f.Name == "resources.type" {
				kind = f.Equals[0]
			}
		}
	}
	return values, checkCategory(category, kind, seen)
}

func checkCategory(category, kind string, seen map[string]bool) error {
	switch {
	case category == audit.CategoryManagement && !seen["resources.type"] && !seen["resources.ARN"]:
		return nil
	case category == audit.CategoryManagement:
		return badSelector("selectors of management events know no resources.")
	case category != audit.CategoryData:
		return badSelector("eventCategory is Management or Data.")
	case kind != objectType:
		return badSelector("there are no data events of type " + kind + ".")
	}
	return nil
}
