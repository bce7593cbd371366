package organizations

import (
	"context"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/organizationswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

func (e edge) units() []*api.Op {
	return []*api.Op{
		answer(e, &organizationswire.CreateOrganizationalUnit, api.Write,
			func(in *organizationswire.CreateOrganizationalUnitInput) []string {
				return []string{member.Text(in.ParentId)}
			},
			func(in *organizationswire.CreateOrganizationalUnitInput) authz.Keys { return brought(in.Tags) }, e.createOrganizationalUnit),
		answer(e, &organizationswire.DescribeOrganizationalUnit, api.Read,
			func(in *organizationswire.DescribeOrganizationalUnitInput) []string {
				return []string{member.Text(in.OrganizationalUnitId)}
			}, nil, e.describeOrganizationalUnit),
		answer(e, &organizationswire.UpdateOrganizationalUnit, api.Write,
			func(in *organizationswire.UpdateOrganizationalUnitInput) []string {
				return []string{member.Text(in.OrganizationalUnitId)}
			}, nil, e.updateOrganizationalUnit),
		answer(e, &organizationswire.DeleteOrganizationalUnit, api.Write,
			func(in *organizationswire.DeleteOrganizationalUnitInput) []string {
				return []string{member.Text(in.OrganizationalUnitId)}
			}, nil, e.deleteOrganizationalUnit),
		answer(e, &organizationswire.ListOrganizationalUnitsForParent, api.List,
			func(in *organizationswire.ListOrganizationalUnitsForParentInput) []string {
				return []string{member.Text(in.ParentId)}
			}, nil, e.listOrganizationalUnitsForParent),
		answer(e, &organizationswire.ListAccountsForParent, api.List,
			func(in *organizationswire.ListAccountsForParentInput) []string {
				return []string{member.Text(in.ParentId)}
			}, nil, e.listAccountsForParent),
		answer(e, &organizationswire.ListParents, api.List,
			func(in *organizationswire.ListParentsInput) []string { return []string{member.Text(in.ChildId)} }, nil, e.listParents),
	}
}

func showUnit(u *identity.Unit) organizationswire.OrganizationalUnit {
	return organizationswire.OrganizationalUnit{Id: new(u.ID), Arn: new(u.ARN), Name: new(u.Name)}
}

func (e edge) createOrganizationalUnit(ctx context.Context, g authz.Grant, in *organizationswire.CreateOrganizationalUnitInput) (*organizationswire.CreateOrganizationalUnitOutput, error) {
	u, err := e.identities.CreateOrganizationalUnit(ctx, g, member.Text(in.ParentId), member.Text(in.Name), tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	return &organizationswire.CreateOrganizationalUnitOutput{OrganizationalUnit: new(showUnit(u))}, nil
}

func (e edge) describeOrganizationalUnit(ctx context.Context, g authz.Grant, in *organizationswire.DescribeOrganizationalUnitInput) (*organizationswire.DescribeOrganizationalUnitOutput, error) {
	u, err := e.identities.DescribeOrganizationalUnit(ctx, g, member.Text(in.OrganizationalUnitId))
	if err != nil {
		return nil, err
	}
	return &organizationswire.DescribeOrganizationalUnitOutput{OrganizationalUnit: new(showUnit(u))}, nil
}

func (e edge) updateOrganizationalUnit(ctx context.Context, g authz.Grant, in *organizationswire.UpdateOrganizationalUnitInput) (*organizationswire.UpdateOrganizationalUnitOutput, error) {
	u, err := e.identities.UpdateOrganizationalUnit(ctx, g, member.Text(in.OrganizationalUnitId), member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	return &organizationswire.UpdateOrganizationalUnitOutput{OrganizationalUnit: new(showUnit(u))}, nil
}

func (e edge) deleteOrganizationalUnit(ctx context.Context, g authz.Grant, in *organizationswire.DeleteOrganizationalUnitInput) (*organizationswire.DeleteOrganizationalUnitOutput, error) {
	return &organizationswire.DeleteOrganizationalUnitOutput{}, e.identities.DeleteOrganizationalUnit(ctx, g, member.Text(in.OrganizationalUnitId))
}

func (e edge) listOrganizationalUnitsForParent(ctx context.Context, g authz.Grant, in *organizationswire.ListOrganizationalUnitsForParentInput) (*organizationswire.ListOrganizationalUnitsForParentOutput, error) {
	l, err := e.identities.ListOrganizationalUnitsForParent(ctx, g, member.Text(in.ParentId), pageOf(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizationswire.ListOrganizationalUnitsForParentOutput{OrganizationalUnits: member.Every(l.Items, showUnit), NextToken: member.Given(l.Marker)}, nil
}

func (e edge) listAccountsForParent(ctx context.Context, g authz.Grant, in *organizationswire.ListAccountsForParentInput) (*organizationswire.ListAccountsForParentOutput, error) {
	l, err := e.identities.ListAccountsForParent(ctx, g, member.Text(in.ParentId), pageOf(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizationswire.ListAccountsForParentOutput{Accounts: member.Every(l.Items, showAccount), NextToken: member.Given(l.Marker)}, nil
}

// listParents: everything has one parent.
func (e edge) listParents(ctx context.Context, g authz.Grant, in *organizationswire.ListParentsInput) (*organizationswire.ListParentsOutput, error) {
	id, err := e.identities.ParentOf(ctx, g, member.Text(in.ChildId))
	if err != nil {
		return nil, err
	}
	parent := organizationswire.Parent{Id: new(id), Type: "ROOT"}
	if strings.HasPrefix(id, "ou-") {
		parent.Type = "ORGANIZATIONAL_UNIT"
	}
	return &organizationswire.ListParentsOutput{Parents: []organizationswire.Parent{parent}}, nil
}
