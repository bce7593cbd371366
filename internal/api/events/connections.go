package events

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/eventswire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
)

func (e edge) connections() []*api.Op {
	return []*api.Op{
		answer(&eventswire.CreateConnection, api.Write, func(account string, in *eventswire.CreateConnectionInput) ([]authz.Demand, error) {
			return on("CreateConnection", account, e.events.ConnectionARN(account, member.Text(in.Name)), nil), nil
		}, e.createConnection),
		answer(&eventswire.UpdateConnection, api.Write, func(account string, in *eventswire.UpdateConnectionInput) ([]authz.Demand, error) {
			return on("UpdateConnection", account, e.events.ConnectionARN(account, member.Text(in.Name)), nil), nil
		}, e.updateConnection),
		answer(&eventswire.DeauthorizeConnection, api.Write, func(account string, in *eventswire.DeauthorizeConnectionInput) ([]authz.Demand, error) {
			return on("DeauthorizeConnection", account, e.events.ConnectionARN(account, member.Text(in.Name)), nil), nil
		}, e.deauthorizeConnection),
		answer(&eventswire.DeleteConnection, api.Write, func(account string, in *eventswire.DeleteConnectionInput) ([]authz.Demand, error) {
			return on("DeleteConnection", account, e.events.ConnectionARN(account, member.Text(in.Name)), nil), nil
		}, e.deleteConnection),
		answer(&eventswire.DescribeConnection, api.Read, func(account string, in *eventswire.DescribeConnectionInput) ([]authz.Demand, error) {
			return on("DescribeConnection", account, e.events.ConnectionARN(account, member.Text(in.Name)), nil), nil
		}, e.describeConnection),
		answer(&eventswire.ListConnections, api.List, everywhere[eventswire.ListConnectionsInput]("ListConnections"), e.listConnections),
	}
}

// set changes to when it was given.
func set(to *string, from *string) {
	if from != nil {
		*to = *from
	}
}

func readParameters[P any](to *[]event.Parameter, from []P, read func(P) event.Parameter) {
	if from != nil {
		*to = member.Every(from, read)
	}
}

func readExtra(to *event.Extra, from *eventswire.ConnectionHttpParameters) {
	if from == nil {
		return
	}
	readParameters(&to.Headers, from.HeaderParameters, func(p eventswire.ConnectionHeaderParameter) event.Parameter {
		return event.Parameter{Key: member.Text(p.Key), Value: member.Text(p.Value), Secret: member.True(p.IsValueSecret)}
	})
	readParameters(&to.Query, from.QueryStringParameters, func(p eventswire.ConnectionQueryStringParameter) event.Parameter {
		return event.Parameter{Key: member.Text(p.Key), Value: member.Text(p.Value), Secret: member.True(p.IsValueSecret)}
	})
	readParameters(&to.Body, from.BodyParameters, func(p eventswire.ConnectionBodyParameter) event.Parameter {
		return event.Parameter{Key: member.Text(p.Key), Value: member.Text(p.Value), Secret: member.True(p.IsValueSecret)}
	})
}

func showExtra(x event.Extra) *eventswire.ConnectionHttpParameters {
	if len(x.Headers)+len(x.Query)+len(x.Body) == 0 {
		return nil
	}
	out := &eventswire.ConnectionHttpParameters{}
	for _, p := range x.Headers {
		out.HeaderParameters = append(out.HeaderParameters, eventswire.ConnectionHeaderParameter{Key: &p.Key, Value: shown(p), IsValueSecret: &p.Secret})
	}
	for _, p := range x.Query {
		out.QueryStringParameters = append(out.QueryStringParameters, eventswire.ConnectionQueryStringParameter{Key: &p.Key, Value: shown(p), IsValueSecret: &p.Secret})
	}
	for _, p := range x.Body {
		out.BodyParameters = append(out.BodyParameters, eventswire.ConnectionBodyParameter{Key: &p.Key, Value: shown(p), IsValueSecret: &p.Secret})
	}
	return out
}

// shown is a parameter's value, if it is not a secret.
func shown(p event.Parameter) *string {
	if p.Secret {
		return nil
	}
	return &p.Value
}

func (e edge) createConnection(ctx context.Context, g authz.Grant, account string, in *eventswire.CreateConnectionInput) (*eventswire.CreateConnectionOutput, error) {
	p := in.AuthParameters
	if p == nil {
		p = &eventswire.CreateConnectionAuthRequestParameters{}
	}
	if err := unsupported(map[string]bool{
		"InvocationConnectivityParameters": in.InvocationConnectivityParameters != nil, "KmsKeyIdentifier": member.Text(in.KmsKeyIdentifier) != "",
		"AuthParameters.ConnectivityParameters": p.ConnectivityParameters != nil,
	}); err != nil {
		return nil, err
	}
	c, err := e.events.CreateConnection(ctx, g, account, member.Text(in.Name), event.ConnectionSpec{
		Description: in.Description, Type: string(in.AuthorizationType),
		Change: func(a *event.Auth) {
			if b := p.BasicAuthParameters; b != nil {
				a.User, a.Password = member.Text(b.Username), member.Text(b.Password)
			}
			if k := p.ApiKeyAuthParameters; k != nil {
				a.KeyName, a.KeyValue = member.Text(k.ApiKeyName), member.Text(k.ApiKeyValue)
			}
			if o := p.OAuthParameters; o != nil {
				if o.ClientParameters != nil {
					a.ClientID, a.ClientSecret = member.Text(o.ClientParameters.ClientID), member.Text(o.ClientParameters.ClientSecret)
				}
				a.TokenEndpoint, a.TokenMethod = member.Text(o.AuthorizationEndpoint), string(o.HttpMethod)
				readExtra(&a.TokenExtra, o.OAuthHttpParameters)
			}
			readExtra(&a.Extra, p.InvocationHttpParameters)
		},
	})
	if err != nil {
		return nil, err
	}
	return &eventswire.CreateConnectionOutput{
		ConnectionArn: &c.ARN, ConnectionState: eventswire.ConnectionState(c.State), CreationTime: &c.Created, LastModifiedTime: &c.Modified,
	}, nil
}

func (e edge) updateConnection(ctx context.Context, g authz.Grant, account string, in *eventswire.UpdateConnectionInput) (*eventswire.UpdateConnectionOutput, error) {
	p := in.AuthParameters
	if p == nil {
		p = &eventswire.UpdateConnectionAuthRequestParameters{}
	}
	if err := unsupported(map[string]bool{
		"InvocationConnectivityParameters": in.InvocationConnectivityParameters != nil, "KmsKeyIdentifier": member.Text(in.KmsKeyIdentifier) != "",
		"AuthParameters.ConnectivityParameters": p.ConnectivityParameters != nil,
	}); err != nil {
		return nil, err
	}
	c, err := e.events.UpdateConnection(ctx, g, account, member.Text(in.Name), event.ConnectionSpec{
		Description: in.Description, Type: string(in.AuthorizationType),
		Change: func(a *event.Auth) {
			if b := p.BasicAuthParameters; b != nil {
				set(&a.User, b.Username)
				set(&a.Password, b.Password)
			}
			if k := p.ApiKeyAuthParameters; k != nil {
				set(&a.KeyName, k.ApiKeyName)
				set(&a.KeyValue, k.ApiKeyValue)
			}
			if o := p.OAuthParameters; o != nil {
				updateOAuth(a, o)
			}
			readExtra(&a.Extra, p.InvocationHttpParameters)
		},
	})
	if err != nil {
		return nil, err
	}
	return &eventswire.UpdateConnectionOutput{
		ConnectionArn: &c.ARN, ConnectionState: eventswire.ConnectionState(c.State), CreationTime: &c.Created,
		LastModifiedTime: &c.Modified, LastAuthorizedTime: &c.Authorized,
	}, nil
}

func updateOAuth(a *event.Auth, o *eventswire.UpdateConnectionOAuthRequestParameters) {
	if o.ClientParameters != nil {
		set(&a.ClientID, o.ClientParameters.ClientID)
		set(&a.ClientSecret, o.ClientParameters.ClientSecret)
	}
	set(&a.TokenEndpoint, o.AuthorizationEndpoint)
	if o.HttpMethod != "" {
		a.TokenMethod = string(o.HttpMethod)
	}
	readExtra(&a.TokenExtra, o.OAuthHttpParameters)
}

func (e edge) deauthorizeConnection(ctx context.Context, g authz.Grant, account string, in *eventswire.DeauthorizeConnectionInput) (*eventswire.DeauthorizeConnectionOutput, error) {
	c, err := e.events.DeauthorizeConnection(ctx, g, account, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	return &eventswire.DeauthorizeConnectionOutput{
		ConnectionArn: &c.ARN, ConnectionState: eventswire.ConnectionState(c.State), CreationTime: &c.Created,
		LastModifiedTime: &c.Modified, LastAuthorizedTime: &c.Authorized,
	}, nil
}

func (e edge) deleteConnection(ctx context.Context, g authz.Grant, account string, in *eventswire.DeleteConnectionInput) (*eventswire.DeleteConnectionOutput, error) {
	c, err := e.events.DeleteConnection(ctx, g, account, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	return &eventswire.DeleteConnectionOutput{
		ConnectionArn: &c.ARN, ConnectionState: eventswire.ConnectionState(c.State), CreationTime: &c.Created,
		LastModifiedTime: &c.Modified, LastAuthorizedTime: &c.Authorized,
	}, nil
}

func (e edge) describeConnection(ctx context.Context, g authz.Grant, account string, in *eventswire.DescribeConnectionInput) (*eventswire.DescribeConnectionOutput, error) {
	c, err := e.events.DescribeConnection(ctx, g, account, member.Text(in.Name))
	if err != nil {
		return nil, err
	}
	return &eventswire.DescribeConnectionOutput{
		ConnectionArn: &c.ARN, Name: &c.Name, Description: member.Given(c.Description), ConnectionState: eventswire.ConnectionState(c.State),
		AuthorizationType: eventswire.ConnectionAuthorizationType(c.Type), AuthParameters: showAuth(c),
		CreationTime: &c.Created, LastModifiedTime: &c.Modified, LastAuthorizedTime: &c.Authorized,
	}, nil
}

func showAuth(c *event.Connection) *eventswire.ConnectionAuthResponseParameters {
	out := &eventswire.ConnectionAuthResponseParameters{InvocationHttpParameters: showExtra(c.Auth.Extra)}
	a := &c.Auth
	switch c.Type {
	case event.Basic:
		out.BasicAuthParameters = &eventswire.ConnectionBasicAuthResponseParameters{Username: &a.User}
	case event.APIKey:
		out.ApiKeyAuthParameters = &eventswire.ConnectionApiKeyAuthResponseParameters{ApiKeyName: &a.KeyName}
	case event.OAuth:
		out.OAuthParameters = &eventswire.ConnectionOAuthResponseParameters{
			ClientParameters:      &eventswire.ConnectionOAuthClientResponseParameters{ClientID: &a.ClientID},
			AuthorizationEndpoint: &a.TokenEndpoint, HttpMethod: eventswire.ConnectionOAuthHttpMethod(a.TokenMethod), OAuthHttpParameters: showExtra(a.TokenExtra),
		}
	}
	return out
}

func (e edge) listConnections(ctx context.Context, g authz.Grant, account string, in *eventswire.ListConnectionsInput) (*eventswire.ListConnectionsOutput, error) {
	l, err := e.events.ListConnections(ctx, g, account, string(in.ConnectionState), page(in.NamePrefix, in.NextToken, in.Limit))
	if err != nil {
		return nil, err
	}
	return &eventswire.ListConnectionsOutput{NextToken: member.Given(l.Next), Connections: member.Every(l.Items, func(c *event.Connection) eventswire.Connection {
		return eventswire.Connection{
			ConnectionArn: &c.ARN, Name: &c.Name, ConnectionState: eventswire.ConnectionState(c.State),
			AuthorizationType: eventswire.ConnectionAuthorizationType(c.Type), CreationTime: &c.Created, LastModifiedTime: &c.Modified, LastAuthorizedTime: &c.Authorized,
		}
	})}, nil
}
