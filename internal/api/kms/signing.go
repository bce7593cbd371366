package kms

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/policy"
)

func (e edge) signing() []*api.Op {
	type (
		sign   = kmswire.SignInput
		verify = kmswire.VerifyInput
		mac    = kmswire.GenerateMacInput
		check  = kmswire.VerifyMacInput
		public = kmswire.GetPublicKeyInput
		derive = kmswire.DeriveSharedSecretInput
	)
	return []*api.Op{
		onKey(e, &kmswire.Sign, api.Write, deed[sign]{
			key: func(in *sign) *string { return in.KeyId }, tokens: func(in *sign) []string { return in.GrantTokens },
			keys: func(in *sign) policy.Keys { return signingKeys(in.SigningAlgorithm, in.MessageType) },
		}, e.sign),
		onKey(e, &kmswire.Verify, api.Write, deed[verify]{
			key: func(in *verify) *string { return in.KeyId }, tokens: func(in *verify) []string { return in.GrantTokens },
			keys: func(in *verify) policy.Keys { return signingKeys(in.SigningAlgorithm, in.MessageType) },
		}, e.verify),
		onKey(e, &kmswire.GenerateMac, api.Write, deed[mac]{
			key: func(in *mac) *string { return in.KeyId }, tokens: func(in *mac) []string { return in.GrantTokens },
			keys: func(in *mac) policy.Keys { return one(policy.Keys{}, "kms:MacAlgorithm", string(in.MacAlgorithm)) },
		}, e.generateMac),
		onKey(e, &kmswire.VerifyMac, api.Write, deed[check]{
			key: func(in *check) *string { return in.KeyId }, tokens: func(in *check) []string { return in.GrantTokens },
			keys: func(in *check) policy.Keys { return one(policy.Keys{}, "kms:MacAlgorithm", string(in.MacAlgorithm)) },
		}, e.verifyMac),
		onKey(e, &kmswire.GetPublicKey, api.Read, deed[public]{
			key: func(in *public) *string { return in.KeyId }, tokens: func(in *public) []string { return in.GrantTokens },
		}, e.getPublicKey),
		onKey(e, &kmswire.DeriveSharedSecret, api.Write, deed[derive]{
			key: func(in *derive) *string { return in.KeyId }, tokens: func(in *derive) []string { return in.GrantTokens },
			keys: func(in *derive) policy.Keys {
				return one(policy.Keys{}, "kms:KeyAgreementAlgorithm", string(in.KeyAgreementAlgorithm))
			},
		}, e.deriveSharedSecret),
	}
}

// kind of a message that does not say: RAW.
func kind(t kmswire.MessageType) kmswire.MessageType {
	if t == "" {
		return kmswire.MessageTypeRaw
	}
	return t
}

func signingKeys(a kmswire.SigningAlgorithmSpec, t kmswire.MessageType) policy.Keys {
	return one(one(policy.Keys{}, "kms:SigningAlgorithm", string(a)), "kms:MessageType", string(kind(t)))
}

func message(bytes []byte, t kmswire.MessageType, a kmswire.SigningAlgorithmSpec) (kms.Message, error) {
	m := kms.Message{Bytes: bytes, Digest: t == kmswire.MessageTypeDigest, Algorithm: string(a)}
	if k := kind(t); k != kmswire.MessageTypeRaw && k != kmswire.MessageTypeDigest {
		return m, fault.New(kms.Invalid, "MessageType "+string(t)+" is not valid for algorithm "+string(a)+".")
	}
	return m, nil
}

func (e edge) sign(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.SignInput) (*kmswire.SignOutput, error) {
	m, err := message(in.Message, in.MessageType, in.SigningAlgorithm)
	if err != nil {
		return nil, err
	}
	signature, err := e.keys.Sign(ctx, g, k, m)
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.SignOutput{KeyId: &k.ARN, Signature: signature, SigningAlgorithm: in.SigningAlgorithm}, nil
}

func (e edge) verify(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.VerifyInput) (*kmswire.VerifyOutput, error) {
	m, err := message(in.Message, in.MessageType, in.SigningAlgorithm)
	if err == nil {
		err = e.keys.Verify(ctx, g, k, m, in.Signature)
	}
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.VerifyOutput{KeyId: &k.ARN, SignatureValid: new(true), SigningAlgorithm: in.SigningAlgorithm}, nil
}

func (e edge) generateMac(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.GenerateMacInput) (*kmswire.GenerateMacOutput, error) {
	code, err := e.keys.GenerateMAC(ctx, g, k, in.Message, string(in.MacAlgorithm))
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.GenerateMacOutput{KeyId: &k.ARN, Mac: code, MacAlgorithm: in.MacAlgorithm}, nil
}

func (e edge) verifyMac(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.VerifyMacInput) (*kmswire.VerifyMacOutput, error) {
	err := e.keys.VerifyMAC(ctx, g, k, in.Message, string(in.MacAlgorithm), in.Mac)
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.VerifyMacOutput{KeyId: &k.ARN, MacValid: new(true), MacAlgorithm: in.MacAlgorithm}, nil
}

func (e edge) getPublicKey(ctx context.Context, g authz.Grant, k *kms.Key, _ *kmswire.GetPublicKeyInput) (*kmswire.GetPublicKeyOutput, error) {
	public, err := e.keys.PublicKey(ctx, g, k)
	if err != nil {
		return nil, err
	}
	m := e.metadata(k)
	return &kmswire.GetPublicKeyOutput{
		KeyId: &k.ARN, PublicKey: public, CustomerMasterKeySpec: m.CustomerMasterKeySpec, KeySpec: m.KeySpec, KeyUsage: m.KeyUsage,
		EncryptionAlgorithms: m.EncryptionAlgorithms, SigningAlgorithms: m.SigningAlgorithms, KeyAgreementAlgorithms: m.KeyAgreementAlgorithms,
	}, nil
}

func (e edge) deriveSharedSecret(ctx context.Context, g authz.Grant, k *kms.Key, in *kmswire.DeriveSharedSecretInput) (*kmswire.DeriveSharedSecretOutput, error) {
	if err := absent(in.Recipient != nil); err != nil {
		return nil, err
	}
	secret, err := e.keys.DeriveSharedSecret(ctx, g, k, in.PublicKey)
	if err == nil {
		err = dryRun(in.DryRun)
	}
	if err != nil {
		return nil, err
	}
	return &kmswire.DeriveSharedSecretOutput{
		KeyId: &k.ARN, SharedSecret: secret, KeyAgreementAlgorithm: in.KeyAgreementAlgorithm, KeyOrigin: kmswire.OriginType(k.Origin),
	}, nil
}
