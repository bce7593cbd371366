package kms

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) encryption() []*api.Op {
	type input = kmswire.EncryptInput
	return []*api.Op{
		onKey(e, &kmswire.Encrypt, api.Write, deed[input]{
			key: func(in *input) *string { return in.KeyId }, context: func(in *input) map[string]string { return in.EncryptionContext },
			tokens: func(in *input) []string { return in.GrantTokens },
			keys:   func(in *input) policy.Keys { return algorithm(in.EncryptionAlgorithm) },
		}, e.encrypt),
		e.decrypt(),
		e.reEncrypt(),
	}
}

// algorithm is the condition key of the algorithm that is used.
func algorithm(a kmswire.EncryptionAlgorithmSpec) policy.Keys {
	if a == "" {
		return symmetric()
	}
	return one(policy.Keys{}, "kms:EncryptionAlgorithm", string(a))
}

func used(a kmswire.EncryptionAlgorithmSpec) kmswire.EncryptionAlgorithmSpec {
	if a == "" {
		return kmswire.EncryptionAlgorithmSpecSymmetricDefault
	}
	return a
}

func (e edge) encrypt(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.EncryptInput) (*kmswire.EncryptOutput, error) {
	blob, err := e.keys.Encrypt(ctx, g, kms.Sealing{Key: k, Context: in.EncryptionContext, Algorithm: string(in.EncryptionAlgorithm)}, in.Plaintext)
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.EncryptOutput{KeyId: &k.ARN, CiphertextBlob: blob, EncryptionAlgorithm: used(in.EncryptionAlgorithm)}, nil
}

// source is the key that a ciphertext is opened by: the one that the request names, else the one that the
// ciphertext does. Ciphertexts of asymmetric keys name none.
func (e edge) source(c *api.Call, ref *string, blob []byte, a kmswire.EncryptionAlgorithmSpec) (target, error) {
	if ref != nil {
		return e.find(c, ref)
	}
	if used(a) != kmswire.EncryptionAlgorithmSpecSymmetricDefault {
		return target{}, fault.New(kms.Invalid, "A KeyId is required to decrypt with an asymmetric key.")
	}
	k, err := e.keys.KeyOf(blob)
	if err != nil {
		return target{}, err
	}
	return target{Ref: kms.Ref{Account: k.Account, Region: k.Region, ID: k.ID}, key: k}, nil
}

func (e edge) decrypt() *api.Op {
	type input = kmswire.DecryptInput
	return api.Declare(api.Decl[input, kmswire.DecryptOutput]{
		Wire: &kmswire.Decrypt, Class: audit.Management, Access: api.Write, ReadEvent: true,
		Demands: func(c *api.Call, in *input) ([]authz.Demand, error) {
			t, err := e.source(c, in.KeyId, in.CiphertextBlob, in.EncryptionAlgorithm)
			if err == nil {
				err = e.keys.CheckTokens(in.GrantTokens)
			}
			if err != nil {
				return nil, err
			}
			return []authz.Demand{e.demand(t, kms.Use{
				Action: "kms:Decrypt", Context: in.EncryptionContext, By: caller(c), Keys: algorithm(in.EncryptionAlgorithm),
			})}, nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *input) (*kmswire.DecryptOutput, error) {
			if err := absent(in.Recipient != nil, len(in.DryRunModifiers) > 0); err != nil {
				return nil, err
			}
			t, err := e.source(c, in.KeyId, in.CiphertextBlob, in.EncryptionAlgorithm)
			if err == nil {
				err = t.missing
			}
			if err != nil {
				return nil, err
			}
			plain, material, err := e.keys.Open(ctx, g, kms.Sealing{Key: t.key, Context: in.EncryptionContext, Algorithm: string(in.EncryptionAlgorithm)}, in.CiphertextBlob)
			if err == nil {
				err = dryRun(in.DryRun)
			}
			if err != nil {
				return nil, err
			}
			return &kmswire.DecryptOutput{
				KeyId: &t.key.ARN, Plaintext: plain, EncryptionAlgorithm: used(in.EncryptionAlgorithm), KeyMaterialId: member.Given(material),
			}, nil
		},
	})
}

// reEncrypt demands kms:ReEncryptFrom on the one key and kms:ReEncryptTo on the other.
func (e edge) reEncrypt() *api.Op {
	type input = kmswire.ReEncryptInput
	find := func(c *api.Call, in *input) (from, to target, err error) {
		if from, err = e.source(c, in.SourceKeyId, in.CiphertextBlob, in.SourceEncryptionAlgorithm); err != nil {
			return from, to, err
		}
		to, err = e.find(c, in.DestinationKeyId)
		return from, to, err
	}
	return api.Declare(api.Decl[input, kmswire.ReEncryptOutput]{
		Wire: &kmswire.ReEncrypt, Class: audit.Management, Access: api.Write, ReadEvent: true,
		Demands: func(c *api.Call, in *input) ([]authz.Demand, error) {
			from, to, err := find(c, in)
			if err == nil {
				err = e.keys.CheckTokens(in.GrantTokens)
			}
			if err != nil {
				return nil, err
			}
			same := flag(from.key != nil && to.key != nil && from.key.ID == to.key.ID)
			return []authz.Demand{
				e.demand(from, kms.Use{Action: "kms:ReEncryptFrom", Context: in.SourceEncryptionContext, By: caller(c),
					Keys: one(algorithm(in.SourceEncryptionAlgorithm), "kms:ReEncryptOnSameKey", same)}),
				e.demand(to, kms.Use{Action: "kms:ReEncryptTo", Context: in.DestinationEncryptionContext, By: caller(c),
					Keys: one(algorithm(in.DestinationEncryptionAlgorithm), "kms:ReEncryptOnSameKey", same)}),
			}, nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *input) (*kmswire.ReEncryptOutput, error) {
			if err := absent(len(in.DryRunModifiers) > 0); err != nil {
				return nil, err
			}
			from, to, err := find(c, in)
			for _, e := range []error{from.missing, to.missing} {
				if err == nil {
					err = e
				}
			}
			if err != nil {
				return nil, err
			}
			blob, material, err := e.keys.ReEncrypt(ctx, g,
				kms.Sealing{Key: from.key, Context: in.SourceEncryptionContext, Algorithm: string(in.SourceEncryptionAlgorithm)},
				kms.Sealing{Key: to.key, Context: in.DestinationEncryptionContext, Algorithm: string(in.DestinationEncryptionAlgorithm)}, in.CiphertextBlob)
			if err == nil {
				err = dryRun(in.DryRun)
			}
			if err != nil {
				return nil, err
			}
			out := &kmswire.ReEncryptOutput{
				CiphertextBlob: blob, SourceKeyId: &from.key.ARN, KeyId: &to.key.ARN, SourceEncryptionAlgorithm: used(in.SourceEncryptionAlgorithm),
				DestinationEncryptionAlgorithm: used(in.DestinationEncryptionAlgorithm), SourceKeyMaterialId: member.Given(material),
			}
			if to.key.Spec == kms.SymmetricDefault {
				out.DestinationKeyMaterialId = member.Given(to.key.CurrentMaterial())
			}
			return out, nil
		},
	})
}
