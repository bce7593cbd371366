// Package kms is the edge of the Key Management Service: its operations over the JSON protocol, each with
// what it demands.
//
// It promises that every operation demands the action of its name on the key, and for aliases on the alias
// too, with that key's policy, the grants that match and the condition keys that AWS documents for it;
// that a key of another account is told apart from one that does not exist only to callers who may use it;
// and that no plaintext, material or token of a request reaches a log or the record.
package kms

import (
	"log/slog"
	"slices"

	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/kmswire"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
)

// Config of the service.
type Config struct {
	// Keys has the keys. Required.
	Keys *kms.Store
	// Exposes tells what a change of a key's policy or grants lets strangers do. Default: nothing is watched over.
	Exposes exposure.Judge
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	keys    *kms.Store
	exposes exposure.Judge
}

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Keys, c.Exposes}
	return rpc.New(rpc.Config{
		Name: "kms", Protocol: wire.JSON11, Model: kmswire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.lifecycle(), e.lists(), e.policies(), e.aliases(), e.tagging(), e.rotation(), e.grants(), e.encryption(),
			e.dataKeys(), e.signing(), e.importing()),
	})
}

// answers tell the failures of package kms in AWS's codes, all with status 400.
var answers = func() map[fault.Kind]rpc.Answer {
	table := map[fault.Kind]rpc.Answer{}
	for kind, code := range map[fault.Kind]string{
		kms.NotFound: "NotFoundException", kms.Disabled: "DisabledException", kms.InvalidState: "KMSInvalidStateException",
		kms.InvalidKeyUsage: "InvalidKeyUsageException", kms.InvalidCiphertext: "InvalidCiphertextException", kms.IncorrectKey: "IncorrectKeyException",
		kms.UnknownCiphertext: "AccessDeniedException", kms.DryRun: "DryRunOperationException", kms.Invalid: "ValidationException",
		kms.InvalidARN: "InvalidArnException", kms.InvalidAlias: "InvalidAliasNameException", kms.NotAuthorized: "NotAuthorizedException",
		kms.AlreadyExists: "AlreadyExistsException", kms.LimitExceeded: "LimitExceededException", kms.BadTag: "TagException",
		kms.MalformedPolicy: "MalformedPolicyDocumentException", kms.Unsupported: "UnsupportedOperationException", kms.InvalidMarker: "InvalidMarkerException",
		kms.InvalidGrantID: "InvalidGrantIdException", kms.InvalidGrantToken: "InvalidGrantTokenException", kms.InvalidMAC: "KMSInvalidMacException",
		kms.InvalidSignature: "KMSInvalidSignatureException", kms.InvalidImportToken: "InvalidImportTokenException",
		kms.ExpiredImportToken: "ExpiredImportTokenException", kms.IncorrectKeyMaterial: "IncorrectKeyMaterialException",
	} {
		table[kind] = rpc.Answer{Code: code, Status: 400}
	}
	return table
}()

// texts are values of an enum, or back.
func texts[F, T ~string](items []F) []T {
	return member.Every(items, func(f F) T { return T(f) })
}
