package trail

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

// group is the log group of a test.
type group struct {
	names  []string
	puts   int
	refuse error
	during func() // a delivery. Optional
}

func (g *group) Try(context.Context, *Trail) error { return g.refuse }

func (g *group) Put(_ context.Context, _ *Trail, events []LogEvent) error {
	if g.refuse != nil {
		return g.refuse
	}
	if g.during != nil {
		g.during()
	}
	g.puts++
	for i, e := range events {
		var r struct{ EventName string }
		if err := json.Unmarshal([]byte(e.Message), &r); err != nil {
			return err
		}
		if i > 0 && e.Timestamp < events[i-1].Timestamp {
			return errors.New("not in order")
		}
		g.names = append(g.names, r.EventName)
	}
	return nil
}

// withGroup is a harness whose trail delivers into a group.
func withGroup(t *testing.T) (*harness, *group, *Trail) {
	t.Helper()
	h, g := newHarness(t), &group{}
	h.config.Logs = g
	tr := h.trail(t)
	h.happen(t, "Before")
	h.deliverNow(t, tr)
	tr, err := h.Update(t.Context(), h.grant, "cloudtrail:UpdateTrail", tr.ARN(), func(t *Trail) error {
		t.LogGroup, t.LogRole = "arn:aws:logs:us-east-1:"+account+":log-group:g:*", "arn:aws:iam::"+account+":role/r"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, g, tr
}

func (h *harness) again(t *testing.T, g *group) {
	t.Helper()
	h.open(t)
	h.config.Logs = g
}

// TestAGroupGetsWhatHappensFromThenOn: nothing of before, all of then, across restarts and while the bucket refuses.
func TestAGroupGetsWhatHappensFromThenOn(t *testing.T) {
	h, g, tr := withGroup(t)
	h.happen(t, "One")
	h.Store.logs(t.Context(), tr)
	h.again(t, g)
	h.bucket.refuse = true
	h.happen(t, "Two")
	h.deliverNow(t, tr)
	h.Store.logs(t.Context(), tr)
	h.Store.logs(t.Context(), tr)
	if want := []string{"One", "Two"}; !slices.Equal(g.names, want) {
		t.Errorf("%v", g.names)
	}
	g.refuse = errors.New("AccessDenied")
	h.happen(t, "Three")
	h.Store.logs(t.Context(), tr)
	if st := h.LogState(tr); st.Error != "AccessDenied" {
		t.Errorf("%+v", st)
	}
	h.again(t, g)
	g.refuse = nil
	h.Store.logs(t.Context(), tr)
	if want := []string{"One", "Two", "Three"}; !slices.Equal(g.names, want) {
		t.Errorf("%v", g.names)
	}
	if st := h.LogState(tr); st.Error != "" || st.Delivered.IsZero() {
		t.Errorf("%+v", st)
	}
	if _, err := h.Delete(t.Context(), h.grant, tr.ARN()); err != nil {
		t.Fatal(err)
	}
	h.again(t, g)
	if len(h.logStates) != 0 {
		t.Errorf("%v is left", h.logStates)
	}
}

// TestAGroupsDeliveryDoesNotCauseTheNext: uses of the group's key wait for other records.
func TestAGroupsDeliveryDoesNotCauseTheNext(t *testing.T) {
	h, g, tr := withGroup(t)
	sealed := func() {
		if err := h.record.Management().Append(true, audit.KeyLines(&audit.Event{
			ID: "D", RequestID: "D", Time: time.Now(), Service: "logs", Operation: "SealLogEvents", Class: audit.Data, Status: 200,
			Principal: policy.Principal{Type: policy.Service, ARN: "logs.us-east-1.amazonaws.com"},
			KMS:       []audit.KeyUse{{Action: "kms:Decrypt", KeyARN: "arn:aws:kms:us-east-1:" + account + ":key/k", Account: account}},
		})...); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		sealed()
		h.Store.logs(t.Context(), tr)
	}
	h.again(t, g)
	h.Store.logs(t.Context(), tr)
	if g.puts != 0 {
		t.Fatalf("%d deliveries", g.puts)
	}
	h.happen(t, "One")
	h.Store.logs(t.Context(), tr)
	if want := []string{"Decrypt", "Decrypt", "Decrypt", "One"}; !slices.Equal(g.names, want) {
		t.Errorf("%v", g.names)
	}
}

func TestAGroupAndARoleGoTogether(t *testing.T) {
	h, g, _ := withGroup(t)
	other := func(group, role string) error {
		_, err := h.Create(t.Context(), h.grant, Trail{Name: "other", Account: account, Region: "us-east-1", Bucket: "logs", LogGroup: group, LogRole: role})
		return err
	}
	if err := other("g", ""); !fault.Is(err, InvalidLogRole) {
		t.Errorf("no role: %v", err)
	}
	if err := other("", "r"); !fault.Is(err, InvalidLogGroup) {
		t.Errorf("no group: %v", err)
	}
	g.refuse = fault.New(InvalidLogGroup, "no")
	if err := other("g", "r"); !fault.Is(err, InvalidLogGroup) {
		t.Errorf("refused: %v", err)
	}
	h.config.Logs = nil
	if err := other("g", "r"); !fault.Is(err, Unsupported) {
		t.Errorf("no service: %v", err)
	}
}

// TestNoFileFollowsTheLastDigest: what happens while a trail is stopped is in a file that a digest has, or in none.
func TestNoFileFollowsTheLastDigest(t *testing.T) {
	h, g, tr := withGroup(t)
	h.happen(t, "One")
	ended := make(chan struct{})
	g.during = func() {
		g.during = nil
		h.happen(t, "Two")
		go func() {
			h.deliver(t.Context(), tr) // as every interval
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(50 * time.Millisecond): // it waits for the end of the stop
		}
	}
	if _, err := h.Stop(t.Context(), h.grant, tr.ARN()); err != nil {
		t.Fatal(err)
	}
	<-ended
	for path := range h.bucket.objects {
		if strings.Contains(path, "/CloudTrail/") && !h.bucket.digested(t, path) {
			t.Errorf("%s is in no digest", path)
		}
	}
}

// digested tells whether a digest has the file.
func (b *bucket) digested(t *testing.T, file string) bool {
	t.Helper()
	for path, body := range b.objects {
		if !strings.Contains(path, "/CloudTrail-Digest/") {
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var d digestDocument
		if err := json.NewDecoder(z).Decode(&d); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(d.Files, func(f LogFile) bool { return "/"+f.Bucket+"/"+f.Object == file }) {
			return true
		}
	}
	return false
}
