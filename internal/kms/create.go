package kms

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
)

// Quotas of AWS.
const (
	maxKeys        = 100_000
	maxAliases     = 50 // of a key
	maxTags        = 50
	maxDescription = 8192
)

// NewKey describes a key that is to be made.
type NewKey struct {
	Account     string
	Description string
	Spec        Spec   // "": SYMMETRIC_DEFAULT
	Usage       Usage  // "": what a symmetric key is for
	Origin      Origin // "": AWS_KMS
	Policy      string // "": AWS's default
	Tags        []Tag
	// Bypass the check that the caller can replace the policy.
	Bypass bool
}

// Create makes a key. It needs kms:CreateKey on "*".
func (s *Store) Create(ctx context.Context, g authz.Grant, in NewKey) (*Key, error) {
	if err := g.Require("kms:CreateKey", "*"); err != nil {
		return nil, err
	}
	spec, usage, err := checkSpec(in.Spec, in.Usage)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	k := &Key{
		ID: uuid.NewString(), Account: in.Account, Region: s.region, Description: in.Description, State: Enabled, Spec: spec, Usage: usage, Origin: OriginKMS,
		Manager: ManagedByCustomer, Created: s.now().UTC().Truncate(time.Millisecond), Tags: in.Tags, Written: in.Policy,
	}
	k.ARN = KeyARN(k.Region, k.Account, k.ID)
	if k.Written == "" {
		k.Written = fill(defaultPolicy, k.Account, "", k.Region)
	}
	if k.Policy, err = s.readPolicy(k.Written); err != nil {
		return nil, err
	}
	if in.Policy != "" && !in.Bypass {
		if err := leavesIn(g, s.replacing(g, k)); err != nil {
			return nil, err
		}
	}
	if in.Origin == OriginExternal {
		if spec.asymmetric() {
			return nil, refuse(Unsupported, "KeySpec %s does not support origin %s.", spec, in.Origin)
		}
		k.Origin, k.State = OriginExternal, PendingImport
		return k, s.add(ctx, g, "", k, nil, nil)
	}
	raw, err := s.newMaterial(ctx, spec)
	if err != nil {
		return nil, err
	}
	return k, s.add(ctx, g, "", k, raw, nil)
}

// add stores a new key with its first material, unless that is still to come, and what more writes.
func (s *Store) add(ctx context.Context, g authz.Grant, operation string, k *Key, raw []byte, more func(*change) error) error {
	if raw != nil {
		k.Materials = []MaterialInfo{{Number: 1, ID: materialID(k.ID, raw), Created: k.Created}}
	}
	return s.commit(ctx, g, operation, func(c *change) error {
		if s.owned(k.Account) >= maxKeys {
			return refuse(LimitExceeded, "You have reached the maximum number of KMS keys.")
		}
		if raw != nil {
			s.putMaterial(&c.batch, k.ID, 1, raw)
		}
		if more != nil {
			if err := more(c); err != nil {
				return err
			}
		}
		return c.set(nil, k)
	})
}

// owned counts the keys of an account.
func (s *Store) owned(account string) (n int) {
	s.keys.Range(func(_, k any) bool {
		if k.(*Key).Account == account {
			n++
		}
		return true
	})
	return n
}

// serviceDescriptions are AWS's descriptions of its own keys.
var serviceDescriptions = map[string]string{
	"s3": "Default key that protects my S3 objects when no other key is defined",
}

// ServiceKey is the account's AWS-managed key of a service ("s3"), made on first use. It asks nobody:
// who may use the key is what the key's policy says.
func (s *Store) ServiceKey(ctx context.Context, account, service string) (*Key, error) {
	name := reservedPrefix + service
	if a, ok := s.alias(account, s.region, name); ok {
		return s.existing(a.Target)
	}
	k := &Key{
		ID: uuid.NewString(), Account: account, Region: s.region, Description: serviceDescriptions[service], State: Enabled, Spec: SymmetricDefault,
		Usage: EncryptDecrypt, Origin: OriginKMS, Manager: ManagedByAWS, Created: s.now().UTC().Truncate(time.Millisecond),
		Written: fill(servicePolicy, account, service, s.region), Aliases: []string{name},
	}
	k.ARN = KeyARN(k.Region, k.Account, k.ID)
	if k.Description == "" {
		k.Description = "Default key that protects my " + strings.ToUpper(service) + " data when no other key is defined"
	}
	k.Rotation = Rotation{Enabled: true, Days: defaultRotation, Next: k.Created.AddDate(0, 0, defaultRotation)}
	var err error
	if k.Policy, err = s.readPolicy(k.Written); err != nil {
		return nil, err
	}
	raw, err := s.newMaterial(ctx, SymmetricDefault)
	if err != nil {
		return nil, err
	}
	err = s.add(ctx, authz.Grant{}, "CreateKey", k, raw, func(c *change) error {
		if _, ok := s.alias(account, s.region, name); ok {
			return errQuicker
		}
		return c.setAlias(&Alias{Name: name, Account: account, Region: s.region, Target: k.ID, Created: k.Created, Updated: k.Created})
	})
	if err != nil && !errors.Is(err, errQuicker) {
		return nil, err
	}
	a, ok := s.alias(account, s.region, name)
	if !ok {
		return nil, refuse(NotFound, "Alias %s is not found.", AliasARN(s.region, account, name))
	}
	return s.existing(a.Target)
}
