package audit

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kura-s3/kura/policy"
)

// odd is an event with anything in it.
func odd(r *rand.Rand) *Event {
	texts := []string{"", "=", ".", "x", "a\tb", "a\nb\r", `\x41`, `\`, "\x00\x1f\x7f", "ü\u2028\xff", "b", "k/é", strings.Repeat("long ", 600), `"quoted"`}
	text := func() string { return texts[r.IntN(len(texts))] }
	some := func(s string) string { // what usually stands there, or anything
		if r.IntN(3) == 0 {
			return text()
		}
		return s
	}
	ev := &Event{
		ID: some("0123456789ABCDEF"), Time: time.UnixMilli(1_760_000_000_000 + r.Int64N(1e9)), Service: "s3", Operation: "GetObject", Class: Data,
		API: some("s3"), ReadOnly: r.IntN(2) == 0, AccessKey: text(), AuthType: some("header"), SourceIP: some("198.51.100.7"), TLS: some("1.3"), UserAgent: text(),
		Region: some("us-east-1"), Method: some("GET"), Host: text(), Bucket: some("b"), Key: some("k/é"), Status: r.IntN(600), ErrorCode: some(""), ErrorText: text(),
		BytesIn: r.Int64N(3), BytesOut: r.Int64N(1 << 40), Duration: time.Duration(r.IntN(1e6)) * time.Microsecond, HostID: text(), Cipher: text(),
		SignatureVersion: some("SigV4"), InvokedBy: some(""), ACLRequired: r.IntN(2) == 0, Bare: r.IntN(4) > 0,
		Principal: policy.Principal{
			Type: policy.PrincipalType(r.IntN(8)), Account: some("111122223333"), ARN: some("arn:aws:iam::111122223333:user/x"), UserID: some("AIDA"),
			UniqueID: some("AIDA"), Name: text(), IssuerARN: some(""),
		},
	}
	ev.RequestID = some(ev.ID)
	if r.IntN(2) == 0 {
		ev.Endpoint = some("vpce-app")
	}
	ev.URI = some("/" + ev.Bucket + "/" + ev.Key)
	if r.IntN(2) == 0 {
		ev.Session = Session{Issued: time.Unix(1_760_000_000, 0), MFA: r.IntN(2) == 0, SourceIdentity: text(), Provider: some("")}
	}
	if ev.Bare && r.IntN(2) == 0 {
		ev.Members = string(AppendQuoted([]byte(`,"x-amz-acl":`), text())) + `,"y":"\t"`
	}
	for range r.IntN(4) {
		d := Decision{Action: some("s3:GetObject"), Resource: some(bucketARN + ev.Bucket + "/" + ev.Key), Account: some("111122223333"), Allowed: r.IntN(2) == 0, Reason: text()}
		if r.IntN(4) == 0 {
			d.Resource = bucketARN + ev.Bucket
		}
		ev.Decisions = append(ev.Decisions, d)
	}
	return ev
}

// next is another event of the caller of ev.
func next(ev, other *Event) *Event {
	n := *ev
	n.ID, n.RequestID, n.Time, n.Key, n.Status, n.ErrorCode, n.ErrorText = other.ID, other.RequestID, other.Time, other.Key, other.Status, other.ErrorCode, other.ErrorText
	n.URI, n.BytesIn, n.BytesOut, n.Duration, n.HostID, n.Endpoint, n.Decisions = other.URI, other.BytesIn, other.BytesOut, other.Duration, other.HostID, other.Endpoint, other.Decisions
	if n.Bare {
		n.Members = other.Members
	}
	return &n
}

// What is read of a data line is what a line with record and note would have said.
func TestADataLineSaysWhatARecordAndANoteDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var x expander
	writing := &encoder{}
	var callers [5]*Event
	for i := range 6_000 {
		ev := odd(r)
		x.light = i%1000 > 500
		if own := &callers[r.IntN(len(callers))]; *own == nil || r.IntN(4) == 0 {
			*own = ev
		} else {
			ev = next(*own, ev)
		}
		const account = "111122223333"
		shared := "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
		if i%4 != 0 {
			shared = "" // then what callers have in common is written once
		}
		var p packer
		writing.tokens = writing.tokens[:0]
		writing.pack(&p, ev, account, shared)
		line, head := appendData(nil, p.b), hash{1, 2, 3}
		chain(line, head)
		if bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%q is not one line", line)
		}
		parsed, err := parseLine(line[:len(line)-1])
		if err != nil {
			t.Fatal(err)
		}
		if _, follows := parsed.follows(head, nil); !follows {
			t.Fatalf("%q does not follow", line)
		}
		got, err := x.entry(7, &parsed, true)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		light, err := x.entry(7, &parsed, false)
		if err != nil || string(light.Record) != string(got.Record) || light.Verdicts != nil {
			t.Fatalf("%q: %s, %v", line, light.Record, err)
		}
		if light.Verdicts = got.Verdicts; !reflect.DeepEqual(light.Note, got.Note) {
			t.Fatalf("%q: %+v", line, light.Note)
		}
		// The other form.
		var e encoder
		e.note.describe(ev, CategoryData, account)
		e.note.Event = got.Event
		var record, note writer
		e.record(&record, ev, &e.note, shared)
		e.note.encode(&note)
		var want Entry
		want.Seq, want.Record = 7, record.b
		if err := json.Unmarshal(note.b, &want.Note); err != nil {
			t.Fatal(err)
		}
		valid := func(n Note) string { // a note in JSON holds no invalid UTF-8
			raw, err := json.Marshal(n)
			if err != nil {
				t.Fatal(err)
			}
			return strings.ReplaceAll(string(raw), `\ufffd`, "\ufffd")
		}
		if string(got.Record) != string(want.Record) || valid(got.Note) != valid(want.Note) {
			t.Fatalf("%q:\n%s", line, cmp.Diff(string(want.Record)+valid(want.Note), string(got.Record)+valid(got.Note)))
		}
	}
}

// The same questions find the same events in either form of line, in open and sealed segments.
func TestDataLinesAreFoundAsOthers(t *testing.T) {
	const events = 1500
	var dirs [2]string
	for form := range dirs {
		j := open(t, JournalConfig{SegmentBytes: 300 << 10})
		dirs[form] = j.config.Dir
		for i := range events {
			ev := made(i)
			if form == 0 {
				ev.Bare, ev.Parameters = false, []byte("{}")
			}
			if i%10 == 3 {
				ev.Operation = "ListObjectsV2"
			}
			if err := j.Append(i%500 == 0, Lines(ev, CategoryData)...); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, dirs[form]); !r.Sound() || r.Events != events {
			t.Fatalf("%+v", r)
		}
	}
	one, yes := made(1234), true
	for _, q := range []Query{
		{}, {Newest: true}, {Account: "111122223333"}, {Category: CategoryData, Bucket: one.Bucket}, {Source: "s3.amazonaws.com", Key: one.Key},
		{Name: "ListObjects"}, {Name: "GetObject", User: one.Principal.ARN}, {User: one.Principal.Name}, {UserName: one.Principal.Name}, {KeyID: one.AccessKey},
		{IP: one.SourceIP}, {Prefix: "dir/12"}, {ARN: bucketARN + one.Bucket + "/" + one.Key}, {Resource: bucketARN + one.Bucket + "/" + one.Key},
		{Type: "AWS::S3::Object", Bucket: one.Bucket}, {Error: "AccessDenied"}, {ID: one.ID}, {ReadOnly: &yes, ID: one.ID}, {Decision: "denied"},
		{Decision: "allowed", User: one.Principal.Name}, {Since: one.Time, Until: one.Time.Add(time.Minute)}, {User: "nobody"},
	} {
		want, got := find(t, dirs[0], q), find(t, dirs[1], q)
		if !cmp.Equal(want, got) || len(want) == 0 && q.User != "nobody" {
			t.Errorf("%+v: %d and %d found", q, len(want), len(got))
		}
	}
	var event string
	if err := Find(t.Context(), dirs[1], StreamManagement, &Query{ID: one.ID}, func(e *Entry) bool { event = e.Event; return false }); err != nil {
		t.Fatal(err)
	}
	if got := find(t, dirs[1], Query{Event: event}); len(got) != 1 || got[0] != one.ID {
		t.Errorf("by eventID %s: %v", event, got)
	}
}

// FuzzDataLine: whatever stands in a data line, reading it ends well.
func FuzzDataLine(f *testing.F) {
	var p packer
	new(encoder).pack(&p, odd(rand.New(rand.NewPCG(3, 4))), "111122223333", "")
	f.Add(string(p.b))
	f.Add("1\t\t")
	f.Fuzz(func(t *testing.T, fields string) {
		line, _ := appendData(nil, []byte(fields)), hash{}
		chain(line, hash{})
		parsed, err := parseLine(line[:len(line)-1])
		if err != nil {
			return
		}
		var x expander
		if e, err := x.entry(1, &parsed, true); err == nil && len(fields) < 1000 && !json.Valid(e.Record) && len(x.ev.Members) == 0 {
			t.Errorf("%q makes %s", fields, e.Record)
		}
	})
}

// Journals of format 2 are read as ever, and go on in format 3.
func TestAJournalOfTheFormatBeforeGoesOn(t *testing.T) {
	dir := t.TempDir()
	j := open(t, JournalConfig{Dir: dir})
	old := made(1)
	old.Bare, old.Parameters = false, []byte(`{"Host":"s3.example.test"}`) // a record and a note, as format 2 has them
	if err := j.Append(true, Lines(old, CategoryData)...); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(true, Lines(made(2), CategoryData)...); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := find(t, dir, Query{}); len(got) != 2 || got[0] != old.ID {
		t.Errorf("%v", got)
	}
	if r := verify(t, dir); !r.Sound() || r.Events != 2 {
		t.Errorf("%+v", r)
	}
	if _, err := parseHeader([]byte(strings.Repeat("A", hashText) + "\tH\t" + `{"format":2}` + "\t{}")); err != nil {
		t.Errorf("a header of format 2: %v", err)
	}
	if _, err := parseHeader([]byte(strings.Repeat("A", hashText) + "\tH\t" + `{"format":4}` + "\t{}")); err == nil {
		t.Error("a header of a format to come")
	}
}
