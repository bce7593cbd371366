package analyzer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// Verdict is the answer of a custom policy check.
type Verdict struct {
	Passed  bool
	Reasons []Reason
}

// Reason names a statement because of which a check failed.
type Reason struct {
	Text      string
	Statement int
	Sid       string
}

// kinds of documents by the type of resource that they are for, as far as Kura has such resources.
var kinds = map[string]policy.Kind{
	posture.TypeBucket: policy.Bucket, posture.TypeKey: policy.KeyPolicy, "AWS::IAM::AssumeRolePolicyDocument": policy.Trust,
	posture.TypeQueue: policy.Resource, posture.TypeTopic: policy.Resource, posture.TypeFunction: policy.Resource,
}

func badParameter(format string, args ...any) error {
	return fault.New(BadParameter, fmt.Sprintf(format, args...))
}

// parse reads a document that a check is about; one whose actions are unknown cannot be checked.
func parse(text string, kind policy.Kind) (*policy.Document, error) {
	doc, err := policy.ParseString(text, kind)
	if err != nil {
		return nil, badParameter("The policy document is not valid: %v", err)
	}
	statements, err := statementsOf(text)
	if err != nil {
		return nil, err
	}
	for i := range statements {
		for _, name := range []string{"Action", "NotAction"} {
			for _, pattern := range posture.Texts(statements[i][name]) {
				if len(policy.Actions(pattern)) == 0 {
					return nil, fault.New(Unprocessable, fmt.Sprintf("The policy document cannot be checked: the action %s is not one of a service that is known.", pattern))
				}
			}
		}
	}
	return doc, nil
}

func statementsOf(text string) ([]map[string]json.RawMessage, error) {
	var whole struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return nil, badParameter("The policy document is not valid: %v", err)
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(whole.Statement, &list) == nil {
		return list, nil
	}
	one := map[string]json.RawMessage{}
	if err := json.Unmarshal(whole.Statement, &one); err != nil {
		return nil, badParameter("The policy document is not valid: %v", err)
	}
	return []map[string]json.RawMessage{one}, nil
}

// NoPublicAccess checks that the policy of a resource lets no request of just anybody in.
func NoPublicAccess(text, resourceType string) (Verdict, error) {
	kind, ok := kinds[resourceType]
	if !ok {
		return Verdict{}, badParameter("The resource type %s is not one of which policies can be checked: %s.", resourceType, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	doc, err := parse(text, kind)
	if err != nil {
		return Verdict{}, err
	}
	public := doc.Public().Statements
	if kind != policy.Bucket { // where a Deny counts too
		anybody := map[int]bool{}
		for _, o := range policy.Reach(doc, policy.Zone{TrustServices: true}) {
			anybody[o.Statement] = anybody[o.Statement] || o.Principal == "*"
		}
		public = slices.DeleteFunc(public, func(i int) bool { return !anybody[i] })
	}
	var reasons []Reason
	for _, i := range public {
		reasons = append(reasons, reason(doc, i, "Public access granted in"))
	}
	return verdict(reasons), nil
}

func verdict(reasons []Reason) Verdict {
	slices.SortFunc(reasons, func(a, b Reason) int { return a.Statement - b.Statement })
	reasons = slices.CompactFunc(reasons, func(a, b Reason) bool { return a.Statement == b.Statement })
	return Verdict{len(reasons) == 0, reasons}
}

func reason(doc *policy.Document, i int, what string) Reason {
	r := Reason{Statement: i, Sid: doc.Statement(i).Sid}
	if what == "New access in" {
		r.Text = fmt.Sprintf("New access in the statement with index: %d.", i)
		if r.Sid != "" {
			r.Text = fmt.Sprintf("New access in the statement with sid: %s.", r.Sid)
		}
		return r
	}
	r.Text = fmt.Sprintf("%s the following statement with index: %d.", what, i)
	if r.Sid != "" {
		r.Text = fmt.Sprintf("%s the following statement with sid: %s.", what, r.Sid)
	}
	return r
}

// NoNewAccess checks that the new policy allows nothing that the old one does not.
func NoNewAccess(next, old string, identity bool) (Verdict, error) {
	a, err := whosoever(old, identity)
	if err != nil {
		return Verdict{}, err
	}
	b, err := whosoever(next, identity)
	if err != nil {
		return Verdict{}, err
	}
	return gained(a, b, "New access in"), nil
}

// AccessNotGranted checks that the policy gives none of the accesses. Each is all of its actions on all of
// its resources; no resources means any.
func AccessNotGranted(text string, accesses []Access, identity bool) (Verdict, error) {
	doc, err := whosoever(text, identity)
	if err != nil {
		return Verdict{}, err
	}
	var reasons []Reason
	for _, a := range accesses {
		rest, err := a.everythingElse()
		if err != nil {
			return Verdict{}, err
		}
		reasons = append(reasons, gained(rest, doc, "One or more of the listed actions or resources in").Reasons...)
	}
	return verdict(reasons), nil
}

// Access is what AccessNotGranted is asked about.
type Access struct{ Actions, Resources []string }

// everythingElse is a policy that allows all but the access: what another allows beyond it is of the access.
func (a *Access) everythingElse() (*policy.Document, error) {
	actions := a.Actions
	if len(actions) == 0 {
		actions = []string{"*"}
	}
	for _, action := range actions {
		if len(policy.Actions(action)) == 0 {
			return nil, badParameter("The action %s is not known.", action)
		}
	}
	var statements []map[string]any
	if !slices.Contains(actions, "*") {
		statements = append(statements, map[string]any{"Effect": "Allow", "Principal": "*", "NotAction": actions, "Resource": "*"})
	}
	if len(a.Resources) > 0 {
		statements = append(statements, map[string]any{"Effect": "Allow", "Principal": "*", "Action": actions, "NotResource": a.Resources})
	}
	if len(statements) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		return nil, err
	}
	doc, err := policy.Parse(raw, policy.Resource)
	if err != nil {
		return nil, badParameter("The access is not valid: %v", err)
	}
	return doc, nil
}

// gained tells which statements of next allow what old does not, whoever asks.
func gained(old, next *policy.Document, what string) Verdict {
	var reasons []Reason
	for _, c := range policy.Diff(old, next, policy.Zone{}) {
		if c.Gained {
			reasons = append(reasons, reason(next, c.Statement, what))
		}
	}
	return verdict(reasons)
}

// trusting tells the trust policy of a role, whose statements name no resource: it is the role.
func trusting(statements []map[string]json.RawMessage) bool {
	return !slices.ContainsFunc(statements, func(s map[string]json.RawMessage) bool { return s["Resource"] != nil || s["NotResource"] != nil })
}

// whosoever reads a policy as one of a resource: that of an identity gives to whoever has it, so that
// everybody stands for its principal; that of a role gives the role.
func whosoever(text string, identity bool) (*policy.Document, error) {
	kind, missing := policy.Identity, "Principal"
	statements, unreadable := statementsOf(text)
	switch {
	case !identity && (unreadable != nil || !trusting(statements)):
		return parse(text, policy.Resource)
	case !identity:
		kind, missing = policy.Trust, "Resource"
	}
	if _, err := parse(text, kind); err != nil {
		return nil, err
	}
	for i := range statements {
		statements[i][missing] = json.RawMessage(`"*"`)
	}
	whole := map[string]any{}
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return nil, badParameter("The policy document is not valid: %v", err)
	}
	whole["Statement"] = statements
	raw, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	doc, err := policy.Parse(raw, policy.Resource)
	if err != nil {
		return nil, badParameter("The policy document cannot be checked: %v", err)
	}
	return doc, nil
}
