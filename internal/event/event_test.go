package event

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/testclock"
)

const account = "111122223333"

// plainSecrets seals nothing; it marks what went through it.
type plainSecrets struct{}

func (plainSecrets) SealSecret(context, plain []byte) []byte {
	out := append([]byte("sealed:"), context...)
	for _, c := range plain {
		out = append(out, c^0x55)
	}
	return out
}

func (plainSecrets) OpenSecret(_ context.Context, context, sealed []byte) ([]byte, error) {
	var out []byte
	for _, c := range sealed[len("sealed:")+len(context):] {
		out = append(out, c^0x55)
	}
	return out, nil
}

// nobody knows no user and no role but one.
type nobody struct{}

func (nobody) UniqueID(arn string) (string, bool) {
	return "AROAEXAMPLEEXAMPLE00", arn == "arn:aws:iam::111122223333:role/known"
}

type bench struct {
	*Store
	t     testing.TB
	meta  engine.Meta
	queue *queue.Queue
	clock *testclock.Clock
	all   authz.Grant
	ctx   context.Context
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, meta: memory.NewMeta(), clock: testclock.New(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)), all: authztest.Grant(t, "events:*", "*"), ctx: t.Context()}
	b.reopen()
	return b
}

// reopen is a restart.
func (b *bench) reopen() {
	b.t.Helper()
	var err error
	if b.queue, err = queue.Open(b.ctx, queue.Config{Meta: b.meta, Now: b.clock.Now}); err != nil {
		b.t.Fatal(err)
	}
	b.Store, err = Open(b.ctx, Config{
		Meta: b.meta, Queue: b.queue, Secrets: plainSecrets{}, Principals: nobody{}, Region: "us-east-1", Log: slog.New(slog.DiscardHandler), Now: b.clock.Now,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// destinationTo makes an API destination and gives its ARN.
func (b *bench) destinationTo(name, url string) string {
	b.t.Helper()
	c, err := b.CreateConnection(b.ctx, b.all, account, name, ConnectionSpec{Type: APIKey, Change: func(a *Auth) { a.KeyName, a.KeyValue = "x-key", "topsecret" }})
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := b.CreateApiDestination(b.ctx, b.all, account, name, DestinationSpec{Connection: &c.ARN, Endpoint: &url, Method: new("POST")})
	if err != nil {
		b.t.Fatal(err)
	}
	return d.ARN
}

func (b *bench) rule(name, bus, pattern string, targets ...RuleTarget) *Rule {
	b.t.Helper()
	r, err := b.PutRule(b.ctx, b.all, RuleSpec{Account: account, Bus: bus, Name: name, Pattern: pattern})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(targets) > 0 {
		if _, err := b.PutTargets(b.ctx, b.all, account, bus, name, targets); err != nil {
			b.t.Fatal(err)
		}
	}
	return r
}

// due is what lies in the queue.
func (b *bench) due() (out []*queue.Delivery) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	b.clock.Forward(time.Second)
	lanes, err := b.queue.Woken(ctx)
	if err != nil {
		return nil
	}
	for _, lane := range lanes {
		due, _, err := b.queue.Due(b.ctx, lane, 1000)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, due...)
	}
	return out
}

// payloads takes everything that is due out of the queue.
func (b *bench) payloads() []*queue.Delivery {
	b.t.Helper()
	due := b.due()
	var results []queue.Result
	for _, d := range due {
		results = append(results, queue.Result{Delivery: d})
	}
	if err := b.queue.Done(b.ctx, results...); err != nil {
		b.t.Fatal(err)
	}
	return due
}

func (b *bench) publish(events ...Event) {
	b.t.Helper()
	bus, err := b.Publisher(b.all)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := bus.Publish(b.ctx, nil, events...); err != nil {
		b.t.Fatal(err)
	}
}

func compliance(bucket, result string) Event {
	return Event{
		Source: "aws.config", DetailType: "Config Rules Compliance Change", Account: account, Resources: nil,
		Detail: json.RawMessage(`{"resourceId":"` + bucket + `","configRuleName":"s3-bucket-public-read-prohibited","newEvaluationResult":{"complianceType":"` + result + `","annotation":"The S3 bucket policy \"allows\" public read access."}}`),
	}
}

func TestEventsReachTheTargetsOfTheirRules(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("slack", "https://hooks.example.com/x")
	b.rule("public", DefaultBus, `{"source":["aws.config"],"detail":{"newEvaluationResult":{"complianceType":["NON_COMPLIANT"]}}}`,
		RuleTarget{ID: "whole", ARN: arn},
		RuleTarget{ID: "part", ARN: arn, InputPath: new("$.detail.newEvaluationResult")},
		RuleTarget{ID: "fixed", ARN: arn, Input: new(`{"a":1}`)},
		RuleTarget{ID: "made", ARN: arn, Transformer: &Transformer{
			Paths:    map[string]string{"bucket": "$.detail.resourceId", "why": "$.detail.newEvaluationResult.annotation", "none": "$.nothing", "all": "$.detail.newEvaluationResult"},
			Template: `{"text":"<bucket>: <why> (<none>) by <aws.events.rule-name>","whole":<all>,"bucket":<bucket>,"none":<none>,"link":"<https://x|y>"}`,
		}})
	b.rule("off", DefaultBus, `{"source":["aws.config"]}`, RuleTarget{ID: "x", ARN: arn})
	if err := b.DisableRule(b.ctx, b.all, account, DefaultBus, "off"); err != nil {
		t.Fatal(err)
	}
	b.publish(compliance("b1", "COMPLIANT"))
	if got := b.payloads(); len(got) != 0 {
		t.Errorf("an event that no rule means has %d deliveries", len(got))
	}
	b.publish(compliance("b1", "NON_COMPLIANT"))
	b.reopen() // whatever happens, it is still there
	got := map[string]string{}
	for _, d := range b.payloads() {
		switch p := string(d.Payload); {
		case strings.HasPrefix(p, `{"version":"0"`):
			got["whole"] = p
		case strings.HasPrefix(p, `{"complianceType"`):
			got["part"] = p
		case p == `{"a":1}`:
			got["fixed"] = p
		default:
			got["made"] = p
		}
	}
	want := `{"text":"b1: The S3 bucket policy \"allows\" public read access. () by public","whole":{"complianceType":"NON_COMPLIANT","annotation":"The S3 bucket policy \"allows\" public read access."},"bucket":"b1","none":"","link":"<https://x|y>"}`
	if len(got) != 4 || got["made"] != want {
		t.Errorf("deliveries: %v", got)
	}
	var whole map[string]any
	if err := json.Unmarshal([]byte(got["whole"]), &whole); err != nil || whole["account"] != account || whole["region"] != "us-east-1" || whole["time"] != "2026-11-22T09:00:01Z" {
		t.Errorf("the event is %v %v", whole, err)
	}
}

func TestAnEventIsWrittenWithTheChangeThatItTells(t *testing.T) {
	b := newBench(t)
	b.rule("r", DefaultBus, `{"source":["aws.config"]}`, RuleTarget{ID: "x", ARN: b.destinationTo("d", "https://example.com")})
	bus, err := b.Publisher(b.all)
	if err != nil {
		t.Fatal(err)
	}
	var batch engine.Batch
	committed, err := bus.Publish(b.ctx, &batch, compliance("b", "NON_COMPLIANT"))
	if err != nil {
		t.Fatal(err)
	}
	if got := b.payloads(); got != nil {
		t.Fatalf("delivered before the commit: %v", got)
	}
	if err := b.meta.Commit(b.ctx, &batch); err != nil {
		t.Fatal(err)
	}
	committed()
	if got := b.payloads(); len(got) != 1 {
		t.Errorf("%d deliveries", len(got))
	}
	if _, err := b.Publisher(authztest.Grant(t, "events:PutEvents", "arn:aws:events:us-east-1:"+account+":event-bus/default")); !fault.Is(err, authz.NotGranted) {
		t.Errorf("somebody without a grant for everything publishes: %v", err)
	}
}

// A server that is killed when another bus has the event, and before it says so, does not send it again.
func TestAnEventReachesAnotherBusOnce(t *testing.T) {
	b := newBench(t)
	bus, err := b.CreateEventBus(b.ctx, b.all, account, "other", BusSpec{})
	if err != nil {
		t.Fatal(err)
	}
	b.rule("on", DefaultBus, `{"source":["aws.config"]}`, RuleTarget{ID: "bus", ARN: bus.ARN, Role: "arn:aws:iam::" + account + ":role/r"})
	b.rule("out", "other", `{"source":["aws.config"]}`, RuleTarget{ID: "slack", ARN: b.destinationTo("slack", "https://hooks.example.com/x")})
	b.publish(compliance("b1", "NON_COMPLIANT"))
	hop := b.due()
	if len(hop) != 1 || hop[0].Kind != KindBus {
		t.Fatalf("%d deliveries", len(hop))
	}
	if err := b.Forward(b.ctx, b.all, hop[0], 1); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if got := b.due(); len(got) != 1 || got[0].Kind == KindBus {
		t.Errorf("after the kill there are %d deliveries", len(got))
	}

	b.reopen()
	got := b.payloads()
	b.publish(compliance("b2", "NON_COMPLIANT"))
	hop = b.due()
	if err := b.Forward(b.ctx, b.all, hop[0], 1); err != nil {
		t.Fatal(err)
	}
	if err := b.queue.Done(b.ctx, queue.Result{Delivery: hop[0]}); err != nil {
		t.Fatal(err)
	}
	if n := b.queue.Waiting(); len(got) != 1 || n != 1 {
		t.Errorf("%d are waiting", n)
	}
}

func TestSecretsOfConnections(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("d", "https://example.com")
	c, err := b.DescribeConnection(b.ctx, b.all, account, "d")
	if err != nil {
		t.Fatal(err)
	}
	shown, _ := json.Marshal(c.Auth)
	if strings.Contains(string(shown), "topsecret") {
		t.Errorf("a secret is shown: %s", shown)
	}
	it, err := b.meta.Scan(b.ctx, []byte("ev/"), []byte("ev0"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.Next() {
		if strings.Contains(string(it.Value()), "topsecret") {
			t.Errorf("a secret is stored in the clear under %q", it.Key())
		}
	}
	i, err := b.Invocation(b.ctx, b.all, arn)
	if err != nil || i.Auth.KeyValue != "topsecret" {
		t.Errorf("invocation: %+v %v", i, err)
	}
	if _, err := b.DeauthorizeConnection(b.ctx, b.all, account, "d"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Invocation(b.ctx, b.all, arn); !fault.Is(err, IllegalStatus) {
		t.Errorf("a deauthorized connection is used: %v", err)
	}
	if _, err := b.UpdateConnection(b.ctx, b.all, account, "d", ConnectionSpec{Change: func(a *Auth) {}}); !fault.Is(err, Invalid) {
		t.Errorf("it is authorized again without a secret: %v", err)
	}
}

func TestArchiveAndReplay(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("d", "https://example.com")
	if _, err := b.CreateEventBus(b.ctx, b.all, account, "app", BusSpec{}); err != nil {
		t.Fatal(err)
	}
	source := b.BusARN(account, "app")
	a, err := b.CreateArchive(b.ctx, b.all, account, "kept", source, ArchiveSpec{Pattern: new(`{"source":["shop"]}`), RetentionDays: new(int32(1))})
	if err != nil {
		t.Fatal(err)
	}
	from := b.clock.Now()
	for range 120 {
		b.clock.Forward(time.Second)
		for _, source := range []string{"shop", "else"} {
			if _, err := b.PutEntry(b.ctx, b.all, Entry{Account: account, Bus: "app", Source: source, DetailType: "t", Detail: `{"n":1}`}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if events, bytes := b.ArchiveSize(a); events != 120 || bytes == 0 {
		t.Errorf("the archive has %d events, %d bytes", events, bytes)
	}
	r := b.rule("late", "app", `{"replay-name":[{"exists":true}]}`, RuleTarget{ID: "x", ARN: arn})
	spec := ReplaySpec{Archive: a.ARN, Destination: source, Rules: []string{r.ARN}, From: from, Until: b.clock.Now().Add(time.Minute)}
	wrong := spec
	wrong.Destination = b.BusARN(account, "default")
	if _, err := b.StartReplay(b.ctx, b.all, account, "again", wrong); !fault.Is(err, Invalid) {
		t.Errorf("a replay to another bus: %v", err)
	}
	if _, err := b.StartReplay(b.ctx, b.all, account, "again", spec); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if err := b.replayOn(b.ctx, b.runningReplays()[0]); err != nil {
		t.Fatal(err)
	}
	b.reopen() // in the middle
	for len(b.runningReplays()) > 0 {
		if err := b.replayOn(b.ctx, b.runningReplays()[0]); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.payloads(); len(got) != 120 || !strings.Contains(string(got[0].Payload), `"replay-name":"again"`) {
		t.Errorf("%d events were told again", len(got))
	}
	if events, _ := b.ArchiveSize(a); events != 120 {
		t.Errorf("replayed events were archived: %d", events)
	}
	b.clock.Forward(25 * time.Hour)
	if err := b.Forget(b.ctx); err != nil {
		t.Fatal(err)
	}
	if events, bytes := b.ArchiveSize(a); events != 0 || bytes != 0 {
		t.Errorf("old events are kept: %d, %d bytes", events, bytes)
	}
}

func TestSchedules(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("d", "https://example.com")
	for name, expression := range map[string]string{"r": "rate(5 minutes)", "c": "cron(0 10 * * ? *)"} {
		if _, err := b.PutRule(b.ctx, b.all, RuleSpec{Account: account, Bus: DefaultBus, Name: name, Schedule: expression}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.PutTargets(b.ctx, b.all, account, DefaultBus, name, []RuleTarget{{ID: "x", ARN: arn}}); err != nil {
			t.Fatal(err)
		}
	}
	fire := func(want int) {
		t.Helper()
		next, err := b.fire(b.ctx)
		if err != nil || !next.After(b.clock.Now()) {
			t.Fatalf("next %s, %v", next, err)
		}
		if got := b.payloads(); len(got) != want {
			t.Errorf("at %s: %d events, want %d", b.clock.Now(), len(got), want)
		}
	}
	fire(0)
	b.clock.Forward(5 * time.Minute)
	fire(1)
	fire(0)
	b.reopen()
	fire(0)
	b.clock.Forward(2 * time.Hour) // the server was down: each is made up for once
	b.reopen()
	fire(2)
	fire(0)
}

func TestRefusals(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("d", "https://example.com")
	b.rule("r", DefaultBus, `{"source":["x"]}`)
	put := func(target RuleTarget) error {
		target.ID = "t"
		if target.ARN == "" {
			target.ARN = arn
		}
		_, err := b.PutTargets(b.ctx, b.all, account, DefaultBus, "r", []RuleTarget{target})
		return err
	}
	for name, err := range map[string]error{
		"a queue that does not exist here": put(RuleTarget{ARN: "arn:aws:sqs:us-east-1:" + account + ":q"}),
		"an API destination of another":    put(RuleTarget{ARN: strings.Replace(arn, account, "999999999999", 1)}),
		"no ARN":                           put(RuleTarget{ARN: "nothing"}),
		"two inputs":                       put(RuleTarget{Input: new("{}"), InputPath: new("$.a")}),
		"input is not JSON":                put(RuleTarget{Input: new("{")}),
		"a path is not one":                put(RuleTarget{InputPath: new("detail")}),
		"a placeholder without a path":     put(RuleTarget{Transformer: &Transformer{Template: `{"a":<b>}`}}),
		"a template that is neither":       put(RuleTarget{Transformer: &Transformer{Template: `hello <aws.events.event>`}}),
		"a reserved name":                  put(RuleTarget{Transformer: &Transformer{Paths: map[string]string{"aws.x": "$"}, Template: `{}`}}),
		"path parameters without a place":  put(RuleTarget{HTTP: &HTTP{Path: []string{"x"}}}),
		"a dead letter queue that is none": put(RuleTarget{DeadLetter: "arn:aws:sns:us-east-1:" + account + ":q"}),
	} {
		if !fault.Is(err, Invalid) && !fault.Is(err, NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []RuleSpec{
		{Name: "n", Bus: DefaultBus},
		{Name: "n", Bus: DefaultBus, Schedule: "rate(1 minutes)"},
		{Name: "n", Bus: "missing", Pattern: `{"a":[1]}`},
		{Name: "n", Bus: DefaultBus, Pattern: `{"a":[1]}` + strings.Repeat(" ", 5000)},
	} {
		c.Account = account
		if _, err := b.PutRule(b.ctx, b.all, c); fault.Of(err) == "" {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := b.DeleteEventBus(b.ctx, b.all, account, DefaultBus); !fault.Is(err, Invalid) {
		t.Errorf("the default bus is deleted: %v", err)
	}
	if err := put(RuleTarget{}); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteRule(b.ctx, b.all, account, DefaultBus, "r"); !fault.Is(err, Invalid) {
		t.Errorf("a rule with targets is deleted: %v", err)
	}
	if _, err := b.CreateApiDestination(b.ctx, b.all, account, "plain", DestinationSpec{Connection: new(b.connections.items[account+"/d"].ARN), Endpoint: new("http://example.com"), Method: new("POST")}); !fault.Is(err, Invalid) {
		t.Errorf("plain HTTP: %v", err)
	}
}

// BenchmarkPublish is the path from an event to its delivery in the queue, with 100 rules.
func BenchmarkPublish(b *testing.B) {
	w := newBench(b)
	arn := w.destinationTo("d", "https://example.com")
	for i := range 100 {
		w.rule("r"+uuid.NewString(), DefaultBus, `{"source":["aws.config"],"detail":{"resourceId":["b`+string(rune('0'+i%10))+uuid.NewString()+`",{"prefix":"only"}]}}`)
	}
	w.rule("hit", DefaultBus, `{"source":["aws.config"],"detail":{"newEvaluationResult":{"complianceType":["NON_COMPLIANT"]}}}`, RuleTarget{ID: "x", ARN: arn})
	bus, err := w.Publisher(w.all)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := bus.Publish(w.ctx, nil, compliance("b", "NON_COMPLIANT")); err != nil {
			b.Fatal(err)
		}
	}
}
