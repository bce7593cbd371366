package function

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
)

// AsyncConfig says how asynchronous invocations are tried, and who is told of what became of them.
type AsyncConfig struct {
	MaxRetries           *int `json:",omitempty"`
	MaxAge               *int `json:",omitempty"` // seconds
	OnSuccess, OnFailure string
	Modified             time.Time
}

// Limits and defaults of asynchronous invocations (Lambda API Reference, PutFunctionEventInvokeConfig).
const (
	defaultRetries = 2
	minAge         = 60
	maxAge         = 21600
)

func (a *AsyncConfig) retries() int {
	if a == nil || a.MaxRetries == nil {
		return defaultRetries
	}
	return *a.MaxRetries
}

func (a *AsyncConfig) age() time.Duration {
	if a == nil || a.MaxAge == nil {
		return maxAge * time.Second
	}
	return time.Duration(*a.MaxAge) * time.Second
}

// isDestination tells whether arn is of one of the services, here.
func isDestination(arn, region string, services ...string) bool {
	f := strings.SplitN(arn, ":", 6)
	return len(f) == 6 && f[0] == "arn" && f[1] == "aws" && slices.Contains(services, f[2]) && f[3] == region && accountNumber.MatchString(f[4]) && f[5] != ""
}

// checkAsync holds a configuration to its rules.
func (s *Store) checkAsync(a *AsyncConfig) error {
	if n := a.MaxRetries; n != nil && (*n < 0 || *n > defaultRetries) {
		return invalid("1 validation error detected: Value '%d' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value between 0 and 2", *n)
	}
	if n := a.MaxAge; n != nil && (*n < minAge || *n > maxAge) {
		return invalid("1 validation error detected: Value '%d' at 'maximumEventAgeInSeconds' failed to satisfy constraint: Member must have value between 60 and 21600", *n)
	}
	for name, arn := range map[string]string{"OnSuccess": a.OnSuccess, "OnFailure": a.OnFailure} {
		if arn != "" && !isDestination(arn, s.config.Region, "sqs", "sns", "lambda", "events") {
			return invalid("The provided destination config DestinationConfig(%s=%s) is invalid: it must be the ARN of a queue, a topic, a function or an event bus.", name, arn)
		}
	}
	return nil
}

// asyncQualifier is under what an asynchronous configuration of r stands.
func asyncQualifier(r Ref) string { return cmp.Or(r.Qualifier, latest) }

// PutAsync sets how asynchronous invocations of r go. With merge what in does not say stays as it is. It needs
// the permission of that name: lambda:PutFunctionEventInvokeConfig or lambda:UpdateFunctionEventInvokeConfig.
func (s *Store) PutAsync(ctx context.Context, g authz.Grant, r Ref, in AsyncConfig, merge bool) (*AsyncConfig, error) {
	action := "lambda:PutFunctionEventInvokeConfig"
	if merge {
		action = "lambda:UpdateFunctionEventInvokeConfig"
	}
	next := in
	_, err := s.edit(ctx, g, action, r, func(f *Function, _ *engine.Batch) error {
		q := asyncQualifier(r)
		if !f.has(q) {
			return s.missing(r)
		}
		if old := f.Async[q]; merge {
			if old == nil {
				return s.noAsync(r)
			}
			next = *old
			next.MaxRetries, next.MaxAge = cmp.Or(in.MaxRetries, old.MaxRetries), cmp.Or(in.MaxAge, old.MaxAge)
			next.OnSuccess, next.OnFailure = cmp.Or(in.OnSuccess, old.OnSuccess), cmp.Or(in.OnFailure, old.OnFailure)
		}
		if err := s.checkAsync(&next); err != nil {
			return err
		}
		next.Modified = s.moment()
		if f.Async == nil {
			f.Async = map[string]*AsyncConfig{}
		}
		f.Async[q] = &next
		return nil
	})
	return &next, err
}

func (s *Store) noAsync(r Ref) error {
	r.Qualifier = asyncQualifier(r)
	return refuse(NotFound, "The function %s doesn't have an EventInvokeConfig", s.ARN(r))
}

// AsyncOf r. It needs lambda:GetFunctionEventInvokeConfig.
func (s *Store) AsyncOf(g authz.Grant, r Ref) (*AsyncConfig, error) {
	if err := g.Require("lambda:GetFunctionEventInvokeConfig", s.ARN(r)); err != nil {
		return nil, err
	}
	f, err := s.Function(r)
	if err != nil {
		return nil, err
	}
	if a := f.Async[asyncQualifier(r)]; a != nil {
		return a, nil
	}
	return nil, s.noAsync(r)
}

// DeleteAsync needs lambda:DeleteFunctionEventInvokeConfig.
func (s *Store) DeleteAsync(ctx context.Context, g authz.Grant, r Ref) error {
	_, err := s.edit(ctx, g, "lambda:DeleteFunctionEventInvokeConfig", r, func(f *Function, _ *engine.Batch) error {
		if f.Async[asyncQualifier(r)] == nil {
			return s.noAsync(r)
		}
		delete(f.Async, asyncQualifier(r))
		return nil
	})
	return err
}

// QualifiedAsync is an asynchronous configuration with what it is of.
type QualifiedAsync struct {
	Of Ref
	*AsyncConfig
}

// ListAsync are those of a function. It needs lambda:ListFunctionEventInvokeConfigs.
func (s *Store) ListAsync(g authz.Grant, r Ref) ([]QualifiedAsync, error) {
	if err := g.Require("lambda:ListFunctionEventInvokeConfigs", s.ARN(r)); err != nil {
		return nil, err
	}
	f, err := s.Function(r)
	if err != nil {
		return nil, err
	}
	var list []QualifiedAsync
	for q, a := range f.Async {
		list = append(list, QualifiedAsync{Ref{f.Account, f.Name, q}, a})
	}
	slices.SortFunc(list, func(a, b QualifiedAsync) int { return cmp.Compare(a.Of.Qualifier, b.Of.Qualifier) })
	return list, nil
}
