package sns_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	apisns "github.com/kura-s3/kura/internal/api/sns"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/sns"
)

const (
	owner = apitest.Owner
	other = apitest.Other
	topic = "arn:aws:sns:us-east-1:" + owner + ":t"
)

// all are people who are there whenever a key's policy names them.
type all struct{ apitest.People }

func (all) PrincipalExists(string) bool { return true }

type harness struct {
	*apitest.Harness
	t      *testing.T
	topics *sns.Store
	keys   *kms.Store
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{Harness: apitest.New(t, "sns"), t: t}
	var err error
	h.topics, err = sns.Open(t.Context(), sns.Config{
		Meta: h.Meta, Secrets: h.Ring, Principals: h.People, Region: apitest.Region, Log: h.Log,
		Filters: sns.Filters{Compile: func(text []byte) (sns.Filter, error) { return pattern.Compile(text) }, Decode: pattern.Decode},
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.keys, err = kms.Open(t.Context(), kms.Config{Meta: h.Meta, Secrets: h.Ring, Principals: all{h.People}, Region: apitest.Region, Log: h.Log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.keys.Close() })
	h.Serve(apisns.New(apisns.Config{
		Topics: h.topics, Keys: h.keys, Region: apitest.Region, Authn: h.Authn, Log: h.Log,
		Endpoint: func(protocol, endpoint string) (string, error) {
			if protocol == "sqs" {
				return strings.Split(endpoint, ":")[4], nil
			}
			return "", nil
		},
	}))
	return h
}

// form makes the body of a request of names and values in turn.
func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// must makes a request of the administrator and gives what stands in an element of the answer.
func (h *harness) must(element, operation string, pairs ...string) string {
	h.t.Helper()
	a := h.Call("admin", operation, form(pairs...))
	if a.Status != 200 {
		h.t.Fatalf("%s %v: %d %s", operation, pairs, a.Status, a.Body)
	}
	m := regexp.MustCompile("<" + element + ">([^<]*)<").FindSubmatch(a.Body)
	if m == nil {
		if element == "" {
			return ""
		}
		h.t.Fatalf("%s: no %s in %s", operation, element, a.Body)
	}
	return string(m[1])
}

// code of a refusal.
func (h *harness) code(who, operation string, pairs ...string) string {
	h.t.Helper()
	a := h.Call(who, operation, form(pairs...))
	m := regexp.MustCompile("<Code>([^<]*)<").FindSubmatch(a.Body)
	if m == nil {
		return fmt.Sprint(a.Status)
	}
	return string(m[1])
}

// token of the subscription that waits for being confirmed.
func (h *harness) token() string {
	h.t.Helper()
	out, err := h.topics.Waiting(context.Background(), 100)
	if err != nil || len(out) == 0 {
		h.t.Fatalf("no question is on its way: %v", err)
	}
	return out[len(out)-1].Message.Token
}

// link follows a link of a message, unsigned.
func (h *harness) link(pairs ...string) *apitest.Answer {
	return h.Send("", httptest.NewRequest("GET", "http://sns.local/?"+form(pairs...), nil), nil)
}

func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t")
	sub := h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "sqs", "Endpoint", "arn:aws:sqs:us-east-1:"+owner+":q")
	h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "https", "Endpoint", "https://example.com/")
	token := h.token()
	on := form("TopicArn", topic)
	h.Guarded(
		apitest.Sample{Operation: "CreateTopic", In: form("Name", "new"), Own: true},
		apitest.Sample{Operation: "ListTopics", In: "", Own: true},
		apitest.Sample{Operation: "GetTopicAttributes", In: on},
		apitest.Sample{Operation: "SetTopicAttributes", In: on + "&AttributeName=DisplayName&AttributeValue=x"},
		apitest.Sample{Operation: "AddPermission", In: on + "&Label=l&AWSAccountId.member.1=" + owner + "&ActionName.member.1=Publish"},
		apitest.Sample{Operation: "RemovePermission", In: on + "&Label=l"},
		apitest.Sample{Operation: "TagResource", In: form("ResourceArn", topic) + "&Tags.member.1.Key=a&Tags.member.1.Value=b"},
		apitest.Sample{Operation: "ListTagsForResource", In: form("ResourceArn", topic)},
		apitest.Sample{Operation: "UntagResource", In: form("ResourceArn", topic) + "&TagKeys.member.1=a"},
		apitest.Sample{Operation: "Subscribe", In: on + "&Protocol=https&Endpoint=https%3A%2F%2Fexample.com%2F2"},
		apitest.Sample{Operation: "ConfirmSubscription", In: on + "&Token=" + token},
		apitest.Sample{Operation: "ListSubscriptions", In: "", Own: true},
		apitest.Sample{Operation: "ListSubscriptionsByTopic", In: on},
		apitest.Sample{Operation: "GetSubscriptionAttributes", In: form("SubscriptionArn", sub)},
		apitest.Sample{Operation: "SetSubscriptionAttributes", In: form("SubscriptionArn", sub, "AttributeName", "RawMessageDelivery", "AttributeValue", "true")},
		apitest.Sample{Operation: "Publish", In: on + "&Message=x"},
		apitest.Sample{Operation: "PublishBatch", In: on + "&PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.1.Message=x"},
		apitest.Sample{Operation: "Unsubscribe", In: form("SubscriptionArn", sub)},
		apitest.Sample{Operation: "DeleteTopic", In: on},
	)
}

// TestLinksTakeWhatTheyCarryAndNoMore: confirming takes the token; ending, a subscription that nobody protected.
func TestLinksTakeWhatTheyCarryAndNoMore(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t")
	sub := h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "https", "Endpoint", "https://example.com/", "ReturnSubscriptionArn", "true")
	token := h.token()
	for _, wrong := range []string{"", "x", token[1:], strings.ToUpper(token)} {
		if a := h.link("Action", "ConfirmSubscription", "TopicArn", topic, "Token", wrong); a.Status < 400 {
			t.Errorf("token %q: %s", wrong, a.Body)
		}
	}
	if a := h.link("Action", "Unsubscribe", "SubscriptionArn", sub); a.Status != 403 {
		t.Errorf("before it is confirmed: %d %s", a.Status, a.Body)
	}
	if got := h.must("SubscriptionArn", "ListSubscriptionsByTopic", "TopicArn", topic); got != "PendingConfirmation" {
		t.Error(got)
	}
	if a := h.link("Action", "ConfirmSubscription", "TopicArn", topic, "Token", token, "AuthenticateOnUnsubscribe", "true"); a.Status != 400 {
		t.Errorf("protected by who did not sign: %s", a.Body)
	}
	if a := h.link("Action", "ConfirmSubscription", "TopicArn", topic, "Token", token); a.Status != 200 || !strings.Contains(string(a.Body), sub) {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, other := range []string{sub + "x", topic + ":none", "arn:aws:sns:us-east-1:" + other + ":t:none"} {
		if a := h.link("Action", "Unsubscribe", "SubscriptionArn", other); a.Status < 400 {
			t.Errorf("%s: %s", other, a.Body)
		}
	}
	for _, action := range []string{"Publish", "DeleteTopic", "GetTopicAttributes", "GetSubscriptionAttributes"} {
		if a := h.link("Action", action, "TopicArn", topic, "SubscriptionArn", sub, "Message", "x", "Token", token); a.Status != 403 {
			t.Errorf("%s without a signature: %d %s", action, a.Status, a.Body)
		}
	}
	end := func() {
		t.Helper()
		if a := h.link("Action", "Unsubscribe", "SubscriptionArn", sub); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if got := h.must("SubscriptionArn", "ListSubscriptionsByTopic", "TopicArn", topic); got != "Deleted" {
			t.Error(got)
		}
	}
	end()
	if a := h.link("Action", "ConfirmSubscription", "TopicArn", topic, "Token", token); a.Status < 400 {
		t.Errorf("restored by the token of before: %s", a.Body)
	}
	if a := h.link("Action", "ConfirmSubscription", "TopicArn", topic, "Token", h.token()); a.Status != 200 || !strings.Contains(string(a.Body), sub) {
		t.Errorf("what the link of its end restores: %d %s", a.Status, a.Body)
	}
	end()
	// Confirmed by who signed and said so: the link is worth nothing.
	sub = h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "https", "Endpoint", "https://example.com/", "ReturnSubscriptionArn", "true")
	h.must("SubscriptionArn", "ConfirmSubscription", "TopicArn", topic, "Token", h.token(), "AuthenticateOnUnsubscribe", "true")
	if a := h.link("Action", "Unsubscribe", "SubscriptionArn", sub); a.Status != 403 {
		t.Errorf("protected: %d %s", a.Status, a.Body)
	}
	queue := h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "sqs", "Endpoint", "arn:aws:sqs:us-east-1:"+owner+":q")
	if a := h.link("Action", "Unsubscribe", "SubscriptionArn", queue); a.Status != 403 {
		t.Errorf("a queue's: %d %s", a.Status, a.Body)
	}
}

func TestATopicsPolicyLetsOthersIn(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t")
	if code := h.code("foreign", "Publish", "TopicArn", topic, "Message", "x"); code != "AuthorizationError" {
		t.Errorf("without a policy: %s", code)
	}
	if code := h.code("stranger", "Publish", "TopicArn", topic, "Message", "x"); code != "AuthorizationError" {
		t.Errorf("the policy that a topic has when it is made let somebody in: %s", code)
	}
	h.must("RequestId", "AddPermission", "TopicArn", topic, "Label", "l", "AWSAccountId.member.1", other, "ActionName.member.1", "Publish", "ActionName.member.2", "Subscribe")
	if code := h.code("foreign", "Publish", "TopicArn", topic, "Message", "x"); code != "200" {
		t.Errorf("with it: %s", code)
	}
	if code := h.code("foreign", "DeleteTopic", "TopicArn", topic); code != "AuthorizationError" {
		t.Errorf("the policy opened more than it says: %s", code)
	}
	// A subscription is for its owner and the topic's, and confirmed by the queue's account.
	queue := "arn:aws:sqs:us-east-1:" + other + ":q"
	a := h.Call("foreign", "Subscribe", form("TopicArn", topic, "Protocol", "sqs", "Endpoint", queue))
	sub := regexp.MustCompile("arn:aws:sns:[^<]*").FindString(string(a.Body))
	if a.Status != 200 || sub == "" {
		t.Fatalf("%s", a.Body)
	}
	h.People.Add(t, "777788889999", "third", apitest.Everything)
	for who, want := range map[string]string{"foreign": "200", "admin": "200", "third": "AuthorizationError"} {
		if code := h.code(who, "GetSubscriptionAttributes", "SubscriptionArn", sub); code != want {
			t.Errorf("%s: %s", who, code)
		}
	}
	if code := h.code("third", "Unsubscribe", "SubscriptionArn", sub); code != "AuthorizationError" {
		t.Errorf("a third ends it: %s", code)
	}
	if got := h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "sqs", "Endpoint", "arn:aws:sqs:us-east-1:"+other+":second"); got != "pending confirmation" {
		t.Errorf("another account's queue: %s", got)
	}
	h.must("RequestId", "RemovePermission", "TopicArn", topic, "Label", "l")
	if code := h.code("foreign", "Publish", "TopicArn", topic, "Message", "x"); code != "AuthorizationError" {
		t.Errorf("taken away: %s", code)
	}
	for _, arn := range []string{topic, topic + "none"} {
		if code := h.code("third", "Publish", "TopicArn", arn, "Message", "x"); code != "AuthorizationError" {
			t.Errorf("%s is told from one that is not there: %s", arn, code)
		}
	}
}

// TestConditionsOfSubscribing: a policy can say where messages may go.
func TestConditionsOfSubscribing(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t")
	h.People.Add(t, owner, "picky", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sns:Subscribe","Resource":"*","Condition":{`+
		`"StringEquals":{"sns:Protocol":"https"},"StringLike":{"sns:Endpoint":"https://*.example.com/*"}}}}`)
	for endpoint, want := range map[string]string{"https://a.example.com/": "200", "https://example.org/": "AuthorizationError"} {
		if code := h.code("picky", "Subscribe", "TopicArn", topic, "Protocol", "https", "Endpoint", endpoint); code != want {
			t.Errorf("%s: %s", endpoint, code)
		}
	}
	if code := h.code("picky", "Subscribe", "TopicArn", topic, "Protocol", "http", "Endpoint", "http://a.example.com/"); code != "AuthorizationError" {
		t.Errorf("http: %s", code)
	}
}

func TestErrorsAreSNSs(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t", "Attributes.entry.1.key", "DisplayName", "Attributes.entry.1.value", "a")
	if got := h.must("TopicArn", "CreateTopic", "Name", "t"); got != topic {
		t.Error(got)
	}
	sub := h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "sqs", "Endpoint", "arn:aws:sqs:us-east-1:"+owner+":q")
	long := strings.Repeat("x", sns.MaxMessage+1)
	for _, c := range []struct {
		code, operation string
		pairs           []string
	}{
		{"NotFound", "Publish", []string{"TopicArn", topic + "none", "Message", "x"}},
		{"InvalidParameter", "Publish", []string{"TopicArn", "t", "Message", "x"}},
		{"InvalidParameter", "Publish", []string{"TopicArn", topic, "Message", ""}},
		{"InvalidParameter", "Publish", []string{"TopicArn", topic, "Message", long}},
		{"InvalidParameter", "Publish", []string{"TopicArn", topic, "Message", "x", "Subject", "a\nBcc: b"}},
		{"InvalidParameter", "Publish", []string{"TopicArn", topic, "Message", "x", "MessageStructure", "json"}},
		{"InvalidParameter", "Publish", []string{"TopicArn", topic, "Message", `{"sqs":"x"}`, "MessageStructure", "json"}},
		{"InvalidParameter", "Publish", []string{"TopicArn", topic, "Message", "x", "MessageGroupId", "g"}},
		{"NotImplemented", "Publish", []string{"PhoneNumber", "+15550100", "Message", "x"}},
		{"NotImplemented", "CreatePlatformApplication", []string{"Name", "x", "Platform", "GCM"}},
		{"ParameterValueInvalid", "Publish", []string{"TopicArn", topic, "Message", "x", "MessageAttributes.entry.1.Name", "n", "MessageAttributes.entry.1.Value.DataType", "Number", "MessageAttributes.entry.1.Value.StringValue", "five"}},
		{"InvalidParameter", "CreateTopic", []string{"Name", "t.fifo", "Attributes.entry.1.key", "FifoTopic", "Attributes.entry.1.value", "true"}},
		{"InvalidParameter", "CreateTopic", []string{"Name", "a b"}},
		{"InvalidParameter", "CreateTopic", []string{"Name", "t", "Attributes.entry.1.key", "DisplayName", "Attributes.entry.1.value", "b"}},
		{"InvalidParameter", "SetTopicAttributes", []string{"TopicArn", topic, "AttributeName", "Policy", "AttributeValue", "{}"}},
		{"InvalidParameter", "SetTopicAttributes", []string{"TopicArn", topic, "AttributeName", "SQSSuccessFeedbackRoleArn", "AttributeValue", "arn:aws:iam::" + owner + ":role/r"}},
		{"InvalidParameter", "SetTopicAttributes", []string{"TopicArn", topic, "AttributeName", "Nonsense", "AttributeValue", "x"}},
		{"InvalidParameter", "SetTopicAttributes", []string{"TopicArn", topic, "AttributeName", "DeliveryPolicy", "AttributeValue", `{"http":{"defaultHealthyRetryPolicy":{"numRetries":101}}}`}},
		{"InvalidParameter", "SetSubscriptionAttributes", []string{"SubscriptionArn", sub, "AttributeName", "FilterPolicy", "AttributeValue", `{"a":"b"}`}},
		{"InvalidParameter", "SetSubscriptionAttributes", []string{"SubscriptionArn", sub, "AttributeName", "FilterPolicy", "AttributeValue", `{"a":{"b":["c"]}}`}},
		{"InvalidParameter", "SetSubscriptionAttributes", []string{"SubscriptionArn", sub, "AttributeName", "RedrivePolicy", "AttributeValue", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:` + other + `:q"}`}},
		{"InvalidParameter", "SetSubscriptionAttributes", []string{"SubscriptionArn", sub, "AttributeName", "DeliveryPolicy", "AttributeValue", `{}`}},
		{"NotFound", "GetSubscriptionAttributes", []string{"SubscriptionArn", topic + ":none"}},
		{"InvalidParameter", "GetSubscriptionAttributes", []string{"SubscriptionArn", "PendingConfirmation"}},
		{"InvalidParameter", "Subscribe", []string{"TopicArn", topic, "Protocol", "sqs", "Endpoint", "arn:aws:sqs:us-east-1:" + owner + ":q", "Attributes.entry.1.key", "RawMessageDelivery", "Attributes.entry.1.value", "true"}},
		{"InvalidParameter", "AddPermission", []string{"TopicArn", topic, "Label", "l", "AWSAccountId.member.1", other, "ActionName.member.1", "SetSubscriptionAttributes"}},
		{"NotFound", "RemovePermission", []string{"TopicArn", topic, "Label", "none"}},
		{"ResourceNotFound", "ListTagsForResource", []string{"ResourceArn", topic + "none"}},
		{"InvalidParameter", "ListTopics", []string{"NextToken", "%"}},
		{"EmptyBatchRequest", "PublishBatch", []string{"TopicArn", topic, "PublishBatchRequestEntries", ""}},
	} {
		if got := h.code("admin", c.operation, c.pairs...); got != c.code {
			t.Errorf("%s %.200q: %s, want %s", c.operation, c.pairs, got, c.code)
		}
	}
}

func TestABatch(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t")
	const e = "PublishBatchRequestEntries.member."
	a := h.Call("admin", "PublishBatch", form("TopicArn", topic, e+"1.Id", "a", e+"1.Message", "x", e+"2.Id", "b", e+"2.Message", ""))
	if body := string(a.Body); a.Status != 200 || !strings.Contains(body, "<MessageId>") || !strings.Contains(body, "<Code>InvalidParameter</Code>") {
		t.Errorf("%d %s", a.Status, body)
	}
	if code := h.code("admin", "PublishBatch", "TopicArn", topic, e+"1.Id", "a", e+"1.Message", "x", e+"2.Id", "a", e+"2.Message", "y"); code != "BatchEntryIdsNotDistinct" {
		t.Error(code)
	}
	half := strings.Repeat("x", sns.MaxMessage/2+1)
	if code := h.code("admin", "PublishBatch", "TopicArn", topic, e+"1.Id", "a", e+"1.Message", half, e+"2.Id", "b", e+"2.Message", half); code != "BatchRequestTooLong" {
		t.Error(code)
	}
	var many []string
	for i := range 11 {
		many = append(many, fmt.Sprintf("%s%d.Id", e, i+1), fmt.Sprint(i), fmt.Sprintf("%s%d.Message", e, i+1), "x")
	}
	if code := h.code("admin", "PublishBatch", append(many, "TopicArn", topic)...); code != "TooManyEntriesInBatchRequest" {
		t.Error(code)
	}
}

// TestTheTopicsKeyDecides: who publishes to an encrypted topic needs the key, and the key must be usable.
func TestTheTopicsKeyDecides(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t", "Attributes.entry.1.key", "KmsMasterKeyId", "Attributes.entry.1.value", "alias/aws/sns")
	publish := []string{"TopicArn", topic, "Message", "x"}
	if code := h.code("admin", "Publish", publish...); code != "200" {
		t.Errorf("the key that is managed for topics: %s", code)
	}
	h.People.Add(t, owner, "keyless", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sns:*","Resource":"*"},{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}]}`)
	if code := h.code("keyless", "Publish", publish...); code != "KMSAccessDenied" {
		t.Errorf("without the key: %s", code)
	}
	h.must("RequestId", "SetTopicAttributes", "TopicArn", topic, "AttributeName", "KmsMasterKeyId", "AttributeValue", "alias/none")
	if code := h.code("admin", "Publish", publish...); code != "KMSNotFound" {
		t.Errorf("a key that is not there: %s", code)
	}
}

// TestTheRecordHoldsNoMessage: what is published shows neither in whole nor in part, nor does where it goes or
// what confirms.
func TestTheRecordHoldsNoMessage(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t")
	h.must("SubscriptionArn", "Subscribe", "TopicArn", topic, "Protocol", "https", "Endpoint", "https://example.com/canary")
	token := h.token()
	h.link("Action", "ConfirmSubscription", "TopicArn", topic, "Token", token)
	h.must("MessageId", "Publish", "TopicArn", topic, "Message", "canary", "Subject", "canary", "MessageAttributes.entry.1.Name", "a",
		"MessageAttributes.entry.1.Value.DataType", "String", "MessageAttributes.entry.1.Value.StringValue", "canary")
	h.must("MessageId", "PublishBatch", "TopicArn", topic, "PublishBatchRequestEntries.member.1.Id", "a", "PublishBatchRequestEntries.member.1.Message", "canary")
	h.must("Endpoint", "ListSubscriptions")
	raw, err := json.Marshal(h.Recorder.Events)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := range h.Recorder.Events {
		text += string(h.Recorder.Events[i].Parameters) + string(h.Recorder.Events[i].Response)
	}
	if strings.Contains(text, "canary") || strings.Contains(text, token) || !strings.Contains(text, "topicArn") {
		t.Errorf("on record: %.2000s", text)
	}
}

func TestTagsBind(t *testing.T) {
	h := newHarness(t)
	h.must("TopicArn", "CreateTopic", "Name", "t")
	h.TagsBind(
		apitest.Sample{Operation: "TagResource", In: form("ResourceArn", topic) + "&Tags.member.1.Key=a&Tags.member.1.Value=b"},
		apitest.Sample{Operation: "UntagResource", In: form("ResourceArn", topic) + "&TagKeys.member.1=a"},
		apitest.Sample{Operation: "Publish", In: form("TopicArn", topic, "Message", "x")})
}
