package events_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/events"
	"github.com/kura-s3/kura/internal/api/exposure"
	"github.com/kura-s3/kura/internal/api/rpc"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/authn"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/event/queue"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/keys"
)

const (
	account = "111122223333"
	region  = "us-east-1"
)

type m = map[string]any

type harness struct {
	t          *testing.T
	server     *api.Server
	service    *rpc.Service
	identities *identity.Store
	meta       *apitest.Meta
	recorder   *apitest.Recorder
	admin      identity.AccessKeyPair
	now        time.Time
	exposes    exposure.Judge // nil: nothing does
}

func newHarness(t *testing.T) *harness {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	h := &harness{
		t: t, meta: &apitest.Meta{Meta: memory.NewMeta()}, recorder: &apitest.Recorder{Next: authztest.Forget{}}, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		admin: identity.AccessKeyPair{ID: "AKIAADMINADMINADMIN1", Secret: "admin-secret-admin-secret-admin-secret-1"},
	}
	clock := func() time.Time { return h.now }
	ring, err := keys.Open(ctx, h.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	h.identities, err = identity.Open(ctx, identity.Config{Meta: h.meta, Secrets: ring, Now: clock, Log: log, AccountID: account, Admin: &h.admin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.identities.Close() })
	q, err := queue.Open(ctx, queue.Config{Meta: h.meta, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	store, err := event.Open(ctx, event.Config{Meta: h.meta, Queue: q, Secrets: ring, Principals: h.identities, Region: region, Log: log, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	guard := authz.New(authz.Config{Recorder: h.recorder, Now: clock})
	signers := authn.New(authn.Config{Credentials: h.identities, Anonymous: identity.Anonymous(), Region: region, Now: clock, Services: []string{"s3", "events"}})
	judge := func(c exposure.Change) (exposure.Exposed, error) {
		if h.exposes == nil {
			return exposure.Exposed{}, nil
		}
		return h.exposes(c)
	}
	h.service = events.New(events.Config{Events: store, Exposes: judge, Authn: signers, Log: log})
	h.server, err = api.NewServer(api.Config{
		Services: []api.Service{rpc.New(rpc.Config{Name: "s3", Protocol: wire.Query, Authn: signers, Log: log}), h.service},
		Guard:    guard, Recorder: h.recorder, Log: log, Region: region, Now: clock,
		Peer: func(*http.Request) api.Peer {
			return api.Peer{IP: netip.MustParseAddr("127.0.0.1"), RequestID: "0123456789ABCDEF", HostID: "host"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// user makes a user with a policy.
func (h *harness) user(name, document string) identity.AccessKeyPair {
	h.t.Helper()
	ctx, g := context.Background(), authztest.Grant(h.t, "iam:*", "*")
	if _, err := h.identities.CreateUser(ctx, g, account, identity.CreateUserInput{UserName: name}); err != nil {
		h.t.Fatal(err)
	}
	if document != "" {
		if err := h.identities.PutInlinePolicy(ctx, g, identity.Ref{Kind: identity.KindUser, Account: account, Name: name}, "p", document); err != nil {
			h.t.Fatal(err)
		}
	}
	key, err := h.identities.CreateAccessKey(ctx, g, account, name)
	if err != nil {
		h.t.Fatal(err)
	}
	return identity.AccessKeyPair{ID: key.AccessKeyID, Secret: key.Secret}
}

func (h *harness) call(u identity.AccessKeyPair, operation string, in m) (status int, code string, out m) {
	h.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://kura.local/", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSEvents."+operation)
	sum := sha256.Sum256(body)
	if u.ID != "" {
		if _, err := authn.Sign(r, authn.Signing{AccessKeyID: u.ID, Secret: u.Secret, Region: region, Service: "events", Time: h.now, PayloadHash: hex.EncodeToString(sum[:])}); err != nil {
			h.t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, apitest.Marked(r))
	_ = json.Unmarshal(w.Body.Bytes(), &out)
	code, _ = out["__type"].(string)
	return w.Code, code[strings.LastIndex(code, "#")+1:], out
}

const (
	connectionARN = "arn:aws:events:us-east-1:111122223333:connection/c/12345678-1234-1234-1234-123456789012"
	ruleARN       = "arn:aws:events:us-east-1:111122223333:rule/r"
	busARN        = "arn:aws:events:us-east-1:111122223333:event-bus/default"
	archiveARN    = "arn:aws:events:us-east-1:111122223333:archive/a"
)

// inputs are valid for the model, for every operation that is declared.
var inputs = map[string]m{
	"CreateEventBus": {"Name": "b"}, "UpdateEventBus": {"Name": "b"}, "DeleteEventBus": {"Name": "b"}, "DescribeEventBus": {}, "ListEventBuses": {},
	"PutPermission": {"StatementId": "s", "Action": "events:PutEvents", "Principal": "*"}, "RemovePermission": {"StatementId": "s"},
	"PutRule": {"Name": "r", "EventPattern": `{"source":["x"]}`}, "DescribeRule": {"Name": "r"}, "EnableRule": {"Name": "r"}, "DisableRule": {"Name": "r"},
	"DeleteRule": {"Name": "r"}, "ListRules": {}, "ListRuleNamesByTarget": {"TargetArn": busARN},
	"TestEventPattern":    {"EventPattern": `{"source":["x"]}`, "Event": `{"id":"1","account":"1","source":"x","time":"2026-01-02T03:04:05Z","region":"r","resources":[],"detail-type":"t"}`},
	"ListTagsForResource": {"ResourceARN": ruleARN}, "TagResource": {"ResourceARN": ruleARN, "Tags": []m{{"Key": "k", "Value": "v"}}},
	"UntagResource": {"ResourceARN": ruleARN, "TagKeys": []string{"k"}},
	"PutTargets":    {"Rule": "r", "Targets": []m{{"Id": "t", "Arn": busARN}}}, "RemoveTargets": {"Rule": "r", "Ids": []string{"t"}}, "ListTargetsByRule": {"Rule": "r"},
	"PutEvents":        {"Entries": []m{{"Source": "x", "DetailType": "t", "Detail": "{}"}}},
	"CreateConnection": {"Name": "c", "AuthorizationType": "BASIC", "AuthParameters": m{"BasicAuthParameters": m{"Username": "u", "Password": "p"}}},
	"UpdateConnection": {"Name": "c"}, "DeauthorizeConnection": {"Name": "c"}, "DeleteConnection": {"Name": "c"}, "DescribeConnection": {"Name": "c"}, "ListConnections": {},
	"CreateApiDestination": {"Name": "d", "ConnectionArn": connectionARN, "InvocationEndpoint": "https://example.com", "HttpMethod": "POST"},
	"UpdateApiDestination": {"Name": "d"}, "DeleteApiDestination": {"Name": "d"}, "DescribeApiDestination": {"Name": "d"}, "ListApiDestinations": {},
	"CreateArchive": {"ArchiveName": "a", "EventSourceArn": busARN}, "UpdateArchive": {"ArchiveName": "a", "Description": "x"}, "DeleteArchive": {"ArchiveName": "a"},
	"DescribeArchive": {"ArchiveName": "a"}, "ListArchives": {},
	"StartReplay":  {"ReplayName": "p", "EventSourceArn": archiveARN, "EventStartTime": 1, "EventEndTime": 2, "Destination": m{"Arn": busARN}},
	"CancelReplay": {"ReplayName": "p"}, "DescribeReplay": {"ReplayName": "p"}, "ListReplays": {},
}

func TestEveryOperationRefusesWhomItMust(t *testing.T) {
	h := newHarness(t)
	nobody := h.user("nobody", "")
	for _, op := range h.service.Ops() {
		in, ok := inputs[op.Name()]
		if !ok {
			t.Errorf("%s is not tried", op.Name())
			continue
		}
		before := h.meta.Commits
		if status, code, _ := h.call(identity.AccessKeyPair{}, op.Name(), in); status != 400 || code != "MissingAuthenticationTokenException" {
			t.Errorf("%s without a signature: %d %s", op.Name(), status, code)
		}
		if status, code, _ := h.call(nobody, op.Name(), in); status != 400 || code != "AccessDeniedException" {
			t.Errorf("%s without a permission: %d %s", op.Name(), status, code)
		}
		h.recorder.Broken = true
		if status, _, _ := h.call(h.admin, op.Name(), in); status != 503 {
			t.Errorf("%s off the record: %d", op.Name(), status)
		}
		h.recorder.Broken = false
		if h.meta.Commits != before {
			t.Errorf("%s changed something that it refused", op.Name())
		}
	}
}

func TestARoleIsGivenOnlyByWhoMayPassIt(t *testing.T) {
	h := newHarness(t)
	u := h.user("author", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["events:PutRule","events:PutTargets"],"Resource":"*"}]}`)
	if status, code, _ := h.call(u, "PutRule", inputs["PutRule"]); status != 200 {
		t.Fatalf("%d %s", status, code)
	}
	role := "arn:aws:iam::" + account + ":role/powerful"
	for name, in := range map[string]m{
		"rule":                 {"Name": "r", "EventPattern": `{"source":["x"]}`, "RoleArn": role},
		"role of another":      {"Name": "r", "EventPattern": `{"source":["x"]}`, "RoleArn": "arn:aws:iam::999999999999:role/x"},
		"rule with other tags": {"Name": "r", "EventPattern": `{"source":["x"]}`, "Tags": []m{{"Key": "k", "Value": "v"}}},
	} {
		if status, code, _ := h.call(u, "PutRule", in); status != 400 || code != "AccessDeniedException" && code != "ValidationException" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if status, code, _ := h.call(u, "PutTargets", m{"Rule": "r", "Targets": []m{{"Id": "t", "Arn": busARN, "RoleArn": role}}}); status != 400 || code != "AccessDeniedException" {
		t.Errorf("a target's role: %d %s", status, code)
	}
	if status, code, _ := h.call(u, "PutTargets", inputs["PutTargets"]); status != 400 || code != "AccessDeniedException" {
		t.Errorf("a target that the author may not send to: %d %s", status, code)
	}
	if status, code, _ := h.call(h.admin, "PutTargets", inputs["PutTargets"]); status != 200 {
		t.Errorf("the administrator: %d %s", status, code)
	}
}

func TestPutEventsLooksAtSourceAndType(t *testing.T) {
	h := newHarness(t)
	u := h.user("shop", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"events:PutEvents","Resource":"*","Condition":{"ForAllValues:StringEquals":{"events:source":"shop"}}}]}`)
	put := func(source string) (int, string) {
		status, code, _ := h.call(u, "PutEvents", m{"Entries": []m{{"Source": "shop", "DetailType": "t", "Detail": "{}"}, {"Source": source, "DetailType": "t", "Detail": "{}"}}})
		return status, code
	}
	if status, code := put("shop"); status != 200 {
		t.Errorf("its own source: %d %s", status, code)
	}
	if status, code := put("bank"); status != 400 || code != "AccessDeniedException" {
		t.Errorf("another source: %d %s", status, code)
	}
	_, _, out := h.call(h.admin, "PutEvents", m{"Entries": []m{{"Source": "kura", "DetailType": "t", "Detail": "{}"}, {"DetailType": "t", "Detail": "{}"}, {"Source": "x", "DetailType": "t", "Detail": "[]"}}})
	var codes []string
	for _, e := range out["Entries"].([]any) {
		code, _ := e.(m)["ErrorCode"].(string)
		codes = append(codes, code)
	}
	if strings.Join(codes, " ") != "NotAuthorizedForSourceException InvalidArgument MalformedDetail" {
		t.Errorf("%q", codes)
	}
}
