package kms

import (
	"context"
	"strconv"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) lifecycle() []*api.Op {
	return []*api.Op{
		e.createKey(),
		e.describeKey(),
		act[kmswire.EnableKeyInput, kmswire.EnableKeyOutput](e, &kmswire.EnableKey, api.Write,
			deed[kmswire.EnableKeyInput]{key: func(in *kmswire.EnableKeyInput) *string { return in.KeyId }},
			func(ctx context.Context, g authz.Grant, k *kms.Key, _ *kmswire.EnableKeyInput) error {
				return e.keys.Enable(ctx, g, k.ID)
			}),
		act[kmswire.DisableKeyInput, kmswire.DisableKeyOutput](e, &kmswire.DisableKey, api.Write,
			deed[kmswire.DisableKeyInput]{key: func(in *kmswire.DisableKeyInput) *string { return in.KeyId }},
			func(ctx context.Context, g authz.Grant, k *kms.Key, _ *kmswire.DisableKeyInput) error {
				return e.keys.Disable(ctx, g, k.ID)
			}),
		act[kmswire.UpdateKeyDescriptionInput, kmswire.UpdateKeyDescriptionOutput](e, &kmswire.UpdateKeyDescription, api.Write,
			deed[kmswire.UpdateKeyDescriptionInput]{key: func(in *kmswire.UpdateKeyDescriptionInput) *string { return in.KeyId }},
			func(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.UpdateKeyDescriptionInput) error {
				return e.keys.Describe(ctx, g, k.ID, member.Text(in.Description))
			}),
		onKey(e, &kmswire.ScheduleKeyDeletion, api.Write, deed[kmswire.ScheduleKeyDeletionInput]{
			key: func(in *kmswire.ScheduleKeyDeletionInput) *string { return in.KeyId },
			keys: func(in *kmswire.ScheduleKeyDeletionInput) policy.Keys {
				days := 30
				if in.PendingWindowInDays != nil {
					days = int(*in.PendingWindowInDays)
				}
				return one(policy.Keys{}, "kms:ScheduleKeyDeletionPendingWindowInDays", strconv.Itoa(days))
			},
		}, e.scheduleKeyDeletion),
		onKey(e, &kmswire.CancelKeyDeletion, api.Write,
			deed[kmswire.CancelKeyDeletionInput]{key: func(in *kmswire.CancelKeyDeletionInput) *string { return in.KeyId }},
			func(ctx context.Context, g authz.Grant, k *kms.Key, _ *kmswire.CancelKeyDeletionInput) (*kmswire.CancelKeyDeletionOutput, error) {
				return &kmswire.CancelKeyDeletionOutput{KeyId: &k.ARN}, e.keys.CancelDeletion(ctx, g, k.ID)
			}),
	}
}

// createKey demands kms:CreateKey, and kms:TagResource where there are tags.
func (e edge) createKey() *api.Op {
	type input = kmswire.CreateKeyInput
	return api.Declare(api.Decl[input, kmswire.CreateKeyOutput]{
		Wire: &kmswire.CreateKey, Class: audit.Management, Access: api.Write,
		Demands: func(c *api.Call, in *input) ([]authz.Demand, error) {
			account := caller(c).Account
			k := one(tagKeys(in.Tags), "kms:CallerAccount", account)
			spec := specOf(in)
			usage := string(in.KeyUsage)
			if usage == "" {
				usage = string(kms.EncryptDecrypt)
			}
			origin := string(in.Origin)
			if origin == "" {
				origin = string(kms.OriginKMS)
			}
			one(k, "kms:KeySpec", spec)
			one(k, "kms:KeyUsage", usage)
			one(k, "kms:CustomerMasterKeySpec", spec)
			one(k, "kms:CustomerMasterKeyUsage", usage)
			one(k, "kms:KeyOrigin", origin)
			one(k, "kms:MultiRegion", flag(member.True(in.MultiRegion)))
			one(k, "kms:BypassPolicyLockoutSafetyCheck", flag(member.True(in.BypassPolicyLockoutSafetyCheck)))
			create := authz.Demand{Action: "kms:CreateKey", Resource: authz.Resource{ARN: "*", Account: account}, Keys: k}
			if text := member.Text(in.Policy); text != "" {
				e.exposes.Guard(&create, policy.KeyPolicy, text)
			}
			demands := c.Need(create.Action, create.Resource, create.Keys)
			if len(in.Tags) > 0 {
				demands = c.Need("kms:TagResource", authz.Resource{ARN: kms.KeyARN(e.keys.Region(), account, "*"), Account: account}, k)
			}
			return demands, nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *input) (*kmswire.CreateKeyOutput, error) {
			if err := absent(member.True(in.MultiRegion), in.CustomKeyStoreId != nil, in.XksKeyId != nil); err != nil {
				return nil, err
			}
			if in.KeySpec != "" && in.CustomerMasterKeySpec != "" {
				return nil, fault.New(kms.Invalid, "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
			}
			if in.Origin != "" && in.Origin != kmswire.OriginType(kms.OriginKMS) && in.Origin != kmswire.OriginType(kms.OriginExternal) {
				return nil, fault.New(kms.Unsupported, "Origin "+string(in.Origin)+" is not supported.")
			}
			k, err := e.keys.Create(ctx, g, kms.NewKey{
				Account: caller(c).Account, Description: member.Text(in.Description), Spec: kms.Spec(specOf(in)), Usage: kms.Usage(in.KeyUsage), Origin: kms.Origin(in.Origin),
				Policy: member.Text(in.Policy), Tags: tagsOf(in.Tags), Bypass: member.True(in.BypassPolicyLockoutSafetyCheck),
			})
			if err != nil {
				return nil, err
			}
			return &kmswire.CreateKeyOutput{KeyMetadata: e.metadata(k)}, nil
		},
	})
}

// specOf is the spec that was asked for under either of its names.
func specOf(in *kmswire.CreateKeyInput) string {
	switch {
	case in.KeySpec != "":
		return string(in.KeySpec)
	case in.CustomerMasterKeySpec != "":
		return string(in.CustomerMasterKeySpec)
	}
	return string(kms.SymmetricDefault)
}

// describeKey makes the AWS-managed key of S3 when it is asked for by its alias before its first use, as
// AWS does.
func (e edge) describeKey() *api.Op {
	type input = kmswire.DescribeKeyInput
	d := deed[input]{tokens: func(in *input) []string { return in.GrantTokens }}
	return api.Declare(api.Decl[input, kmswire.DescribeKeyOutput]{
		Wire: &kmswire.DescribeKey, Class: audit.Management, Access: api.Read,
		Demands: func(c *api.Call, in *input) ([]authz.Demand, error) {
			demands, _, err := e.demands(c, "kms:DescribeKey", d.use(in), in.KeyId)
			return demands, err
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *input) (*kmswire.DescribeKeyOutput, error) {
			t, err := e.find(c, in.KeyId)
			if err != nil {
				return nil, err
			}
			if t.key == nil {
				if err := g.Require("kms:DescribeKey", t.ARN()); err != nil {
					return nil, err
				}
				if t.Alias != "alias/aws/s3" || t.Account != caller(c).Account {
					return nil, t.missing
				}
				if t.key, err = e.keys.ServiceKey(ctx, t.Account, "s3"); err != nil {
					return nil, err
				}
				return &kmswire.DescribeKeyOutput{KeyMetadata: e.metadata(t.key)}, nil
			}
			if err := g.Require("kms:DescribeKey", t.key.ARN); err != nil {
				return nil, err
			}
			return &kmswire.DescribeKeyOutput{KeyMetadata: e.metadata(t.key)}, nil
		},
	})
}

func (e edge) scheduleKeyDeletion(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.ScheduleKeyDeletionInput) (*kmswire.ScheduleKeyDeletionOutput, error) {
	if in.PendingWindowInDays != nil && *in.PendingWindowInDays == 0 {
		return nil, fault.New(kms.Invalid, "PendingWindowInDays must be between 7 and 30, inclusive.")
	}
	next, err := e.keys.ScheduleDeletion(ctx, g, k.ID, member.Number(in.PendingWindowInDays))
	if err != nil {
		return nil, err
	}
	return &kmswire.ScheduleKeyDeletionOutput{
		KeyId: &next.ARN, DeletionDate: &next.Deletion, KeyState: kmswire.KeyState(next.State), PendingWindowInDays: new(int32(next.Window)),
	}, nil
}

// metadata shows a key.
func (e edge) metadata(k *kms.Key) *kmswire.KeyMetadata {
	state := e.keys.StateOf(k)
	m := &kmswire.KeyMetadata{
		AWSAccountId: &k.Account, KeyId: &k.ID, Arn: &k.ARN, CreationDate: &k.Created, Enabled: new(state == kms.Enabled), Description: &k.Description,
		KeyUsage: kmswire.KeyUsageType(k.Usage), KeyState: kmswire.KeyState(state), Origin: kmswire.OriginType(k.Origin),
		KeyManager: kmswire.KeyManagerType(k.Manager), CustomerMasterKeySpec: kmswire.CustomerMasterKeySpec(k.Spec), KeySpec: kmswire.KeySpec(k.Spec),
		MultiRegion: new(false),
	}
	switch k.Usage {
	case kms.EncryptDecrypt:
		m.EncryptionAlgorithms = texts[string, kmswire.EncryptionAlgorithmSpec](k.Algorithms())
	case kms.SignVerify:
		m.SigningAlgorithms = texts[string, kmswire.SigningAlgorithmSpec](k.Algorithms())
	case kms.GenerateVerifyMAC:
		m.MacAlgorithms = texts[string, kmswire.MacAlgorithmSpec](k.Algorithms())
	case kms.KeyAgreement:
		m.KeyAgreementAlgorithms = texts[string, kmswire.KeyAgreementAlgorithmSpec](k.Algorithms())
	}
	if k.State == kms.PendingDeletion {
		m.DeletionDate = &k.Deletion
	}
	if k.Spec == kms.SymmetricDefault {
		m.CurrentKeyMaterialId = member.Given(k.CurrentMaterial())
	}
	if k.Origin == kms.OriginExternal && state != kms.PendingImport && k.CurrentMaterial() != "" {
		m.ExpirationModel = kmswire.ExpirationModelTypeKeyMaterialDoesNotExpire
		if at := k.Expires(); !at.IsZero() {
			m.ExpirationModel, m.ValidTo = kmswire.ExpirationModelTypeKeyMaterialExpires, &at
		}
	}
	return m
}
