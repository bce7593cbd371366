package identity

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Patterns that IAM's names keep to, as its messages print them.
const (
	namePattern = `[\w+=,.@-]+`
	pathPattern = `(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`
)

var (
	nameShape = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`)
	pathShape = regexp.MustCompile(`^/$|^/[!-~]+/$`)
	tagKey    = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$`)
	tagValue  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// nameRule is what the name of a kind is called in a request and how long it may be.
type nameRule struct {
	member string
	max    int
}

var nameRules = map[Kind]nameRule{
	KindUser: {"userName", 64}, KindRole: {"roleName", 64}, KindGroup: {"groupName", 128},
	KindPolicy: {"policyName", 128}, KindInstanceProfile: {"instanceProfileName", 128}, KindMFA: {"virtualMFADeviceName", 226},
}

// checkName holds the friendly name of a kind against IAM's rule.
func checkName(kind Kind, name string) error {
	r := nameRules[kind]
	return checkPattern(r.member, name, r.max, nameShape, namePattern)
}

func checkPattern(member, value string, limit int, shape *regexp.Regexp, pattern string) error {
	switch {
	case value == "":
		return violates(value, member, "Member must have length greater than or equal to 1")
	case utf8.RuneCountInString(value) > limit:
		return violates(value, member, "Member must have length less than or equal to "+strconv.Itoa(limit))
	case !shape.MatchString(value):
		if pattern == namePattern {
			return refuse(ValidationError, "The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", member)
		}
		return violates(value, member, "Member must satisfy regular expression pattern: "+pattern)
	}
	return nil
}

// checkPath gives the path to store: the default for none.
func checkPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	if len(path) > 512 || !pathShape.MatchString(path) {
		return "", refuse(ValidationError, "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return path, nil
}

func checkDescription(text string) error {
	if utf8.RuneCountInString(text) > 1000 {
		return violates(text, "description", "Member must have length less than or equal to 1000")
	}
	return nil
}

// maxTags per entity.
const maxTags = 50

// checkTags holds new tags against IAM's rules for keys and values.
func checkTags(tags []Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		switch n := utf8.RuneCountInString(t.Key); {
		case n == 0:
			return violates(t.Key, "tags.member.key", "Member must have length greater than or equal to 1")
		case n > 128:
			return violates(t.Key, "tags.member.key", "Member must have length less than or equal to 128")
		case !tagKey.MatchString(t.Key):
			return violates(t.Key, "tags.member.key", `Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
		case utf8.RuneCountInString(t.Value) > 256:
			return violates(t.Value, "tags.member.value", "Member must have length less than or equal to 256")
		case !tagValue.MatchString(t.Value):
			return violates(t.Value, "tags.member.value", `Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return refuse(InvalidInput, "Tag keys starting with 'aws:' are reserved for system use.")
		}
		if seen[strings.ToLower(t.Key)] {
			return refuse(InvalidParameterValue, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[strings.ToLower(t.Key)] = true
	}
	if len(tags) > maxTags {
		return refuse(LimitExceeded, "The number of tags has reached the maximum limit.")
	}
	return nil
}

// Page asks for one page of a list.
type Page struct {
	Marker   string
	MaxItems int // 0: 100
}

func (p Page) limit() (int, error) {
	switch {
	case p.MaxItems == 0:
		return 100, nil
	case p.MaxItems < 0 || p.MaxItems > 1000:
		return 0, violates(strconv.Itoa(p.MaxItems), "maxItems", "Member must have value between 1 and 1000, inclusive")
	}
	return p.MaxItems, nil
}

// Listed is one page of a list. Marker is set when there is more.
type Listed[T any] struct {
	Items       []T
	IsTruncated bool
	Marker      string
}
