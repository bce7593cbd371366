package app

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/job/replication"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// startReplication begins to work off what buckets want replicated.
func (s *server) startReplication(ctx context.Context) (err error) {
	replicas := replicaMaker{s3.Replicas{OnBehalf: s.onBehalf}}
	s.replicator, err = replication.New(ctx, replication.Config{
		Meta: s.engines.Meta, Feed: s.feed, Objects: s.objects, Guard: s.guard, Log: s.log,
		Elsewhere: s.elsewhere,
		Assume:    (&assumer{s: s, sessions: map[assumed]session{}}).assume, Replicate: replicas.replicate, Open: replicas.open,
	})
	if err != nil {
		return err
	}
	s.background(s.replicator.Run)
	return nil
}

// replicationStats are for metrics, also before there is a replicator.
func (s *server) replicationStats() replication.Stats {
	if s.replicator == nil {
		return replication.Stats{}
	}
	return s.replicator.Stats()
}

// replicaMaker lets the S3 edge make the replicas.
type replicaMaker struct{ replicas s3.Replicas }

func (m replicaMaker) replicate(ctx context.Context, as *authz.Subject, c replication.Copy) error {
	return refusal(m.replicas.Replicate(ctx, as, s3.ReplicaRequest(c)))
}

func (m replicaMaker) open(ctx context.Context, as *authz.Subject, c replication.Copy) (*object.Info, io.ReadCloser, error) {
	info, body, err := m.replicas.Open(ctx, as, s3.ReplicaRequest(c))
	return info, body, refusal(err)
}

// refusal tells answers that stay the same until somebody changes something from those that may be
// another one the next time.
func refusal(err error) error {
	var e *s3.ReplicaError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == "NoSuchVersion" || e.Code == "NoSuchKey":
		return &replication.Refusal{Reason: e.Error(), Gone: true}
	case e.Status >= 400 && e.Status < 500 && e.Code != "OperationAborted":
		return &replication.Refusal{Reason: e.Error()}
	}
	return err
}

// assumer gives the sessions in which S3 acts as the roles of buckets. S3 assumes a role as any caller
// does: the role's trust policy must allow it, and the Guard decides.
type assumer struct {
	s        *server
	mu       sync.Mutex
	sessions map[assumed]session
}

// assumed is a role on behalf of a bucket.
type assumed struct{ role, bucket string }

type session struct {
	key, token string
	until      time.Time
}

const (
	// sessionTime is how long a session is used. What its role may do is looked up at every use.
	sessionTime = 10 * time.Minute
	maxSessions = 1000
	// sessionName is what S3 calls its sessions.
	sessionName = "s3-replication"
)

// s3Service is S3 as it assumes a role for a bucket.
func s3Service(b *object.Bucket) authz.Subject {
	subject := identity.Service("s3.amazonaws.com")
	subject.Keys = onBehalfOf{"aws:sourcearn": b.ARN(), "aws:sourceaccount": b.Owner.Account}
	return subject
}

// onBehalfOf are the keys that say for whose resource a service acts.
type onBehalfOf map[string]string

// Lookup implements authz.Keys.
func (k onBehalfOf) Lookup(key string) (policy.Values, bool) {
	v, ok := k[key]
	return policy.Values{One: v}, ok
}

func (a *assumer) assume(ctx context.Context, role string, b *object.Bucket) (*authz.Subject, error) {
	name := assumed{role, b.ARN()}
	a.mu.Lock()
	held, ok := a.sessions[name]
	a.mu.Unlock()
	if ok && time.Now().Before(held.until) {
		if c, err := a.s.identities.Lookup(ctx, held.key, held.token); err == nil {
			return &c.Subject, nil
		}
	}
	creds, err := a.s.assumeRole(ctx, role, b)
	if err != nil {
		a.mu.Lock()
		delete(a.sessions, name)
		a.mu.Unlock()
		return nil, &replication.Refusal{Reason: "the role cannot be assumed: " + err.Error()}
	}
	a.mu.Lock()
	if len(a.sessions) >= maxSessions {
		clear(a.sessions)
	}
	a.sessions[name] = session{creds.AccessKeyID, creds.SessionToken, time.Now().Add(sessionTime)}
	a.mu.Unlock()
	c, err := a.s.identities.Lookup(ctx, creds.AccessKeyID, creds.SessionToken)
	if err != nil {
		return nil, err
	}
	return &c.Subject, nil
}

// assumeRole makes a session of a role, on the record.
func (s *server) assumeRole(ctx context.Context, role string, b *object.Bucket) (*identity.SessionCredentials, error) {
	caller := s3Service(b)
	in := identity.AssumeRoleInput{RoleARN: role, RoleSessionName: sessionName}
	demands, err := s.identities.AssumeRoleDemands(ctx, &caller, in)
	if err != nil {
		return nil, err
	}
	event := &audit.Event{
		Time: time.Now(), Service: "sts", Operation: "AssumeRole", Class: audit.Management, ReadOnly: true,
		Principal: caller.Principal, AuthType: "system", Region: s.config.Region, Bucket: b.Name,
	}
	grant, err := s.guard.Decide(ctx, &authz.Inquiry{Subject: &caller, Event: event}, demands...)
	if err != nil {
		return nil, err
	}
	return s.identities.AssumeRole(ctx, grant, &caller, in)
}
