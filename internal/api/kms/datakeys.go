package kms

import (
	"context"
	"crypto/rand"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

// symmetric is the condition key of operations that have one algorithm.
func symmetric() policy.Keys {
	return policy.Keys{"kms:encryptionalgorithm": {One: string(kms.SymmetricDefault)}}
}

func (e edge) dataKeys() []*api.Op {
	type (
		plain   = kmswire.GenerateDataKeyInput
		sealed  = kmswire.GenerateDataKeyWithoutPlaintextInput
		pair    = kmswire.GenerateDataKeyPairInput
		private = kmswire.GenerateDataKeyPairWithoutPlaintextInput
	)
	return []*api.Op{
		onKey(e, &kmswire.GenerateDataKey, api.Write, deed[plain]{
			key: func(in *plain) *string { return in.KeyId }, context: func(in *plain) map[string]string { return in.EncryptionContext },
			tokens: func(in *plain) []string { return in.GrantTokens }, keys: func(*plain) policy.Keys { return symmetric() },
		}, e.generateDataKey),
		onKey(e, &kmswire.GenerateDataKeyWithoutPlaintext, api.Write, deed[sealed]{
			key: func(in *sealed) *string { return in.KeyId }, context: func(in *sealed) map[string]string { return in.EncryptionContext },
			tokens: func(in *sealed) []string { return in.GrantTokens }, keys: func(*sealed) policy.Keys { return symmetric() },
		}, e.generateDataKeyWithoutPlaintext),
		onKey(e, &kmswire.GenerateDataKeyPair, api.Write, deed[pair]{
			key: func(in *pair) *string { return in.KeyId }, context: func(in *pair) map[string]string { return in.EncryptionContext },
			tokens: func(in *pair) []string { return in.GrantTokens },
			keys:   func(in *pair) policy.Keys { return one(symmetric(), "kms:DataKeyPairSpec", string(in.KeyPairSpec)) },
		}, e.generateDataKeyPair),
		onKey(e, &kmswire.GenerateDataKeyPairWithoutPlaintext, api.Write, deed[private]{
			key: func(in *private) *string { return in.KeyId }, context: func(in *private) map[string]string { return in.EncryptionContext },
			tokens: func(in *private) []string { return in.GrantTokens },
			keys:   func(in *private) policy.Keys { return one(symmetric(), "kms:DataKeyPairSpec", string(in.KeyPairSpec)) },
		}, e.generateDataKeyPairWithoutPlaintext),
		anywhere(&kmswire.GenerateRandom, api.Write, nil, e.generateRandom),
	}
}

// dryRun ends a request that asked whether it would succeed, when it has.
func dryRun(dry *bool) error {
	if member.True(dry) {
		return kms.DryRunOnly()
	}
	return nil
}

// length of a data key: by its spec or in bytes.
func length(spec kmswire.DataKeySpec, bytes *int32) (int, error) {
	if (spec == "") == (bytes == nil) {
		return 0, fault.New(kms.Invalid, "Please specify either number of bytes or key spec.")
	}
	switch spec {
	case kmswire.DataKeySpecAes128:
		return 16, nil
	case kmswire.DataKeySpecAes256:
		return 32, nil
	}
	return member.Number(bytes), nil
}

func (e edge) generateDataKey(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.GenerateDataKeyInput) (*kmswire.GenerateDataKeyOutput, error) {
	if err := absent(in.Recipient != nil); err != nil {
		return nil, err
	}
	n, err := length(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	plain, wrapped, err := e.keys.GenerateDataKey(ctx, g, k, in.EncryptionContext, n)
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.GenerateDataKeyOutput{KeyId: &k.ARN, Plaintext: plain, CiphertextBlob: wrapped, KeyMaterialId: member.Given(k.CurrentMaterial())}, nil
}

func (e edge) generateDataKeyWithoutPlaintext(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.GenerateDataKeyWithoutPlaintextInput) (*kmswire.GenerateDataKeyWithoutPlaintextOutput, error) {
	n, err := length(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	wrapped, err := e.keys.GenerateDataKeyWithoutPlaintext(ctx, g, k, in.EncryptionContext, n)
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.GenerateDataKeyWithoutPlaintextOutput{KeyId: &k.ARN, CiphertextBlob: wrapped, KeyMaterialId: member.Given(k.CurrentMaterial())}, nil
}

func (e edge) generateDataKeyPair(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.GenerateDataKeyPairInput) (*kmswire.GenerateDataKeyPairOutput, error) {
	if err := absent(in.Recipient != nil); err != nil {
		return nil, err
	}
	pair, err := e.keys.GenerateDataKeyPair(ctx, g, "GenerateDataKeyPair", k, in.EncryptionContext, kms.Spec(in.KeyPairSpec))
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.GenerateDataKeyPairOutput{
		KeyId: &k.ARN, KeyPairSpec: in.KeyPairSpec, PrivateKeyPlaintext: pair.Private, PrivateKeyCiphertextBlob: pair.Sealed, PublicKey: pair.Public,
		KeyMaterialId: member.Given(k.CurrentMaterial()),
	}, nil
}

func (e edge) generateDataKeyPairWithoutPlaintext(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.GenerateDataKeyPairWithoutPlaintextInput) (*kmswire.GenerateDataKeyPairWithoutPlaintextOutput, error) {
	pair, err := e.keys.GenerateDataKeyPair(ctx, g, "GenerateDataKeyPairWithoutPlaintext", k, in.EncryptionContext, kms.Spec(in.KeyPairSpec))
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.GenerateDataKeyPairWithoutPlaintextOutput{
		KeyId: &k.ARN, KeyPairSpec: in.KeyPairSpec, PrivateKeyCiphertextBlob: pair.Sealed, PublicKey: pair.Public, KeyMaterialId: member.Given(k.CurrentMaterial()),
	}, nil
}

func (e edge) generateRandom(_ context.Context, _ authz.Grant, _ string, in *kmswire.GenerateRandomInput) (*kmswire.GenerateRandomOutput, error) {
	if err := absent(in.Recipient != nil, in.CustomKeyStoreId != nil); err != nil {
		return nil, err
	}
	if in.NumberOfBytes == nil {
		return nil, fault.New(kms.Invalid, "NumberOfBytes is required.")
	}
	out := make([]byte, *in.NumberOfBytes) // 1 to 1,024, by the model
	rand.Read(out)
	return &kmswire.GenerateRandomOutput{Plaintext: out}, nil
}
