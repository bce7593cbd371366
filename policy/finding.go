package policy

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// FindingType is how much a finding matters, in Access Analyzer's words.
type FindingType string

// The types of finding.
const (
	FindingError           FindingType = "ERROR"
	FindingSecurityWarning FindingType = "SECURITY_WARNING"
	FindingWarning         FindingType = "WARNING"
	FindingSuggestion      FindingType = "SUGGESTION"
)

// Finding is one result of Validate, in the shape of Access Analyzer's ValidatePolicy.
type Finding struct {
	FindingDetails string      `json:"findingDetails"`
	FindingType    FindingType `json:"findingType"`
	IssueCode      string      `json:"issueCode"`
	Locations      []Location  `json:"locations"`
}

// Location is where in the document a finding is.
type Location struct {
	Path []PathElement `json:"path"`
	Span Span          `json:"span"`
}

// Span is the text from Start to just before End.
type Span struct {
	Start SpanPosition `json:"start"`
	End   SpanPosition `json:"end"`
}

// SpanPosition counts as Access Analyzer does: lines from 1, columns and offset from 0, all in
// characters.
type SpanPosition struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Offset int `json:"offset"`
}

// PathElement is one step into the document: a member's name, or (when Value is empty) an index.
type PathElement struct {
	Value string
	Index int
}

// MarshalJSON writes the union that ValidatePolicy has: {"value": …} or {"index": …}.
func (e PathElement) MarshalJSON() ([]byte, error) {
	if e.Value != "" {
		return json.Marshal(map[string]string{"value": e.Value})
	}
	return json.Marshal(map[string]int{"index": e.Index})
}

func spanPosition(src string, offset int) SpanPosition {
	p := positionOf(src, offset)
	return SpanPosition{Line: p.Line, Column: p.Column - 1, Offset: utf8.RuneCountInString(src[:p.Offset])}
}

// validation collects findings about one document.
type validation struct {
	src      string
	root     node
	doc      *Document
	findings []Finding
	at       []int // byte offset of each finding, for the order
}

// Validate reports what is wrong, dangerous, suspicious or superfluous in a document, in the order
// of the text. A document without findings of type ERROR is one that Parse accepts, and that
// for a bucket policy names only actions and keys that S3 has.
func Validate(src []byte, kind Kind) []Finding {
	p := parser{src: string(src), kind: kind, rules: kind.rules()}
	v := validation{src: p.src}
	if len(src) > maxValidated {
		v.report(0, len(src), FindingError, issueCodes[CodeTooLarge], "The document is larger than any policy may be.")
		return v.findings
	}
	v.doc, v.root = p.parse()
	for _, e := range p.errs {
		v.report(e.Offset, e.end, FindingError, issueCodes[e.Code], e.Message)
	}
	if v.doc != nil {
		v.document()
		for i := range v.doc.statements {
			v.statement(&v.doc.statements[i])
		}
		v.redundantStatements()
	}
	order := make([]int, len(v.findings))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(v.at[a], v.at[b]) })
	sorted := make([]Finding, 0, len(order))
	for _, i := range order {
		sorted = append(sorted, v.findings[i])
	}
	return sorted
}

// maxValidated is more than any quota; findings about larger documents would only cost time.
const maxValidated = 2 * MaxKeyPolicy

// maxFindings bounds what one document can bring forth.
const maxFindings = 500

func (v *validation) report(start, end int, kind FindingType, code, details string) {
	if len(v.findings) >= maxFindings {
		return
	}
	path := v.path(start)
	v.at = append(v.at, start)
	v.findings = append(v.findings, Finding{
		FindingDetails: details, FindingType: kind, IssueCode: code,
		Locations: []Location{{Path: path, Span: Span{spanPosition(v.src, start), spanPosition(v.src, end)}}},
	})
}

// on reports about the string that begins at offset.
func (v *validation) on(offset int, kind FindingType, code, details string) {
	v.report(offset, v.endOf(offset), kind, code, details)
}

// endOf is where the string or object that begins at offset ends.
func (v *validation) endOf(offset int) int {
	end := offset
	v.visit(offset, func(n *node) {
		if n.start == offset {
			end = n.end
		}
	})
	return end
}

// path is the way to the value or name at offset.
func (v *validation) path(offset int) []PathElement {
	path := []PathElement{}
	n := &v.root
	for {
		next := (*node)(nil)
		for i := range n.members {
			if m := &n.members[i]; m.name.start <= offset && offset < m.value.end {
				path = append(path, PathElement{Value: m.name.text})
				next = &m.value
			}
		}
		for i := range n.items {
			if e := &n.items[i]; e.start <= offset && offset < e.end {
				path = append(path, PathElement{Index: i})
				next = e
			}
		}
		if next == nil {
			return path
		}
		n = next
	}
}

// visit calls f for every node that spans offset.
func (v *validation) visit(offset int, f func(*node)) {
	var walk func(n *node)
	walk = func(n *node) {
		if offset < n.start || offset >= n.end {
			return
		}
		f(n)
		for i := range n.items {
			walk(&n.items[i])
		}
		for i := range n.members {
			walk(&n.members[i].name)
			walk(&n.members[i].value)
		}
	}
	walk(&v.root)
}

// issueCodes are Access Analyzer's codes for what Parse refuses.
var issueCodes = [...]string{
	CodeFirstByte:            "JSON_SYNTAX_ERROR",
	CodeJSON:                 "JSON_SYNTAX_ERROR",
	CodeEncoding:             "INVALID_CHARACTER",
	CodeTooLarge:             "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA",
	CodeType:                 "DATA_TYPE_MISMATCH",
	CodeUnknownElement:       "INVALID_POLICY_ELEMENT",
	CodeForbiddenElement:     "UNSUPPORTED_ELEMENT_COMBINATION",
	CodeMissingElement:       "MISSING_ELEMENT",
	CodeVersion:              "INVALID_VERSION",
	CodeNoStatement:          "MISSING_STATEMENT",
	CodeSid:                  "UNSUPPORTED_SID",
	CodeDuplicateSid:         "UNIQUE_SIDS_REQUIRED",
	CodeEffect:               "INVALID_EFFECT",
	CodePrincipal:            "INVALID_PRINCIPAL_FORMAT",
	CodeNoAction:             "EMPTY_ARRAY_ACTION",
	CodeAction:               "INVALID_ACTION",
	CodeActionColons:         "INVALID_ACTION",
	CodeActionVendor:         "INVALID_SERVICE_IN_ACTION",
	CodeTrustAction:          "UNSUPPORTED_ACTION_IN_POLICY",
	CodeNoResource:           "EMPTY_ARRAY_RESOURCE",
	CodeResource:             "INVALID_ARN_PREFIX",
	CodeResourcePartition:    "INVALID_PARTITION",
	CodeResourceVendor:       "INVALID_ARN_SERVICE",
	CodeResourceRegion:       "ARN_REGION_NOT_ALLOWED",
	CodeIAMResourceRegion:    "ARN_REGION_NOT_ALLOWED",
	CodeIAMResourcePath:      "INVALID_ARN_RESOURCE",
	CodeVariable:             "INVALID_VARIABLE",
	CodeOperator:             "INVALID_CONDITION_OPERATOR",
	CodeConditionKey:         "INVALID_CONDITION_KEY_FORMAT",
	CodeIPAddress:            "TYPE_MISMATCH_IP_RANGE",
	CodeActionResource:       "ACTION_APPLIES_TO_NO_RESOURCE",
	CodeConditionCombination: "CONDITION_KEY_NOT_OF_ACTION",
}

// quotas of the kinds that are measured as a whole, and the code for going over them. Some can be
// raised, so they are no errors.
var quotas = map[Kind]struct {
	max  int
	code string
}{
	Identity: {MaxManagedPolicy, "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA"},
	Boundary: {MaxManagedPolicy, "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA"},
	Session:  {MaxSessionPolicy, "POLICY_SIZE_EXCEEDS_SESSION_POLICY_QUOTA"},
	Trust:    {MaxTrustPolicy, "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA"},
	SCP:      {MaxControlPolicy, "POLICY_SIZE_EXCEEDS_SCP_QUOTA"},
	RCP:      {MaxControlPolicy, "POLICY_SIZE_EXCEEDS_RCP_QUOTA"},
}

// document checks what is not of one statement.
func (v *validation) document() {
	if v.root.member("Version") == nil {
		v.report(v.root.start, v.root.start+1, FindingWarning, "MISSING_VERSION",
			"The policy has no Version, so it is read as 2008-10-17, without variables. Add \"Version\": \"2012-10-17\".")
	}
	if q, ok := quotas[v.doc.kind]; ok && v.doc.Size() > q.max {
		v.report(v.root.start, v.root.end, FindingWarning, q.code,
			"The policy has "+itoa(v.doc.Size())+" characters; the quota is "+itoa(q.max)+".")
	}
	seen := map[string]bool{}
	for i := range v.doc.statements {
		s := &v.doc.statements[i]
		if s.sid != "" && seen[s.sid] && !v.doc.kind.rules().latin {
			v.report(int(s.start), int(s.end), FindingWarning, "UNIQUE_SIDS_RECOMMENDED", "Sid "+quote(s.sid)+" occurs more than once.")
		}
		seen[s.sid] = true
	}
	if v.doc.version == Version2008 {
		if i := strings.Index(v.src, "${aws:"); i >= 0 {
			v.report(i, i+2, FindingWarning, "VARIABLE_UNSUPPORTED_IN_VERSION", "In version 2008-10-17 a policy variable is literal text.")
		}
	}
}
