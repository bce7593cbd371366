package iam

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

func (e simulator) getContextKeysForPrincipalPolicy(_ context.Context, _ authz.Grant, on identity.Ref, in *iamwire.GetContextKeysForPrincipalPolicyInput) (*iamwire.GetContextKeysForPrincipalPolicyOutput, error) {
	subject, err := e.source(on, in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	names, err := contextKeys(subject.Policies.Identity, in.PolicyInputList)
	return &iamwire.GetContextKeysForPrincipalPolicyOutput{ContextKeyNames: names}, err
}

func (e simulator) getContextKeysForCustomPolicy(_ context.Context, _ authz.Grant, _ identity.Ref, in *iamwire.GetContextKeysForCustomPolicyInput) (*iamwire.GetContextKeysForCustomPolicyOutput, error) {
	names, err := contextKeys(nil, in.PolicyInputList)
	return &iamwire.GetContextKeysForCustomPolicyOutput{ContextKeyNames: names}, err
}

// contextKeys are the keys that the policies' conditions and variables ask for, in order.
func contextKeys(documents []*policy.Document, inputs []string) ([]string, error) {
	parsed, err := parseInputs(inputs, "PolicyInputList", policy.Identity)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, doc := range append(append([]*policy.Document{}, documents...), parsed...) {
		if err := collectKeys(doc.Source(), names); err != nil {
			return nil, err
		}
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(names)))), nil
}

// keyedStatement is what of a statement can name condition keys.
type keyedStatement struct {
	Resource, NotResource json.RawMessage
	Condition             map[string]map[string]json.RawMessage
}

// collectKeys reads a document that is known to be a policy.
func collectKeys(source string, names map[string]bool) error {
	var doc struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(source), &doc); err != nil {
		return err
	}
	var statements []keyedStatement
	if strings.HasPrefix(strings.TrimSpace(string(doc.Statement)), "{") {
		statements = make([]keyedStatement, 1)
		if err := json.Unmarshal(doc.Statement, &statements[0]); err != nil {
			return err
		}
	} else if err := json.Unmarshal(doc.Statement, &statements); err != nil {
		return err
	}
	for _, s := range statements {
		collectVariables(s.Resource, names)
		collectVariables(s.NotResource, names)
		for _, comparisons := range s.Condition {
			for key, values := range comparisons {
				names[key] = true
				collectVariables(values, names)
			}
		}
	}
	return nil
}

// variable is a policy variable, without the default value that may follow. ${*}, ${?} and ${$} stand
// for the characters themselves.
var variable = regexp.MustCompile(`\$\{\s*([^,}*?$\s]+)[^}]*\}`)

func collectVariables(text json.RawMessage, names map[string]bool) {
	for _, found := range variable.FindAllSubmatch(text, -1) {
		names[string(found[1])] = true
	}
}
