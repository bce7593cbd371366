package logs_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	apilogs "github.com/kura-s3/kura/internal/api/logs"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/logs"
)

type m = apitest.M

// noKeys is a KMS whose only key is "good", until somebody takes it away.
type noKeys struct{ gone bool }

func (k *noKeys) NewDataKey(_ context.Context, _, key, _ string) (plain, wrapped []byte, err error) {
	if key != "good" {
		return nil, nil, errors.New("no such key")
	}
	plain = bytes.Repeat([]byte{7}, 32)
	return plain, plain, nil
}

func (k *noKeys) OpenDataKey(_ context.Context, _, _ string, wrapped []byte) ([]byte, error) {
	if k.gone {
		return nil, errors.New("disabled")
	}
	return wrapped, nil
}

func newHarness(t *testing.T) *apitest.Harness {
	t.Helper()
	h := apitest.New(t, "logs")
	store, err := logs.Open(t.Context(), logs.Config{Meta: h.Meta, Secrets: h.Ring, Principals: h.People, Keys: &noKeys{}, Region: apitest.Region, Log: h.Log})
	if err != nil {
		t.Fatal(err)
	}
	h.Serve(apilogs.New(apilogs.Config{Logs: store, Authn: h.Authn, Log: h.Log}))
	return h
}

const groupARN = "arn:aws:logs:us-east-1:" + apitest.Owner + ":log-group:g"

// TestEveryOperationIsGuarded ranges over all operations.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	group, stream := m{"logGroupName": "g"}, m{"logGroupName": "g", "logStreamName": "s"}
	now := time.Now().UnixMilli()
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"logs:PutLogEvents","Resource":"*"}}`
	h.Guarded(
		apitest.Sample{Operation: "CreateLogGroup", In: m{"logGroupName": "g", "tags": m{"a": "b"}}, Own: true},
		apitest.Sample{Operation: "DescribeLogGroups", In: m{}, Own: true},
		apitest.Sample{Operation: "PutRetentionPolicy", In: m{"logGroupName": "g", "retentionInDays": 7}},
		apitest.Sample{Operation: "DeleteRetentionPolicy", In: group},
		apitest.Sample{Operation: "PutLogGroupDeletionProtection", In: m{"logGroupIdentifier": groupARN, "deletionProtectionEnabled": false}},
		apitest.Sample{Operation: "AssociateKmsKey", In: m{"logGroupName": "g", "kmsKeyId": "good"}},
		apitest.Sample{Operation: "DisassociateKmsKey", In: m{"resourceIdentifier": groupARN}},
		apitest.Sample{Operation: "TagResource", In: m{"resourceArn": groupARN, "tags": m{"a": "b"}}},
		apitest.Sample{Operation: "UntagResource", In: m{"resourceArn": groupARN, "tagKeys": []string{"a"}}},
		apitest.Sample{Operation: "ListTagsForResource", In: m{"resourceArn": groupARN}},
		apitest.Sample{Operation: "TagLogGroup", In: m{"logGroupName": "g", "tags": m{"a": "b"}}},
		apitest.Sample{Operation: "UntagLogGroup", In: m{"logGroupName": "g", "tags": []string{"a"}}},
		apitest.Sample{Operation: "ListTagsLogGroup", In: group},
		apitest.Sample{Operation: "CreateLogStream", In: stream},
		apitest.Sample{Operation: "DescribeLogStreams", In: m{"logGroupIdentifier": groupARN}},
		apitest.Sample{Operation: "PutLogEvents", In: m{"logGroupName": "g", "logStreamName": "s", "logEvents": []m{{"timestamp": now, "message": "x"}}}},
		apitest.Sample{Operation: "GetLogEvents", In: m{"logGroupIdentifier": groupARN, "logStreamName": "s"}},
		apitest.Sample{Operation: "FilterLogEvents", In: m{"logGroupIdentifier": groupARN}},
		apitest.Sample{Operation: "PutResourcePolicy", In: m{"policyName": "p", "policyDocument": policy}, Own: true},
		apitest.Sample{Operation: "DescribeResourcePolicies", In: m{}, Own: true},
		apitest.Sample{Operation: "DeleteResourcePolicy", In: m{"policyName": "p"}},
		apitest.Sample{Operation: "TestMetricFilter", In: m{"filterPattern": "x", "logEventMessages": []string{"x"}}, Own: true},
		apitest.Sample{Operation: "DeleteLogStream", In: stream},
		apitest.Sample{Operation: "DeleteLogGroup", In: group},
	)
}
