package events

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/fault"
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
		answer(&eventswire.PutPermission, api.Permissions, everywhere[eventswire.PutPermissionInput]("PutPermission"), e.putPermission),
		answer(&eventswire.RemovePermission, api.Permissions, everywhere[eventswire.RemovePermissionInput]("RemovePermission"), e.removePermission),
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

func (e edge) putPermission(ctx context.Context, g authz.Grant, account string, in *eventswire.PutPermissionInput) (*eventswire.PutPermissionOutput, error) {
	p := event.Permission{StatementID: member.Text(in.StatementId), Action: member.Text(in.Action), Principal: member.Text(in.Principal), Policy: member.Text(in.Policy)}
	if c := in.Condition; c != nil {
		p.ConditionType, p.ConditionKey, p.ConditionValue = member.Text(c.Type), member.Text(c.Key), member.Text(c.Value)
	}
	if p.Policy != "" && (p.StatementID != "" || p.Action != "" || p.Principal != "") {
		return nil, fault.New(event.Invalid, "Parameter Policy cannot be used with Action, Principal, StatementId or Condition.")
	}
	name := member.Text(in.EventBusName)
	if name == "" {
		name = event.DefaultBus
	}
	return &eventswire.PutPermissionOutput{}, e.events.PutPermission(ctx, g, account, name, p)
}

func (e edge) removePermission(ctx context.Context, g authz.Grant, account string, in *eventswire.RemovePermissionInput) (*eventswire.RemovePermissionOutput, error) {
	name := member.Text(in.EventBusName)
	if name == "" {
		name = event.DefaultBus
	}
	return &eventswire.RemovePermissionOutput{}, e.events.RemovePermission(ctx, g, account, name, member.Text(in.StatementId), member.True(in.RemoveAllPermissions))
}
