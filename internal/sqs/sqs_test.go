package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/sqs"
)

const account = "111122223333"

// plainly seals by turning every bit around: enough to see what lies open.
type plainly struct{}

func (plainly) SealSecret(about, plain []byte) []byte {
	out := append([]byte{byte(len(about))}, about...)
	for _, b := range plain {
		out = append(out, ^b)
	}
	return out
}

func (plainly) OpenSecret(_ context.Context, about, sealed []byte) ([]byte, error) {
	n := int(sealed[0])
	if string(sealed[1:1+n]) != string(about) {
		return nil, errors.New("sealed for something else")
	}
	var out []byte
	for _, b := range sealed[1+n:] {
		out = append(out, ^b)
	}
	return out, nil
}

func (plainly) UniqueID(string) (string, bool) { return "", false }

type fixture struct {
	t     *testing.T
	meta  engine.Meta
	store *sqs.Store
	feed  *feed.Feed
	g     authz.Grant
	mu    sync.Mutex
	at    time.Time
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(time.Microsecond)
	return f.at
}

func (f *fixture) later(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

func (f *fixture) reopen() {
	f.t.Helper()
	var err error
	if f.feed, err = feed.Open(f.t.Context(), f.meta, "test"); err != nil {
		f.t.Fatal(err)
	}
	store, err := sqs.Open(f.t.Context(), sqs.Config{Feed: f.feed, Meta: f.meta, Secrets: plainly{}, Principals: plainly{}, Region: "us-east-1", Now: f.now})
	if err != nil {
		f.t.Fatal(err)
	}
	f.store = store
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, meta: memory.NewMeta(), g: authztest.Grant(t, "sqs:*", "*"), at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.reopen()
	return f
}

func (f *fixture) create(name string, attributes ...string) *sqs.Queue {
	f.t.Helper()
	m := map[string]string{}
	for i := 0; i < len(attributes); i += 2 {
		m[attributes[i]] = attributes[i+1]
	}
	q, err := f.store.Create(f.t.Context(), f.g, account, name, m, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return q
}

func (f *fixture) send(q *sqs.Queue, bodies ...string) {
	f.t.Helper()
	for _, body := range bodies {
		if err := f.store.Send(f.t.Context(), f.g, q, &sqs.Sending{Message: sqs.Message{Body: body}}); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) receive(q *sqs.Queue) []*sqs.Message {
	f.t.Helper()
	q, err := f.store.Queue(q.Account, q.Name)
	if err != nil {
		f.t.Fatal(err)
	}
	got, err := f.store.Receive(f.t.Context(), f.g, q, sqs.Receiving{Max: 10})
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

func bodies(messages []*sqs.Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, m.Body)
	}
	return strings.Join(out, " ")
}

func (f *fixture) want(what string, got []*sqs.Message, want string) {
	f.t.Helper()
	if bodies(got) != want {
		f.t.Errorf("%s: %q, want %q", what, bodies(got), want)
	}
}

func TestAMessageIsOneReceiversUntilItIsDeleted(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	f.send(q, "one", "two")
	first := f.receive(q)
	f.want("first", first, "one two")
	f.want("while they are out", f.receive(q), "")
	if err := f.store.Remove(t.Context(), f.g, q, first[0].Receipt); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.later(31 * time.Second)
	second := f.receive(q)
	f.want("after the timeout and a restart", second, "two")
	if second[0].Count != 2 || second[0].First == 0 || second[0].ID != first[1].ID {
		t.Errorf("%+v", second[0])
	}
	// The first receipt is of an older receiving: it deletes nothing.
	if err := f.store.Remove(t.Context(), f.g, q, first[1].Receipt); err != nil {
		t.Fatal(err)
	}
	f.later(31 * time.Second)
	f.want("kept", f.receive(q), "two")
}

func TestVisibilityCanBeChangedAndTheReceiptStaysGood(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	f.send(q, "one")
	m := f.receive(q)[0]
	if err := f.store.SetVisibility(t.Context(), f.g, q, m.Receipt, 100); err != nil {
		t.Fatal(err)
	}
	f.later(60 * time.Second)
	f.want("longer", f.receive(q), "")
	if err := f.store.SetVisibility(t.Context(), f.g, q, m.Receipt, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.store.SetVisibility(t.Context(), f.g, q, m.Receipt, 5); !fault.Is(err, sqs.NotInFlight) {
		t.Errorf("not in flight: %v", err)
	}
	again := f.receive(q)
	f.want("given back", again, "one")
	if err := f.store.SetVisibility(t.Context(), f.g, q, again[0].Receipt, 500); err != nil {
		t.Fatal(err)
	}
	if err := f.store.Remove(t.Context(), f.g, q, again[0].Receipt); err != nil {
		t.Fatal(err)
	}
	f.later(time.Hour)
	f.want("deleted", f.receive(q), "")
}

func TestDeadLettersAndRetention(t *testing.T) {
	f := newFixture(t)
	dead := f.create("dead")
	q := f.create("q", "RedrivePolicy", `{"deadLetterTargetArn":"`+f.store.ARN(dead)+`","maxReceiveCount":"2"}`, "MessageRetentionPeriod", "3600")
	f.send(q, "poison")
	for range 2 {
		f.want("received", f.receive(q), "poison")
		f.later(31 * time.Second)
	}
	f.want("the third time", f.receive(q), "")
	got := f.receive(dead)
	f.want("dead", got, "poison")
	if got[0].Source != f.store.ARN(q) {
		t.Errorf("from %q", got[0].Source)
	}
	f.send(q, "old")
	f.later(2 * time.Hour)
	if err := f.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.want("beyond its retention", f.receive(q), "")
	if c, err := f.store.Count(t.Context(), f.g, q); err != nil || c != (sqs.Counts{}) {
		t.Errorf("%+v %v", c, err)
	}
}

func TestWaitingReceiversHearOfAMessage(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	wait := int32(20)
	got := make(chan string, 1)
	go func() {
		m, err := f.store.Receive(t.Context(), f.g, q, sqs.Receiving{Max: 1, Wait: &wait})
		got <- fmt.Sprint(bodies(m), err)
	}()
	time.Sleep(10 * time.Millisecond)
	f.send(q, "one")
	select {
	case text := <-got:
		if text != "one<nil>" {
			t.Error(text)
		}
	case <-time.After(time.Minute):
		t.Error("the receiver went on waiting")
	}
}

func TestConcurrentReceiversShareNothing(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	for i := range 200 {
		f.send(q, fmt.Sprint(i))
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				got, err := f.store.Receive(t.Context(), f.g, q, sqs.Receiving{Max: 7})
				if err != nil {
					t.Error(err)
					return
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, m := range got {
					seen[m.Body]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for body, n := range seen {
		if n != 1 {
			t.Errorf("%s was received %d times", body, n)
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d of 200 were received", len(seen))
	}
}

func TestSendingToADeletedQueue(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	if err := f.store.Delete(t.Context(), f.g, q); err != nil {
		t.Fatal(err)
	}
	err := f.store.Send(t.Context(), f.g, q, &sqs.Sending{Message: sqs.Message{Body: "lost"}})
	if !fault.Is(err, sqs.NoQueue) {
		t.Errorf("%v", err)
	}
	again := f.create("q")
	f.want("a queue of the same name", f.receive(again), "")
	if err := f.store.Send(t.Context(), f.g, q, &sqs.Sending{Message: sqs.Message{Body: "lost"}}); !fault.Is(err, sqs.NoQueue) {
		t.Errorf("through the queue that was: %v", err)
	}
}

func TestBadMessages(t *testing.T) {
	f := newFixture(t)
	q := f.create("q", "MaximumMessageSize", "1024")
	for name, m := range map[string]sqs.Message{
		"empty":            {},
		"too long":         {Body: strings.Repeat("x", 1025)},
		"control":          {Body: "a\x00b"},
		"not UTF-8":        {Body: "a\xffb"},
		"attribute's name": {Body: "a", Attributes: map[string]sqs.Attribute{"AWS.x": {Type: "String", String: "x"}}},
		"attribute's type": {Body: "a", Attributes: map[string]sqs.Attribute{"x": {Type: "Integer", String: "x"}}},
		"empty attribute":  {Body: "a", Attributes: map[string]sqs.Attribute{"x": {Type: "String"}}},
	} {
		if err := f.store.Send(t.Context(), f.g, q, &sqs.Sending{Message: m}); err == nil {
			t.Errorf("%s: was sent", name)
		}
	}
	f.want("nothing was sent", f.receive(q), "")
	for _, receipt := range []string{"", "x", "AAAA", strings.Repeat("A", 32)} {
		if err := f.store.Remove(t.Context(), f.g, q, receipt); !fault.Is(err, sqs.InvalidReceipt) {
			t.Errorf("receipt %q: %v", receipt, err)
		}
	}
}

func TestQueuesAreWhatTheyWereMade(t *testing.T) {
	f := newFixture(t)
	q := f.create("q", "VisibilityTimeout", "7")
	if same := f.create("q", "VisibilityTimeout", "7"); same.ID != q.ID {
		t.Error("the same queue was made again")
	}
	if _, err := f.store.Create(t.Context(), f.g, account, "q", map[string]string{"VisibilityTimeout": "8"}, nil); !fault.Is(err, sqs.QueueNameExists) {
		t.Errorf("another queue of the name: %v", err)
	}
	for name, value := range map[string]string{
		"VisibilityTimeout": "43201", "DelaySeconds": "-1", "MaximumMessageSize": "many", "Policy": `{"Statement":[]}`, "RedrivePolicy": `{"maxReceiveCount":1}`,
		"RedriveAllowPolicy": `{"redrivePermission":"perhaps"}`, "SqsManagedSseEnabled": "false", "KmsMasterKeyId": "alias/x", "FifoQueue": "true", "Colour": "red",
	} {
		if err := f.store.SetAttributes(t.Context(), f.g, q, map[string]string{name: value}); err == nil {
			t.Errorf("%s=%s was taken", name, value)
		}
	}
	for _, name := range []string{"", "a b", "a.fifo", strings.Repeat("a", 81), "ü"} {
		if _, err := f.store.Create(t.Context(), f.g, account, name, nil, nil); err == nil {
			t.Errorf("a queue %q was made", name)
		}
	}
}

func TestEveryMethodNeedsItsGrant(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	var none authz.Grant
	for name, call := range map[string]func() error{
		"Create": func() error { _, err := f.store.Create(t.Context(), none, account, "x", nil, nil); return err },
		"Delete": func() error { return f.store.Delete(t.Context(), none, q) },
		"Send":   func() error { return f.store.Send(t.Context(), none, q, &sqs.Sending{Message: sqs.Message{Body: "x"}}) },
		"Receive": func() error {
			_, err := f.store.Receive(t.Context(), none, q, sqs.Receiving{Max: 1})
			return err
		},
		"Remove":        func() error { return f.store.Remove(t.Context(), none, q, "x") },
		"SetVisibility": func() error { return f.store.SetVisibility(t.Context(), none, q, "x", 1) },
		"Purge":         func() error { return f.store.Purge(t.Context(), none, q) },
		"SetAttributes": func() error { return f.store.SetAttributes(t.Context(), none, q, nil) },
		"Tag":           func() error { return f.store.Tag(t.Context(), none, q, nil) },
		"Untag":         func() error { return f.store.Untag(t.Context(), none, q, nil) },
		"List":          func() error { _, _, err := f.store.List(none, account, "", "", 1); return err },
		"Sources":       func() error { _, _, err := f.store.Sources(none, q, "", 1); return err },
		"Count":         func() error { _, err := f.store.Count(t.Context(), none, q); return err },
	} {
		if err := call(); !fault.Is(err, authz.NotGranted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMessagesLieSealed(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	f.send(q, "canary-plaintext")
	it, err := f.meta.Scan(t.Context(), []byte("q/"), []byte("q0"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for ; it.Next(); n++ {
		if strings.Contains(string(it.Value()), "canary") {
			t.Errorf("record %q holds the message in the clear", it.Key())
		}
	}
	if n != 3 {
		t.Errorf("%d records", n)
	}
}

// TestAttributesMD5 has the digest that the AWS SDKs compute (checked with boto3, which refuses another).
func TestAttributesMD5(t *testing.T) {
	if got := sqs.AttributesMD5(nil); got != "" {
		t.Errorf("of none: %q", got)
	}
	a := sqs.AttributesMD5(map[string]sqs.Attribute{"a": {Type: "String", String: "x"}, "b": {Type: "Binary", Binary: []byte{1}}})
	b := sqs.AttributesMD5(map[string]sqs.Attribute{"b": {Type: "Binary", Binary: []byte{1}}, "a": {Type: "String", String: "x"}})
	if a != b || len(a) != 32 {
		t.Errorf("%q %q", a, b)
	}
}

// widest notes how many writes the largest commit had.
type widest struct {
	engine.Meta
	writes int
}

func (w *widest) Commit(ctx context.Context, b *engine.Batch) error {
	w.writes = max(w.writes, len(b.Writes))
	return w.Meta.Commit(ctx, b)
}

// TestManyDeadLettersAreNotMovedAtOnce: what a receiver makes the store hold does not grow with what is in the
// queue.
func TestManyDeadLettersAreNotMovedAtOnce(t *testing.T) {
	f := newFixture(t)
	w := &widest{Meta: f.meta}
	f.meta = w
	f.reopen()
	dead := f.create("dead")
	q := f.create("q", "RedrivePolicy", `{"deadLetterTargetArn":"`+f.store.ARN(dead)+`","maxReceiveCount":"1"}`, "VisibilityTimeout", "0")
	const poison = 500
	for i := range poison {
		f.send(q, fmt.Sprint(i))
	}
	got := 0
	for got < poison {
		n := len(f.receive(q))
		if n == 0 {
			t.Fatalf("%d were received", got)
		}
		got += n
	}
	f.send(q, "good")
	w.writes = 0
	f.want("behind all the poison", f.receive(q), "good")
	if w.writes == 0 || w.writes > 500 {
		t.Errorf("a commit of %d writes", w.writes)
	}
	if c, err := f.store.Count(t.Context(), f.g, dead); err != nil || c.Visible != poison {
		t.Errorf("%+v %v", c, err)
	}
}

// Counting needs to read no message: of a queue of large ones it would read them all.
func TestCountingReadsNoMessages(t *testing.T) {
	f := newFixture(t)
	q := f.create("q")
	f.send(q, "a", "b", "c")
	if err := f.store.Send(t.Context(), f.g, q, &sqs.Sending{Message: sqs.Message{Body: "later"}, Delay: new(int32(60))}); err != nil {
		t.Fatal(err)
	}
	count := func(when string, want sqs.Counts) {
		t.Helper()
		if c, err := f.store.Count(t.Context(), f.g, q); err != nil || c != want {
			t.Errorf("%s: %+v %v, want %+v", when, c, err, want)
		}
	}
	count("sent", sqs.Counts{Visible: 3, Delayed: 1})
	got, err := f.store.Receive(t.Context(), f.g, q, sqs.Receiving{Max: 2})
	if err != nil || len(got) != 2 {
		t.Fatal(len(got), err)
	}
	count("received", sqs.Counts{Visible: 1, InFlight: 2, Delayed: 1})
	if err := f.store.SetVisibility(t.Context(), f.g, q, got[0].Receipt, 0); err != nil {
		t.Fatal(err)
	}
	count("given back", sqs.Counts{Visible: 2, InFlight: 1, Delayed: 1})
	if err := f.store.Remove(t.Context(), f.g, q, got[1].Receipt); err != nil {
		t.Fatal(err)
	}
	it, err := f.meta.Scan(t.Context(), []byte("q/b/"), []byte("q/b0"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var b engine.Batch
	for it.Next() {
		b.Set(append([]byte(nil), it.Key()...), []byte("not a message"))
	}
	if err := f.meta.Commit(t.Context(), &b); err != nil || len(b.Writes) != 3 {
		t.Fatal(len(b.Writes), err)
	}
	count("unreadable", sqs.Counts{Visible: 2, Delayed: 1})
}

// told is what the change feed told of policies since the last time.
func (f *fixture) told() (list []string) {
	f.t.Helper()
	entries, err := f.feed.Next(f.t.Context(), "test", 64)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range entries {
		e := &entries[i]
		if e.Kind != feed.Policy || e.Account != account {
			f.t.Errorf("told of %+v", e)
		}
		list = append(list, fmt.Sprint(e.Resource[strings.LastIndex(e.Resource, ":")+1:], " ", e.Gone))
	}
	if err := f.feed.Done(f.t.Context(), "test", entries[len(entries)-1].Seq, nil); err != nil {
		f.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// TestFeedTellsOfPolicies: each change of a queue's policy is told, and nothing else is.
func TestFeedTellsOfPolicies(t *testing.T) {
	f := newFixture(t)
	document := func(action string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"` + action + `","Resource":"*"}]}`
	}
	plain := f.create("plain")
	q := f.create("q", "Policy", document("sqs:SendMessage"))
	set := func(attributes map[string]string) {
		t.Helper()
		if err := f.store.SetAttributes(t.Context(), f.g, q, attributes); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...string) {
		t.Helper()
		if got := f.told(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	check("q false")
	set(map[string]string{"VisibilityTimeout": "7"})
	set(map[string]string{"Policy": document("sqs:SendMessage")})
	set(map[string]string{"Policy": document("sqs:*")})
	check("q false")
	set(map[string]string{"Policy": ""})
	check("q true")
	set(map[string]string{"Policy": document("sqs:*")})
	for _, gone := range []*sqs.Queue{plain, q} {
		if err := f.store.Delete(t.Context(), f.g, gone); err != nil {
			t.Fatal(err)
		}
	}
	check("q false", "q true")
}
