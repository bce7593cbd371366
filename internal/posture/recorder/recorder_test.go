package recorder

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
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
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/internal/posture/rule"
	"github.com/kura-s3/kura/policy"
)

const account = "111122223333"

// world is a Source of buckets, and the feed that tells of their changes.
type world struct {
	mu      sync.Mutex
	buckets map[string][]byte
	block   posture.Block
	meta    engine.Meta
	feed    *feed.Feed
	events  []posture.Event
	now     time.Time
}

func (w *world) Accounts() []string  { return []string{account} }
func (w *world) Has(typ string) bool { return typ != posture.TypeTrail }
func (w *world) IDs(_ context.Context, _, typ string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch typ {
	case posture.TypeBucket:
		return slices.Sorted(maps.Keys(w.buckets)), nil
	case posture.TypeBlock:
		return []string{account}, nil
	}
	return nil, nil
}
func (w *world) Resource(_ context.Context, _, typ, id string) (*posture.Resource, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if typ == posture.TypeBlock {
		return &posture.Resource{Type: typ, ID: id, Account: account, Block: &w.block}, nil
	}
	if raw := w.buckets[id]; raw != nil && typ == posture.TypeBucket {
		return posture.BucketFrom(raw)
	}
	return nil, nil
}
func (w *world) Block(string) posture.Block { return w.block }
func (w *world) Root(string) *posture.Entity {
	return &posture.Entity{Kind: posture.KindRoot, ID: account, Keys: []posture.AccessKey{{ID: "AKIAROOT"}}}
}
func (w *world) LastUse(context.Context, string) (time.Time, error) { return time.Time{}, nil }
func (w *world) Zone(account string, _ bool, _, _ []string) policy.Zone {
	return policy.Zone{Accounts: []string{account}}
}

func (w *world) publish(_ context.Context, b *engine.Batch, e posture.Event) (func(), error) {
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}, nil
}

// told are the compliance changes since the last call, as "rule resource COMPLIANCE".
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, e := range w.events {
		if e.DetailType != "Config Rules Compliance Change" {
			continue
		}
		raw, err := json.Marshal(e.Detail)
		if err != nil {
			return []string{err.Error()}
		}
		var d struct {
			ConfigRuleName, ResourceID string
			NewEvaluationResult        struct{ ComplianceType, Annotation string }
			OldEvaluationResult        *struct{ ComplianceType string }
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			return []string{err.Error()}
		}
		was := ""
		if d.OldEvaluationResult != nil {
			was = d.OldEvaluationResult.ComplianceType + ">"
		}
		out = append(out, d.ConfigRuleName+" "+d.ResourceID+" "+was+d.NewEvaluationResult.ComplianceType)
	}
	w.events = nil
	slices.Sort(out)
	return out
}

const (
	public  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/*"}]}`
	allOpen = `{"BlockPublicACLs":false,"IgnorePublicACLs":false,"BlockPublicPolicy":false,"RestrictPublicBuckets":false}`
)

func bucket(name string, open bool) []byte {
	settings := map[string][]byte{}
	if open {
		settings["policy"], settings["publicAccessBlock"] = fmt.Appendf(nil, public, name), []byte(allOpen)
	}
	raw, err := json.Marshal(map[string]any{"Name": name, "Owner": map[string]string{"Account": account, "Canonical": strings.Repeat("a", 64)}, "Settings": settings})
	if err != nil {
		panic(err)
	}
	return raw
}

// change makes a change and tells the feed of it. A nil after deletes.
func (w *world) change(t testing.TB, name string, after []byte) {
	t.Helper()
	w.mu.Lock()
	before := w.buckets[name]
	w.buckets[name] = after
	if after == nil {
		delete(w.buckets, name)
	}
	w.mu.Unlock()
	var b engine.Batch
	done, err := w.feed.Add(&b, feed.Entry{Kind: feed.Bucket, Account: account, Resource: name, Before: before, After: after, Gone: after == nil, Operation: "Test",
		Actor: policy.Principal{ARN: "arn:aws:iam::111122223333:user/eve"}, RequestID: "R1"})
	if err == nil {
		err = w.meta.Commit(t.Context(), &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	done()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{buckets: map[string][]byte{}, meta: memory.NewMeta(), now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	var err error
	if w.feed, err = feed.Open(t.Context(), w.meta, Consumer); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Meta: w.meta, Source: w, Region: "us-east-1", Publish: w.publish, Deliver: anywhere{}, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type anywhere struct{}

func (anywhere) Exists(string) bool { return true }
func (anywhere) Put(context.Context, *Channel, string, string, []byte) error {
	return nil
}

// all is a Grant of everything.
func all(t testing.TB) authz.Grant { return authztest.Grant(t, "*", "*") }

// start gives the account a running recorder and rules.
func start(t testing.TB, s *Store, identifiers ...string) {
	t.Helper()
	ctx := t.Context()
	steps := []error{
		s.PutRecorder(ctx, all(t), account, Recorder{RoleARN: "arn:aws:iam::111122223333:role/config", Group: Group{AllSupported: true}}),
		s.PutChannel(ctx, all(t), account, Channel{Bucket: "logs"}),
		s.StartRecorder(ctx, all(t), account, "default"),
	}
	for _, id := range identifiers {
		steps = append(steps, s.PutRule(ctx, all(t), account, Rule{Name: rule.All[id].Name, Identifier: id}))
	}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.workOnce(ctx); err != nil {
		t.Fatal(err)
	}
}

// catchUp judges what the feed has.
func (w *world) catchUp(t testing.TB, s *Store) {
	t.Helper()
	for w.feed.Behind(Consumer) > 0 {
		entries, err := w.feed.Next(t.Context(), Consumer, most)
		if err == nil {
			err = s.take(t.Context(), w.feed, entries)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

const publicRead = "S3_BUCKET_PUBLIC_READ_PROHIBITED"

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if !slices.Equal(got, lines) {
		t.Errorf("told %q, want %q", got, lines)
	}
}

// TestAChangeIsJudgedOnce: each change of compliance is told once, whatever is read again after a crash.
func TestAChangeIsJudgedOnce(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.change(t, "b", bucket("b", false))
	start(t, s, publicRead)
	w.catchUp(t, s)
	want(t, w.told(), "s3-bucket-public-read-prohibited b COMPLIANT")
	w.change(t, "b", bucket("b", true))
	w.catchUp(t, s)
	want(t, w.told(), "s3-bucket-public-read-prohibited b COMPLIANT>NON_COMPLIANT")
	details, err := s.RuleDetails(all(t), "config:GetComplianceDetailsByConfigRule", account, "s3-bucket-public-read-prohibited")
	if err != nil || len(details) != 1 || details[0].Annotation != "The S3 bucket policy allows public read access." {
		t.Errorf("%+v %v", details, err)
	}

	// A crash before the commit: nothing was told, and after the start it is told, once.
	w.change(t, "b", bucket("b", false))
	s = w.open(t)
	if err := s.workOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, w.told())
	w.catchUp(t, s)
	want(t, w.told(), "s3-bucket-public-read-prohibited b NON_COMPLIANT>COMPLIANT")

	// What went is not compliant any more, it is gone.
	w.change(t, "b", nil)
	w.catchUp(t, s)
	want(t, w.told(), "s3-bucket-public-read-prohibited b COMPLIANT>NOT_APPLICABLE")
	if c, err := s.Compliance(all(t), "config:DescribeComplianceByConfigRule", account, nil); err != nil || c[0].Compliance != rule.InsufficientData {
		t.Errorf("%+v %v", c, err)
	}
}

// TestHistory: who, when, before and after.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	start(t, s)
	w.change(t, "b", bucket("b", false))
	w.change(t, "b", bucket("b", true))
	w.change(t, "b", bucket("b", true)) // nothing changed
	w.change(t, "b", nil)
	w.catchUp(t, s)
	for _, forward := range []bool{false, true} {
		var statuses []string
		token := ""
		for {
			items, next, err := s.History(t.Context(), all(t), account, HistoryInput{Type: posture.TypeBucket, ID: "b", Limit: 2, Token: token, Forward: forward})
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				statuses = append(statuses, it.Status)
				if it.Change == nil || !strings.HasSuffix(it.Change.Principal, "user/eve") || it.Change.RequestID != "R1" {
					t.Errorf("by nobody: %+v", it.Change)
				}
			}
			if token = next; token == "" {
				break
			}
		}
		wanted := []string{statusDeleted, statusOK, statusDiscovered}
		if forward {
			slices.Reverse(wanted)
		}
		want(t, statuses, wanted...)
	}
	if _, _, err := s.History(t.Context(), all(t), account, HistoryInput{Type: posture.TypeBucket, ID: "never", Limit: 1}); !fault.Is(err, NotDiscovered) {
		t.Errorf("%v", err)
	}
}

// TestPeriodsAndRequests: rules come round, are asked for, and not too often.
func TestPeriodsAndRequests(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	w.change(t, "b", bucket("b", false))
	start(t, s, publicRead, "IAM_ROOT_ACCESS_KEY_CHECK")
	w.catchUp(t, s)
	want(t, w.told(), "iam-root-access-key-check 111122223333 NON_COMPLIANT", "s3-bucket-public-read-prohibited b COMPLIANT")

	w.buckets["b"] = bucket("b", true) // drift that nobody told of
	for _, step := range []struct {
		after time.Duration
		told  []string
	}{{time.Hour, nil}, {24 * time.Hour, []string{"s3-bucket-public-read-prohibited b COMPLIANT>NON_COMPLIANT"}}} {
		w.now = w.now.Add(step.after)
		if err := s.workOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, w.told(), step.told...)
	}
	w.buckets["b"] = bucket("b", false)
	w.now = w.now.Add(time.Second)
	if err := s.StartEvaluation(t.Context(), all(t), account, []string{"s3-bucket-public-read-prohibited"}); err != nil {
		t.Fatal(err)
	}
	if err := s.StartEvaluation(t.Context(), all(t), account, nil); !fault.Is(err, LimitExceeded) {
		t.Errorf("asked twice: %v", err)
	}
	s = w.open(t) // the request is not lost with the process
	if err := s.workOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, w.told(), "s3-bucket-public-read-prohibited b NON_COMPLIANT>COMPLIANT")
}

// TestRefused: what AWS refuses, and what this Kura does not have.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	ctx := t.Context()
	if err := s.PutRule(ctx, all(t), account, Rule{Name: "r", Identifier: publicRead}); !fault.Is(err, NoRecorder) {
		t.Errorf("without a recorder: %v", err)
	}
	start(t, s)
	for name, r := range map[string]Rule{
		"unknown":           {Name: "r", Identifier: "NO_SUCH_RULE"},
		"without a source":  {Name: "r", Identifier: "CLOUD_TRAIL_ENABLED"},
		"frequency":         {Name: "r", Identifier: publicRead, Frequency: "Two_Hours"},
		"frequency for all": {Name: "r", Identifier: "S3_BUCKET_VERSIONING_ENABLED", Frequency: "One_Hour"},
		"parameter":         {Name: "r", Identifier: publicRead, Input: `{"x":"y"}`},
		"no object":         {Name: "r", Identifier: publicRead, Input: `[1]`},
		"scope":             {Name: "r", Identifier: publicRead, Scope: &Scope{Types: []string{posture.TypeUser}}},
		"no name":           {Identifier: publicRead},
	} {
		if err := s.PutRule(ctx, all(t), account, r); !fault.Is(err, InvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.PutRule(ctx, authz.Grant{}, account, Rule{Name: "r", Identifier: publicRead}); err == nil {
		t.Error("the zero Grant made a rule")
	}
}

func TestPacks(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	ctx := t.Context()
	start(t, s)
	for _, text := range []string{"", "a: &x b\nc: *x", "Resources: {A: {Type: AWS::S3::Bucket}}", "{", "Resources:\n  A:\n    Type: AWS::Config::ConfigRule\n    Properties: {Source: {Owner: AWS, SourceIdentifier: {'Fn::GetAtt': [a, b]}}}"} {
		if _, err := s.PutPack(ctx, all(t), account, Pack{Name: "p", Template: text}); !fault.Is(err, InvalidTemplate) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := s.PutPack(ctx, all(t), account, Pack{Name: "p", Document: "AWSConformancePacks-OperationalBestPracticesforAmazonS3", Input: map[string]string{"MaxAccessKeyAge": "30"}}); err != nil {
		t.Fatal(err)
	}
	found, err := s.PackCompliance(all(t), "config:DescribeConformancePackCompliance", account, []string{"p"})
	if err != nil || len(found[0].Rules) != 9 {
		t.Fatalf("%+v %v", found, err)
	}
	conditional := `
Parameters: {Age: {Type: String, Default: ""}}
Conditions: {given: !Not [!Equals ["", !Ref Age]]}
Resources:
  K:
    Type: AWS::Config::ConfigRule
    Properties:
      ConfigRuleName: keys
      InputParameters: {maxAccessKeyAge: !If [given, !Ref Age, !Ref AWS::NoValue]}
      Source: {Owner: AWS, SourceIdentifier: ACCESS_KEYS_ROTATED}`
	for age, parameter := range map[string]string{"": "90", "7": "7"} {
		if _, err := s.PutPack(ctx, all(t), account, Pack{Name: "p", Template: conditional, Input: map[string]string{"Age": age}}); err != nil {
			t.Fatal(err)
		}
		rules, err := s.Rules(all(t), "config:DescribeConfigRules", account, nil)
		if err != nil || len(rules) != 1 || rules[0].Parameters["maxAccessKeyAge"] != parameter {
			t.Errorf("%q: %+v %v", age, rules, err)
		}
	}
	if err := s.DeletePack(ctx, all(t), account, "p"); err != nil {
		t.Fatal(err)
	}
	if rules, err := s.Rules(all(t), "config:DescribeConfigRules", account, nil); err != nil || len(rules) != 0 {
		t.Errorf("%d rules are left, %v", len(rules), err)
	}
}

// BenchmarkPass judges 10,000 buckets by 20 rules anew; the goal is 10 s.
func BenchmarkPass(b *testing.B) {
	w := newWorld(b)
	s := w.open(b)
	for i := range 10000 {
		name := fmt.Sprintf("bucket-%05d", i)
		w.buckets[name] = bucket(name, i%10 == 0)
	}
	start(b, s, publicRead, "S3_BUCKET_PUBLIC_WRITE_PROHIBITED", "S3_BUCKET_SSL_REQUESTS_ONLY", "S3_BUCKET_VERSIONING_ENABLED", "S3_BUCKET_ACL_PROHIBITED")
	for i := range 15 {
		if err := s.PutRule(b.Context(), all(b), account, Rule{Name: fmt.Sprintf("more-%d", i), Identifier: publicRead}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := s.pass(b.Context(), account, slices.Collect(maps.Values(s.accounts[account].rules))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChanges takes changes from the feed, with 100 rules; the goal is 1,000 a second.
func BenchmarkChanges(b *testing.B) {
	w := newWorld(b)
	s := w.open(b)
	start(b, s)
	for i := range 100 {
		if err := s.PutRule(b.Context(), all(b), account, Rule{Name: fmt.Sprintf("r-%d", i), Identifier: publicRead}); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		n++
		name := fmt.Sprintf("bucket-%03d", n%200)
		w.change(b, name, bucket(name, n/200%2 == 0))
		if n%most == 0 {
			w.catchUp(b, s)
		}
	}
	w.catchUp(b, s)
}
