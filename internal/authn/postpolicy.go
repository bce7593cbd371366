package authn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/fault"
)

// PostPolicy is the policy of a POST form, whose fields have passed. The zero PostPolicy, that of
// an anonymous form, allows every size.
type PostPolicy struct {
	expires    time.Time
	conditions []condition
	ranged     bool
	min, max   int64
}

// condition of a policy. Its text is what S3 prints when it fails.
type condition struct {
	operation, field, value string // operation "eq" or "starts-with", field in lower case, without $
	text                    string
	never                   bool // a form that no field can satisfy
}

// LengthRange is the content-length-range of the policy; ok is false when it has none.
func (p *PostPolicy) LengthRange() (min, max int64, ok bool) { return p.min, p.max, p.ranged }

// CheckLength holds the file's size to the content-length-range.
func (p *PostPolicy) CheckLength(size int64) error {
	proposed := strconv.FormatInt(size, 10)
	switch {
	case p.ranged && size > p.max:
		return fault.New(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size",
			"ProposedSize", proposed, "MaxSizeAllowed", strconv.FormatInt(p.max, 10))
	case p.ranged && size < p.min:
		return fault.New(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size",
			"ProposedSize", proposed, "MinSizeAllowed", strconv.FormatInt(p.min, 10))
	}
	return nil
}

// Limit holds a file of unknown size to the content-length-range while it is read: reading gives
// io.EOF only for a size that the policy allows, and never more bytes than it allows.
func (p *PostPolicy) Limit(file io.Reader) io.Reader {
	if !p.ranged {
		return file
	}
	return &limitReader{policy: p, src: file}
}

type limitReader struct {
	policy *PostPolicy
	src    io.Reader
	size   int64
	err    error
}

func (l *limitReader) Read(b []byte) (int, error) {
	if l.err != nil || len(b) == 0 {
		return 0, l.err
	}
	// One byte more than allowed tells a file of the allowed size from a larger one.
	if room := l.policy.max - l.size; room < int64(len(b)) {
		b = b[:room+1]
	}
	n, err := l.src.Read(b)
	l.size += int64(n)
	if l.size > l.policy.max || err == io.EOF {
		if broken := l.policy.CheckLength(l.size); broken != nil {
			n, err = 0, broken
		}
	}
	l.err = err
	return n, err
}

func errPolicy(text string) error { return fault.New(InvalidPolicyDocument, "Invalid Policy: "+text) }

// parsePostPolicy reads the base64 text of a policy.
func parsePostPolicy(text string) (*PostPolicy, error) {
	document, err := base64.StdEncoding.DecodeString(text) // line breaks are allowed in it
	if err != nil {
		return nil, errPolicy("Invalid Base64 encoding.")
	}
	var members map[string]json.RawMessage
	if err := decodeJSON(document, &members); err != nil || members == nil {
		return nil, errPolicy("Invalid JSON.")
	}
	p := &PostPolicy{}
	for name := range members {
		if name != "expiration" && name != "conditions" {
			return nil, errPolicy("Unexpected: '" + name + "'.")
		}
	}
	if p.expires, err = parseExpiration(members["expiration"]); err != nil {
		return nil, err
	}
	var conditions []json.RawMessage
	if json.Unmarshal(members["conditions"], &conditions) != nil || conditions == nil {
		return nil, errPolicy("Policy missing conditions.")
	}
	for _, raw := range conditions {
		if err := p.addCondition(raw); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// decodeJSON decodes exactly one value; numbers keep their text.
func decodeJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

func parseExpiration(raw json.RawMessage) (time.Time, error) {
	if raw == nil {
		return time.Time{}, errPolicy("Policy missing expiration.")
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if t, err := time.Parse("2006-01-02T15:04:05Z", text); err == nil { // takes fractions too
			return t, nil
		}
	}
	return time.Time{}, errPolicy("Invalid 'expiration' value: '" + strings.Trim(string(raw), `"`) + "'")
}

func (p *PostPolicy) addCondition(raw json.RawMessage) error {
	var v any
	if err := decodeJSON(raw, &v); err != nil {
		return errPolicy("Invalid JSON.")
	}
	switch v := v.(type) {
	case map[string]any:
		return p.addSimple(v)
	case []any:
		return p.addList(v)
	}
	return errPolicy("Invalid condition: a condition is an object or a list.")
}

// addSimple takes {"acl": "private"}.
func (p *PostPolicy) addSimple(v map[string]any) error {
	if len(v) != 1 {
		return errPolicy("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
	}
	for name, value := range v {
		s, ok := value.(string)
		if !ok {
			return errPolicy("Invalid Simple-Condition: value must be a string.")
		}
		p.conditions = append(p.conditions, condition{
			operation: "eq", field: strings.ToLower(name), value: s, text: conditionText("eq", "$"+name, s),
		})
	}
	return nil
}

// addList takes ["eq", "$acl", "private"], ["starts-with", "$key", "p/"] and
// ["content-length-range", 1, 10].
func (p *PostPolicy) addList(v []any) error {
	if len(v) != 3 {
		return errPolicy("Invalid condition: a list needs three elements.")
	}
	given, _ := v[0].(string)
	operation := strings.ToLower(given)
	switch operation {
	case "content-length-range":
		return p.addRange(given, v[1], v[2])
	case "eq", "starts-with":
	default:
		return errPolicy("Invalid condition: unknown operation.")
	}
	name, ok1 := v[1].(string)
	value, ok2 := v[2].(string)
	if !ok1 || !ok2 {
		return errPolicy("Invalid condition: field and value must be strings.")
	}
	field, dollar := strings.CutPrefix(name, "$")
	p.conditions = append(p.conditions, condition{
		operation: operation, field: strings.ToLower(field), value: value, never: !dollar,
		text: conditionText(given, name, value),
	})
	return nil
}

// addRange takes numbers, and numbers in quotes. S3 lets other texts through to the check, which fails.
// Of several ranges all must hold.
func (p *PostPolicy) addRange(given string, low, high any) error {
	minimum, ok1, err1 := sizeOf(low)
	maximum, ok2, err2 := sizeOf(high)
	if err := errors.Join(err1, err2); err != nil {
		return errPolicy("Invalid content-length-range: the limits must be non-negative numbers.")
	}
	if !ok1 || !ok2 || minimum > maximum {
		p.conditions = append(p.conditions, condition{never: true, text: conditionText(given, low, high)})
		return nil
	}
	if p.ranged {
		minimum, maximum = max(minimum, p.min), min(maximum, p.max)
		if minimum > maximum {
			p.conditions = append(p.conditions, condition{never: true, text: conditionText(given, low, high)})
			return nil
		}
	}
	p.ranged, p.min, p.max = true, minimum, maximum
	return nil
}

// sizeOf reads a limit. ok is false for a text that is no number.
func sizeOf(v any) (size int64, ok bool, err error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		if size, err := strconv.ParseInt(v, 10, 64); err == nil && size >= 0 {
			return size, true, nil
		}
		return 0, false, nil
	default:
		return 0, false, strconv.ErrSyntax
	}
	size, err = strconv.ParseInt(text, 10, 63)
	if err == nil && size < 0 {
		err = strconv.ErrRange
	}
	return size, err == nil, err
}

// conditionText prints a condition as S3 does in its refusals.
func conditionText(parts ...any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, part := range parts {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := enc.Encode(part); err != nil {
			return ""
		}
		b.Truncate(b.Len() - 1) // Encode ends every value by a line end
	}
	return "[" + b.String() + "]"
}

// check holds the form's fields to the policy: it has not expired, every condition holds, and every
// field is under a condition.
func (p *PostPolicy) check(f form, now time.Time) error {
	if !now.Before(p.expires) {
		return denied("Policy expired.")
	}
	covered := make(map[string]bool, len(p.conditions))
	for _, c := range p.conditions {
		if !c.holds(f) {
			return denied("Policy Condition failed: " + c.text)
		}
		covered[c.field] = true
	}
	var extra []string
	for name := range f {
		if !covered[name] && !exempt(name) {
			extra = append(extra, name)
		}
	}
	if extra != nil {
		slices.Sort(extra)
		return denied("Extra input fields: " + strings.Join(extra, ", "))
	}
	return nil
}

func denied(text string) error {
	return fault.New(PolicyDenied, "Invalid according to Policy: "+text)
}

// exempt tells which fields need no condition.
func exempt(name string) bool {
	return name == "policy" || name == "x-amz-signature" || name == "file" || strings.HasPrefix(name, "x-ignore-")
}

func (c *condition) holds(f form) bool {
	value := f[c.field]
	switch {
	case c.never:
		return false
	case c.operation == "eq":
		return value == c.value
	case c.field == "content-type":
		// S3 takes the field as a list: each of its types must begin so.
		for one := range strings.SplitSeq(value, ",") {
			if !strings.HasPrefix(strings.TrimSpace(one), c.value) {
				return false
			}
		}
		return true
	}
	return strings.HasPrefix(value, c.value)
}
