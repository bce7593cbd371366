package kms

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

const (
	aliasPrefix    = "alias/"
	reservedPrefix = "alias/aws/"
)

var (
	errQuicker = errors.New("kms: somebody else made it")
	aliasShape = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)
)

// CheckAlias refuses what cannot be the name of a customer's alias.
func CheckAlias(name string) error {
	switch {
	case !strings.HasPrefix(name, aliasPrefix):
		return refuse(Invalid, `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	case strings.HasPrefix(name, reservedPrefix):
		return refuse(NotAuthorized, "")
	case !aliasShape.MatchString(name):
		return refuse(Invalid, "%s contains invalid characters for an alias", name)
	}
	return nil
}

// setAlias stores an alias in a change.
func (c *change) setAlias(a *Alias) error {
	raw, err := a.encode()
	if err != nil {
		return fmt.Errorf("kms: encode %s: %w", a.Name, err)
	}
	c.batch.Set(aliasRecordKey(a.Account, a.Region, a.Name), raw)
	c.publish = append(c.publish, func() { c.s.aliases.Store(aliasName{a.Account, a.Region, a.Name}, a) })
	return nil
}

func (c *change) dropAlias(a *Alias) {
	c.batch.Delete(aliasRecordKey(a.Account, a.Region, a.Name))
	c.publish = append(c.publish, func() { c.s.aliases.Delete(aliasName{a.Account, a.Region, a.Name}) })
}

// named shows k with other aliases. The key's own record does not change.
func (c *change) named(k *Key, aliases []string) {
	next := k.clone()
	next.Aliases = aliases
	sort.Strings(next.Aliases)
	c.show(next)
	c.tell(k, next, nil, nil)
}

// own is the key that an alias of the account may point to.
func (s *Store) own(account, id string) (*Key, error) {
	k, err := s.existing(id)
	if err != nil || k.Account != account || k.Region != s.region {
		return nil, refuse(NotFound, "Key '%s' does not exist", KeyARN(s.region, account, id))
	}
	return k, nil
}

// requireAlias checks that the grant covers action on an alias and on keys.
func requireAlias(g authz.Grant, action, alias string, keys ...*Key) error {
	if err := g.Require(action, alias); err != nil {
		return err
	}
	for _, k := range keys {
		if err := g.Require(action, k.ARN); err != nil {
			return err
		}
	}
	return nil
}

// CreateAlias makes an alias of the account for one of its keys. It needs kms:CreateAlias on both.
func (s *Store) CreateAlias(ctx context.Context, g authz.Grant, account, name, id string) error {
	if err := CheckAlias(name); err != nil {
		return err
	}
	return s.commit(ctx, g, "", func(c *change) error {
		k, err := s.own(account, id)
		if err != nil {
			return err
		}
		a := &Alias{Name: name, Account: account, Region: s.region, Target: id, Created: s.now().UTC().Truncate(time.Millisecond)}
		a.Updated = a.Created
		if err := requireAlias(g, "kms:CreateAlias", a.ARN(), k); err != nil {
			return err
		}
		if err := notPending(k); err != nil {
			return err
		}
		if _, ok := s.alias(account, s.region, name); ok {
			return refuse(AlreadyExists, "An alias with the name %s already exists", a.ARN())
		}
		if len(k.Aliases) >= maxAliases {
			return refuse(LimitExceeded, "You have reached the maximum number of aliases of key %s.", k.ARN)
		}
		c.named(k, append(slices.Clone(k.Aliases), name))
		return c.setAlias(a)
	})
}

// UpdateAlias points an alias to another key of the same kind. It needs kms:UpdateAlias on the alias, the old
// key and the new.
func (s *Store) UpdateAlias(ctx context.Context, g authz.Grant, account, name, id string) error {
	if err := CheckAlias(name); err != nil {
		return err
	}
	return s.commit(ctx, g, "", func(c *change) error {
		a, ok := s.alias(account, s.region, name)
		if !ok {
			return refuse(NotFound, "Alias %s is not found.", AliasARN(s.region, account, name))
		}
		to, err := s.own(account, id)
		if err != nil {
			return err
		}
		from := s.key(a.Target)
		needs := []*Key{to}
		if from != nil {
			needs = append(needs, from)
		}
		if err := requireAlias(g, "kms:UpdateAlias", a.ARN(), needs...); err != nil {
			return err
		}
		if err := notPending(to); err != nil {
			return err
		}
		next := *a
		next.Target, next.Updated = id, s.now().UTC().Truncate(time.Millisecond)
		if from != nil && from.ID == to.ID {
			return c.setAlias(&next)
		}
		if from != nil {
			if from.Spec.family() != to.Spec.family() || from.Usage != to.Usage {
				return refuse(Invalid, "Alias %s can only be updated to a key of the same type and usage.", name)
			}
			c.named(from, without(from.Aliases, name))
		}
		if len(to.Aliases) >= maxAliases {
			return refuse(LimitExceeded, "You have reached the maximum number of aliases of key %s.", to.ARN)
		}
		c.named(to, append(slices.Clone(to.Aliases), name))
		return c.setAlias(&next)
	})
}

// family is what keys an alias may move between have in common.
func (s Spec) family() string {
	switch {
	case s.asymmetric():
		return "asymmetric"
	case s == SymmetricDefault:
		return "symmetric"
	}
	return "hmac"
}

// DeleteAlias needs kms:DeleteAlias on the alias and its key.
func (s *Store) DeleteAlias(ctx context.Context, g authz.Grant, account, name string) error {
	if err := CheckAlias(name); err != nil {
		return err
	}
	return s.commit(ctx, g, "", func(c *change) error {
		a, ok := s.alias(account, s.region, name)
		if !ok {
			return refuse(NotFound, "Alias %s is not found.", AliasARN(s.region, account, name))
		}
		k := s.key(a.Target)
		if k == nil {
			if err := requireAlias(g, "kms:DeleteAlias", a.ARN()); err != nil {
				return err
			}
			c.dropAlias(a)
			return nil
		}
		if err := requireAlias(g, "kms:DeleteAlias", a.ARN(), k); err != nil {
			return err
		}
		c.named(k, without(k.Aliases, name))
		c.dropAlias(a)
		return nil
	})
}

// AliasTarget is the key that an alias points to now, for the demands of changing it; nil where there is none.
func (s *Store) AliasTarget(account, name string) *Key {
	if a, ok := s.alias(account, s.region, name); ok {
		return s.key(a.Target)
	}
	return nil
}

// Aliases are the account's aliases in the region by name, all or those of one key. Those of keys that AWS
// manages are among all even before their key is made; they have no target then. It needs kms:ListAliases
// on "*".
func (s *Store) Aliases(g authz.Grant, account, id string) ([]*Alias, error) {
	if err := g.Require("kms:ListAliases", "*"); err != nil {
		return nil, err
	}
	if id != "" {
		if _, err := s.own(account, id); err != nil {
			return nil, err
		}
	}
	var list []*Alias
	s.aliases.Range(func(_, v any) bool {
		if a := v.(*Alias); a.Account == account && a.Region == s.region && (id == "" || a.Target == id) {
			list = append(list, a)
		}
		return true
	})
	for name := range serviceDescriptions {
		if _, ok := s.alias(account, s.region, reservedPrefix+name); !ok && id == "" {
			list = append(list, &Alias{Name: reservedPrefix + name, Account: account, Region: s.region})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}
