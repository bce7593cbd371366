package analyzer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/feed"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

const (
	account = "111122223333"
	arn     = "arn:aws:access-analyzer:us-east-1:111122223333:analyzer/a"
	open    = `{"BlockPublicACLs":false,"IgnorePublicACLs":false,"BlockPublicPolicy":false,"RestrictPublicBuckets":false}`
	shared  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	public  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
)

// world is a Source with one bucket, b.
type world struct {
	posture.Source
	policy string // "" none; "-" the bucket is gone
	block  posture.Block
	meta   engine.Meta
	feed   *feed.Feed
	events []string
}

func (w *world) raw() []byte {
	settings := map[string][]byte{"publicAccessBlock": []byte(open)}
	if w.policy != "" {
		settings["policy"] = []byte(w.policy)
	}
	raw, err := json.Marshal(map[string]any{"Name": "b", "Owner": map[string]string{"Account": account, "Canonical": strings.Repeat("a", 64)}, "Settings": settings})
	if err != nil {
		panic(err)
	}
	return raw
}

func (w *world) Accounts() []string { return []string{account} }
func (w *world) IDs(_ context.Context, _, typ string) ([]string, error) {
	if typ == posture.TypeBucket && w.policy != "-" {
		return []string{"b"}, nil
	}
	return nil, nil
}
func (w *world) Resource(_ context.Context, _, typ, id string) (*posture.Resource, error) {
	if typ != posture.TypeBucket || id != "b" || w.policy == "-" {
		return nil, nil
	}
	return posture.BucketFrom(w.raw())
}
func (w *world) Block(string) posture.Block { return w.block }
func (w *world) Zone(account string, _ bool, _, _ []string) policy.Zone {
	return policy.Zone{Accounts: []string{account}}
}

func (w *world) publish(_ context.Context, _ *engine.Batch, e posture.Event) (func(), error) {
	d := e.Detail.(map[string]any)
	return func() { w.events = append(w.events, fmt.Sprint(d["status"], " ", d["principal"])) }, nil
}

func (w *world) store(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Meta: w.meta, Source: w, Region: "us-east-1", NameOf: func(string) (string, bool) { return "", false }, Publish: w.publish, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// become changes the bucket's policy and has the change analyzed.
func (w *world) become(t *testing.T, s *Store, policy string) {
	t.Helper()
	e := feed.Entry{Kind: feed.Bucket, Account: account, Resource: "b", Before: w.raw(), Gone: policy == "-"}
	if w.policy = policy; !e.Gone {
		e.After = w.raw()
	}
	var b engine.Batch
	done, err := w.feed.Add(&b, e)
	if err == nil {
		err = w.meta.Commit(t.Context(), &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	done()
	entries, err := w.feed.Next(t.Context(), Consumer, most)
	if err == nil {
		err = s.take(t.Context(), w.feed, entries)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) told(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.events, want) {
		t.Errorf("told %q, want %q", w.events, want)
	}
	w.events = nil
}

func TestFindings(t *testing.T) {
	w := &world{meta: memory.NewMeta()}
	var err error
	if w.feed, err = feed.Open(t.Context(), w.meta, Consumer); err != nil {
		t.Fatal(err)
	}
	s, g := w.store(t), authztest.Grant(t, "*", "*")
	if _, err := s.Create(t.Context(), g, account, Analyzer{Name: "a", Type: TypeAccount}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), g, account, Analyzer{Name: "a", Type: TypeAccount}); !fault.Is(err, Conflict) {
		t.Errorf("twice: %v", err)
	}
	w.become(t, s, shared)
	w.told(t, "ACTIVE map[AWS:444455556666]")
	w.become(t, s, public)
	w.told(t, "ACTIVE map[AWS:*]", "RESOLVED map[AWS:444455556666]")
	w.become(t, s, shared)
	slices.Sort(w.events)
	w.told(t, "ACTIVE map[AWS:444455556666]", "RESOLVED map[AWS:*]")
	found, err := s.Findings(g, "access-analyzer:ListFindings", account, arn, nil)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d findings, %v: a finding that comes back is the same", len(found), err)
	}

	// The same after a restart; then archived; then gone with the bucket.
	s = w.store(t)
	if err := s.PutRule(t.Context(), g, "access-analyzer:CreateArchiveRule", account, "a", ArchiveRule{Name: "known", Filter: Filter{"principal.AWS": {Eq: []string{"444455556666"}}}}, true); err != nil {
		t.Fatal(err)
	}
	if err := s.ApplyRule(t.Context(), g, account, arn, "known"); err != nil {
		t.Fatal(err)
	}
	w.told(t, "ARCHIVED map[AWS:444455556666]")
	w.become(t, s, "-")
	w.told(t, "RESOLVED map[AWS:444455556666]")
	if err := s.PutRule(t.Context(), g, "access-analyzer:CreateArchiveRule", account, "a", ArchiveRule{Name: "x", Filter: Filter{"color": {Eq: []string{"red"}}}}, true); !fault.Is(err, Invalid) {
		t.Errorf("unknown criterion: %v", err)
	}
}

func TestScanFindsWhatNobodyTold(t *testing.T) {
	w := &world{meta: memory.NewMeta(), policy: public}
	s, g := w.store(t), authztest.Grant(t, "*", "*")
	if _, err := s.Create(t.Context(), g, account, Analyzer{Name: "a", Type: TypeAccount}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ policy, told string }{{public, "ACTIVE map[AWS:*]"}, {"-", "RESOLVED map[AWS:*]"}} {
		w.policy = step.policy
		s.accounts[account]["a"].Scan = true
		if err := s.scans(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.told(t, step.told)
	}

	// What another Kura did not look at is looked at when this one starts.
	w.policy = public
	for _, scanned := range [][]string{Analyzed, {posture.TypeRole}} {
		last := s.accounts[account]["a"]
		last.Scanned = scanned
		b := &work{}
		if err := b.set(last.key(), last); err != nil {
			t.Fatal(err)
		}
		if err := s.commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s = w.store(t)
		if err := s.scans(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.told(t, "ACTIVE map[AWS:*]")
	if s = w.store(t); s.accounts[account]["a"].Scan {
		t.Error("everything is scanned at every start")
	}

	// A change of the analyzer while it scans, and a crash, leave the scan to be done.
	s.working.Lock()
	s.mark(s.accounts[account]["a"], false, true)
	s.working.Unlock()
	if err := s.Tag(t.Context(), g, "access-analyzer:TagResource", account, arn, map[string]string{"k": "v"}, nil); err != nil {
		t.Fatal(err)
	}
	if s = w.store(t); !s.accounts[account]["a"].Scan {
		t.Error("the scan was forgotten")
	}
}

func TestChecks(t *testing.T) {
	identity := func(action, resource string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + action + `,"Resource":"` + resource + `"}]}`
	}
	verdicts := map[string]func() (Verdict, error){
		"PASS private": func() (Verdict, error) { return NoPublicAccess(shared, posture.TypeBucket) },
		"FAIL public":  func() (Verdict, error) { return NoPublicAccess(public, posture.TypeBucket) },
		"PASS narrower": func() (Verdict, error) {
			return NoNewAccess(identity(`"s3:GetObject"`, "*"), identity(`"s3:Get*"`, "*"), true)
		},
		"FAIL wider": func() (Verdict, error) { return NoNewAccess(identity(`"s3:*"`, "*"), identity(`"s3:Get*"`, "*"), true) },
		"PASS not granted": func() (Verdict, error) {
			return AccessNotGranted(identity(`"s3:Get*"`, "*"), []Access{{Actions: []string{"s3:DeleteBucket"}}}, true)
		},
		"FAIL granted": func() (Verdict, error) {
			return AccessNotGranted(identity(`"s3:Get*"`, "*"), []Access{{Actions: []string{"s3:GetObject"}}}, true)
		},
		"PASS elsewhere": func() (Verdict, error) {
			return AccessNotGranted(identity(`"s3:Get*"`, "arn:aws:s3:::a/*"), []Access{{Resources: []string{"arn:aws:s3:::b/*"}}}, true)
		},
		"FAIL on resource": func() (Verdict, error) {
			return AccessNotGranted(identity(`"s3:Get*"`, "arn:aws:s3:::b/*"), []Access{{Resources: []string{"arn:aws:s3:::b/*"}}}, true)
		},
	}
	statement := func(principal, action, resource, more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"` + action + `","Resource":"` + resource + `"` + more + `}]}`
	}
	trust := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`
	}
	const them, role = `{"AWS":"444455556666"}`, "AWS::IAM::AssumeRolePolicyDocument"
	ours := `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-ours"}}`
	for typ, action := range map[string]string{posture.TypeQueue: "sqs:SendMessage", posture.TypeTopic: "SNS:Publish", posture.TypeFunction: "lambda:InvokeFunction", posture.TypeKey: "kms:Decrypt"} {
		for name, text := range map[string]string{
			"FAIL anybody":                statement(`"*"`, action, "*", ""),
			"FAIL anybody over TLS":       statement(`{"AWS":"*"}`, action, "*", `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`),
			"FAIL anything":               statement(`"*"`, "*", "*", ""),
			"PASS another account":        statement(them, action, "*", ""),
			"PASS an organization":        statement(`"*"`, action, "*", ours),
			"PASS a service for somebody": statement(`"*"`, action, "*", `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:444455556666:*"}}`),
			"PASS denied": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"` + action + `","Resource":"*"},
				{"Effect":"Deny","Principal":"*","Action":"` + action + `","Resource":"*"}]}`,
		} {
			verdicts[name+" "+typ] = func() (Verdict, error) { return NoPublicAccess(text, typ) }
		}
	}
	for name, text := range map[string]string{
		"PASS account's callers of a key":  statement(`"*"`, "kms:*", "*", `,"Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}`),
		"FAIL accounts' callers of a key":  statement(`"*"`, "kms:*", "*", `,"Condition":{"StringLike":{"kms:CallerAccount":"1*"}}`),
		"FAIL callers of a key through S3": statement(`"*"`, "kms:*", "*", `,"Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}`),
	} {
		verdicts[name] = func() (Verdict, error) { return NoPublicAccess(text, posture.TypeKey) }
	}
	verdicts["FAIL role for anybody"] = func() (Verdict, error) { return NoPublicAccess(trust(`{"AWS":"*"}`), role) }
	verdicts["PASS role for another"] = func() (Verdict, error) { return NoPublicAccess(trust(them), role) }
	verdicts["FAIL trust of more"] = func() (Verdict, error) {
		return NoNewAccess(trust(`{"AWS":["444455556666","777788889999"]}`), trust(them), false)
	}
	verdicts["PASS trust of fewer"] = func() (Verdict, error) {
		return NoNewAccess(trust(them), trust(`{"AWS":["444455556666","777788889999"]}`), false)
	}
	verdicts["FAIL trust granted"] = func() (Verdict, error) {
		return AccessNotGranted(trust(them), []Access{{Actions: []string{"sts:AssumeRole"}}}, false)
	}
	verdicts["PASS queue's actions not granted"] = func() (Verdict, error) {
		return AccessNotGranted(statement(them, "sqs:SendMessage", "*", ""), []Access{{Actions: []string{"sqs:DeleteQueue"}}}, false)
	}
	verdicts["FAIL queue's actions granted"] = func() (Verdict, error) {
		return AccessNotGranted(statement(them, "sqs:*", "*", ""), []Access{{Actions: []string{"sqs:DeleteQueue"}}}, false)
	}
	for name, check := range verdicts {
		v, err := check()
		if err != nil || v.Passed != strings.HasPrefix(name, "PASS") || v.Passed == (len(v.Reasons) > 0) {
			t.Errorf("%s: %+v %v", name, v, err)
		}
	}
	if _, err := NoNewAccess(identity(`"nosuch:Thing"`, "*"), identity(`"s3:*"`, "*"), true); err == nil {
		t.Error("an action of an unknown service was checked")
	}
	if _, err := NoPublicAccess(public, "AWS::DynamoDB::Table"); !fault.Is(err, BadParameter) {
		t.Errorf("a table's policy: %v", err)
	}
	for _, text := range []string{"", "{", "[]", "null", `{"Statement":[]}`, `{"Version":"2012-10-17","Statement":[null]}`, `{"Version":"2012-10-17","Statement":["x"]}`, `{"Version":"2012-10-17","Statement":{}}`} {
		for _, identity := range []bool{true, false} {
			if _, err := AccessNotGranted(text, nil, identity); !fault.Is(err, BadParameter) || !strings.Contains(err.Error(), "line 1, column") {
				t.Errorf("%s was checked: %v", text, err)
			}
		}
		if _, err := NoPublicAccess(text, posture.TypeQueue); !fault.Is(err, BadParameter) {
			t.Errorf("%s was checked: %v", text, err)
		}
	}
}

// TestSourcesAreOfBuckets: a grant of a key is no bucket's list.
func TestSourcesAreOfBuckets(t *testing.T) {
	for _, c := range []struct {
		f    Finding
		want string
	}{
		{Finding{ResourceType: posture.TypeBucket}, "[POLICY]"},
		{Finding{ResourceType: posture.TypeBucket, ACL: true}, "[BUCKET_ACL]"},
		{Finding{ResourceType: posture.TypeKey}, "[]"},
		{Finding{ResourceType: posture.TypeKey, ACL: true}, "[]"},
		{Finding{ResourceType: posture.TypeRole}, "[]"},
		{Finding{ResourceType: posture.TypeQueue}, "[]"},
	} {
		get, key := attribute("sources.type")
		if got := fmt.Sprint(c.f.Sources()); got != c.want || fmt.Sprint(get(&c.f, key)) != c.want {
			t.Errorf("%s %v: %s, want %s", c.f.ResourceType, c.f.ACL, got, c.want)
		}
	}
}
