package identity

import (
	"context"
	"regexp"
	"strings"

	"github.com/kura-s3/kura/internal/authz"
)

var aliasShape = regexp.MustCompile(`^[a-z0-9]([a-z0-9]|-[a-z0-9])*$`)

// editAccount changes a copy of an account under a Grant for action, which has no resource.
func (s *Store) editAccount(ctx context.Context, g authz.Grant, action, id string, fn func(*change, *account) error) error {
	if err := g.Require(action, "*"); err != nil {
		return err
	}
	return s.change(ctx, g, func(tx *change) error {
		a, err := tx.existing(id)
		if err != nil {
			return err
		}
		next := *a
		if err := fn(tx, &next); err != nil {
			return err
		}
		tx.set(&next)
		return nil
	})
}

func (s *State) existing(id string) (*account, error) {
	a, ok := s.account(id)
	if !ok {
		return nil, refuse(NoSuchEntity, "The account with id %s cannot be found.", id)
	}
	return a, nil
}

// readAccount finds an account under a Grant for action, which has no resource.
func (s *Store) readAccount(g authz.Grant, action, id string) (*State, *account, error) {
	if err := g.Require(action, "*"); err != nil {
		return nil, nil, err
	}
	state := s.state.Load()
	a, err := state.existing(id)
	return state, a, err
}

// CreateAccountAlias gives the account the one alias that it can have, in place of an earlier one. An
// alias belongs to one account.
func (s *Store) CreateAccountAlias(ctx context.Context, g authz.Grant, accountID, alias string) error {
	return s.editAccount(ctx, g, "iam:CreateAccountAlias", accountID, func(tx *change, a *account) error {
		if len(alias) < 3 || len(alias) > 63 || !aliasShape.MatchString(alias) || isAccountID(alias) {
			return violates(alias, "accountAlias", "Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$")
		}
		if other, taken := tx.index.get(aliasIndex(alias)); taken && other.id() != a.ID {
			return refuse(EntityAlreadyExists, "The account alias %s already exists.", alias)
		}
		a.Alias = alias
		return nil
	})
}

// DeleteAccountAlias takes the alias away.
func (s *Store) DeleteAccountAlias(ctx context.Context, g authz.Grant, accountID, alias string) error {
	return s.editAccount(ctx, g, "iam:DeleteAccountAlias", accountID, func(_ *change, a *account) error {
		if a.Alias == "" || a.Alias != alias {
			return refuse(NoSuchEntity, "The account alias %s cannot be found.", alias)
		}
		a.Alias = ""
		return nil
	})
}

// ListAccountAliases lists the account's alias, if it has one.
func (s *Store) ListAccountAliases(_ context.Context, g authz.Grant, accountID string) ([]string, error) {
	_, a, err := s.readAccount(g, "iam:ListAccountAliases", accountID)
	if err != nil || a.Alias == "" {
		return []string{}, err
	}
	return []string{a.Alias}, nil
}

// AccountByAlias finds the account with an alias.
func (s *Store) AccountByAlias(alias string) (AccountInfo, bool) {
	return s.accountAt(aliasIndex(strings.ToLower(alias)))
}

// UpdateAccountPasswordPolicy replaces the password policy; what is left out gets its default.
func (s *Store) UpdateAccountPasswordPolicy(ctx context.Context, g authz.Grant, accountID string, p PasswordPolicy) error {
	return s.editAccount(ctx, g, "iam:UpdateAccountPasswordPolicy", accountID, func(_ *change, a *account) error {
		if p.MinimumPasswordLength == 0 {
			p.MinimumPasswordLength = 6
		}
		for _, r := range [...]struct {
			member              string
			value, least, limit int
		}{
			{"minimumPasswordLength", p.MinimumPasswordLength, 6, 128},
			{"maxPasswordAge", p.MaxPasswordAge, 0, 1095},
			{"passwordReusePrevention", p.PasswordReusePrevention, 0, 24},
		} {
			if r.value < r.least {
				return violates(decimal(r.value), r.member, "Member must have value greater than or equal to "+decimal(r.least))
			}
			if r.value > r.limit {
				return violates(decimal(r.value), r.member, "Member must have value less than or equal to "+decimal(r.limit))
			}
		}
		a.Password = &p
		return nil
	})
}

// GetAccountPasswordPolicy shows the password policy that was set.
func (s *Store) GetAccountPasswordPolicy(_ context.Context, g authz.Grant, accountID string) (*PasswordPolicy, error) {
	_, a, err := s.readAccount(g, "iam:GetAccountPasswordPolicy", accountID)
	if err != nil {
		return nil, err
	}
	if a.Password == nil {
		return nil, noPasswordPolicy(accountID)
	}
	p := *a.Password
	return &p, nil
}

// DeleteAccountPasswordPolicy goes back to the default rule.
func (s *Store) DeleteAccountPasswordPolicy(ctx context.Context, g authz.Grant, accountID string) error {
	return s.editAccount(ctx, g, "iam:DeleteAccountPasswordPolicy", accountID, func(_ *change, a *account) error {
		if a.Password == nil {
			return noPasswordPolicy(accountID)
		}
		a.Password = nil
		return nil
	})
}

func noPasswordPolicy(accountID string) error {
	return refuse(NoSuchEntity, "The Password Policy with domain name %s cannot be found.", accountID)
}

// SummaryEntry is one number of GetAccountSummary.
type SummaryEntry struct {
	Key   string
	Value int
}

// GetAccountSummary counts the account's entities and names its quotas.
func (s *Store) GetAccountSummary(_ context.Context, g authz.Grant, accountID string) ([]SummaryEntry, error) {
	state, a, err := s.readAccount(g, "iam:GetAccountSummary", accountID)
	if err != nil {
		return nil, err
	}
	number := func(kind Kind) int { return state.count(nameIndex(accountID, kind, ""), maxCounted) }
	inUse, versions := 0, 0
	each(state, nameIndex(accountID, KindMFA, ""), "", func(_ string, d *mfaDevice) bool {
		if d.Owner != "" {
			inUse++
		}
		return true
	})
	each(state, nameIndex(accountID, KindPolicy, ""), "", func(_ string, p *managed) bool {
		versions += len(p.Versions)
		return true
	})
	return []SummaryEntry{
		{"AccessKeysPerUserQuota", maxKeys},
		{"AccountAccessKeysPresent", min(1, state.count(ownedIndex(a.ID), 1))},
		{"AccountMFAEnabled", min(1, state.count(deviceIndex(a.ID), 1))},
		{"AccountPasswordPresent", 0},
		{"AccountSigningCertificatesPresent", 0},
		{"AssumeRolePolicySizeQuota", 4096},
		{"AttachedPoliciesPerGroupQuota", attachQuota[KindGroup]},
		{"AttachedPoliciesPerRoleQuota", attachQuota[KindRole]},
		{"AttachedPoliciesPerUserQuota", attachQuota[KindUser]},
		{"GlobalEndpointTokenVersion", 2},
		{"GroupPolicySizeQuota", inlineQuota[KindGroup]},
		{"Groups", number(KindGroup)},
		{"GroupsPerUserQuota", maxUserGroups},
		{"InstanceProfiles", number(KindInstanceProfile)},
		{"MFADevices", number(KindMFA)},
		{"MFADevicesInUse", inUse},
		{"Policies", number(KindPolicy)},
		{"PolicySizeQuota", 6144},
		{"PolicyVersionsInUse", versions},
		{"Providers", number(KindOIDCProvider)},
		{"RolePolicySizeQuota", inlineQuota[KindRole]},
		{"Roles", number(KindRole)},
		{"ServerCertificates", 0},
		{"UserPolicySizeQuota", inlineQuota[KindUser]},
		{"Users", number(KindUser)},
		{"VersionsPerPolicyQuota", maxVersions},
	}, nil
}

// KeyLastUsed is whose an access key is and when it was last used.
type KeyLastUsed struct {
	UserName string
	Use
}

// GetAccessKeyLastUsed tells when a key was last used. The Grant is for the key's user; see KeyOwner.
func (s *Store) GetAccessKeyLastUsed(ctx context.Context, g authz.Grant, accountID, accessKeyID string) (*KeyLastUsed, error) {
	state := s.state.Load()
	k, ok := state.keys.get(accessKeyID)
	if !ok || k.Account != accountID {
		if err := g.Require("iam:GetAccessKeyLastUsed", "*"); err != nil {
			return nil, err
		}
		return nil, notFound(kindKey, accessKeyID)
	}
	name := state.showKey(k).UserName
	if err := g.Require("iam:GetAccessKeyLastUsed", state.ownerARN(k.Account, name)); err != nil {
		return nil, err
	}
	use, err := s.lastUse(ctx, k.ID)
	return &KeyLastUsed{UserName: name, Use: use}, err
}
