package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
)

// logTargets are log groups as receivers of what rules send. S3 does not send to them.
func (s *server) logTargets() insideService {
	return insideService{
		check: func(t *event.RuleTarget) string {
			account, group, ok := s.logs.ParseARN(t.ARN)
			if !ok || strings.Contains(t.ARN, ":log-stream:") {
				return "Provided Arn is not that of a log group of this server."
			}
			if _, err := s.logs.Group(account, group); err != nil {
				return "The log group does not exist."
			}
			return ""
		},
		demand: func(arn string) (authz.Demand, error) {
			return authz.Demand{}, errors.New("notifications are not sent to log groups: " + arn)
		},
		request: s.putLogEvent,
		again:   "OperationAbortedException",
		before:  s.createLogStream,
	}
}

// logStreamOf is the stream in which a rule writes: as at AWS a name that tells nothing, the same for each rule.
func logStreamOf(d *queue.Delivery) string {
	sum := sha256.Sum256([]byte(d.Cause))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// logGroupOf is the group that a delivery goes to, which is the sender's own: the request names no account.
func (s *server) logGroupOf(d *queue.Delivery) (string, error) {
	account, group, ok := s.logs.ParseARN(d.Target)
	if !ok || account != d.Account {
		return "", errors.New("not a log group of the account " + d.Account)
	}
	return group, nil
}

type logEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

func (s *server) putLogEvent(ctx context.Context, d *queue.Delivery) (*http.Request, error) {
	group, err := s.logGroupOf(d)
	if err != nil {
		return nil, err
	}
	// An input transformer for a log group says time and text itself (EventBridge User Guide, "Input transformer
	// for CloudWatch Logs targets").
	var own logEvent
	dec := json.NewDecoder(bytes.NewReader(d.Payload))
	dec.DisallowUnknownFields()
	if dec.Decode(&own) != nil || own.Message == "" || own.Timestamp == 0 {
		own = logEvent{time.Now().UnixMilli(), string(d.Payload)}
	}
	return jsonRequest(ctx, "logs", "Logs_20140328.PutLogEvents", map[string]any{
		"logGroupName": group, "logStreamName": logStreamOf(d), "logEvents": []logEvent{own},
	})
}

// createLogStream makes the rule's stream where an answer says that something is missing.
func (s *server) createLogStream(ctx context.Context, d *queue.Delivery, answer []byte) (*http.Request, error) {
	if !failedWith(answer, "ResourceNotFoundException") {
		return nil, nil
	}
	group, err := s.logGroupOf(d)
	if err != nil {
		return nil, err
	}
	return jsonRequest(ctx, "logs", "Logs_20140328.CreateLogStream", map[string]string{"logGroupName": group, "logStreamName": logStreamOf(d)})
}
