package sqs_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	apisqs "github.com/kura-s3/kura/internal/api/sqs"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/sqs"
)

const (
	owner = apitest.Owner
	other = apitest.Other
)

func newHarness(t *testing.T) *apitest.Harness {
	t.Helper()
	h := apitest.New(t, "sqs")
	queues, err := sqs.Open(t.Context(), sqs.Config{Meta: h.Meta, Secrets: h.Ring, Principals: h.People, Region: apitest.Region, Log: h.Log})
	if err != nil {
		t.Fatal(err)
	}
	h.Serve(apisqs.New(apisqs.Config{Queues: queues, Authn: h.Authn, Log: h.Log}))
	return h
}

type m = apitest.M

// TestEveryOperationIsGuarded ranges over all operations: each refuses who is denied, from another account or
// nobody, and when the decision cannot be recorded, without touching storage; and serves who may.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	url := h.Must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	h.Must("SendMessage", m{"QueueUrl": url, "MessageBody": "x"})
	receipt := h.Must("ReceiveMessage", m{"QueueUrl": url})["Messages"].([]any)[0].(m)["ReceiptHandle"]
	h.Guarded(
		apitest.Sample{Operation: "CreateQueue", In: m{"QueueName": "new"}, Own: true},
		apitest.Sample{Operation: "GetQueueUrl", In: m{"QueueName": "q", "QueueOwnerAWSAccountId": owner}},
		apitest.Sample{Operation: "ListQueues", In: m{}, Own: true},
		apitest.Sample{Operation: "GetQueueAttributes", In: m{"QueueUrl": url, "AttributeNames": []string{"All"}}},
		apitest.Sample{Operation: "SetQueueAttributes", In: m{"QueueUrl": url, "Attributes": m{"DelaySeconds": "0"}}},
		apitest.Sample{Operation: "TagQueue", In: m{"QueueUrl": url, "Tags": m{"a": "b"}}},
		apitest.Sample{Operation: "ListQueueTags", In: m{"QueueUrl": url}},
		apitest.Sample{Operation: "UntagQueue", In: m{"QueueUrl": url, "TagKeys": []string{"a"}}},
		apitest.Sample{Operation: "ListDeadLetterSourceQueues", In: m{"QueueUrl": url}},
		apitest.Sample{Operation: "SendMessage", In: m{"QueueUrl": url, "MessageBody": "x"}},
		apitest.Sample{Operation: "SendMessageBatch", In: m{"QueueUrl": url, "Entries": []m{{"Id": "a", "MessageBody": "x"}}}},
		apitest.Sample{Operation: "ReceiveMessage", In: m{"QueueUrl": url}},
		apitest.Sample{Operation: "ChangeMessageVisibility", In: m{"QueueUrl": url, "ReceiptHandle": receipt, "VisibilityTimeout": 60}},
		apitest.Sample{Operation: "ChangeMessageVisibilityBatch", In: m{"QueueUrl": url, "Entries": []m{{"Id": "a", "ReceiptHandle": receipt, "VisibilityTimeout": 60}}}},
		apitest.Sample{Operation: "DeleteMessageBatch", In: m{"QueueUrl": url, "Entries": []m{{"Id": "a", "ReceiptHandle": receipt}}}},
		apitest.Sample{Operation: "DeleteMessage", In: m{"QueueUrl": url, "ReceiptHandle": receipt}},
		apitest.Sample{Operation: "PurgeQueue", In: m{"QueueUrl": url}},
		apitest.Sample{Operation: "DeleteQueue", In: m{"QueueUrl": url}},
	)
}

// TestAQueuesPolicyLetsOthersIn: another account, by the queue's policy and its own.
func TestAQueuesPolicyLetsOthersIn(t *testing.T) {
	h := newHarness(t)
	url := h.Must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	send := m{"QueueUrl": url, "MessageBody": "x"}
	if a := h.Call("foreign", "SendMessage", send); a.Status == 200 {
		t.Error("without a policy")
	}
	h.Must("SetQueueAttributes", m{"QueueUrl": url, "Attributes": m{"Policy": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` +
		other + `"},"Action":"sqs:SendMessage","Resource":"*"}}`}})
	if a := h.Call("foreign", "SendMessage", send); a.Status != 200 {
		t.Errorf("with it: %s", a.Body)
	}
	if a := h.Call("foreign", "ReceiveMessage", m{"QueueUrl": url}); a.Status == 200 {
		t.Error("the policy opened more than it says")
	}
	h.Must("SetQueueAttributes", m{"QueueUrl": url, "Attributes": m{"Policy": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` +
		other + `"},"Action":"sqs:*","Resource":"*"}}`}})
	for operation, in := range map[string]m{
		"SetQueueAttributes": {"QueueUrl": url, "Attributes": m{"DelaySeconds": "1"}}, "TagQueue": {"QueueUrl": url, "Tags": m{"a": "b"}},
		"UntagQueue": {"QueueUrl": url, "TagKeys": []string{"a"}}, "ListQueueTags": {"QueueUrl": url}, "DeleteQueue": {"QueueUrl": url},
	} {
		if a := h.Call("foreign", operation, in); a.Status != 400 && a.Status != 403 {
			t.Errorf("%s from another account: %d %s", operation, a.Status, a.Body)
		}
	}
	if a := h.Call("foreign", "PurgeQueue", m{"QueueUrl": url}); a.Status != 200 {
		t.Errorf("what the policy may open: %s", a.Body)
	}
}

func TestErrorsAreSQSs(t *testing.T) {
	h := newHarness(t)
	url := h.Must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	for _, c := range []struct {
		operation   string
		in          m
		code, query string
	}{
		{"GetQueueUrl", m{"QueueName": "none"}, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"},
		{"CreateQueue", m{"QueueName": "q.fifo"}, "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation"},
		{"CreateQueue", m{"QueueName": "q", "Attributes": m{"DelaySeconds": "7"}}, "QueueNameExists", "QueueAlreadyExists"},
		{"SendMessage", m{"QueueUrl": url, "MessageBody": ""}, "MissingParameter", "MissingParameter"},
		{"SendMessage", m{"QueueUrl": "http://x/1/2/3", "MessageBody": "x"}, "InvalidParameterValue", "InvalidParameterValue"},
		{"DeleteMessage", m{"QueueUrl": url, "ReceiptHandle": "x"}, "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid"},
		{"SendMessageBatch", m{"QueueUrl": url, "Entries": []m{}}, "EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest"},
		{"SendMessageBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "a", "MessageBody": "x"}, {"Id": "a", "MessageBody": "x"}}}, "BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		{"ReceiveMessage", m{"QueueUrl": url, "MaxNumberOfMessages": 11}, "InvalidParameterValue", "InvalidParameterValue"},
	} {
		a := h.Call("admin", c.operation, c.in)
		if a.Status < 400 || a.Code() != c.code || a.Header.Get("X-Amzn-Query-Error") != c.query+";Sender" {
			t.Errorf("%s %v: %d %s %q", c.operation, c.in, a.Status, a.Body, a.Header.Get("X-Amzn-Query-Error"))
		}
	}
	out := h.Must("SendMessageBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "\u0001"}}})
	if ok, failed := out["Successful"].([]any), out["Failed"].([]any); len(ok) != 1 || len(failed) != 1 || failed[0].(m)["Code"] != "InvalidMessageContents" {
		t.Errorf("%v", out)
	}
}

// TestTagsDecideAboutTags: conditions on the tags that a queue has, and on those that a request brings or takes,
// hold for changing them; making a queue with tags takes the permission to tag.
func TestTagsDecideAboutTags(t *testing.T) {
	h := newHarness(t)
	allow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny",`
	h.People.Add(t, owner, "outside", allow+`"Action":"sqs:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/env":"prod"}}}]}`)
	h.People.Add(t, owner, "keeper", allow+`"Action":"sqs:UntagQueue","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"env"}}}]}`)
	h.People.Add(t, owner, "untagging", allow+`"Action":"sqs:TagQueue","Resource":"*"}]}`)
	url := h.Must("CreateQueue", m{"QueueName": "q", "tags": m{"env": "prod", "team": "red"}})["QueueUrl"]
	for _, c := range []struct {
		who, operation string
		in             m
		good           bool
	}{
		{"outside", "TagQueue", m{"QueueUrl": url, "Tags": m{"env": "dev"}}, false},
		{"outside", "UntagQueue", m{"QueueUrl": url, "TagKeys": []string{"env"}}, false},
		{"keeper", "UntagQueue", m{"QueueUrl": url, "TagKeys": []string{"team", "env"}}, false},
		{"keeper", "UntagQueue", m{"QueueUrl": url, "TagKeys": []string{"team"}}, true},
		{"untagging", "CreateQueue", m{"QueueName": "tagged", "tags": m{"env": "dev"}}, false},
		{"untagging", "CreateQueue", m{"QueueName": "plain"}, true},
	} {
		if a := h.Call(c.who, c.operation, c.in); (a.Status == 200) != c.good {
			t.Errorf("%s by %s: %d %s", c.operation, c.who, a.Status, a.Body)
		}
	}
}

// TestTheRecordHoldsNoMessage: what is sent shows neither in whole nor in part.
func TestTheRecordHoldsNoMessage(t *testing.T) {
	h := newHarness(t)
	url := h.Must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	attributes := m{"a": m{"DataType": "String", "StringValue": "canary-attribute"}}
	h.Must("SendMessage", m{"QueueUrl": url, "MessageBody": "canary-body", "MessageAttributes": attributes})
	h.Must("SendMessageBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "e", "MessageBody": "canary-batch", "MessageAttributes": attributes}}})
	h.Must("ReceiveMessage", m{"QueueUrl": url, "MaxNumberOfMessages": 10})
	text := ""
	for _, ev := range h.Recorder.Events {
		text += string(ev.Parameters) + string(ev.Response)
	}
	if strings.Contains(text, "canary") || !strings.Contains(text, "queueUrl") {
		t.Errorf("on record: %s", text)
	}
}

// TestQueuesOfOthersAreNotToldFromNone: whom a queue's policy does not let in learns not even that it is there.
func TestQueuesOfOthersAreNotToldFromNone(t *testing.T) {
	h := newHarness(t)
	there := h.Must("CreateQueue", m{"QueueName": "q"})["QueueUrl"].(string)
	none := strings.TrimSuffix(there, "q") + "n"
	for operation, more := range map[string]m{
		"SendMessage": {"MessageBody": "x"}, "ListQueueTags": {}, "TagQueue": {"Tags": m{"a": "b"}}, "UntagQueue": {"TagKeys": []string{"a"}}, "ListDeadLetterSourceQueues": {},
	} {
		var answers []string
		for _, url := range []string{there, none} {
			in := m{"QueueUrl": url}
			maps.Copy(in, more)
			a := h.Call("foreign", operation, in)
			answers = append(answers, strings.ReplaceAll(fmt.Sprint(a.Status, a.JSON), ":n ", ":q "))
		}
		if answers[0] != answers[1] || !strings.Contains(answers[0], "AccessDenied") {
			t.Errorf("%s: %q", operation, answers)
		}
	}
}

func TestTagsBind(t *testing.T) {
	h := newHarness(t)
	url := h.Must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	h.TagsBind(
		apitest.Sample{Operation: "TagQueue", In: m{"QueueUrl": url, "Tags": m{"a": "b"}}},
		apitest.Sample{Operation: "UntagQueue", In: m{"QueueUrl": url, "TagKeys": []string{"a"}}},
		apitest.Sample{Operation: "SendMessage", In: m{"QueueUrl": url, "MessageBody": "x"}})
}
