package finding_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/finding"
)

const account = "111122223333"

type world struct {
	t     *testing.T
	meta  engine.Meta
	store *finding.Store
	now   time.Time
	told  []finding.Finding
	grant authz.Grant
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, meta: memory.NewMeta(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	var err error
	if w.grant, err = guard.System(t.Context(), "test", authz.Demand{Action: "guardduty:*", Resource: authz.Resource{ARN: "*"}}); err != nil {
		t.Fatal(err)
	}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.store, err = finding.Open(w.t.Context(), finding.Config{
		Meta: w.meta, Region: "us-east-1", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
		Publish: func(_ context.Context, b *engine.Batch, e finding.Event) (func(), error) {
			raw, err := json.Marshal(e.Detail)
			if err != nil {
				return nil, err
			}
			return func() {
				var f finding.Finding
				if err := json.Unmarshal(raw, &f); err != nil {
					w.t.Error(err)
				}
				w.told = append(w.told, f)
			}, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) detector() string {
	w.t.Helper()
	on := true
	id, err := w.store.CreateDetector(w.t.Context(), w.grant, account, finding.Settings{Enabled: &on, Frequency: "FIFTEEN_MINUTES"}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) see(actor string) {
	w.t.Helper()
	if err := w.store.Report(w.t.Context(), nil, sighting(actor)); err != nil {
		w.t.Fatal(err)
	}
}

func sighting(actor string) finding.Sighting {
	return finding.Sighting{
		Account: account, Type: finding.MassRead, Severity: finding.High, Title: "t", Description: "d", Actor: actor,
		Resource: finding.Resource{ResourceType: finding.S3Bucket, S3BucketDetails: []finding.Bucket{{Name: "b", ARN: "arn:aws:s3:::b"}}},
	}
}

func (w *world) list(id string) []*finding.Finding {
	w.t.Helper()
	list, err := w.store.Find(w.grant, "guardduty:ListFindings", account, id, nil, finding.Order{Attribute: "updatedAt"})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) keep() {
	w.t.Helper()
	if err := w.store.Keep(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestCounts: the same thing seen again counts, is told at the publishing frequency, and survives a restart.
func TestCounts(t *testing.T) {
	w := newWorld(t)
	w.see("a")
	id := w.detector()
	if len(w.list(id)) != 0 {
		t.Fatal("something was found before there was a detector")
	}
	w.see("a")
	w.see("a")
	w.see("b")
	if list := w.list(id); len(list) != 2 || len(w.told) != 2 {
		t.Fatal(len(list), len(w.told))
	}
	w.keep()
	if len(w.told) != 2 {
		t.Fatal("a repeat was told at once")
	}
	w.now = w.now.Add(16 * time.Minute)
	w.open()
	w.keep()
	if len(w.told) != 3 || w.told[2].Service.Count != 2 {
		t.Fatal(w.told)
	}
	w.keep()
	if len(w.told) != 3 {
		t.Fatal("told twice")
	}
	w.now = w.now.Add(91 * 24 * time.Hour)
	w.keep()
	w.open()
	if list := w.list(id); len(list) != 0 {
		t.Fatal("old findings are kept")
	}
}

// TestArchived: archiving silences what was, not what is to come; a filter silences what is to come.
func TestArchived(t *testing.T) {
	w := newWorld(t)
	id := w.detector()
	w.see("a")
	if err := w.store.Archive(t.Context(), w.grant, "guardduty:ArchiveFindings", account, id, []string{w.list(id)[0].ID}, true); err != nil {
		t.Fatal(err)
	}
	w.see("a")
	if list := w.list(id); len(list) != 2 || len(w.told) != 2 {
		t.Fatal(len(list), len(w.told))
	}
	err := w.store.CreateFilter(t.Context(), w.grant, account, id, finding.Filter{
		Name: "quiet", Action: "ARCHIVE", Criteria: finding.Criteria{"type": {Eq: []string{finding.MassRead}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.open()
	w.see("b")
	w.see("b")
	if list := w.list(id); len(list) != 3 || len(w.told) != 2 {
		t.Fatal(len(list), len(w.told))
	}
}

// TestSwitchedOff: who switches detection off is told of, also when nothing is left that could keep it.
func TestSwitchedOff(t *testing.T) {
	w := newWorld(t)
	id := w.detector()
	off, on := false, true
	by := &finding.Sighting{Account: account, Type: finding.DetectorDisabled, Severity: finding.High, Title: "t", Description: "d"}
	if err := w.store.UpdateDetector(t.Context(), w.grant, account, id, finding.Settings{Enabled: &off}, by); err != nil {
		t.Fatal(err)
	}
	if len(w.told) != 1 || len(w.list(id)) != 1 || len(w.store.Watches()) != 0 {
		t.Fatal(w.told)
	}
	w.see("a")
	if len(w.list(id)) != 1 {
		t.Fatal("a disabled detector detects")
	}
	if err := w.store.UpdateDetector(t.Context(), w.grant, account, id, finding.Settings{Enabled: &on, S3: &off}, by); err != nil {
		t.Fatal(err)
	}
	if list := w.list(id); len(list) != 1 || list[0].Service.Count != 2 {
		t.Fatal("switching off the data events was not seen")
	}
	if err := w.store.DeleteDetector(t.Context(), w.grant, account, id, &finding.Sighting{Account: account, Type: finding.DetectorDisabled, Severity: finding.High, Actor: "another"}); err != nil {
		t.Fatal(err)
	}
	if len(w.told) != 2 || w.told[1].Type != finding.DetectorDisabled {
		t.Fatal(w.told)
	}
	w.open()
	if _, err := w.store.Detector(w.grant, "guardduty:GetDetector", w.store.ARN(account, id), account, id); err == nil {
		t.Fatal("a deleted detector is there")
	}
}

// TestBounded: however much is found, so much is kept; what was archived goes first.
func TestBounded(t *testing.T) {
	w := newWorld(t)
	id := w.detector()
	w.see("first")
	first := w.list(id)[0].ID
	if err := w.store.Archive(t.Context(), w.grant, "guardduty:ArchiveFindings", account, id, []string{first}, true); err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		w.now = w.now.Add(time.Second)
		w.see(fmt.Sprint(i))
	}
	list := w.list(id)
	if len(list) != 5000 {
		t.Fatal(len(list))
	}
	for _, f := range list {
		if f.ID == first {
			t.Fatal("the archived finding stayed")
		}
	}
}

func TestNoGrant(t *testing.T) {
	w := newWorld(t)
	id := w.detector()
	var none authz.Grant
	if _, err := w.store.Find(none, "guardduty:ListFindings", account, id, nil, finding.Order{}); err == nil {
		t.Error("findings without a grant")
	}
	if err := w.store.DeleteDetector(t.Context(), none, account, id, nil); err == nil {
		t.Error("a detector deleted without a grant")
	}
	if _, err := w.store.CreateList(t.Context(), none, "guardduty:CreateIPSet", account, id, finding.List{}, nil, nil); err == nil {
		t.Error("a list without a grant")
	}
}

func TestTable(t *testing.T) {
	table, err := finding.ParseTable([]byte("# list\n10.0.0.0/8\n10.1.0.0/16\r\n192.0.2.7\n2001:db8::/32 ; x\n\n::1\n0.0.0.0/32\n64:ff9b::7/96\n"))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "11.0.0.0": false, "9.255.255.255": false, "192.0.2.7": true, "192.0.2.8": false,
		"2001:db8:ffff::1": true, "2001:db9::": false, "::1": true, "::2": false, "::ffff:10.2.3.4": true, "0.0.0.0": true,
		"64:ff9b::ffff": true,
	} {
		if table.Contains(netip.MustParseAddr(address)) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
	for _, bad := range []string{"10.0.0.0/33", "fe80::1%eth0", "hello", "1.2.3", "10.0.0.1-10.0.0.9", strings.Repeat("x", 1<<17)} {
		if _, err := finding.ParseTable([]byte("1.1.1.1\n" + bad)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if table, err = finding.ParseTable([]byte("::/32")); err != nil || table.Wide() || table.Contains(netip.MustParseAddr("192.0.2.1")) {
		t.Error("a network of IPv6 has IPv4 addresses", err)
	}
	if (*finding.Table)(nil).Contains(netip.MustParseAddr("::1")) || table.Contains(netip.Addr{}) {
		t.Error("nothing is in nothing")
	}
}

// TestTrustEverybody: who trusts everybody has switched detection off, and no filter keeps that quiet.
func TestTrustEverybody(t *testing.T) {
	w := newWorld(t)
	id := w.detector()
	if err := w.store.CreateFilter(t.Context(), w.grant, account, id, finding.Filter{
		Name: "all", Action: "ARCHIVE", Criteria: finding.Criteria{"region": {Eq: []string{"us-east-1"}}},
	}); err != nil {
		t.Fatal(err)
	}
	by := &finding.Sighting{Account: account, Type: finding.DetectorDisabled, Severity: finding.High}
	list := finding.List{Kind: finding.KindTrusted, Name: "l", Format: "TXT", Location: "s3://b/k", Active: true}
	l, err := w.store.CreateList(t.Context(), w.grant, "guardduty:CreateIPSet", account, id, list, []byte("10.0.0.0/8\n2001:db8::/32"), by)
	if err != nil || len(w.told) != 0 {
		t.Fatal(err, w.told)
	}
	for i, text := range []string{"0.0.0.0/0", "2000::/3", "10.0.0.0/8\n11.0.0.0/8"} {
		change := finding.ListChange{Text: []byte(text)}
		by.Actor = text
		if err := w.store.UpdateList(t.Context(), w.grant, "guardduty:UpdateIPSet", account, id, finding.KindTrusted, l, change, by); err != nil || len(w.told) != i+1 {
			t.Fatal(text, err, w.told)
		}
	}
	w.open()
	trusted := w.store.Watches()[account].Trusted
	for address, want := range map[string]bool{"10.1.2.3": true, "11.255.255.255": true, "12.0.0.0": false, "2001:db8::1": false} {
		if trusted.Contains(netip.MustParseAddr(address)) != want {
			t.Errorf("after a restart, %s is trusted: %v", address, !want)
		}
	}
}

func TestClean(t *testing.T) {
	if got := finding.Clean("a<!channel>\n\x1b[1m`\"é\\&"); got != "a?!channel???[1m??????" {
		t.Errorf("%q", got)
	}
	if got := finding.Clean(strings.Repeat("x", 1<<20)); len(got) > 210 {
		t.Error(len(got))
	}
}

func BenchmarkTable(b *testing.B) {
	var text strings.Builder
	for i := range 250_000 {
		fmt.Fprintf(&text, "%d.%d.%d.%d\n", 1+i>>16&0xff, i>>8&0xff, i&0xff, i%7)
	}
	table, err := finding.ParseTable([]byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("3.4.5.6")
	b.ReportAllocs()
	for b.Loop() {
		table.Contains(a)
	}
}

// TestSelectedByThreatList: a finding has the names of the lists that its address stands on; others have none.
func TestSelectedByThreatList(t *testing.T) {
	w := newWorld(t)
	id := w.detector()
	w.see("a")
	s := sighting("b")
	s.Evidence = &finding.Evidence{ThreatIntelligenceDetails: []finding.Threat{{ThreatListName: "bad.txt"}}}
	if err := w.store.Report(t.Context(), nil, s); err != nil {
		t.Fatal(err)
	}
	const attribute = "service.additionalInfo.threatListName"
	for _, c := range []struct {
		criterion finding.Criterion
		want      int
	}{
		{finding.Criterion{Eq: []string{"bad.txt"}}, 1},
		{finding.Criterion{Eq: []string{"another.txt"}}, 0},
		{finding.Criterion{Neq: []string{"bad.txt"}}, 1},
		{finding.Criterion{Matches: []string{"*"}}, 1},
	} {
		found, err := w.store.Find(w.grant, "guardduty:ListFindings", account, id, finding.Criteria{attribute: c.criterion}, finding.Order{Attribute: "updatedAt"})
		if err != nil || len(found) != c.want {
			t.Errorf("%+v: %d findings, want %d (%v)", c.criterion, len(found), c.want, err)
		}
	}
}
