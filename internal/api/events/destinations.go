package events

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
)

func (e edge) destinations() []*api.Op {
	return []*api.Op{
		answer(&eventswire.CreateApiDestination, api.Write, func(account string, in *eventswire.CreateApiDestinationInput) ([]authz.Demand, error) {
			return on("CreateApiDestination", account, e.events.DestinationARN(account, member.Text(in.Name)), nil), nil
		}, e.createApiDestination),
		answer(&eventswire.UpdateApiDestination, api.Write, func(account string, in *eventswire.UpdateApiDestinationInput) ([]authz.Demand, error) {
			return on("UpdateApiDestination", account, e.events.DestinationARN(account, member.Text(in.Name)), nil), nil
		}, e.updateApiDestination),
		answer(&eventswire.DeleteApiDestination, api.Write, func(account string, in *eventswire.DeleteApiDestinationInput) ([]authz.Demand, error) {
			return on("DeleteApiDestination", account, e.events.DestinationARN(account, member.Text(in.Name)), nil), nil
		}, e.deleteApiDestination),
		answer(&eventswire.DescribeApiDestination, api.Read, func(account string, in *eventswire.DescribeApiDestinationInput) ([]authz.Demand, error) {
			return on("DescribeApiDestination", account, e.events.DestinationARN(account, member.Text(in.Name)), nil), nil
		}, e.describeApiDestination),
		answer(&eventswire.ListApiDestinations, api.List, everywhere[eventswire.ListApiDestinationsInput]("ListApiDestinations"), e.listApiDestinations),
	}
}

func (e edge) createApiDestination(ctx context.Context, g authz.Grant, account string, in *eventswire.CreateApiDestinationInput) (*eventswire.CreateApiDestinationOutput, error) {
	d, err := e.events.CreateApiDestination(ctx, g, account, member.Text(in.Name), event.DestinationSpec{
		Description: in.Description, Connection: in.ConnectionArn, Endpoint: in.InvocationEndpoint, Method: new(string(in.HttpMethod)), Rate: in.InvocationRateLimitPerSecond,
	})
	if err != nil {
		return nil, err
	}
	return &eventswire.CreateApiDestinationOutput{
		ApiDestinationArn: &d.ARN, ApiDestinationState: e.destinationState(d), CreationTime: &d.Created, LastModifiedTime: &d.Modified,
	}, nil
}

func (e edge) destinationState(d *event.Destination) eventswire.ApiDestinationState {
	return eventswire.ApiDestinationState(e.events.DestinationState(d))
}

func (e edge) updateApiDestination(ctx context.Context, g authz.Grant, account string, in *eventswire.UpdateApiDestinationInput) (*eventswire.UpdateApiDestinationOutput, error) {
	spec := event.DestinationSpec{Description: in.Description, Connection: in.ConnectionArn, Endpoint: in.InvocationEndpoint, Rate: in.InvocationRateLimitPerSecond}
	if in.HttpMethod != "" {
		spec.Method = new(string(in.HttpMethod))
	}
	d, err := e.events.UpdateApiDestination(ctx, g, account, member.Text(in.Name), spec)
	if err != nil {
		return nil, err
	}
	return &eventswire.UpdateApiDestinationOutput{
		ApiDestinationArn: &d.ARN, ApiDestinationState: e.destinationState(d), CreationTime: &d.Created, LastModifiedTime: &d.Modified,
	}, nil
}

func (e edge) deleteApiDestination(ctx context.Context, g authz.Grant, account string, in *eventswire.DeleteApiDestinationInput) (*eventswire.DeleteApiDestinationOutput, error) {
	return &eventswire.DeleteApiDestinationOutput{}, e.events.DeleteApiDestination(ctx, g, account, member.Text(in.Name))
}

func (e edge) describeApiDestination(ctx context.Context, g authz.Grant, account string, in *eventswire.DescribeApiDestinationInput) (*eventswire.DescribeApiDestinationOutput, error) {
	d, err := e.events.DescribeApiDestination(ctx, g, account, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	return &eventswire.DescribeApiDestinationOutput{
		ApiDestinationArn: &d.ARN, Name: &d.Name, Description: member.Given(d.Description), ApiDestinationState: e.destinationState(d), ConnectionArn: &d.Connection,
		InvocationEndpoint: &d.Endpoint, HttpMethod: eventswire.ApiDestinationHttpMethod(d.Method), InvocationRateLimitPerSecond: new(int32(d.Rate)),
		CreationTime: &d.Created, LastModifiedTime: &d.Modified,
	}, nil
}

func (e edge) listApiDestinations(ctx context.Context, g authz.Grant, account string, in *eventswire.ListApiDestinationsInput) (*eventswire.ListApiDestinationsOutput, error) {
	l, err := e.events.ListApiDestinations(ctx, g, account, member.Text(in.ConnectionArn), page(in.NamePrefix, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListApiDestinationsOutput{NextToken: member.Given(l.Next), ApiDestinations: member.Every(l.Items, func(d *event.Destination) eventswire.ApiDestination {
		return eventswire.ApiDestination{
			ApiDestinationArn: &d.ARN, Name: &d.Name, ApiDestinationState: e.destinationState(d), ConnectionArn: &d.Connection,
			InvocationEndpoint: &d.Endpoint, HttpMethod: eventswire.ApiDestinationHttpMethod(d.Method), InvocationRateLimitPerSecond: new(int32(d.Rate)),
			CreationTime: &d.Created, LastModifiedTime: &d.Modified,
		}
	})}, nil
}
