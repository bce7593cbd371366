package kms

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

// policyName is the name of the one policy that a key has.
const policyName = "default"

func (e edge) policies() []*api.Op {
	return []*api.Op{
		onKey(e, &kmswire.GetKeyPolicy, api.Read,
			deed[kmswire.GetKeyPolicyInput]{key: func(in *kmswire.GetKeyPolicyInput) *string { return in.KeyId }}, e.getKeyPolicy),
		act[kmswire.PutKeyPolicyInput, kmswire.PutKeyPolicyOutput](e, &kmswire.PutKeyPolicy, api.Permissions, deed[kmswire.PutKeyPolicyInput]{
			key: func(in *kmswire.PutKeyPolicyInput) *string { return in.KeyId },
			keys: func(in *kmswire.PutKeyPolicyInput) policy.Keys {
				return one(policy.Keys{}, "kms:BypassPolicyLockoutSafetyCheck", flag(member.True(in.BypassPolicyLockoutSafetyCheck)))
			},
			exposing: func(in *kmswire.PutKeyPolicyInput) exposure.Change {
				return exposure.Change{After: member.Text(in.Policy)}
			},
		}, func(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.PutKeyPolicyInput) error {
			if err := named(in.PolicyName); err != nil {
				return err
			}
			return e.keys.PutPolicy(ctx, g, k.ID, member.Text(in.Policy), member.True(in.BypassPolicyLockoutSafetyCheck))
		}),
	}
}

func named(name *string) error {
	if name != nil && *name != policyName {
		return fault.New(kms.NotFound, "No such policy exists")
	}
	return nil
}

func (e edge) getKeyPolicy(_ context.Context, g authz.Grant, k *kms.Key, in *kmswire.GetKeyPolicyInput) (*kmswire.GetKeyPolicyOutput, error) {
	if err := named(in.PolicyName); err != nil {
		return nil, err
	}
	document, err := e.keys.PolicyText(g, k)
	if err != nil {
		return nil, err
	}
	return &kmswire.GetKeyPolicyOutput{Policy: &document, PolicyName: new(policyName)}, nil
}
