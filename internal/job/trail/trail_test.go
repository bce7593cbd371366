package trail

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/policy"
)

const account = "111122223333"

// plain is a Secrets that seals nothing.
type plain struct{}

func (plain) SealSecret(_, p []byte) []byte { return p }

func (plain) OpenSecret(_ context.Context, _, s []byte) ([]byte, error) { return s, nil }

// bucket is the S3 of a test.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	puts    int
	refuse  bool
}

func (b *bucket) OnBehalf(_ context.Context, as *authz.Subject, r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if as.Principal.ARN != Service {
		return nil, errors.New("not as CloudTrail")
	}
	if b.refuse {
		return &http.Response{StatusCode: 403, Body: io.NopCloser(strings.NewReader("<Error><Code>AccessDenied</Code></Error>"))}, nil
	}
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		b.objects[r.URL.Path] = body
		b.puts++
	}
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

// names of the events that were delivered.
func (b *bucket) names(t *testing.T) (names []string) {
	t.Helper()
	for path, body := range b.objects {
		if !strings.Contains(path, "/CloudTrail/") {
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Records []struct{ EventName string } }
		if err := json.NewDecoder(z).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		for _, r := range doc.Records {
			names = append(names, r.EventName)
		}
	}
	return names
}

type harness struct {
	*Store
	bucket *bucket
	record *audit.Log
	meta   engine.Meta
	grant  authz.Grant
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	journal := func(stream string) *audit.Journal {
		j, err := audit.OpenJournal(audit.JournalConfig{Dir: t.TempDir(), Stream: stream, Key: key, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		return j
	}
	h := &harness{
		bucket: &bucket{objects: map[string][]byte{}}, meta: memory.NewMeta(),
		record: audit.NewLog(audit.LogConfig{Management: journal(audit.StreamManagement), Data: journal(audit.StreamData)}),
		grant:  authztest.Grant(t, "cloudtrail:*", "*"),
	}
	h.open(t)
	return h
}

func (h *harness) open(t testing.TB) {
	t.Helper()
	var err error
	h.Store, err = Open(t.Context(), Config{
		Meta: h.meta, Secrets: plain{}, Record: h.record, S3: h.bucket.OnBehalf, Region: "us-east-1",
		LogInterval: time.Hour, DigestInterval: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *harness) trail(t testing.TB) *Trail {
	t.Helper()
	tr, err := h.Create(t.Context(), h.grant, Trail{Name: "main", Account: account, Region: "us-east-1", Bucket: "logs", GlobalEvents: true, Validation: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context(), h.grant, tr.ARN()); err != nil {
		t.Fatal(err)
	}
	return tr
}

// happen records a management write, durably.
func (h *harness) happen(t *testing.T, name string) {
	t.Helper()
	ev := &audit.Event{
		ID: name, RequestID: name, Time: time.Now(), Service: "iam", Operation: name, Class: audit.Management, Status: 200,
		Principal: policy.Principal{Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::111122223333:user/u", Name: "u"},
	}
	if err := h.record.Complete(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) deliverNow(t *testing.T, tr *Trail) { t.Helper(); h.deliver(t.Context(), tr) }

func TestEveryEventIsDeliveredOnceWhateverCrashes(t *testing.T) {
	h := newHarness(t)
	h.happen(t, "Before")
	tr := h.trail(t)
	h.happen(t, "One")
	h.deliverNow(t, tr)
	h.happen(t, "Two")
	// A crash after the file was put and before that was noted: the state of before is what is stored.
	kept, version, err := h.meta.Get(t.Context(), []byte(statePrefix+tr.ARN()), nil)
	if err != nil || version == 0 {
		t.Fatal(err)
	}
	var st State
	if err := json.Unmarshal(kept, &st); err != nil {
		t.Fatal(err)
	}
	st.Begun = time.Now().UTC()
	if err := h.keep(t.Context(), tr, &st); err != nil {
		t.Fatal(err)
	}
	kept, _, _ = h.meta.Get(t.Context(), []byte(statePrefix+tr.ARN()), nil)
	h.deliverNow(t, tr)
	var b engine.Batch
	b.Set([]byte(statePrefix+tr.ARN()), kept)
	if err := h.meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	h.happen(t, "Three")
	h.deliverNow(t, tr)
	count := map[string]int{}
	for _, name := range h.bucket.names(t) {
		count[name]++
	}
	if len(count) != 3 || count["One"] != 1 || count["Two"] != 1 || count["Three"] != 1 {
		t.Errorf("%v", count)
	}
}

// What a delivery itself does with a key is on record, and no reason for another delivery.
func TestADeliveryDoesNotCauseTheNext(t *testing.T) {
	h := newHarness(t)
	tr := h.trail(t)
	deliveries := func() (files int) {
		for path := range h.bucket.objects {
			if strings.Contains(path, "/CloudTrail/") {
				files++
			}
		}
		return files
	}
	sealed := func() { // the delivery used the trail's key
		if err := h.record.Management().Append(true, audit.KeyLines(&audit.Event{
			ID: "D", RequestID: "D", Time: time.Now(), Service: "s3", Operation: "PutObject", Class: audit.Data, Status: 200,
			Principal: policy.Principal{Type: policy.Service, ARN: Service},
			Decisions: []audit.Decision{{Action: "s3:PutObject", Account: account, Allowed: true}},
			KMS:       []audit.KeyUse{{Action: "kms:GenerateDataKey", KeyARN: "arn:aws:kms:us-east-1:" + account + ":key/k", Account: account}},
		})...); err != nil {
			t.Fatal(err)
		}
	}
	h.happen(t, "One")
	h.deliverNow(t, tr)
	sealed()
	before := deliveries()
	for range 3 {
		h.deliverNow(t, tr)
	}
	h.open(t) // nor after a restart
	for range 3 {
		h.deliverNow(t, tr)
	}
	if after := deliveries(); after != before || before == 0 {
		t.Fatalf("%d files, then %d", before, after)
	}
	sealed()
	h.deliverNow(t, tr)
	h.happen(t, "Two")
	h.deliverNow(t, tr)
	count := map[string]int{}
	for _, name := range h.bucket.names(t) {
		count[name]++
	}
	if count["GenerateDataKey"] != 2 || count["One"] != 1 || count["Two"] != 1 {
		t.Errorf("%v", count)
	}
}

func TestARefusingBucketIsToldAndCaughtUpWith(t *testing.T) {
	h := newHarness(t)
	tr := h.trail(t)
	h.bucket.refuse = true
	h.happen(t, "One")
	h.deliverNow(t, tr)
	if st, err := h.State(t.Context(), h.grant, tr); err != nil || !strings.Contains(st.Error, "AccessDenied") || h.Failing() != 1 {
		t.Errorf("%+v %v", st, err)
	}
	if _, err := h.Create(t.Context(), h.grant, Trail{Name: "other", Account: account, Region: "us-east-1", Bucket: "logs"}); !fault.Is(err, InsufficientPolicy) {
		t.Errorf("%v", err)
	}
	h.bucket.refuse = false
	h.deliverNow(t, tr)
	if st, _ := h.State(t.Context(), h.grant, tr); st.Error != "" || h.Failing() != 0 {
		t.Errorf("%+v", st)
	}
	if names := h.bucket.names(t); len(names) != 1 {
		t.Errorf("%v", names)
	}
	// Stopping delivers what there is, and a digest.
	h.happen(t, "Two")
	if _, err := h.Stop(t.Context(), h.grant, tr.ARN()); err != nil {
		t.Fatal(err)
	}
	digests := 0
	for path := range h.bucket.objects {
		if strings.Contains(path, "/CloudTrail-Digest/") {
			digests++
		}
	}
	if names := h.bucket.names(t); len(names) != 2 || digests != 1 {
		t.Errorf("%v, %d digests", names, digests)
	}
}

func TestSelectors(t *testing.T) {
	read := &audit.Note{Account: account, Category: audit.CategoryData, ReadOnly: true, Source: "s3.amazonaws.com", Name: "GetObject", Key: "dir/k", ARN: "arn:aws:s3:::b/dir/k", User: "arn:aws:iam::111122223333:user/u"}
	list := &audit.Note{Account: account, Category: audit.CategoryData, ReadOnly: true, Source: "s3.amazonaws.com", Name: "ListObjects", ARN: "arn:aws:s3:::b"}
	change := &audit.Note{Account: account, Category: audit.CategoryManagement, Source: "iam.amazonaws.com", Name: "CreateUser"}
	key := &audit.Note{Account: account, Category: audit.CategoryManagement, ReadOnly: true, Source: "kms.amazonaws.com", Name: "Decrypt"}
	foreign := &audit.Note{Account: "444455556666", Category: audit.CategoryManagement, Source: "s3.amazonaws.com", Name: "CreateBucket"}
	data := func(f ...Field) []AdvancedSelector {
		return []AdvancedSelector{{Fields: append([]Field{{Name: "eventCategory", Equals: []string{"Data"}}, {Name: "resources.type", Equals: []string{objectType}}}, f...)}}
	}
	for name, c := range map[string]struct {
		t    Trail
		want [5]bool // read, list, change, key, foreign
	}{
		"default":         {Trail{GlobalEvents: true}, [5]bool{false, false, true, true, false}},
		"no global":       {Trail{}, [5]bool{false, false, false, true, false}},
		"without kms":     {Trail{GlobalEvents: true, Selectors: []Selector{{ReadWriteType: "All", Management: true, Exclude: []string{"kms.amazonaws.com"}}}}, [5]bool{false, false, true, false, false}},
		"writes":          {Trail{GlobalEvents: true, Selectors: []Selector{{ReadWriteType: "WriteOnly", Management: true, Data: []DataResource{{objectType, []string{"arn:aws:s3"}}}}}}, [5]bool{false, false, true, false, false}},
		"a bucket":        {Trail{Selectors: []Selector{{ReadWriteType: "ReadOnly", Data: []DataResource{{objectType, []string{"arn:aws:s3:::b/"}}}}}}, [5]bool{true, true, false, false, false}},
		"a prefix":        {Trail{Selectors: []Selector{{ReadWriteType: "All", Data: []DataResource{{objectType, []string{"arn:aws:s3:::b/dir/"}}}}}}, [5]bool{true, false, false, false, false}},
		"other bucket":    {Trail{Selectors: []Selector{{ReadWriteType: "All", Data: []DataResource{{objectType, []string{"arn:aws:s3:::bb/"}}}}}}, [5]bool{}},
		"advanced":        {Trail{Advanced: data(Field{Name: "eventName", Equals: []string{"GetObject"}})}, [5]bool{true, false, false, false, false}},
		"advanced not":    {Trail{Advanced: data(Field{Name: "resources.ARN", NotStartsWith: []string{"arn:aws:s3:::b/dir/"}})}, [5]bool{false, true, false, false, false}},
		"advanced ending": {Trail{Advanced: data(Field{Name: "userIdentity.arn", EndsWith: []string{"user/u"}}, Field{Name: "readOnly", Equals: []string{"true"}})}, [5]bool{true, false, false, false, false}},
	} {
		tr := c.t
		tr.Account = account
		tr.selector = compile(&tr)
		for i, n := range []*audit.Note{read, list, change, key, foreign} {
			if got := tr.takes(n); got != c.want[i] {
				t.Errorf("%s: %s: %v", name, n.Name, got)
			}
		}
	}
}

func TestWhatNoTrailWantsIsNotKept(t *testing.T) {
	h := newHarness(t)
	tr := h.trail(t)
	get := &audit.Event{Service: "s3", Operation: "GetObject", Class: audit.Data, ReadOnly: true, Bucket: "b", Key: "k",
		Principal: policy.Principal{Type: policy.IAMUser, Account: account, ARN: "arn"}}
	if h.record.Wants(get) {
		t.Error("nobody asked for data events")
	}
	_, err := h.Update(t.Context(), h.grant, "cloudtrail:PutEventSelectors", tr.ARN(), func(tr *Trail) error {
		tr.Selectors = []Selector{{ReadWriteType: "All", Management: true, Data: []DataResource{{objectType, []string{"arn:aws:s3:::b/"}}}}}
		return nil
	})
	if err != nil || !h.record.Wants(get) {
		t.Errorf("a trail wants it: %v", err)
	}
	own := *get
	own.Principal = policy.Principal{Type: policy.Service, ARN: Service}
	if h.record.Wants(&own) {
		t.Error("CloudTrail records its own deliveries")
	}
	if _, err := h.Stop(t.Context(), h.grant, tr.ARN()); err != nil || h.record.Wants(get) {
		t.Errorf("the trail has stopped: %v", err)
	}
}

func TestBadNamesAndSelectorsAreRefused(t *testing.T) {
	for _, name := range []string{"", "ab", "a..b", "-ab", "1.2.3.4", "a b c", strings.Repeat("x", 129)} {
		if CheckName(name) == nil {
			t.Errorf("%q is a name", name)
		}
	}
	for i, bad := range []struct {
		basic    []Selector
		advanced []AdvancedSelector
	}{
		{}, {[]Selector{{ReadWriteType: "Some", Management: true}}, nil}, {[]Selector{{ReadWriteType: "All"}}, nil},
		{[]Selector{{ReadWriteType: "All", Data: []DataResource{{"AWS::Lambda::Function", []string{"arn:aws:lambda"}}}}}, nil},
		{nil, []AdvancedSelector{{Fields: []Field{{Name: "eventCategory", Equals: []string{"NetworkActivity"}}}}}},
		{nil, []AdvancedSelector{{Fields: []Field{{Name: "eventCategory", Equals: []string{"Data"}}}}}},
		{nil, []AdvancedSelector{{Fields: []Field{{Name: "nonsense", Equals: []string{"Data"}}}}}},
	} {
		if err := CheckSelectors(bad.basic, bad.advanced); !fault.Is(err, InvalidSelectors) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
