package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReceiverTimesTheFirstMessageAndCountsAll(t *testing.T) {
	h, err := hear()
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	one := h.expect("one")
	for _, body := range []string{`{"bucket":"one"}`, `{"bucket":"two"}`, `{"bucket":"one"}`} {
		answer, err := http.Post(h.url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	select {
	case <-one:
	case <-time.After(time.Minute):
		t.Fatal("not heard")
	}
	if got := h.repeated(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("repeated: %v", got)
	}
}

func TestAlarmsAreLeftOutUnlessAskedFor(t *testing.T) {
	for _, cfg := range []Config{{}, {AlarmBuckets: 1000, Only: []string{"put-4k"}}} {
		b := &bench{cfg: cfg, targets: []*target{{process: &server{binary: "/nonexistent"}}}}
		if r, err := b.alarms(t.Context()); r != nil || err != nil {
			t.Errorf("%+v: %v, %v", cfg, r, err)
		}
	}
}

func TestAlarmFiguresArePrinted(t *testing.T) {
	var out bytes.Buffer
	printAlarms(&out, []AlarmResult{{Target: "kura", Buckets: 10_000, EventRules: 100, ConfigRules: 10, Judged: 1500, Alone: AlarmFigure{200, 2.5, 40}}})
	for _, want := range []string{"kura: ", "10,000 buckets", "1,500 ms", "p50 2.5 ms, p99 40.0 ms of 200", "goal: p99 1000 ms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}
