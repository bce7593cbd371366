package exposure

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/feed"
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
	return posture.BucketFrom(s.buckets[id])
}

func (s *source) Block(string) posture.Block { return s.block }

func (s *source) Zone(account string, _ bool, _, _ []string) policy.Zone {
	return policy.Zone{Accounts: []string{account}}
}

// bus keeps what is published; a commit that fails takes it away.
type bus struct{ events []event.Event }

func (b *bus) Publish(_ context.Context, batch *engine.Batch, events ...event.Event) (func(), error) {
	batch.Set([]byte("published/"+time.Now().String()), []byte("x"))
	return func() { b.events = append(b.events, events...) }, nil
}

type world struct {
	t      *testing.T
	meta   engine.Meta
	feed   *feed.Feed
	source *source
	bus    *bus
	watch  *Watch
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, meta: memory.NewMeta(), source: &source{buckets: map[string][]byte{}}, bus: &bus{}}
	var err error
	if w.feed, err = feed.Open(t.Context(), w.meta, Consumer); err != nil {
		t.Fatal(err)
	}
	w.watch = New(Config{Meta: w.meta, Feed: w.feed, Source: w.source, Bus: w.bus, Name: func(string) string { return "prod <1>" }, Log: slog.New(slog.DiscardHandler)})
	return w
}

// set changes a bucket: its policy ("" for none) and whether public access is blocked.
func (w *world) set(name, policyText string, blocked bool) {
	w.t.Helper()
	settings := map[string][]byte{}
	if policyText != "" {
		settings["policy"] = []byte(policyText)
	}
	if !blocked {
		settings["publicAccessBlock"] = []byte(`{"Deleted":true}`)
	}
	raw, err := json.Marshal(map[string]any{"Name": name, "ID": 1, "Owner": map[string]string{"Account": account}, "Settings": settings})
	if err != nil {
		w.t.Fatal(err)
	}
	before := w.source.buckets[name]
	w.source.buckets[name] = raw
	w.tell(feed.Entry{Kind: feed.Bucket, Operation: "PutBucketPolicy", Account: account, Resource: name, Before: before, After: raw})
}

func (w *world) tell(e feed.Entry) {
	w.t.Helper()
	w.add(e)
	if err := w.watch.step(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// add writes an entry that nobody looks at yet.
func (w *world) add(e feed.Entry) {
	w.t.Helper()
	e.Actor, e.SourceIP = policy.Principal{Type: policy.IAMUser, ARN: "arn:aws:iam::" + account + ":user/mika"}, "198.51.100.7"
	var b engine.Batch
	done, err := w.feed.Add(&b, e)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.meta.Commit(w.t.Context(), &b); err != nil {
		w.t.Fatal(err)
	}
	done()
}

// told takes the events since the last call.
func (w *world) told() (out []detail) {
	for _, e := range w.bus.events {
		var d detail
		if err := json.Unmarshal(e.Detail, &d); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, d)
	}
	w.bus.events = nil
	return out
}

const (
	open   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	wider  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::b/*"}]}`
	shared = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	near   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}`
	own    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
)

func TestOneAlarmWhenItOpensAndOneWhenItCloses(t *testing.T) {
	w := newWorld(t)
	w.set("b", own, false)
	if got := w.told(); len(got) != 0 {
		t.Fatalf("the account itself raises the alarm: %+v", got)
	}
	w.set("b", open, false)
	got := w.told()
	if len(got) != 1 || got[0].Status != "EXPOSED" || got[0].Verdict != "public" || got[0].Bucket != "b" {
		t.Fatalf("%+v", got)
	}
	d := got[0]
	if d.Change.Actor != "arn:aws:iam::"+account+":user/mika" || d.Change.SourceIP != "198.51.100.7" || d.Change.Operation != "PutBucketPolicy" {
		t.Errorf("who and whence: %+v", d.Change)
	}
	if len(d.Access) != 1 || d.Access[0] != "Anybody can s3:GetObject on arn:aws:s3:::b/*" {
		t.Errorf("access: %q", d.Access)
	}
	if !strings.HasPrefix(d.Undo, "aws s3api put-public-access-block --bucket b ") {
		t.Errorf("undo: %s", d.Undo)
	}
	if d.Slack.Where != "prod &lt;1&gt; ("+account+")" {
		t.Errorf("Slack could be told other things: %s", d.Slack.Where)
	}
	w.set("b", open, false)
	if got := w.told(); len(got) != 0 {
		t.Errorf("told twice: %+v", got)
	}
	w.set("b", wider, false)
	if got := w.told(); len(got) != 1 || got[0].Status != "EXPOSED" {
		t.Errorf("that more is open is not told: %+v", got)
	}
	w.set("b", wider, true)
	if got := w.told(); len(got) != 1 || got[0].Status != "RESOLVED" || got[0].Slack.Title != "Resolved: bucket b is private again" {
		t.Errorf("that it is closed: %+v", got)
	}
	w.set("b", "", true)
	if got := w.told(); len(got) != 0 {
		t.Errorf("told twice: %+v", got)
	}
}

func TestSharedWithAStranger(t *testing.T) {
	w := newWorld(t)
	w.set("b", shared, true)
	got := w.told()
	if len(got) != 1 || got[0].Verdict != "shared" || got[0].Undo != "aws s3api delete-bucket-policy --bucket b" {
		t.Fatalf("%+v", got)
	}
	w.tell(feed.Entry{Kind: feed.Bucket, Operation: "DeleteBucket", Account: account, Resource: "b", Gone: true})
	if got := w.told(); len(got) != 1 || got[0].Status != "RESOLVED" {
		t.Errorf("%+v", got)
	}
}

// TestOpenToAFewAddresses: Block Public Access does not take such a policy for public, and turning it on undoes nothing.
func TestOpenToAFewAddresses(t *testing.T) {
	w := newWorld(t)
	w.set("b", near, true)
	got := w.told()
	if len(got) != 1 || got[0].Verdict != "shared" || got[0].Undo != "aws s3api delete-bucket-policy --bucket b" || got[0].Text.Title != "Bucket b is open to strangers" {
		t.Fatalf("%+v", got)
	}
	if got[0].Access[0] != "Anybody can s3:GetObject on arn:aws:s3:::b/* if IpAddress aws:SourceIp 203.0.113.0/24" {
		t.Errorf("%q", got[0].Access)
	}
}

func TestTheAccountsBlock(t *testing.T) {
	w := newWorld(t)
	w.source.block = posture.Block{Set: true, PublicAccessBlock: policy.PublicAccessBlock{RestrictPublicBuckets: true, BlockPublicPolicy: true}}
	w.set("b", open, false)
	if got := w.told(); len(got) != 0 {
		t.Fatalf("it is blocked: %+v", got)
	}
	w.source.block = posture.Block{}
	w.tell(feed.Entry{Kind: feed.Account, Operation: "DeletePublicAccessBlock", Account: account, Resource: account})
	if got := w.told(); len(got) != 1 || got[0].Verdict != "public" || !strings.HasPrefix(got[0].Undo, "aws s3control put-public-access-block --account-id "+account) {
		t.Errorf("%+v", got)
	}
	w.source.block = posture.Block{Set: true, PublicAccessBlock: policy.PublicAccessBlock{RestrictPublicBuckets: true}}
	w.tell(feed.Entry{Kind: feed.Account, Operation: "PutPublicAccessBlock", Account: account, Resource: account})
	if got := w.told(); len(got) != 1 || got[0].Status != "RESOLVED" {
		t.Errorf("%+v", got)
	}
}

// grants is a policy that lets a stranger read what the resources name, and whatever statements are added.
func grants(resources, conditions string, more ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(append([]string{`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"s3:GetObject",` +
		`"Resource":[` + resources + `],"Condition":{` + conditions + `}}`}, more...), ",") + `]}`
}

// TestWhatTheLinesDoNotShowIsToldToo: who shares a bucket already cannot share more of it in silence.
func TestWhatTheLinesDoNotShowIsToldToo(t *testing.T) {
	const some = `"arn:aws:s3:::b/a/*","arn:aws:s3:::b/b/*","arn:aws:s3:::b/c/*"`
	const deny = `{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/a/secret/*"}`
	const narrow = `"StringEquals":{"aws:UserAgent":"a","aws:Referer":"b","aws:RequestedRegion":"c"},"IpAddress":{"aws:SourceIp":"203.0.113.7/32"}`
	const wide = `"StringEquals":{"aws:UserAgent":"a","aws:Referer":"b","aws:RequestedRegion":"c"},"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}`
	for name, change := range map[string][2]string{
		"a fourth resource":   {grants(some, ""), grants(some+`,"arn:aws:s3:::b/salaries/*"`, "")},
		"a Deny that is gone": {grants(some, "", deny), grants(some, "")},
		"a fourth condition":  {grants(some, narrow), grants(some, wide)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.set("b", change[0], true)
			if got := w.told(); len(got) != 1 || got[0].Status != "EXPOSED" {
				t.Fatalf("%+v", got)
			}
			w.set("b", change[0], true)
			if got := w.told(); len(got) != 0 {
				t.Fatalf("told twice: %+v", got)
			}
			w.set("b", change[1], true)
			if got := w.told(); len(got) != 1 || got[0].Status != "EXPOSED" {
				t.Errorf("more is open, and nobody hears of it: %+v", got)
			}
			w.set("b", change[0], true)
			w.told()
			w.set("b", own, true)
			if got := w.told(); len(got) != 1 || got[0].Status != "RESOLVED" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestABlockThatIsOffForAMomentIsTold: by the time that anybody looks, it is on again.
func TestABlockThatIsOffForAMomentIsTold(t *testing.T) {
	block := func(on bool) []byte {
		setting, _ := json.Marshal(policy.PublicAccessBlock{RestrictPublicBuckets: on})
		raw, _ := json.Marshal(map[string]any{"Settings": map[string][]byte{"publicAccessBlock": setting}})
		return raw
	}
	w := newWorld(t)
	w.source.block = posture.Block{Set: true, PublicAccessBlock: policy.PublicAccessBlock{RestrictPublicBuckets: true}}
	w.set("b", open, false)
	if got := w.told(); len(got) != 0 {
		t.Fatalf("it is blocked: %+v", got)
	}
	w.add(feed.Entry{Kind: feed.Account, Operation: "DeletePublicAccessBlock", Account: account, Resource: account, Before: block(true), After: block(false)})
	w.tell(feed.Entry{Kind: feed.Account, Operation: "PutPublicAccessBlock", Account: account, Resource: account, Before: block(false), After: block(true)})
	if got := w.told(); len(got) != 2 || got[0].Status != "EXPOSED" || got[1].Status != "RESOLVED" {
		t.Errorf("%+v", got)
	}
}

// TestSlackTakesWhateverAPolicySays: what Slack refuses is not tried again, and the alarm would be lost.
func TestSlackTakesWhateverAPolicySays(t *testing.T) {
	for name, with := range map[string]string{
		"escapes": strings.Repeat("&", 2400), "more": strings.Repeat("<", 9000), "other": "a" + strings.Repeat("ä&", 2000),
		"lines": `x\n• Nobody`, "code": "```<!channel> *x*",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.set("b", grants(`"arn:aws:s3:::b/*"`, `"StringLike":{"aws:Referer":"`+with+`*"}`), true)
			got := w.told()
			if len(got) != 1 {
				t.Fatalf("%+v", got)
			}
			access := got[0].Slack.Access
			if len(access) > 2600 || strings.ContainsAny(access, "<>`\n") {
				t.Errorf("%d: %s", len(access), access)
			}
			if rest := strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(access); strings.Contains(rest, "&") {
				t.Errorf("half of an escape: %s", rest)
			}
		})
	}
}
