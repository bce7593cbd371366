// Package inventory makes the reports that inventory configurations ask for: lists of the versions of
// a bucket as compressed CSV files with a manifest, laid into the destination as S3 lays them.
//
// It promises that a report is delivered as the service principal s3.amazonaws.com and under the
// destination's policy, like a request from outside; that a report that could not be delivered is tried
// again, across restarts; that the manifest comes last, so that who sees one finds all its files; and
// that memory does not grow with the size of a bucket.
package inventory

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// Objects is what the job reads.
type Objects interface {
	Buckets() []*object.Bucket
	ListVersions(context.Context, authz.Grant, *object.ListVersionsInput) (*object.VersionsPage, error)
}

// Config of a Job.
type Config struct {
	// Objects is the store. Required.
	Objects Objects
	// Meta keeps when each report was made. Required.
	Meta engine.Meta
	// Guard grants the listing. Required.
	Guard *authz.Guard
	// Deliver runs a request of S3 on somebody's behalf. Required.
	Deliver func(context.Context, *authz.Subject, *http.Request) (*http.Response, error)
	// Own tells whether the reports of a bucket must stay with its account. Optional.
	Own func(*object.Bucket) bool
	// Day is how long a day of the schedule lasts. Default: 24 hours.
	Day time.Duration
	// Look is how often the job looks for what is due. Default: 5 seconds.
	Look time.Duration
	// Log is required.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Job makes reports. It is one goroutine's.
type Job struct {
	config Config
	// retries are the reports that failed: when they are tried again, and after how long.
	retries map[string]retry
}

type retry struct {
	at   time.Time
	wait time.Duration
}

const (
	firstRetry = 10 * time.Second
	lastRetry  = time.Hour
)

// New makes a Job.
func New(c Config) *Job {
	if c.Day == 0 {
		c.Day = 24 * time.Hour
	}
	if c.Look == 0 {
		c.Look = 5 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Job{config: c, retries: map[string]retry{}}
}

// Run makes what is due until ctx ends.
func (j *Job) Run(ctx context.Context) {
	t := time.NewTicker(j.config.Look)
	defer t.Stop()
	for {
		if err := j.Once(ctx); err != nil && ctx.Err() == nil {
			j.config.Log.Error("inventory", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Once makes every report that is due now.
func (j *Job) Once(ctx context.Context) error {
	made, err := j.stored(ctx)
	if err != nil {
		return err
	}
	for _, b := range j.config.Objects.Buckets() {
		all, err := configurations(b)
		if err != nil {
			j.config.Log.Error("an inventory configuration cannot be read", "bucket", b.Name, "err", err)
			continue
		}
		for id, c := range all {
			key := string(stateKey(b, id))
			last := made[key]
			delete(made, key)
			if j.due(key, c, last) {
				j.try(ctx, key, b, id, c, last)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return j.forget(ctx, made)
}

// due tells whether a report is to be made. The first one is at once.
func (j *Job) due(key string, c *configuration, last state) bool {
	now := j.config.Now()
	if r, failed := j.retries[key]; failed && now.Before(r.at) {
		return false
	}
	return last.Made.IsZero() || !now.Before(last.Made.Add(c.every(j.config.Day)))
}

func (j *Job) try(ctx context.Context, key string, b *object.Bucket, id string, c *configuration, last state) {
	began := j.config.Now()
	n, err := j.report(ctx, b, id, c, began)
	if err == nil {
		err = j.store(ctx, key, state{Format: stateFormat, Made: began, version: last.version})
	}
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		delete(j.retries, key)
		j.config.Log.Info("inventory report delivered", "bucket", b.Name, "id", id, "destination", c.Destination.S3BucketDestination.bucket(), "versions", n)
		return
	}
	wait := firstRetry
	if r, failed := j.retries[key]; failed {
		wait = min(2*r.wait, lastRetry)
	}
	j.retries[key] = retry{at: j.config.Now().Add(wait), wait: wait}
	j.config.Log.Warn("inventory report not delivered", "bucket", b.Name, "id", id, "again", wait, "err", err)
}

// state is when a configuration's last report was begun.
type state struct {
	Format  int
	Made    time.Time
	version engine.Version
}

const (
	statePrefix = "j/inventory/"
	stateFormat = 1
)

func stateKey(b *object.Bucket, id string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(statePrefix), b.ID), id...)
}

// stored are all states by key.
func (j *Job) stored(ctx context.Context) (map[string]state, error) {
	all := map[string]state{}
	return all, engine.Each(ctx, j.config.Meta, statePrefix, func(key, value []byte, v engine.Version) error {
		s := state{version: v}
		if err := json.Unmarshal(value, &s); err != nil || s.Format != stateFormat {
			return errors.Join(errors.New("inventory: the state does not decode"), err)
		}
		all[string(key)] = s
		return nil
	})
}

func (j *Job) store(ctx context.Context, key string, s state) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var b engine.Batch
	b.Require([]byte(key), s.version)
	b.Set([]byte(key), raw)
	return j.config.Meta.Commit(ctx, &b)
}

// forget drops the states of configurations that are gone or off.
func (j *Job) forget(ctx context.Context, gone map[string]state) error {
	if len(gone) == 0 {
		return nil
	}
	var b engine.Batch
	for key, s := range gone {
		b.Require([]byte(key), s.version)
		b.Delete([]byte(key))
		delete(j.retries, key)
	}
	return j.config.Meta.Commit(ctx, &b)
}

// deliverer is who delivers the reports of a bucket, as the destination's policy names it.
func deliverer(b *object.Bucket) *authz.Subject {
	return &authz.Subject{
		Principal: policy.Principal{Type: policy.Service, ARN: "s3.amazonaws.com"},
		Keys:      source{"aws:sourcearn": b.ARN(), "aws:sourceaccount": b.Owner.Account},
	}
}

// source are the condition keys that say for whom a service acts.
type source map[string]string

// Lookup implements authz.Keys.
func (s source) Lookup(key string) (policy.Values, bool) {
	v, ok := s[key]
	return policy.Values{One: v}, ok
}
