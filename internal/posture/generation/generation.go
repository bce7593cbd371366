// Package generation writes policies from what principals did: the policy generation of Access Analyzer.
//
// A job reads the journals of the record and answers with a policy that allows what a user or role was
// let do in a period, and no more than that: the actions that the Guard decided about, on the resources that
// it decided about, objects by the folder they lie in.
//
// What it promises: a job that was acknowledged is done, whatever crashes; it holds a bounded summary
// of what it has read, never the records; only requests that succeeded count; the result says whether the
// record had everything.
package generation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/fault"
)

// Failures, in AWS's words.
const (
	NotFound      fault.Kind = "generation.ResourceNotFoundException"
	Invalid       fault.Kind = "generation.ValidationException"
	Conflict      fault.Kind = "generation.ConflictException"
	QuotaExceeded fault.Kind = "generation.ServiceQuotaExceededException"
)

// Config of a Store.
type Config struct {
	// Meta keeps the jobs. Required. The Store owns the keys that begin with "posture/g/".
	Meta engine.Meta
	// Dir holds the journals of the record. Required.
	Dir string
	// Exists tells whether a user or role is there. Required.
	Exists func(arn string) bool
	// Source gives what a job may read: the record of the trails, as the role where one is given. An error
	// of the kind authz.Denied or NotFound is told to whoever asks for the job. Required.
	Source func(ctx context.Context, account, role string, trails []Trail) (Source, error)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is required.
	Log *slog.Logger
}

// Source is the part of the record that a job looks at.
type Source struct {
	// Takes tells whether a record belongs to it. Nil: all do.
	Takes func(*audit.Note) bool
	// Complete tells whether it has had every event since a time.
	Complete func(since time.Time) bool
}

// Store makes policies for all accounts. Safe for concurrent use.
type Store struct {
	config Config
	now    func() time.Time
	wake   chan struct{}

	mu      sync.Mutex // held by whoever changes jobs
	running string     // key of the job that is being done
	cancel  context.CancelFunc
}

// Statuses of a job.
const (
	InProgress = "IN_PROGRESS"
	Succeeded  = "SUCCEEDED"
	Failed     = "FAILED"
	Canceled   = "CANCELED"
)

// Trail is one whose record is looked at.
type Trail struct {
	ARN        string
	Regions    []string `json:",omitempty"`
	AllRegions *bool    `json:",omitempty"`
}

// Job is one generation.
type Job struct {
	Format             int
	ID, Account        string
	Principal          string
	Role               string  `json:",omitempty"`
	Trails             []Trail `json:",omitempty"`
	Since, Until       time.Time
	Token              string `json:",omitempty"`
	Status             string
	Started, Completed time.Time
	// ErrorCode and Error tell why it failed.
	ErrorCode string `json:",omitempty"`
	Error     string `json:",omitempty"`
	// Policies are the result, Complete whether the record had everything that the principal may have done.
	Policies []string `json:",omitempty"`
	Complete bool     `json:",omitempty"`
}

const format = 1

// Bounds. A result is kept for a week, as at AWS.
const (
	kept       = 7 * 24 * time.Hour
	longest    = 90 * 24 * time.Hour
	maxRunning = 5
	maxJobs    = 200
	maxTrails  = 1 // of a request, as the API model has it
)

// settle is how long a record may take into its journal.
const settle = 150 * time.Millisecond

const prefix = "posture/g/" // account "/" id (docs/formats.md, "Access Analyzer")

func keyOf(account, id string) []byte { return []byte(prefix + account + "/" + id) }

// Open makes a Store. Jobs that a crash interrupted begin anew with Work.
func Open(c Config) (*Store, error) {
	if c.Meta == nil || c.Dir == "" || c.Exists == nil || c.Source == nil || c.Log == nil {
		return nil, errors.New("generation: Config needs Meta, Dir, Exists, Source and Log")
	}
	s := &Store{config: c, now: c.Now, wake: make(chan struct{}, 1)}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// Start begins a job and needs access-analyzer:StartPolicyGeneration. The same token gives the same job. A
// period without an end ends now; one without a beginning has 90 days.
func (s *Store) Start(ctx context.Context, g authz.Grant, in Job) (id string, err error) {
	if err := g.Require("access-analyzer:StartPolicyGeneration", "*"); err != nil {
		return "", err
	}
	now := s.now().UTC()
	if in.Until.IsZero() {
		in.Until = now
	}
	if in.Since.IsZero() {
		in.Since = in.Until.Add(-longest)
	}
	if err := s.check(&in, now); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &engine.Batch{}
	total, running := 0, 0
	var same *Job
	err = s.scan(ctx, prefix+in.Account+"/", func(key []byte, j *Job) {
		switch {
		case j.over(now):
			b.Delete(key)
			return
		case in.Token != "" && j.Token == in.Token:
			same = j
		case j.Status == InProgress:
			running++
		}
		total++
	})
	switch {
	case err != nil:
		return "", err
	case same != nil && same.Principal != in.Principal:
		return "", fault.New(Conflict, "The client token was used for another principal.")
	case same != nil:
		return same.ID, nil
	case running >= maxRunning, total >= maxJobs:
		return "", fault.New(QuotaExceeded, "The account has the maximum number of policy generations.")
	}
	in.Format, in.ID, in.Status, in.Started = format, uuid.NewString(), InProgress, now
	raw, err := json.Marshal(&in)
	if err != nil {
		return "", err
	}
	b.Set(keyOf(in.Account, in.ID), raw)
	if err := s.config.Meta.Commit(ctx, b); err != nil {
		return "", err
	}
	s.poke()
	return in.ID, nil
}

func (s *Store) check(in *Job, now time.Time) error {
	parts := strings.SplitN(in.Principal, ":", 6)
	switch {
	case len(parts) != 6 || parts[2] != "iam" || !strings.HasPrefix(parts[5], "user/") && !strings.HasPrefix(parts[5], "role/"):
		return fault.New(Invalid, "The principal "+in.Principal+" is no IAM user and no IAM role.")
	case parts[4] != in.Account || !s.config.Exists(in.Principal):
		return fault.New(Invalid, "The principal "+in.Principal+" does not exist in this account.")
	case len(in.Trails) > maxTrails:
		return fault.New(Invalid, "A policy is generated from one trail.")
	case !in.Since.Before(in.Until) || in.Since.After(now):
		return fault.New(Invalid, "The start time must be before the end time, and in the past.")
	case in.Until.Sub(in.Since) > longest:
		return fault.New(Invalid, "The period is longer than 90 days.")
	}
	return nil
}

func (j *Job) over(now time.Time) bool {
	return j.Status != InProgress && now.Sub(j.Completed) > kept
}

// Get gives a job and needs access-analyzer:GetGeneratedPolicy.
func (s *Store) Get(ctx context.Context, g authz.Grant, account, id string) (*Job, error) {
	if err := g.Require("access-analyzer:GetGeneratedPolicy", "*"); err != nil {
		return nil, err
	}
	j, _, err := s.read(ctx, account, id)
	return j, err
}

// List gives the account's jobs, of one principal or of all, newest first. It needs
// access-analyzer:ListPolicyGenerations.
func (s *Store) List(ctx context.Context, g authz.Grant, account, principal string) ([]*Job, error) {
	if err := g.Require("access-analyzer:ListPolicyGenerations", "*"); err != nil {
		return nil, err
	}
	var list []*Job
	now := s.now()
	err := s.scan(ctx, prefix+account+"/", func(_ []byte, j *Job) {
		if !j.over(now) && (principal == "" || j.Principal == principal) {
			j.Policies = nil
			list = append(list, j)
		}
	})
	slices.SortStableFunc(list, func(a, b *Job) int { return b.Started.Compare(a.Started) })
	return list, err
}

// Cancel gives up a job that is not done, and needs access-analyzer:CancelPolicyGeneration. What is done
// stays as it is.
func (s *Store) Cancel(ctx context.Context, g authz.Grant, account, id string) error {
	if err := g.Require("access-analyzer:CancelPolicyGeneration", "*"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, version, err := s.read(ctx, account, id)
	if err != nil || j.Status != InProgress {
		return err
	}
	j.Status, j.Completed = Canceled, s.now().UTC()
	if err := s.write(ctx, j, version); err != nil {
		return err
	}
	if s.running == string(keyOf(account, id)) {
		s.cancel()
	}
	return nil
}

func (s *Store) read(ctx context.Context, account, id string) (*Job, engine.Version, error) {
	gone := fault.New(NotFound, "The policy generation "+id+" does not exist.")
	if id == "" || len(id) > 64 || strings.Contains(id, "/") {
		return nil, 0, gone
	}
	raw, version, err := s.config.Meta.Get(ctx, keyOf(account, id), nil)
	if err != nil {
		return nil, 0, err
	}
	if version == 0 {
		return nil, 0, gone
	}
	j, err := decode(raw)
	if err == nil && j.over(s.now()) {
		err = gone
	}
	return j, version, err
}

func (s *Store) write(ctx context.Context, j *Job, version engine.Version) error {
	raw, err := json.Marshal(j)
	if err != nil {
		return err
	}
	b := &engine.Batch{}
	b.Require(keyOf(j.Account, j.ID), version)
	b.Set(keyOf(j.Account, j.ID), raw)
	return s.config.Meta.Commit(ctx, b)
}

func (s *Store) scan(ctx context.Context, prefix string, each func(key []byte, j *Job)) error {
	return engine.Each(ctx, s.config.Meta, prefix, func(key, raw []byte, _ engine.Version) error {
		j, err := decode(raw)
		if err == nil {
			each(slices.Clone(key), j)
		}
		return err
	})
}

func decode(raw []byte) (*Job, error) {
	j := &Job{}
	if err := json.Unmarshal(raw, j); err != nil {
		return nil, err
	}
	if j.Format != format {
		return nil, fmt.Errorf("a record has format %d; this Kura knows %d", j.Format, format)
	}
	return j, nil
}

func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
