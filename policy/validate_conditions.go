package policy

import (
	"net/netip"
	"strings"
)

// conditions checks operators against keys and values.
func (v *validation) conditions(s *statement) {
	if m := v.conditionNode(s); m != nil && len(m.members) == 0 {
		v.report(m.start, m.end, FindingSuggestion, "EMPTY_OBJECT_CONDITION", "The Condition is empty and always holds.")
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		kind := KeyType(c.key)
		v.key(s, c, kind)
		v.qualifier(c, kind)
		v.operatorType(c, kind)
		v.values(c)
	}
}

func (v *validation) conditionNode(s *statement) *node {
	var found *node
	v.visit(int(s.start), func(n *node) {
		if m := n.member("Condition"); n.start == int(s.start) && m != nil && m.value.kind == objectNode {
			found = &m.value
		}
	})
	return found
}

// key must exist and, when it is a service's, belong to an action of the statement.
func (v *validation) key(s *statement, c *condition, kind string) {
	vendor, _, _ := strings.Cut(c.key, ":")
	switch {
	case kind == "" && vendor == "aws":
		v.on(c.offset, FindingError, "INVALID_GLOBAL_CONDITION_KEY", "The condition key "+c.written+" does not exist.")
	case kind == "" && KnownService(vendor):
		v.on(c.offset, FindingError, "INVALID_SERVICE_CONDITION_KEY", "The condition key "+c.written+" does not exist in "+vendor+".")
	case kind != "" && vendor != "aws" && vendor != own.prefix && !s.notAction && !isDelegationKey(c.key) && !s.someActionHas(c.key):
		v.on(c.offset, v.unlessBucket(FindingWarning), "CONDITION_KEY_NOT_OF_ACTION", "No action of the statement has the condition key "+c.written+".")
	}
}

func (s *statement) someActionHas(key string) bool {
	found := false
	for i := range s.actions {
		eachAction(s.actions[i].written, func(service *serviceRow, row *actionRow) bool {
			found = service.hasKey(row, key)
			return !found
		})
		if found {
			return true
		}
	}
	return false
}

func (v *validation) qualifier(c *condition, kind string) {
	multivalued := strings.HasPrefix(kind, "ArrayOf")
	switch {
	case c.base.family == nullFamily && c.set != noQualifier:
		v.on(c.offset, FindingSuggestion, "NULL_WITH_QUALIFIER", "Null with a qualifier does not depend on the request.")
	case c.base.family == nullFamily || kind == "":
	case multivalued && c.set == noQualifier:
		v.on(c.offset, FindingError, "MISSING_QUALIFIER", "The condition key "+c.written+" has several values: say ForAllValues: or ForAnyValue:.")
	case !multivalued && c.set == forAllValues:
		v.on(c.offset, FindingSecurityWarning, "FORALLVALUES_WITH_SINGLE_VALUED_KEY", "ForAllValues holds when the key is absent from the request; "+c.written+" has one value and needs no qualifier.")
	}
}

// operatorsOf lists which families fit a type of key.
var operatorsOf = map[string][]family{
	"String":  {stringFamily, binaryFamily, arnFamily, numericFamily},
	"ARN":     {arnFamily, stringFamily},
	"Bool":    {boolFamily, stringFamily},
	"Numeric": {numericFamily, stringFamily},
	"Date":    {dateFamily, numericFamily},
	"IP":      {ipFamily},
}

func (v *validation) operatorType(c *condition, kind string) {
	families, known := operatorsOf[strings.TrimPrefix(kind, "ArrayOf")]
	if !known || c.base.family == nullFamily {
		return
	}
	for _, f := range families {
		if f == c.base.family {
			return
		}
	}
	v.on(c.offset, FindingWarning, "TYPE_MISMATCH", "The condition key "+c.written+" is of type "+strings.TrimPrefix(kind, "ArrayOf")+"; "+c.base.name+" does not fit.")
}

// values must be readable for the operator.
func (v *validation) values(c *condition) {
	if len(c.values) == 0 {
		v.on(c.offset, FindingSuggestion, "EMPTY_ARRAY_CONDITION", "The condition key "+c.written+" has no values.")
	}
	for _, value := range c.values {
		if code, problem := readable(value); problem != "" {
			v.on(c.offset, FindingError, code, quote(value.text)+" "+problem)
			continue
		}
		v.suspicious(c, value)
	}
}

// readable names the problem of a value that can never match.
func readable(value conditionValue) (code, problem string) {
	switch m := value.matcher.(type) {
	case numberMatcher:
		if !m.valid {
			return "TYPE_MISMATCH_NUMBER", "is not a number."
		}
	case dateMatcher:
		if !m.valid {
			return "TYPE_MISMATCH_DATE", "is not a date of ISO 8601, nor seconds since 1970."
		}
	case addressMatcher:
		if !m.prefix.IsValid() {
			return "TYPE_MISMATCH_IP_RANGE", "is no IP address or range."
		}
	case binaryMatcher:
		if !m.valid {
			return "TYPE_MISMATCH_BINARY", "is not base64."
		}
	case boolMatcher:
		if m.form == formExact && !strings.EqualFold(m.text, "true") && !strings.EqualFold(m.text, "false") {
			return "TYPE_MISMATCH_BOOLEAN", "is neither true nor false."
		}
	}
	return "", ""
}

func (v *validation) suspicious(c *condition, value conditionValue) {
	if c.base.family == stringFamily && !strings.HasSuffix(c.base.name, "Like") && strings.ContainsAny(escapeless(value.text), "*?") {
		v.on(c.offset, FindingWarning, "WILDCARD_WITHOUT_LIKE_OPERATOR", c.base.name+" compares "+quote(value.text)+" literally; wildcards need StringLike or StringNotLike.")
	}
	if p, err := netip.ParsePrefix(value.text); err == nil && c.base.family == ipFamily && p.Masked() != p {
		v.on(c.offset, FindingSuggestion, "IMPROVE_IP_RANGE", value.text+" means "+p.Masked().String()+".")
	}
}

// escapeless is the text without ${*} and ${?}.
func escapeless(s string) string { return strings.NewReplacer("${*}", "", "${?}", "").Replace(s) }
