package cloudtrail_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/api/cloudtrail"
	"github.com/kura-s3/kura/internal/apitest"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/job/trail"
)

const (
	owner = apitest.Owner
	other = apitest.Other
)

func newHarness(t *testing.T) *apitest.Harness {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	h := apitest.New(t, "cloudtrail")
	journal := func(stream string) *audit.Journal {
		j, err := audit.OpenJournal(audit.JournalConfig{Dir: dir, Stream: stream, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: h.Log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		return j
	}
	record := audit.NewLog(audit.LogConfig{Management: journal(audit.StreamManagement), Data: journal(audit.StreamData)})
	h.Recorder.Next = record
	trails, err := trail.Open(t.Context(), trail.Config{
		Meta: h.Meta, Secrets: h.Ring, Record: record, Region: apitest.Region, LogInterval: time.Hour, DigestInterval: time.Hour, Log: h.Log,
		S3: func(context.Context, *authz.Subject, *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Serve(cloudtrail.New(cloudtrail.Config{Trails: trails, AuditDir: dir, Region: apitest.Region, Authn: h.Authn, Log: h.Log}))
	return h
}

type m = apitest.M

// TestEveryOperationIsGuarded ranges over all operations: each refuses who is denied or nobody, an account that
// another's trail is no business of, and when the decision cannot be recorded, without touching storage; and serves
// who may.
func TestEveryOperationIsGuarded(t *testing.T) {
	h := newHarness(t)
	arn := h.Must("CreateTrail", m{"Name": "main", "S3BucketName": "logs"})["TrailARN"]
	tags := []m{{"Key": "a", "Value": "b"}}
	h.Guarded(
		apitest.Sample{Operation: "CreateTrail", In: m{"Name": "new", "S3BucketName": "logs"}, Own: true},
		apitest.Sample{Operation: "UpdateTrail", In: m{"Name": arn, "S3KeyPrefix": "p"}},
		apitest.Sample{Operation: "GetTrail", In: m{"Name": arn}},
		apitest.Sample{Operation: "DescribeTrails", In: m{}, Own: true},
		apitest.Sample{Operation: "ListTrails", In: m{}, Own: true},
		apitest.Sample{Operation: "StartLogging", In: m{"Name": arn}},
		apitest.Sample{Operation: "StopLogging", In: m{"Name": arn}},
		apitest.Sample{Operation: "GetTrailStatus", In: m{"Name": arn}},
		apitest.Sample{Operation: "PutEventSelectors", In: m{"TrailName": arn, "EventSelectors": []m{{"ReadWriteType": "All"}}}},
		apitest.Sample{Operation: "GetEventSelectors", In: m{"TrailName": arn}},
		apitest.Sample{Operation: "GetInsightSelectors", In: m{"TrailName": arn}, Code: "InsightNotEnabledException"},
		apitest.Sample{Operation: "AddTags", In: m{"ResourceId": arn, "TagsList": tags}},
		apitest.Sample{Operation: "ListTags", In: m{"ResourceIdList": []any{arn}}},
		apitest.Sample{Operation: "RemoveTags", In: m{"ResourceId": arn, "TagsList": tags}},
		apitest.Sample{Operation: "LookupEvents", In: m{}, Own: true},
		apitest.Sample{Operation: "ListPublicKeys", In: m{}, Own: true},
		apitest.Sample{Operation: "DeleteTrail", In: m{"Name": arn}},
	)
}

// TestTagsOfAnotherTrailAreNotTold: every trail of a list is demanded, however long the list is.
func TestTagsOfAnotherTrailAreNotTold(t *testing.T) {
	h := newHarness(t)
	var arns []any
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		arns = append(arns, h.Must("CreateTrail", m{"Name": name, "S3BucketName": "logs"})["TrailARN"])
	}
	if got := h.Must("ListTags", m{"ResourceIdList": arns})["ResourceTagList"].([]any); len(got) != 5 {
		t.Errorf("%v", got)
	}
	for i := range arns {
		list := append([]any{}, arns...)
		list[i] = strings.Replace(arns[i].(string), owner, other, 1)
		if a := h.Call("admin", "ListTags", m{"ResourceIdList": list}); a.Status == 200 {
			t.Errorf("%v: %s", list, a.Body)
		}
	}
}

// TestRootIsOnRecordAsRoot: what the root user does with a key stands in the history as Root's.
func TestRootIsOnRecordAsRoot(t *testing.T) {
	h := newHarness(t)
	if a := h.Call("root", "CreateTrail", m{"Name": "main", "S3BucketName": "logs"}); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	events := h.Must("LookupEvents", m{"LookupAttributes": []m{{"AttributeKey": "EventName", "AttributeValue": "CreateTrail"}}})["Events"].([]any)
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

func TestTagsBind(t *testing.T) {
	h := newHarness(t)
	h.Must("CreateTrail", m{"Name": "main", "S3BucketName": "logs"})
	in := m{"ResourceId": "arn:aws:cloudtrail:" + apitest.Region + ":" + owner + ":trail/main", "TagsList": []m{{"Key": "a", "Value": "b"}}}
	h.TagsBind(apitest.Sample{Operation: "AddTags", In: in}, apitest.Sample{Operation: "RemoveTags", In: in},
		apitest.Sample{Operation: "StartLogging", In: m{"Name": "main"}})
}

// TestTagsOfANewTrailAreAddedTags: who may not tag trails makes none with tags.
func TestTagsOfANewTrailAreAddedTags(t *testing.T) {
	h := newHarness(t)
	h.People.Add(t, owner, "tagging nothing", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},`+
		`{"Effect":"Deny","Action":"cloudtrail:AddTags","Resource":"*"}]}`)
	in := m{"Name": "main", "S3BucketName": "logs", "TagsList": []m{{"Key": "a", "Value": "b"}}}
	if a := h.Call("tagging nothing", "CreateTrail", in); a.Status != 400 || !strings.Contains(string(a.Body), "cloudtrail:AddTags") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	delete(in, "TagsList")
	if a := h.Call("tagging nothing", "CreateTrail", in); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
