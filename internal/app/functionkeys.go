package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/kms"
)

// functionKeys encrypts environments under keys of KMS: with the permission of who configures or looks, and
// for the function itself through a grant to its role, as AWS does. It implements function.Keys.
type functionKeys struct{ s *server }

// environmentContext is the encryption context of a function's environment.
func environmentContext(functionARN string) map[string]string {
	return map[string]string{"aws:lambda:FunctionArn": functionARN}
}

func (k functionKeys) key(ref string) (*kms.Key, error) {
	key, err := k.s.kms.Find(ref, accountIn(ref), k.s.config.Region)
	if err != nil {
		return nil, fault.New(function.InvalidParameter, "The KMS key "+ref+" is not valid.")
	}
	return key, nil
}

// denied is KMS's refusal in Lambda's words.
func denied(what string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	return &fault.Error{
		Kind: function.KeyDenied, Cause: err,
		Message: "Lambda was unable to " + what + " your environment variables because the KMS access was denied. Please check your KMS permissions. KMS Message: " + f.Message,
	}
}

// Encrypt implements function.Keys.
func (k functionKeys) Encrypt(ctx context.Context, g authz.Grant, ref, functionARN, role string, plain []byte) ([]byte, error) {
	key, err := k.key(ref)
	if err != nil {
		return nil, err
	}
	principal, about := g.Principal(), environmentContext(functionARN)
	via := kms.ViaService("lambda", k.s.config.Region)
	grant := kms.NewGrant{Name: "lambda-" + functionSession(functionARN), Grantee: role, Operations: []string{"Decrypt"}, Equals: about}
	g, err = g.Ask(ctx, k.s.kms.Demand(key, "kms:Encrypt", about, via, &principal), k.s.kms.DemandUse(kms.Use{
		Key: key, Action: "kms:CreateGrant", Context: about, Via: via, By: &principal, Passing: &grant, Keys: oneKey{"kms:grantisforawsresource", "true"},
	}))
	if err != nil {
		return nil, denied("configure", err)
	}
	sealed, err := k.s.kms.Encrypt(ctx, g, kms.Sealing{Key: key, Context: about}, plain)
	if err != nil {
		return nil, denied("configure", err)
	}
	if _, err := k.s.kms.CreateGrant(ctx, g, key.ID, grant, false); err != nil {
		return nil, denied("configure", err)
	}
	return sealed, nil
}

// Decrypt implements function.Keys.
func (k functionKeys) Decrypt(ctx context.Context, g authz.Grant, ref, functionARN string, sealed []byte) ([]byte, error) {
	key, err := k.key(ref)
	if err != nil {
		return nil, err
	}
	principal, about := g.Principal(), environmentContext(functionARN)
	if g, err = g.Ask(ctx, k.s.kms.Demand(key, "kms:Decrypt", about, kms.ViaService("lambda", k.s.config.Region), &principal)); err != nil {
		return nil, denied("decrypt", err)
	}
	plain, _, err := k.s.kms.Open(ctx, g, kms.Sealing{Key: key, Context: about}, sealed)
	return plain, denied("decrypt", err)
}

// DecryptAs implements function.Keys: a request to KMS by the function's role.
func (k functionKeys) DecryptAs(ctx context.Context, ref, functionARN, role string, sealed []byte) ([]byte, error) {
	as, err := k.s.asFunction(ctx, role, functionARN)
	if err != nil {
		return nil, denied("decrypt", err)
	}
	status, text, err := k.s.askJSON(ctx, as, lambdaPrincipal, "kms", "TrentService.Decrypt", map[string]any{
		"CiphertextBlob": sealed, "KeyId": ref, "EncryptionContext": environmentContext(functionARN),
	})
	if err != nil {
		return nil, err
	}
	var told struct {
		Plaintext []byte
		Message   string `json:"message"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, denied("decrypt", fault.New(function.KeyDenied, told.Message))
	}
	return told.Plaintext, nil
}
