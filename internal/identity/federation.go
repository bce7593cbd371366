package identity

import (
	"context"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// longTerm is the owner of the long-term credentials that the caller came with.
func longTerm(caller *authz.Subject, operation string) (owner string, root bool, err error) {
	p := caller.Principal
	if sessionOf(caller) != nil || (p.Type != policy.IAMUser && p.Type != policy.RootUser) {
		return "", false, refuse(AccessDenied, "Cannot call %s with session credentials", operation)
	}
	if p.Type == policy.RootUser {
		return p.Account, true, nil
	}
	return p.UniqueID, false, nil
}

// GetSessionToken gives the caller a session of itself. With an MFA code the session carries that.
func (s *Store) GetSessionToken(ctx context.Context, g authz.Grant, caller *authz.Subject, durationSeconds int, mfa *MFA) (*SessionCredentials, error) {
	if err := g.Require("sts:GetSessionToken", "*"); err != nil {
		return nil, err
	}
	owner, root, err := longTerm(caller, "GetSessionToken")
	if err != nil {
		return nil, err
	}
	if err := checkDuration(durationSeconds, maxUserSession); err != nil {
		return nil, err
	}
	c := s.newSession(userSession, caller.Principal.Account, owner, "", userDuration(durationSeconds, root))
	if mfa != nil {
		if err := s.useCode(ctx, caller.Principal.Account, owner, *mfa); err != nil {
			return nil, err
		}
		c.MFA = s.now().UTC()
	}
	return s.issue(ctx, s.state.Load(), c, Narrowing{})
}

// userDuration is how many seconds a session of a user lasts; that of root at most an hour.
func userDuration(asked int, root bool) int {
	if asked == 0 {
		asked = defaultUser
	}
	if root {
		return min(asked, maxRootSession)
	}
	return asked
}

// FederatedUserARN is the ARN that a GetFederationToken session of the name has, and what the
// operation is about.
func FederatedUserARN(account, name string) string {
	return "arn:aws:sts::" + account + ":federated-user/" + name
}

// FederationInput asks for a session of a federated user.
type FederationInput struct {
	Name            string
	DurationSeconds int
	Narrowing
}

// FederationDemands are what the Guard has to allow before GetFederationToken.
func (s *Store) FederationDemands(caller *authz.Subject, in FederationInput) ([]authz.Demand, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	keys := in.Narrowing.keys()
	on := authz.Resource{ARN: FederatedUserARN(caller.Principal.Account, in.Name), Account: caller.Principal.Account}
	demands := []authz.Demand{{Action: "sts:GetFederationToken", Resource: on, Keys: keys}}
	if len(in.Tags) > 0 {
		demands = append(demands, authz.Demand{Action: "sts:TagSession", Resource: on, Keys: keys})
	}
	return demands, nil
}

func (in *FederationInput) check() error {
	if err := checkSessionText("name", in.Name, maxFederatedName, sessionName, sessionNameWanted); err != nil {
		return err
	}
	if err := checkDuration(in.DurationSeconds, maxUserSession); err != nil {
		return err
	}
	return in.Narrowing.check()
}

// GetFederationToken gives a session that may do what both the calling user and the session policy allow.
func (s *Store) GetFederationToken(ctx context.Context, g authz.Grant, caller *authz.Subject, in FederationInput) (*SessionCredentials, error) {
	arn := FederatedUserARN(caller.Principal.Account, in.Name)
	if err := g.Require("sts:GetFederationToken", arn); err != nil {
		return nil, err
	}
	if len(in.Tags) > 0 {
		if err := g.Require("sts:TagSession", arn); err != nil {
			return nil, err
		}
	}
	owner, root, err := longTerm(caller, "GetFederationToken")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	c := s.newSession(federatedSession, caller.Principal.Account, owner, in.Name, userDuration(in.DurationSeconds, root))
	return s.issue(ctx, s.state.Load(), c, in.Narrowing)
}

// SessionOwner tells which account and access key a session token belongs to, for GetAccessKeyInfo and
// for showing who called. ok is false for a token of another store.
func (s *Store) SessionOwner(ctx context.Context, token string) (account, accessKeyID string, ok bool) {
	c, err := s.openToken(ctx, s.state.Load(), token)
	if err != nil {
		return "", "", false
	}
	return c.Account, c.Key, true
}
