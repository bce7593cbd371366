package app

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/policy"
)

// eventsPrincipal is the service that rules' roles have to trust.
const eventsPrincipal = "events.amazonaws.com"

// eventAuthority decides what deliveries may do. It implements delivery.Authority.
type eventAuthority struct{ s *server }

// Authorize asks the Guard in the name of the delivery's role, which has to trust EventBridge. Without a
// role, an account sends to what is its own: who made the rule was asked for the permission then; and
// to another account's bus if that bus's policy lets it.
func (a eventAuthority) Authorize(ctx context.Context, d *queue.Delivery, action string, on authz.Resource) (authz.Grant, error) {
	subject := &authz.Subject{Principal: policy.Principal{
		Type: policy.RootUser, Account: d.Account, ARN: "arn:aws:iam::" + d.Account + ":root", UserID: d.Account, UniqueID: d.Account,
	}}
	switch {
	case d.Role != "":
		var err error
		if subject, err = a.assume(ctx, d); err != nil {
			return authz.Grant{}, err
		}
	case on.Account == d.Account:
		return a.s.guard.System(ctx, "events", authz.Demand{Action: action, Resource: on})
	default:
		on.MustAllow = true
	}
	return a.s.guard.Decide(ctx, &authz.Inquiry{
		Subject: subject, Keys: withoutRequest{cause{d.Cause, d.Account}}, Event: a.s.recordOf(eventsPrincipal, action, subject.Principal),
	}, authz.Demand{Action: action, Resource: on})
}

// assume is the delivery's role, as a session that EventBridge began.
func (a eventAuthority) assume(ctx context.Context, d *queue.Delivery) (*authz.Subject, error) {
	return a.s.as(ctx, eventsPrincipal, d.Role, "events", cause{d.Cause, d.Account})
}

// mayDo asks the Guard, without a request, whether a service may do something because of a resource.
func (s *server) mayDo(ctx context.Context, service string, because cause, demand authz.Demand) error {
	as := servicePrincipal(service, because)
	_, err := s.guard.Decide(ctx, &authz.Inquiry{
		Subject: as, Keys: withoutRequest{because}, Event: s.recordOf(service, demand.Action, as.Principal),
	}, demand)
	return err
}

// recordOf is the record of what a service of AWS's decides on without a request.
func (s *server) recordOf(by, action string, p policy.Principal) *audit.Event {
	service, operation, _ := strings.Cut(action, ":")
	return &audit.Event{
		ID: uuid.NewString(), RequestID: uuid.NewString(), Time: time.Now(), Service: service, Operation: operation, Class: audit.Management,
		Principal: p, AuthType: "system", Region: s.config.Region, SourceIP: by, UserAgent: by,
	}
}

// withoutRequest are the keys of what is done without a request: those that a request has by itself, beside
// its cause.
type withoutRequest struct{ cause }

// Lookup implements authz.Keys.
func (k withoutRequest) Lookup(key string) (policy.Values, bool) {
	switch key {
	case "aws:securetransport":
		return policy.Values{One: "true"}, true
	case "aws:currenttime":
		return policy.Values{One: time.Now().UTC().Format(time.RFC3339)}, true
	}
	return k.cause.Lookup(key)
}
