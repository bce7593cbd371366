package kms

import (
	"context"
	"fmt"
	"strconv"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) rotation() []*api.Op {
	return []*api.Op{
		act[kmswire.EnableKeyRotationInput, kmswire.EnableKeyRotationOutput](e, &kmswire.EnableKeyRotation, api.Write, deed[kmswire.EnableKeyRotationInput]{
			key: func(in *kmswire.EnableKeyRotationInput) *string { return in.KeyId },
			keys: func(in *kmswire.EnableKeyRotationInput) policy.Keys {
				if in.RotationPeriodInDays == nil {
					return policy.Keys{}
				}
				return one(policy.Keys{}, "kms:RotationPeriodInDays", strconv.Itoa(member.Number(in.RotationPeriodInDays)))
			},
		}, func(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.EnableKeyRotationInput) error {
			return e.keys.EnableRotation(ctx, g, k.ID, member.Number(in.RotationPeriodInDays))
		}),
		act[kmswire.DisableKeyRotationInput, kmswire.DisableKeyRotationOutput](e, &kmswire.DisableKeyRotation, api.Write,
			deed[kmswire.DisableKeyRotationInput]{key: func(in *kmswire.DisableKeyRotationInput) *string { return in.KeyId }},
			func(ctx context.Context, g authz.Grant, k *kms.Key, _ *kmswire.DisableKeyRotationInput) error {
				return e.keys.DisableRotation(ctx, g, k.ID)
			}),
		onKey(e, &kmswire.GetKeyRotationStatus, api.Read,
			deed[kmswire.GetKeyRotationStatusInput]{key: func(in *kmswire.GetKeyRotationStatusInput) *string { return in.KeyId }}, e.getKeyRotationStatus),
		onKey(e, &kmswire.RotateKeyOnDemand, api.Write,
			deed[kmswire.RotateKeyOnDemandInput]{key: func(in *kmswire.RotateKeyOnDemandInput) *string { return in.KeyId }},
			func(ctx context.Context, g authz.Grant, k *kms.Key, _ *kmswire.RotateKeyOnDemandInput) (*kmswire.RotateKeyOnDemandOutput, error) {
				return &kmswire.RotateKeyOnDemandOutput{KeyId: &k.ID}, e.keys.Rotate(ctx, g, k.ID)
			}),
		onKey(e, &kmswire.ListKeyRotations, api.List,
			deed[kmswire.ListKeyRotationsInput]{key: func(in *kmswire.ListKeyRotationsInput) *string { return in.KeyId }}, e.listKeyRotations),
	}
}

// getKeyRotationStatus: of a key that is to be erased nothing is rotated.
func (e edge) getKeyRotationStatus(_ context.Context, _ authz.Grant, k *kms.Key, _ *kmswire.GetKeyRotationStatusInput) (*kmswire.GetKeyRotationStatusOutput, error) {
	enabled := k.Rotation.Enabled && k.State != kms.PendingDeletion
	out := &kmswire.GetKeyRotationStatusOutput{KeyId: &k.ID, KeyRotationEnabled: &enabled}
	if enabled {
		out.RotationPeriodInDays = new(int32(k.Rotation.Days))
		out.NextRotationDate = &k.Rotation.Next
	}
	return out, nil
}

func (e edge) listKeyRotations(_ context.Context, _ authz.Grant, k *kms.Key, in *kmswire.ListKeyRotationsInput) (*kmswire.ListKeyRotationsOutput, error) {
	all := in.IncludeKeyMaterial == kmswire.IncludeKeyMaterialAllKeyMaterial
	var list []kms.MaterialInfo
	for _, m := range k.Materials {
		if all || m.How != "" {
			list = append(list, m)
		}
	}
	p, err := pageOf(list, func(m kms.MaterialInfo) string { return fmt.Sprintf("%010d", m.Number) }, in.Limit, in.Marker, 100)
	if err != nil {
		return nil, err
	}
	last := uint32(0)
	if n := len(k.Materials); n > 0 {
		last = k.Materials[n-1].Number
	}
	return &kmswire.ListKeyRotationsOutput{
		Rotations: member.Every(p.items, func(m kms.MaterialInfo) kmswire.RotationsListEntry { return rotationEntry(k, m, m.Number == last) }),
		Truncated: p.more, NextMarker: p.next,
	}, nil
}

func rotationEntry(k *kms.Key, m kms.MaterialInfo, current bool) kmswire.RotationsListEntry {
	r := kmswire.RotationsListEntry{KeyId: &k.ID, KeyMaterialId: &m.ID, KeyMaterialState: kmswire.KeyMaterialState("NON_CURRENT")}
	if current {
		r.KeyMaterialState = "CURRENT"
	}
	if m.How != "" {
		r.RotationDate, r.RotationType = &m.Created, kmswire.RotationType(m.How)
	}
	if k.Origin == kms.OriginExternal {
		r.ImportState, r.ExpirationModel = kmswire.ImportStateImported, kmswire.ExpirationModelTypeKeyMaterialDoesNotExpire
		switch {
		case m.Gone:
			r.ImportState, r.ExpirationModel = kmswire.ImportStatePendingImport, ""
		case !m.Expires.IsZero():
			r.ExpirationModel, r.ValidTo = kmswire.ExpirationModelTypeKeyMaterialExpires, &m.Expires
		}
	}
	return r
}
