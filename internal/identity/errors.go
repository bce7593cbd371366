package identity

import (
	"fmt"

	"github.com/kura-s3/kura/internal/fault"
)

// Failures of this package. Each comment names the code and status that the IAM, STS or
// Organizations edge gives it; the message that travels with the fault is AWS's own.
const (
	EntityAlreadyExists     fault.Kind = "identity.EntityAlreadyExists"     // EntityAlreadyExists 409
	NoSuchEntity            fault.Kind = "identity.NoSuchEntity"            // NoSuchEntity 404
	DeleteConflict          fault.Kind = "identity.DeleteConflict"          // DeleteConflict 409
	LimitExceeded           fault.Kind = "identity.LimitExceeded"           // LimitExceeded 409
	MalformedPolicyDocument fault.Kind = "identity.MalformedPolicyDocument" // MalformedPolicyDocument 400
	PolicyNotAttachable     fault.Kind = "identity.PolicyNotAttachable"     // PolicyNotAttachable 400
	InvalidInput            fault.Kind = "identity.InvalidInput"            // InvalidInput 400
	ValidationError         fault.Kind = "identity.ValidationError"         // ValidationError 400
	InvalidParameterValue   fault.Kind = "identity.InvalidParameterValue"   // InvalidParameterValue 400
	PasswordPolicyViolation fault.Kind = "identity.PasswordPolicyViolation" // PasswordPolicyViolation 400
	InvalidMFACode          fault.Kind = "identity.InvalidMFACode"          // InvalidAuthenticationCode 403
	UnmodifiableEntity      fault.Kind = "identity.UnmodifiableEntity"      // UnmodifiableEntity 400
	ReportNotPresent        fault.Kind = "identity.ReportNotPresent"        // ReportNotPresent 410
	ReportExpired           fault.Kind = "identity.ReportExpired"           // ReportExpired 410

	AccessDenied         fault.Kind = "identity.AccessDenied"         // AccessDenied 403
	PackedPolicyTooLarge fault.Kind = "identity.PackedPolicyTooLarge" // PackedPolicyTooLarge 400
	InvalidIdentityToken fault.Kind = "identity.InvalidIdentityToken" // InvalidIdentityToken 400
	ExpiredIdentityToken fault.Kind = "identity.ExpiredIdentityToken" // ExpiredTokenException 400
	IDPCommunication     fault.Kind = "identity.IDPCommunication"     // IDPCommunicationError 400

	// Stale: this node could not confirm for too long that its view is current, and refuses to
	// decide upon it. ServiceUnavailable 503.
	Stale fault.Kind = "identity.Stale"
)

// refuse makes a failure of kind k with AWS's message.
func refuse(k fault.Kind, format string, args ...any) error {
	return fault.New(k, fmt.Sprintf(format, args...))
}

// notFound is NoSuchEntity in the words that IAM has for each kind.
func notFound(kind Kind, name string) error {
	switch kind {
	case KindPolicy:
		return refuse(NoSuchEntity, "Policy %s was not found.", name)
	case KindInstanceProfile:
		return refuse(NoSuchEntity, "Instance Profile %s cannot be found.", name)
	case KindMFA:
		return refuse(NoSuchEntity, "VirtualMFADevice with serial number %s doesn't exist.", name)
	case KindOIDCProvider:
		return refuse(NoSuchEntity, "OpenIDConnect Provider not found for arn %s", name)
	case kindKey:
		return refuse(NoSuchEntity, "The Access Key with id %s cannot be found.", name)
	}
	return refuse(NoSuchEntity, "The %s with name %s cannot be found.", kind, name)
}

// exists is EntityAlreadyExists in the words that IAM has for each kind.
func exists(kind Kind, name string) error {
	switch kind {
	case KindPolicy:
		return refuse(EntityAlreadyExists, "A policy called %s already exists. Duplicate names are not allowed.", name)
	case KindInstanceProfile:
		return refuse(EntityAlreadyExists, "Instance Profile %s already exists.", name)
	case KindMFA:
		return refuse(EntityAlreadyExists, "MFADevice entity at the same path and name already exists.")
	case KindOIDCProvider:
		return refuse(EntityAlreadyExists, "Provider with url %s already exists.", name)
	}
	return refuse(EntityAlreadyExists, "%s with name %s already exists.", titles[kind], name)
}

// violates is the ValidationError that the request's shape check gives.
func violates(value, member, constraint string) error {
	return refuse(ValidationError, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, member, constraint)
}
