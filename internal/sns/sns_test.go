package sns_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event/pattern"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/sns"
	"github.com/kura-s3/kura/policy"
)

const account = "111122223333"

// secrets turn what they seal around, so that what is not sealed shows.
type secrets struct{}

func (secrets) SealSecret(about, plain []byte) []byte {
	out := slices.Clone(plain)
	slices.Reverse(out)
	return append([]byte(fmt.Sprintf("%d:", len(about))), out...)
}

func (secrets) OpenSecret(_ context.Context, about, sealed []byte) ([]byte, error) {
	prefix := fmt.Sprintf("%d:", len(about))
	if !strings.HasPrefix(string(sealed), prefix) {
		return nil, fmt.Errorf("sealed for something else")
	}
	out := slices.Clone(sealed[len(prefix):])
	slices.Reverse(out)
	return out, nil
}

type nobody struct{}

func (nobody) UniqueID(string) (string, bool) { return "", false }

type world struct {
	t      *testing.T
	meta   engine.Meta
	now    time.Time
	topics *sns.Store
	feed   *feed.Feed
	grant  authz.Grant
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, meta: memory.NewMeta(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.reopen()
	var demands []authz.Demand
	for _, action := range []string{"CreateTopic", "Subscribe", "Publish", "ConfirmSubscription", "DeleteTopic", "SetTopicAttributes"} {
		demands = append(demands, authz.Demand{Action: "sns:" + action, Resource: authz.Resource{ARN: arn, Account: account}})
	}
	for _, action := range []string{"Unsubscribe", "SetSubscriptionAttributes", "GetSubscriptionAttributes"} {
		demands = append(demands, authz.Demand{Action: "sns:" + action, Resource: authz.Resource{ARN: "*", Account: account}})
	}
	w.grant = grantOf(t, account, demands...)
	return w
}

// grantOf is what the root user of an account may do.
func grantOf(t *testing.T, account string, demands ...authz.Demand) authz.Grant {
	t.Helper()
	who := &authz.Subject{Principal: policy.Principal{Type: policy.RootUser, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account, UniqueID: account}}
	g, err := authz.New(authz.Config{Recorder: authztest.Forget{}}).Decide(t.Context(), &authz.Inquiry{Subject: who, Event: &audit.Event{}}, demands...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const arn = "arn:aws:sns:us-east-1:" + account + ":t"

func (w *world) reopen() {
	w.t.Helper()
	var err error
	if w.feed, err = feed.Open(w.t.Context(), w.meta, "test"); err != nil {
		w.t.Fatal(err)
	}
	w.topics, err = sns.Open(w.t.Context(), sns.Config{
		Feed: w.feed, Meta: w.meta, Secrets: secrets{}, Principals: nobody{}, Region: "us-east-1", Now: func() time.Time { return w.now },
		Filters: sns.Filters{Compile: func(text []byte) (sns.Filter, error) { return pattern.Compile(text) }, Decode: pattern.Decode},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) topic() *sns.Topic {
	w.t.Helper()
	t, err := w.topics.Create(w.t.Context(), w.grant, account, "t", nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

func (w *world) subscribe(endpoint string, attributes map[string]string) *sns.Subscription {
	w.t.Helper()
	sub, err := w.topics.Subscribe(w.t.Context(), w.grant, w.topic(), sns.Subscribing{
		Account: account, Protocol: "sqs", Endpoint: endpoint, Attributes: attributes, Owned: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sub
}

// handOn gives the endpoints that get each waiting message, a few at a time, as a job would.
func (w *world) handOn() (got []string) {
	w.t.Helper()
	for {
		waiting, err := w.topics.Waiting(w.t.Context(), 2)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(waiting) == 0 {
			slices.Sort(got)
			return got
		}
		for _, o := range waiting {
			to, last, done := w.topics.Receivers(o, 2)
			for _, r := range to {
				got = append(got, o.Message.For(r.Protocol)+" to "+r.Endpoint)
			}
			var b engine.Batch
			forwarded, err := w.topics.Forward(&b, o, last, done)
			if err != nil {
				w.t.Fatal(err)
			}
			if err := w.meta.Commit(w.t.Context(), &b); err != nil {
				w.t.Fatal(err)
			}
			forwarded()
		}
	}
}

func (w *world) publish(m *sns.Message) {
	w.t.Helper()
	if err := w.topics.Publish(w.t.Context(), w.grant, w.topic(), m); err != nil {
		w.t.Fatal(err)
	}
}

// TestNothingIsLostInACrash: whatever was acknowledged reaches every subscription once, although the store is
// opened anew between any two steps.
func TestNothingIsLostInACrash(t *testing.T) {
	w := newWorld(t)
	w.topic()
	var want []string
	for i := range 5 {
		w.subscribe(fmt.Sprintf("q%d", i), nil)
	}
	for i := range 7 {
		w.publish(&sns.Message{Body: fmt.Sprint(i)})
		for q := range 5 {
			want = append(want, fmt.Sprintf("%d to q%d", i, q))
		}
	}
	w.reopen()
	select {
	case <-w.topics.Woken():
	default:
		t.Error("nobody is told of what waits")
	}
	waiting, err := w.topics.Waiting(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	first, last, done := w.topics.Receivers(waiting[0], 3)
	var b engine.Batch
	if _, err := w.topics.Forward(&b, waiting[0], last, done); err != nil || done {
		t.Fatal(err, done)
	}
	if err := w.meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	w.reopen() // three of five have theirs
	got := w.handOn()
	for _, r := range first {
		got = append(got, "0 to "+r.Endpoint)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if w.topics.Count().Waiting != 0 {
		t.Errorf("%+v", w.topics.Count())
	}
}

func TestNothingLiesInTheClear(t *testing.T) {
	w := newWorld(t)
	w.topic()
	w.subscribe("canary-endpoint", nil)
	w.publish(&sns.Message{Body: "canary-body", Subject: "canary-subject", Attributes: map[string]sns.Attribute{"canary": {Type: "String", String: "canary-value"}}})
	if _, err := w.topics.Signer(t.Context()); err != nil {
		t.Fatal(err)
	}
	it, err := w.meta.Scan(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for it.Next() {
		n++
		if text := string(it.Key()) + string(it.Value()); strings.Contains(text, "canary") {
			t.Errorf("%q: %q", it.Key(), it.Value())
		}
	}
	if n != 5 { // the topic, the subscription, the message, the signer, and how far the feed is read
		t.Errorf("%d records", n)
	}
}

func TestTheSignerStays(t *testing.T) {
	w := newWorld(t)
	first, err := w.topics.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.reopen()
	second, err := w.topics.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, _ := first.Certificate()
	b, _ := second.Certificate()
	if a != b {
		t.Error(a, b)
	}
}

func TestFilters(t *testing.T) {
	attributes := map[string]sns.Attribute{
		"event": {Type: "String", String: "order"}, "price": {Type: "Number", String: "99.5"}, "kinds": {Type: "String.Array", String: `["a","b",3]`},
		"ip": {Type: "String", String: "10.1.2.3"}, "blob": {Type: "Binary", Binary: []byte("order")}, "a.b": {Type: "String", String: "dotted"},
	}
	for _, c := range []struct {
		policy, scope string
		want          bool
	}{
		{`{}`, "", true},
		{`{"event":["order"]}`, "", true},
		{`{"event":["refund","order"]}`, "", true},
		{`{"event":["order"],"price":[{"numeric":[">",100]}]}`, "", false},
		{`{"event":["order"],"price":[{"numeric":[">=",99.5,"<",100]}]}`, "", true},
		{`{"price":[99.5]}`, "", true},
		{`{"price":["99.5"]}`, "", false},
		{`{"kinds":["b"]}`, "", true},
		{`{"kinds":[3]}`, "", true},
		{`{"kinds":["c"]}`, "", false},
		{`{"event":[{"prefix":"ord"}]}`, "", true},
		{`{"event":[{"suffix":"der"}]}`, "", true},
		{`{"event":[{"equals-ignore-case":"ORDER"}]}`, "", true},
		{`{"event":[{"anything-but":["order"]}]}`, "", false},
		{`{"event":[{"anything-but":"refund"}]}`, "", true},
		{`{"event":[{"anything-but":{"prefix":"ord"}}]}`, "", false},
		{`{"none":[{"anything-but":"x"}]}`, "", false},
		{`{"none":[{"exists":false}]}`, "", true},
		{`{"event":[{"exists":true}]}`, "", true},
		{`{"ip":[{"cidr":"10.0.0.0/8"}]}`, "", true},
		{`{"blob":["order"]}`, "", false},
		{`{"a.b":["dotted"]}`, "", true},
		{`{"$or":[{"event":["refund"]},{"price":[{"numeric":["<",100]}]}]}`, "", true},
		{`{"event":["order"]}`, "MessageBody", false},
		{`{"detail":{"kind":["x"]}}`, "MessageBody", true},
		{`{"detail":{"kind":[{"anything-but":"x"}]}}`, "MessageBody", false},
		{`{"list":["two"]}`, "MessageBody", true},
	} {
		w := newWorld(t)
		w.subscribe("q", map[string]string{"FilterPolicy": c.policy, "FilterPolicyScope": c.scope})
		w.publish(&sns.Message{Body: `{"detail":{"kind":"x"},"list":["one","two"]}`, Attributes: attributes})
		if got := len(w.handOn()) == 1; got != c.want {
			t.Errorf("%s %s: %v", c.policy, c.scope, got)
		}
	}
	w := newWorld(t)
	w.subscribe("q", map[string]string{"FilterPolicy": `{"a":["b"]}`, "FilterPolicyScope": "MessageBody"})
	w.publish(&sns.Message{Body: "no JSON"})
	w.publish(&sns.Message{Body: `["a"]`})
	if got := w.handOn(); len(got) != 0 {
		t.Errorf("what is no object: %v", got)
	}
	many := strings.Repeat(`"x",`, 150) + `"x"`
	for _, bad := range []string{
		`[]`, `{"a":"b"}`, `{"a":[]}`, `{"a":[{"numeric":["!",1]}]}`, `{"a":{"b":["c"]}}`, `{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":["1"],"f":["1"]}`,
		`{"a":[` + many + `]}`, `{"a":["` + strings.Repeat("x", 200<<10) + `"]}`,
	} {
		_, err := w.topics.Subscribe(t.Context(), w.grant, w.topic(), sns.Subscribing{
			Account: account, Protocol: "sqs", Endpoint: "bad", Attributes: map[string]string{"FilterPolicy": bad}, Owned: true,
		})
		if !fault.Is(err, sns.InvalidParameter) {
			t.Errorf("%.100s: %v", bad, err)
		}
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		policy string
		want   []time.Duration
	}{
		{`{}`, []time.Duration{20 * time.Second, 20 * time.Second, 20 * time.Second}},
		{`{"healthyRetryPolicy":{"numRetries":6,"minDelayTarget":1,"maxDelayTarget":9,"numNoDelayRetries":1,"numMinDelayRetries":1,"numMaxDelayRetries":2,"backoffFunction":"linear"}}`,
			[]time.Duration{0, time.Second, 5 * time.Second, 9 * time.Second, 9 * time.Second, 9 * time.Second}},
		{`{"healthyRetryPolicy":{"numRetries":2,"minDelayTarget":4,"maxDelayTarget":16,"backoffFunction":"geometric"}}`, []time.Duration{8 * time.Second, 16 * time.Second}},
		{`{"healthyRetryPolicy":{"numRetries":0}}`, nil},
	} {
		w := newWorld(t)
		_, err := w.topics.Subscribe(t.Context(), w.grant, w.topic(), sns.Subscribing{
			Account: account, Protocol: "https", Endpoint: "https://example.com", Attributes: map[string]string{"DeliveryPolicy": c.policy},
		})
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := w.topics.Waiting(t.Context(), 1)
		if err != nil || len(waiting) != 1 {
			t.Fatal(waiting, err)
		}
		to, _, _ := w.topics.Receivers(waiting[0], 1)
		if len(to) != 1 {
			t.Fatal(to)
		}
		r := to[0]
		var got []time.Duration
		for i := range r.Retries.Number {
			got = append(got, r.Retries.Wait(i+1))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.policy, got)
		}
	}
}

// TestWhoDoesNotConfirmGetsNothing, and is forgotten when the token's time has passed.
func TestWhoDoesNotConfirmGetsNothing(t *testing.T) {
	w := newWorld(t)
	in := sns.Subscribing{Account: account, Protocol: "https", Endpoint: "https://example.com"}
	sub, err := w.topics.Subscribe(t.Context(), w.grant, w.topic(), in)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := w.topics.Waiting(t.Context(), 10)
	if err != nil || len(waiting) != 1 || waiting[0].Kind != sns.Confirmation || len(waiting[0].Message.Token) < 64 {
		t.Fatalf("%+v %v", waiting, err)
	}
	w.handOn()
	w.publish(&sns.Message{Body: "x"})
	if got := w.handOn(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	w.reopen()
	w.now = w.now.Add(49 * time.Hour)
	if w.topics.Proves(arn, waiting[0].Message.Token) != nil {
		t.Error("a token after its time")
	}
	if err := w.topics.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.topics.Subscription(sub.ARN()); !fault.Is(err, sns.NotFound) {
		t.Errorf("%v", err)
	}
	w.reopen()
	if n := w.topics.Count().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestWhoWasEndedByTheLink can be restored by the endpoint for a while, or subscribed anew.
func TestWhoWasEndedByTheLink(t *testing.T) {
	w := newWorld(t)
	stranger := grantOf(t, "444455556666", authz.Demand{Action: "sns:Unsubscribe", Resource: authz.Resource{ARN: "*", Account: "444455556666"}})
	in := sns.Subscribing{Account: account, Protocol: "https", Endpoint: "https://example.com"}
	// asked gives what waits for the endpoint, of a kind.
	asked := func(kind string) *sns.Outgoing {
		t.Helper()
		waiting, err := w.topics.Waiting(t.Context(), 10)
		if err != nil || len(waiting) != 1 || waiting[0].Kind != kind {
			t.Fatalf("%+v %v", waiting, err)
		}
		if got := w.handOn(); len(got) != 1 || !strings.HasSuffix(got[0], "to "+in.Endpoint) {
			t.Fatalf("%v", got)
		}
		return waiting[0]
	}
	sub, err := w.topics.Subscribe(t.Context(), w.grant, w.topic(), in)
	if err != nil {
		t.Fatal(err)
	}
	confirm := func(token string) error {
		_, err := w.topics.Confirm(t.Context(), w.grant, w.topic(), token, false, false)
		return err
	}
	end := func() string {
		t.Helper()
		if err := w.topics.Unsubscribe(t.Context(), stranger, sub.ARN()); err != nil {
			t.Fatal(err)
		}
		w.reopen()
		return asked(sns.End).Message.Token
	}
	first := asked(sns.Confirmation).Message.Token
	if err := confirm(first); err != nil {
		t.Fatal(err)
	}
	token := end()
	w.publish(&sns.Message{Body: "lost"})
	if got := w.handOn(); len(got) != 0 {
		t.Errorf("it is ended: %v", got)
	}
	if _, err := w.topics.SubscriptionAttributes(w.grant, sub.ARN()); !fault.Is(err, sns.NotFound) {
		t.Errorf("its owner sees it: %v", err)
	}
	if err := confirm(first); !fault.Is(err, sns.InvalidParameter) {
		t.Errorf("by the token of before: %v", err)
	}
	if err := confirm(token); err != nil {
		t.Fatal(err)
	}
	w.publish(&sns.Message{Body: "x"})
	if got := w.handOn(); len(got) != 1 {
		t.Errorf("it is restored: %v", got)
	}
	// Whoever subscribes it anew may say how.
	token = end()
	in.Attributes = map[string]string{"RawMessageDelivery": "true"}
	if sub, err = w.topics.Subscribe(t.Context(), w.grant, w.topic(), in); err != nil || sub.Confirmed || sub.Ended || !sub.Raw {
		t.Fatalf("%+v %v", sub, err)
	}
	if err := confirm(token); !fault.Is(err, sns.InvalidParameter) {
		t.Errorf("by the token of before: %v", err)
	}
	if err := confirm(asked(sns.Confirmation).Message.Token); err != nil || w.topics.Count().Subscriptions != 1 {
		t.Errorf("%v %+v", err, w.topics.Count())
	}
	token = end()
	w.now = w.now.Add(49 * time.Hour)
	if err := confirm(token); !fault.Is(err, sns.InvalidParameter) {
		t.Errorf("after its time: %v", err)
	}
	if err := w.topics.Forget(t.Context()); err != nil || w.topics.Count().Subscriptions != 0 {
		t.Errorf("%v %+v", err, w.topics.Count())
	}
}

// hooked calls meanwhile during a commit.
type hooked struct {
	engine.Meta
	meanwhile func()
}

func (h *hooked) Commit(ctx context.Context, b *engine.Batch) error {
	if f := h.meanwhile; f != nil {
		h.meanwhile = nil
		f()
	}
	return h.Meta.Commit(ctx, b)
}

// TestAnOldTokenDoesNotUndoAnEnd that is being written when it comes.
func TestAnOldTokenDoesNotUndoAnEnd(t *testing.T) {
	w := newWorld(t)
	meta := &hooked{Meta: w.meta}
	w.meta = meta
	w.reopen()
	topic := w.topic()
	sub, err := w.topics.Subscribe(t.Context(), w.grant, topic, sns.Subscribing{Account: account, Protocol: "https", Endpoint: "https://example.com"})
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := w.topics.Waiting(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	confirm := func(keep bool) error {
		_, err := w.topics.Confirm(t.Context(), w.grant, topic, waiting[0].Message.Token, true, keep)
		return err
	}
	if err := confirm(false); err != nil {
		t.Fatal(err)
	}
	kept := make(chan error, 1)
	meta.meanwhile = func() {
		go func() { kept <- confirm(true) }()
		time.Sleep(20 * time.Millisecond) // it finds the subscription as it was
	}
	stranger := grantOf(t, "444455556666", authz.Demand{Action: "sns:Unsubscribe", Resource: authz.Resource{ARN: "*", Account: "444455556666"}})
	if err := w.topics.Unsubscribe(t.Context(), stranger, sub.ARN()); err != nil {
		t.Fatal(err)
	}
	if err := <-kept; !fault.Is(err, sns.InvalidParameter) {
		t.Errorf("%v", err)
	}
	if now, _, err := w.topics.Subscription(sub.ARN()); err != nil || !now.Ended || now.Confirmed {
		t.Errorf("%+v %v", now, err)
	}
}

// TestADeletedTopicTakesAll: a topic of the same name is another one.
func TestADeletedTopicTakesAll(t *testing.T) {
	w := newWorld(t)
	w.subscribe("q", nil)
	w.publish(&sns.Message{Body: "x"})
	if err := w.topics.Delete(t.Context(), w.grant, w.topic()); err != nil {
		t.Fatal(err)
	}
	w.topic()
	if got := w.handOn(); len(got) != 0 || w.topics.Count().Subscriptions != 0 {
		t.Errorf("%v %+v", got, w.topics.Count())
	}
}

func TestBodiesByProtocol(t *testing.T) {
	m := sns.Message{Body: `{"default":"d","sqs":"for queues","number":5}`}
	if err := m.Structured("json"); err != nil || m.For("sqs") != "for queues" || m.For("https") != "d" {
		t.Errorf("%+v %v", m, err)
	}
	for _, bad := range []string{`{"sqs":"x"}`, `[]`, `x`, `{"default":5}`} {
		m := sns.Message{Body: bad}
		if err := m.Structured("json"); !fault.Is(err, sns.InvalidParameter) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// told is what the change feed told of policies since the last time.
func (w *world) told() (list []string) {
	w.t.Helper()
	entries, err := w.feed.Next(w.t.Context(), "test", 64)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range entries {
		e := &entries[i]
		if e.Kind != feed.Policy || e.Account != account {
			w.t.Errorf("told of %+v", e)
		}
		list = append(list, fmt.Sprint(e.Resource[strings.LastIndex(e.Resource, ":")+1:], " ", e.Gone))
	}
	if err := w.feed.Done(w.t.Context(), "test", entries[len(entries)-1].Seq, nil); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// TestFeedTellsOfPolicies: each change of a topic's policy is told, and nothing else is.
func TestFeedTellsOfPolicies(t *testing.T) {
	w := newWorld(t)
	top := w.topic()
	set := func(name, value string) {
		t.Helper()
		if err := w.topics.SetAttribute(t.Context(), w.grant, top, name, value); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...string) {
		t.Helper()
		if got := w.told(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sns:Publish","Resource":"` + arn + `"}]}`
	set("DisplayName", "x")
	set("Policy", document)
	set("Policy", document)
	check("t false")
	set("Policy", "")
	check("t true")
	set("Policy", document)
	if err := w.topics.Delete(t.Context(), w.grant, top); err != nil {
		t.Fatal(err)
	}
	check("t false", "t true")
}
