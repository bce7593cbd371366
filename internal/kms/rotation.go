package kms

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/authz"
)

// Rotation: bounds of the period in days, and how often one may ask.
const (
	minRotation     = 90
	maxRotation     = 2560
	defaultRotation = 365
	maxOnDemand     = 25
)

// rotatable refuses keys that KMS does not rotate.
func rotatable(k *Key) error {
	if k.Spec != SymmetricDefault {
		return refuse(Unsupported, "%s key spec is %s which is not valid for this operation.", k.ARN, k.Spec)
	}
	if k.Origin != OriginKMS {
		return refuse(Unsupported, "%s origin is %s which is not valid for this operation.", k.ARN, k.Origin)
	}
	return nil
}

// EnableRotation has the material rotated every so many days (0: 365). It needs kms:EnableKeyRotation.
func (s *Store) EnableRotation(ctx context.Context, g authz.Grant, id string, days int) error {
	if days == 0 {
		days = defaultRotation
	}
	if days < minRotation || days > maxRotation {
		return refuse(Invalid, "RotationPeriodInDays must be between %d and %d, inclusive.", minRotation, maxRotation)
	}
	return s.edit(ctx, g, "kms:EnableKeyRotation", id, func(_ *change, k *Key) error {
		if err := rotatable(k); err != nil {
			return err
		}
		if !k.Rotation.Enabled || k.Rotation.Days != days {
			k.Rotation.Next = s.now().UTC().Truncate(time.Second).AddDate(0, 0, days)
		}
		k.Rotation.Enabled, k.Rotation.Days = true, days
		return s.usable(k)
	})
}

// DisableRotation needs kms:DisableKeyRotation.
func (s *Store) DisableRotation(ctx context.Context, g authz.Grant, id string) error {
	return s.edit(ctx, g, "kms:DisableKeyRotation", id, func(_ *change, k *Key) error {
		if err := rotatable(k); err != nil {
			return err
		}
		k.Rotation = Rotation{OnDemand: k.Rotation.OnDemand}
		return s.usable(k)
	})
}

// Rotate gives the key new material at once; the old goes on decrypting what it encrypted. It needs
// kms:RotateKeyOnDemand.
func (s *Store) Rotate(ctx context.Context, g authz.Grant, id string) error {
	raw, err := s.newMaterial(ctx, SymmetricDefault)
	if err != nil {
		return err
	}
	return s.edit(ctx, g, "kms:RotateKeyOnDemand", id, func(c *change, k *Key) error {
		if err := rotatable(k); err != nil {
			return err
		}
		if err := s.usable(k); err != nil {
			return err
		}
		if k.Rotation.OnDemand >= maxOnDemand {
			return refuse(LimitExceeded, "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: %s", k.ARN)
		}
		k.Rotation.OnDemand++
		c.rotate(k, raw, "ON_DEMAND")
		return nil
	})
}

// rotate adds material to k and its record to the change.
func (c *change) rotate(k *Key, raw []byte, how string) {
	number := k.Materials[len(k.Materials)-1].Number + 1
	k.Materials = append(k.Materials, MaterialInfo{Number: number, ID: materialID(k.ID, raw), Created: c.s.now().UTC().Truncate(time.Millisecond), How: how})
	c.s.putMaterial(&c.batch, k.ID, number, raw)
}
