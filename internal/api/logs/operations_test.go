package logs_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
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

func TestErrorsAreAWSs(t *testing.T) {
	h := newHarness(t)
	h.Must("CreateLogGroup", m{"logGroupName": "g"})
	h.Must("CreateLogStream", m{"logGroupName": "g", "logStreamName": "s"})
	for _, c := range []struct {
		operation string
		in        m
		code      string
	}{
		{"CreateLogGroup", m{"logGroupName": "g"}, "ResourceAlreadyExistsException"},
		{"CreateLogGroup", m{"logGroupName": "a:b"}, "InvalidParameterException"},
		{"CreateLogGroup", m{"logGroupName": "aws/x"}, "InvalidParameterException"},
		{"CreateLogGroup", m{}, "InvalidParameterException"},
		{"CreateLogGroup", m{"logGroupName": "x", "logGroupClass": "INFREQUENT_ACCESS"}, "InvalidParameterException"},
		{"CreateLogGroup", m{"logGroupName": "x", "kmsKeyId": "bad"}, "InvalidParameterException"},
		{"CreateLogStream", m{"logGroupName": "g", "logStreamName": "s"}, "ResourceAlreadyExistsException"},
		{"CreateLogStream", m{"logGroupName": "g", "logStreamName": "a:b"}, "InvalidParameterException"},
		{"DeleteLogGroup", m{"logGroupName": "none"}, "ResourceNotFoundException"},
		{"PutRetentionPolicy", m{"logGroupName": "g", "retentionInDays": 2}, "InvalidParameterException"},
		{"GetLogEvents", m{"logGroupName": "g", "logStreamName": "none"}, "ResourceNotFoundException"},
		{"GetLogEvents", m{"logGroupName": "g", "logGroupIdentifier": groupARN, "logStreamName": "s"}, "InvalidParameterException"},
		{"GetLogEvents", m{"logStreamName": "s"}, "InvalidParameterException"},
		{"GetLogEvents", m{"logGroupIdentifier": groupARN + ":*", "logStreamName": "s"}, "InvalidParameterException"},
		{"GetLogEvents", m{"logGroupName": "g", "logStreamName": "s", "nextToken": "f/1"}, "InvalidParameterException"},
		{"GetLogEvents", m{"logGroupName": "g", "logStreamName": "s", "nextToken": "x/" + "00000000000000000000000000000000000000000000000000000000"}, "InvalidParameterException"},
		{"GetLogEvents", m{"logGroupName": "g", "logStreamName": "s", "nextToken": "f/" + "99999999999999999999999999999999999999999999999999999999"}, "InvalidParameterException"},
		{"GetLogEvents", m{"logGroupName": "g", "logStreamName": "s", "startTime": 5, "endTime": 4}, "InvalidParameterException"},
		{"GetLogEvents", m{"logGroupName": "g", "logStreamName": "s", "limit": 10001}, "InvalidParameterException"},
		{"FilterLogEvents", m{"logGroupName": "g", "filterPattern": "{ $.a }"}, "InvalidParameterException"},
		{"FilterLogEvents", m{"logGroupName": "g", "logStreamNames": []string{"s"}, "logStreamNamePrefix": "s"}, "InvalidParameterException"},
		{"FilterLogEvents", m{"logGroupName": "g", "logStreamNames": []string{"none"}}, "ResourceNotFoundException"},
		{"FilterLogEvents", m{"logGroupName": "g", "nextToken": "-1"}, "InvalidParameterException"},
		{"DescribeLogStreams", m{"logGroupName": "g", "orderBy": "LastEventTime", "logStreamNamePrefix": "s"}, "InvalidParameterException"},
		{"DescribeLogGroups", m{"nextToken": "%"}, "InvalidParameterException"},
		{"DescribeLogGroups", m{"includeLinkedAccounts": true}, "InvalidParameterException"},
		{"TagResource", m{"resourceArn": "arn:aws:s3:::b", "tags": m{"a": "b"}}, "InvalidParameterException"},
		{"PutResourcePolicy", m{"policyName": "p", "policyDocument": "{"}, "InvalidParameterException"},
		{"PutResourcePolicy", m{"policyName": "p", "policyDocument": "{}", "resourceArn": groupARN}, "InvalidParameterException"},
		{"PutSubscriptionFilter", m{"logGroupName": "g", "filterName": "f", "filterPattern": "", "destinationArn": "arn:aws:lambda:us-east-1:1:function:f"}, "NotImplementedException"},
		{"StartLiveTail", m{"logGroupIdentifiers": []string{groupARN}}, "NotImplementedException"},
		{"NoSuchThing", m{}, "UnknownOperationException"},
	} {
		if a := h.Call("admin", c.operation, c.in); a.Status < 400 || a.Code() != c.code {
			t.Errorf("%s %v: %d %s", c.operation, c.in, a.Status, a.Body)
		}
	}
	h.Must("PutLogGroupDeletionProtection", m{"logGroupIdentifier": "g", "deletionProtectionEnabled": true})
	if a := h.Call("admin", "DeleteLogGroup", m{"logGroupName": "g"}); a.Code() != "ValidationException" {
		t.Errorf("a protected group: %s", a.Body)
	}
}

// TestMessagesAreNotOnRecord looks at everything that was recorded.
func TestMessagesAreNotOnRecord(t *testing.T) {
	h := newHarness(t)
	h.Must("CreateLogGroup", m{"logGroupName": "g"})
	h.Must("CreateLogStream", m{"logGroupName": "g", "logStreamName": "s"})
	h.Must("PutLogEvents", m{"logGroupName": "g", "logStreamName": "s", "logEvents": []m{{"timestamp": time.Now().UnixMilli(), "message": "CONFIDENTIAL"}}})
	h.Must("TestMetricFilter", m{"filterPattern": "x", "logEventMessages": []string{"CONFIDENTIAL x"}})
	h.Must("FilterLogEvents", m{"logGroupName": "g"})
	for _, ev := range h.Recorder.Events {
		if bytes.Contains(ev.Parameters, []byte("CONFIDENTIAL")) || bytes.Contains(ev.Response, []byte("CONFIDENTIAL")) {
			t.Errorf("%s: %s %s", ev.Operation, ev.Parameters, ev.Response)
		}
	}
}

// TestTheWholeResource: policies name groups with ":*" behind, and the operations on tags without.
func TestTheWholeResource(t *testing.T) {
	h := newHarness(t)
	h.Must("CreateLogGroup", m{"logGroupName": "g"})
	statement := func(resource string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"logs:*","Resource":"` + resource + `"}}`
	}
	h.People.Add(t, apitest.Owner, "star", statement(groupARN+":*"))
	h.People.Add(t, apitest.Owner, "bare", statement(groupARN))
	for _, c := range []struct {
		who, operation string
		in             m
		good           bool
	}{
		{"star", "PutRetentionPolicy", m{"logGroupName": "g", "retentionInDays": 1}, true},
		{"bare", "PutRetentionPolicy", m{"logGroupName": "g", "retentionInDays": 1}, false},
		{"star", "TagLogGroup", m{"logGroupName": "g", "tags": m{"a": "b"}}, true},
		{"star", "TagResource", m{"resourceArn": groupARN, "tags": m{"a": "b"}}, false},
		{"bare", "TagResource", m{"resourceArn": groupARN, "tags": m{"a": "b"}}, true},
		{"star", "CreateLogStream", m{"logGroupName": "g", "logStreamName": "s"}, true},
		{"star", "CreateLogGroup", m{"logGroupName": "gg"}, false},
		{"star", "DescribeLogGroups", m{}, false},
		{"star", "DeleteLogGroup", m{"logGroupName": "g"}, true},
	} {
		if a := h.Call(c.who, c.operation, c.in); (a.Status == 200) != c.good {
			t.Errorf("%s by %s: %d %s", c.operation, c.who, a.Status, a.Body)
		}
	}
}

func TestTagsBind(t *testing.T) {
	h := newHarness(t)
	h.Must("CreateLogGroup", m{"logGroupName": "g"})
	use := apitest.Sample{Operation: "PutRetentionPolicy", In: m{"logGroupName": "g", "retentionInDays": 7}}
	h.TagsBind(apitest.Sample{Operation: "TagResource", In: m{"resourceArn": groupARN, "tags": m{"a": "b"}}},
		apitest.Sample{Operation: "UntagResource", In: m{"resourceArn": groupARN, "tagKeys": []string{"a"}}}, use)
	h.TagsBind(apitest.Sample{Operation: "TagLogGroup", In: m{"logGroupName": "g", "tags": m{"a": "b"}}},
		apitest.Sample{Operation: "UntagLogGroup", In: m{"logGroupName": "g", "tags": []string{"a"}}}, use)
}

// TestLargeBatches are taken of callers that there are alone: a body is read before its signature is checked.
func TestLargeBatches(t *testing.T) {
	h := newHarness(t)
	h.Must("CreateLogGroup", m{"logGroupName": "g"})
	h.Must("CreateLogStream", m{"logGroupName": "g", "logStreamName": "s"})
	// Each of these characters is six in JSON.
	batch := m{"logGroupName": "g", "logStreamName": "s", "logEvents": []m{{"timestamp": time.Now().UnixMilli(), "message": strings.Repeat("<", 500<<10)}}}
	h.Must("PutLogEvents", batch)
	if a := h.Call("unheardof", "PutLogEvents", batch); a.Status != 413 {
		t.Errorf("of nobody: %d %s", a.Status, a.Body)
	}
	if a := h.Call("denied", "PutLogEvents", batch); a.Code() != "AccessDeniedException" {
		t.Errorf("of who is denied: %d %s", a.Status, a.Body)
	}
	batch["logEvents"] = []m{{"timestamp": time.Now().UnixMilli(), "message": strings.Repeat("<", 800<<10)}}
	if a := h.Call("admin", "PutLogEvents", batch); a.Status != 413 {
		t.Errorf("too large: %d %s", a.Status, a.Body)
	}
}
