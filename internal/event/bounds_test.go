package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestATransformerDoesNotMultiply: a short template may name a large value thousands of times.
func TestATransformerDoesNotMultiply(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("d", "https://example.com")
	huge := &Transformer{Paths: map[string]string{"a": "$.detail"}, Template: `"` + strings.Repeat("<a>", 2700) + `"`}
	b.rule("huge", "default", `{"source":["shop"]}`, RuleTarget{ID: "x", ARN: arn, Transformer: huge}, RuleTarget{ID: "y", ARN: arn})
	b.publish(Event{Source: "shop", DetailType: "t", Account: account, Detail: json.RawMessage(`{"v":"` + strings.Repeat("v", 200<<10) + `"}`)})
	got := b.payloads()
	if len(got) != 1 || len(got[0].Payload) > MaxEvent {
		t.Fatalf("%d deliveries", len(got))
	}
	b.publish(Event{Source: "shop", DetailType: "t", Account: account, Detail: json.RawMessage(`{"v":"w"}`)})
	if got := b.payloads(); len(got) != 2 {
		t.Errorf("%d deliveries of a small event", len(got))
	}
}

// TestKindsOfEventsDoNotFillTheMemory: clients name kinds as they like.
func TestKindsOfEventsDoNotFillTheMemory(t *testing.T) {
	b := newBench(t)
	for range 3 {
		for i := range 2 * maxKinds {
			b.receivers(account, DefaultBus, "shop", strings.Repeat("k", 10<<10)+fmt.Sprint(i))
			b.receivers(account, DefaultBus, "shop", fmt.Sprint(i))
		}
	}
	kinds, bytes := b.index.Load().kinds, 0
	for k := range kinds {
		bytes += len(k.source) + len(k.detailType)
	}
	if len(kinds) != maxKinds || bytes > maxKinds*maxKind {
		t.Errorf("%d kinds of %d bytes", len(kinds), bytes)
	}
}

// TestOneEventDoesNotFillTheMemory: many rules may want the same large event.
func TestOneEventDoesNotFillTheMemory(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("d", "https://example.com")
	for i := range 60 {
		var targets []RuleTarget
		for j := range 5 {
			targets = append(targets, RuleTarget{ID: fmt.Sprint(j), ARN: arn})
		}
		b.rule(fmt.Sprintf("r%d", i), "default", `{"source":["shop"]}`, targets...)
	}
	b.publish(Event{Source: "shop", DetailType: "t", Account: account, Detail: json.RawMessage(`{"v":"` + strings.Repeat("v", 250<<10) + `"}`)})
	sum := 0
	for _, d := range b.payloads() {
		sum += len(d.Payload)
	}
	if sum > maxFanOut || sum < maxFanOut-MaxEvent {
		t.Errorf("%d bytes are on their way", sum)
	}
}

// TestArchivesKeepWhatIsYoung: a retention that reaches behind 1970 loses nothing.
func TestArchivesKeepWhatIsYoung(t *testing.T) {
	b := newBench(t)
	a, err := b.CreateArchive(b.ctx, b.all, account, "kept", b.BusARN(account, "default"), ArchiveSpec{RetentionDays: new(int32(36500))})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{{}, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := b.PutEntry(b.ctx, b.all, Entry{Account: account, Bus: "default", Source: "shop", DetailType: "t", Detail: `{}`, Time: at}); err != nil {
			t.Fatal(err)
		}
	}
	for _, days := range []int32{36500, 1<<31 - 1} {
		if _, err := b.UpdateArchive(b.ctx, b.all, account, "kept", ArchiveSpec{RetentionDays: &days}); err != nil {
			t.Fatal(err)
		}
		if err := b.Forget(b.ctx); err != nil {
			t.Fatal(err)
		}
		if n, _ := b.ArchiveSize(a); n != 4 {
			t.Errorf("after %d days of retention %d events are left", days, n)
		}
	}
	if _, err := b.UpdateArchive(b.ctx, b.all, account, "kept", ArchiveSpec{RetentionDays: new(int32(30))}); err != nil {
		t.Fatal(err)
	}
	b.clock.Forward(31 * 24 * time.Hour)
	if err := b.Forget(b.ctx); err != nil {
		t.Fatal(err)
	}
	if n, _ := b.ArchiveSize(a); n != 1 {
		t.Errorf("of old events and one of the future %d are left", n)
	}
}

// TestTargetsComeInPages whatever the order in which they were put.
func TestTargetsComeInPages(t *testing.T) {
	b := newBench(t)
	arn := b.destinationTo("d", "https://example.com")
	b.rule("r", "default", `{"source":["shop"]}`, RuleTarget{ID: "c", ARN: arn}, RuleTarget{ID: "a", ARN: arn}, RuleTarget{ID: "b", ARN: arn})
	var ids []string
	for token := ""; ; {
		l, err := b.ListTargetsByRule(b.ctx, b.all, account, "default", "r", Page{Limit: 1, Token: token})
		if err != nil || len(l.Items) != 1 {
			t.Fatal(l, err)
		}
		ids = append(ids, l.Items[0].ID)
		if token = l.Next; token == "" {
			break
		}
	}
	if strings.Join(ids, "") != "abc" {
		t.Errorf("targets %v", ids)
	}
}
