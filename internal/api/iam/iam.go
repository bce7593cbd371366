// Package iam is the edge of AWS Identity and Access Management: it turns requests of the query
// protocol into the methods of package identity, and what those answer into AWS's XML.
//
// It promises that every operation demands the IAM action of its name, on the resource and with the
// condition keys that the Service Authorization Reference gives it, before anything is looked up for
// the answer. A caller who is not allowed learns the same whether or not the entity exists.
//
// There is one file per resource, with one type that lists its operations. What an operation is about
// (target.go) and which condition keys it has (keys.go) is told once, for all of them.
package iam

import (
	"log/slog"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

// Config of the service.
type Config struct {
	// Identities is all that IAM is about. Required.
	Identities *identity.Store
	// Exposes tells what a change of a role's trust policy lets strangers do. Default: nothing is watched over.
	Exposes exposure.Judge
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	identities *identity.Store
	exposes    exposure.Judge
}

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Identities, c.Exposes}
	return rpc.New(rpc.Config{
		Name: "iam", Protocol: wire.Query, Model: iamwire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(
			users{e}.ops(), loginProfiles{e}.ops(), accessKeys{e}.ops(), groups{e}.ops(), roles{e}.ops(), managedPolicies{e}.ops(),
			inlinePolicies{e}.ops(), attachments{e}.ops(), boundaries{e}.ops(), tagging{e}.ops(), instanceProfiles{e}.ops(), devices{e}.ops(),
			providers{e}.ops(), accounts{e}.ops(), otherCredentials{e}.ops(), reports{e}.ops(), simulator{e}.ops(),
		),
	})
}

// answers tell the failures of package identity in IAM's codes.
var answers = map[fault.Kind]rpc.Answer{
	identity.EntityAlreadyExists:     {Code: "EntityAlreadyExists", Status: 409},
	identity.NoSuchEntity:            {Code: "NoSuchEntity", Status: 404},
	identity.DeleteConflict:          {Code: "DeleteConflict", Status: 409},
	identity.LimitExceeded:           {Code: "LimitExceeded", Status: 409},
	identity.MalformedPolicyDocument: {Code: "MalformedPolicyDocument", Status: 400},
	identity.PolicyNotAttachable:     {Code: "PolicyNotAttachable", Status: 400},
	identity.InvalidInput:            {Code: "InvalidInput", Status: 400},
	identity.ValidationError:         {Code: "ValidationError", Status: 400},
	identity.InvalidParameterValue:   {Code: "InvalidParameterValue", Status: 400},
	identity.PasswordPolicyViolation: {Code: "PasswordPolicyViolation", Status: 400},
	identity.InvalidMFACode:          {Code: "InvalidAuthenticationCode", Status: 403},
	identity.UnmodifiableEntity:      {Code: "UnmodifiableEntity", Status: 400},
	identity.ReportNotPresent:        {Code: "ReportNotPresent", Status: 410},
	identity.ReportExpired:           {Code: "ReportExpired", Status: 410},
	identity.AccessDenied:            {Code: "AccessDenied", Status: 403, Message: "Access Denied"},
	identity.IDPCommunication:        {Code: "OpenIdIdpCommunicationError", Status: 400},
	identity.Stale:                   {Code: "ServiceUnavailable", Status: 503, Message: "The request has failed due to a temporary failure of the server."},
}

// done answers an operation whose output has no members.
type done struct{}

// Respond implements api.Responder.
func (done) Respond(c *api.Call) error { return c.Service.Succeed(c, c.Op.Wire().NewOutput()) }
