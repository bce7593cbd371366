package accesslog

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// published is the regular expression that AWS publishes for the log (S3 User Guide, "Querying access
// logs for requests by using Amazon Athena").
var published = regexp.MustCompile(`^([^ ]*) ([^ ]*) \[(.*?)\] ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ("[^"]*"|-) (-|[0-9]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ("[^"]*"|-) ([^ ]*)(?: ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*))?.*$`)

const account = "111122223333"

// buckets of a test: the first is logged into the second.
type buckets map[string]*object.Bucket

func (b buckets) find(name string) (*object.Bucket, error) {
	if found := b[name]; found != nil {
		return found, nil
	}
	return nil, errors.New("no such bucket")
}

func logged(t testing.TB, target Target) buckets {
	t.Helper()
	raw, err := target.Encode()
	if err != nil {
		t.Fatal(err)
	}
	owner := object.Owner{Account: account, Canonical: "79a59df9"}
	return buckets{
		"source": {Name: "source", Owner: owner, Settings: map[string][]byte{Setting: raw}},
		"logs":   {Name: "logs", Owner: owner},
	}
}

func request(key string) *audit.Event {
	return &audit.Event{
		ID: "A1", RequestID: "3E57427F3EXAMPLE", Time: time.Date(2026, 2, 6, 0, 0, 38, 0, time.UTC), Service: "s3", Operation: "GetObject", Method: "GET",
		URI: "/source/key", Host: "source.s3.us-east-1.amazonaws.com", Bucket: "source", Key: key, Status: 200, BytesOut: 113, ObjectSize: 2048,
		Duration: 7 * time.Millisecond, TurnAround: 5 * time.Millisecond, SourceIP: "192.0.2.3", UserAgent: "S3Console/0.4", TLS: "1.2",
		Cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", SignatureVersion: "SigV4", AuthType: "header", HostID: "s9lzHYrFp76=",
		Principal: policy.Principal{Type: policy.IAMUser, Account: account, ARN: "arn:aws:iam::111122223333:user/ana"},
	}
}

// store is the S3 of a test.
type store struct {
	mu      sync.Mutex
	objects map[string]string
	heads   map[string]http.Header
	asked   []authz.Subject
	refuse  bool
}

func (s *store) OnBehalf(_ context.Context, as *authz.Subject, r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, *as)
	if s.refuse {
		return &http.Response{StatusCode: 403, Body: io.NopCloser(strings.NewReader("<Error><Code>AccessDenied</Code></Error>"))}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if s.objects == nil {
		s.objects, s.heads = map[string]string{}, map[string]http.Header{}
	}
	s.objects[r.URL.Path], s.heads[r.URL.Path] = string(body), r.Header
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

func spool(t testing.TB, dir string, b buckets, now func() time.Time) *Spool {
	t.Helper()
	s, err := OpenSpool(Config{Dir: dir, Bucket: b.find, Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lines of events, as they are delivered.
func lines(t testing.TB, events ...*audit.Event) []string {
	t.Helper()
	s := spool(t, t.TempDir(), logged(t, Target{Bucket: "logs"}), nil)
	for _, ev := range events {
		if !s.Wants(ev) {
			t.Errorf("%s of %s is not wanted", ev.Operation, ev.Bucket)
		}
		s.Take(ev)
	}
	to := &store{}
	if err := NewDeliverer(DelivererConfig{Spool: s, S3: to.OnBehalf, Region: "us-east-1"}).Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, body := range to.objects {
		all = append(all, strings.SplitAfter(strings.TrimSuffix(body, "\n"), "\n")...)
	}
	return all
}

func TestTheLineIsAWSs(t *testing.T) {
	want := `79a59df9 source [06/Feb/2026:00:00:38 +0000] 192.0.2.3 arn:aws:iam::111122223333:user/ana 3E57427F3EXAMPLE REST.GET.OBJECT a/b%2520c "GET /source/key HTTP/1.1" 200 - 113 2048 7 5 "-" "S3Console/0.4" - s9lzHYrFp76= SigV4 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 AuthHeader source.s3.us-east-1.amazonaws.com TLSv1.2 - -`
	if got := lines(t, request("a/b c")); len(got) != 1 || got[0] != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	anonymous := request("k")
	anonymous.Principal, anonymous.AuthType, anonymous.SignatureVersion = policy.Principal{Type: policy.Anonymous}, "anonymous", ""
	anonymous.Status, anonymous.ErrorCode, anonymous.TLS, anonymous.Cipher, anonymous.ACLRequired = 403, "AccessDenied", "", "", true
	m := published.FindStringSubmatch(lines(t, anonymous)[0])
	if m[5] != "-" || m[10] != "403" || m[11] != "AccessDenied" || m[20] != "-" || m[21] != "-" || m[24] != "-" || m[26] != "Yes" {
		t.Errorf("%q", m)
	}
}

func TestNoTextOfAClientMakesAnotherLineOrField(t *testing.T) {
	hostile := []string{
		"a\r\nb", `quote"quote`, "tab\there", "ünïcödé 蔵", "\x00\x1b[31m", `back\slash`, strings.Repeat("x", 20_000), " ", "\u2028", "\xff\xfe",
		"evil\" 200 - - - - - - \"-\" \"-\"\n79a59df9 source [06/Feb/2026:00:00:38 +0000] 192.0.2.3 root",
	}
	plain := published.FindStringSubmatch(lines(t, request("k"))[0])
	for _, text := range hostile {
		ev := request(text)
		ev.UserAgent, ev.Referer, ev.URI, ev.Host, ev.VersionID, ev.RequestID = text, text, "/source/"+text, text, text, text
		got := lines(t, ev)
		if len(got) != 1 {
			t.Fatalf("%q: %d lines", text, len(got))
		}
		m := published.FindStringSubmatch(got[0])
		if m == nil {
			t.Errorf("%q: the line is not parsed: %.300s", text, got[0])
			continue
		}
		for _, i := range []int{1, 2, 3, 4, 5, 7, 10, 11, 12, 13, 20, 22, 24, 26} {
			if m[i] != plain[i] {
				t.Errorf("%q: field %d is %q, not %q", text, i, m[i], plain[i])
			}
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("key", "agent", "referer")
	f.Add("a\nb", "\" \"", "\r\n")
	bucket := &object.Bucket{Name: "source", Owner: object.Owner{Canonical: "79a59df9"}}
	f.Fuzz(func(t *testing.T, key, agent, referer string) {
		ev := request(key)
		ev.UserAgent, ev.Referer, ev.URI = agent, referer, "/"+key
		line := string(appendLine(nil, new(clock).text(ev.Time), ev, bucket, nameOf(ev), ev.Key, requestLine{ev.Method, " ", ev.URI, " HTTP/1.1"}, 200, ""))
		m := published.FindStringSubmatch(line)
		if m == nil || strings.ContainsAny(line, "\r\n\t") || m[7] != "REST.GET.OBJECT" || m[24] != "TLSv1.2" {
			t.Errorf("%q", line)
		}
	})
}

func TestCopiesAndDeletionsHaveALineForEachSide(t *testing.T) {
	copied := request("to")
	copied.Operation, copied.Method, copied.Bucket = "CopyObject", "PUT", "logs"
	copied.Decisions = []audit.Decision{{Action: "s3:PutObject", Resource: "arn:aws:s3:::logs/to", Allowed: true}, {Action: "s3:GetObject", Resource: "arn:aws:s3:::source/from", Allowed: true}}
	if got := lines(t, copied); len(got) != 1 || !strings.Contains(got[0], " REST.COPY.OBJECT_GET from ") {
		t.Errorf("%s", got)
	}
	deleted := request("")
	deleted.Operation, deleted.Method = "DeleteObjects", "POST"
	deleted.Parts = []audit.Part{{Bucket: "source", Key: "a", Status: 204}, {Bucket: "source", Key: "b", Status: 403, ErrorCode: "AccessDenied"}}
	got := strings.Join(lines(t, deleted), "")
	for _, part := range []string{" REST.POST.MULTI_OBJECT_DELETE - ", " BATCH.DELETE.OBJECT a - 204 - ", " BATCH.DELETE.OBJECT b - 403 AccessDenied "} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %s", part, got)
		}
	}
}

// TestALineIsBounded: a body may name keys and versions of megabytes, and a line that cannot be read again would hold up all
// deliveries for ever.
func TestALineIsBounded(t *testing.T) {
	deleted := request("")
	deleted.Operation, deleted.Method = "DeleteObjects", "POST"
	long := strings.Repeat("ü", 1<<20)
	deleted.Parts = []audit.Part{{Bucket: "source", Key: long, VersionID: long, Status: 400, ErrorCode: "KeyTooLongError"}, {Bucket: "source", Key: strings.Repeat("a", 4<<20), VersionID: strings.Repeat("a", 4<<20), Status: 204}}
	got := lines(t, deleted)
	if len(got) != 3 {
		t.Fatalf("%d lines", len(got))
	}
	for _, line := range got {
		if len(line) > 64<<10 {
			t.Errorf("%d bytes", len(line))
		}
	}
}

// TestALineThatIsNoneHoldsUpNoOthers: neither one that is too long, nor what a crash tore.
func TestALineThatIsNoneHoldsUpNoOthers(t *testing.T) {
	dir := t.TempDir()
	b := logged(t, Target{Bucket: "logs"})
	s := spool(t, dir, b, nil)
	s.take([]byte("source\t1\t" + strings.Repeat("x", 3<<20) + "\n"))
	s.Take(request("k"))
	s.take([]byte("source\t1\tto"))
	to := &store{}
	if err := NewDeliverer(DelivererConfig{Spool: s, S3: to.OnBehalf, Region: "us-east-1"}).Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, body := range to.objects {
		if strings.Count(body, "\n") != 1 || !strings.Contains(body, " REST.GET.OBJECT k ") {
			t.Errorf("%d bytes: %.100s", len(body), body)
		}
	}
	if len(to.objects) != 1 || s.Waiting() != 0 {
		t.Errorf("%d objects, %d bytes wait", len(to.objects), s.Waiting())
	}
}

func TestADeliveryIsRepeatedUnderTheSameName(t *testing.T) {
	now := time.Date(2026, 2, 7, 1, 2, 3, 0, time.UTC)
	dir := t.TempDir()
	b := logged(t, Target{Bucket: "logs", Prefix: "p/"})
	s := spool(t, dir, b, func() time.Time { return now })
	s.Take(request("k"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+closed))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	kept, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	to := &store{}
	for range 2 {
		now = now.Add(time.Hour)
		again := spool(t, dir, b, func() time.Time { return now })
		if err := NewDeliverer(DelivererConfig{Spool: again, S3: to.OnBehalf, Region: "us-east-1"}).Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(names[0], kept, 0o600); err != nil { // a crash before the file was removed
			t.Fatal(err)
		}
	}
	if len(to.objects) != 1 {
		t.Errorf("%v", to.objects)
	}
	for name := range to.objects {
		if !regexp.MustCompile(`^/logs/p/2026-02-07-01-02-03-[0-9A-F]{16}$`).MatchString(name) {
			t.Errorf("%s", name)
		}
	}
	as := to.asked[0]
	arn, _ := as.Keys.Lookup("aws:sourcearn")
	from, _ := as.Keys.Lookup("aws:sourceaccount")
	if as.Principal.ARN != Service || arn.One != "arn:aws:s3:::source" || from.One != account {
		t.Errorf("%+v", as)
	}
}

func TestPartitionedNamesAndGrants(t *testing.T) {
	for keys, want := range map[string]string{
		EventTime:    `^/logs/111122223333/us-east-1/source/2026/02/06/2026-02-06-00-00-00-[0-9A-F]{16}$`,
		DeliveryTime: `^/logs/111122223333/us-east-1/source/2026/02/07/2026-02-07-01-02-03-[0-9A-F]{16}$`,
		"Simple":     `^/logs/2026-02-07-01-02-03-[0-9A-F]{16}$`,
	} {
		b := logged(t, Target{Bucket: "logs", Keys: keys, Grants: []Grant{{ID: "cafe", Permission: "READ"}}})
		s := spool(t, t.TempDir(), b, func() time.Time { return time.Date(2026, 2, 7, 1, 2, 3, 0, time.UTC) })
		s.Take(request("k"))
		to := &store{}
		if err := NewDeliverer(DelivererConfig{Spool: s, S3: to.OnBehalf, Region: "us-east-1"}).Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name := range to.objects {
			if !regexp.MustCompile(want).MatchString(name) {
				t.Errorf("%s: %s", keys, name)
			}
			if h := to.heads[name]; h.Get("X-Amz-Expected-Bucket-Owner") != "111122223333" || h.Get("X-Amz-Grant-Read") != `id="cafe"` || h.Get("X-Amz-Grant-Full-Control") != `id="79a59df9"` {
				t.Errorf("%v", h)
			}
		}
	}
}

func TestWhatATargetRefusesIsKeptForADay(t *testing.T) {
	now := time.Now()
	b := logged(t, Target{Bucket: "logs"})
	s := spool(t, t.TempDir(), b, func() time.Time { return now })
	s.Take(request("k"))
	to := &store{refuse: true}
	d := NewDeliverer(DelivererConfig{Spool: s, S3: to.OnBehalf, Region: "us-east-1"})
	waiting := func() int {
		if err := d.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		files, err := s.waiting()
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if n := waiting(); n != 1 {
		t.Errorf("%d files wait", n)
	}
	to.refuse = false
	if n := waiting(); n != 0 || len(to.objects) != 1 {
		t.Errorf("%d files wait, %d objects", n, len(to.objects))
	}
	s.Take(request("k2"))
	to.refuse = true
	if n := waiting(); n != 1 {
		t.Errorf("%d files wait", n)
	}
	now = now.Add(25 * time.Hour)
	if n := waiting(); n != 0 {
		t.Errorf("%d files wait after a day", n)
	}
}

func TestWhatNobodyLogsCostsNothing(t *testing.T) {
	b := logged(t, Target{Bucket: "logs"})
	s := spool(t, t.TempDir(), b, nil)
	other, delivery, nowhere := request("k"), request("k"), request("k")
	other.Bucket, nowhere.Bucket = "logs", "none"
	delivery.Principal = policy.Principal{Type: policy.Service, ARN: Service}
	for _, ev := range []*audit.Event{other, delivery, nowhere} {
		if s.Wants(ev) {
			t.Errorf("%s of %s is wanted", ev.Principal.ARN, ev.Bucket)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.Wants(other) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Lines are safe from the end of the process while a delivery takes its time.
func TestALongDeliveryHoldsUpNoLine(t *testing.T) {
	b := logged(t, Target{Bucket: "logs"})
	s := spool(t, t.TempDir(), b, nil)
	begun, slow := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d := NewDeliverer(DelivererConfig{Spool: s, Interval: time.Millisecond, Region: "us-east-1", S3: func(context.Context, *authz.Subject, *http.Request) (*http.Response, error) {
		once.Do(func() { close(begun) })
		<-slow
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}})
	s.Take(request("first"))
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { d.Run(ctx) })
	<-begun
	s.Take(request("second"))
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		names, err := filepath.Glob(filepath.Join(s.config.Dir, "*"+growing))
		if err != nil || time.Now().After(end) {
			t.Fatalf("the line is in no file: %v", err)
		}
		if len(names) == 1 {
			if raw, err := os.ReadFile(names[0]); err == nil && strings.Contains(string(raw), "second") {
				break
			}
		}
	}
	close(slow)
	cancel()
	done.Wait()
}

// Of a file, what one target refuses waits, and what others took does not come again.
func TestOnlyWhatFailedWaits(t *testing.T) {
	b := logged(t, Target{Bucket: "logs"})
	other := *b["source"]
	other.Name = "other"
	b["other"] = &other
	s := spool(t, t.TempDir(), b, nil)
	for i := range 10 {
		ev := request(strings.Repeat("k", i+1))
		if i%2 == 1 {
			ev.Bucket = "other"
		}
		s.Take(ev)
	}
	var delivered []string
	var refuse bool
	d := NewDeliverer(DelivererConfig{Spool: s, Region: "us-east-1", S3: func(_ context.Context, as *authz.Subject, r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if from, _ := as.Keys.Lookup("aws:sourcearn"); refuse && from.One == "arn:aws:s3:::other" {
			return &http.Response{StatusCode: 403, Body: io.NopCloser(strings.NewReader("<Error><Code>AccessDenied</Code></Error>"))}, nil
		}
		delivered = append(delivered, strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")...)
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}})
	for try, want := range []int{5, 5, 10, 10} {
		refuse = try < 2
		if err := d.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(delivered) != want {
			t.Fatalf("%d lines are delivered, want %d", len(delivered), want)
		}
		if names, err := filepath.Glob(filepath.Join(s.config.Dir, "*")); err != nil || (len(names) == 1) != (want == 5) {
			t.Errorf("%v %v", names, err)
		}
	}
}

// Eight bytes at a time find the same as one.
func TestClean(t *testing.T) {
	for c := range 256 {
		for at := range 16 {
			s := []byte("abcdefgh-/.~{|}A")
			s[at] = byte(c)
			n := clean(string(s))
			want := len(s)
			if c <= ' ' || c == '"' || c >= 0x7f {
				want = at &^ 7 // the eight bytes that have it end it
			}
			if n != want {
				t.Fatalf("%q: %d, want %d", s, n, want)
			}
		}
	}
}

// BenchmarkTake is what a request pays for its line.
func BenchmarkTake(b *testing.B) {
	bucket := &object.Bucket{Name: "bench-objects", Owner: object.Owner{Account: account, Canonical: strings.Repeat("79a59df900b949e5", 4)}}
	bucket.Settings = map[string][]byte{Setting: []byte("{}")}
	s, err := OpenSpool(Config{Dir: b.TempDir(), Bucket: func(string) (*object.Bucket, error) { return bucket, nil }})
	if err != nil {
		b.Fatal(err)
	}
	ev := &audit.Event{
		Time: time.Unix(1_760_000_000, 0), Service: "s3", Operation: "GetObject", Method: "GET", Bucket: "bench-objects", Key: "4096/00000012", URI: "/bench-objects/4096/00000012",
		RequestID: "3E57427F33A59F07", HostID: strings.Repeat("s9lzHYrFp76Z", 6), SourceIP: "127.0.0.1", Status: 200, BytesOut: 4096, ObjectSize: 4096,
		UserAgent: "aws-sdk-go-v2/1.30 os/linux lang/go#1.26", AuthType: "header", SignatureVersion: "SigV4", Host: "127.0.0.1:9000",
		Principal: policy.Principal{Type: policy.IAMUser, ARN: "arn:aws:iam::111122223333:user/somebody"}, Duration: time.Millisecond,
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Take(ev)
		if len(s.buffer) > 1<<20 {
			s.buffer = s.buffer[:0]
		}
	}
}
