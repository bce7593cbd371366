// Package rule holds the managed rules of AWS Config that Kura has: one file per rule, which says what
// the rule finds, why that matters, how it checks, and gives examples of both answers. The examples are
// its fixture: the test runs every one of them, and the documentation shows them.
//
// A rule is pure: it judges what it is given and reads nothing else but its Input. What it finds
// non-compliant it explains in an annotation, always.
package rule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/posture"
)

// Compliance is the answer of a rule about a resource, in AWS's words.
type Compliance string

// The answers.
const (
	Compliant        Compliance = "COMPLIANT"
	NonCompliant     Compliance = "NON_COMPLIANT"
	NotApplicable    Compliance = "NOT_APPLICABLE"
	InsufficientData Compliance = "INSUFFICIENT_DATA"
)

// Result is an answer with its reason. NonCompliant always has one.
type Result struct {
	Compliance Compliance
	Annotation string
}

// Input is what a rule judges.
type Input struct {
	// Resource judged; for rules about the account as a whole one of posture.TypeAccount.
	Resource *posture.Resource
	// Parameters by name, defaults filled in.
	Parameters map[string]string
	// Block is the account's setting of Block Public Access, Root its root user.
	Block posture.Block
	Root  *posture.Entity
	// Trails of the account; filled in for rules that name posture.TypeTrail in Needs.
	Trails []*posture.Trail
	// LastUse tells when an access key or a user's password was last used.
	LastUse func(id string) (time.Time, error)
	Now     time.Time
}

// Parameter of a rule.
type Parameter struct {
	Name, Default string
	Required      bool
	// Check says what is wrong with a value. Nil: anything goes.
	Check func(string) error
}

// Rule is a managed rule.
type Rule struct {
	// ID is the identifier that PutConfigRule names it by; Name what AWS's console calls it.
	ID, Name string
	// Finds says when a resource is non-compliant; Why, what is at stake.
	Finds, Why string
	// Types of resources that it judges.
	Types []string
	// OnChange and Periodic say when.
	OnChange, Periodic bool
	// ReadsBlock: the answer depends on the account's Block Public Access, whose change is a trigger too.
	ReadsBlock bool
	// Needs names the type of resources without which the rule has nothing to go by.
	Needs      string
	Parameters []Parameter
	Check      func(*Input) (Result, error)
	Examples   []Example
}

// Example is a resource with the answer that the rule gives.
type Example struct {
	Name       string
	Input      Input
	Compliance Compliance
	// Annotation is the whole of it, where it is AWS's; empty: any.
	Annotation string
}

// All are the rules, by identifier.
var All = func() map[string]*Rule {
	all := map[string]*Rule{}
	for _, r := range rules {
		all[r.ID] = r
	}
	return all
}()

// Judge gives the rule's answer. What cannot be read is never compliant.
func (r *Rule) Judge(in *Input) (Result, error) {
	if broken := in.Resource.Broken; broken != nil {
		r := nonCompliant("The configuration of this resource cannot be read, so that all access to it is refused: %v", broken)
		r.Annotation = shorten(r.Annotation)
		return r, nil
	}
	result, err := r.Check(in)
	if result.Compliance == NonCompliant && result.Annotation == "" {
		result.Annotation = r.Finds
	}
	result.Annotation = shorten(result.Annotation)
	return result, err
}

// maxAnnotation is AWS's bound, in characters.
const maxAnnotation = 256

func shorten(s string) string {
	runes := []rune(s)
	if len(runes) <= maxAnnotation {
		return s
	}
	return string(runes[:maxAnnotation-1]) + "…"
}

// Fill checks the parameters that a rule is given and adds the defaults.
func (r *Rule) Fill(given map[string]string) (map[string]string, error) {
	filled := map[string]string{}
	for name := range given {
		if !slices.ContainsFunc(r.Parameters, func(p Parameter) bool { return p.Name == name }) {
			return nil, fmt.Errorf("unknown parameters provided in the inputParameters: %s", name)
		}
	}
	for _, p := range r.Parameters {
		value, ok := given[p.Name]
		if !ok || value == "" {
			value = p.Default
		}
		if value == "" && p.Required {
			return nil, fmt.Errorf("required parameter %s is missing in the inputParameters", p.Name)
		}
		if value == "" {
			continue
		}
		if p.Check != nil {
			if err := p.Check(value); err != nil {
				return nil, fmt.Errorf("invalid value for the parameter %s: %w", p.Name, err)
			}
		}
		filled[p.Name] = value
	}
	return filled, nil
}

func compliant() Result { return Result{Compliance: Compliant} }

func nonCompliant(format string, args ...any) Result {
	return Result{NonCompliant, fmt.Sprintf(format, args...)}
}

// when is nonCompliant with annotation when bad, else compliant.
func when(bad bool, annotation string) (Result, error) {
	if bad {
		return Result{NonCompliant, annotation}, nil
	}
	return compliant(), nil
}

// list takes a parameter of values with commas apart.
func list(value string) []string {
	var out []string
	for _, v := range strings.Split(value, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

func oneOf(values ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(values, v) {
			return fmt.Errorf("%q is none of %s", v, strings.Join(values, ", "))
		}
		return nil
	}
}

// boolean accepts what AWS accepts for the parameters of rules.
var boolean = oneOf("true", "false", "True", "False", "TRUE", "FALSE")

func days(v string) error {
	if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 36500 {
		return fmt.Errorf("%q is not a number of days", v)
	}
	return nil
}

// age is the parameter name as a duration. Fill has checked it.
func (in *Input) age(name string) time.Duration {
	n, _ := strconv.Atoi(in.Parameters[name])
	return time.Duration(n) * 24 * time.Hour
}

// inDays tells a duration in whole days.
func inDays(d time.Duration) int { return int(d / (24 * time.Hour)) }
