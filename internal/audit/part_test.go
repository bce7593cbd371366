package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/policy"
)

// TestPartsOfRequestsAreOnRecord: who copies an object out of a bucket has read it, whatever is recorded of where it
// goes; who deletes many has deleted each.
func TestPartsOfRequestsAreOnRecord(t *testing.T) {
	const owner, caller = "111122223333", "444455556666"
	data := open(t, JournalConfig{})
	l := NewLog(LogConfig{Management: open(t, JournalConfig{}), Data: data})
	l.WantData(func(ev *Event) bool { return ev.Bucket == "source" })
	request := func(operation string) *Event {
		return &Event{
			ID: operation, RequestID: operation, Time: time.Unix(1_700_000_000, 0), Service: "s3", Operation: operation, Class: Data, Status: 200, Bare: true,
			Method: "PUT", URI: "/elsewhere/k", Members: `,"x-amz-copy-source":"source/secret"`, Bucket: "elsewhere", Key: "k", BytesIn: 7,
			Principal: policy.Principal{Type: policy.IAMUser, Account: caller, ARN: "arn:aws:iam::" + caller + ":user/u", UserID: "AIDA1", Name: "u"},
		}
	}
	complete := func(ev *Event) {
		t.Helper()
		if !l.Wants(ev) {
			t.Fatal("nobody wants it")
		}
		if err := l.Complete(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	copied := request("CopyObject")
	copied.Decisions = []Decision{
		{Action: "s3:PutObject", Resource: "arn:aws:s3:::elsewhere/k", Account: caller, Allowed: true},
		{Action: "s3:GetObject", Resource: "arn:aws:s3:::source/secret", Account: owner, Allowed: true},
	}
	copied.Parts = []Part{{Operation: "GetObject", Bucket: "source", Key: "secret", VersionID: "v1"}}
	complete(copied)
	deleted := request("DeleteObjects")
	deleted.Bucket, deleted.Key = "source", ""
	for i := range 100 {
		key := fmt.Sprint("k", i)
		deleted.Decisions = append(deleted.Decisions, Decision{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::source/" + key, Account: owner, Allowed: true})
		deleted.Parts = append(deleted.Parts, Part{Operation: "DeleteObject", Bucket: "source", Key: key, Status: 204})
	}
	deleted.Parts[98].Status, deleted.Parts[98].ErrorCode, deleted.Parts[98].ErrorText = 403, "AccessDenied", "it is locked"
	complete(deleted)
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
	found := func(q Query) (all []Entry) {
		t.Helper()
		q.Bucket = "source"
		if err := Find(t.Context(), data.config.Dir, StreamManagement, &q, func(e *Entry) bool { all = append(all, *e); return true }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	read := found(Query{Key: "secret"})
	if len(read) != 2 || read[0].Account != caller || read[1].Account != owner || read[0].Name != "GetObject" || !read[0].ReadOnly || read[0].ID != "CopyObject" || read[0].ARN != "arn:aws:s3:::source/secret" {
		t.Fatalf("%+v", read)
	}
	if record := string(read[1].Record); !strings.Contains(record, `"x-amz-copy-source":"source/secret"`) || !strings.Contains(record, `"versionId":"v1"`) || !strings.Contains(record, `"requestID":"CopyObject"`) {
		t.Errorf("%s", record)
	}
	for key, code := range map[string]string{"k0": "", "k98": "AccessDenied", "k99": ""} {
		if got := found(Query{Key: key, Account: owner}); len(got) != 1 || got[0].Name != "DeleteObject" || got[0].Error != code || got[0].ReadOnly {
			t.Errorf("%s: %+v", key, got)
		}
	}
}

// TestAPartIsBounded: a line that is too long to be read again would be the end of the journal.
func TestAPartIsBounded(t *testing.T) {
	j := open(t, JournalConfig{})
	l := NewLog(LogConfig{Management: open(t, JournalConfig{}), Data: j})
	l.WantData(func(*Event) bool { return true })
	long := strings.Repeat("ü", 4<<20)
	ev := &Event{
		ID: "1", Time: time.Unix(1_700_000_000, 0), Service: "s3", Operation: "DeleteObjects", Class: Data, Status: 200, Bare: true, Bucket: "b",
		Principal: policy.Principal{Type: policy.IAMUser, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/u"},
		Parts:     []Part{{Operation: "DeleteObject", Bucket: "b", Key: long, VersionID: long, Status: 400, ErrorCode: "KeyTooLongError"}},
		Decisions: []Decision{{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::b/" + long, Account: "111122223333"}},
	}
	if err := l.Complete(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := segments(j.config.Dir, StreamManagement)
	if err != nil || len(all) != 1 || all[0].size > 64<<10 {
		t.Errorf("%+v %v", all[0], err)
	}
}
