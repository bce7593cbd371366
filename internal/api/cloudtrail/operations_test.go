package cloudtrail_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/cloudtrail"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/job/trail"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/policy"
)

const (
	owner  = "111122223333"
	other  = "444455556666"
	region = "us-east-1"
	secret = "secret-secret-secret-secret-secret-secre"
)

// people are the callers, by access key.
type people map[string]*authn.Credential

func (p people) Lookup(_ context.Context, key, _ string) (*authn.Credential, error) {
	if c := p[key]; c != nil {
		return c, nil
	}
	return nil, fault.New(authn.UnknownKey, "")
}

func (p people) add(t *testing.T, name string, who policy.Principal, document string) {
	t.Helper()
	subject := authz.Subject{AccessKey: name, Principal: who}
	if document != "" {
		doc, err := policy.ParseString(document, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		subject.Policies.Identity = []*policy.Document{doc}
	}
	p[name] = &authn.Credential{AccessKeyID: name, Secret: secret, Active: true, Subject: subject}
}

func user(account, name string) policy.Principal {
	id := "AIDA" + strings.ToUpper(name)
	return policy.Principal{Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name, Name: name, UserID: id, UniqueID: id}
}

// recorder is the record, which can break.
type recorder struct {
	*audit.Log
	broken bool
}

func (r *recorder) Begin(ctx context.Context, ev *audit.Event) error {
	if r.broken {
		return errors.New("the record cannot be written")
	}
	return r.Log.Begin(ctx, ev)
}

// counting counts commits.
type counting struct {
	engine.Meta
	commits int
}

func (c *counting) Commit(ctx context.Context, b *engine.Batch) error {
	c.commits++
	return c.Meta.Commit(ctx, b)
}

type harness struct {
	t        *testing.T
	server   *api.Server
	meta     *counting
	recorder *recorder
}

const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

func newHarness(t *testing.T) *harness {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	dir := filepath.Join(t.TempDir(), "audit")
	journal := func(stream string) *audit.Journal {
		j, err := audit.OpenJournal(audit.JournalConfig{Dir: dir, Stream: stream, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		return j
	}
	h := &harness{t: t, meta: &counting{Meta: memory.NewMeta()}}
	h.recorder = &recorder{Log: audit.NewLog(audit.LogConfig{Management: journal(audit.StreamManagement), Data: journal(audit.StreamData)})}
	who := people{}
	who.add(t, "admin", user(owner, "admin"), everything)
	who.add(t, "stranger", user(owner, "stranger"), "")
	who.add(t, "denied", user(owner, "denied"), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"cloudtrail:*","Resource":"*"}]}`)
	who.add(t, "foreign", user(other, "foreign"), everything)
	who.add(t, "root", policy.Principal{Type: policy.RootUser, Account: owner, ARN: "arn:aws:iam::" + owner + ":root", UserID: owner, UniqueID: owner}, "")
	ring, err := keys.Open(t.Context(), h.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	trails, err := trail.Open(t.Context(), trail.Config{
		Meta: h.meta, Secrets: ring, Record: h.recorder.Log, Region: region, LogInterval: time.Hour, DigestInterval: time.Hour, Log: log,
		S3: func(context.Context, *authz.Subject, *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	signers := authn.New(authn.Config{Credentials: who, Region: region, Services: []string{"s3", "cloudtrail"}, Anonymous: authz.Subject{Principal: policy.Principal{Type: policy.Anonymous}}})
	h.server, err = api.NewServer(api.Config{
		Services: []api.Service{
			rpc.New(rpc.Config{Name: "s3", Protocol: wire.Query, Authn: signers, Log: log}), // takes what no other claims
			cloudtrail.New(cloudtrail.Config{Trails: trails, AuditDir: dir, Region: region, Authn: signers, Log: log}),
		},
		Guard: authz.New(authz.Config{Recorder: h.recorder}), Recorder: h.recorder, Log: log, Region: region,
		Peer: func(*http.Request) api.Peer {
			return api.Peer{IP: netip.MustParseAddr("127.0.0.1"), RequestID: "0123456789ABCDEF"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// call makes a request; nobody signs as "".
func (h *harness) call(who, operation string, in any) (int, m) {
	h.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "http://cloudtrail.local/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if who != "" {
		sum := sha256.Sum256(body)
		if _, err := authn.Sign(r, authn.Signing{
			AccessKeyID: who, Secret: secret, Region: region, Service: "cloudtrail", Time: time.Now(), PayloadHash: hex.EncodeToString(sum[:]),
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	var out m
	text, _ := io.ReadAll(w.Body)
	if err := json.Unmarshal(text, &out); err != nil && len(text) > 0 {
		h.t.Fatalf("%s: %s", operation, text)
	}
	return w.Code, out
}

func (h *harness) must(who, operation string, in any) m {
	h.t.Helper()
	status, out := h.call(who, operation, in)
	if status != 200 {
		h.t.Fatalf("%s: %d %v", operation, status, out)
	}
	return out
}

type m = map[string]any

// TestEveryOperationIsGuarded ranges over all operations: each refuses who is denied or nobody, an account that
// another's trail is no business of, and when the decision cannot be recorded, without touching storage; and serves
// who may.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	arn := h.must("admin", "CreateTrail", m{"Name": "main", "S3BucketName": "logs"})["TrailARN"]
	tags := []m{{"Key": "a", "Value": "b"}}
	samples := []struct {
		operation string
		in        m
		own       bool   // about one's own account
		code      string // of who may, where it is a failure
	}{
		{"CreateTrail", m{"Name": "new", "S3BucketName": "logs"}, true, ""},
		{"UpdateTrail", m{"Name": arn, "S3KeyPrefix": "p"}, false, ""},
		{"GetTrail", m{"Name": arn}, false, ""},
		{"DescribeTrails", m{}, true, ""},
		{"ListTrails", m{}, true, ""},
		{"StartLogging", m{"Name": arn}, false, ""},
		{"StopLogging", m{"Name": arn}, false, ""},
		{"GetTrailStatus", m{"Name": arn}, false, ""},
		{"PutEventSelectors", m{"TrailName": arn, "EventSelectors": []m{{"ReadWriteType": "All"}}}, false, ""},
		{"GetEventSelectors", m{"TrailName": arn}, false, ""},
		{"GetInsightSelectors", m{"TrailName": arn}, false, "InsightNotEnabledException"},
		{"AddTags", m{"ResourceId": arn, "TagsList": tags}, false, ""},
		{"ListTags", m{"ResourceIdList": []any{arn}}, false, ""},
		{"RemoveTags", m{"ResourceId": arn, "TagsList": tags}, false, ""},
		{"LookupEvents", m{}, true, ""},
		{"ListPublicKeys", m{}, true, ""},
		{"DeleteTrail", m{"Name": arn}, false, ""},
	}
	declared := map[string]bool{}
	for _, op := range h.server.Ops() {
		if op.Wire().Service == "cloudtrail" {
			declared[op.Name()] = true
		}
	}
	for _, c := range samples {
		delete(declared, c.operation)
		before := h.meta.commits
		for _, who := range []string{"", "stranger", "denied", "foreign"} {
			if who == "foreign" && c.own {
				continue
			}
			if status, out := h.call(who, c.operation, c.in); status < 400 || status >= 500 {
				t.Errorf("%s by %q: %d %v", c.operation, who, status, out)
			}
		}
		h.recorder.broken = true
		if status, out := h.call("admin", c.operation, c.in); status != 503 {
			t.Errorf("%s, unrecorded: %d %v", c.operation, status, out)
		}
		h.recorder.broken = false
		if h.meta.commits != before {
			t.Errorf("%s: a refused request wrote", c.operation)
		}
		status, out := h.call("admin", c.operation, c.in)
		if code, _ := out["__type"].(string); c.code == "" && status != 200 || !strings.HasSuffix(code, c.code) {
			t.Errorf("%s: %d %v", c.operation, status, out)
		}
	}
	for name := range declared {
		t.Errorf("%s has no sample", name)
	}
}

// TestTagsOfAnotherTrailAreNotTold: every trail of a list is demanded, however long the list is.
func TestTagsOfAnotherTrailAreNotTold(t *testing.T) {
	h := newHarness(t)
	var arns []any
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		arns = append(arns, h.must("admin", "CreateTrail", m{"Name": name, "S3BucketName": "logs"})["TrailARN"])
	}
	if got := h.must("admin", "ListTags", m{"ResourceIdList": arns})["ResourceTagList"].([]any); len(got) != 5 {
		t.Errorf("%v", got)
	}
	for i := range arns {
		list := append([]any{}, arns...)
		list[i] = strings.Replace(arns[i].(string), owner, other, 1)
		if status, out := h.call("admin", "ListTags", m{"ResourceIdList": list}); status == 200 {
			t.Errorf("%v: %v", list, out)
		}
	}
}

// TestRootIsOnRecordAsRoot: what the root user does with a key stands in the history as Root's.
func TestRootIsOnRecordAsRoot(t *testing.T) {
	h := newHarness(t)
	h.must("root", "CreateTrail", m{"Name": "main", "S3BucketName": "logs"})
	events := h.must("admin", "LookupEvents", m{"LookupAttributes": []m{{"AttributeKey": "EventName", "AttributeValue": "CreateTrail"}}})["Events"].([]any)
	if len(events) != 1 {
		t.Fatalf("%v", events)
	}
	var record struct {
		UserIdentity struct{ Type, PrincipalId, Arn, AccountId, AccessKeyId, UserName string }
		ErrorCode    string
	}
	if err := json.Unmarshal([]byte(events[0].(m)["CloudTrailEvent"].(string)), &record); err != nil {
		t.Fatal(err)
	}
	u := record.UserIdentity
	if u.Type != "Root" || u.PrincipalId != owner || u.AccountId != owner || u.Arn != "arn:aws:iam::"+owner+":root" || u.AccessKeyId != "root" || u.UserName != "" || record.ErrorCode != "" {
		t.Errorf("%+v", record)
	}
}
