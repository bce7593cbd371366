// Package sts is the edge of the AWS Security Token Service: it turns requests of the query protocol
// into the sessions of package identity.
//
// It promises that no session is made but through the Guard: who may assume a role is decided by the
// role's trust policy and the caller's own policies, in one evaluation, with the condition keys of the
// request. The secret and the token of a session are in the one answer that makes it and in no record.
package sts

import (
	"log/slog"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/stswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
)

// Config of the service.
type Config struct {
	// Identities makes the sessions. Required.
	Identities *identity.Store
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Guard remembers why requests were refused, for DecodeAuthorizationMessage. Required.
	Guard *authz.Guard
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct {
	identities *identity.Store
	guard      *authz.Guard
}

// New makes the service.
func New(c Config) *rpc.Service {
	return rpc.New(rpc.Config{
		Name: "sts", Protocol: wire.Query, Model: stswire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: edge{c.Identities, c.Guard}.ops(),
	})
}

func (e edge) ops() []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[stswire.GetCallerIdentityInput, stswire.GetCallerIdentityOutput]{
			Wire: &stswire.GetCallerIdentity, Class: audit.Management, Access: api.Read,
			Demands: e.callerIdentityDemands, Do: e.getCallerIdentity,
		}),
		api.Declare(api.Decl[stswire.GetAccessKeyInfoInput, stswire.GetAccessKeyInfoOutput]{
			Wire: &stswire.GetAccessKeyInfo, Class: audit.Management, Access: api.Read,
			Demands: e.accessKeyInfoDemands, Do: e.getAccessKeyInfo,
		}),
		api.Declare(api.Decl[stswire.AssumeRoleInput, stswire.AssumeRoleOutput]{
			Wire: &stswire.AssumeRole, Class: audit.Management, Access: api.Write,
			Demands: e.assumeRoleDemands, Do: e.assumeRole,
		}),
		api.Declare(api.Decl[stswire.AssumeRoleWithWebIdentityInput, stswire.AssumeRoleWithWebIdentityOutput]{
			Wire: &stswire.AssumeRoleWithWebIdentity, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: e.webIdentityDemands, Do: e.assumeRoleWithWebIdentity,
		}),
		api.Declare(api.Decl[stswire.GetSessionTokenInput, stswire.GetSessionTokenOutput]{
			Wire: &stswire.GetSessionToken, Class: audit.Management, Access: api.Read,
			Demands: e.sessionTokenDemands, Do: e.getSessionToken,
		}),
		api.Declare(api.Decl[stswire.GetFederationTokenInput, stswire.GetFederationTokenOutput]{
			Wire: &stswire.GetFederationToken, Class: audit.Management, Access: api.Read,
			Demands: e.federationTokenDemands, Do: e.getFederationToken,
		}),
		api.Declare(api.Decl[stswire.DecodeAuthorizationMessageInput, stswire.DecodeAuthorizationMessageOutput]{
			Wire: &stswire.DecodeAuthorizationMessage, Class: audit.Management, Access: api.Write,
			Demands: e.decodeDemands, Do: e.decodeAuthorizationMessage,
		}),
	}
}

// answers tell the failures of package identity in STS's codes.
var answers = map[fault.Kind]rpc.Answer{
	identity.AccessDenied:            {Code: "AccessDenied", Status: 403, Message: "Access Denied"},
	identity.ValidationError:         {Code: "ValidationError", Status: 400},
	identity.InvalidInput:            {Code: "ValidationError", Status: 400},
	identity.NoSuchEntity:            {Code: "ValidationError", Status: 400},
	identity.LimitExceeded:           {Code: "ValidationError", Status: 400},
	identity.InvalidParameterValue:   {Code: "InvalidParameterValue", Status: 400},
	identity.MalformedPolicyDocument: {Code: "MalformedPolicyDocument", Status: 400},
	identity.PackedPolicyTooLarge:    {Code: "PackedPolicyTooLarge", Status: 400},
	identity.InvalidIdentityToken:    {Code: "InvalidIdentityToken", Status: 400},
	identity.ExpiredIdentityToken:    {Code: "ExpiredTokenException", Status: 400},
	identity.IDPCommunication:        {Code: "IDPCommunicationError", Status: 400},
	invalidMessage:                   {Code: "InvalidAuthorizationMessageException", Status: 400, Message: "Message is invalid"},
	identity.Stale:                   {Code: "ServiceUnavailable", Status: 503, Message: "The request has failed due to a temporary failure of the server."},
}

// invalidMessage: there is no refusal of that id that the caller's account may know of.
const invalidMessage fault.Kind = "sts.InvalidAuthorizationMessage"

// packed is how full the session's policies and tags make it, left out when there are none.
func packed(percent int) *int32 {
	if percent == 0 {
		return nil
	}
	return new(int32(percent))
}

func showCredentials(c *identity.SessionCredentials) *stswire.Credentials {
	return &stswire.Credentials{
		AccessKeyId: new(c.AccessKeyID), SecretAccessKey: new(c.SecretAccessKey), SessionToken: new(c.SessionToken),
		Expiration: new(c.Expiration.UTC().Truncate(time.Second)),
	}
}

func policyARNs(list []stswire.PolicyDescriptorType) []string {
	arns := make([]string, 0, len(list))
	for _, p := range list {
		arns = append(arns, member.Text(p.Arn))
	}
	return arns
}

func tagsOf(list []stswire.Tag) []identity.Tag {
	tags := make([]identity.Tag, 0, len(list))
	for _, t := range list {
		tags = append(tags, identity.Tag{Key: member.Text(t.Key), Value: member.Text(t.Value)})
	}
	return tags
}

// mfaOf is the code that was shown, nil for none.
func mfaOf(serial, code *string) *identity.MFA {
	if serial == nil && code == nil {
		return nil
	}
	return &identity.MFA{SerialNumber: member.Text(serial), TokenCode: member.Text(code)}
}
