package event

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
)

// Authorization types of connections.
const (
	Basic  = "BASIC"
	APIKey = "API_KEY"
	OAuth  = "OAUTH_CLIENT_CREDENTIALS"
)

// Connection is how requests to API destinations prove who they are.
type Connection struct {
	Account, Name, ARN, Description, Type, State string
	Created, Modified, Authorized                time.Time
	// Auth has everything but the secret values; Sealed has those, as a sealed Secret.
	Auth   Auth
	Sealed []byte
}

// Auth is a connection's parameters. Secret values are "" in what is stored and shown.
type Auth struct {
	// User and Password of BASIC; KeyName and KeyValue of API_KEY.
	User, Password, KeyName, KeyValue string `json:",omitempty"`
	// ClientID and ClientSecret, the token endpoint and its method, of OAUTH_CLIENT_CREDENTIALS.
	ClientID, ClientSecret, TokenEndpoint, TokenMethod string `json:",omitempty"`
	// TokenExtra goes with the request for a token, Extra with every invocation.
	TokenExtra, Extra Extra
}

// Extra are parameters that a connection adds to requests.
type Extra struct{ Headers, Query, Body []Parameter }

// Parameter is one of them.
type Parameter struct {
	Key, Value string
	Secret     bool
}

// hide takes the secret values out of a copy of a.
func (a Auth) hide() Auth {
	a.Password, a.KeyValue, a.ClientSecret = "", "", ""
	a.TokenExtra, a.Extra = a.TokenExtra.hide(), a.Extra.hide()
	return a
}

func (x Extra) hide() Extra {
	hide := func(in []Parameter) (out []Parameter) {
		for _, p := range in {
			if p.Secret {
				p.Value = ""
			}
			out = append(out, p)
		}
		return out
	}
	return Extra{hide(x.Headers), hide(x.Query), hide(x.Body)}
}

// check says what a type of authorization is missing.
func (a *Auth) check(kind string) error {
	missing := ""
	switch kind {
	case Basic:
		if a.User == "" || a.Password == "" {
			missing = "BasicAuthParameters"
		}
	case APIKey:
		if a.KeyName == "" || a.KeyValue == "" {
			missing = "ApiKeyAuthParameters"
		}
	case OAuth:
		if a.ClientID == "" || a.ClientSecret == "" || a.TokenEndpoint == "" {
			missing = "OAuthParameters"
		}
	default:
		return refuse(Invalid, "AuthorizationType %s is not supported.", kind)
	}
	if missing != "" {
		return refuse(Invalid, "AuthParameters for the authorization type %s must have %s.", kind, missing)
	}
	return nil
}

// ConnectionARN is what policies call a connection; its own ARN has an id behind it.
func (s *Store) ConnectionARN(account, name string) string {
	return s.arn(account, "connection/"+name)
}

func (s *Store) connection(account, name string) (*Connection, error) {
	if c, ok := get(s, &s.connections, account+"/"+name); ok {
		return c, nil
	}
	return nil, refuse(NotFound, "Failed to describe the connection(s). Connection '%s' does not exist.", name)
}

// secretContext binds sealed secrets to their connection.
func (c *Connection) secretContext() []byte { return []byte("event connection " + c.ARN) }

func (s *Store) seal(c *Connection, a Auth) error {
	if err := a.check(c.Type); err != nil {
		return err
	}
	if a.TokenEndpoint != "" {
		if err := s.config.Endpoint(a.TokenEndpoint); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	c.Auth, c.Sealed = a.hide(), s.config.Secrets.SealSecret(c.secretContext(), raw)
	return nil
}

func (s *Store) open(ctx context.Context, c *Connection) (Auth, error) {
	raw, err := s.config.Secrets.OpenSecret(ctx, c.secretContext(), c.Sealed)
	if err != nil {
		return Auth{}, err
	}
	var a Auth
	return a, json.Unmarshal(raw, &a)
}

// ConnectionSpec is what is set of a connection. Nil: left as it is.
type ConnectionSpec struct {
	Description *string
	Type        string
	// Change makes the new parameters out of the old ones.
	Change func(*Auth)
}

const maxConnections = 3000

// CreateConnection needs events:CreateConnection.
func (s *Store) CreateConnection(ctx context.Context, g authz.Grant, account, name string, in ConnectionSpec) (*Connection, error) {
	if err := g.Require("events:CreateConnection", s.ConnectionARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	path := account + "/" + name
	if _, exists := get(s, &s.connections, path); exists {
		return nil, refuse(AlreadyExists, "Connection %s already exists.", name)
	}
	if count(s, &s.connections, account+"/") >= maxConnections {
		return nil, refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
	}
	now := s.moment()
	c := &Connection{
		Account: account, Name: name, ARN: s.arn(account, "connection/"+name+"/"+uuid.NewString()), Type: in.Type,
		State: "AUTHORIZED", Created: now, Modified: now, Authorized: now,
	}
	if in.Description != nil {
		c.Description = *in.Description
	}
	var a Auth
	in.Change(&a)
	if err := s.seal(c, a); err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.connections, path, c)
	return c, s.commit(ctx, &e)
}

// UpdateConnection needs events:UpdateConnection.
func (s *Store) UpdateConnection(ctx context.Context, g authz.Grant, account, name string, in ConnectionSpec) (*Connection, error) {
	return s.editConnection(ctx, g, "events:UpdateConnection", account, name, func(c *Connection) error {
		if in.Description != nil {
			c.Description = *in.Description
		}
		a := Auth{}
		if in.Type == "" || in.Type == c.Type {
			var err error
			if a, err = s.open(ctx, c); err != nil {
				return err
			}
		} else {
			c.Type = in.Type
		}
		in.Change(&a)
		c.State, c.Authorized = "AUTHORIZED", s.moment()
		return s.seal(c, a)
	})
}

// DeauthorizeConnection takes the secrets away; invocations fail until an update gives new ones. It
// needs events:DeauthorizeConnection.
func (s *Store) DeauthorizeConnection(ctx context.Context, g authz.Grant, account, name string) (*Connection, error) {
	return s.editConnection(ctx, g, "events:DeauthorizeConnection", account, name, func(c *Connection) error {
		c.State = "DEAUTHORIZED"
		raw, err := json.Marshal(c.Auth)
		c.Sealed = s.config.Secrets.SealSecret(c.secretContext(), raw)
		return err
	})
}

func (s *Store) editConnection(ctx context.Context, g authz.Grant, action, account, name string, change func(*Connection) error) (*Connection, error) {
	if err := g.Require(action, s.ConnectionARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	old, err := s.connection(account, name)
	if err != nil {
		return nil, err
	}
	next := *old
	next.Modified = s.moment()
	if err := change(&next); err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.connections, account+"/"+name, &next)
	return &next, s.commit(ctx, &e)
}

// DeleteConnection needs events:DeleteConnection.
func (s *Store) DeleteConnection(ctx context.Context, g authz.Grant, account, name string) (*Connection, error) {
	if err := g.Require("events:DeleteConnection", s.ConnectionARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	c, err := s.connection(account, name)
	if err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.connections, account+"/"+name, nil)
	gone := *c
	gone.State = "DELETING"
	return &gone, s.commit(ctx, &e)
}

// DescribeConnection needs events:DescribeConnection. Secrets are not in it.
func (s *Store) DescribeConnection(_ context.Context, g authz.Grant, account, name string) (*Connection, error) {
	if err := g.Require("events:DescribeConnection", s.ConnectionARN(account, name)); err != nil {
		return nil, err
	}
	return s.connection(account, name)
}

// ListConnections needs events:ListConnections on "*".
func (s *Store) ListConnections(_ context.Context, g authz.Grant, account, state string, p Page) (Listed[*Connection], error) {
	if err := g.Require("events:ListConnections", "*"); err != nil {
		return Listed[*Connection]{}, err
	}
	return list(s, &s.connections, account+"/", p, func(c *Connection) bool { return state == "" || c.State == state })
}

// connectionByARN finds the connection that still has this ARN.
func (s *Store) connectionByARN(arn string) (*Connection, bool) {
	account, kind, name, ok := s.splitARN(arn)
	name, _, _ = strings.Cut(name, "/")
	if !ok || kind != "connection" {
		return nil, false
	}
	c, ok := get(s, &s.connections, account+"/"+name)
	return c, ok && c.ARN == arn
}
