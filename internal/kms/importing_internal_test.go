package kms

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz/authztest"
)

// TestImportParametersWaitTheirTurn: their key pairs cost as much as others, so as few are made at a time.
func TestImportParametersWaitTheirTurn(t *testing.T) {
	s := &Store{now: time.Now, making: make(chan struct{}, 1)}
	s.making <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := &Key{ARN: "arn:aws:kms:us-east-1:111122223333:key/k", Origin: OriginExternal}
	g := authztest.Grant(t, "kms:*", "*")
	if _, err := s.ParametersForImport(ctx, g, k, "RSAES_OAEP_SHA_256", "RSA_4096"); !errors.Is(err, context.Canceled) {
		t.Errorf("while others are made: %v", err)
	}
}
