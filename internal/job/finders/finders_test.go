package finders

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

const account = "111122223333"

// source has buckets as package object stores them.
type source struct {
	posture.Source
	buckets map[string][]byte
	block   posture.Block
}

func (s *source) IDs(context.Context, string, string) (ids []string, err error) {
	for name := range s.buckets {
		ids = append(ids, name)
	}
	return ids, nil
}

func (s *source) Resource(_ context.Context, _, _, id string) (*posture.Resource, error) {
	if s.buckets[id] == nil {
		return nil, nil
	}
	return posture.BucketFrom(s.buckets[id])
}

func (s *source) Block(string) posture.Block { return s.block }

func (s *source) Zone(account string, _ bool, _, _ []string) policy.Zone {
	return policy.Zone{Accounts: []string{account}}
}

type world struct {
	t      testing.TB
	meta   engine.Meta
	source *source
	store  *finding.Store
	finder *Finder
	grant  authz.Grant
	id     string
	now    time.Time
	empty  bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, meta: memory.NewMeta(), source: &source{buckets: map[string][]byte{}}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	guard := authz.New(authz.Config{Recorder: authztest.Forget{}})
	var err error
	if w.grant, err = guard.System(t.Context(), "test", authz.Demand{Action: "guardduty:*", Resource: authz.Resource{ARN: "*"}}); err != nil {
		t.Fatal(err)
	}
	w.store, err = finding.Open(t.Context(), finding.Config{
		Meta: w.meta, Region: "us-east-1", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
		Publish: func(context.Context, *engine.Batch, finding.Event) (func(), error) { return func() {}, nil },
		Threats: map[string]*finding.Table{"server.txt": table(t, "192.0.2.0/24")},
	})
	if err != nil {
		t.Fatal(err)
	}
	on := true
	if w.id, err = w.store.CreateDetector(t.Context(), w.grant, account, finding.Settings{Enabled: &on}, nil); err != nil {
		t.Fatal(err)
	}
	w.open()
	return w
}

func table(t testing.TB, text string) *finding.Table {
	t.Helper()
	list, err := finding.ParseTable([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// open makes a finder that remembers what the one before stored.
func (w *world) open() {
	w.t.Helper()
	var err error
	w.finder, err = New(w.t.Context(), Config{
		Meta: w.meta, Findings: w.store, Source: w.source, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
		Bucket: func(ctx context.Context, name string) (*posture.Resource, error) {
			return w.source.Resource(ctx, account, posture.TypeBucket, name)
		},
		Empty: func(context.Context, string) bool { return w.empty },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func bucket(settings map[string]string, tags ...string) []byte {
	raw := map[string][]byte{}
	for name, value := range settings {
		raw[name] = []byte(value)
	}
	type tag struct{ Key, Value string }
	var list []tag
	for i := 0; i+1 < len(tags); i += 2 {
		list = append(list, tag{tags[i], tags[i+1]})
	}
	b, err := json.Marshal(map[string]any{
		"Name": "b", "Owner": map[string]string{"Account": account, "Canonical": strings.Repeat("a", 64)}, "Settings": raw, "Tags": list,
	})
	if err != nil {
		panic(err)
	}
	return b
}

const (
	open      = `{"Deleted":true}`
	everybody = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	signed    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringNotEquals":{"aws:PrincipalType":"Anonymous"}}}]}`
	other     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	toAll     = `{"Format":1,"Grants":[{"URI":"http://acs.amazonaws.com/groups/global/AllUsers","P":"READ"}]}`
	toSigned  = `{"Format":1,"Grants":[{"URI":"http://acs.amazonaws.com/groups/global/AuthenticatedUsers","P":"READ"}]}`
)

type settings = map[string]string

// TestChanges: each finder of changes fires, and stays silent where nothing was opened or switched off.
func TestChanges(t *testing.T) {
	closed := bucket(nil)
	opened := bucket(settings{"publicAccessBlock": open})
	for _, c := range []struct {
		name          string
		before, after []byte
		empty         bool
		want          []string
		severity      float64
	}{
		{name: "a new bucket", after: closed},
		{name: "a tag", before: closed, after: bucket(nil, "a", "b")},
		{name: "block off", before: closed, after: opened, want: []string{finding.BucketBlockDisabled}, severity: 2},
		{name: "block on", before: opened, after: closed},
		{name: "policy for everybody", before: opened, after: bucket(settings{"publicAccessBlock": open, "policy": everybody}),
			want: []string{finding.BucketAnonymousAccess}, severity: 8},
		{name: "and it is empty", before: opened, after: bucket(settings{"publicAccessBlock": open, "policy": everybody}), empty: true,
			want: []string{finding.BucketAnonymousAccess}, severity: 7},
		{name: "and it is confidential", before: opened, after: bucket(settings{"publicAccessBlock": open, "policy": everybody}, "classification", "Confidential"),
			want: []string{finding.BucketAnonymousAccess}, severity: 9},
		{name: "policy for everybody with an account", before: opened, after: bucket(settings{"publicAccessBlock": open, "policy": signed}),
			want: []string{finding.BucketPublicAccess}, severity: 8},
		{name: "policy for another account", before: opened, after: bucket(settings{"publicAccessBlock": open, "policy": other})},
		{name: "policy that is blocked", before: closed, after: bucket(settings{"policy": everybody})},
		{name: "it was open before", before: bucket(settings{"publicAccessBlock": open, "policy": everybody}),
			after: bucket(settings{"publicAccessBlock": open, "policy": everybody, "logging": "x"})},
		{name: "list for everybody", before: opened, after: bucket(settings{"publicAccessBlock": open, "ownershipControls": "ObjectWriter", "acl": toAll}),
			want: []string{finding.BucketAnonymousAccess}, severity: 8},
		{name: "list for everybody with an account", before: opened, after: bucket(settings{"publicAccessBlock": open, "ownershipControls": "ObjectWriter", "acl": toSigned}),
			want: []string{finding.BucketPublicAccess}, severity: 8},
		{name: "list that means nothing", before: opened, after: bucket(settings{"publicAccessBlock": open, "acl": toAll})},
		{name: "logging off", before: bucket(settings{"logging": "x"}), after: closed, want: []string{finding.AccessLoggingDisabled}, severity: 2},
		{name: "logging on", before: closed, after: bucket(settings{"logging": "x"})},
	} {
		w := newWorld(t)
		w.empty = c.empty
		e := &feed.Entry{Kind: feed.Bucket, Operation: "PutBucketPolicy", Account: account, Resource: "b", Before: c.before, After: c.after, Actor: alice()}
		seen, err := w.finder.change(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, s := range seen {
			types = append(types, s.Type)
		}
		if !slices.Equal(types, c.want) || len(seen) > 0 && seen[0].Severity != c.severity {
			t.Errorf("%s: %v %v, want %v %v", c.name, types, seen, c.want, c.severity)
		}
	}
}

func block(on bool) []byte {
	text := fmt.Sprintf(`{"BlockPublicACLs":%[1]v,"IgnorePublicACLs":%[1]v,"BlockPublicPolicy":%[1]v,"RestrictPublicBuckets":%[1]v}`, on)
	raw, err := json.Marshal(map[string]any{"Settings": map[string][]byte{"publicAccessBlock": []byte(text)}})
	if err != nil {
		panic(err)
	}
	return raw
}

// TestAccountBlock: taking it off is found, and so is what that opens.
func TestAccountBlock(t *testing.T) {
	w := newWorld(t)
	w.source.buckets["b"] = bucket(settings{"publicAccessBlock": open, "policy": everybody})
	for _, c := range []struct {
		before, after []byte
		want          int
	}{{block(true), block(false), 2}, {block(true), []byte(`{}`), 2}, {block(false), block(true), 0}, {nil, block(true), 0}, {nil, block(false), 0}} {
		seen, err := w.finder.change(t.Context(), &feed.Entry{Kind: feed.Account, Account: account, Resource: account, Before: c.before, After: c.after})
		if err != nil || len(seen) != c.want {
			t.Errorf("%s → %s: %v %v", c.before, c.after, seen, err)
		}
	}
}

func alice() policy.Principal {
	return policy.Principal{Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::" + account + ":user/alice", Name: "alice", UserID: "AIDAALICE", UniqueID: "AIDAALICE"}
}

func (w *world) event(operation string) *audit.Event {
	return &audit.Event{
		Time: w.now, Service: "s3", Operation: operation, Class: audit.Data, ReadOnly: strings.HasPrefix(operation, "Get") || strings.HasPrefix(operation, "List"),
		Principal: alice(), AccessKey: "AKIAALICE", Peer: netip.MustParseAddr("10.0.0.1"), Bucket: "b", Key: "k", Status: 200, UserAgent: "x",
		Decisions: []audit.Decision{{Action: "s3:" + operation, Resource: "arn:aws:s3:::b/k", Account: account, Allowed: true}},
	}
}

// note notes an event n times and tells the types of what was found, once each.
func (w *world) note(n int, ev *audit.Event) (types []string) {
	w.t.Helper()
	for range n {
		w.finder.Note(ev)
	}
	for {
		select {
		case a := <-w.finder.alarms:
			seen, err := w.finder.judge(w.t.Context(), &a)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, s := range seen {
				if !slices.Contains(types, s.Type) {
					types = append(types, s.Type)
				}
			}
			if err := w.store.Report(w.t.Context(), nil, seen...); err != nil {
				w.t.Fatal(err)
			}
		default:
			return types
		}
	}
}

// TestRequests: each finder of requests fires, and stays silent where it must.
func TestRequests(t *testing.T) {
	stranger := func(e *audit.Event) { e.Principal, e.AccessKey = policy.Principal{Type: policy.Anonymous}, "" }
	refused := func(e *audit.Event) {
		e.Status, e.ErrorCode, e.Decisions[0].Allowed = 403, "AccessDenied", false
	}
	from := func(ip string) func(*audit.Event) {
		return func(e *audit.Event) { e.Peer = netip.MustParseAddr(ip) }
	}
	many := func(e *audit.Event) {
		for range 600 {
			e.Decisions = append(e.Decisions, audit.Decision{Action: "s3:DeleteObject", Allowed: true})
		}
	}
	for _, c := range []struct {
		name, operation string
		n               int
		change          []func(*audit.Event)
		bucket          []byte
		want            []string
	}{
		{name: "some reads", operation: "GetObject", n: 999},
		{name: "many reads", operation: "GetObject", n: 1000, want: []string{finding.MassRead}},
		{name: "many refused reads", operation: "GetObject", n: 1000, change: []func(*audit.Event){refused}, want: []string{finding.DeniedS3}},
		{name: "many reads by nobody", operation: "GetObject", n: 2000, change: []func(*audit.Event){stranger}},
		{name: "many heads", operation: "HeadObject", n: 5000},
		{name: "much read", operation: "GetObject", n: 17, change: []func(*audit.Event){func(e *audit.Event) { e.BytesOut = 1 << 30 }}, want: []string{finding.MassRead}},
		{name: "some deletions", operation: "DeleteObject", n: 499},
		{name: "many deletions", operation: "DeleteObject", n: 500, want: []string{finding.MassDelete}},
		{name: "many deletions in one request", operation: "DeleteObjects", n: 1, change: []func(*audit.Event){many}, want: []string{finding.MassDelete}},
		{name: "some refusals", operation: "GetObject", n: 24, change: []func(*audit.Event){refused}},
		{name: "refusals", operation: "ListObjectsV2", n: 25, change: []func(*audit.Event){refused}, want: []string{finding.DeniedS3}},
		{name: "refusals of IAM", operation: "ListUsers", n: 25, change: []func(*audit.Event){refused, func(e *audit.Event) { e.Service = "iam" }}, want: []string{finding.DeniedIAM}},
		{name: "a read from a listed address", operation: "GetObject", n: 2, change: []func(*audit.Event){from("192.0.2.7")}, want: []string{finding.ExfiltrationListed}},
		{name: "a write from a listed address", operation: "PutObject", n: 1, change: []func(*audit.Event){from("::ffff:192.0.2.7")}, want: []string{finding.ImpactListed}},
		{name: "a listing from a listed address", operation: "ListObjectsV2", n: 1, change: []func(*audit.Event){from("192.0.2.7"), stranger}, want: []string{finding.DiscoveryListed}},
		{name: "IAM from a listed address", operation: "ListUsers", n: 1, change: []func(*audit.Event){from("192.0.2.7"), func(e *audit.Event) { e.Service = "iam" }}, want: []string{finding.IAMListed}},
		{name: "a read from elsewhere", operation: "GetObject", n: 1, change: []func(*audit.Event){from("192.0.3.7")}},
		{name: "a stranger reads", operation: "GetObject", n: 1, change: []func(*audit.Event){stranger}, bucket: bucket(nil, "classification", "internal")},
		{name: "a stranger reads what is confidential", operation: "GetObject", n: 3, change: []func(*audit.Event){stranger}, bucket: bucket(nil, "Classification", "confidential"),
			want: []string{finding.ConfidentialReadAnonymous}},
		{name: "a stranger is refused what is confidential", operation: "GetObject", n: 3, change: []func(*audit.Event){stranger, refused}, bucket: bucket(nil, "classification", "confidential")},
		{name: "Kura itself", operation: "GetObject", n: 5000, change: []func(*audit.Event){func(e *audit.Event) { e.Peer = netip.Addr{} }}},
		{name: "another account's", operation: "GetObject", n: 5000, change: []func(*audit.Event){func(e *audit.Event) {
			e.Principal.Account, e.Decisions[0].Account = "444455556666", "444455556666"
		}}},
	} {
		w := newWorld(t)
		w.source.buckets["b"] = c.bucket
		e := w.event(c.operation)
		for _, change := range c.change {
			change(e)
		}
		if got := w.note(c.n, e); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestPast: what a principal does every day is nothing unusual, also after a restart; four times that is.
func TestPast(t *testing.T) {
	w := newWorld(t)
	day := func(n int) []string {
		w.now = w.now.Add(24 * time.Hour)
		found := w.note(n, w.event("GetObject"))
		w.now = w.now.Add(time.Hour)
		w.note(1, w.event("GetObject"))
		return found
	}
	if got := day(4000); len(got) != 1 {
		t.Fatal("the first time was not unusual", got)
	}
	if got := day(4000); len(got) != 0 {
		t.Fatal("the second time was unusual", got)
	}
	w.finder.rememberLast()
	w.open()
	if got := day(4000); len(got) != 0 {
		t.Fatal("the past was forgotten", got)
	}
	if got := day(20000); len(got) != 1 {
		t.Fatal("five times as much was not unusual", got)
	}
	w.now = w.now.Add(300 * 24 * time.Hour)
	w.open()
	if got := day(1200); len(got) != 1 {
		t.Fatal("what was long ago is remembered", got)
	}
}

// TestWindow: what is spread over time is not a burst.
func TestWindow(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		if got := w.note(400, w.event("GetObject")); len(got) != 0 {
			t.Fatal(got)
		}
		w.now = w.now.Add(6 * time.Minute)
	}
}

// TestNetworks: an access key from four networks within an hour is shared.
func TestNetworks(t *testing.T) {
	w := newWorld(t)
	use := func(ip string) []string {
		e := w.event("HeadObject")
		e.Peer = netip.MustParseAddr(ip)
		w.now = w.now.Add(time.Minute)
		return w.note(1, e)
	}
	for _, ip := range []string{"10.0.0.1", "10.0.0.2", "10.0.1.1", "2001:db8::1", "2001:db8::2", "10.0.0.1"} {
		if got := use(ip); len(got) != 0 {
			t.Fatal(ip, got)
		}
	}
	if got := use("10.0.9.1"); !slices.Equal(got, []string{finding.SharedCredential}) {
		t.Fatal(got)
	}
	if got := use("10.0.10.1"); len(got) != 0 {
		t.Fatal("told twice", got)
	}
	w.now = w.now.Add(2 * time.Hour)
	if got := use("10.0.11.1"); len(got) != 0 {
		t.Fatal("the networks of long ago count", got)
	}
}

// TestTrusted: nothing is held against a trusted address.
func TestTrusted(t *testing.T) {
	w := newWorld(t)
	if _, err := w.store.CreateList(t.Context(), w.grant, "guardduty:CreateIPSet", account, w.id,
		finding.List{Kind: finding.KindTrusted, Name: "l", Format: "TXT", Location: "s3://b/k", Active: true}, []byte("10.0.0.0/9\n192.0.2.1\n"), &finding.Sighting{Account: account}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.CreateList(t.Context(), w.grant, "guardduty:CreateThreatIntelSet", account, w.id,
		finding.List{Kind: finding.KindThreat, Name: "l", Format: "TXT", Location: "s3://b/k", Active: true}, []byte("203.0.113.9\n"), &finding.Sighting{Account: account}); err != nil {
		t.Fatal(err)
	}
	if got := w.note(5000, w.event("GetObject")); len(got) != 0 {
		t.Error(got)
	}
	e := w.event("PutObject")
	e.Peer = netip.MustParseAddr("192.0.2.1")
	if got := w.note(1, e); len(got) != 0 {
		t.Error(got)
	}
	e.Peer = netip.MustParseAddr("203.0.113.9")
	if got := w.note(1, e); !slices.Equal(got, []string{finding.UnauthorizedListedCustom}) {
		t.Error(got)
	}
}

// TestOff: without S3 data events only management calls are looked at, and none when the detector is off.
func TestOff(t *testing.T) {
	w := newWorld(t)
	off := false
	if err := w.store.UpdateDetector(t.Context(), w.grant, account, w.id, finding.Settings{S3: &off}, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.note(5000, w.event("GetObject")); len(got) != 0 {
		t.Error(got)
	}
	e := w.event("ListUsers")
	e.Class, e.Service, e.Status, e.ErrorCode = audit.Management, "iam", 403, "AccessDenied"
	if got := w.note(30, e); !slices.Equal(got, []string{finding.DeniedIAM}) {
		t.Error(got)
	}
	if err := w.store.UpdateDetector(t.Context(), w.grant, account, w.id, finding.Settings{Enabled: &off}, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.note(5000, e); len(got) != 0 {
		t.Error(got)
	}
}

// TestHostile: what a stranger chooses comes into a finding bounded and as text only.
func TestHostile(t *testing.T) {
	w := newWorld(t)
	w.source.buckets["b"] = bucket(nil, "classification", "confidential")
	e := w.event("GetObject")
	e.Principal, e.AccessKey = policy.Principal{Type: policy.Anonymous}, ""
	e.Key = "<!channel>\n" + strings.Repeat("\x1b[2J", 1000)
	e.UserAgent = strings.Repeat("<script>", 10000)
	w.note(1, e)
	list, err := w.store.Find(w.grant, "guardduty:ListFindings", account, w.id, nil, finding.Order{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	raw, err := json.Marshal(list[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 4096 || strings.ContainsAny(list[0].Description+list[0].Service.Action.AWSAPICallAction.UserAgent, "<>\n\x1b") {
		t.Errorf("%d %s", len(raw), raw)
	}
}

// TestBounded: however many principals and keys there are, they take no more room than so many.
func TestBounded(t *testing.T) {
	w := newWorld(t)
	e := w.event("HeadObject")
	for i := range 200_000 {
		e.Principal.UniqueID = fmt.Sprint("AIDA", i)
		e.AccessKey = fmt.Sprint("AKIA", i)
		w.finder.Note(e)
	}
	actors, keys := 0, 0
	for i := range w.finder.notes.shards {
		actors += len(w.finder.notes.shards[i].actors)
		keys += len(w.finder.notes.shards[i].keys)
	}
	if actors > shards*perShard || keys > shards*perShard || actors < shards*perShard/2 {
		t.Fatal(actors, keys)
	}
}

// TestCalls: root's use and the end of a trail are found in the record.
func TestCalls(t *testing.T) {
	root, user := "arn:aws:iam::"+account+":root", alice().ARN
	for _, c := range []struct {
		user, source, name, code string
		want                     []string
	}{
		{root, "iam.amazonaws.com", "ListUsers", "", []string{finding.RootUsed}},
		{user, "iam.amazonaws.com", "ListUsers", "", nil},
		{"arn:aws:iam::444455556666:root", "s3.amazonaws.com", "GetBucketPolicy", "", nil}, // their root, our bucket
		{user, "cloudtrail.amazonaws.com", "StopLogging", "", []string{finding.TrailDisabled}},
		{user, "cloudtrail.amazonaws.com", "StopLogging", "AccessDenied", nil},
		{user, "cloudtrail.amazonaws.com", "StartLogging", "", nil},
		{root, "cloudtrail.amazonaws.com", "DeleteTrail", "", []string{finding.RootUsed, finding.TrailDisabled}},
	} {
		var types []string
		for _, s := range called(&audit.Entry{Note: audit.Note{Account: account, User: c.user, Source: c.source, Name: c.name, Error: c.code, ARN: "arn:aws:cloudtrail:us-east-1:1:trail/t"}}) {
			types = append(types, s.Type)
		}
		if !slices.Equal(types, c.want) {
			t.Errorf("%v: %v", c, types)
		}
	}
}

// TestNoAllocation: a note allocates nothing.
func TestNoAllocation(t *testing.T) {
	w := newWorld(t)
	e := w.event("HeadObject")
	w.finder.Note(e)
	if n := testing.AllocsPerRun(1000, func() { w.finder.Note(e) }); n != 0 {
		t.Error(n)
	}
}

func BenchmarkNote(b *testing.B) {
	w := newWorld(b)
	e := w.event("GetObject")
	e.Operation = "HeadObject"
	b.ReportAllocs()
	for b.Loop() {
		w.finder.Note(e)
	}
}

func BenchmarkNoteParallel(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		e := w.event("HeadObject")
		for p.Next() {
			w.finder.Note(e)
		}
	})
}
