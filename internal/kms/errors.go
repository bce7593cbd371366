package kms

import (
	"fmt"

	"github.com/kura-s3/kura/internal/fault"
)

// Failures of this package. Each comment names the code that the KMS edge gives it; the message that
// travels with the fault is AWS's own.
const (
	NotFound             fault.Kind = "kms.NotFound"             // NotFoundException
	Disabled             fault.Kind = "kms.Disabled"             // DisabledException
	InvalidState         fault.Kind = "kms.InvalidState"         // KMSInvalidStateException
	InvalidKeyUsage      fault.Kind = "kms.InvalidKeyUsage"      // InvalidKeyUsageException
	InvalidCiphertext    fault.Kind = "kms.InvalidCiphertext"    // InvalidCiphertextException
	IncorrectKey         fault.Kind = "kms.IncorrectKey"         // IncorrectKeyException
	UnknownCiphertext    fault.Kind = "kms.UnknownCiphertext"    // AccessDeniedException
	DryRun               fault.Kind = "kms.DryRun"               // DryRunOperationException
	Invalid              fault.Kind = "kms.Invalid"              // ValidationException
	InvalidARN           fault.Kind = "kms.InvalidARN"           // InvalidArnException
	InvalidAlias         fault.Kind = "kms.InvalidAlias"         // InvalidAliasNameException
	NotAuthorized        fault.Kind = "kms.NotAuthorized"        // NotAuthorizedException
	AlreadyExists        fault.Kind = "kms.AlreadyExists"        // AlreadyExistsException
	LimitExceeded        fault.Kind = "kms.LimitExceeded"        // LimitExceededException
	BadTag               fault.Kind = "kms.BadTag"               // TagException
	MalformedPolicy      fault.Kind = "kms.MalformedPolicy"      // MalformedPolicyDocumentException
	Unsupported          fault.Kind = "kms.Unsupported"          // UnsupportedOperationException
	InvalidMarker        fault.Kind = "kms.InvalidMarker"        // InvalidMarkerException
	InvalidGrantID       fault.Kind = "kms.InvalidGrantID"       // InvalidGrantIdException
	InvalidGrantToken    fault.Kind = "kms.InvalidGrantToken"    // InvalidGrantTokenException
	InvalidMAC           fault.Kind = "kms.InvalidMAC"           // KMSInvalidMacException
	InvalidSignature     fault.Kind = "kms.InvalidSignature"     // KMSInvalidSignatureException
	InvalidImportToken   fault.Kind = "kms.InvalidImportToken"   // InvalidImportTokenException
	ExpiredImportToken   fault.Kind = "kms.ExpiredImportToken"   // ExpiredImportTokenException
	IncorrectKeyMaterial fault.Kind = "kms.IncorrectKeyMaterial" // IncorrectKeyMaterialException
)

// refuse makes a failure of kind k with AWS's message.
func refuse(k fault.Kind, format string, args ...any) error {
	return fault.New(k, fmt.Sprintf(format, args...))
}

// violates is the failure of a member that breaks a constraint.
func violates(value, member, constraint string) error {
	return refuse(Invalid, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, member, constraint)
}
