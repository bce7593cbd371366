package organizations

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/organizationswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

func (e edge) controls() []*api.Op {
	return []*api.Op{
		answer(e, &organizationswire.CreatePolicy, api.Write, nil,
			func(in *organizationswire.CreatePolicyInput) authz.Keys { return brought(in.Tags) }, e.createPolicy),
		answer(e, &organizationswire.DescribePolicy, api.Read,
			func(in *organizationswire.DescribePolicyInput) []string { return []string{member.Text(in.PolicyId)} }, nil, e.describePolicy),
		answer(e, &organizationswire.UpdatePolicy, api.Write,
			func(in *organizationswire.UpdatePolicyInput) []string { return []string{member.Text(in.PolicyId)} }, nil, e.updatePolicy),
		answer(e, &organizationswire.DeletePolicy, api.Write,
			func(in *organizationswire.DeletePolicyInput) []string { return []string{member.Text(in.PolicyId)} }, nil, e.deletePolicy),
		answer(e, &organizationswire.ListPolicies, api.List, nil, nil, e.listPolicies),
		answer(e, &organizationswire.AttachPolicy, api.Write,
			func(in *organizationswire.AttachPolicyInput) []string {
				return []string{member.Text(in.PolicyId), member.Text(in.TargetId)}
			}, nil, e.attachPolicy),
		answer(e, &organizationswire.DetachPolicy, api.Write,
			func(in *organizationswire.DetachPolicyInput) []string {
				return []string{member.Text(in.PolicyId), member.Text(in.TargetId)}
			}, nil, e.detachPolicy),
		answer(e, &organizationswire.ListPoliciesForTarget, api.List,
			func(in *organizationswire.ListPoliciesForTargetInput) []string {
				return []string{member.Text(in.TargetId)}
			}, nil, e.listPoliciesForTarget),
		answer(e, &organizationswire.ListTargetsForPolicy, api.List,
			func(in *organizationswire.ListTargetsForPolicyInput) []string {
				return []string{member.Text(in.PolicyId)}
			}, nil, e.listTargetsForPolicy),
		answer(e, &organizationswire.EnablePolicyType, api.Write,
			func(in *organizationswire.EnablePolicyTypeInput) []string { return []string{member.Text(in.RootId)} }, nil, e.enablePolicyType),
		answer(e, &organizationswire.DisablePolicyType, api.Write,
			func(in *organizationswire.DisablePolicyTypeInput) []string { return []string{member.Text(in.RootId)} }, nil, e.disablePolicyType),
	}
}

func showSummary(c *identity.Control) organizationswire.PolicySummary {
	return organizationswire.PolicySummary{
		Id: new(c.ID), Arn: new(c.ARN), Name: new(c.Name), Description: new(c.Description), Type: control, AwsManaged: new(c.AWSManaged),
	}
}

func showControl(c *identity.Control) *organizationswire.Policy {
	return &organizationswire.Policy{PolicySummary: new(showSummary(c)), Content: new(c.Content)}
}

func (e edge) createPolicy(ctx context.Context, g authz.Grant, in *organizationswire.CreatePolicyInput) (*organizationswire.CreatePolicyOutput, error) {
	if in.Type != control {
		return nil, fault.New(policyTypeUnavailable, "")
	}
	c, err := e.identities.CreateControl(ctx, g, member.Text(in.Name), member.Text(in.Description), member.Text(in.Content), tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	return &organizationswire.CreatePolicyOutput{Policy: showControl(c)}, nil
}

func (e edge) describePolicy(ctx context.Context, g authz.Grant, in *organizationswire.DescribePolicyInput) (*organizationswire.DescribePolicyOutput, error) {
	c, err := e.identities.DescribeControl(ctx, g, member.Text(in.PolicyId))
	if err != nil {
		return nil, err
	}
	return &organizationswire.DescribePolicyOutput{Policy: showControl(c)}, nil
}

func (e edge) updatePolicy(ctx context.Context, g authz.Grant, in *organizationswire.UpdatePolicyInput) (*organizationswire.UpdatePolicyOutput, error) {
	c, err := e.identities.UpdateControl(ctx, g, member.Text(in.PolicyId), in.Name, in.Description, in.Content)
	if err != nil {
		return nil, err
	}
	return &organizationswire.UpdatePolicyOutput{Policy: showControl(c)}, nil
}

func (e edge) deletePolicy(ctx context.Context, g authz.Grant, in *organizationswire.DeletePolicyInput) (*organizationswire.DeletePolicyOutput, error) {
	return &organizationswire.DeletePolicyOutput{}, e.identities.DeleteControl(ctx, g, member.Text(in.PolicyId))
}

// listPolicies: there are none of other types.
func (e edge) listPolicies(ctx context.Context, g authz.Grant, in *organizationswire.ListPoliciesInput) (*organizationswire.ListPoliciesOutput, error) {
	l, err := e.identities.ListControls(ctx, g, pageOf(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	if in.Filter != control {
		return &organizationswire.ListPoliciesOutput{Policies: []organizationswire.PolicySummary{}}, nil
	}
	return &organizationswire.ListPoliciesOutput{Policies: member.Every(l.Items, showSummary), NextToken: member.Given(l.Marker)}, nil
}

func (e edge) attachPolicy(ctx context.Context, g authz.Grant, in *organizationswire.AttachPolicyInput) (*organizationswire.AttachPolicyOutput, error) {
	return &organizationswire.AttachPolicyOutput{}, e.identities.AttachControl(ctx, g, member.Text(in.PolicyId), member.Text(in.TargetId))
}

func (e edge) detachPolicy(ctx context.Context, g authz.Grant, in *organizationswire.DetachPolicyInput) (*organizationswire.DetachPolicyOutput, error) {
	return &organizationswire.DetachPolicyOutput{}, e.identities.DetachControl(ctx, g, member.Text(in.PolicyId), member.Text(in.TargetId))
}

func (e edge) listPoliciesForTarget(ctx context.Context, g authz.Grant, in *organizationswire.ListPoliciesForTargetInput) (*organizationswire.ListPoliciesForTargetOutput, error) {
	list, err := e.identities.ListControlsForTarget(ctx, g, member.Text(in.TargetId))
	if err != nil {
		return nil, err
	}
	if in.Filter != control {
		list = nil
	}
	return &organizationswire.ListPoliciesForTargetOutput{Policies: member.Every(list, showSummary)}, nil
}

func (e edge) listTargetsForPolicy(ctx context.Context, g authz.Grant, in *organizationswire.ListTargetsForPolicyInput) (*organizationswire.ListTargetsForPolicyOutput, error) {
	ids, err := e.identities.ListTargetsForControl(ctx, g, member.Text(in.PolicyId))
	if err != nil {
		return nil, err
	}
	show := func(id string) organizationswire.PolicyTargetSummary {
		return organizationswire.PolicyTargetSummary{TargetId: new(id), Arn: new(e.identities.OrganizationARN(id)), Type: targetType(id)}
	}
	return &organizationswire.ListTargetsForPolicyOutput{Targets: member.Every(ids, show)}, nil
}

func targetType(id string) organizationswire.TargetType {
	switch {
	case strings.HasPrefix(id, "ou-"):
		return "ORGANIZATIONAL_UNIT"
	case strings.HasPrefix(id, "r-"):
		return "ROOT"
	}
	return "ACCOUNT"
}

func (e edge) enablePolicyType(ctx context.Context, g authz.Grant, in *organizationswire.EnablePolicyTypeInput) (*organizationswire.EnablePolicyTypeOutput, error) {
	root, err := e.setPolicyType(ctx, g, member.Text(in.RootId), in.PolicyType, true)
	return &organizationswire.EnablePolicyTypeOutput{Root: root}, err
}

func (e edge) disablePolicyType(ctx context.Context, g authz.Grant, in *organizationswire.DisablePolicyTypeInput) (*organizationswire.DisablePolicyTypeOutput, error) {
	root, err := e.setPolicyType(ctx, g, member.Text(in.RootId), in.PolicyType, false)
	return &organizationswire.DisablePolicyTypeOutput{Root: root}, err
}

func (e edge) setPolicyType(ctx context.Context, g authz.Grant, id string, kind organizationswire.PolicyType, enabled bool) (*organizationswire.Root, error) {
	if kind != control {
		return nil, fault.New(policyTypeUnavailable, "")
	}
	if err := e.identities.SetPolicyType(ctx, g, id, enabled); err != nil {
		return nil, err
	}
	root := &organizationswire.Root{Id: new(id), Arn: new(e.identities.OrganizationARN(id)), Name: new("Root"), PolicyTypes: []organizationswire.PolicyTypeSummary{}}
	if enabled {
		root.PolicyTypes = showTypes([]string{string(control)})
	}
	return root, nil
}
