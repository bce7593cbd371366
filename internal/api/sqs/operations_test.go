package sqs_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/rpc"
	apisqs "github.com/kura-s3/kura/internal/api/sqs"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/sqs"
	"github.com/kura-s3/kura/policy"
)

const (
	owner  = "111122223333"
	other  = "444455556666"
	region = "us-east-1"
	secret = "secret-secret-secret-secret-secret-secre"
)

// people are the callers, by access key.
type people map[string]*authn.Credential

func (p people) Lookup(_ context.Context, key, _ string) (*authn.Credential, error) {
	if c := p[key]; c != nil {
		return c, nil
	}
	return nil, fault.New(authn.UnknownKey, "")
}

func (people) UniqueID(arn string) (string, bool) {
	_, name, _ := strings.Cut(arn, ":user/")
	return "AIDA" + strings.ToUpper(name), name != ""
}

func (people) ARNOf(string) (string, bool) { return "", false }

func (p people) add(t *testing.T, account, name, document string) {
	t.Helper()
	subject := authz.Subject{AccessKey: name, Principal: policy.Principal{
		Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name, Name: name,
		UserID: "AIDA" + strings.ToUpper(name), UniqueID: "AIDA" + strings.ToUpper(name),
	}}
	if document != "" {
		doc, err := policy.ParseString(document, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		subject.Policies.Identity = []*policy.Document{doc}
	}
	p[name] = &authn.Credential{AccessKeyID: name, Secret: secret, Active: true, Subject: subject}
}

type recorder struct {
	authztest.Forget
	broken bool
	told   []json.RawMessage // parameters
}

func (*recorder) Wants(*audit.Event) bool { return true }

func (r *recorder) Complete(_ context.Context, ev *audit.Event) error {
	r.told = append(r.told, ev.Parameters, ev.Response)
	return nil
}

func (r *recorder) Begin(context.Context, *audit.Event) error {
	if r.broken {
		return errors.New("the record cannot be written")
	}
	return nil
}

// counting counts commits.
type counting struct {
	engine.Meta
	commits int
}

func (c *counting) Commit(ctx context.Context, b *engine.Batch) error {
	c.commits++
	return c.Meta.Commit(ctx, b)
}

type harness struct {
	t        *testing.T
	server   *api.Server
	meta     *counting
	recorder *recorder
	who      people
}

const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

func newHarness(t *testing.T) *harness {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	h := &harness{t: t, meta: &counting{Meta: memory.NewMeta()}, recorder: &recorder{}, who: people{}}
	who := h.who
	who.add(t, owner, "admin", everything)
	who.add(t, owner, "stranger", "")
	who.add(t, owner, "denied", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"sqs:*","Resource":"*"}]}`)
	who.add(t, other, "foreign", everything)
	ring, err := keys.Open(t.Context(), h.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	queues, err := sqs.Open(t.Context(), sqs.Config{Meta: h.meta, Secrets: ring, Principals: who, Region: region, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	signers := authn.New(authn.Config{Credentials: who, Region: region, Services: []string{"s3", "sqs"}, Anonymous: authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}}})
	h.server, err = api.NewServer(api.Config{
		Services: []api.Service{
			rpc.New(rpc.Config{Name: "s3", Protocol: wire.Query, Authn: signers, Log: log}), // takes what no other claims
			apisqs.New(apisqs.Config{Queues: queues, Authn: signers, Log: log}),
		},
		Guard: authz.New(authz.Config{Recorder: h.recorder}), Recorder: h.recorder, Log: log, Region: region,
		Peer: func(*http.Request) api.Peer {
			return api.Peer{IP: netip.MustParseAddr("127.0.0.1"), RequestID: "0123456789ABCDEF"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// call makes a request; nobody signs as "".
func (h *harness) call(who, operation string, in any) (int, map[string]any, http.Header) {
	h.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "http://sqs.local/", strings.NewReader(string(body)))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	if who != "" {
		sum := sha256.Sum256(body)
		if _, err := authn.Sign(r, authn.Signing{
			AccessKeyID: who, Secret: secret, Region: region, Service: "sqs", Time: time.Now(), PayloadHash: hex.EncodeToString(sum[:]),
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	var out map[string]any
	text, _ := io.ReadAll(w.Body)
	if err := json.Unmarshal(text, &out); err != nil && len(text) > 0 {
		h.t.Fatalf("%s: %s", operation, text)
	}
	return w.Code, out, w.Header()
}

func (h *harness) must(operation string, in any) map[string]any {
	h.t.Helper()
	status, out, _ := h.call("admin", operation, in)
	if status != 200 {
		h.t.Fatalf("%s: %d %v", operation, status, out)
	}
	return out
}

type m = map[string]any

// TestEveryOperationIsGuarded ranges over all operations: each refuses who is denied, from another account or
// nobody, and when the decision cannot be recorded, without touching storage; and serves who may.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	url := h.must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	h.must("SendMessage", m{"QueueUrl": url, "MessageBody": "x"})
	receipt := h.must("ReceiveMessage", m{"QueueUrl": url})["Messages"].([]any)[0].(m)["ReceiptHandle"]
	samples := []struct {
		operation string
		in        m
	}{
		{"CreateQueue", m{"QueueName": "new"}},
		{"GetQueueUrl", m{"QueueName": "q", "QueueOwnerAWSAccountId": owner}},
		{"ListQueues", m{}},
		{"GetQueueAttributes", m{"QueueUrl": url, "AttributeNames": []string{"All"}}},
		{"SetQueueAttributes", m{"QueueUrl": url, "Attributes": m{"DelaySeconds": "0"}}},
		{"TagQueue", m{"QueueUrl": url, "Tags": m{"a": "b"}}},
		{"ListQueueTags", m{"QueueUrl": url}},
		{"UntagQueue", m{"QueueUrl": url, "TagKeys": []string{"a"}}},
		{"ListDeadLetterSourceQueues", m{"QueueUrl": url}},
		{"SendMessage", m{"QueueUrl": url, "MessageBody": "x"}},
		{"SendMessageBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "a", "MessageBody": "x"}}}},
		{"ReceiveMessage", m{"QueueUrl": url}},
		{"ChangeMessageVisibility", m{"QueueUrl": url, "ReceiptHandle": receipt, "VisibilityTimeout": 60}},
		{"ChangeMessageVisibilityBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "a", "ReceiptHandle": receipt, "VisibilityTimeout": 60}}}},
		{"DeleteMessageBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "a", "ReceiptHandle": receipt}}}},
		{"DeleteMessage", m{"QueueUrl": url, "ReceiptHandle": receipt}},
		{"PurgeQueue", m{"QueueUrl": url}},
		{"DeleteQueue", m{"QueueUrl": url}},
	}
	declared := map[string]bool{}
	for _, op := range h.server.Ops() {
		if op.Wire().Service == "sqs" {
			declared[op.Name()] = true
		}
	}
	own := map[string]bool{"CreateQueue": true, "ListQueues": true} // what one does in one's own account
	for _, c := range samples {
		delete(declared, c.operation)
		before := h.meta.commits
		for _, who := range []string{"", "stranger", "denied", "foreign"} {
			if who == "foreign" && own[c.operation] {
				continue
			}
			if status, out, _ := h.call(who, c.operation, c.in); status < 400 {
				t.Errorf("%s by %q: %d %v", c.operation, who, status, out)
			}
		}
		h.recorder.broken = true
		if status, out, _ := h.call("admin", c.operation, c.in); status != 503 {
			t.Errorf("%s, unrecorded: %d %v", c.operation, status, out)
		}
		h.recorder.broken = false
		if h.meta.commits != before {
			t.Errorf("%s: a refused request wrote", c.operation)
		}
		h.must(c.operation, c.in)
	}
	for name := range declared {
		t.Errorf("%s has no sample", name)
	}
}

// TestAQueuesPolicyLetsOthersIn: another account, by the queue's policy and its own.
func TestAQueuesPolicyLetsOthersIn(t *testing.T) {
	h := newHarness(t)
	url := h.must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	send := m{"QueueUrl": url, "MessageBody": "x"}
	if status, _, _ := h.call("foreign", "SendMessage", send); status == 200 {
		t.Error("without a policy")
	}
	h.must("SetQueueAttributes", m{"QueueUrl": url, "Attributes": m{"Policy": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` +
		other + `"},"Action":"sqs:SendMessage","Resource":"*"}}`}})
	if status, out, _ := h.call("foreign", "SendMessage", send); status != 200 {
		t.Errorf("with it: %v", out)
	}
	if status, _, _ := h.call("foreign", "ReceiveMessage", m{"QueueUrl": url}); status == 200 {
		t.Error("the policy opened more than it says")
	}
	h.must("SetQueueAttributes", m{"QueueUrl": url, "Attributes": m{"Policy": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` +
		other + `"},"Action":"sqs:*","Resource":"*"}}`}})
	for operation, in := range map[string]m{
		"SetQueueAttributes": {"QueueUrl": url, "Attributes": m{"DelaySeconds": "1"}}, "TagQueue": {"QueueUrl": url, "Tags": m{"a": "b"}},
		"UntagQueue": {"QueueUrl": url, "TagKeys": []string{"a"}}, "ListQueueTags": {"QueueUrl": url}, "DeleteQueue": {"QueueUrl": url},
	} {
		if status, out, _ := h.call("foreign", operation, in); status != 400 && status != 403 {
			t.Errorf("%s from another account: %d %v", operation, status, out)
		}
	}
	if status, out, _ := h.call("foreign", "PurgeQueue", m{"QueueUrl": url}); status != 200 {
		t.Errorf("what the policy may open: %v", out)
	}
}

func TestErrorsAreSQSs(t *testing.T) {
	h := newHarness(t)
	url := h.must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
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
		status, out, header := h.call("admin", c.operation, c.in)
		if code, _ := out["__type"].(string); status < 400 || !strings.HasSuffix(code, c.code) || header.Get("X-Amzn-Query-Error") != c.query+";Sender" {
			t.Errorf("%s %v: %d %v %q", c.operation, c.in, status, out, header.Get("X-Amzn-Query-Error"))
		}
	}
	out := h.must("SendMessageBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "\u0001"}}})
	if ok, failed := out["Successful"].([]any), out["Failed"].([]any); len(ok) != 1 || len(failed) != 1 || failed[0].(m)["Code"] != "InvalidMessageContents" {
		t.Errorf("%v", out)
	}
}

// TestTagsDecideAboutTags: conditions on the tags that a queue has, and on those that a request brings or takes,
// hold for changing them; making a queue with tags takes the permission to tag.
func TestTagsDecideAboutTags(t *testing.T) {
	h := newHarness(t)
	allow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny",`
	h.who.add(t, owner, "outside", allow+`"Action":"sqs:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/env":"prod"}}}]}`)
	h.who.add(t, owner, "keeper", allow+`"Action":"sqs:UntagQueue","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"env"}}}]}`)
	h.who.add(t, owner, "untagging", allow+`"Action":"sqs:TagQueue","Resource":"*"}]}`)
	url := h.must("CreateQueue", m{"QueueName": "q", "tags": m{"env": "prod", "team": "red"}})["QueueUrl"]
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
		if status, out, _ := h.call(c.who, c.operation, c.in); (status == 200) != c.good {
			t.Errorf("%s by %s: %d %v", c.operation, c.who, status, out)
		}
	}
}

// TestTheRecordHoldsNoMessage: what is sent shows neither in whole nor in part.
func TestTheRecordHoldsNoMessage(t *testing.T) {
	h := newHarness(t)
	url := h.must("CreateQueue", m{"QueueName": "q"})["QueueUrl"]
	attributes := m{"a": m{"DataType": "String", "StringValue": "canary-attribute"}}
	h.must("SendMessage", m{"QueueUrl": url, "MessageBody": "canary-body", "MessageAttributes": attributes})
	h.must("SendMessageBatch", m{"QueueUrl": url, "Entries": []m{{"Id": "e", "MessageBody": "canary-batch", "MessageAttributes": attributes}}})
	h.must("ReceiveMessage", m{"QueueUrl": url, "MaxNumberOfMessages": 10})
	text := fmt.Sprintf("%s", h.recorder.told)
	if strings.Contains(text, "canary") || !strings.Contains(text, "queueUrl") {
		t.Errorf("on record: %s", text)
	}
}

// TestQueuesOfOthersAreNotToldFromNone: whom a queue's policy does not let in learns not even that it is there.
func TestQueuesOfOthersAreNotToldFromNone(t *testing.T) {
	h := newHarness(t)
	there := h.must("CreateQueue", m{"QueueName": "q"})["QueueUrl"].(string)
	none := strings.TrimSuffix(there, "q") + "n"
	for operation, more := range map[string]m{
		"SendMessage": {"MessageBody": "x"}, "ListQueueTags": {}, "TagQueue": {"Tags": m{"a": "b"}}, "UntagQueue": {"TagKeys": []string{"a"}}, "ListDeadLetterSourceQueues": {},
	} {
		var answers []string
		for _, url := range []string{there, none} {
			in := m{"QueueUrl": url}
			maps.Copy(in, more)
			status, out, _ := h.call("foreign", operation, in)
			answers = append(answers, strings.ReplaceAll(fmt.Sprint(status, out), ":n ", ":q "))
		}
		if answers[0] != answers[1] || !strings.Contains(answers[0], "AccessDenied") {
			t.Errorf("%s: %q", operation, answers)
		}
	}
}
