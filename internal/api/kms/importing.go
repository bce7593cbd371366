package kms

import (
	"context"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) importing() []*api.Op {
	type (
		parameters = kmswire.GetParametersForImportInput
		material   = kmswire.ImportKeyMaterialInput
		gone       = kmswire.DeleteImportedKeyMaterialInput
	)
	return []*api.Op{
		onKey(e, &kmswire.GetParametersForImport, api.Read, deed[parameters]{
			key: func(in *parameters) *string { return in.KeyId },
			keys: func(in *parameters) policy.Keys {
				return one(one(policy.Keys{}, "kms:WrappingAlgorithm", string(in.WrappingAlgorithm)), "kms:WrappingKeySpec", string(in.WrappingKeySpec))
			},
		}, e.getParametersForImport),
		onKey(e, &kmswire.ImportKeyMaterial, api.Write, deed[material]{
			key:  func(in *material) *string { return in.KeyId },
			keys: importKeys,
		}, e.importKeyMaterial),
		onKey(e, &kmswire.DeleteImportedKeyMaterial, api.Write, deed[gone]{key: func(in *gone) *string { return in.KeyId }}, e.deleteImportedKeyMaterial),
	}
}

func (e edge) getParametersForImport(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.GetParametersForImportInput) (*kmswire.GetParametersForImportOutput, error) {
	p, err := e.keys.ParametersForImport(ctx, g, k, string(in.WrappingAlgorithm), string(in.WrappingKeySpec))
	if err != nil {
		return nil, err
	}
	return &kmswire.GetParametersForImportOutput{KeyId: &k.ARN, ImportToken: p.Token, PublicKey: p.Public, ParametersValidTo: &p.ValidTo}, nil
}

// expires tells the model of expiration that is meant: by default material expires.
func expires(in *kmswire.ImportKeyMaterialInput) kmswire.ExpirationModelType {
	if in.ExpirationModel == "" {
		return kmswire.ExpirationModelTypeKeyMaterialExpires
	}
	return in.ExpirationModel
}

func importKeys(in *kmswire.ImportKeyMaterialInput) policy.Keys {
	k := one(policy.Keys{}, "kms:ExpirationModel", string(expires(in)))
	if in.ValidTo != nil {
		one(k, "kms:ValidTo", in.ValidTo.UTC().Format(time.RFC3339))
	}
	return k
}

func (e edge) importKeyMaterial(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.ImportKeyMaterialInput) (*kmswire.ImportKeyMaterialOutput, error) {
	if in.ImportType == kmswire.ImportTypeNewKeyMaterial && len(k.Materials) > 0 {
		return nil, fault.New(api.NotImplemented, "")
	}
	imported := kms.Import{Token: in.ImportToken, Wrapped: in.EncryptedKeyMaterial}
	if expires(in) == kmswire.ExpirationModelTypeKeyMaterialExpires {
		if in.ValidTo == nil {
			return nil, fault.New(kms.Invalid, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
		}
		imported.Expires = in.ValidTo.UTC()
	} else if in.ValidTo != nil {
		return nil, fault.New(kms.Invalid, "ValidTo must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
	}
	id, err := e.keys.ImportMaterial(ctx, g, k, imported)
	if err != nil {
		return nil, err
	}
	return &kmswire.ImportKeyMaterialOutput{KeyId: &k.ARN, KeyMaterialId: &id}, nil
}

func (e edge) deleteImportedKeyMaterial(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.DeleteImportedKeyMaterialInput) (*kmswire.DeleteImportedKeyMaterialOutput, error) {
	if in.KeyMaterialId != nil && *in.KeyMaterialId != k.CurrentMaterial() {
		return nil, fault.New(kms.NotFound, "Key material '"+*in.KeyMaterialId+"' does not exist")
	}
	id, err := e.keys.DeleteMaterial(ctx, g, k.ID)
	if err != nil {
		return nil, err
	}
	return &kmswire.DeleteImportedKeyMaterialOutput{KeyId: &k.ARN, KeyMaterialId: member.Given(id)}, nil
}
