package app

import (
	"context"
	"errors"
	"io"

	"github.com/kura-s3/kura/internal/api/s3"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/job/replication"
	"github.com/kura-s3/kura/internal/object"
)

// startReplication begins to work off what buckets want replicated.
func (s *server) startReplication(ctx context.Context) (err error) {
	replicas := replicaMaker{s3.Replicas{OnBehalf: s.onBehalf}}
	s.replicator, err = replication.New(ctx, replication.Config{
		Meta: s.engines.Meta, Feed: s.feed, Objects: s.objects, Guard: s.guard, Log: s.log,
		Elsewhere: s.elsewhere, Pace: s.pacer,
		Assume: s.replicationRole, Replicate: replicas.replicate, Open: replicas.open,
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

// replicationSession is what S3 calls its sessions.
const replicationSession = "s3-replication"

// replicationRole is S3 as the role of a bucket.
func (s *server) replicationRole(ctx context.Context, role string, b *object.Bucket) (*authz.Subject, error) {
	as, err := s.as(ctx, s3Principal, role, replicationSession, cause{b.ARN(), b.Owner.Account})
	if err != nil {
		return nil, &replication.Refusal{Reason: err.Error()}
	}
	return as, nil
}
