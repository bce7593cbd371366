package kms

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/kms"
)

func (e edge) lists() []*api.Op {
	return []*api.Op{
		anywhere(&kmswire.ListKeys, api.List, nil, e.listKeys),
		onKey(e, &kmswire.ListKeyPolicies, api.List,
			deed[kmswire.ListKeyPoliciesInput]{key: func(in *kmswire.ListKeyPoliciesInput) *string { return in.KeyId }},
			func(_ context.Context, _ authz.Grant, _ *kms.Key, _ *kmswire.ListKeyPoliciesInput) (*kmswire.ListKeyPoliciesOutput, error) {
				return &kmswire.ListKeyPoliciesOutput{PolicyNames: []string{policyName}, Truncated: new(false)}, nil
			}),
		onKey(e, &kmswire.GetKeyLastUsage, api.Read,
			deed[kmswire.GetKeyLastUsageInput]{key: func(in *kmswire.GetKeyLastUsageInput) *string { return in.KeyId }}, e.getKeyLastUsage),
	}
}

// getKeyLastUsage: a key is watched from its first day.
func (e edge) getKeyLastUsage(_ context.Context, _ authz.Grant, k *kms.Key, _ *kmswire.GetKeyLastUsageInput) (*kmswire.GetKeyLastUsageOutput, error) {
	out := &kmswire.GetKeyLastUsageOutput{KeyId: &k.ARN, TrackingStartDate: &k.Created, KeyCreationDate: &k.Created}
	if u, ok := e.keys.LastUse(k); ok {
		out.KeyLastUsage = &kmswire.KeyLastUsageData{
			Operation: kmswire.KeyLastUsageTrackingOperation(u.Operation), Timestamp: &u.At, KmsRequestId: member.Given(u.RequestID),
		}
	}
	return out, nil
}

func (e edge) listKeys(_ context.Context, g authz.Grant, account string, in *kmswire.ListKeysInput) (*kmswire.ListKeysOutput, error) {
	list, err := e.keys.Keys(g, account)
	if err != nil {
		return nil, err
	}
	p, err := pageOf(list, func(k *kms.Key) string { return k.ID }, in.Limit, in.Marker, 100)
	if err != nil {
		return nil, err
	}
	return &kmswire.ListKeysOutput{
		Keys:      member.Every(p.items, func(k *kms.Key) kmswire.KeyListEntry { return kmswire.KeyListEntry{KeyId: &k.ID, KeyArn: &k.ARN} }),
		Truncated: p.more, NextMarker: p.next,
	}, nil
}
