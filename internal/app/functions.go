package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api/lambda"
	"github.com/kura-s3/kura/internal/api/restjson"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/function/runner"
	"github.com/kura-s3/kura/internal/job/invoke"
	"github.com/kura-s3/kura/internal/job/output"
	"github.com/kura-s3/kura/internal/keys"
)

// lambdaPrincipal is the service that execution roles have to trust.
const lambdaPrincipal = lambda.Principal

// openFunctions opens the functions of AWS Lambda, whose code and environment the ring seals. They run only
// with --functions.
func (s *server) openFunctions(ctx context.Context, ring *keys.Ring) (err error) {
	c := function.Config{
		Meta: s.engines.Meta, Secrets: ring, Principals: s.identities, Feed: s.feed, Region: s.config.Region, Roles: executionRoles{s}, Keys: functionKeys{s},
		Queue: invoke.Queue{Deliveries: s.queue}, Retry: s.config.FunctionsRetry, Log: s.log,
	}
	if s.config.Functions {
		s.output = output.New(output.Config{Request: s.logRequest, Log: s.log})
		b := preferred(s.listeners)
		r := runner.Config{
			Dir: filepath.Join(s.config.Data, "functions"), Hide: []string{absolute(s.config.Data), absolute(rootKeyPath(s.config))},
			Region: s.config.Region, Account: s.config.AccountID, Endpoint: b.endpoint(),
			Network: runner.Network(s.config.FunctionsNetwork), Log: s.log, Output: s.functionOutput, Unsafe: s.config.FunctionsUnsafe,
		}
		if b.ca != "" {
			r.CABundle = absolute(b.ca)
		}
		if s.runner, err = runner.New(r); err != nil {
			return fmt.Errorf("--functions: %w", err)
		}
		c.Runner = s.runner
	}
	s.functions, err = function.Open(ctx, c)
	return err
}

// startFunctions sends on what functions write, and sees to it that a stop ends them before it waits for who
// waits for them.
func (s *server) startFunctions(context.Context) error {
	if s.runner != nil {
		s.background(s.output.Run)
		s.onClose(func() error { s.runner.Close(); return nil })
	}
	return nil
}

// functionOutput takes what functions write, for the log group of the function.
func (s *server) functionOutput(spec *runner.Spec, stream string, at time.Time, line string) {
	s.output.Write(output.Source{Function: spec.Function(), Role: spec.Role, Group: spec.LogGroup, Stream: stream}, at, line)
}

// logRequest asks CloudWatch Logs for something in the role of a function.
func (s *server) logRequest(ctx context.Context, from output.Source, operation string, input any) (int, []byte, error) {
	as, err := s.asFunction(ctx, from.Role, from.Function)
	if err != nil {
		return 0, nil, err
	}
	return s.askJSON(ctx, as, lambdaPrincipal, "logs", "Logs_20140328."+operation, input)
}

// lambda is the edge of AWS Lambda.
func (s *server) lambda() *restjson.Service {
	return lambda.New(lambda.Config{Functions: s.functions, Exposes: s.exposesPolicy, PassRole: passRole, ReadObject: s.readCode, Authn: s.authn, Log: s.log})
}

// readCode reads a zip from a bucket as who wants it for a function.
func (s *server) readCode(ctx context.Context, as *authz.Subject, o lambda.Object, most int64) ([]byte, error) {
	raw, err := s.readObject(ctx, as, lambdaPrincipal, stored{Bucket: o.Bucket, Key: o.Key, Version: o.Version}, most)
	var refused *notRead
	switch {
	case errors.As(err, &refused):
		err = fault.New(function.InvalidParameter, "Error occurred while GetObject. S3 Error Code: "+refused.Code+". S3 Error Message: "+refused.Message)
	case errors.Is(err, errTooLarge):
		err = fault.New(function.InvalidParameter, fmt.Sprintf("Zipped code must be smaller than %d bytes", most))
	}
	return raw, err
}

// executionRoles assumes roles as Lambda does. It implements function.Roles.
type executionRoles struct{ s *server }

// functionSession is what Lambda calls the sessions of a function's role: by the function's name.
func functionSession(functionARN string) string {
	f := strings.SplitN(functionARN, ":", 8)
	if len(f) < 7 || len(f[6]) < 2 {
		return "lambda"
	}
	return f[6]
}

// functionCause is because of what Lambda acts for a function.
func functionCause(functionARN string) cause { return cause{functionARN, accountIn(functionARN)} }

// accountIn is the account that an ARN names.
func accountIn(arn string) string {
	if f := strings.SplitN(arn, ":", 6); len(f) == 6 {
		return f[4]
	}
	return ""
}

// asFunction is the subject of a session that Lambda began of a function's role.
func (s *server) asFunction(ctx context.Context, role, functionARN string) (*authz.Subject, error) {
	return s.as(ctx, lambdaPrincipal, role, functionSession(functionARN), functionCause(functionARN))
}

// Assume implements function.Roles. STS's usual hour is longer than any function runs.
func (x executionRoles) Assume(ctx context.Context, role, functionARN string) (runner.Credentials, error) {
	c, err := x.s.assume(ctx, servicePrincipal(lambdaPrincipal, functionCause(functionARN)), role, functionSession(functionARN), 0)
	if fault.Is(err, authz.Denied) {
		err = function.ErrRole(err)
	}
	if err != nil {
		return runner.Credentials{}, err
	}
	return runner.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken, Expiration: c.Expiration}, nil
}

// functionTargets are functions as receivers: they are invoked asynchronously.
func (s *server) functionTargets() insideService {
	ref := func(arn string) (function.Ref, error) {
		if !strings.HasPrefix(arn, "arn:aws:lambda:") {
			return function.Ref{}, errors.New("not the ARN of a function")
		}
		r, err := s.functions.Parse("", arn, "")
		if err == nil {
			_, _, err = s.functions.Configuration(r)
		}
		return r, err
	}
	return insideService{
		check: func(t *event.RuleTarget) string {
			if !s.config.Functions {
				return "This server runs no functions: start it with --functions."
			}
			if r, err := s.functions.Parse("", t.ARN, ""); err != nil || r.Account == "" {
				return "Provided Arn is not in correct format."
			}
			return ""
		},
		demand: func(arn string) (authz.Demand, error) {
			r, err := ref(arn)
			if err != nil {
				return authz.Demand{}, err
			}
			return s.functions.Demand("lambda:InvokeFunction", r), nil
		},
		request: invokeRequest,
	}
}

// invokeRequest sends a delivery to a function.
func invokeRequest(ctx context.Context, d *queue.Delivery) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"https://lambda.inside/2015-03-31/functions/"+url.PathEscape(d.Target)+"/invocations", bytes.NewReader(d.Payload))
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Amz-Invocation-Type", "Event")
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// busDestinations are event buses as destinations of functions. Rules have buses as targets in their own way,
// and S3 notifies none.
func busDestinations() insideService {
	return insideService{
		check:  func(*event.RuleTarget) string { return "Provided Arn is not in correct format." },
		demand: func(string) (authz.Demand, error) { return authz.Demand{}, errors.New("S3 notifies no bus by its ARN") },
		request: func(ctx context.Context, d *queue.Delivery) (*http.Request, error) {
			var o invoke.Options
			if err := json.Unmarshal(d.Options, &o); err != nil {
				return nil, err
			}
			return jsonRequest(ctx, "events", "AWSEvents.PutEvents", map[string]any{"Entries": []any{map[string]any{
				"Source": "lambda", "DetailType": o.DetailType, "Resources": o.Resources, "Detail": string(d.Payload), "EventBusName": d.Target,
			}}})
		},
	}
}
