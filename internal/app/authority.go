package app

import (
	"context"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/policy"
)

// eventsPrincipal is the service that rules' roles have to trust.
const eventsPrincipal = "events.amazonaws.com"

// eventAuthority decides what deliveries may do. It implements delivery.Authority.
type eventAuthority struct {
	guard      *authz.Guard
	identities *identity.Store
	region     string
}

// Authorize asks the Guard in the name of the delivery's role, which has to trust EventBridge. Without a
// role, an account sends to what is its own: who made the rule was asked for the permission then; and
// to another account's bus if that bus's policy lets it.
func (a eventAuthority) Authorize(ctx context.Context, d *queue.Delivery, action string, on authz.Resource) (authz.Grant, error) {
	subject := authz.Subject{Principal: policy.Principal{
		Type: policy.RootUser, Account: d.Account, ARN: "arn:aws:iam::" + d.Account + ":root", UserID: d.Account, UniqueID: d.Account,
	}}
	switch {
	case d.Role != "":
		var err error
		if subject, err = a.assume(ctx, d, action); err != nil {
			return authz.Grant{}, err
		}
	case on.Account == d.Account:
		return a.guard.System(ctx, "events", authz.Demand{Action: action, Resource: on})
	default:
		on.MustAllow = true
	}
	return a.guard.Decide(ctx, &authz.Inquiry{Subject: &subject, Keys: a.keys(d), Event: a.record(d, action, subject.Principal)}, authz.Demand{Action: action, Resource: on})
}

// assume is the role, as a session that EventBridge began.
func (a eventAuthority) assume(ctx context.Context, d *queue.Delivery, action string) (authz.Subject, error) {
	service := authz.Subject{Principal: policy.Principal{Type: policy.Service, ARN: eventsPrincipal}}
	demands, err := a.identities.AssumeRoleDemands(ctx, &service, identity.AssumeRoleInput{RoleARN: d.Role, RoleSessionName: "events"})
	if err != nil {
		return authz.Subject{}, err
	}
	if _, err := a.guard.Decide(ctx, &authz.Inquiry{Subject: &service, Keys: a.keys(d), Event: a.record(d, "sts:AssumeRole", service.Principal)}, demands...); err != nil {
		return authz.Subject{}, err
	}
	return a.identities.PrincipalSubject(d.Role)
}

func (a eventAuthority) record(d *queue.Delivery, action string, p policy.Principal) *audit.Event {
	service, operation, _ := strings.Cut(action, ":")
	return &audit.Event{
		ID: event.NewID(), RequestID: event.NewID(), Time: time.Now(), Service: service, Operation: operation, Class: audit.Management,
		Principal: p, AuthType: "system", Region: a.region, SourceIP: eventsPrincipal, UserAgent: eventsPrincipal,
	}
}

// keys say because of what the delivery is made.
func (a eventAuthority) keys(d *queue.Delivery) authz.Keys {
	return causedBy{d.Cause, d.Account}
}

type causedBy struct{ arn, account string }

// Lookup implements authz.Keys.
func (c causedBy) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "aws:sourcearn":
		return policy.Values{One: c.arn}, true
	case "aws:sourceaccount":
		return policy.Values{One: c.account}, true
	case "aws:securetransport":
		return policy.Values{One: "true"}, true
	case "aws:currenttime":
		return policy.Values{One: time.Now().UTC().Format(time.RFC3339)}, true
	}
	return policy.Values{}, false
}
