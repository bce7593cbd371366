package generation

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

const (
	account = "111122223333"
	alice   = "arn:aws:iam::111122223333:user/staff/alice"
	worker  = "arn:aws:iam::111122223333:role/jobs/worker"
	session = "arn:aws:sts::111122223333:assumed-role/worker/one"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// record is a journal directory with a Store over it.
type record struct {
	t        *testing.T
	config   Config
	journals map[string]*audit.Journal
	grant    authz.Grant
	n        int
}

func newRecord(t *testing.T) *record {
	r := &record{t: t, journals: map[string]*audit.Journal{}, grant: authztest.Grant(t, "access-analyzer:*", "*")}
	r.config = Config{
		Meta: memory.NewMeta(), Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Exists: func(arn string) bool { return arn == alice || arn == worker },
		Source: func(context.Context, string, string, []Trail) (Source, error) {
			return Source{Complete: func(since time.Time) bool { return !since.Before(start) }}, nil
		},
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for _, stream := range []string{audit.StreamManagement, audit.StreamData} {
		j, err := audit.OpenJournal(audit.JournalConfig{Dir: r.config.Dir, Stream: stream, Key: key, Log: r.config.Log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		r.journals[stream] = j
	}
	return r
}

// did puts a request into the record: pairs of action and resource, "-" before one that was refused.
func (r *record) did(who, code string, pairs ...string) {
	r.t.Helper()
	r.n++
	ev := &audit.Event{
		ID: fmt.Sprint(r.n), Time: start.Add(time.Duration(r.n) * time.Second), Service: "s3", Operation: "PutObject", Class: audit.Data, Bucket: "b", Key: "k",
		Principal: policy.Principal{Type: policy.IAMUser, Account: account, ARN: who}, Status: 200, ErrorCode: code,
	}
	if code != "" {
		ev.Status = 403
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		action, refused := strings.CutPrefix(pairs[i], "-")
		ev.Decisions = append(ev.Decisions, audit.Decision{Action: action, Resource: pairs[i+1], Account: account, Allowed: !refused})
	}
	stream, category := audit.StreamData, audit.CategoryData
	if !strings.HasPrefix(pairs[0], "s3:") {
		stream, category = audit.StreamManagement, audit.CategoryManagement
	}
	if err := r.journals[stream].Append(true, audit.Lines(ev, category)...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *record) open() *Store {
	r.t.Helper()
	s, err := Open(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// generate starts a job, does it, and gives it back.
func (r *record) generate(in Job) *Job {
	r.t.Helper()
	s := r.open()
	in.Account = account
	if in.Since.IsZero() {
		in.Since = start
	}
	if in.Until.IsZero() {
		in.Until = start.Add(time.Hour)
	}
	id, err := s.Start(r.t.Context(), r.grant, in)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := s.all(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	j, err := s.Get(r.t.Context(), r.grant, account, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// TestOnePath: after observing only uploads into one path, exactly this is proposed (I17).
func TestOnePath(t *testing.T) {
	r := newRecord(t)
	r.did(alice, "", "s3:PutObject", "arn:aws:s3:::bucket/path/one", "kms:GenerateDataKey", "arn:aws:kms:us-east-1:111122223333:key/k")
	r.did(alice, "", "s3:PutObject", "arn:aws:s3:::bucket/path/deep/two", "-s3:PutObjectTagging", "arn:aws:s3:::bucket/path/deep/two")
	r.did(alice, "AccessDenied", "-s3:PutObject", "arn:aws:s3:::bucket/other/one")
	r.did(alice, "NoSuchKey", "s3:GetObject", "arn:aws:s3:::bucket/path/none")
	r.did(alice+"2", "", "s3:DeleteObject", "arn:aws:s3:::bucket/path/one")
	r.did(session, "", "s3:GetObject", "arn:aws:s3:::bucket/path/one")
	j := r.generate(Job{Principal: alice})
	want := []string{`{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Action":["kms:GenerateDataKey"],"Resource":["arn:aws:kms:us-east-1:111122223333:key/k"]},` +
		`{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::bucket/path/*"]}]}`}
	if j.Status != Succeeded || !slices.Equal(j.Policies, want) || !j.Complete {
		t.Errorf("got %+v, want %s", j, want)
	}
	if j := r.generate(Job{Principal: worker}); len(j.Policies) != 1 || !strings.Contains(j.Policies[0], `"s3:GetObject"],"Resource":["arn:aws:s3:::bucket/path/*"]`) {
		t.Errorf("of a role's sessions: %v", j.Policies)
	}
	if j := r.generate(Job{Principal: alice, Since: start.Add(time.Minute)}); len(j.Policies) != 0 {
		t.Errorf("nothing was done then: %v", j.Policies)
	}
	if j := r.generate(Job{Principal: alice, Since: start.Add(-time.Minute)}); j.Complete {
		t.Error("a record that began later is complete")
	}
}

// TestPoliciesAllowWhatWasDoneAndNoOtherBucket: whatever was used, the policies are valid, short enough,
// allow it, and nothing in a place where nothing was done.
func TestPoliciesAllowWhatWasDoneAndNoOtherBucket(t *testing.T) {
	u := &usage{}
	var did [][2]string
	use := func(action, resource string) {
		did = append(did, [2]string{action, resource})
		u.use(action, resource)
	}
	for i := range 400 {
		use("s3:PutObject", fmt.Sprintf("arn:aws:s3:::logs/%d/%02d/%02d/part", 2020+i/100, i%12, i%28))
		use("s3:GetObject", fmt.Sprintf("arn:aws:s3:::bucket-%d/a", i%150))
		use("iam:GetUser", fmt.Sprintf("arn:aws:iam::111122223333:user/%d", i))
	}
	use("s3:GetObject", `arn:aws:s3:::odd/*/?/${aws:username}/"`+"\n"+`<x>`)
	use("s3:ListAllMyBuckets", "*")
	use("s3:ListBucket", "arn:aws:s3:::logs")
	use("sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:queue")
	var docs []*policy.Document
	for _, text := range u.policies() {
		if n := len(text); n > maxPolicy {
			t.Errorf("a policy of %d bytes", n)
		}
		for _, f := range policy.Validate([]byte(text), policy.Identity) {
			if f.FindingType == policy.FindingError || f.FindingType == policy.FindingSecurityWarning {
				t.Errorf("%s: %s", f.FindingDetails, text)
			}
		}
		doc, err := policy.ParseString(text, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	allowed := func(action, resource string) bool {
		p := policy.Principal{Type: policy.IAMUser, Account: account, ARN: alice}
		d := policy.Evaluate(&policy.Request{Principal: p, Action: action, Resource: resource, ResourceAccount: account}, &policy.Inputs{Identity: docs})
		return d.Allowed()
	}
	for _, d := range did {
		if !allowed(d[0], d[1]) {
			t.Errorf("%s on %s was done and is not allowed", d[0], d[1])
		}
	}
	for _, d := range [][2]string{
		{"s3:GetObject", "arn:aws:s3:::logs/2020/01/01/part"}, {"s3:PutObject", "arn:aws:s3:::bucket-1/a"}, {"s3:PutObject", "arn:aws:s3:::logs/other"},
		{"s3:GetObject", "arn:aws:s3:::odd/x/y/z"}, {"s3:ListBucket", "arn:aws:s3:::other"}, {"sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:queue2"},
		{"iam:GetUser", "arn:aws:iam::444455556666:user/x"}, {"iam:DeleteUser", "arn:aws:iam::111122223333:user/1"},
	} {
		if allowed(d[0], d[1]) {
			t.Errorf("%s on %s was not done and is allowed: %s", d[0], d[1], u.policies())
		}
	}
	for i := range 3 * maxGroups {
		u.use("s3:GetObject", fmt.Sprintf("arn:aws:s3:::more-%d/a", i))
	}
	if n := len(u.actions["s3:GetObject"]); n > maxGroups {
		t.Errorf("%d groups are held", n)
	}
}

// TestJobs: what is refused, what a crash leaves is done, what is cancelled stays so.
func TestJobs(t *testing.T) {
	r := newRecord(t)
	r.did(alice, "", "s3:PutObject", "arn:aws:s3:::bucket/path/one")
	s := r.open()
	good := Job{Account: account, Principal: alice, Since: start, Until: start.Add(time.Hour), Token: "t"}
	for name, change := range map[string]func(*Job){
		"nobody":   func(j *Job) { j.Principal = "arn:aws:iam::111122223333:user/nobody" },
		"a group":  func(j *Job) { j.Principal = "arn:aws:iam::111122223333:group/alice" },
		"no ARN":   func(j *Job) { j.Principal = "alice" },
		"others'":  func(j *Job) { j.Account = "444455556666" },
		"backward": func(j *Job) { j.Until = start },
		"a year":   func(j *Job) { j.Since = start.AddDate(-1, 0, 0) },
		"many":     func(j *Job) { j.Trails = make([]Trail, 2) },
	} {
		in := good
		change(&in)
		if _, err := s.Start(t.Context(), r.grant, in); fault.Of(err) != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Start(t.Context(), authz.Grant{}, good); fault.Of(err) != authz.NotGranted {
		t.Errorf("without a grant: %v", err)
	}
	first, err := s.Start(t.Context(), r.grant, good)
	again, other := s.Start(t.Context(), r.grant, good)
	if err != nil || other != nil || first != again {
		t.Errorf("the same token: %s %v, %s %v", first, err, again, other)
	}
	elsewhere := good
	elsewhere.Principal = worker
	if _, err := s.Start(t.Context(), r.grant, elsewhere); fault.Of(err) != Conflict {
		t.Errorf("the same token for another principal: %v", err)
	}
	cancelled := good
	cancelled.Token = ""
	second, err := s.Start(t.Context(), r.grant, cancelled)
	if err != nil || s.Cancel(t.Context(), r.grant, account, second) != nil {
		t.Fatal(err)
	}
	if err := s.Cancel(t.Context(), r.grant, account, "nothing"); fault.Of(err) != NotFound {
		t.Error(err)
	}
	s = r.open() // after a crash
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go s.Work(ctx)
	for {
		list, err := s.List(t.Context(), r.grant, account, alice)
		if err != nil || len(list) != 2 || ctx.Err() != nil {
			t.Fatal(list, err)
		}
		if i := slices.IndexFunc(list, func(j *Job) bool { return j.ID == first }); list[i].Status == Succeeded {
			if list[1-i].Status != Canceled {
				t.Errorf("the other is %s", list[1-i].Status)
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.config.Now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	if _, err := r.open().Get(t.Context(), r.grant, account, first); fault.Of(err) != NotFound {
		t.Errorf("after a week: %v", err)
	}
}

// TestAFailureIsTold in AWS's words.
func TestAFailureIsTold(t *testing.T) {
	r := newRecord(t)
	for code, failure := range map[string]error{
		"AUTHORIZATION_ERROR": fault.New(authz.Denied, "no"), "RESOURCE_NOT_FOUND_ERROR": fault.New(NotFound, "no"), "SERVICE_ERROR": context.DeadlineExceeded,
	} {
		r.config.Source = func(context.Context, string, string, []Trail) (Source, error) { return Source{}, failure }
		if j := r.generate(Job{Principal: alice}); j.Status != Failed || j.ErrorCode != code || j.Completed.IsZero() {
			t.Errorf("%v: %+v", failure, j)
		}
	}
	raw, _ := json.Marshal(Job{})
	if _, err := decode(raw); err == nil {
		t.Error("a record of another format decodes")
	}
}
