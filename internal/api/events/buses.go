package events

import (
	"cmp"
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

func (e edge) buses() []*api.Op {
	return []*api.Op{
		answer(&eventswire.CreateEventBus, api.Write, e.createEventBusDemands, e.createEventBus),
		answer(&eventswire.UpdateEventBus, api.Write, func(account string, in *eventswire.UpdateEventBusInput) ([]authz.Demand, error) {
			return e.onBus("UpdateEventBus", account, in.Name)
		}, e.updateEventBus),
		answer(&eventswire.DeleteEventBus, api.Write, func(account string, in *eventswire.DeleteEventBusInput) ([]authz.Demand, error) {
			return e.onBus("DeleteEventBus", account, in.Name)
		}, e.deleteEventBus),
		answer(&eventswire.DescribeEventBus, api.Read, func(account string, in *eventswire.DescribeEventBusInput) ([]authz.Demand, error) {
			return e.onBus("DescribeEventBus", account, in.Name)
		}, e.describeEventBus),
		answer(&eventswire.ListEventBuses, api.List, everywhere[eventswire.ListEventBusesInput]("ListEventBuses"), e.listEventBuses),
		answer(&eventswire.PutPermission, api.Permissions, e.putPermissionDemands, e.putPermission),
		answer(&eventswire.RemovePermission, api.Permissions, e.removePermissionDemands, e.removePermission),
	}
}

// onBus demands an action on a bus, with the bus's policy and tags.
func (e edge) onBus(action, account string, name *string) ([]authz.Demand, error) {
	owner, bus, err := e.events.BusName(account, member.Text(name))
	if err != nil {
		return nil, err
	}
	resource := e.events.BusResource(owner, bus)
	return []authz.Demand{{Action: "events:" + action, Resource: resource, Keys: e.bearing(keys{}, resource.ARN)}}, nil
}

// unsupported refuses what Kura would not act upon.
func unsupported(members map[string]bool) error {
	for name, given := range members {
		if given {
			return fault.New(event.Invalid, "Parameter "+name+" is not supported by this server.")
		}
	}
	return nil
}

func deadLetter(c *eventswire.DeadLetterConfig) *string {
	if c == nil {
		return nil
	}
	return new(member.Text(c.Arn))
}

func showDeadLetter(arn string) *eventswire.DeadLetterConfig {
	if arn == "" {
		return nil
	}
	return &eventswire.DeadLetterConfig{Arn: &arn}
}

func (e edge) createEventBusDemands(account string, in *eventswire.CreateEventBusInput) ([]authz.Demand, error) {
	return on("CreateEventBus", account, e.events.BusARN(account, member.Text(in.Name)), brought(in.Tags)), nil
}

func (e edge) createEventBus(ctx context.Context, g authz.Grant, account string, in *eventswire.CreateEventBusInput) (*eventswire.CreateEventBusOutput, error) {
	if err := unsupported(map[string]bool{"EventSourceName": in.EventSourceName != nil, "KmsKeyIdentifier": member.Text(in.KmsKeyIdentifier) != "", "LogConfig": logs(in.LogConfig)}); err != nil {
		return nil, err
	}
	b, err := e.events.CreateEventBus(ctx, g, account, member.Text(in.Name), event.BusSpec{Description: in.Description, DeadLetter: deadLetter(in.DeadLetterConfig), Tags: tagsOf(in.Tags)})
	if err != nil {
		return nil, err
	}
	return &eventswire.CreateEventBusOutput{EventBusArn: &b.ARN, Description: member.Given(b.Description), DeadLetterConfig: showDeadLetter(b.DeadLetter)}, nil
}

// logs tells whether a bus should log: there is nothing to log to.
func logs(c *eventswire.LogConfig) bool { return c != nil && c.Level != "" && c.Level != "OFF" }

func (e edge) updateEventBus(ctx context.Context, g authz.Grant, account string, in *eventswire.UpdateEventBusInput) (*eventswire.UpdateEventBusOutput, error) {
	if err := unsupported(map[string]bool{"KmsKeyIdentifier": member.Text(in.KmsKeyIdentifier) != "", "LogConfig": logs(in.LogConfig)}); err != nil {
		return nil, err
	}
	owner, name, err := e.events.BusName(account, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	dead := deadLetter(in.DeadLetterConfig)
	if dead == nil {
		dead = new("")
	}
	b, err := e.events.UpdateEventBus(ctx, g, owner, name, event.BusSpec{Description: in.Description, DeadLetter: dead})
	if err != nil {
		return nil, err
	}
	return &eventswire.UpdateEventBusOutput{Arn: &b.ARN, Name: &b.Name, Description: member.Given(b.Description), DeadLetterConfig: showDeadLetter(b.DeadLetter)}, nil
}

func (e edge) deleteEventBus(ctx context.Context, g authz.Grant, account string, in *eventswire.DeleteEventBusInput) (*eventswire.DeleteEventBusOutput, error) {
	owner, name, err := e.events.BusName(account, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	return &eventswire.DeleteEventBusOutput{}, e.events.DeleteEventBus(ctx, g, owner, name)
}

func (e edge) describeEventBus(ctx context.Context, g authz.Grant, account string, in *eventswire.DescribeEventBusInput) (*eventswire.DescribeEventBusOutput, error) {
	owner, name, err := e.events.BusName(account, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	b, err := e.events.DescribeEventBus(ctx, g, owner, name)
	if err != nil {
		return nil, err
	}
	return &eventswire.DescribeEventBusOutput{
		Name: &b.Name, Arn: &b.ARN, Description: member.Given(b.Description), Policy: member.Given(b.Policy), DeadLetterConfig: showDeadLetter(b.DeadLetter),
		CreationTime: member.At(b.Created), LastModifiedTime: member.At(b.Modified),
	}, nil
}

func (e edge) listEventBuses(ctx context.Context, g authz.Grant, account string, in *eventswire.ListEventBusesInput) (*eventswire.ListEventBusesOutput, error) {
	l, err := e.events.ListEventBuses(ctx, g, account, page(in.NamePrefix, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListEventBusesOutput{NextToken: member.Given(l.Next), EventBuses: member.Every(l.Items, func(b *event.BusInfo) eventswire.EventBus {
		return eventswire.EventBus{
			Name: &b.Name, Arn: &b.ARN, Description: member.Given(b.Description), Policy: member.Given(b.Policy),
			CreationTime: member.At(b.Created), LastModifiedTime: member.At(b.Modified),
		}
	})}, nil
}

// onPolicy demands an action that changes a bus's policy, which the exposure guard watches over: a stranger who may
// write rules reads the bus's events. would tells the policy before and after.
func (e edge) onPolicy(action, account string, bus *string, would func(bus string) (before, after *policy.Document, err error)) []authz.Demand {
	keys := e.exposes.Keys(nil, func() exposure.Change {
		name := busOf(bus)
		before, after, err := would(name)
		c := exposure.Change{ARN: e.events.BusARN(account, name), Account: account, Kind: policy.Resource, Before: before}
		switch {
		case err != nil:
			c.After = exposure.Unreadable
		case after != nil:
			c.After = after.Source()
		}
		return c
	})
	return on(action, account, "*", keys)
}

// busOf is the name of the bus whose permissions are meant.
func busOf(name *string) string { return cmp.Or(member.Text(name), event.DefaultBus) }

func (e edge) putPermissionDemands(account string, in *eventswire.PutPermissionInput) ([]authz.Demand, error) {
	return e.onPolicy("PutPermission", account, in.EventBusName, func(bus string) (before, after *policy.Document, err error) {
		return e.events.Permitted(account, bus, permission(in))
	}), nil
}

func (e edge) removePermissionDemands(account string, in *eventswire.RemovePermissionInput) ([]authz.Demand, error) {
	return e.onPolicy("RemovePermission", account, in.EventBusName, func(bus string) (before, after *policy.Document, err error) {
		return e.events.Unpermitted(account, bus, member.Text(in.StatementId), member.True(in.RemoveAllPermissions))
	}), nil
}

func permission(in *eventswire.PutPermissionInput) event.Permission {
	p := event.Permission{StatementID: member.Text(in.StatementId), Action: member.Text(in.Action), Principal: member.Text(in.Principal), Policy: member.Text(in.Policy)}
	if c := in.Condition; c != nil {
		p.ConditionType, p.ConditionKey, p.ConditionValue = member.Text(c.Type), member.Text(c.Key), member.Text(c.Value)
	}
	return p
}

func (e edge) putPermission(ctx context.Context, g authz.Grant, account string, in *eventswire.PutPermissionInput) (*eventswire.PutPermissionOutput, error) {
	p := permission(in)
	if p.Policy != "" && (p.StatementID != "" || p.Action != "" || p.Principal != "") {
		return nil, fault.New(event.Invalid, "Parameter Policy cannot be used with Action, Principal, StatementId or Condition.")
	}
	return &eventswire.PutPermissionOutput{}, e.events.PutPermission(ctx, g, account, busOf(in.EventBusName), p)
}

func (e edge) removePermission(ctx context.Context, g authz.Grant, account string, in *eventswire.RemovePermissionInput) (*eventswire.RemovePermissionOutput, error) {
	return &eventswire.RemovePermissionOutput{}, e.events.RemovePermission(ctx, g, account, busOf(in.EventBusName), member.Text(in.StatementId), member.True(in.RemoveAllPermissions))
}
