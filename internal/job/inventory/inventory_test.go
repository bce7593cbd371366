package inventory

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/authz/authztest"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/memory"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/object"
)

// fixture is a store, a job on it, and what the job delivered.
type fixture struct {
	t     *testing.T
	meta  engine.Meta
	store *object.Store
	grant authz.Grant
	job   *Job
	now   time.Time
	sent  map[string][]byte
	order []string
	fail  int // status to answer, 0 for success
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, meta: memory.NewMeta(), grant: authztest.Grant(t, "s3:*", "*"), now: time.Date(2026, 11, 22, 9, 8, 7, 0, time.UTC)}
	ring, err := keys.Open(t.Context(), f.meta, keys.NewKeyFile(filepath.Join(t.TempDir(), "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	f.store, err = object.Open(t.Context(), object.Config{Meta: f.meta, Blob: memory.NewBlob(), Keys: ring, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close(context.Background()) })
	f.start()
	return f
}

func (f *fixture) start() {
	f.sent, f.order = map[string][]byte{}, nil
	f.job = New(Config{
		Objects: f.store, Meta: f.meta, Guard: authz.New(authz.Config{Recorder: authztest.Forget{}}), Deliver: f.deliver,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return f.now },
	})
}

func (f *fixture) deliver(_ context.Context, as *authz.Subject, r *http.Request) (*http.Response, error) {
	if v, _ := as.Keys.Lookup("aws:sourcearn"); as.Principal.ARN != "s3.amazonaws.com" || v.One != "arn:aws:s3:::source" {
		f.t.Errorf("delivered by %v for %v", as.Principal, v)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	sum := md5.Sum(body)
	if r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) || r.ContentLength != int64(len(body)) || r.Header.Get("X-Amz-Acl") != "bucket-owner-full-control" {
		f.t.Errorf("%s %v", r.URL, r.Header)
	}
	status := f.fail
	if status == 0 {
		status = 200
		f.sent[r.URL.Path], f.order = body, append(f.order, r.URL.Path)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("<Error/>"))}, nil
}

func (f *fixture) bucket(v object.Versioning, settings map[string]string) {
	f.t.Helper()
	in := object.CreateBucketInput{Name: "source", Owner: object.Owner{Account: "111122223333", Canonical: "aa"}, Region: "us-east-1", Versioning: v, Settings: map[string][]byte{}}
	for name, text := range settings {
		in.Settings[name] = []byte(text)
	}
	if _, err := f.store.CreateBucket(f.t.Context(), f.grant, in); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) put(key, body string) {
	f.t.Helper()
	_, err := f.store.Put(f.t.Context(), f.grant, &object.PutInput{Bucket: "source", Key: key, Body: strings.NewReader(body), Size: int64(len(body)), Owner: object.Owner{Account: "111122223333", Canonical: "aa"}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) once() {
	f.t.Helper()
	if err := f.job.Once(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// manifest is the one at the report's place, verified against its checksum.
func (f *fixture) manifest(dir string) *manifest {
	f.t.Helper()
	text := f.sent[dir+"/manifest.json"]
	sum := md5.Sum(text)
	if got := string(f.sent[dir+"/manifest.checksum"]); got != hex.EncodeToString(sum[:]) {
		f.t.Fatalf("checksum %q of %q; sent: %v", got, text, f.order)
	}
	m := &manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fixture) rows(m *manifest) string {
	f.t.Helper()
	var all bytes.Buffer
	for _, file := range m.Files {
		data := f.sent["/reports/"+file.Key]
		sum := md5.Sum(data)
		if file.MD5 != hex.EncodeToString(sum[:]) || file.Size != int64(len(data)) {
			f.t.Errorf("%+v is not what was sent", file)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			f.t.Fatal(err)
		}
		if _, err := io.Copy(&all, z); err != nil {
			f.t.Fatal(err)
		}
	}
	return all.String()
}

const daily = `{"Id":"x","IsEnabled":true,"IncludedObjectVersions":"All","OptionalFields":["ETag","Size","IsMultipartUploaded","EncryptionStatus"],"Schedule":{"Frequency":"Daily"},
	"Filter":{"Prefix":"p/"},"Destination":{"S3BucketDestination":{"AccountId":null,"Bucket":"arn:aws:s3:::reports","Format":"CSV","Prefix":"inv","Encryption":null}}}`

// TestWhoseReports: a report goes to whoever the configuration names as the owner, or to anybody; one that must
// stay with the account goes to the account.
func TestWhoseReports(t *testing.T) {
	for want, own := range map[string]bool{"": false, "111122223333": true} {
		f := newFixture(t)
		f.job.config.Own = func(b *object.Bucket) bool { return own && b.Name == "source" }
		sent := 0
		f.job.config.Deliver = func(ctx context.Context, as *authz.Subject, r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("X-Amz-Expected-Bucket-Owner"); got != want {
				t.Errorf("%s expects the owner %q, want %q", r.URL, got, want)
			}
			sent++
			return f.deliver(ctx, as, r)
		}
		f.bucket(object.Unversioned, map[string]string{"inventory/x": daily})
		f.once()
		if sent == 0 {
			t.Error("nothing was sent")
		}
	}
}

func TestReport(t *testing.T) {
	f := newFixture(t)
	f.bucket(object.VersioningEnabled, map[string]string{"inventory/x": daily})
	f.put("p/a \"b\",ä", "one")
	f.put("p/a \"b\",ä", "three")
	f.put("other", "")
	if _, err := f.store.Delete(t.Context(), f.grant, &object.DeleteInput{Bucket: "source", Key: "p/gone"}); err != nil {
		t.Fatal(err)
	}
	f.once()
	const dir = "/reports/inv/source/x/2026-11-22T09-08Z"
	m := f.manifest(dir)
	if m.SourceBucket != "source" || m.DestinationBucket != "arn:aws:s3:::reports" || m.Version != "2016-11-30" || m.Created != "1795338487000" ||
		m.FileSchema != "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag, IsMultipartUploaded, EncryptionStatus" || len(m.Files) != 1 {
		t.Errorf("%+v", m)
	}
	lines := strings.Split(strings.TrimSpace(f.rows(m)), "\n")
	for i, want := range []string{
		`"source","p/a%20%22b%22%2C%C3%A4","*","true","false","5","35d6d33467aae9a2e3dccb4b6b027878","false","SSE-S3"`,
		`"source","p/a%20%22b%22%2C%C3%A4","*","false","false","3","f97c5d29941bfb1b2fdab0874906ab82","false","SSE-S3"`,
		`"source","p/gone","*","true","true","","","",""`,
	} {
		before, after, _ := strings.Cut(want, "*")
		if i >= len(lines) || !strings.HasPrefix(lines[i], before) || !strings.HasSuffix(lines[i], after) {
			t.Errorf("line %d of\n%s\nis not %s", i, strings.Join(lines, "\n"), want)
		}
	}
	if link := string(f.sent["/reports/inv/source/x/hive/dt=2026-11-22-09-08/symlink.txt"]); link != "s3://reports/"+m.Files[0].Key {
		t.Error(link)
	}
	if last := f.order[len(f.order)-2:]; last[0] != dir+"/manifest.json" || last[1] != dir+"/manifest.checksum" {
		t.Errorf("the manifest is not last: %v", f.order)
	}
}

func TestSchedule(t *testing.T) {
	f := newFixture(t)
	current := strings.NewReplacer(`"All"`, `"Current"`, `"p/"`, `""`, `"inv"`, `""`, `"Id":"x"`, `"Id":"w"`, "Daily", "Weekly").Replace(daily)
	f.bucket(object.Unversioned, map[string]string{"inventory/x": daily, "inventory/w": current, "inventory/off": strings.Replace(daily, "true", "false", 1)})
	f.put("key", "x")
	count := func() int {
		n := len(slices.DeleteFunc(slices.Clone(f.order), func(p string) bool { return !strings.HasSuffix(p, "manifest.json") }))
		f.order = nil
		return n
	}
	f.once()
	if n := count(); n != 2 {
		t.Errorf("at first: %d reports", n)
	}
	if got := f.rows(f.manifest("/reports/source/w/2026-11-22T09-08Z")); got != `"source","key","1","9dd4e461268c8034f5c8564e155c67a6","false","SSE-S3"`+"\n" {
		t.Errorf("current: %s", got)
	}
	for i, want := range []int{0, 1, 1, 1, 1, 1, 1, 2} {
		f.start() // as after a restart
		f.once()
		if n := count(); n != want {
			t.Errorf("day %d: %d reports", i, n)
		}
		f.now = f.now.Add(24 * time.Hour)
	}
	// One that cannot be delivered is tried again, not at once.
	f.fail = 403
	for i, want := range []int{0, 0, 1} {
		f.once()
		f.once()
		if n := count(); n != want {
			t.Errorf("retry %d: %d reports", i, n)
		}
		f.now = f.now.Add(time.Minute)
		if i == 1 {
			f.fail = 0
		}
	}
	// What is no longer configured is forgotten.
	if _, err := f.store.UpdateBucket(t.Context(), f.grant, "s3:PutInventoryConfiguration", "source", func(b *object.Bucket) error {
		clear(b.Settings)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.once()
	left, err := f.job.stored(t.Context())
	if err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

// TestFiles: a large report is several files, together whole.
func TestFiles(t *testing.T) {
	f := newFixture(t)
	f.bucket(object.Unversioned, nil)
	c := &configuration{IncludedObjectVersions: "Current", OptionalFields: []string{"ETag", "Size"}}
	c.Destination.S3BucketDestination = destination{Bucket: "arn:aws:s3:::reports"}
	b, err := f.store.Bucket("source")
	if err != nil {
		t.Fatal(err)
	}
	r := &report{job: f.job, bucket: b, id: "x", conf: c, to: &c.Destination.S3BucketDestination, began: f.now, names: c.columns(), most: 256 << 10}
	r.writer = gzip.NewWriter(&r.buffer)
	total := 0
	for len(r.files) < 2 {
		page := make([]object.Info, 1000)
		for i := range page {
			sum := md5.Sum(fmt.Append(nil, total))
			page[i] = object.Info{Bucket: "source", Key: fmt.Sprintf("key-%x", sum), ETag: hex.EncodeToString(sum[:]), Latest: true}
			total++
		}
		if err := r.add(t.Context(), page); err != nil {
			t.Fatal(err)
		}
		if r.buffer.Len() > 2*r.most {
			t.Fatal("the buffer grows")
		}
	}
	if err := r.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := f.manifest("/reports/source/x/2026-11-22T09-08Z")
	if n := strings.Count(f.rows(m), "\n"); n != total || len(m.Files) < 2 {
		t.Errorf("%d rows of %d in %d files", n, total, len(m.Files))
	}
}
