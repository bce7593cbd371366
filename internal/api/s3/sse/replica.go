package sse

import (
	"context"
	"crypto/rand"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/object"
)

// SealReplica is Seal for replication. S3 does that with the permission kms:Encrypt: the data key is its
// own, and KMS encrypts it. A role that has kms:GenerateDataKey in its place may replicate too.
func (k *Keys) SealReplica(ctx context.Context, g authz.Grant, w *Want) (*object.Sealing, error) {
	key, alias, err := k.find(ctx, w)
	if err != nil {
		return nil, err
	}
	sealed := object.Sealed{Encryption: w.Kind, KeyARN: key.ARN, Context: w.Context}
	pairs, err := pairsOf(w.Bucket, w.Key, &sealed)
	if err != nil {
		return nil, err
	}
	d := k.kms.DemandUse(kms.Use{Key: key, Action: "kms:Encrypt", Context: pairs, Via: k.via, By: w.By, Alias: alias})
	if !g.May(d) {
		return k.Seal(ctx, g, w)
	}
	if g, err = g.Ask(ctx, d); err != nil {
		return nil, err
	}
	plain := make([]byte, object.KeySize)
	rand.Read(plain)
	defer clear(plain)
	if sealed.Wrapped, err = k.kms.Encrypt(ctx, g, kms.Sealing{Key: key, Context: pairs}, plain); err != nil {
		return nil, err
	}
	opened, err := object.NewKey(plain)
	return &object.Sealing{Sealed: sealed, Key: opened}, err
}
