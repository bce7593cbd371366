package event

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
)

// Destination is an API destination: an HTTP endpoint that rules may have as a target.
type Destination struct {
	Account, Name, ARN, Description, Connection, Endpoint, Method string
	Rate                                                          int // invocations per second
	Created, Modified                                             time.Time
}

// Limits of API destinations.
const (
	maxDestinations = 3000
	defaultRate     = 300
)

// DestinationARN is what policies call an API destination; its own ARN has an id behind it.
func (s *Store) DestinationARN(account, name string) string {
	return s.arn(account, "api-destination/"+name)
}

func (s *Store) destination(account, name string) (*Destination, error) {
	if d, ok := get(s, &s.destinations, account+"/"+name); ok {
		return d, nil
	}
	return nil, refuse(NotFound, "Failed to describe the api-destination(s). An api-destination '%s' does not exist.", name)
}

func (s *Store) destinationByARN(arn string) (*Destination, error) {
	account, _, name, ok := s.splitARN(arn)
	name, _, _ = strings.Cut(name, "/")
	if ok {
		if d, found := get(s, &s.destinations, account+"/"+name); found && d.ARN == arn {
			return d, nil
		}
	}
	return nil, refuse(NotFound, "Failed to describe the api-destination(s). An api-destination '%s' does not exist.", name)
}

// State is ACTIVE while the connection can authorize.
func (s *Store) DestinationState(d *Destination) string {
	if c, ok := s.connectionByARN(d.Connection); ok && c.State == "AUTHORIZED" {
		return "ACTIVE"
	}
	return "INACTIVE"
}

// DestinationSpec is what is set of an API destination. Nil: left as it is.
type DestinationSpec struct {
	Description, Connection, Endpoint, Method *string
	Rate                                      *int32
}

func (s *Store) applyDestination(d *Destination, in DestinationSpec) error {
	for to, from := range map[*string]*string{&d.Description: in.Description, &d.Connection: in.Connection, &d.Endpoint: in.Endpoint, &d.Method: in.Method} {
		if from != nil {
			*to = *from
		}
	}
	if in.Rate != nil {
		d.Rate = int(*in.Rate)
	}
	c, ok := s.connectionByARN(d.Connection)
	if !ok || c.Account != d.Account {
		name := d.Connection[strings.LastIndex(d.Connection, ":")+1:]
		return refuse(NotFound, "Connection '%s' does not exist.", strings.TrimPrefix(name, "connection/"))
	}
	return s.config.Endpoint(d.Endpoint)
}

// CreateApiDestination needs events:CreateApiDestination.
func (s *Store) CreateApiDestination(ctx context.Context, g authz.Grant, account, name string, in DestinationSpec) (*Destination, error) {
	if err := g.Require("events:CreateApiDestination", s.DestinationARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	path := account + "/" + name
	if _, exists := get(s, &s.destinations, path); exists {
		return nil, refuse(AlreadyExists, "An api-destination '%s' already exists.", name)
	}
	if count(s, &s.destinations, account+"/") >= maxDestinations {
		return nil, refuse(LimitExceeded, "The requested resource exceeds the maximum number allowed.")
	}
	d := &Destination{
		Account: account, Name: name, ARN: s.arn(account, "api-destination/"+name+"/"+uuid.NewString()), Rate: defaultRate,
		Created: s.moment(), Modified: s.moment(),
	}
	if err := s.applyDestination(d, in); err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.destinations, path, d)
	return d, s.commit(ctx, &e)
}

// UpdateApiDestination needs events:UpdateApiDestination. Deliveries on their way go to the new endpoint.
func (s *Store) UpdateApiDestination(ctx context.Context, g authz.Grant, account, name string, in DestinationSpec) (*Destination, error) {
	if err := g.Require("events:UpdateApiDestination", s.DestinationARN(account, name)); err != nil {
		return nil, err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	old, err := s.destination(account, name)
	if err != nil {
		return nil, err
	}
	next := *old
	next.Modified = s.moment()
	if err := s.applyDestination(&next, in); err != nil {
		return nil, err
	}
	var e edit
	put(&e, &s.destinations, account+"/"+name, &next)
	return &next, s.commit(ctx, &e)
}

// DeleteApiDestination needs events:DeleteApiDestination.
func (s *Store) DeleteApiDestination(ctx context.Context, g authz.Grant, account, name string) error {
	if err := g.Require("events:DeleteApiDestination", s.DestinationARN(account, name)); err != nil {
		return err
	}
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, err := s.destination(account, name); err != nil {
		return err
	}
	var e edit
	put(&e, &s.destinations, account+"/"+name, nil)
	return s.commit(ctx, &e)
}

// DescribeApiDestination needs events:DescribeApiDestination.
func (s *Store) DescribeApiDestination(_ context.Context, g authz.Grant, account, name string) (*Destination, error) {
	if err := g.Require("events:DescribeApiDestination", s.DestinationARN(account, name)); err != nil {
		return nil, err
	}
	return s.destination(account, name)
}

// ListApiDestinations needs events:ListApiDestinations on "*".
func (s *Store) ListApiDestinations(_ context.Context, g authz.Grant, account, connectionARN string, p Page) (Listed[*Destination], error) {
	if err := g.Require("events:ListApiDestinations", "*"); err != nil {
		return Listed[*Destination]{}, err
	}
	return list(s, &s.destinations, account+"/", p, func(d *Destination) bool {
		return connectionARN == "" || d.Connection == connectionARN
	})
}

// Invocation is everything that sending to an API destination needs.
type Invocation struct {
	Destination Destination
	// Connection with its secrets.
	ARN, Type string
	Auth      Auth
	Modified  time.Time
}

// Invocation gives what sending to the API destination with that ARN needs. It needs
// events:InvokeApiDestination on it.
func (s *Store) Invocation(ctx context.Context, g authz.Grant, arn string) (*Invocation, error) {
	if err := g.Require("events:InvokeApiDestination", arn); err != nil {
		return nil, err
	}
	d, err := s.destinationByARN(arn)
	if err != nil {
		return nil, err
	}
	c, ok := s.connectionByARN(d.Connection)
	if !ok || c.State != "AUTHORIZED" {
		return nil, refuse(IllegalStatus, "The connection of API destination %s is not authorized.", d.Name)
	}
	a, err := s.open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Invocation{Destination: *d, ARN: c.ARN, Type: c.Type, Auth: a, Modified: c.Modified}, nil
}
