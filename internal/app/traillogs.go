package app

import (
	"context"
	"errors"
	"net/http"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
)

// trailLogs are log groups as receivers of trails. It implements trail.LogGroups.
type trailLogs struct{ s *server }

// Try implements trail.LogGroups: by making the stream, as AWS does.
func (l trailLogs) Try(ctx context.Context, t *trail.Trail) error {
	account, group, ok := l.s.logs.ParseARN(t.LogGroup)
	if !ok || account != t.Account || t.LogGroup != l.s.logs.GroupARN(account, group)+":*" {
		return fault.New(trail.InvalidLogGroup, "CloudTrail cannot validate the specified log group ARN.")
	}
	status, text, err := l.ask(ctx, t, "CreateLogStream", map[string]any{"logGroupName": group, "logStreamName": t.LogStream()})
	switch {
	case fault.Is(err, authz.Denied):
		return fault.New(trail.InvalidLogRole, "The role cannot be assumed by CloudTrail. Check the role's trust policy.")
	case err != nil:
		return err
	case status == http.StatusOK, failedWith(text, "ResourceAlreadyExistsException"):
		return nil
	case failedWith(text, "ResourceNotFoundException"):
		return fault.New(trail.InvalidLogGroup, "CloudTrail cannot validate the specified log group ARN.")
	}
	return fault.New(trail.InvalidLogRole, "Access denied. Check the permissions for your role.")
}

// Put implements trail.LogGroups. A stream that somebody deleted is made again.
func (l trailLogs) Put(ctx context.Context, t *trail.Trail, events []trail.LogEvent) error {
	put := func() (int, []byte, error) {
		return l.ask(ctx, t, "PutLogEvents", map[string]any{"logGroupName": t.LogGroupName(), "logStreamName": t.LogStream(), "logEvents": events})
	}
	status, text, err := put()
	if err == nil && failedWith(text, "ResourceNotFoundException") {
		if err := l.Try(ctx, t); err != nil {
			return err
		}
		status, text, err = put()
	}
	if err == nil && status != http.StatusOK {
		err = errors.New(string(text))
	}
	return err
}

// ask makes a request in the name of the trail's role.
func (l trailLogs) ask(ctx context.Context, t *trail.Trail, operation string, in any) (int, []byte, error) {
	as, err := l.s.as(ctx, trail.Service, t.LogRole, "CLOUDWATCH_LOGS_DELIVERY_SESSION", cause{t.ARN(), t.Account})
	if err != nil {
		return 0, nil, err
	}
	return l.s.askJSON(ctx, as, trail.Service, "logs", "Logs_20140328."+operation, in)
}
