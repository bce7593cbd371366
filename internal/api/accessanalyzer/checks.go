package accessanalyzer

import (
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/accessanalyzerwire"
	"github.com/kura-s3/kura/internal/posture/analyzer"
	"github.com/kura-s3/kura/policy"
)

func (e edge) checks() []*api.Op {
	return []*api.Op{
		answer(e, &accessanalyzerwire.ValidatePolicy, api.Read, nil, nil, validatePolicy),
		answer(e, &accessanalyzerwire.CheckNoPublicAccess, api.Read, nil, nil, checkNoPublicAccess),
		answer(e, &accessanalyzerwire.CheckNoNewAccess, api.Read, nil, nil, checkNoNewAccess),
		answer(e, &accessanalyzerwire.CheckAccessNotGranted, api.Read, nil, nil, checkAccessNotGranted),
	}
}

// kindOf is the kind of document that is to be validated.
func kindOf(in *accessanalyzerwire.ValidatePolicyInput) policy.Kind {
	switch in.PolicyType {
	case accessanalyzerwire.PolicyTypeIdentityPolicy:
		return policy.Identity
	case accessanalyzerwire.PolicyTypeServiceControlPolicy:
		return policy.SCP
	case accessanalyzerwire.PolicyTypeResourceControlPolicy:
		return policy.RCP
	}
	switch in.ValidatePolicyResourceType {
	case accessanalyzerwire.ValidatePolicyResourceTypeAwsS3Bucket:
		return policy.Bucket
	case accessanalyzerwire.ValidatePolicyResourceTypeAwsIamAssumeRolePolicyDocument:
		return policy.Trust
	}
	return policy.Resource
}

const learnMore = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html#access-analyzer-reference-policy-checks-"

func validatePolicy(_ call, in *accessanalyzerwire.ValidatePolicyInput) (*accessanalyzerwire.ValidatePolicyOutput, error) {
	found, next, err := page(policy.Validate([]byte(member.Text(in.PolicyDocument)), kindOf(in)), in.NextToken, in.MaxResults)
	show := func(f policy.Finding) accessanalyzerwire.ValidatePolicyFinding {
		anchor := strings.ToLower(strings.ReplaceAll(string(f.FindingType)+"-"+f.IssueCode, "_", "-"))
		return accessanalyzerwire.ValidatePolicyFinding{
			FindingDetails: &f.FindingDetails, FindingType: accessanalyzerwire.ValidatePolicyFindingType(f.FindingType), IssueCode: &f.IssueCode,
			LearnMoreLink: new(learnMore + anchor), Locations: member.Every(f.Locations, showLocation),
		}
	}
	return &accessanalyzerwire.ValidatePolicyOutput{Findings: member.Every(found, show), NextToken: next}, err
}

func showLocation(l policy.Location) accessanalyzerwire.Location {
	step := func(p policy.PathElement) accessanalyzerwire.PathElement {
		if p.Value != "" {
			return accessanalyzerwire.PathElement{Value: &p.Value}
		}
		return accessanalyzerwire.PathElement{Index: new(int32(p.Index))}
	}
	place := func(p policy.SpanPosition) *accessanalyzerwire.Position {
		return &accessanalyzerwire.Position{Line: new(int32(p.Line)), Column: new(int32(p.Column)), Offset: new(int32(p.Offset))}
	}
	return accessanalyzerwire.Location{Path: member.Every(l.Path, step), Span: &accessanalyzerwire.Span{Start: place(l.Span.Start), End: place(l.Span.End)}}
}

func reasons(v analyzer.Verdict) []accessanalyzerwire.ReasonSummary {
	return member.Every(v.Reasons, func(r analyzer.Reason) accessanalyzerwire.ReasonSummary {
		return accessanalyzerwire.ReasonSummary{Description: &r.Text, StatementIndex: new(int32(r.Statement)), StatementId: member.Given(r.Sid)}
	})
}

func result(v analyzer.Verdict) string {
	if v.Passed {
		return "PASS"
	}
	return "FAIL"
}

// told is the message for a verdict.
func told(v analyzer.Verdict, pass, fail string) *string {
	if v.Passed {
		return &pass
	}
	return &fail
}

func checkNoPublicAccess(_ call, in *accessanalyzerwire.CheckNoPublicAccessInput) (*accessanalyzerwire.CheckNoPublicAccessOutput, error) {
	v, err := analyzer.NoPublicAccess(member.Text(in.PolicyDocument), string(in.ResourceType))
	return &accessanalyzerwire.CheckNoPublicAccessOutput{
		Result: accessanalyzerwire.CheckNoPublicAccessResult(result(v)), Reasons: reasons(v),
		Message: told(v, "The resource policy does not grant public access for the given resource type.", "The resource policy grants public access for the given resource type."),
	}, err
}

func checkNoNewAccess(_ call, in *accessanalyzerwire.CheckNoNewAccessInput) (*accessanalyzerwire.CheckNoNewAccessOutput, error) {
	v, err := analyzer.NoNewAccess(member.Text(in.NewPolicyDocument), member.Text(in.ExistingPolicyDocument), in.PolicyType == accessanalyzerwire.AccessCheckPolicyTypeIdentityPolicy)
	return &accessanalyzerwire.CheckNoNewAccessOutput{
		Result: accessanalyzerwire.CheckNoNewAccessResult(result(v)), Reasons: reasons(v),
		Message: told(v, "The modified permissions do not grant new access compared to your existing policy.", "The modified permissions grant new access compared to your existing policy."),
	}, err
}

func checkAccessNotGranted(_ call, in *accessanalyzerwire.CheckAccessNotGrantedInput) (*accessanalyzerwire.CheckAccessNotGrantedOutput, error) {
	accesses := member.Every(in.Access, func(a accessanalyzerwire.Access) analyzer.Access {
		return analyzer.Access{Actions: a.Actions, Resources: a.Resources}
	})

	v, err := analyzer.AccessNotGranted(member.Text(in.PolicyDocument), accesses, in.PolicyType == accessanalyzerwire.AccessCheckPolicyTypeIdentityPolicy)
	return &accessanalyzerwire.CheckAccessNotGrantedOutput{
		Result: accessanalyzerwire.CheckAccessNotGrantedResult(result(v)), Reasons: reasons(v),
		Message: told(v, "The policy document does not grant access to perform the listed actions or resources.", "The policy document grants access to perform one or more of the listed actions or resources."),
	}, err
}
