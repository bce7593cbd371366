package app

import (
	"context"
	"slices"

	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// The exposure guard asks here what a change would do. Strangers are all outside the owner's account.

func (s *server) trust(account string) posture.Trust {
	return func(uniqueIDs, canonicalIDs []string) policy.Zone {
		return s.watched.Zone(account, false, uniqueIDs, canonicalIDs)
	}
}

// exposesBucket tells what a change of a bucket exposes.
func (s *server) exposesBucket(before, after *object.Bucket) (exposure.Exposed, error) {
	block := s.watched.Block(before.Owner.Account)
	return s.gains(before, after, block, block)
}

// exposesPolicy tells what a change of a policy exposes.
func (s *server) exposesPolicy(c exposure.Change) (exposure.Exposed, error) {
	if c.ARN == "*" { // a key that is to be made
		c.ARN = kms.KeyARN(s.config.Region, c.Account, "new")
	}
	var sides [2]*posture.Resource
	for i := range sides {
		sides[i] = &posture.Resource{ARN: c.ARN, Account: c.Account, Policy: &posture.Policy{Document: c.Before, Kind: c.Kind}}
		if c.Kind == policy.Trust {
			sides[i].Type = posture.TypeRole
		}
	}
	for _, a := range c.Standing {
		for _, side := range sides {
			side.Policy.Added = append(side.Policy.Added, posture.Allowance(a))
		}
	}
	after := sides[1].Policy
	for _, a := range c.Added {
		after.Added = append(after.Added, posture.Allowance(a))
	}
	if c.Added == nil {
		var err error
		if after.Document, err = s.pinned(c.After, c.Kind); err != nil {
			return exposure.Exposed{}, err
		}
	}
	gained, err := posture.Gains(sides[0], sides[1], posture.Block{}, posture.Block{}, s.trust(c.Account))
	return exposedBy(gained), err
}

// pinned reads a policy with the unique ids of the users and roles that it names, as stores keep theirs.
func (s *server) pinned(text string, kind policy.Kind) (*policy.Document, error) {
	if text == "" {
		return nil, nil
	}
	doc, err := policy.ParseString(text, kind)
	if err != nil {
		return nil, err
	}
	return doc.Resolve(s.identities.UniqueID)
}

// exposesObject tells what a list exposes of an object, over what its bucket does.
func (s *server) exposesObject(b *object.Bucket, key string, list []byte) (exposure.Exposed, error) {
	resource, err := resourceOf(b)
	if err != nil {
		return exposure.Exposed{}, err
	}
	account := b.Owner.Account
	gained, err := posture.ObjectGains(resource, s.watched.Block(account), key, list, s.trust(account))
	return exposedBy(gained), err
}

func (s *server) gains(before, after *object.Bucket, was, is posture.Block) (exposure.Exposed, error) {
	var sides [2]*posture.Resource
	for i, b := range []*object.Bucket{before, after} {
		var err error
		if sides[i], err = resourceOf(b); err != nil {
			return exposure.Exposed{}, err
		}
	}
	gained, err := posture.Gains(sides[0], sides[1], was, is, s.trust(before.Owner.Account))
	e := exposedBy(gained)
	if len(e.To) == 0 && posture.Revives(sides[0], sides[1], was, is) {
		e.To, e.Witness = []string{"*"}, "lists of its objects count that do not count now"
	}
	return e, err
}

func exposedBy(gained []posture.Opening) exposure.Exposed {
	var e exposure.Exposed
	for _, o := range gained {
		e.To = append(e.To, o.Principal)
		if e.Witness == "" && o.Witness != nil {
			e.Witness = o.Witness.String()
		}
	}
	slices.Sort(e.To)
	e.To = slices.Compact(e.To)
	return e
}

// exposesAccount tells what a change of an account's Block Public Access exposes, of the first bucket that
// it exposes.
func (s *server) exposesAccount(account string, after policy.PublicAccessBlock) (exposure.Exposed, error) {
	was, is := s.watched.Block(account), posture.Block{PublicAccessBlock: after, Set: true}
	if was.Or(after) == after {
		return exposure.Exposed{}, nil // nothing is taken off
	}
	names, err := s.watched.IDs(context.Background(), account, posture.TypeBucket)
	if err != nil {
		return exposure.Exposed{}, err
	}
	for _, name := range names {
		b, err := s.objects.Bucket(name)
		if err != nil {
			continue // gone meanwhile
		}
		if e, err := s.gains(b, b, was, is); err != nil || len(e.To) > 0 {
			return e, err
		}
	}
	return exposure.Exposed{}, nil
}
