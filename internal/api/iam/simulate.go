package iam

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// simulator are the operations that ask the evaluator what would be.
type simulator struct{ edge }

func (e simulator) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.SimulatePrincipalPolicy, api.Read, principalARN("PolicySourceArn"), e.simulatePrincipalPolicy),
		answer(e.edge, &iamwire.SimulateCustomPolicy, api.Read, anything, e.simulateCustomPolicy),
		answer(e.edge, &iamwire.GetContextKeysForPrincipalPolicy, api.Read, principalARN("PolicySourceArn"), e.getContextKeysForPrincipalPolicy),
		answer(e.edge, &iamwire.GetContextKeysForCustomPolicy, api.Read, anything, e.getContextKeysForCustomPolicy),
	}
}

// question is what both simulations ask, under the names of SimulateCustomPolicy.
type question = iamwire.SimulateCustomPolicyInput

// simulation is a question made ready for the evaluator that also decides real requests.
type simulation struct {
	principal policy.Principal
	inputs    policy.Inputs
	keys      simulatedKeys
	owner     string // account of the resources
	actions   []string
	resources []string
}

// source is the subject of a user, group or role of the account: exactly the one whose ARN was demanded,
// and not another of the same name at another path.
func (e simulator) source(on identity.Ref, arn *string) (authz.Subject, error) {
	if on.Kind == "" {
		return authz.Subject{}, fault.New(identity.InvalidInput, "Invalid Entity Arn: "+on.Name+" does not clearly define entity type and name.")
	}
	return e.identities.PrincipalSubject(member.Text(arn))
}

func (e simulator) simulatePrincipalPolicy(_ context.Context, _ authz.Grant, on identity.Ref, in *iamwire.SimulatePrincipalPolicyInput) (*iamwire.SimulatePrincipalPolicyOutput, error) {
	subject, err := e.source(on, in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	results, next, err := e.simulate(on.Account, subject, &question{
		PolicyInputList: in.PolicyInputList, PermissionsBoundaryPolicyInputList: in.PermissionsBoundaryPolicyInputList,
		ActionNames: in.ActionNames, ResourceArns: in.ResourceArns, ResourcePolicy: in.ResourcePolicy, ResourceOwner: in.ResourceOwner,
		CallerArn: in.CallerArn, ContextEntries: in.ContextEntries, MaxItems: in.MaxItems, Marker: in.Marker,
	})
	if err != nil {
		return nil, err
	}
	return &iamwire.SimulatePrincipalPolicyOutput{EvaluationResults: results, IsTruncated: new(next != ""), Marker: member.Given(next)}, nil
}

func (e simulator) simulateCustomPolicy(_ context.Context, _ authz.Grant, on identity.Ref, in *iamwire.SimulateCustomPolicyInput) (*iamwire.SimulateCustomPolicyOutput, error) {
	results, next, err := e.simulate(on.Account, authz.Subject{}, in)
	if err != nil {
		return nil, err
	}
	return &iamwire.SimulateCustomPolicyOutput{EvaluationResults: results, IsTruncated: new(next != ""), Marker: member.Given(next)}, nil
}

// simulate answers one page of the pairs of actions and resources.
func (e simulator) simulate(account string, subject authz.Subject, q *question) (results []iamwire.EvaluationResult, next string, err error) {
	s, err := e.prepare(account, subject, q)
	if err != nil {
		return nil, "", err
	}
	from, limit := 0, 100
	if q.MaxItems != nil {
		limit = member.Number(q.MaxItems)
	}
	if q.Marker != nil {
		if from, err = strconv.Atoi(member.Text(q.Marker)); err != nil || from < 0 {
			return nil, "", fault.New(identity.ValidationError, "Invalid Marker.")
		}
	}
	results = []iamwire.EvaluationResult{}
	for i := from; i < len(s.actions)*len(s.resources); i++ {
		if len(results) == limit {
			return results, strconv.Itoa(i), nil
		}
		results = append(results, s.evaluate(s.actions[i/len(s.resources)], s.resources[i%len(s.resources)]))
	}
	return results, "", nil
}

func (e simulator) prepare(account string, subject authz.Subject, q *question) (*simulation, error) {
	s := &simulation{
		principal: subject.Principal, inputs: subject.Policies, owner: accountOf(member.Text(q.ResourceOwner), account),
		actions: q.ActionNames, resources: q.ResourceArns,
	}
	if len(s.resources) == 0 {
		s.resources = []string{"*"}
	}
	if err := e.caller(s, account, q); err != nil {
		return nil, err
	}
	given, err := parseInputs(q.PolicyInputList, "PolicyInputList", policy.Identity)
	if err != nil {
		return nil, err
	}
	s.inputs.Identity = append(append([]*policy.Document{}, s.inputs.Identity...), given...)
	boundaries, err := parseInputs(q.PermissionsBoundaryPolicyInputList, "PermissionsBoundaryPolicyInputList", policy.Boundary)
	if err != nil {
		return nil, err
	}
	if len(boundaries) > 0 {
		s.inputs.Boundary = boundaries[0]
	}
	if q.ResourcePolicy != nil {
		documents, err := parseInputs([]string{*q.ResourcePolicy}, "ResourcePolicy", policy.Bucket)
		if err != nil {
			return nil, err
		}
		s.inputs.Resource = documents[0]
	}
	s.keys, err = entriesOf(q.ContextEntries)
	s.keys.principal, s.keys.subject = s.principal, subject.Keys
	return s, err
}

// caller is whom a resource policy sees. A group and a custom policy have nobody of their own.
func (e simulator) caller(s *simulation, account string, q *question) error {
	if q.CallerArn == nil {
		if s.principal.Type == policy.Nobody {
			if q.ResourcePolicy != nil {
				return fault.New(identity.InvalidInput, "CallerArn is required when a ResourcePolicy is given and the policies are not those of a user.")
			}
			s.principal = policy.Principal{Type: policy.IAMUser, Account: account}
		}
		return nil
	}
	if !strings.HasPrefix(*q.CallerArn, "arn:aws:iam::"+account+":user/") {
		return fault.New(identity.InvalidInput, "Invalid CallerArn: it must be a user of the account.")
	}
	subject, err := e.identities.PrincipalSubject(*q.CallerArn)
	s.principal = subject.Principal
	return err
}

// accountOf is the account that a ResourceOwner names, by number or by the ARN of its root.
func accountOf(owner, otherwise string) string {
	if owner == "" {
		return otherwise
	}
	if parts := strings.SplitN(owner, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return owner
}

func parseInputs(texts []string, list string, kind policy.Kind) ([]*policy.Document, error) {
	documents := make([]*policy.Document, 0, len(texts))
	for i, source := range texts {
		doc, err := policy.ParseString(source, kind)
		if err != nil {
			message := "Invalid policy."
			var wrong *policy.SyntaxError
			if errors.As(err, &wrong) {
				message = wrong.IAMMessage()
			}
			return nil, fault.New(identity.InvalidInput, list+"."+strconv.Itoa(i+1)+": "+message)
		}
		documents = append(documents, doc.Named(list+"."+strconv.Itoa(i+1)))
	}
	return documents, nil
}

func (s *simulation) evaluate(action, resource string) iamwire.EvaluationResult {
	x := policy.Explain(&policy.Request{
		Principal: s.principal, Action: action, Resource: resource, ResourceAccount: s.owner, Context: s.keys,
	}, &s.inputs)
	r := iamwire.EvaluationResult{
		EvalActionName: new(action), EvalResourceName: new(resource), EvalDecision: iamwire.PolicyEvaluationDecisionType(x.Decision),
		MatchedStatements: []iamwire.Statement{}, MissingContextValues: []string{},
	}
	missing := map[string]bool{}
	for _, layer := range x.Layers {
		allowed := layer.Effect == policy.Allow.String()
		switch layer.Layer {
		case policy.LayerSCP.String():
			r.OrganizationsDecisionDetail = &iamwire.OrganizationsDecisionDetail{AllowedByOrganizations: new(allowed)}
		case policy.LayerBoundary.String():
			r.PermissionsBoundaryDecisionDetail = &iamwire.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: new(allowed)}
		}
		if source, ok := sourceTypes[layer.Layer]; ok {
			if x.CrossAccount {
				if r.EvalDecisionDetails == nil {
					r.EvalDecisionDetails = map[string]iamwire.PolicyEvaluationDecisionType{}
				}
				r.EvalDecisionDetails[string(source)] = iamwire.PolicyEvaluationDecisionType(layer.Effect)
			}
			r.MatchedStatements = append(r.MatchedStatements, matched(x, layer, source)...)
		}
		for _, key := range absentKeys(layer) {
			if !missing[key] {
				missing[key] = true
				r.MissingContextValues = append(r.MissingContextValues, key)
			}
		}
	}
	return r
}

// sourceTypes are AWS's words for the layers whose statements a simulation shows.
var sourceTypes = map[string]iamwire.PolicySourceType{
	policy.LayerIdentity.String(): "IAM Policy",
	policy.LayerResource.String(): "Resource Policy",
	policy.LayerBoundary.String(): "Permissions Boundary Policy",
}

// matched are the statements of a layer that speak for the decision: the denials of an explicit deny,
// else the permissions of what is allowed.
func matched(x *policy.Explanation, layer policy.LayerReport, source iamwire.PolicySourceType) (list []iamwire.Statement) {
	effect := map[string]string{"allowed": "Allow", "explicitDeny": "Deny"}[x.Decision]
	for _, doc := range layer.Documents {
		for _, s := range doc.Statements {
			if !s.Matched || s.Effect != effect {
				continue
			}
			list = append(list, iamwire.Statement{
				SourcePolicyId: new(doc.Name[strings.LastIndexByte(doc.Name, '/')+1:]), SourcePolicyType: source,
				StartPosition: position(s.Start), EndPosition: position(s.End),
			})
		}
	}
	return list
}

func position(p policy.Position) *iamwire.Position {
	return &iamwire.Position{Line: new(int32(p.Line)), Column: new(int32(p.Column))}
}

// absentKeys are the condition keys that statements about the action ask for and the question lacks.
func absentKeys(layer policy.LayerReport) (list []string) {
	for _, doc := range layer.Documents {
		for _, s := range doc.Statements {
			for _, c := range s.Conditions {
				if !c.Present {
					list = append(list, c.Key)
				}
			}
		}
	}
	return list
}

// simulatedKeys are the condition keys of a simulated request: those of the question, and what follows
// from who asks.
type simulatedKeys struct {
	entries   map[string]policy.Values
	principal policy.Principal
	subject   authz.Keys
}

// Lookup implements policy.Context.
func (k simulatedKeys) Lookup(key string) (policy.Values, bool) {
	if v, ok := k.entries[key]; ok {
		return v, true
	}
	one := ""
	switch p := k.principal; key {
	case "aws:principalarn":
		if one = p.IssuerARN; one == "" {
			one = p.ARN
		}
	case "aws:principalaccount":
		one = p.Account
	case "aws:principaltype":
		one = p.Type.String()
	case "aws:username":
		one = p.Name
	case "aws:userid":
		one = p.UserID
	default:
		if k.subject != nil {
			return k.subject.Lookup(key)
		}
	}
	return policy.Values{One: one}, one != ""
}

// entriesOf are the condition keys that the question gives.
func entriesOf(entries []iamwire.ContextEntry) (simulatedKeys, error) {
	k := simulatedKeys{entries: map[string]policy.Values{}}
	for _, entry := range entries {
		name, values := member.Text(entry.ContextKeyName), entry.ContextKeyValues
		multi := strings.HasSuffix(string(entry.ContextKeyType), "List")
		switch {
		case name == "":
			return k, fault.New(identity.InvalidInput, "A context entry without a name.")
		case multi:
			k.entries[strings.ToLower(name)] = policy.Values{Many: values, Multi: true}
		case len(values) == 1:
			k.entries[strings.ToLower(name)] = policy.Values{One: values[0]}
		default:
			return k, fault.New(identity.InvalidInput, "Context key "+name+" must have one value of type "+string(entry.ContextKeyType)+".")
		}
	}
	return k, nil
}
