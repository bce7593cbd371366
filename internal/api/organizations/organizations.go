// Package organizations is the edge of AWS Organizations: accounts, organizational units and service
// control policies of the one organization that a store has, over the JSON protocol.
//
// It promises that every operation demands the action of its name on the parts of the organization
// that it names. That only the managing account may manage is the rule of package identity, and holds
// whatever the policies of a member account say.
package organizations

import (
	"context"
	"log/slog"
	"slices"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/api/wire/organizationswire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// Config of the service.
type Config struct {
	// Identities has the organization. Required.
	Identities *identity.Store
	// Authn finds out who signed. Required.
	Authn *authn.Authenticator
	// Log is required.
	Log *slog.Logger
}

// edge is what the operations have in common.
type edge struct{ identities *identity.Store }

// New makes the service.
func New(c Config) *rpc.Service {
	e := edge{c.Identities}
	return rpc.New(rpc.Config{
		Name: "organizations", Protocol: wire.JSON11, Model: organizationswire.Operations, Answers: answers, Authn: c.Authn, Log: c.Log,
		Ops: slices.Concat(e.organization(), e.accounts(), e.units(), e.controls()),
	})
}

// Failures that this package finds itself.
const (
	alreadyInOrganization fault.Kind = "organizations.AlreadyInOrganization"
	policyTypeUnavailable fault.Kind = "organizations.PolicyTypeNotAvailable"
)

// answers tell the failures of package identity in the codes of Organizations, all with status 400.
var answers = map[fault.Kind]rpc.Answer{
	identity.NotManagementAccount:  {Code: "AccessDeniedException", Status: 400},
	identity.AccountNotFound:       {Code: "AccountNotFoundException", Status: 400},
	identity.AttemptNotFound:       {Code: "CreateAccountStatusNotFoundException", Status: 400},
	identity.ParentNotFound:        {Code: "ParentNotFoundException", Status: 400},
	identity.TargetNotFound:        {Code: "TargetNotFoundException", Status: 400},
	identity.UnitNotFound:          {Code: "OrganizationalUnitNotFoundException", Status: 400},
	identity.UnitNotEmpty:          {Code: "OrganizationalUnitNotEmptyException", Status: 400},
	identity.DuplicateUnit:         {Code: "DuplicateOrganizationalUnitException", Status: 400},
	identity.SourceParentNotFound:  {Code: "SourceParentNotFoundException", Status: 400},
	identity.DuplicateAccount:      {Code: "DuplicateAccountException", Status: 400},
	identity.ControlNotFound:       {Code: "PolicyNotFoundException", Status: 400},
	identity.DuplicateControl:      {Code: "DuplicatePolicyException", Status: 400},
	identity.ControlAttached:       {Code: "DuplicatePolicyAttachmentException", Status: 400},
	identity.ControlNotAttached:    {Code: "PolicyNotAttachedException", Status: 400},
	identity.ControlInUse:          {Code: "PolicyInUseException", Status: 400},
	identity.ControlProvided:       {Code: "PolicyChangesNotAllowedException", Status: 400},
	identity.MalformedControl:      {Code: "MalformedPolicyDocumentException", Status: 400},
	identity.ConstraintViolation:   {Code: "ConstraintViolationException", Status: 400},
	identity.OrganizationInvalid:   {Code: "InvalidInputException", Status: 400},
	identity.PolicyTypeEnabled:     {Code: "PolicyTypeAlreadyEnabledException", Status: 400},
	identity.PolicyTypeNotEnabled:  {Code: "PolicyTypeNotEnabledException", Status: 400},
	identity.AccountAlreadyClosed:  {Code: "AccountAlreadyClosedException", Status: 400},
	identity.InvalidInput:          {Code: "InvalidInputException", Status: 400},
	identity.InvalidParameterValue: {Code: "InvalidInputException", Status: 400},
	identity.ValidationError:       {Code: "InvalidInputException", Status: 400},
	identity.LimitExceeded:         {Code: "ConstraintViolationException", Status: 400},
	alreadyInOrganization:          {Code: "AlreadyInOrganizationException", Status: 400, Message: "The AWS account is already a member of an organization."},
	policyTypeUnavailable:          {Code: "PolicyTypeNotAvailableForOrganizationException", Status: 400, Message: "You can't use the specified policy type with the feature set currently enabled for your organization."},
	identity.Stale:                 {Code: "ServiceException", Status: 500, Message: "The service cannot answer now."},
}

// control is the one type of policy that Kura's organization has.
const control = organizationswire.PolicyType("SERVICE_CONTROL_POLICY")

// parts are the ids of what a request is about; none for operations without a resource.
type parts[In any] func(in *In) []string

// answer declares an operation: it demands the action of its name on every part that the request names, and
// organizations:TagResource on what does not exist yet if the request brings tags for it (API Reference, CreateAccount).
func answer[In, Out any](e edge, w *wire.Operation, access api.Access, of parts[In], tags func(*In) authz.Keys, do func(context.Context, authz.Grant, *In) (*Out, error)) *api.Op {
	action := "organizations:" + w.Name
	typed := slices.Contains(policy.ActionKeys(action), "organizations:policytype")
	return api.Declare(api.Decl[In, Out]{
		Wire: w, Class: audit.Management, Access: access,
		Demands: func(c *api.Call, in *In) ([]authz.Demand, error) {
			everything := authz.Resource{ARN: "*", Account: c.Caller.Subject.Principal.Account}
			var ofRequest authz.Keys
			if tags != nil {
				ofRequest = tags(in)
			}
			var demands []authz.Demand
			if of != nil {
				for _, id := range of(in) {
					k := keys{typed, authz.Either{e.identities.OrganizationTags(id), ofRequest}}
					demands = c.Need(action, authz.Resource{ARN: e.identities.OrganizationARN(id), Account: everything.Account}, k)
				}
			}
			if demands == nil {
				demands = c.Need(action, everything, keys{typed, authz.Either{ofRequest}})
			}
			if _, some := (authz.Either{ofRequest}).Lookup("aws:tagkeys"); some {
				demands = c.Need("organizations:TagResource", everything, ofRequest)
			}
			return demands, nil
		},
		Do: func(ctx context.Context, g authz.Grant, _ *api.Call, in *In) (*Out, error) { return do(ctx, g, in) },
	})
}

// keys are the condition keys of the request and of the part that it is about.
type keys struct {
	typed bool // the action knows organizations:PolicyType
	authz.Either
}

// Lookup implements authz.Keys.
func (k keys) Lookup(key string) (policy.Values, bool) {
	if key == "organizations:policytype" {
		return policy.Values{One: string(control)}, k.typed
	}
	return k.Either.Lookup(key)
}

// pageOf is the page that a list operation asks for.
func pageOf(token *string, maxResults *int32) identity.Page {
	p := identity.Page{Marker: member.Text(token)}
	if maxResults != nil {
		p.MaxItems = int(*maxResults)
	}
	return p
}

func tagsOf(tags []organizationswire.Tag) []identity.Tag {
	return member.Every(tags, func(t organizationswire.Tag) identity.Tag {
		return identity.Tag{Key: member.Text(t.Key), Value: member.Text(t.Value)}
	})
}

// brought are the condition keys of the tags in a request.
func brought(tags []organizationswire.Tag) authz.RequestTags {
	return member.Tags(tags, func(t organizationswire.Tag) (key, value *string) { return t.Key, t.Value })
}
