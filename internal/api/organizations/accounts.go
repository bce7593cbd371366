package organizations

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/organizationswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

func (e edge) organization() []*api.Op {
	return []*api.Op{
		answer(e, &organizationswire.CreateOrganization, api.Write, nil, nil, e.createOrganization),
		answer(e, &organizationswire.DescribeOrganization, api.Read, nil, nil, e.describeOrganization),
		answer(e, &organizationswire.ListRoots, api.List, nil, nil, e.listRoots),
	}
}

// createOrganization: every store has an organization from its first start, and every account is in it.
func (e edge) createOrganization(_ context.Context, g authz.Grant, _ *organizationswire.CreateOrganizationInput) (*organizationswire.CreateOrganizationOutput, error) {
	if err := g.Require("organizations:CreateOrganization", "*"); err != nil {
		return nil, err
	}
	return nil, fault.New(alreadyInOrganization, "")
}

func (e edge) describeOrganization(ctx context.Context, g authz.Grant, _ *organizationswire.DescribeOrganizationInput) (*organizationswire.DescribeOrganizationOutput, error) {
	o, err := e.identities.DescribeOrganization(ctx, g)
	if err != nil {
		return nil, err
	}
	return &organizationswire.DescribeOrganizationOutput{Organization: &organizationswire.Organization{
		Id: new(o.ID), Arn: new(o.ARN), FeatureSet: "ALL", MasterAccountArn: new(o.MasterAccountARN), MasterAccountId: new(o.MasterAccountID),
		MasterAccountEmail: member.Given(o.MasterAccountEmail), AvailablePolicyTypes: showTypes(o.EnabledTypes),
	}}, nil
}

// listRoots shows the one root to the managing account. It takes DescribeOrganization too, which tells
// the same.
func (e edge) listRoots(ctx context.Context, g authz.Grant, _ *organizationswire.ListRootsInput) (*organizationswire.ListRootsOutput, error) {
	if err := g.Require("organizations:ListRoots", "*"); err != nil {
		return nil, err
	}
	g, err := g.Ask(ctx, authz.Demand{Action: "organizations:DescribeOrganization", Resource: authz.Resource{ARN: "*", Account: g.Principal().Account}})
	if err != nil {
		return nil, err
	}
	o, err := e.identities.DescribeOrganization(ctx, g)
	if err != nil {
		return nil, err
	}
	if o.MasterAccountID != g.Principal().Account {
		return nil, fault.New(identity.NotManagementAccount, "You don't have permissions to access this resource.")
	}
	return &organizationswire.ListRootsOutput{Roots: []organizationswire.Root{{
		Id: new(o.RootID), Arn: new(e.identities.OrganizationARN(o.RootID)), Name: new("Root"), PolicyTypes: showTypes(o.EnabledTypes),
	}}}, nil
}

func showTypes(enabled []string) []organizationswire.PolicyTypeSummary {
	return member.Every(enabled, func(name string) organizationswire.PolicyTypeSummary {
		return organizationswire.PolicyTypeSummary{Type: organizationswire.PolicyType(name), Status: "ENABLED"}
	})
}

func (e edge) accounts() []*api.Op {
	return []*api.Op{
		answer(e, &organizationswire.CreateAccount, api.Write, nil,
			func(in *organizationswire.CreateAccountInput) authz.Keys { return brought(in.Tags) }, e.createAccount),
		answer(e, &organizationswire.DescribeCreateAccountStatus, api.Read, nil, nil, e.describeCreateAccountStatus),
		answer(e, &organizationswire.DescribeAccount, api.Read,
			func(in *organizationswire.DescribeAccountInput) []string { return []string{member.Text(in.AccountId)} }, nil, e.describeAccount),
		answer(e, &organizationswire.ListAccounts, api.List, nil, nil, e.listAccounts),
		answer(e, &organizationswire.CloseAccount, api.Write,
			func(in *organizationswire.CloseAccountInput) []string { return []string{member.Text(in.AccountId)} }, nil, e.closeAccount),
		answer(e, &organizationswire.MoveAccount, api.Write,
			func(in *organizationswire.MoveAccountInput) []string {
				return []string{member.Text(in.AccountId), member.Text(in.SourceParentId), member.Text(in.DestinationParentId)}
			}, nil, e.moveAccount),
	}
}

func showStatus(s *identity.CreateAccountStatus) *organizationswire.CreateAccountStatus {
	return &organizationswire.CreateAccountStatus{
		Id: new(s.ID), AccountName: new(s.AccountName), State: organizationswire.CreateAccountState(s.State), AccountId: member.Given(s.AccountID),
		RequestedTimestamp: new(s.Requested), CompletedTimestamp: new(s.Completed), FailureReason: organizationswire.CreateAccountFailureReason(s.FailureReason),
	}
}

func showAccount(m *identity.Member) organizationswire.Account {
	return organizationswire.Account{
		Id: new(m.ID), Arn: new(m.ARN), Email: member.Given(m.Email), Name: member.Given(m.Name), Status: organizationswire.AccountStatus(m.Status),
		State: organizationswire.AccountState(m.Status), JoinedMethod: organizationswire.AccountJoinedMethod(m.JoinedMethod), JoinedTimestamp: new(m.Joined),
	}
}

// createAccount has AWS's asynchronous shape; the account is there when it answers.
func (e edge) createAccount(ctx context.Context, g authz.Grant, in *organizationswire.CreateAccountInput) (*organizationswire.CreateAccountOutput, error) {
	s, err := e.identities.CreateAccount(ctx, g, identity.CreateAccountInput{
		Email: member.Text(in.Email), AccountName: member.Text(in.AccountName), RoleName: member.Text(in.RoleName), Tags: tagsOf(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	return &organizationswire.CreateAccountOutput{CreateAccountStatus: showStatus(s)}, nil
}

func (e edge) describeCreateAccountStatus(ctx context.Context, g authz.Grant, in *organizationswire.DescribeCreateAccountStatusInput) (*organizationswire.DescribeCreateAccountStatusOutput, error) {
	s, err := e.identities.DescribeCreateAccountStatus(ctx, g, member.Text(in.CreateAccountRequestId))
	if err != nil {
		return nil, err
	}
	return &organizationswire.DescribeCreateAccountStatusOutput{CreateAccountStatus: showStatus(s)}, nil
}

func (e edge) describeAccount(ctx context.Context, g authz.Grant, in *organizationswire.DescribeAccountInput) (*organizationswire.DescribeAccountOutput, error) {
	m, err := e.identities.DescribeAccount(ctx, g, member.Text(in.AccountId))
	if err != nil {
		return nil, err
	}
	return &organizationswire.DescribeAccountOutput{Account: new(showAccount(m))}, nil
}

func (e edge) listAccounts(ctx context.Context, g authz.Grant, in *organizationswire.ListAccountsInput) (*organizationswire.ListAccountsOutput, error) {
	l, err := e.identities.ListAccounts(ctx, g, pageOf(in.NextToken, in.MaxResults))
	if err != nil {
		return nil, err
	}
	return &organizationswire.ListAccountsOutput{Accounts: member.Every(l.Items, showAccount), NextToken: member.Given(l.Marker)}, nil
}

func (e edge) closeAccount(ctx context.Context, g authz.Grant, in *organizationswire.CloseAccountInput) (*organizationswire.CloseAccountOutput, error) {
	return &organizationswire.CloseAccountOutput{}, e.identities.CloseAccount(ctx, g, member.Text(in.AccountId))
}

func (e edge) moveAccount(ctx context.Context, g authz.Grant, in *organizationswire.MoveAccountInput) (*organizationswire.MoveAccountOutput, error) {
	return &organizationswire.MoveAccountOutput{}, e.identities.MoveAccount(ctx, g, member.Text(in.AccountId), member.Text(in.SourceParentId), member.Text(in.DestinationParentId))
}
