package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/policy"
)

// Quotas of AWS on grants.
const (
	maxGrants     = 50_000 // of a key
	maxPairs      = 8      // of a constraint
	maxPairLength = 384
	maxTokens     = 10
)

// NewGrant describes a grant that is to be made.
type NewGrant struct {
	Name              string
	Grantee, Retiring string // ARNs; Retiring may be empty
	Operations        []string
	Equals, Subset    map[string]string
}

// grantable are the operations that a grant can allow, by the usage of the key, beside those of every key.
var (
	grantableEverywhere = []string{createGrant, retireGrant, "DescribeKey"}
	grantable           = map[Usage][]string{
		EncryptDecrypt:    {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"},
		SignVerify:        {"Sign", "Verify"},
		GenerateVerifyMAC: {"GenerateMac", "VerifyMac"},
		KeyAgreement:      {"DeriveSharedSecret"},
	}
	grantableSymmetric = []string{
		"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
	}
)

func (k *Key) grantable(operation string) bool {
	return slices.Contains(grantableEverywhere, operation) || slices.Contains(grantable[k.Usage], operation) ||
		k.symmetric() && slices.Contains(grantableSymmetric, operation) || k.Spec.asymmetric() && operation == "GetPublicKey"
}

func (n *NewGrant) check(k *Key) error {
	if len(n.Operations) == 0 {
		return refuse(Invalid, "1 validation error detected: Value '[]' at 'operations' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	for _, operation := range n.Operations {
		if !k.grantable(operation) {
			return refuse(Invalid, "Operation %s is not supported by key %s.", operation, k.ARN)
		}
	}
	if len(n.Equals) > 0 && len(n.Subset) > 0 {
		return refuse(Invalid, "A grant has one constraint: EncryptionContextEquals or EncryptionContextSubset.")
	}
	if len(n.Equals)+len(n.Subset) > 0 && !k.symmetric() {
		return refuse(Invalid, "Grant constraints are only supported for symmetric encryption keys.")
	}
	for _, constraint := range []map[string]string{n.Equals, n.Subset} {
		if len(constraint) > maxPairs {
			return refuse(Invalid, "A grant constraint has at most %d pairs.", maxPairs)
		}
		for name, value := range constraint {
			if len(name)+len(value) > maxPairLength {
				return refuse(Invalid, "A pair of a grant constraint has at most %d characters.", maxPairLength)
			}
		}
	}
	return nil
}

// principal is the unique id of the user or role that an ARN names, "" for other principals. What
// does not exist is refused.
func (s *Store) principal(arn string) (id string, err error) {
	p, err := policy.ParseCaller(arn)
	if err == nil && strings.HasPrefix(arn, "arn:") {
		switch p.Type {
		case policy.IAMUser, policy.AssumedRole:
			if id, ok := s.principals.UniqueID(arn); ok {
				return id, nil
			}
			if p.Type == policy.AssumedRole && strings.HasPrefix(arn, "arn:aws:sts:") && s.principals.PrincipalExists(p.Account) {
				return "", nil // one session of a role
			}
		case policy.RootUser, policy.FederatedUser:
			if s.principals.PrincipalExists(p.Account) {
				return "", nil
			}
		}
	}
	return "", refuse(InvalidARN, "ARN does not refer to a valid principal: %s", arn)
}

// CreateGrant makes a grant on the key and gives its token. It needs kms:CreateGrant. A grant of a name
// that has the same parameters already is given again. Dry: nothing is made.
func (s *Store) CreateGrant(ctx context.Context, g authz.Grant, id string, in NewGrant, dry bool) (*Grant, error) {
	var made *Grant
	err := s.commit(ctx, g, "", func(c *change) error {
		k, err := s.existing(id)
		if err != nil {
			return err
		}
		if err := g.RequireStill("kms:CreateGrant", k.ARN, k); err != nil {
			return err
		}
		if err := s.usable(k); err != nil {
			return err
		}
		if err := in.check(k); err != nil {
			return err
		}
		made, err = s.newGrant(&in, g.Principal().Account)
		if err != nil {
			return err
		}
		if same := made.among(k.grants.all()); same != nil {
			made = same
			return dryRun(dry)
		}
		if len(k.grants.all()) >= maxGrants {
			return refuse(LimitExceeded, "You have reached the maximum number of grants of key %s.", k.ARN)
		}
		if err := dryRun(dry); err != nil {
			return err
		}
		return c.setGrant(k, made)
	})
	return made, err
}

func (s *Store) newGrant(in *NewGrant, issuer string) (*Grant, error) {
	made := &Grant{
		Name: in.Name, Grantee: in.Grantee, Retiring: in.Retiring, Issuer: issuer, Operations: in.Operations, Equals: in.Equals, Subset: in.Subset,
		Created: s.now().UTC().Truncate(time.Millisecond),
	}
	var err error
	if made.GranteeID, err = s.principal(in.Grantee); err != nil {
		return nil, err
	}
	if in.Retiring != "" {
		if made.RetiringID, err = s.principal(in.Retiring); err != nil {
			return nil, err
		}
	}
	raw := make([]byte, grantIDSize)
	rand.Read(raw)
	made.ID = hex.EncodeToString(raw)
	return made, nil
}

// among is the grant in list that has the same name and parameters; nil where there is none or g has no
// name.
func (g *Grant) among(list []*Grant) *Grant {
	if g.Name == "" {
		return nil
	}
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	for _, old := range list {
		if old.Name == g.Name && old.Grantee == g.Grantee && old.GranteeID == g.GranteeID && old.Retiring == g.Retiring && old.RetiringID == g.RetiringID &&
			slices.Equal(sorted(old.Operations), sorted(g.Operations)) && maps.Equal(old.Equals, g.Equals) && maps.Equal(old.Subset, g.Subset) {
			return old
		}
	}
	return nil
}

func (c *change) setGrant(k *Key, g *Grant) error {
	raw, err := g.encode(k.ID)
	if err != nil {
		return fmt.Errorf("kms: encode grant %s: %w", g.ID, err)
	}
	c.batch.Set(grantRecordKey(k.ID, g.ID), raw)
	next := k.clone()
	next.grants = k.grants.with(g)
	c.show(next)
	c.tell(k, next, nil, g)
	return nil
}

func dryRun(dry bool) error {
	if dry {
		return DryRunOnly()
	}
	return nil
}

// DryRunOnly is the answer to a request that would have succeeded and asked only for that.
func DryRunOnly() error {
	return refuse(DryRun, "The request would have succeeded, but the DryRun option is set.")
}

// EndGrant takes a grant away. Action is kms:RevokeGrant or kms:RetireGrant, which it needs on the key.
func (s *Store) EndGrant(ctx context.Context, g authz.Grant, action, id, grant string, dry bool) error {
	return s.commit(ctx, g, "", func(c *change) error {
		k, err := s.existing(id)
		if err != nil {
			return err
		}
		if err := g.Require(action, k.ARN); err != nil {
			return err
		}
		old := k.grants.find(grant)
		if old == nil {
			return noGrant(grant)
		}
		if err := dryRun(dry); err != nil {
			return err
		}
		c.batch.Delete(grantRecordKey(k.ID, grant))
		next := k.clone()
		next.grants = k.grants.without(grant)
		c.show(next)
		c.tell(k, next, old, nil)
		return nil
	})
}

func noGrant(id string) error { return refuse(NotFound, "Grant ID %s not found", id) }

// RetiredBy tells whether the caller may retire the grant whatever policies allow: its retiring principal
// may, its grantee where RetireGrant is among the operations, and the root user of the key's account.
func (s *Store) RetiredBy(k *Key, grant string, p *policy.Principal) bool {
	g := k.grants.find(grant)
	if g == nil {
		return false
	}
	is := func(arn, id string) bool {
		return id != "" && p.UniqueID == id || id == "" && arn != "" && p.ARN == arn
	}
	return is(g.Retiring, g.RetiringID) || is(g.Grantee, g.GranteeID) && slices.Contains(g.Operations, retireGrant) ||
		p.Type == policy.RootUser && p.Account == k.Account
}

// GrantOf is the grant with the id on k, for the demand about it; nil where there is none.
func (k *Key) GrantOf(id string) *Grant { return k.grants.find(id) }

// Grants are all of the key's, by id. They decide beside its policy.
func (k *Key) Grants() []*Grant { return k.grants.all() }

// Constraint is the pairs that constrain the grant and what kms:GrantConstraintType calls them.
func (g *Grant) Constraint() (kind string, pairs map[string]string) {
	switch {
	case len(g.Equals) > 0:
		return "EncryptionContextEquals", g.Equals
	case len(g.Subset) > 0:
		return "EncryptionContextSubset", g.Subset
	}
	return "", nil
}

// ListGrants are the key's grants by id, all, the one with an id, or those of a grantee. It needs
// kms:ListGrants.
func (s *Store) ListGrants(g authz.Grant, k *Key, grant, grantee string) ([]*Grant, error) {
	if err := g.Require("kms:ListGrants", k.ARN); err != nil {
		return nil, err
	}
	if grant != "" && k.grants.find(grant) == nil {
		return nil, refuse(InvalidGrantID, "Grant ID %s not found", grant)
	}
	return slices.DeleteFunc(slices.Clone(k.grants.all()), func(x *Grant) bool {
		return grant != "" && x.ID != grant || grantee != "" && s.shown(x.Grantee, x.GranteeID) != grantee
	}), nil
}

// KeyGrant is a grant and its key.
type KeyGrant struct {
	Key *Key
	*Grant
}

// ListRetirable are the grants, on keys of any account in the region, that the principal may retire. It needs
// kms:ListRetirableGrants on "*", and the principal is of the caller's account.
func (s *Store) ListRetirable(g authz.Grant, principal string) ([]KeyGrant, error) {
	if err := g.Require("kms:ListRetirableGrants", "*"); err != nil {
		return nil, err
	}
	p, err := policy.ParseCaller(principal)
	if err != nil || p.Account != g.Principal().Account {
		return nil, refuse(InvalidARN, "ARN does not refer to a valid principal: %s", principal)
	}
	var list []KeyGrant
	s.keys.Range(func(_, v any) bool {
		k := v.(*Key)
		for _, x := range k.grants.all() {
			if x.Retiring != "" && s.shown(x.Retiring, x.RetiringID) == principal && k.Region == s.region {
				list = append(list, KeyGrant{k, x})
			}
		}
		return true
	})
	slices.SortFunc(list, func(a, b KeyGrant) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// shown is how a principal of a grant is named now: a user or role by its ARN, by the bare id once it is
// gone.
func (s *Store) shown(arn, id string) string {
	if id == "" {
		return arn
	}
	if now, ok := s.principals.ARNOf(id); ok {
		return now
	}
	return id
}

// Shown are the grantee and the retiring principal as they are named now.
func (s *Store) Shown(g *Grant) (grantee, retiring string) {
	return s.shown(g.Grantee, g.GranteeID), s.shown(g.Retiring, g.RetiringID)
}

// A grant token is a format number, the key's id and the grant's id. Grants hold at once, so it says no
// more than which grant is meant.
const (
	tokenFormat = 1
	grantIDSize = 32
)

// Token is a grant token of the grant.
func (s *Store) Token(k *Key, grant string) string {
	id, _ := parseID(k.ID)
	raw, _ := hex.DecodeString(grant)
	return base64.StdEncoding.EncodeToString(bytes.Join([][]byte{{tokenFormat}, id[:], raw}, nil))
}

// ReadToken finds the grant that a token names.
func (s *Store) ReadToken(token string) (*Key, string, error) {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(raw) != 1+16+grantIDSize || raw[0] != tokenFormat {
		return nil, "", refuse(InvalidGrantToken, "The grant token is not valid.")
	}
	k, err := s.existing(formatID([16]byte(raw[1:17])))
	if err != nil {
		return nil, "", refuse(InvalidGrantToken, "The grant token is not valid.")
	}
	grant := hex.EncodeToString(raw[17:])
	if k.grants.find(grant) == nil {
		return nil, "", refuse(InvalidGrantToken, "The grant token is not valid.")
	}
	return k, grant, nil
}

// CheckTokens refuses tokens that name no grant. Good ones add nothing: grants hold from their creation.
func (s *Store) CheckTokens(tokens []string) error {
	if len(tokens) > maxTokens {
		return refuse(Invalid, "1 validation error detected: Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to %d", maxTokens)
	}
	for _, token := range tokens {
		if _, _, err := s.ReadToken(token); err != nil {
			return err
		}
	}
	return nil
}
